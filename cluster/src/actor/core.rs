//! What all parts of a host share: configuration, store, clock, kinds, slots, and the way of a request
//! to its actor.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ractor::{ActorRef, ActorRuntime, MessagingErr};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::SNAPSHOT_QUERIES_MAX;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use crate::Clock;
use crate::actor::activation::{Activation, Hosting, Message};
use crate::actor::attendance::Attendance;
use crate::actor::chore::InWork;
use crate::actor::host::HostConfig;
use crate::actor::hosted::Kinds;
use crate::actor::letter::{Letter, Request};
use crate::actor::machine::{Moment, Name};
use crate::actor::mailbox::{Caller, Load, Mailbox};
use crate::actor::request::{ReplyTo, ScopedAddress};
use crate::forward::Forward;
use crate::membership::Admin;
use crate::metrics;
use crate::slot::{Changes, Entry, Slot};
use crate::store::Store;
use crate::store::keys::ActorPrefix;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: HostConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) kinds: Kinds,
    pub(crate) slots: Box<[Slot]>,
    /// Raised with each slot that is taken, is about to go, closed or left.
    pub(crate) changes: Arc<Changes>,
    pub(crate) load: Arc<Load>,
    /// Queries that are answered from the store.
    pub(crate) snapshots: Arc<Semaphore>,
    /// Whether no new requests are taken.
    pub(crate) is_stopping: AtomicBool,
    /// Counts the rounds of passivation.
    pub(crate) tick: AtomicU64,
    /// Commits that were refused because another host has the slot.
    pub(crate) commits_fenced: AtomicU64,
    /// When the next trouble with the store may be logged.
    trouble_told_next_ms: AtomicU64,
    /// A chore became due earlier than the loop of chores knows.
    pub(crate) chores: Notify,
    pub(crate) in_work: InWork,
    pub(crate) attendance: Arc<Attendance>,
    /// For what has to wait where nothing may.
    pub(crate) runtime: Handle,
    /// The way to the actors of other nodes, once there is one.
    pub(crate) forward: OnceLock<Forward>,
    pub(crate) admin: Admin,
}

/// Trouble with the store is logged so often at most.
const TROUBLE_TOLD_MS: u64 = 1_000;

/// A request that was not handed to its actor. Answered outside of the directory's lock: a sink may
/// well send the next request.
enum Refused {
    /// The slot takes no requests.
    Closed(Box<NotHere>),
    Overloaded(ReplyTo),
    /// There is nobody to supervise the actor.
    Unsupervised(ReplyTo),
    /// The activation died; its callers hear `unavailable` as this is dropped.
    Dead(Box<MessagingErr<Message>>),
}

/// A letter to an actor whose slot this node does not own, or gives up.
#[derive(Debug)]
pub(crate) struct NotHere {
    pub(crate) letter: Letter,
    pub(crate) reply: ReplyTo,
}

impl NotHere {
    /// Of a letter that was one.
    pub(crate) fn into_request(self) -> (Request, ReplyTo) {
        match self.letter {
            Letter::Request(request) => (request, self.reply),
            letter @ (Letter::Fire { .. } | Letter::Wake(_)) => {
                unreachable!("a request came back as {letter:?}")
            }
        }
    }
}

impl Core {
    /// Called within a runtime.
    pub(crate) fn new(
        config: HostConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        kinds: Kinds,
    ) -> Arc<Self> {
        let changes = Arc::new(Changes::default());
        let slot = |number| Slot::new(number, Arc::clone(&changes));
        let slots = (0..config.slots).map(slot).collect();
        Arc::new(Self {
            admin: Admin::new(Arc::clone(&store), clock.clone(), config.slots),
            config,
            store,
            clock,
            kinds,
            slots,
            changes,
            load: Arc::default(),
            snapshots: Arc::new(Semaphore::new(SNAPSHOT_QUERIES_MAX)),
            is_stopping: AtomicBool::new(false),
            tick: AtomicU64::new(1),
            commits_fenced: AtomicU64::new(0),
            trouble_told_next_ms: AtomicU64::new(0),
            chores: Notify::new(),
            in_work: InWork::default(),
            attendance: Arc::default(),
            runtime: Handle::current(),
            forward: OnceLock::new(),
        })
    }

    pub(crate) fn slot_of(&self, actor: &ScopedAddress) -> &Slot {
        let slot = actor.address.slot(&actor.tenant, self.config.slots);
        &self.slots[usize::from(slot)]
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            wall_ms: self.clock.wall_ms(),
            instant: self.clock.monotonic(),
        }
    }

    /// Whether to log that the store is full or away: all actors find it so, and once a second is enough.
    pub(crate) fn may_tell_trouble(&self) -> bool {
        let now_ms = self.clock.wall_ms();
        let next_ms = self.trouble_told_next_ms.load(Ordering::Relaxed);
        now_ms >= next_ms
            && self
                .trouble_told_next_ms
                .compare_exchange(
                    next_ms,
                    now_ms.saturating_add(TROUBLE_TOLD_MS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Makes a slot's chore due, and wakes the loop if that is earlier than before.
    pub(crate) fn schedule(&self, chore: &crate::slot::Chore, due_ms: u64) {
        if chore.schedule(due_ms) {
            self.chores.notify_one();
        }
    }

    /// Whether this node owns an actor and has it in memory.
    pub(crate) fn is_at_hand(&self, actor: &ScopedAddress) -> bool {
        let slot = self.slot_of(actor);
        let directory = slot.directory.lock();
        slot.is_open() && directory.contains_key(actor)
    }

    /// Hands a letter to its actor, activating it if need be, or to the node that owns it. Never waits.
    pub(crate) fn send(self: &Arc<Self>, letter: Letter, reply: ReplyTo) {
        let slot = self.slot_of(letter.actor());
        // Behind those that came before; the slot's own chores ask for themselves.
        let is_next = match &letter {
            Letter::Request(_) => slot.line.is_clear(),
            Letter::Fire { .. } | Letter::Wake(_) => true,
        };
        let sent = match is_next {
            true => self.send_here(letter, reply),
            false => Err(Box::new(NotHere { letter, reply })),
        };
        let Err(not_here) = sent else {
            return;
        };
        let NotHere { letter, reply } = *not_here;
        match (self.forward.get(), letter) {
            (Some(forward), Letter::Request(request)) => forward.send(request, reply),
            (None, Letter::Request(_)) | (_, Letter::Fire { .. } | Letter::Wake(_)) => {
                let text = "this node does not own the actor";
                reply.answer(failure(ErrorCode::Unavailable, text));
            }
        }
    }

    /// The same, if this node owns the actor.
    pub(crate) fn send_here(
        self: &Arc<Self>,
        letter: Letter,
        reply: ReplyTo,
    ) -> Result<(), Box<NotHere>> {
        if self.is_stopping.load(Ordering::Acquire) {
            reply.answer(failure(ErrorCode::Unavailable, "this node is stopping"));
            return Ok(());
        }
        let slot = self.slot_of(letter.actor());
        match self.send_within(slot, letter, reply) {
            Ok(()) => {}
            Err(Refused::Closed(not_here)) => return Err(not_here),
            Err(Refused::Overloaded(reply)) => reply.answer(overloaded()),
            Err(Refused::Unsupervised(reply)) => drop(reply),
            Err(Refused::Dead(unsent)) => drop(unsent),
        }
        Ok(())
    }

    fn send_within(
        self: &Arc<Self>,
        slot: &Slot,
        letter: Letter,
        reply: ReplyTo,
    ) -> Result<(), Refused> {
        let tick = self.tick.load(Ordering::Relaxed);
        let mut directory = slot.directory.lock();
        if !slot.is_open() {
            let not_here = NotHere { letter, reply };
            return Err(Refused::Closed(Box::new(not_here)));
        }
        let Some((actor, entry)) = directory.get_key_value(letter.actor()) else {
            let actor = letter.actor().clone();
            let Some(entry) = self.activate(slot, &actor) else {
                return Err(Refused::Unsupervised(reply));
            };
            let Some(permit) = entry.mailbox.permit(tick) else {
                return Err(Refused::Overloaded(reply));
            };
            let caller = Caller::new(reply, Some(permit));
            let sent = post(&entry, letter.into_message(caller));
            directory.insert(actor, entry);
            return sent.map_err(Refused::Dead);
        };
        let Some(permit) = entry.mailbox.permit(tick) else {
            return Err(Refused::Overloaded(reply));
        };
        let caller = Caller::new(reply, Some(permit));
        let unsent = match post(entry, letter.into_message(caller)) {
            Ok(()) => return Ok(()),
            Err(unsent) => unsent,
        };
        let actor = actor.clone();
        // The activation has died and its supervisor has not heard of it yet: the next one takes over.
        let Some(entry) = self.activate(slot, &actor) else {
            return Err(Refused::Dead(unsent));
        };
        let message = match *unsent {
            MessagingErr::SendErr(message) => message,
            other @ (MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => {
                return Err(Refused::Dead(Box::new(other)));
            }
        };
        let sent = post(&entry, message);
        directory.insert(actor, entry);
        sent.map_err(Refused::Dead)
    }

    /// Gives the actor an activation; what is sent to it waits until it is loaded.
    fn activate(self: &Arc<Self>, slot: &Slot, actor: &ScopedAddress) -> Option<Entry> {
        let kind = self.kinds.find(actor.address.kind.as_str()).cloned();
        let name = Arc::new(Name {
            actor: actor.clone(),
            slot: slot.number,
            prefix: ActorPrefix::new(slot.number, &actor.tenant, &actor.address),
            is_public: kind.as_ref().is_some_and(|kind| kind.is_public()),
        });
        let hosting = Hosting { name, kind };
        let activation = Self::reuse(slot, &hosting).or_else(|| self.spawn(slot, hosting))?;
        metrics::activated();
        Some(Entry {
            activation,
            mailbox: Mailbox::new(Arc::clone(&self.load)),
        })
    }

    fn reuse(slot: &Slot, hosting: &Hosting) -> Option<ActorRef<Message>> {
        let spare = slot.take_spare()?;
        let sent = spare.send_message(Message::Activate(hosting.clone()));
        sent.is_ok().then_some(spare)
    }

    fn spawn(self: &Arc<Self>, slot: &Slot, hosting: Hosting) -> Option<ActorRef<Message>> {
        let supervisor = slot.supervisor.lock().clone()?;
        let name = Arc::clone(&hosting.name);
        let arguments = (Arc::clone(self), hosting);
        match ActorRuntime::spawn_linked_instant(None, Activation, arguments, supervisor) {
            Ok((activation, _)) => Some(activation),
            Err(error) => {
                let actor = &name.actor.address;
                tracing::error!(%error, %actor, "activation cannot be spawned");
                None
            }
        }
    }
}

fn post(entry: &Entry, message: Message) -> Result<(), Box<MessagingErr<Message>>> {
    entry.activation.send_message(message).map_err(Box::new)
}

pub(crate) fn failure(code: ErrorCode, message: &str) -> Outcome {
    Outcome::Failure(Failure::new(code, message))
}

fn overloaded() -> Outcome {
    come_back("the actor has too many unanswered requests; come back later")
}

pub(crate) fn come_back(message: &str) -> Outcome {
    // About the time of some commits: a full mailbox empties with the next few.
    const RETRY_AFTER_MS: u32 = 50;
    metrics::refused_overloaded();
    let mut failure = Failure::new(ErrorCode::Overloaded, message);
    failure.retry_after_ms = Some(RETRY_AFTER_MS);
    Outcome::Failure(failure)
}
