//! The `sessions` supervisor: every session actor is its child.
//!
//! A session that crashes is not restarted here: its connection ends, and its client resumes it. When
//! sessions crash by the hundred something is wrong with the node, and the supervisor fails as well.

use std::collections::VecDeque;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use selvedge_cluster::Clock;
use tokio::time::Instant;

/// Crashes within [`CRASH_WINDOW`] that are borne. A single client that finds a way to crash its own
/// session reconnects with backoff and stays below this.
const CRASHES_MAX: usize = 100;
const CRASH_WINDOW: Duration = Duration::from_secs(10);

pub(super) struct Supervisor;

pub(super) struct State {
    clock: Clock,
    crashes: VecDeque<Instant>,
}

impl Actor for Supervisor {
    type Msg = ();
    type State = State;
    type Arguments = Clock;

    async fn pre_start(
        &self,
        _myself: ActorRef<()>,
        clock: Clock,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            clock,
            crashes: VecDeque::new(),
        })
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(_, error) = event else {
            return Ok(());
        };
        tracing::error!(%error, "session crashed");
        let now = state.clock.monotonic();
        state.crashes.push_back(now);
        while let Some(first) = state.crashes.front()
            && now.duration_since(*first) > CRASH_WINDOW
        {
            state.crashes.pop_front();
        }
        if state.crashes.len() > CRASHES_MAX {
            return Err(format!("more than {CRASHES_MAX} sessions crashed in a short time").into());
        }
        Ok(())
    }
}
