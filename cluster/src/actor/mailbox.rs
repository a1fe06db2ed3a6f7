//! Permits: ractor's mailboxes have no bound, so every request takes a permit of its actor and of the
//! node first and holds it until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::{ACTOR_MAILBOX_MAX, NODE_REQUESTS_MAX};
use tokio::sync::Notify;

use crate::actor::request::ReplyTo;

/// The requests of the whole node that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Load {
    unanswered: AtomicUsize,
    drained: Notify,
    /// How many wait for mailboxes to become empty: seldom any, so that few answers wake somebody.
    waiting: AtomicUsize,
    emptied: Notify,
}

impl Load {
    /// Completes when no request is unanswered.
    pub(crate) async fn drained(&self) {
        loop {
            let notified = self.drained.notified();
            if self.unanswered.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Completes when `is_quiet`, which looks at mailboxes or at what is at work, says so. What it looks at takes
    /// no more requests, or lets no more work begin.
    pub(crate) async fn quiet(&self, is_quiet: impl Fn() -> bool) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self);
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if is_quiet() {
                return;
            }
            emptied.await;
        }
    }

    /// A mailbox is empty, or some work has ended. Whoever begins to wait after this sees that it is so.
    pub(crate) fn emptied(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.emptied.notify_waiters();
        }
    }
}

struct Waiting<'a>(&'a Load);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The requests of one activated actor that are not answered yet.
#[derive(Debug)]
pub(crate) struct Mailbox {
    load: Arc<Load>,
    unanswered: AtomicU32,
    /// The tick of the node's idle clock at the last request.
    touched: AtomicU64,
}

impl Mailbox {
    pub(crate) fn new(load: Arc<Load>) -> Arc<Self> {
        Arc::new(Self {
            load,
            unanswered: AtomicU32::new(0),
            touched: AtomicU64::new(0),
        })
    }

    /// A permit, unless the actor or the node has too many requests already.
    pub(crate) fn permit(self: &Arc<Self>, tick: u64) -> Option<Permit> {
        if self.unanswered.fetch_add(1, Ordering::Relaxed) >= ACTOR_MAILBOX_MAX {
            self.unanswered.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        if self.load.unanswered.fetch_add(1, Ordering::Relaxed) >= NODE_REQUESTS_MAX {
            self.load.unanswered.fetch_sub(1, Ordering::Relaxed);
            self.unanswered.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.touched.store(tick, Ordering::Relaxed);
        Some(Permit(Arc::clone(self)))
    }

    /// Whether nothing is unanswered.
    pub(crate) fn is_empty(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst) == 0
    }

    /// Whether nothing is unanswered, and nothing was asked since `tick`.
    pub(crate) fn is_idle_since(&self, tick: u64) -> bool {
        self.is_empty() && self.touched.load(Ordering::Relaxed) <= tick
    }
}

/// The right to be in a mailbox; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Mailbox>);

impl Drop for Permit {
    fn drop(&mut self) {
        let before = self.0.unanswered.fetch_sub(1, Ordering::SeqCst);
        let load = &self.0.load;
        if before == 1 {
            load.emptied();
        }
        if load.unanswered.fetch_sub(1, Ordering::Release) == 1 {
            load.drained.notify_waiters();
        }
    }
}

/// Who waits for an answer, and the permit that is held until it is given.
#[derive(Debug)]
pub(crate) struct Caller {
    reply: ReplyTo,
    /// Declared after `reply`, hence given back after the answer was.
    _permit: Option<Permit>,
}

impl Caller {
    pub(crate) const fn new(reply: ReplyTo, permit: Option<Permit>) -> Self {
        Self {
            reply,
            _permit: permit,
        }
    }

    pub(crate) fn answer(self, outcome: Outcome) {
        self.reply.answer(outcome);
    }
}
