//! What a node may let through of a limit that holds for the whole cluster, without asking first. Pure: time is an
//! argument, nanoseconds since any beginning; all of it is atomic numbers, so that a request takes a token on any thread.
//!
//! A lease is a line of credit. A node lets through up to one batch more than the owner of the limit has taken from its
//! bucket for it, tells the owner what it owes, and owes so much less once that was taken ([`Bucket`]). What cannot be
//! paid stays owed; a node that owes a batch lets nothing through. So it holds nothing that another node lacks, and a
//! limit that nobody uses costs nothing.
//!
//! # The bound
//!
//! Over any time of `T` seconds, all nodes together let through at most
//!
//! ```text
//! rate × T  +  burst  +  nodes × batch          batch = rate × 100 ms, at least 1, at most the burst
//! ```
//!
//! where a node that starts again within that time counts as one more, for it has forgotten what it owed.
//!
//! Why: what a node lets through raises what it owes by one. What it owes goes down only by what the owner says that
//! it took for it, and is never below nothing and never above a batch. So over any time a node lets through at most
//! what was taken for it and then told to it, and one batch. An answer that is lost was taken and not told: it lets
//! less through.
//!
//! What was taken and told: an owner makes its answer before it looks whether it is the owner still, so all that it
//! took and told, it took while its slot was its own. One owner's takes are over before the next one's begin, and
//! a bucket begins empty: of all owners within the time only the first can have had a burst when it began. What the
//! bucket of the first gave is `rate × t + burst` over its part `t` of the time, what each other gave is `rate × t`.
//! What was taken just before the time began and told within it was owed before it began, which is part of the one
//! batch: the credit that it freed is what was used up at the beginning.
//!
//! A rate that is changed within the time counts with the larger of both. The clocks of owners measure the time: they
//! are taken to run equally fast.
//!
//! Bytes and frames are counted once they have come, and nothing more is read of a connection that has brought too many:
//! they may be over the bound by one read of each connection.
//!
//! [`Bucket`]: super::bucket::Bucket

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limit::rate::Rate;

/// The line of credit of one node, of one party, for one thing.
#[derive(Debug)]
pub(super) struct Lease {
    /// What may be owed; [`FREE`]: nothing is limited.
    batch: AtomicU64,
    /// What was let through and the owner has not taken yet.
    owed: AtomicU64,
    /// Whether somebody sees to it that the owner is told.
    is_tended: AtomicBool,
    /// From when on something will be let through again, as far as it is known.
    next_ns: AtomicU64,
    /// Whether the owner did not answer when it was asked last.
    is_cut_off: AtomicBool,
    /// Half a batch is owed: worth telling.
    worth_telling: Notify,
    /// The limit is another.
    changed: Notify,
    rate: Mutex<Option<Rate>>,
}

/// What came of asking for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// There is no limit.
    Free,
    /// It is let through.
    Granted,
    /// The same, and the caller has somebody tell the owner of the limit.
    GrantedTend,
    Refused,
}

/// No limit.
const FREE: u64 = u64::MAX;

impl Default for Lease {
    fn default() -> Self {
        Self {
            batch: AtomicU64::new(FREE),
            owed: AtomicU64::new(0),
            is_tended: AtomicBool::new(false),
            next_ns: AtomicU64::new(0),
            is_cut_off: AtomicBool::new(false),
            worth_telling: Notify::new(),
            changed: Notify::new(),
            rate: Mutex::new(None),
        }
    }
}

impl Lease {
    /// From now on this is the limit. What is owed stays owed, unless there is no limit any more.
    pub(super) fn set(&self, rate: Option<Rate>) {
        let mut present = self.rate.lock();
        if *present == rate {
            return;
        }
        *present = rate;
        self.batch
            .store(rate.map_or(FREE, |rate| rate.batch()), Ordering::Relaxed);
        if rate.is_none() {
            self.owed.store(0, Ordering::Relaxed);
        }
        // What was known of another rate says nothing of this one.
        self.next_ns.store(0, Ordering::Relaxed);
        self.worth_telling.notify_one();
        self.changed.notify_one();
    }

    /// Takes a token, if what is owed lets it through.
    pub(super) fn take(&self) -> Taken {
        let batch = self.batch.load(Ordering::Relaxed);
        if batch == FREE {
            return Taken::Free;
        }
        let mut owed = self.owed.load(Ordering::Relaxed);
        loop {
            if owed >= batch {
                return Taken::Refused;
            }
            match self.owed.compare_exchange_weak(
                owed,
                owed + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return self.taken(owed, 1, batch),
                Err(present) => owed = present,
            }
        }
    }

    /// Counts what has come already, over the limit too.
    pub(super) fn charge(&self, tokens: u64) -> Taken {
        let batch = self.batch.load(Ordering::Relaxed);
        if batch == FREE {
            return Taken::Free;
        }
        let before = self.owed.fetch_add(tokens, Ordering::Relaxed);
        self.taken(before, tokens, batch)
    }

    /// Gives back what was taken and then not used.
    pub(super) fn give_back(&self) {
        let less = |owed: u64| Some(owed.saturating_sub(1));
        let _ = self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn taken(&self, before: u64, tokens: u64, batch: u64) -> Taken {
        let half = batch.div_ceil(2);
        if before < half && before + tokens >= half {
            self.worth_telling.notify_one();
        }
        if self.is_tended.load(Ordering::Relaxed) || self.is_tended.swap(true, Ordering::AcqRel) {
            Taken::Granted
        } else {
            Taken::GrantedTend
        }
    }

    /// Whether more has come than may be owed, as it may of what is charged.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > self.batch.load(Ordering::Relaxed)
    }

    /// What may still be let through.
    pub(super) fn remaining(&self) -> u64 {
        let batch = self.batch.load(Ordering::Relaxed);
        batch.saturating_sub(self.owed.load(Ordering::Relaxed))
    }

    /// In how many nanoseconds it is worth coming back.
    pub(super) fn wait_ns(&self, now_ns: u64) -> u64 {
        let next_ns = self.next_ns.load(Ordering::Relaxed);
        next_ns.saturating_sub(now_ns).max(WAIT_NS_MIN)
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        *self.rate.lock()
    }

    /// Whether it is as if it were new, so that forgetting it forgets nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.owed.load(Ordering::Relaxed) == 0 && !self.is_tended.load(Ordering::Acquire)
    }

    // What follows is for the one who tends it.

    /// What the owner is to be told; `None`: nothing is owed, and nobody tends it from now on.
    pub(super) fn to_tell(&self) -> Option<u64> {
        loop {
            let owed = self.owed.load(Ordering::Relaxed);
            if owed > 0 {
                return Some(owed);
            }
            self.is_tended.store(false, Ordering::Release);
            // Somebody may have taken one in between, and seen that it was tended.
            if self.owed.load(Ordering::Acquire) == 0 || self.is_tended.swap(true, Ordering::AcqRel)
            {
                return None;
            }
        }
    }

    /// Completes when it is worth telling the owner before the time for it.
    pub(super) async fn worth_telling(&self) {
        loop {
            let batch = self.batch.load(Ordering::Relaxed);
            if self.owed.load(Ordering::Relaxed) >= batch.div_ceil(2) || batch == FREE {
                return;
            }
            self.worth_telling.notified().await;
        }
    }

    /// Completes when the limit has become another.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The owner is asked now, and takes about so long to answer. It may have nothing: whoever comes meanwhile is told
    /// to wait for that as well, but for no more than a second, as slow limits mostly have what they have saved.
    pub(super) fn asked(&self, now_ns: u64, way_ns: u64) {
        let empty = self.rate().map_or(0, |rate| {
            let half = rate.batch().div_ceil(2);
            rate.interval_ns().saturating_mul(half).min(DOUBT_NS_MAX)
        });
        let next_ns = now_ns.saturating_add(way_ns).saturating_add(empty);
        self.next_ns.fetch_max(next_ns, Ordering::Relaxed);
    }

    /// The owner took so much, and more is there in so long.
    pub(super) fn paid(&self, tokens: u64, now_ns: u64, wait_ns: u64) {
        let less = |owed: u64| Some(owed.saturating_sub(tokens));
        let _ = self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.is_cut_off.store(false, Ordering::Relaxed);
        self.next_ns
            .store(now_ns.saturating_add(wait_ns), Ordering::Relaxed);
    }

    /// The owner did not answer, and is asked again in so long.
    pub(super) fn cut_off(&self, now_ns: u64, wait_ns: u64) {
        self.is_cut_off.store(true, Ordering::Relaxed);
        self.next_ns
            .store(now_ns.saturating_add(wait_ns), Ordering::Relaxed);
    }
}

/// What a client that comes while the owner is asked may wait beyond the answer.
const DOUBT_NS_MAX: u64 = 1_000_000_000;

/// Less than a round trip between machines is not worth waiting for.
const WAIT_NS_MIN: u64 = 1_000_000;

#[cfg(test)]
mod tests;
