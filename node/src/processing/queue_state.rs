//! How an operation stands that waits in its pool, for whoever explains why.

use selvedge_protocol::Tenant;
use tokio::time::Instant;

use crate::processing::breaker::BreakerState;
use crate::processing::gates::Hold;
use crate::processing::pool::Pool;
use crate::processing::ready::Ready;
use crate::processing::runner::Job;

/// An operation that waits in the queue of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueState {
    /// Among its tenant's operations of the type, from 1.
    pub position: usize,
    pub waiting_for: WaitingFor,
    /// The breaker that it meets, if there is one.
    pub breaker: Option<BreakerView>,
}

/// What holds the next operation of a tenant back. Times are Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// Nothing does: its turn comes.
    Turn,
    /// As many run as may.
    Concurrency { limit: usize },
    /// As many were started as may be in this time.
    Rate { until_ms: u64 },
    /// The breaker is open; without a time, it is half open and waits for its probes.
    Breaker { until_ms: Option<u64> },
}

/// A breaker, and until when it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerView {
    pub state: BreakerState,
    pub until_ms: Option<u64>,
}

/// One moment on both clocks: what the queue knows by one is told by the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) wall_ms: u64,
}

impl Moment {
    fn wall_ms(self, at: Instant) -> u64 {
        let wait = at.saturating_duration_since(self.now).as_millis();
        self.wall_ms
            .saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

impl Pool {
    /// The breaker that a tenant's operations meet.
    pub(super) fn breaker(&self, moment: Moment, tenant: &Tenant) -> Option<BreakerView> {
        let queue = self.seen()?;
        let (state, until) = queue.lock().breaker(moment.now, tenant)?;
        Some(BreakerView {
            state,
            until_ms: until.map(|until| moment.wall_ms(until)),
        })
    }

    /// The tenant's operation that `is_it` finds, if it waits here. Looks through all of the tenant's.
    pub(super) fn queue_state(
        &self,
        moment: Moment,
        tenant: &Tenant,
        is_it: impl Fn(&Ready) -> bool,
    ) -> Option<QueueState> {
        let queue = self.seen()?;
        let found = queue.lock().standing(moment.now, tenant, |job| match job {
            Job::Own(ready) => is_it(ready),
            Job::Lent(..) | Job::Guest(_) => false,
        });
        let found = found?;
        Some(QueueState {
            position: found.position,
            waiting_for: match found.hold {
                None => WaitingFor::Turn,
                Some(Hold::Concurrency { limit }) => WaitingFor::Concurrency { limit },
                Some(Hold::Rate { until }) => WaitingFor::Rate {
                    until_ms: moment.wall_ms(until),
                },
                Some(Hold::Breaker { until }) => WaitingFor::Breaker {
                    until_ms: until.map(|until| moment.wall_ms(until)),
                },
            },
            breaker: self.breaker(moment, tenant),
        })
    }
}
