//! A token bucket of one node alone, as one atomic number (GCRA): the moment at which it will be full. Pure: time is an
//! argument, nanoseconds since any beginning. Accounts have one for each thing that is limited.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limit::rate::Rate;

/// How much has been taken. Full at first.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

/// How fast it fills, and how full it gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    interval_ns: u64,
    burst_ns: u64,
}

impl Pace {
    pub(super) const fn of(rate: Rate) -> Self {
        let interval_ns = rate.interval_ns();
        Self {
            interval_ns,
            burst_ns: interval_ns.saturating_mul(rate.burst()),
        }
    }
}

impl Meter {
    /// Takes a token, or says in how many nanoseconds there is one.
    pub(super) fn take(&self, now_ns: u64, pace: Pace) -> Result<(), u64> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now_ns) + pace.interval_ns;
            let ahead = next - now_ns;
            if ahead > pace.burst_ns {
                return Err(ahead - pace.burst_ns);
            }
            // It orders nothing but itself.
            match self
                .0
                .compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(present) => full_at = present,
            }
        }
    }

    /// Counts what has come already, over the limit too.
    pub(super) fn charge(&self, now_ns: u64, pace: Pace, tokens: u64) {
        let cost = pace.interval_ns.saturating_mul(tokens);
        let later = |full_at: u64| Some(full_at.max(now_ns).saturating_add(cost));
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// In how many nanoseconds what was charged is within the limit.
    pub(super) fn overdue(&self, now_ns: u64, pace: Pace) -> u64 {
        let ahead = self.0.load(Ordering::Relaxed).saturating_sub(now_ns);
        ahead.saturating_sub(pace.burst_ns)
    }

    /// Whether it is as if nothing had ever been taken.
    pub(super) fn is_full(&self, now_ns: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now_ns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(text: &str, burst: u64) -> Pace {
        let rate: Rate = text.parse().unwrap();
        Pace::of(rate.with_burst(burst).unwrap())
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_then_one_in_each_interval() {
        let (meter, pace) = (Meter::default(), pace("10/s", 3));
        let now = 5_000 * MS;
        for _ in 0..3 {
            assert_eq!(meter.take(now, pace), Ok(()));
        }
        assert_eq!(meter.take(now, pace), Err(100 * MS));
        assert_eq!(meter.take(now + 40 * MS, pace), Err(60 * MS));
        assert_eq!(meter.take(now + 100 * MS, pace), Ok(()));
        assert!(!meter.is_full(now + 399 * MS));
        assert!(meter.is_full(now + 400 * MS));
    }

    #[test]
    fn what_came_already_is_waited_for() {
        let (meter, pace) = (Meter::default(), pace("1000/s", 100));
        meter.charge(0, pace, 100);
        assert_eq!(meter.overdue(0, pace), 0);
        meter.charge(0, pace, 50);
        assert_eq!(meter.overdue(0, pace), 50 * MS);
        assert_eq!(meter.overdue(20 * MS, pace), 30 * MS);
        assert_eq!(meter.overdue(50 * MS, pace), 0);
    }

    proptest! {
        /// In any time of a length: at most the burst, and what came in that time. And whoever waits as told gets in.
        #[test]
        fn no_window_has_more_than_its_tokens(
            tokens in 1_u64..2_000,
            burst in 1_u64..50,
            waits in proptest::collection::vec(0_u64..30_000_000, 1..200),
        ) {
            let rate: Rate = format!("{tokens}/s").parse().unwrap();
            let rate = rate.with_burst(burst).unwrap();
            let (meter, pace) = (Meter::default(), Pace::of(rate));
            let mut now = 1;
            let mut taken = Vec::new();
            for wait in waits {
                now += wait;
                match meter.take(now, pace) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        now += wait;
                        prop_assert!(meter.take(now, pace).is_ok());
                        taken.push(now);
                    }
                }
            }
            for (at, first) in taken.iter().enumerate() {
                for (count, last) in (1_u64..).zip(&taken[at..]) {
                    let came = (last - first) * tokens / 1_000_000_000;
                    prop_assert!(count <= burst + came);
                }
            }
        }
    }
}
