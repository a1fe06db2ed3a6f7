//! A slot as its owner sees it: the fence it holds, the directory of its activated actors, the
//! subscribers to its actors, and when its chores are due.
//!
//! The host looks actors up here, their supervisor and the chores keep it in order. It never touches
//! the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{ActorCell, ActorId, ActorRef};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::STORE_TRANSACTION_MS_MAX;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::actor::activation::Message;
use crate::actor::hub::Hub;
use crate::actor::mailbox::{Caller, Mailbox};
use crate::actor::request::ScopedAddress;
use crate::forward::Line;
use crate::store::Version;
use crate::store::keys::Key;

/// Less than half of what the store remembers of commits: the rest is for the actor's first command.
const PROOF_AGE_MAX: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX * 2 / 5);
/// Past this a version is no base for a commit any more: the rest of what the store remembers is for the commit's way.
pub(crate) const BASE_AGE_MAX: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX * 4 / 5);

/// No time at all: a chore that is not due.
pub(crate) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) number: u16,
    pub(crate) fence_key: Vec<u8>,
    /// The epoch at which this host took the slot.
    epoch: AtomicU64,
    /// A [`Standing`]; changed under the lock of the directory.
    standing: AtomicU8,
    proof: Mutex<Option<Proof>>,
    pub(crate) directory: Mutex<HashMap<ScopedAddress, Entry>>,
    /// What is at work for its actors outside of them. Begins under the lock of the directory.
    works: AtomicUsize,
    /// An activation without an actor, for the next one.
    spare: Mutex<Option<ActorRef<Message>>>,
    /// The actor that supervises the slot's activations.
    pub(crate) supervisor: Mutex<Option<ActorCell>>,
    pub(crate) hub: Hub,
    pub(crate) timers: Chore,
    pub(crate) outbox: Chore,
    pub(crate) awake: Chore,
    /// Requests of this node for it that wait for an owner or are at one: what comes later goes behind them.
    pub(crate) line: Arc<Line>,
    /// Answers that wait for a proof that the slot is still ours.
    pub(crate) unproven: Mutex<Unproven>,
    changes: Arc<Changes>,
}

/// Tells whoever cares that some slots of a host stand otherwise than before.
#[derive(Debug, Default)]
pub(crate) struct Changes(watch::Sender<u64>);

impl Changes {
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn raise(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// What a slot is to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// Somebody else's, or nobody's.
    Foreign,
    /// Ours: it takes requests.
    Open,
    /// Ours, and it takes requests, but is about to be given up: no work of its actors begins.
    Parting,
    /// Ours, but given up: it takes no more requests, those that it took are answered.
    Closing,
}

/// An activated actor.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) activation: ActorRef<Message>,
    pub(crate) mailbox: Arc<Mailbox>,
}

/// The slot was this host's at a version of the store, and nothing of it was written since but by commits
/// that this host knows of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof {
    pub(crate) version: Version,
    /// At which the host had taken it.
    pub(crate) epoch: u64,
    /// When the host knew of it: about when the version was the store's latest.
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Unproven {
    pub(crate) answers: Vec<Answer>,
    pub(crate) is_proving: bool,
}

/// An answer from the memory of an actor that was loaded while the slot had this epoch.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) caller: Caller,
    pub(crate) outcome: Outcome,
    pub(crate) epoch: u64,
    /// Of that actor.
    pub(crate) activation: ActorRef<Message>,
}

/// Something a slot has to do at some time: at most one run of it at once.
#[derive(Debug)]
pub(crate) struct Chore {
    due_ms: AtomicU64,
    is_running: AtomicBool,
    failures: AtomicU64,
}

impl Slot {
    pub(crate) fn new(number: u16, changes: Arc<Changes>) -> Self {
        Self {
            number,
            fence_key: Key::SlotFence { slot: number }.encode(),
            epoch: AtomicU64::new(0),
            standing: AtomicU8::new(Standing::Foreign as u8),
            proof: Mutex::new(None),
            directory: Mutex::new(HashMap::new()),
            works: AtomicUsize::new(0),
            spare: Mutex::new(None),
            supervisor: Mutex::new(None),
            hub: Hub::default(),
            timers: Chore::new(),
            outbox: Chore::new(),
            awake: Chore::new(),
            line: Arc::default(),
            unproven: Mutex::new(Unproven::default()),
            changes,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The slot is this host's from now on, under a fence that it has raised. What it has of it in memory from
    /// before goes: another host may have had the slot in between.
    pub(crate) fn take(&self, epoch: u64) {
        self.leave();
        {
            let _directory = self.directory.lock();
            self.epoch.store(epoch, Ordering::Release);
            self.doubt();
            self.stand(Standing::Open);
        }
        self.changes.raise();
    }

    /// It is about to be given up: lets no more work of its actors begin.
    pub(crate) fn part(&self) {
        self.change(Standing::Parting, |standing| standing == Standing::Open);
    }

    /// It is not given up after all.
    pub(crate) fn keep(&self) {
        self.change(Standing::Open, |standing| standing == Standing::Parting);
    }

    /// Takes no more requests.
    pub(crate) fn close(&self) {
        self.change(Standing::Closing, |standing| match standing {
            Standing::Open | Standing::Parting => true,
            Standing::Foreign | Standing::Closing => false,
        });
    }

    fn change(&self, to: Standing, may_change: impl Fn(Standing) -> bool) {
        {
            let _directory = self.directory.lock();
            if !may_change(self.standing()) {
                return;
            }
            self.stand(to);
        }
        self.changes.raise();
    }

    /// Work of one of its actors begins, unless the slot is not here or is about to go.
    pub(crate) fn begin_work(&self) -> bool {
        let _directory = self.directory.lock();
        let may_begin = self.standing() == Standing::Open;
        if may_begin {
            self.works.fetch_add(1, Ordering::SeqCst);
        }
        may_begin
    }

    pub(crate) fn end_work(&self) {
        self.works.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether something is at work for its actors.
    pub(crate) fn is_at_work(&self) -> bool {
        self.works.load(Ordering::SeqCst) > 0
    }

    /// Whether everything that the slot's actors took is answered.
    pub(crate) fn is_quiet(&self) -> bool {
        let directory = self.directory.lock();
        directory.values().all(|entry| entry.mailbox.is_empty())
    }

    fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Release);
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Acquire) {
            1 => Standing::Open,
            2 => Standing::Parting,
            3 => Standing::Closing,
            _ => Standing::Foreign,
        }
    }

    /// A commit under the fence was durable, or somebody has looked: the slot was ours then.
    pub(crate) fn prove(&self, proof: Proof) {
        let mut newest = self.proof.lock();
        if newest.is_none_or(|newest| newest.version <= proof.version) {
            *newest = Some(proof);
        }
    }

    /// A commit may or may not have happened: nothing is proven any more.
    pub(crate) fn doubt(&self) {
        *self.proof.lock() = None;
    }

    /// A version that an actor may take for the base of its first commit without reading the fence,
    /// because that commit fails if the fence was raised since. `None` without one that is recent enough
    /// for the store to still check it in some seconds.
    pub(crate) fn proven(&self, now: Instant) -> Option<Version> {
        self.proof(self.epoch(), now, PROOF_AGE_MAX)
    }

    /// A version that an activation may take for the base of its next commit instead of its last one, which is too
    /// long ago for the store to check. `None` without one, or if the activation is not the actor's any more.
    ///
    /// Between its last commit and the proof nobody else can have written to the actor: another host would have raised
    /// the fence, an earlier activation here conflicts with that last commit, and a later one begins, under the
    /// same lock, only after this: what it commits comes after the proof, and conflicts.
    pub(crate) fn later_base(
        &self,
        actor: &ScopedAddress,
        activation: ActorId,
        epoch: u64,
        now: Instant,
    ) -> Option<Version> {
        let directory = self.directory.lock();
        let is_the_actors = directory
            .get(actor)
            .is_some_and(|entry| entry.activation.get_id() == activation);
        is_the_actors.then(|| self.proof(epoch, now, BASE_AGE_MAX))?
    }

    fn proof(&self, epoch: u64, now: Instant, age_max: Duration) -> Option<Version> {
        let proof = (*self.proof.lock())?;
        let age = now.saturating_duration_since(proof.at);
        (proof.epoch == epoch && age < age_max).then_some(proof.version)
    }

    /// Whether it takes requests.
    pub(crate) fn is_open(&self) -> bool {
        match self.standing() {
            Standing::Open | Standing::Parting => true,
            Standing::Foreign | Standing::Closing => false,
        }
    }

    /// Another host has taken the slot that this one took at `epoch`.
    pub(crate) fn lose(&self, epoch: u64) {
        if self.leave_at(Some(epoch)).is_some() {
            tracing::warn!(slot = self.number, epoch, "slot lost to another owner");
        }
    }

    /// The slot is this host's no more: what it has of it in memory may be old, so it goes. Answers the epoch
    /// at which it was.
    pub(crate) fn leave(&self) -> Option<u64> {
        self.leave_at(None)
    }

    /// The same, if it was taken at this epoch.
    fn leave_at(&self, taken_at: Option<u64>) -> Option<u64> {
        let (entries, epoch) = {
            let mut directory = self.directory.lock();
            let epoch = self.epoch();
            if self.standing() == Standing::Foreign || taken_at.is_some_and(|it| it != epoch) {
                return None;
            }
            self.stand(Standing::Foreign);
            (std::mem::take(&mut *directory), epoch)
        };
        let mut activations: Vec<_> = entries.into_values().map(|it| it.activation).collect();
        stop_all(&mut activations);
        if let Some(spare) = self.take_spare() {
            spare.stop(None);
        }
        self.hub.close();
        self.changes.raise();
        Some(epoch)
    }

    /// An activation that has no actor, if there is one. It may have died since.
    pub(crate) fn take_spare(&self) -> Option<ActorRef<Message>> {
        self.spare.lock().take()
    }

    /// Keeps an activation whose actor was let go, unless there is one already: operations come and go
    /// one after the other in a slot, seldom two at a time, and each spare takes some kilobytes.
    pub(crate) fn keep_spare(&self, activation: &ActorRef<Message>) -> bool {
        let mut spare = self.spare.lock();
        if spare.is_some() || !self.is_open() {
            return false;
        }
        *spare = Some(activation.clone());
        true
    }

    /// Removes an activation, unless another one has taken its place.
    pub(crate) fn remove(&self, actor: &ScopedAddress, activation: ActorId) {
        let mut directory = self.directory.lock();
        if directory
            .get(actor)
            .is_some_and(|entry| entry.activation.get_id() == activation)
        {
            directory.remove(actor);
        }
    }

    /// Removes an activation if nobody waits for it. Permits are taken under the same lock, so none of
    /// its requests is lost: the next one finds the next activation.
    pub(crate) fn rest(&self, actor: &ScopedAddress, activation: ActorId) -> bool {
        let mut directory = self.directory.lock();
        let is_free = directory.get(actor).is_some_and(|entry| {
            entry.activation.get_id() == activation && entry.mailbox.is_empty()
        });
        let removed = if is_free {
            directory.remove(actor)
        } else {
            None
        };
        drop(directory);
        removed.is_some()
    }

    /// Removes whatever entry is this activation: for when only its id is known.
    pub(crate) fn remove_dead(&self, activation: ActorId) {
        self.directory
            .lock()
            .retain(|_, entry| entry.activation.get_id() != activation);
    }

    /// Ends activations that nobody has asked since `tick`. Permits are taken under the same lock, so
    /// none of them can be asked in between.
    pub(crate) fn passivate(&self, tick: u64) -> usize {
        let mut idle = Vec::new();
        self.directory.lock().retain(|_, entry| {
            let is_idle = entry.mailbox.is_idle_since(tick);
            if is_idle {
                idle.push(entry.activation.clone());
            }
            !is_idle
        });
        stop_all(&mut idle);
        idle.len()
    }
}

/// In the order in which they began: that of a map is another one each time.
fn stop_all(activations: &mut [ActorRef<Message>]) {
    activations.sort_unstable_by_key(|activation| activation.get_id());
    for activation in activations {
        activation.stop(None);
    }
}

impl Chore {
    const fn new() -> Self {
        Self {
            due_ms: AtomicU64::new(NEVER),
            is_running: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        }
    }

    pub(crate) fn due_ms(&self) -> u64 {
        self.due_ms.load(Ordering::Acquire)
    }

    /// Makes it due at `due_ms` at the latest. Answers whether that is earlier than it was.
    pub(crate) fn schedule(&self, due_ms: u64) -> bool {
        self.due_ms.fetch_min(due_ms, Ordering::AcqRel) > due_ms
    }

    /// Begins a run if it is due and none is under way; what is scheduled from now on is for the next.
    pub(crate) fn begin(&self, now_ms: u64) -> bool {
        if self.due_ms() > now_ms || self.is_running.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.due_ms.store(NEVER, Ordering::Release);
        true
    }

    /// Ends a run; one that failed comes again later and later.
    pub(crate) fn finish(&self, now_ms: u64, succeeded: Result<(), ()>) {
        // From a tenth of a second, doubled up to half a minute: soon enough for a passing trouble,
        // rare enough for a lasting one.
        const BACKOFF_MS: u64 = 100;
        const DOUBLINGS_MAX: u64 = 8;
        match succeeded {
            Ok(()) => self.failures.store(0, Ordering::Relaxed),
            Err(()) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed);
                let wait_ms = BACKOFF_MS << failures.min(DOUBLINGS_MAX);
                self.schedule(now_ms.saturating_add(wait_ms));
            }
        }
        self.is_running.store(false, Ordering::Release);
    }
}
