//! The `processing` supervisor: every pool is its child.
//!
//! Pools of workers come while the node lives. A pool that crashes is started again after a while, and its operations are looked for in the store.
//! Pools that crash too often make it fail as well: then no operation runs until the node is restarted.

use std::collections::HashMap;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::processing::Pools;
use crate::processing::budget::Budget;
use crate::processing::pool::{Arguments, PoolActor};
use crate::processing::pools::PoolName;

/// Crashes of pools that a node bears in a short time.
const POOL_CRASHES_MAX: usize = 16;

pub(super) struct Supervisor;

pub(super) enum Message {
    Start(PoolName),
}

pub(super) struct State {
    pools: Pools,
    children: HashMap<ActorId, PoolName>,
    budget: Budget,
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = State;
    type Arguments = Pools;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        pools: Pools,
    ) -> Result<State, ActorProcessingErr> {
        let all = pools.all();
        let mut state = State {
            pools,
            children: HashMap::with_capacity(all.len()),
            budget: Budget::new(POOL_CRASHES_MAX),
        };
        for (name, _) in all {
            state.spawn(&myself, name).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Start(name) => state.spawn(&myself, name).await,
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (child, error) = match event {
            SupervisionEvent::ActorFailed(child, error) => (child, Some(error)),
            SupervisionEvent::ActorTerminated(child, _, _) => (child, None),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let Some(name) = state.children.remove(&child.get_id()) else {
            return Ok(());
        };
        tracing::error!(pool = %name, error, "processing pool crashed");
        if let Some(pool) = state.pools.pool(&name) {
            pool.set_actor(None);
        }
        let wait = match state.budget.spend(state.pools.clock().monotonic()) {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(%error, "no operation runs any more; restart the node");
                return Err(error);
            }
        };
        myself.send_after(wait, move || Message::Start(name));
        Ok(())
    }
}

impl State {
    async fn spawn(
        &mut self,
        myself: &ActorRef<Message>,
        name: PoolName,
    ) -> Result<(), ActorProcessingErr> {
        let Some(pool) = self.pools.pool(&name) else {
            return Ok(());
        };
        let arguments = Arguments {
            name: name.clone(),
            pool: std::sync::Arc::clone(&pool),
            clock: self.pools.clock().clone(),
        };
        let (actor, _) = Actor::spawn_linked(None, PoolActor, arguments, myself.get_cell()).await?;
        self.children.insert(actor.get_id(), name);
        pool.set_actor(Some(actor));
        // What was offered meanwhile, or was lost with the pool before.
        pool.look_again();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
