//! How operations of one type are run: how many at a time, how often, for how long. Data, no code runs
//! here but the arithmetic of the backoff.

use std::time::Duration;

use selvedge_protocol::limits::RETENTION_MS;

/// The policy of an operation type, as an application registers it. A tenant may change it at run time,
/// by a patch, within what its application allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Operations of the type that this node runs at a time: the bulkhead.
    pub concurrency: usize,
    /// Operations of the type that all nodes together run at a time; `None` is no limit but that of each. It is
    /// divided over the nodes that run the type: as evenly as it goes, the rest to the first by name. While
    /// nodes come or go, some may know of it before others: then as many more run as the parts of those that
    /// have just come or gone, for a second or two, and those that run already go on.
    pub cluster_concurrency: Option<usize>,
    /// Operations of the type that this node starts in a time; `None` is as many as come.
    pub rate: Option<Rate>,
    pub retry: Retry,
    /// One try of one step may take this long.
    pub step_timeout: Duration,
    /// A step that gives no sign of life for this long has failed: another attempt is due. `None`: it need
    /// not give any.
    pub heartbeat_timeout: Option<Duration>,
    /// The operation fails unless it is final after this long; `None` is never.
    pub total_timeout: Option<Duration>,
    /// The operation fails unless a runner takes it up this long after it could run; `None` is never.
    pub queue_timeout: Option<Duration>,
    /// Stops attempts for a while when too many fail.
    pub breaker: Option<BreakerPolicy>,
    /// How long final operations are kept; `None` is for good. At least 24 hours, the retention of command
    /// ids.
    pub retention: Option<Duration>,
}

/// A token bucket: `operations` may start at once, and as many again in each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub operations: u32,
    pub period: Duration,
}

/// When a failed attempt is followed by another.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included; finishing a step starts the count anew.
    pub attempts_max: u32,
    pub initial: Duration,
    pub factor: f64,
    pub max: Duration,
    /// Codes of errors that no other attempt follows.
    pub final_codes: Vec<String>,
}

/// When a circuit breaker opens, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// It opens when so many attempts failed within `window`.
    pub failures: u32,
    pub window: Duration,
    /// No attempt begins for so long; then it is half open.
    pub open: Duration,
    /// Attempts at a time while it is half open: one that succeeds closes it, one that fails opens it.
    pub probes: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Handlers mostly wait: for others, and at their end for the commit of their result. As
            // many as fill the commits of a store: raw commits gain little past 128 at a time.
            concurrency: 128,
            cluster_concurrency: None,
            rate: None,
            retry: Retry::default(),
            step_timeout: Duration::from_secs(5 * 60),
            heartbeat_timeout: None,
            total_timeout: None,
            queue_timeout: None,
            breaker: None,
            retention: None,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            initial: Duration::from_millis(200),
            factor: 2.0,
            max: Duration::from_secs(30),
            final_codes: Vec::new(),
        }
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 20,
            window: Duration::from_secs(60),
            // The longest wait of the default backoff.
            open: Duration::from_secs(30),
            probes: 1,
        }
    }
}

impl Policy {
    /// What is wrong with a policy that lets nothing run.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        let flaws = [
            (self.concurrency == 0, "a concurrency of 0: use at least 1"),
            (
                self.cluster_concurrency == Some(0),
                "a concurrency over the cluster of 0: use at least 1",
            ),
            (
                self.rate.is_some_and(|rate| rate.operations == 0),
                "a rate of 0 operations: use at least 1",
            ),
            (
                self.rate.is_some_and(|rate| rate.period.is_zero()),
                "a rate without a period: use a second",
            ),
            (
                self.breaker.is_some_and(|breaker| breaker.failures == 0),
                "a breaker that opens after 0 failures: use at least 1",
            ),
            (
                self.breaker.is_some_and(|breaker| breaker.probes == 0),
                "a breaker without probes: use at least 1",
            ),
            (
                self.retention
                    .is_some_and(|retention| retention < Duration::from_millis(RETENTION_MS)),
                "a retention shorter than that of command ids: use at least 24 hours",
            ),
        ];
        let first = flaws.into_iter().find(|(is_wrong, _)| *is_wrong);
        first.map(|(_, flaw)| flaw)
    }
}

impl Retry {
    /// Whether an error with this code ends the operation at once.
    pub fn is_final(&self, code: &str) -> bool {
        self.final_codes.iter().any(|known| known == code)
    }

    /// The wait after the `failures`-th failure in a row: half of the exponential backoff for certain, the
    /// other half by chance, so that what failed together does not come back together.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a wait of milliseconds, bounded by `max`, needs no more than a float has"
    )]
    pub fn delay_ms(&self, failures: u32, random: u64) -> u64 {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let full = (self.initial.as_secs_f64() * self.factor.powi(exponent))
            .clamp(0.0, self.max.as_secs_f64())
            * 1_000.0;
        let share = random as f64 / u64::MAX as f64;
        (full * (0.5 + share / 2.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_to_its_bound_and_keeps_half() {
        let retry = Retry::default();
        assert_eq!(retry.delay_ms(1, 0), 100);
        assert_eq!(retry.delay_ms(1, u64::MAX), 200);
        assert_eq!(retry.delay_ms(2, u64::MAX), 400);
        assert_eq!(retry.delay_ms(100, u64::MAX), 30_000);
        assert_eq!(retry.delay_ms(u32::MAX, 0), 15_000);
    }

    #[test]
    fn a_policy_that_lets_nothing_run_has_a_flaw() {
        let good = Policy {
            rate: Some(Rate {
                operations: 1,
                period: Duration::from_secs(1),
            }),
            breaker: Some(BreakerPolicy::default()),
            ..Policy::default()
        };
        assert_eq!(good.flaw(), None);
        let flaws: [fn(&mut Policy); 7] = [
            |policy| policy.concurrency = 0,
            |policy| policy.cluster_concurrency = Some(0),
            |policy| policy.rate.as_mut().unwrap().operations = 0,
            |policy| policy.rate.as_mut().unwrap().period = Duration::ZERO,
            |policy| policy.breaker.as_mut().unwrap().failures = 0,
            |policy| policy.breaker.as_mut().unwrap().probes = 0,
            |policy| policy.retention = Some(Duration::from_secs(24 * 60 * 60 - 1)),
        ];
        for spoil in flaws {
            let mut policy = good.clone();
            spoil(&mut policy);
            assert!(policy.flaw().unwrap().contains("use"), "{policy:?}");
        }
    }
}
