//! A token bucket, pure: so many operations at once, and as many again in each period.
//!
//! Kept as one moment (GCRA): when the bucket will be full again. The scheduler asks and takes.

use std::time::Duration;

use tokio::time::Instant;

use crate::processing::policy::Rate;

/// A bucket of tokens, full at first.
#[derive(Debug)]
pub(super) struct Bucket {
    /// One token comes in this time.
    interval: Duration,
    /// All tokens but one come in this time.
    burst: Duration,
    /// When it will be full. In the past: it is.
    full_at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let operations = rate.operations.max(1);
        // Rounded up: never more than the rate.
        let nanos = rate.period.as_nanos().div_ceil(u128::from(operations));
        let interval = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).max(1));
        Self {
            interval,
            burst: interval.saturating_mul(operations - 1),
            full_at: None,
        }
    }

    /// Whether there is a token, or when there will be.
    pub(super) fn check(&self, now: Instant) -> Result<(), Instant> {
        let missing = self.missing(now);
        match missing.checked_sub(self.burst) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(now + wait),
        }
    }

    /// Takes a token; `check` has found one.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = Some(now + self.missing(now) + self.interval);
    }

    fn missing(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| {
            full_at.saturating_duration_since(now)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selvedge_cluster::Clock;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_then_one_in_each_interval() {
        let start = Clock::system().monotonic();
        let mut bucket = Bucket::new(Rate {
            operations: 3,
            period: ms(300),
        });
        for _ in 0..3 {
            assert_eq!(bucket.check(start), Ok(()));
            bucket.take(start);
        }
        assert_eq!(bucket.check(start), Err(start + ms(100)));
        assert_eq!(bucket.check(start + ms(100)), Ok(()));
        bucket.take(start + ms(100));
        assert_eq!(bucket.check(start + ms(150)), Err(start + ms(200)));
        // Idle time fills it again, and no more than that.
        let later = start + ms(10_000);
        for _ in 0..3 {
            assert_eq!(bucket.check(later), Ok(()));
            bucket.take(later);
        }
        assert!(bucket.check(later).is_err());
    }

    proptest! {
        /// In any time of a length: at most the burst, and what came in that time.
        #[test]
        fn no_window_has_more_than_its_tokens(
            operations in 1_u32..20,
            period_ms in 1_u64..1_000,
            waits in proptest::collection::vec(0_u64..200, 1..200),
        ) {
            let rate = Rate { operations, period: ms(period_ms) };
            let mut bucket = Bucket::new(rate);
            let mut now = Clock::system().monotonic();
            let mut taken = Vec::new();
            for wait in waits {
                now += ms(wait);
                match bucket.check(now) {
                    Ok(()) => {
                        bucket.take(now);
                        taken.push(now);
                    }
                    Err(until) => prop_assert!(until > now && bucket.check(until).is_ok()),
                }
            }
            for (at, first) in taken.iter().enumerate() {
                for (count, last) in (1_u128..).zip(&taken[at..]) {
                    let time = last.duration_since(*first).as_nanos();
                    let came = time * u128::from(operations) / rate.period.as_nanos();
                    prop_assert!(count <= u128::from(operations) + came);
                }
            }
        }
    }
}
