//! The tokens of a limit at its owner. Pure: time is an argument, nanoseconds since any beginning.
//!
//! It begins empty. Whoever had it before may have given away everything that there was, and nothing of that is stored.

use crate::limit::rate::Rate;

/// What has come and was not taken, at most the burst.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// Tokens, each in as many parts as its period has nanoseconds: no part is lost to rounding.
    parts: u128,
    at_ns: u64,
}

/// What came of a wish for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charged {
    pub(super) tokens: u64,
    /// When the rest of the wish is worth another try, nanoseconds from now; none: there is no rest.
    pub(super) next_ns: u64,
}

impl Bucket {
    pub(super) const fn empty(rate: Rate, now_ns: u64) -> Self {
        Self {
            rate,
            parts: 0,
            at_ns: now_ns,
        }
    }

    /// Goes on at another rate, with the whole tokens that are there.
    pub(super) fn change(&mut self, rate: Rate, now_ns: u64) {
        if self.rate != rate {
            self.fill(now_ns);
            let tokens = self.parts / Self::parts_of_one(self.rate);
            self.rate = rate;
            self.parts = tokens.min(u128::from(rate.burst())) * Self::parts_of_one(rate);
        }
    }

    /// Takes as many as are there of those that are wanted.
    pub(super) fn charge(&mut self, now_ns: u64, wanted: u64) -> Charged {
        self.fill(now_ns);
        let one = Self::parts_of_one(self.rate);
        let there = u64::try_from(self.parts / one).unwrap_or(u64::MAX);
        let tokens = there.min(wanted);
        self.parts -= u128::from(tokens) * one;
        // What a node waits with is worth asking for once half of it is there.
        let rest = (wanted - tokens).min(self.rate.batch().div_ceil(2));
        let missing = (u128::from(rest) * one).saturating_sub(self.parts);
        let next_ns = missing.div_ceil(u128::from(self.rate.tokens()));
        Charged {
            tokens,
            next_ns: u64::try_from(next_ns).unwrap_or(u64::MAX),
        }
    }

    fn fill(&mut self, now_ns: u64) {
        // Two threads may come in the other order than they looked at the clock.
        let passed = u128::from(now_ns.saturating_sub(self.at_ns));
        let most = u128::from(self.rate.burst()) * Self::parts_of_one(self.rate);
        let came = passed * u128::from(self.rate.tokens());
        self.parts = (self.parts + came).min(most);
        self.at_ns = self.at_ns.max(now_ns);
    }

    const fn parts_of_one(rate: Rate) -> u128 {
        rate.period_ns() as u128
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn it_begins_empty_and_fills_to_its_burst() {
        let mut bucket = Bucket::empty(rate("50/s"), 7);
        let charged = bucket.charge(7, 5);
        // Half of a batch of five, rounded up.
        assert_eq!((charged.tokens, charged.next_ns), (0, 3 * SECOND / 50));
        assert_eq!(bucket.charge(7 + 3 * SECOND / 50, 5).tokens, 3);
        assert_eq!(bucket.charge(7 + 100 * SECOND, 1_000).tokens, 50);
        // A clock that seems to go back gives nothing.
        assert_eq!(bucket.charge(SECOND, 1_000).tokens, 0);
    }

    #[test]
    fn a_change_keeps_whole_tokens_within_the_new_burst() {
        let mut bucket = Bucket::empty(rate("60/min").with_burst(60).unwrap(), 0);
        bucket.change(rate("10/s"), 30 * SECOND);
        assert_eq!(bucket.charge(30 * SECOND, 100).tokens, 10);
        bucket.change(rate("3600/h").with_burst(100).unwrap(), 31 * SECOND);
        assert_eq!(bucket.charge(31 * SECOND, 100).tokens, 10);
        assert_eq!(bucket.charge(33 * SECOND, 100).tokens, 2);
    }

    proptest! {
        /// In any window at most what came in it and the burst, and from the beginning on no more than what came. Who
        /// waits as told gets something.
        #[test]
        fn no_window_gives_more_than_its_tokens(
            tokens in 1_u64..500,
            per in prop_oneof![Just("s"), Just("min"), Just("h")],
            burst in 1_u64..100,
            wishes in proptest::collection::vec((0_u64..2_000_000_000, 1_u64..50, any::<bool>()), 1..100),
        ) {
            let rate = rate(&format!("{tokens}/{per}")).with_burst(burst).unwrap();
            let mut bucket = Bucket::empty(rate, 0);
            let (mut now, mut given) = (0, Vec::new());
            for (wait, wanted, waits_as_told) in wishes {
                now += wait;
                let charged = bucket.charge(now, wanted);
                given.push((now, charged.tokens));
                prop_assert!(charged.tokens == wanted || charged.next_ns > 0);
                if waits_as_told && charged.next_ns > 0 {
                    now += charged.next_ns;
                    let again = bucket.charge(now, wanted - charged.tokens);
                    prop_assert!(again.tokens > 0);
                    given.push((now, again.tokens));
                }
            }
            let came = |from: u64, to: u64| {
                u128::from(to - from) * u128::from(rate.tokens()) / u128::from(rate.period_ns())
            };
            for (at, (first, _)) in given.iter().enumerate() {
                let mut sum = 0_u128;
                for (last, tokens) in &given[at..] {
                    sum += u128::from(*tokens);
                    prop_assert!(sum <= u128::from(burst) + came(*first, *last) + 1);
                }
            }
            let all: u128 = given.iter().map(|(_, tokens)| u128::from(*tokens)).sum();
            prop_assert!(all <= came(0, now));
        }
    }
}
