//! A token bucket of one node alone (GCRA): the moment at which it will be full, as an atomic number. Pure: time is an
//! argument, nanoseconds since any beginning. Accounts have one for each thing that is limited.
//!
//! To look at a clock costs more than all the rest, so tokens of a large burst are drawn from it some at a time, which
//! are then taken without a look. What was drawn and not taken does not lapse: in any time a meter lets through at most its
//! rate, its burst, and one draw ([`DRAW_MAX`], at most a 64th of the burst).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limit::rate::Rate;

/// How much has been taken. Full at first.
#[derive(Debug, Default)]
pub(super) struct Meter {
    full_at: AtomicU64,
    /// Drawn and not taken yet.
    drawn: AtomicU64,
}

/// How fast it fills, and how full it gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    interval_ns: u64,
    burst_ns: u64,
    /// Tokens that are drawn at a time.
    draw: u64,
}

impl Pace {
    pub(super) const fn of(rate: Rate) -> Self {
        let interval_ns = rate.interval_ns();
        let draw = match rate.burst() / 64 {
            0 => 1,
            some if some > DRAW_MAX => DRAW_MAX,
            some => some,
        };
        Self {
            interval_ns,
            burst_ns: interval_ns.saturating_mul(rate.burst()),
            draw,
        }
    }
}

impl Meter {
    /// Takes a token, or says in how many nanoseconds there is one. Looks at the clock if it has to.
    pub(super) fn take(&self, now_ns: impl FnOnce() -> u64, pace: Pace) -> Result<(), u64> {
        let mut drawn = self.drawn.load(Ordering::Relaxed);
        while drawn > 0 {
            match self.drawn.compare_exchange_weak(
                drawn,
                drawn - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(present) => drawn = present,
            }
        }
        self.draw(now_ns(), pace)
    }

    /// Draws some tokens, or one where there are not so many, and takes one of them.
    fn draw(&self, now_ns: u64, pace: Pace) -> Result<(), u64> {
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let from = full_at.max(now_ns);
            let some = from.saturating_add(pace.interval_ns.saturating_mul(pace.draw));
            let (next, tokens) = match some - now_ns <= pace.burst_ns {
                true => (some, pace.draw),
                false => (from + pace.interval_ns, 1),
            };
            let ahead = next - now_ns;
            if ahead > pace.burst_ns {
                return Err(ahead - pace.burst_ns);
            }
            // It orders nothing but itself.
            let swapped = self.full_at.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => {
                    if tokens > 1 {
                        self.drawn.fetch_add(tokens - 1, Ordering::Relaxed);
                    }
                    return Ok(());
                }
                Err(present) => full_at = present,
            }
        }
    }

    /// Counts what has come already, over the limit too.
    pub(super) fn charge(&self, now_ns: u64, pace: Pace, tokens: u64) {
        let cost = pace.interval_ns.saturating_mul(tokens);
        let later = |full_at: u64| Some(full_at.max(now_ns).saturating_add(cost));
        let _ = self
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// In how many nanoseconds what was charged is within the limit.
    pub(super) fn overdue(&self, now_ns: u64, pace: Pace) -> u64 {
        let ahead = self.full_at.load(Ordering::Relaxed).saturating_sub(now_ns);
        ahead.saturating_sub(pace.burst_ns)
    }

    /// Whether it is as if nothing had ever been taken.
    pub(super) fn is_full(&self, now_ns: u64) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now_ns
    }
}

/// Tokens that are drawn at a time, at the most: then the clock costs a nanosecond a token, and what connections that
/// come and go have drawn in vain is small beside what a principal has.
const DRAW_MAX: u64 = 64;

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
            assert_eq!(meter.take(|| now, pace), Ok(()));
        }
        assert_eq!(meter.take(|| now, pace), Err(100 * MS));
        assert_eq!(meter.take(|| now + 40 * MS, pace), Err(60 * MS));
        assert_eq!(meter.take(|| now + 100 * MS, pace), Ok(()));
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
            burst in prop_oneof![1_u64..50, 128_u64..5_000],
            waits in proptest::collection::vec(0_u64..3_000_000, 1..2_000),
        ) {
            let rate: Rate = format!("{tokens}/s").parse().unwrap();
            let rate = rate.with_burst(burst).unwrap();
            let (meter, pace) = (Meter::default(), Pace::of(rate));
            let mut now = 1;
            let mut taken = Vec::new();
            for wait in waits {
                now += wait;
                match meter.take(|| now, pace) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        now += wait;
                        prop_assert!(meter.take(|| now, pace).is_ok());
                        taken.push(now);
                    }
                }
            }
            for (at, first) in taken.iter().enumerate().step_by(37) {
                for (count, last) in (1_u64..).zip(&taken[at..]) {
                    let came = (last - first) * tokens / 1_000_000_000;
                    prop_assert!(count < burst + came + pace.draw);
                }
            }
        }
    }
}
