//! What an operation's actor and its runner share while an offer stands: who has it, and whether it is
//! to stop. In memory only; the record never depends on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::operation::{FinishedStep, Record};

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const WITHDRAWN: u8 = 2;
const ENDED: u8 = 3;

/// One offer of one operation to its pool.
#[derive(Debug)]
pub(crate) struct Control {
    /// Random, so that a runner of another offer or another node cannot pass for this one.
    offer: u64,
    /// The number of the run that it is for.
    run: u32,
    state: AtomicU8,
    stop: AtomicBool,
    /// The operation was offered again while this runner was about to end.
    missed: AtomicBool,
    stopped: Notify,
    /// A client has paused the operation: no further step is to begin.
    is_paused: AtomicBool,
    /// The same, as this node is about to let it go.
    is_parting: AtomicBool,
    /// Results of steps that others finished, by name.
    delivered: Mutex<Vec<(Arc<str>, Arc<str>)>>,
    /// Tells of a change to these two.
    changed: Notify,
    /// The other node that executes it.
    node: Mutex<Option<Arc<str>>>,
}

impl Control {
    pub(crate) fn new(offer: u64, run: u32) -> Self {
        Self {
            offer,
            run,
            state: AtomicU8::new(QUEUED),
            stop: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            stopped: Notify::new(),
            is_paused: AtomicBool::new(false),
            is_parting: AtomicBool::new(false),
            delivered: Mutex::new(Vec::new()),
            changed: Notify::new(),
            node: Mutex::default(),
        }
    }

    /// The number that reports carry.
    pub(crate) const fn offer(&self) -> u64 {
        self.offer
    }

    pub(crate) const fn run(&self) -> u32 {
        self.run
    }

    /// Takes the operation up; `false` when it was withdrawn before.
    pub(crate) fn take(&self) -> bool {
        self.swap(QUEUED, RUNNING)
    }

    /// Takes the offer back; `false` when a runner has it.
    pub(crate) fn withdraw(&self) -> bool {
        self.swap(QUEUED, WITHDRAWN) || !self.is_running()
    }

    pub(crate) fn end(&self) {
        self.state.store(ENDED, Ordering::SeqCst);
    }

    /// Asks the runner to drop its handler.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.stopped.notify_one();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Completes when the runner is asked to stop.
    pub(crate) async fn stopped(&self) {
        while !self.is_stopped() {
            self.stopped.notified().await;
        }
    }

    /// Lets no further step begin as the operation is paused, or lets them begin again.
    pub(crate) fn pause(&self, is_paused: bool) {
        if self.is_paused.swap(is_paused, Ordering::AcqRel) != is_paused {
            self.changed.notify_waiters();
        }
    }

    /// The same, as this node is about to let the operation go. Answers whether that is news.
    pub(super) fn part(&self, is_parting: bool) -> bool {
        let is_news = self.is_parting.swap(is_parting, Ordering::AcqRel) != is_parting;
        if is_news {
            self.changed.notify_waiters();
        }
        is_news
    }

    pub(super) fn is_parting(&self) -> bool {
        self.is_parting.load(Ordering::Acquire)
    }

    /// Whether no further step is to begin.
    pub(crate) fn is_held(&self) -> bool {
        self.is_paused.load(Ordering::Acquire) || self.is_parting()
    }

    /// Gives the runner the results of all steps; it knows which of them it waits for.
    pub(crate) fn deliver(&self, record: &Record) {
        let steps = record.steps.iter();
        let all = steps.map(|step| (Arc::clone(&step.name), Arc::clone(&step.result)));
        *self.delivered.lock() = all.collect();
        self.changed.notify_waiters();
    }

    /// The result of a step that somebody else finished during the run.
    pub(crate) fn delivered(&self, step: &str) -> Option<Arc<str>> {
        let delivered = self.delivered.lock();
        let found = delivered.iter().find(|(name, _)| **name == *step);
        found.map(|(_, result)| Arc::clone(result))
    }

    /// The same for a runner that is told of them one by one.
    pub(super) fn add_delivered(&self, steps: Vec<FinishedStep>) {
        let steps = steps.into_iter().map(|step| (step.name, step.result));
        self.delivered.lock().extend(steps);
        self.changed.notify_waiters();
    }

    /// All steps that were delivered, but for these.
    pub(super) fn all_delivered(&self, but: &HashSet<Arc<str>>) -> Vec<(Arc<str>, Arc<str>)> {
        let delivered = self.delivered.lock();
        let all = delivered.iter().filter(|(name, _)| !but.contains(name));
        all.cloned().collect()
    }

    /// Another node executes the operation.
    pub(super) fn set_node(&self, node: Option<Arc<str>>) {
        *self.node.lock() = node;
    }

    /// The other node that executes the operation, if one does.
    pub(crate) fn node(&self) -> Option<Arc<str>> {
        self.node.lock().clone()
    }

    /// Completes at the next change of what is held or delivered. To be made before one looks.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    /// Whether a runner has begun a run that the record does not know of yet.
    pub(crate) fn is_ahead_of(&self, record: &Record) -> bool {
        self.run > record.run && self.is_running()
    }

    /// Whether a runner has the operation, or will.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.state.load(Ordering::SeqCst), QUEUED | RUNNING)
    }

    /// Asks for another offer at the end of this one; `false` when it has ended before it could hear.
    pub(crate) fn miss(&self) -> bool {
        self.missed.store(true, Ordering::SeqCst);
        self.is_alive()
    }

    pub(super) fn was_missed(&self) -> bool {
        self.missed.load(Ordering::SeqCst)
    }

    fn swap(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
