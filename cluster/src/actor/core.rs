//! What all parts of a host share: configuration, store, clock, kinds, slots, and the way of a request
//! to its actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ractor::{ActorRuntime, MessagingErr};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::Notify;

use crate::Clock;
use crate::actor::activation::{Activation, Arguments, Message};
use crate::actor::host::HostConfig;
use crate::actor::hosted::Kinds;
use crate::actor::machine::{Moment, Name};
use crate::actor::mailbox::{Caller, Load, Mailbox};
use crate::actor::request::{ReplyTo, ScopedAddress};
use crate::metrics;
use crate::slot::{Entry, SLOTS, Slot};
use crate::store::Store;
use crate::store::keys::ActorPrefix;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: HostConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) kinds: Kinds,
    pub(crate) slots: Box<[Slot]>,
    pub(crate) load: Arc<Load>,
    /// Whether no new requests are taken.
    pub(crate) is_stopping: AtomicBool,
    /// Counts the rounds of passivation.
    pub(crate) tick: AtomicU64,
    /// A chore became due earlier than the loop of chores knows.
    pub(crate) chores: Notify,
}

/// Why a request was not handed to its actor. The caller is answered by whoever holds the locks' ends.
enum Refused {
    Overloaded(ReplyTo),
    Unavailable(Option<MessagingErr<Message>>),
}

impl Core {
    pub(crate) fn new(
        config: HostConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        kinds: Kinds,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            store,
            clock,
            kinds,
            slots: (0..SLOTS).map(Slot::new).collect(),
            load: Arc::default(),
            is_stopping: AtomicBool::new(false),
            tick: AtomicU64::new(1),
            chores: Notify::new(),
        })
    }

    pub(crate) fn slot_of(&self, actor: &ScopedAddress) -> &Slot {
        &self.slots[usize::from(actor.address.slot(&actor.tenant, SLOTS))]
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            wall_ms: self.clock.wall_ms(),
            instant: self.clock.monotonic(),
        }
    }

    /// Makes a slot's chore due, and wakes the loop if that is earlier than before.
    pub(crate) fn schedule(&self, chore: &crate::slot::Chore, due_ms: u64) {
        if chore.schedule(due_ms) {
            self.chores.notify_one();
        }
    }

    /// Hands a request to its actor, activating it if need be. Never waits.
    pub(crate) fn send(
        self: &Arc<Self>,
        actor: &ScopedAddress,
        reply: ReplyTo,
        message: impl FnOnce(Caller) -> Message,
    ) {
        if self.is_stopping.load(Ordering::Acquire) {
            return reply.answer(failure(ErrorCode::Unavailable, "this node is stopping"));
        }
        let slot = self.slot_of(actor);
        if slot.is_lost() {
            let text = "this node does not own the actor any more";
            return reply.answer(failure(ErrorCode::Unavailable, text));
        }
        // Answers are given outside of the lock: a sink may well send the next request.
        match self.send_within(slot, actor, reply, message) {
            Ok(()) => {}
            Err(Refused::Overloaded(reply)) => reply.answer(overloaded()),
            // The message answers `unavailable` as it is dropped.
            Err(Refused::Unavailable(message)) => drop(message),
        }
    }

    fn send_within(
        self: &Arc<Self>,
        slot: &Slot,
        actor: &ScopedAddress,
        reply: ReplyTo,
        message: impl FnOnce(Caller) -> Message,
    ) -> Result<(), Refused> {
        let mut directory = slot.directory.lock();
        if !directory.contains_key(actor) {
            let Some(entry) = self.activate(slot, actor) else {
                return Err(Refused::Unavailable(Some(MessagingErr::SendErr(message(
                    Caller::new(reply, None),
                )))));
            };
            directory.insert(actor.clone(), entry);
        }
        let Some(entry) = directory.get(actor) else {
            return Err(Refused::Overloaded(reply));
        };
        let Some(permit) = entry.mailbox.permit(self.tick.load(Ordering::Relaxed)) else {
            return Err(Refused::Overloaded(reply));
        };
        let unsent = match entry
            .activation
            .send_message(message(Caller::new(reply, Some(permit))))
        {
            Ok(()) => return Ok(()),
            Err(MessagingErr::SendErr(message)) => message,
            Err(other) => return Err(Refused::Unavailable(Some(other))),
        };
        // The activation has died and its supervisor has not heard of it yet: the next one takes over.
        let Some(entry) = self.activate(slot, actor) else {
            return Err(Refused::Unavailable(Some(MessagingErr::SendErr(unsent))));
        };
        let sent = entry.activation.send_message(unsent);
        directory.insert(actor.clone(), entry);
        sent.map_err(|error| Refused::Unavailable(Some(error)))
    }

    /// Spawns an activation; what is sent to it waits until it is loaded.
    fn activate(self: &Arc<Self>, slot: &Slot, actor: &ScopedAddress) -> Option<Entry> {
        let supervisor = slot.supervisor.lock().clone()?;
        let kind = self.kinds.find(actor.address.kind.as_str()).cloned();
        let name = Arc::new(Name {
            actor: actor.clone(),
            slot: slot.number,
            prefix: ActorPrefix::new(slot.number, &actor.tenant, &actor.address),
            is_public: kind.as_ref().is_some_and(|kind| kind.is_public()),
        });
        let mailbox = Mailbox::new(Arc::clone(&self.load));
        let arguments = Arguments {
            core: Arc::clone(self),
            name,
            kind,
        };
        let spawned = ActorRuntime::spawn_linked_instant(None, Activation, arguments, supervisor);
        match spawned {
            Ok((activation, _)) => {
                metrics::activated();
                Some(Entry {
                    activation,
                    mailbox,
                })
            }
            Err(error) => {
                tracing::error!(%error, actor = %actor.address, "activation cannot be spawned");
                None
            }
        }
    }
}

pub(crate) fn failure(code: ErrorCode, message: &str) -> Outcome {
    Outcome::Failure(Failure::new(code, message))
}

fn overloaded() -> Outcome {
    // About the time of some commits: a full mailbox empties with the next few.
    const RETRY_AFTER_MS: u32 = 50;
    metrics::refused_overloaded();
    let mut failure = Failure::new(
        ErrorCode::Overloaded,
        "the actor has too many unanswered requests; come back later",
    );
    failure.retry_after_ms = Some(RETRY_AFTER_MS);
    Outcome::Failure(failure)
}
