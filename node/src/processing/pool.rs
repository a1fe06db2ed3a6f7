//! A pool: runs the operations of one type, so many at a time (the bulkhead), the others wait in order.
//!
//! Its queue is a cache of the store: what does not fit is found there again later.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_cluster::actor::ScopedAddress;
use selvedge_protocol::OperationId;
use selvedge_protocol::limits::OPERATION_QUEUE_MAX;

use crate::operation::{FinishedStep, Payload};
use crate::processing::control::Control;
use crate::processing::handler::ErasedHandler;
use crate::processing::policy::Policy;

/// The pool of an operation type.
pub(super) struct Pool {
    pub(super) handler: Arc<dyn ErasedHandler>,
    pub(super) policy: Arc<Policy>,
    queue: Mutex<Queue>,
}

/// An operation that waits for its turn.
pub(super) struct Ready {
    pub(super) actor: ScopedAddress,
    pub(super) control: Arc<Control>,
    pub(super) work: Work,
}

/// What a runner needs to know of the operation.
pub(super) struct Work {
    pub(super) id: OperationId,
    pub(super) input: Arc<str>,
    pub(super) steps: Vec<FinishedStep>,
    /// The number of the attempt to come.
    pub(super) attempt: u32,
    /// No attempt can have been lost in a crash.
    pub(super) is_fresh: bool,
    pub(super) payload: Payload,
    /// The stored payload, when it is at hand.
    pub(super) bytes: Option<Bytes>,
}

struct Queue {
    ready: VecDeque<Ready>,
    running: usize,
    phase: Phase,
    /// Something runnable is in the store and not here.
    is_incomplete: bool,
}

/// How far the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The host recovers: operations offer themselves already.
    Starting,
    Open,
    /// No runner starts any more.
    Closed,
}

/// What became of an offer.
pub(super) enum Queued {
    /// There is a place: run it now.
    Start(Ready),
    Waits,
    /// No room. It will be found in the store.
    Full(Ready),
}

impl Pool {
    pub(super) fn new(handler: Arc<dyn ErasedHandler>, policy: Policy) -> Self {
        Self {
            handler,
            policy: Arc::new(policy),
            queue: Mutex::new(Queue {
                ready: VecDeque::new(),
                running: 0,
                phase: Phase::Starting,
                is_incomplete: false,
            }),
        }
    }

    pub(super) fn queue(&self, ready: Ready) -> Queued {
        let mut queue = self.queue.lock();
        if queue.phase == Phase::Open
            && queue.running < self.policy.concurrency
            && queue.ready.is_empty()
        {
            queue.running += 1;
            return Queued::Start(ready);
        }
        if queue.phase == Phase::Closed || queue.ready.len() >= OPERATION_QUEUE_MAX {
            queue.is_incomplete = true;
            return Queued::Full(ready);
        }
        queue.ready.push_back(ready);
        Queued::Waits
    }

    /// The next operation for a runner that has a place.
    pub(super) fn next(&self) -> Option<Ready> {
        let mut queue = self.queue.lock();
        match queue.phase {
            Phase::Open => queue.ready.pop_front(),
            Phase::Starting | Phase::Closed => None,
        }
    }

    /// Gives a place back. What was queued in the same moment gets it: the caller starts it.
    pub(super) fn leave(&self) -> Option<Ready> {
        let mut queue = self.queue.lock();
        let next = if queue.phase == Phase::Open {
            queue.ready.pop_front()
        } else {
            None
        };
        if next.is_none() {
            queue.running -= 1;
        }
        next
    }

    /// Lets runners start: one for each operation that waits, as far as there are places.
    pub(super) fn open(&self) -> Vec<Ready> {
        let mut queue = self.queue.lock();
        queue.phase = Phase::Open;
        let places = self.policy.concurrency.saturating_sub(queue.running);
        let count = places.min(queue.ready.len());
        queue.running += count;
        queue.ready.drain(..count).collect()
    }

    /// No runner starts any more; what waited is given back.
    pub(super) fn close(&self) -> VecDeque<Ready> {
        let mut queue = self.queue.lock();
        queue.phase = Phase::Closed;
        std::mem::take(&mut queue.ready)
    }

    /// Something runnable of this type may be in the store and not here.
    pub(super) fn look_again(&self) {
        self.queue.lock().is_incomplete = true;
    }

    /// Whether the store is to be looked through. Asking takes the mark away.
    pub(super) fn take_incomplete(&self) -> bool {
        std::mem::take(&mut self.queue.lock().is_incomplete)
    }

    /// Whether it is worth looking for more: half of the queue is free.
    pub(super) fn has_room(&self) -> bool {
        self.queue.lock().ready.len() <= OPERATION_QUEUE_MAX / 2
    }

    pub(super) fn running(&self) -> usize {
        self.queue.lock().running
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.policy)
    }
}
