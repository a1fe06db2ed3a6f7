//! A circuit breaker per host: after failures in a row a host is left alone for a while, then tried by one
//! call.
//!
//! [`Breaker`] is pure; [`Breakers`] keeps one per host that fails, and none for a host that does not.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_protocol::limits::HTTP_HOSTS_MAX;
use tokio::time::Instant;

/// When a host is left alone, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it.
    pub failures_max: u32,
    /// How long it stays open before one call may try.
    pub open: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures_max: 5,
            // As long as the longest wait of the default retry policy.
            open: Duration::from_secs(30),
        }
    }
}

/// How a call has ended, for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Answered,
    Failed,
    /// Given up before it told anything.
    Unknown,
}

#[derive(Debug)]
struct Breaker {
    failures: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One call is on its way to see.
    HalfOpen,
}

impl Breaker {
    const fn new() -> Self {
        Self {
            failures: 0,
            state: State::Closed,
        }
    }

    /// Whether a call may go; otherwise how long none may.
    fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if until <= now => {
                self.state = State::HalfOpen;
                Ok(())
            }
            State::Open { until } => Err(until - now),
            State::HalfOpen => Err(Duration::ZERO),
        }
    }

    /// Takes the end of a call in.
    fn settle(&mut self, now: Instant, verdict: Verdict, policy: &BreakerPolicy) {
        match verdict {
            Verdict::Answered => *self = Self::new(),
            Verdict::Failed => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= policy.failures_max {
                    let until = now + policy.open;
                    self.state = State::Open { until };
                }
            }
            // The next call tries instead.
            Verdict::Unknown if self.state == State::HalfOpen => {
                self.state = State::Open { until: now };
            }
            Verdict::Unknown => {}
        }
    }

    /// Whether nothing is lost by forgetting it.
    fn is_idle(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => self.failures == 0,
            State::Open { until } => until <= now,
            State::HalfOpen => false,
        }
    }
}

/// The breakers of all hosts that fail.
#[derive(Debug)]
pub(super) struct Breakers {
    policy: BreakerPolicy,
    hosts: Mutex<HashMap<String, Breaker>>,
}

/// A call that may go. Dropped without a verdict, it tells nothing.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breakers: &'a Breakers,
    host: String,
    is_settled: bool,
}

impl Breakers {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Self {
            policy,
            hosts: Mutex::default(),
        }
    }

    /// Lets a call to `host` go, or says how long none may.
    pub(super) fn admit(&self, host: String) -> Result<Pass<'_>, Duration> {
        if let Some(breaker) = self.hosts.lock().get_mut(&host) {
            breaker.admit(Instant::now())?;
        }
        Ok(Pass {
            breakers: self,
            host,
            is_settled: false,
        })
    }

    fn settle(&self, host: &str, verdict: Verdict) {
        let now = Instant::now();
        let mut hosts = self.hosts.lock();
        match verdict {
            Verdict::Answered => {
                hosts.remove(host);
            }
            Verdict::Failed | Verdict::Unknown => {
                if let Some(breaker) = hosts.get_mut(host) {
                    return breaker.settle(now, verdict, &self.policy);
                }
                if verdict == Verdict::Unknown {
                    return;
                }
                if hosts.len() >= HTTP_HOSTS_MAX {
                    hosts.retain(|_, breaker| !breaker.is_idle(now));
                }
                // Past the bound a host goes without: it is called as if there were no breakers.
                if hosts.len() < HTTP_HOSTS_MAX {
                    let mut breaker = Breaker::new();
                    breaker.settle(now, verdict, &self.policy);
                    hosts.insert(host.to_owned(), breaker);
                }
            }
        }
    }
}

impl Pass<'_> {
    pub(super) fn settle(mut self, verdict: Verdict) {
        self.is_settled = true;
        self.breakers.settle(&self.host, verdict);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.breakers.settle(&self.host, Verdict::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Duration = Duration::from_secs(10);

    fn breakers() -> Breakers {
        Breakers::new(BreakerPolicy {
            failures_max: 3,
            open: OPEN,
        })
    }

    fn call(breakers: &Breakers, host: &str, verdict: Verdict) {
        breakers.admit(host.to_owned()).unwrap().settle(verdict);
    }

    fn refused(breakers: &Breakers, host: &str) -> Duration {
        breakers.admit(host.to_owned()).unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_half_opens_and_closes() {
        let breakers = breakers();
        for _ in 0..3 {
            call(&breakers, "a", Verdict::Failed);
        }
        assert_eq!(refused(&breakers, "a"), OPEN);
        call(&breakers, "b", Verdict::Answered);

        tokio::time::advance(OPEN).await;
        let trial = breakers.admit("a".to_owned()).unwrap();
        assert_eq!(refused(&breakers, "a"), Duration::ZERO);
        trial.settle(Verdict::Failed);
        assert_eq!(refused(&breakers, "a"), OPEN);

        tokio::time::advance(OPEN).await;
        call(&breakers, "a", Verdict::Answered);
        call(&breakers, "a", Verdict::Failed);
        call(&breakers, "a", Verdict::Failed);
        call(&breakers, "a", Verdict::Failed);
        assert_eq!(refused(&breakers, "a"), OPEN);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_starts_the_count_anew() {
        let breakers = breakers();
        for _ in 0..10 {
            call(&breakers, "a", Verdict::Failed);
            call(&breakers, "a", Verdict::Failed);
            call(&breakers, "a", Verdict::Answered);
        }
        assert!(breakers.hosts.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_given_up_leaves_its_place() {
        let breakers = breakers();
        for _ in 0..3 {
            call(&breakers, "a", Verdict::Failed);
        }
        tokio::time::advance(OPEN).await;
        drop(breakers.admit("a".to_owned()).unwrap());
        call(&breakers, "a", Verdict::Answered);
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_are_bounded() {
        let breakers = breakers();
        for number in 0..HTTP_HOSTS_MAX + 10 {
            for _ in 0..3 {
                call(&breakers, &number.to_string(), Verdict::Failed);
            }
        }
        assert_eq!(breakers.hosts.lock().len(), HTTP_HOSTS_MAX);
        tokio::time::advance(OPEN).await;
        call(&breakers, "late", Verdict::Failed);
        assert_eq!(breakers.hosts.lock().len(), 1);
    }
}
