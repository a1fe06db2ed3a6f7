//! The limits that hold starts back: of a pool as a whole, or of one tenant's share of it. Pure.
//!
//! The scheduler asks each before a start, then takes from each.

use std::time::Duration;

use tokio::time::Instant;

use crate::processing::breaker::{Breaker, BreakerState, Pass, Verdict};
use crate::processing::policy::{BreakerPolicy, Policy, Rate};
use crate::processing::rate::Bucket;

/// The part of a policy that decides about starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Limits {
    /// Operations that run at a time; `None`: no limit but that of the pool.
    pub(super) concurrency: Option<usize>,
    pub(super) rate: Option<Rate>,
    pub(super) breaker: Option<BreakerPolicy>,
    pub(super) queue_timeout: Option<Duration>,
}

/// Why the next operation of a tenant does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// As many run as may.
    Concurrency { limit: usize },
    /// As many were started as may be in this time.
    Rate { until: Instant },
    /// The breaker is open, or half open and as many probe as may.
    Breaker { until: Option<Instant> },
}

/// What an attempt gives back to breakers at its end: at most one of them.
#[derive(Debug, Default)]
pub(super) struct Passes {
    /// Of the tenant's own breaker.
    pub(super) own: Option<Pass>,
    /// Of the pool's.
    pub(super) shared: Option<Pass>,
}

/// Limits, and how far they are used.
#[derive(Debug)]
pub(super) struct Gates {
    limits: Limits,
    bucket: Option<Bucket>,
    breaker: Option<Breaker>,
}

impl Hold {
    /// When it is worth asking again; `None`: when an operation has ended.
    pub(super) const fn until(self) -> Option<Instant> {
        match self {
            Self::Concurrency { .. } => None,
            Self::Rate { until } => Some(until),
            Self::Breaker { until } => until,
        }
    }
}

impl Limits {
    /// Those of a pool.
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            concurrency: Some(policy.concurrency),
            rate: policy.rate,
            breaker: policy.breaker,
            queue_timeout: policy.queue_timeout,
        }
    }
}

impl Gates {
    /// Open ones. `generation` tells their breaker from others.
    pub(super) fn new(limits: Limits, generation: u64) -> Self {
        Self {
            bucket: limits.rate.map(Bucket::new),
            breaker: limits
                .breaker
                .map(|policy| Breaker::new(policy, generation)),
            limits,
        }
    }

    /// Changes the limits. What did not change keeps its state.
    pub(super) fn set(&mut self, limits: Limits, generation: u64) {
        if limits.rate != self.limits.rate {
            self.bucket = limits.rate.map(Bucket::new);
        }
        if limits.breaker != self.limits.breaker {
            let policy = limits.breaker;
            self.breaker = policy.map(|policy| Breaker::new(policy, generation));
        }
        self.limits = limits;
    }

    pub(super) fn begin(&mut self, now: Instant) -> Option<(Pass, Option<BreakerState>)> {
        self.breaker.as_mut().map(|breaker| breaker.begin(now))
    }

    pub(super) fn end(
        &mut self,
        now: Instant,
        pass: Pass,
        verdict: Verdict,
    ) -> Option<BreakerState> {
        self.breaker.as_mut()?.end(now, pass, verdict)
    }

    pub(super) fn take_token(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn has_place(&self, running: usize) -> bool {
        self.hold_places(running).is_none()
    }

    pub(super) const fn has_breaker(&self) -> bool {
        self.breaker.is_some()
    }

    pub(super) fn places(&self) -> Option<Hold> {
        let limit = self.limits.concurrency?;
        Some(Hold::Concurrency { limit })
    }

    pub(super) fn hold_places(&self, running: usize) -> Option<Hold> {
        let limit = self.limits.concurrency?;
        (running >= limit).then_some(Hold::Concurrency { limit })
    }

    pub(super) fn hold_rate(&self, now: Instant) -> Option<Hold> {
        let until = self.bucket.as_ref()?.check(now).err()?;
        Some(Hold::Rate { until })
    }

    pub(super) fn hold_breaker(&self, now: Instant) -> Option<Hold> {
        let refused = self.breaker.as_ref()?.check(now).err()?;
        let until = refused.until;
        Some(Hold::Breaker { until })
    }

    /// How the breaker stands, and until when it is open.
    pub(super) fn breaker(&self, now: Instant) -> Option<(BreakerState, Option<Instant>)> {
        let breaker = self.breaker.as_ref()?;
        let refused = breaker.check(now).err();
        Some((
            breaker.state(now),
            refused.and_then(|refused| refused.until),
        ))
    }
}
