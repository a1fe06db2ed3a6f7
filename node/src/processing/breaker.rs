//! A circuit breaker, as a pure state machine: refuses attempts for a while when too many have failed.
//!
//! ```text
//! closed ── failures within the window ──► open ── time ──► half open ── a probe succeeds ──► closed
//!                                            ▲                   │
//!                                            └── a probe fails ──┘
//! ```
//! The scheduler asks it before each start, the handler `http` before each call of a host; both tell it the
//! end. It reads no clock.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::processing::policy::BreakerPolicy;

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BreakerState {
    /// Attempts begin.
    Closed,
    /// None does.
    Open,
    /// A few do, to see whether the handler works again.
    HalfOpen,
}

/// What an attempt says of its handler, or a call of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It works.
    Success,
    /// It does not.
    Failure,
    /// Nothing: the operation was wrong, was cancelled, or went elsewhere.
    Neutral,
}

/// Lets one attempt through; given back at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pass {
    generation: u64,
}

/// A breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// Raised with each change of state: an attempt that began before says nothing about after.
    generation: u64,
}

#[derive(Debug)]
enum State {
    /// The times of the last failures, at most as many as open it.
    Closed {
        failures: VecDeque<Instant>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        probing: u32,
    },
}

/// A breaker that does not let an attempt through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// `None`: until a probe has ended.
    pub(super) until: Option<Instant>,
}

impl Breaker {
    /// A closed one. Passes of another breaker are known by `generation`.
    pub(super) const fn new(policy: BreakerPolicy, generation: u64) -> Self {
        Self {
            policy,
            state: State::Closed {
                failures: VecDeque::new(),
            },
            generation,
        }
    }

    /// Lets an attempt begin; `check` has allowed it. Says so if this changes the state.
    pub(super) fn begin(&mut self, now: Instant) -> (Pass, Option<BreakerState>) {
        assert!(self.check(now).is_ok(), "{self:?} was asked first");
        let mut change = None;
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { .. } => change = Some(self.change(State::HalfOpen { probing: 1 })),
            State::HalfOpen { probing } => *probing += 1,
        }
        let generation = self.generation;
        (Pass { generation }, change)
    }

    /// The end of an attempt. Says so if this changes the state.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a pass is good for one attempt"
    )]
    pub(super) fn end(
        &mut self,
        now: Instant,
        pass: Pass,
        verdict: Verdict,
    ) -> Option<BreakerState> {
        if !self.gave(&pass) {
            return None;
        }
        let policy = self.policy;
        match (&mut self.state, verdict) {
            (State::Closed { failures }, Verdict::Failure) => {
                failures.push_back(now);
                while let Some(first) = failures.front()
                    && now.saturating_duration_since(*first) >= policy.window
                {
                    failures.pop_front();
                }
                let is_past = failures.len() >= usize::try_from(policy.failures).unwrap_or(1);
                is_past.then(|| self.open(now))
            }
            (State::Closed { .. }, Verdict::Success | Verdict::Neutral)
            | (State::Open { .. }, _) => None,
            (State::HalfOpen { .. }, Verdict::Success) => {
                let failures = VecDeque::new();
                Some(self.change(State::Closed { failures }))
            }
            (State::HalfOpen { .. }, Verdict::Failure) => Some(self.open(now)),
            (State::HalfOpen { probing }, Verdict::Neutral) => {
                *probing = probing.saturating_sub(1);
                None
            }
        }
    }

    /// Whether a pass is of this breaker as it stands: one from before its last change is not.
    pub(super) const fn gave(&self, pass: &Pass) -> bool {
        pass.generation == self.generation
    }

    /// Whether it may be forgotten: it remembers nothing that still counts, and keeps nobody from starting.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        match &self.state {
            State::Closed { failures } => failures
                .back()
                .is_none_or(|last| now.saturating_duration_since(*last) >= self.policy.window),
            State::Open { until } => *until <= now,
            State::HalfOpen { .. } => false,
        }
    }

    /// Whether an attempt may begin.
    pub(super) fn check(&self, now: Instant) -> Result<(), Refused> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until } if until <= now => Ok(()),
            State::Open { until } => Err(Refused { until: Some(until) }),
            State::HalfOpen { probing } if probing < self.policy.probes => Ok(()),
            State::HalfOpen { .. } => Err(Refused { until: None }),
        }
    }

    /// How it stands. One whose time is over is half open, though no probe may have come yet.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if until > now => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn open(&mut self, now: Instant) -> BreakerState {
        let until = now + self.policy.open;
        self.change(State::Open { until })
    }

    fn change(&mut self, state: State) -> BreakerState {
        self.generation += 1;
        let name = match &state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        };
        self.state = state;
        name
    }
}

impl BreakerState {
    /// As it is written in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "halfOpen",
        }
    }
}

#[cfg(test)]
mod tests;
