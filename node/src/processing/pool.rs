//! A pool: runs the operations of one type, so many at a time (the bulkhead), the others wait in order.
//!
//! A ractor actor owns queue and runners; [`Pool`] is what the rest of the node shares with it and
//! outlives its crashes. The queue is a cache of the store: what does not fit, or is lost in a crash, is
//! found there again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use selvedge_cluster::Clock;
use selvedge_protocol::limits::OPERATION_QUEUE_MAX;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::processing::budget::Budget;
use crate::processing::handler::ErasedHandler;
use crate::processing::policy::Policy;
use crate::processing::ready::Ready;
use crate::processing::runner::Runner;
use crate::processing::worker::Places;

/// Crashes of runners that a pool bears in a short time. Panics of handlers do not count, the runner
/// contains them: what does is a defect of this crate.
const RUNNER_CRASHES_MAX: usize = 16;

/// The lasting part of a pool.
pub(super) struct Pool {
    pub(super) handler: Arc<dyn ErasedHandler>,
    pub(super) policy: Arc<Policy>,
    /// What its workers take at a time. `None`: the node runs its operations itself.
    workers: Option<Arc<Places>>,
    /// The places in the queue and in the mailbox of the actor.
    room: Arc<Semaphore>,
    /// Something runnable is in the store and not here.
    is_incomplete: AtomicBool,
    /// Tells that the store is to be looked through.
    wanted: Arc<Notify>,
    /// `None` before the node serves, and while a crashed one is not back yet.
    actor: RwLock<Option<ActorRef<Message>>>,
}

/// What the actor of a pool hears.
pub(super) enum Message {
    Offer(Box<Ready>),
    /// A runner has nothing to do.
    Free(ActorRef<Box<Ready>>),
    /// Something may start that could not before.
    Look,
    /// A defect on purpose, for tests of the supervision.
    #[cfg(test)]
    Panic,
}

impl Pool {
    pub(super) fn new(
        handler: Arc<dyn ErasedHandler>,
        policy: Policy,
        wanted: Arc<Notify>,
    ) -> Self {
        Self {
            handler,
            policy: Arc::new(policy),
            workers: None,
            room: Arc::new(Semaphore::new(OPERATION_QUEUE_MAX)),
            is_incomplete: AtomicBool::new(false),
            wanted,
            actor: RwLock::new(None),
        }
    }

    /// A pool of operations that workers execute: it runs as many as they take.
    pub(super) fn of_workers(self, places: Arc<Places>) -> Self {
        Self {
            workers: Some(places),
            ..self
        }
    }

    /// Whether as many run as its workers take.
    pub(super) fn is_full(&self, running: usize) -> bool {
        let workers = self.workers.as_ref();
        workers.is_some_and(|places| running >= places.count())
    }

    /// Has the actor look what may start.
    pub(super) fn look(&self) {
        let actor = self.actor.read().clone();
        // One that is not there looks when it comes.
        let _ = actor.map(|actor| actor.send_message(Message::Look));
    }

    /// Queues are reached through this one; `None`: there is none at the moment.
    pub(super) fn set_actor(&self, actor: Option<ActorRef<Message>>) {
        *self.actor.write() = actor;
    }

    /// A place in the queue, if there is one and somebody to fill it.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.room).try_acquire_owned().ok();
        let place = place.filter(|_| self.actor.read().is_some());
        if place.is_none() {
            self.look_again();
        }
        place
    }

    /// Queues an operation. `false`: the pool has just crashed, and the offer is over.
    pub(super) fn queue(&self, ready: Ready) -> bool {
        let actor = self.actor.read().clone();
        actor.is_some_and(|actor| actor.send_message(Message::Offer(Box::new(ready))).is_ok())
    }

    /// Something runnable of this type may be in the store and not here.
    pub(super) fn look_again(&self) {
        self.is_incomplete.store(true, Ordering::Release);
        self.wanted.notify_one();
    }

    /// The same, for when there is room.
    pub(super) fn look_later(&self) {
        self.is_incomplete.store(true, Ordering::Release);
    }

    /// An offer is over: if something is missing, there may be room for it now.
    pub(super) fn offer_ended(&self) {
        if self.is_incomplete.load(Ordering::Acquire) && self.has_room() {
            self.wanted.notify_one();
        }
    }

    /// Whether the store is to be looked through now. Asking takes the mark away.
    pub(super) fn take_incomplete(&self) -> bool {
        self.has_room() && self.is_incomplete.swap(false, Ordering::AcqRel)
    }

    /// Whether one more fits.
    pub(super) fn has_place(&self) -> bool {
        self.room.available_permits() > 0 && self.actor.read().is_some()
    }

    /// Whether it is worth looking for more: half of the queue is free.
    fn has_room(&self) -> bool {
        self.room.available_permits() >= OPERATION_QUEUE_MAX / 2 && self.actor.read().is_some()
    }

    #[cfg(test)]
    pub(super) fn crash(&self) -> bool {
        let actor = self.actor.read().clone();
        actor.is_some_and(|actor| actor.send_message(Message::Panic).is_ok())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.policy)
    }
}

/// The actor of a pool, supervised by `processing`; its runners are its children.
pub(super) struct PoolActor;

pub(super) struct Arguments {
    pub(super) pool: Arc<Pool>,
    pub(super) clock: Clock,
}

pub(super) struct State {
    pool: Arc<Pool>,
    clock: Clock,
    ready: VecDeque<Box<Ready>>,
    idle: Vec<ActorRef<Box<Ready>>>,
    /// Idle or not.
    runners: usize,
    budget: Budget,
}

impl Actor for PoolActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            pool: arguments.pool,
            clock: arguments.clock,
            ready: VecDeque::new(),
            idle: Vec::new(),
            runners: 0,
            budget: Budget::new(RUNNER_CRASHES_MAX),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Offer(ready) => state.ready.push_back(ready),
            Message::Free(runner) => state.idle.push(runner),
            Message::Look => {}
            #[cfg(test)]
            Message::Panic => panic!("a defect on purpose"),
        }
        state.start(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, error) => {
                tracing::error!(%error, "step runner crashed");
            }
            SupervisionEvent::ActorTerminated(_, _, _) => {}
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        }
        // Only a crash ends a runner, and never an idle one. Its operation is looked for again.
        state.runners -= 1;
        state.budget.spend(state.clock.monotonic())?;
        state.start(&myself).await
    }
}

impl State {
    /// Gives operations that wait to runners that do not, as far as there are places.
    async fn start(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        while let Some(at) = self.next() {
            let runner = match self.idle.pop() {
                Some(runner) => runner,
                None if self.runners < self.pool.policy.concurrency => {
                    let pool = myself.clone();
                    let spawned = Actor::spawn_linked(None, Runner, pool, myself.get_cell()).await;
                    self.runners += 1;
                    spawned?.0
                }
                None => return Ok(()),
            };
            if let Some(ready) = self.ready.remove(at) {
                // To a runner that is gone: the offer is over, and the operation looked for again.
                drop(runner.send_message(ready));
            }
        }
        Ok(())
    }

    /// Where the operation is that is to start next: the first, or, while all workers are busy, the first
    /// that is over by now and needs none.
    fn next(&self) -> Option<usize> {
        let running = self.runners - self.idle.len();
        match self.pool.is_full(running) {
            true => self.ready.iter().position(|ready| ready.is_void()),
            false => (!self.ready.is_empty()).then_some(0),
        }
    }
}
