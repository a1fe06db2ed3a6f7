//! The supervision of activations: `slots` supervises one actor per slot, which supervises the slot's
//! activations. A crash stays in its subtree; one that crashes too often fails its parent.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::time::Instant;
use tracing::error;

use crate::actor::core::Core;
use crate::slot::Slot;

/// Crashes of activations that a slot bears within [`BUDGET_TIME`]. Panics of an application's code do
/// not count here: the machine contains them. What does is a defect of the host itself.
const ACTIVATION_CRASHES_MAX: usize = 16;
/// Crashes of slots that the node bears within [`BUDGET_TIME`].
const SLOT_CRASHES_MAX: usize = 64;
/// Long enough to tell a lasting defect from a passing one.
const BUDGET_TIME: Duration = Duration::from_secs(10);
/// A slot that crashed comes back after this, twice as long for each crash that is still counted.
const RESTART_BACKOFF: Duration = Duration::from_millis(10);

/// Crashes not long ago.
#[derive(Debug)]
struct Budget {
    crashes: VecDeque<Instant>,
    crashes_max: usize,
}

impl Budget {
    const fn new(crashes_max: usize) -> Self {
        Self {
            crashes: VecDeque::new(),
            crashes_max,
        }
    }

    /// Counts a crash. Answers how many there were lately, or that there were too many.
    fn spend(&mut self, now: Instant) -> Result<usize, ActorProcessingErr> {
        while let Some(first) = self.crashes.front() {
            if now.duration_since(*first) < BUDGET_TIME {
                break;
            }
            self.crashes.pop_front();
        }
        self.crashes.push_back(now);
        if self.crashes.len() > self.crashes_max {
            return Err(format!("{} crashes within {BUDGET_TIME:?}", self.crashes.len()).into());
        }
        Ok(self.crashes.len())
    }
}

/// Supervises the slots.
#[derive(Debug)]
pub(crate) struct Slots;

#[derive(Debug)]
pub(crate) enum SlotsMessage {
    Restart(u16),
    /// A defect on purpose, for tests of the supervision.
    #[cfg(test)]
    Panic,
}

pub(crate) struct SlotsState {
    core: Arc<Core>,
    slots: HashMap<ActorId, u16>,
    budget: Budget,
}

impl Actor for Slots {
    type Msg = SlotsMessage;
    type State = SlotsState;
    type Arguments = Arc<Core>;

    async fn pre_start(
        &self,
        myself: ActorRef<SlotsMessage>,
        core: Arc<Core>,
    ) -> Result<SlotsState, ActorProcessingErr> {
        let count = core.config.slots;
        let mut state = SlotsState {
            core,
            slots: HashMap::with_capacity(usize::from(count)),
            budget: Budget::new(SLOT_CRASHES_MAX),
        };
        for number in 0..count {
            state.spawn(&myself, number).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SlotsMessage>,
        message: SlotsMessage,
        state: &mut SlotsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SlotsMessage::Restart(number) => {
                state.spawn(&myself, number).await?;
                let slot = &state.core.slots[usize::from(number)];
                // Of one that is somebody else's there is nothing to look for; whoever takes it looks.
                if slot.is_open() {
                    look_anew(&state.core, slot);
                }
                Ok(())
            }
            #[cfg(test)]
            SlotsMessage::Panic => panic!("a defect on purpose"),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SlotsMessage>,
        event: SupervisionEvent,
        state: &mut SlotsState,
    ) -> Result<(), ActorProcessingErr> {
        let crashed: ActorCell = match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                error!(%error, "slot crashed");
                cell
            }
            SupervisionEvent::ActorTerminated(cell, _, _) => cell,
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let Some(number) = state.slots.remove(&crashed.get_id()) else {
            return Ok(());
        };
        let slot = &state.core.slots[usize::from(number)];
        *slot.supervisor.lock() = None;
        // Its activations went with it.
        slot.directory.lock().clear();
        drop(slot.take_spare());
        let now = state.core.clock.monotonic();
        let crashes = match state.budget.spend(now) {
            Ok(crashes) => crashes,
            Err(error) => {
                state.core.is_stopping.store(true, Ordering::Release);
                return Err(error);
            }
        };
        let doublings = u32::try_from(crashes - 1).unwrap_or(u32::MAX).min(8);
        myself.send_after(RESTART_BACKOFF * 2_u32.pow(doublings), move || {
            SlotsMessage::Restart(number)
        });
        Ok(())
    }
}

impl SlotsState {
    async fn spawn(
        &mut self,
        myself: &ActorRef<SlotsMessage>,
        number: u16,
    ) -> Result<(), ActorProcessingErr> {
        let arguments = (Arc::clone(&self.core), number);
        let (slot, _) = Actor::spawn_linked(None, SlotActor, arguments, myself.get_cell()).await?;
        self.slots.insert(slot.get_id(), number);
        let shared = &self.core.slots[usize::from(number)];
        *shared.supervisor.lock() = Some(slot.get_cell());
        Ok(())
    }
}

/// Activations have died, perhaps while they committed: nobody else follows up what was done.
fn look_anew(core: &Core, slot: &Slot) {
    slot.hub.close();
    for chore in [&slot.timers, &slot.outbox, &slot.awake] {
        core.schedule(chore, 0);
    }
}

/// Supervises the activations of one slot.
#[derive(Debug)]
struct SlotActor;

struct SlotState {
    core: Arc<Core>,
    number: u16,
    budget: Budget,
}

impl Actor for SlotActor {
    /// Only ever hears of its children.
    type Msg = ();
    type State = SlotState;
    type Arguments = (Arc<Core>, u16);

    async fn pre_start(
        &self,
        _myself: ActorRef<()>,
        (core, number): (Arc<Core>, u16),
    ) -> Result<SlotState, ActorProcessingErr> {
        Ok(SlotState {
            core,
            number,
            budget: Budget::new(ACTIVATION_CRASHES_MAX),
        })
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut SlotState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                error!(slot = state.number, %error, "activation crashed");
                let slot = &state.core.slots[usize::from(state.number)];
                slot.remove_dead(cell.get_id());
                look_anew(&state.core, slot);
                state.budget.spend(state.core.clock.monotonic()).map(|_| ())
            }
            SupervisionEvent::ActorTerminated(_, _, _)
            | SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }
}

/// The root of the tree. Dropped, it kills all that is below it, as a crash of the node would.
#[derive(Debug)]
pub(crate) struct Root(ActorRef<SlotsMessage>);

impl Root {
    pub(crate) async fn spawn(core: Arc<Core>) -> Result<Self, String> {
        let spawned = Actor::spawn(None, Slots, core).await;
        match spawned {
            Ok((slots, _)) => Ok(Self(slots)),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) async fn stop(&self) {
        // Nothing is unanswered any more, so nothing is cut off.
        if self.0.kill_and_wait(None).await.is_err() {
            error!("the supervision of slots had ended before");
        }
    }

    #[cfg(test)]
    fn crash(&self) {
        drop(self.0.send_message(SlotsMessage::Panic));
    }

    #[cfg(test)]
    async fn ended(&self) {
        drop(self.0.wait(None).await);
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.0.kill();
    }
}

#[cfg(test)]
mod tests;
