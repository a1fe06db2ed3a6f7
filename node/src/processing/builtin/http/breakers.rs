//! A circuit breaker per host: after failures in a row a host is left alone for a while, then tried by one
//! call.
//!
//! The state machine is [`Breaker`], the same that the pools use. [`Breakers`] is a bounded map of them, and
//! makes "in a row" of "within the window": a host that answers is forgotten, its failures with it. What
//! began before a host was forgotten, or before its breaker changed, says nothing about after.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_protocol::limits::{HTTP_HOSTS_MAX, HTTP_TIMEOUT_MS_MAX};
use tokio::time::Instant;

use crate::processing::BreakerPolicy;
use crate::processing::breaker::{self, Breaker, Verdict};

/// Failures in a row after which a host is left alone, unless the configuration says otherwise.
const FAILURES: u32 = 5;

/// The policy of a host's breaker, unless the configuration says otherwise.
pub(super) fn policy() -> BreakerPolicy {
    BreakerPolicy {
        failures: FAILURES,
        // So many calls one after the other that all take the longest time to fail.
        window: Duration::from_millis(u64::from(FAILURES) * HTTP_TIMEOUT_MS_MAX),
        // As long as the longest wait of the default retry policy, and one call that tries then.
        ..BreakerPolicy::default()
    }
}

/// The breakers of all hosts that fail, or are being called.
#[derive(Debug)]
pub(super) struct Breakers {
    policy: BreakerPolicy,
    hosts: Mutex<Hosts>,
}

#[derive(Debug, Default)]
struct Hosts {
    breakers: HashMap<String, Breaker>,
    /// The last that was given to a breaker: passes of a forgotten one are not the next one's.
    generation: u64,
}

/// A call that may go. Dropped without a verdict, it tells nothing.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breakers: &'a Breakers,
    host: String,
    /// `None` once it is settled, and where there is no room for the host.
    pass: Option<breaker::Pass>,
}

impl Breakers {
    /// A policy that lets nothing through, or leaves a host alone for good, is read as the least that does not.
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Self {
            policy: BreakerPolicy {
                failures: policy.failures.max(1),
                probes: policy.probes.max(1),
                ..policy
            },
            hosts: Mutex::default(),
        }
    }

    /// Lets a call to `host` go, or says how long none may.
    pub(super) fn admit(&self, host: String) -> Result<Pass<'_>, Duration> {
        let now = Instant::now();
        let mut hosts = self.hosts.lock();
        let pass = match hosts.breaker(&host, now, self.policy) {
            Some(breaker) => {
                breaker.check(now).map_err(|refused| {
                    // Until the call that tries has ended, nobody knows how long.
                    refused.until.map_or(Duration::ZERO, |until| until - now)
                })?;
                Some(breaker.begin(now).0)
            }
            None => None,
        };
        Ok(Pass {
            breakers: self,
            host,
            pass,
        })
    }

    fn settle(&self, host: &str, pass: breaker::Pass, verdict: Verdict) {
        let mut hosts = self.hosts.lock();
        let Some(breaker) = hosts.breakers.get_mut(host) else {
            return;
        };
        let is_present = breaker.gave(&pass);
        breaker.end(Instant::now(), pass, verdict);
        if is_present && verdict == Verdict::Success {
            hosts.breakers.remove(host);
        }
    }
}

impl Hosts {
    /// The breaker of a host. Past the bound there is none: the host is called as if there were no breakers.
    fn breaker(&mut self, host: &str, now: Instant, policy: BreakerPolicy) -> Option<&mut Breaker> {
        if !self.breakers.contains_key(host) {
            if self.breakers.len() >= HTTP_HOSTS_MAX {
                self.breakers.retain(|_, breaker| !breaker.is_idle(now));
            }
            if self.breakers.len() >= HTTP_HOSTS_MAX {
                return None;
            }
            // Each raises its own with its changes, and never by so much.
            self.generation += 1 << 32;
            let breaker = Breaker::new(policy, self.generation);
            self.breakers.insert(host.to_owned(), breaker);
        }
        self.breakers.get_mut(host)
    }
}

impl Pass<'_> {
    pub(super) fn settle(mut self, verdict: Verdict) {
        self.end(verdict);
    }

    fn end(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            self.breakers.settle(&self.host, pass, verdict);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.end(Verdict::Neutral);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Duration = Duration::from_secs(10);

    fn breakers() -> Breakers {
        Breakers::new(BreakerPolicy {
            failures: 3,
            open: OPEN,
            ..policy()
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
            call(&breakers, "a", Verdict::Failure);
        }
        assert_eq!(refused(&breakers, "a"), OPEN);
        call(&breakers, "b", Verdict::Success);

        tokio::time::advance(OPEN).await;
        let trial = breakers.admit("a".to_owned()).unwrap();
        assert_eq!(refused(&breakers, "a"), Duration::ZERO);
        trial.settle(Verdict::Failure);
        assert_eq!(refused(&breakers, "a"), OPEN);

        tokio::time::advance(OPEN).await;
        call(&breakers, "a", Verdict::Success);
        call(&breakers, "a", Verdict::Failure);
        call(&breakers, "a", Verdict::Failure);
        call(&breakers, "a", Verdict::Failure);
        assert_eq!(refused(&breakers, "a"), OPEN);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_starts_the_count_anew() {
        let breakers = breakers();
        for _ in 0..10 {
            call(&breakers, "a", Verdict::Failure);
            call(&breakers, "a", Verdict::Failure);
            call(&breakers, "a", Verdict::Success);
        }
        assert!(breakers.hosts.lock().breakers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_failures_one_after_the_other_count() {
        let breakers = Breakers::new(policy());
        for _ in 0..FAILURES {
            let pass = breakers.admit("a".to_owned()).unwrap();
            tokio::time::advance(Duration::from_millis(HTTP_TIMEOUT_MS_MAX)).await;
            pass.settle(Verdict::Failure);
        }
        assert_eq!(refused(&breakers, "a"), policy().open);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_side_by_side_count_once_each_and_not_past_a_change() {
        let breakers = breakers();
        let admit = || breakers.admit("a".to_owned()).unwrap();
        let [early, late, one, two, three] = [(); 5].map(|()| admit());
        for pass in [one, two, three] {
            pass.settle(Verdict::Failure);
        }
        // What began before it opened neither closes it nor keeps it open for longer.
        early.settle(Verdict::Success);
        tokio::time::advance(OPEN / 2).await;
        late.settle(Verdict::Failure);
        assert_eq!(refused(&breakers, "a"), OPEN / 2);
        // A host that is forgotten begins anew, whatever is still on its way.
        tokio::time::advance(OPEN / 2).await;
        call(&breakers, "a", Verdict::Success);
        let [answered, old] = [(); 2].map(|()| admit());
        answered.settle(Verdict::Success);
        call(&breakers, "a", Verdict::Failure);
        call(&breakers, "a", Verdict::Failure);
        old.settle(Verdict::Failure);
        call(&breakers, "a", Verdict::Neutral);
        call(&breakers, "a", Verdict::Failure);
        assert_eq!(refused(&breakers, "a"), OPEN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_given_up_leaves_its_place() {
        let breakers = Breakers::new(BreakerPolicy {
            failures: 0,
            open: OPEN,
            probes: 0,
            ..policy()
        });
        call(&breakers, "a", Verdict::Failure);
        tokio::time::advance(OPEN).await;
        drop(breakers.admit("a".to_owned()).unwrap());
        call(&breakers, "a", Verdict::Success);
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_are_bounded() {
        let breakers = breakers();
        for number in 0..HTTP_HOSTS_MAX + 10 {
            for _ in 0..3 {
                call(&breakers, &number.to_string(), Verdict::Failure);
            }
        }
        let known = || breakers.hosts.lock().breakers.len();
        assert_eq!(known(), HTTP_HOSTS_MAX);
        tokio::time::advance(OPEN).await;
        call(&breakers, "late", Verdict::Failure);
        assert_eq!(known(), 1);
        // Nor do hosts fill it that were never heard of again.
        for number in 0..HTTP_HOSTS_MAX {
            call(&breakers, &number.to_string(), Verdict::Neutral);
        }
        assert!(known() <= HTTP_HOSTS_MAX);
        call(&breakers, "new", Verdict::Failure);
        assert_eq!(known(), 3);
    }
}
