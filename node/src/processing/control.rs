//! What an operation's actor and its runner share while an offer stands: who has it, and whether it is
//! to stop. In memory only; the record never depends on it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const WITHDRAWN: u8 = 2;
const ENDED: u8 = 3;

/// One offer of one operation to its pool.
#[derive(Debug)]
pub(crate) struct Control {
    /// Random, so that a runner of another offer or another node cannot pass for this one.
    offer: u64,
    /// The number of the attempt that it is for.
    attempt: u32,
    state: AtomicU8,
    stop: AtomicBool,
    /// The operation was offered again while this runner was about to end.
    missed: AtomicBool,
    stopped: Notify,
}

impl Control {
    pub(crate) fn new(offer: u64, attempt: u32) -> Self {
        Self {
            offer,
            attempt,
            state: AtomicU8::new(QUEUED),
            stop: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            stopped: Notify::new(),
        }
    }

    /// The number that reports carry.
    pub(crate) const fn offer(&self) -> u64 {
        self.offer
    }

    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
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

    pub(crate) fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
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
