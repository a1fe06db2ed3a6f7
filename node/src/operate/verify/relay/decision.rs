//! What becomes of a datagram: pure, from a rule and a seed.

use std::time::Duration;

use crate::operate::verify::run::Choices;

/// What a network does to the datagrams of one direction. The default lets all of them pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::operate::verify) struct Rule {
    /// Loses everything.
    pub(in crate::operate::verify) is_blocked: bool,
    /// Of a hundred datagrams, how many are lost.
    pub(in crate::operate::verify) loss_percent: u8,
    /// How many arrive twice.
    pub(in crate::operate::verify) duplicate_percent: u8,
    /// How many are held back, so that others overtake them.
    pub(in crate::operate::verify) reorder_percent: u8,
    /// How long each takes.
    pub(in crate::operate::verify) delay: Duration,
    /// How much longer it may take, by chance.
    pub(in crate::operate::verify) jitter: Duration,
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::operate::verify) enum Decision {
    Lose,
    Pass {
        /// How long it takes.
        after: Duration,
        /// How long a copy takes, where there is one.
        again: Option<Duration>,
    },
}

impl Decision {
    /// Nothing happens to it.
    pub(in crate::operate::verify) const AT_ONCE: Self = Self::Pass {
        after: Duration::ZERO,
        again: None,
    };
}

/// Decides about the datagrams of one direction of one flow: the same seed and number give the same decisions.
#[derive(Debug)]
pub(in crate::operate::verify) struct Dice(Choices);

impl Dice {
    pub(in crate::operate::verify) fn new(seed: u64, number: u64) -> Self {
        Self(Choices::new(seed, number))
    }

    /// Throws the same dice whatever the rule is, so that a rule that changes does not change what follows.
    pub(in crate::operate::verify) fn decide(&self, rule: &Rule) -> Decision {
        let [is_lost, is_twice, is_late] = [
            rule.loss_percent,
            rule.duplicate_percent,
            rule.reorder_percent,
        ]
        .map(|percent| self.0.below(100) < u64::from(percent));
        let [first, second] = [(); 2].map(|()| rule.delay + self.part_of(rule.jitter));
        if rule.is_blocked || is_lost {
            return Decision::Lose;
        }
        let held_back = match is_late {
            true => HELD_BACK,
            false => Duration::ZERO,
        };
        Decision::Pass {
            after: first + held_back,
            again: is_twice.then_some(second),
        }
    }

    fn part_of(&self, jitter: Duration) -> Duration {
        let jitter_us = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.0.below(jitter_us.saturating_add(1)))
    }
}

/// Long enough for others to overtake, and no longer than a network that takes another way.
const HELD_BACK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Rule = Rule {
        is_blocked: false,
        loss_percent: 20,
        duplicate_percent: 10,
        reorder_percent: 5,
        delay: Duration::from_millis(3),
        jitter: Duration::from_millis(2),
    };

    fn decisions(dice: &Dice, rule: &Rule, count: usize) -> Vec<Decision> {
        (0..count).map(|_| dice.decide(rule)).collect()
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        let [first, again] = [(); 2].map(|()| decisions(&Dice::new(7, 1), &BAD, 1_000));
        assert_eq!(first, again);
        assert_ne!(first, decisions(&Dice::new(7, 2), &BAD, 1_000));
        assert_ne!(first, decisions(&Dice::new(8, 1), &BAD, 1_000));
    }

    #[test]
    fn a_rule_of_a_while_changes_nothing_of_what_follows() {
        let (steady, disturbed) = (Dice::new(3, 0), Dice::new(3, 0));
        let blocked = Rule {
            is_blocked: true,
            ..Rule::default()
        };
        decisions(&steady, &BAD, 100);
        assert_eq!(
            decisions(&disturbed, &blocked, 100),
            [Decision::Lose; 100].to_vec()
        );
        assert_eq!(
            decisions(&steady, &BAD, 100),
            decisions(&disturbed, &BAD, 100)
        );
    }

    #[test]
    fn a_network_without_rules_does_nothing() {
        let passed = decisions(&Dice::new(1, 1), &Rule::default(), 1_000);
        assert!(passed.iter().all(|it| *it == Decision::AT_ONCE));
    }

    #[test]
    fn each_happens_as_often_as_it_should_and_takes_as_long() {
        const COUNT: usize = 10_000;
        let all = decisions(&Dice::new(11, 4), &BAD, COUNT);
        let share = |is: fn(&Decision) -> bool| {
            let count = all.iter().filter(|it| is(it)).count();
            (count * 100).div_ceil(COUNT)
        };
        assert!((18..=22).contains(&share(|it| *it == Decision::Lose)));
        let twice = share(|it| matches!(it, Decision::Pass { again: Some(_), .. }));
        assert!((6..=10).contains(&twice), "{twice}: 10 % of 80 %");
        let late = share(
            |it| matches!(it, Decision::Pass { after, .. } if *after >= BAD.delay + HELD_BACK),
        );
        assert!((2..=6).contains(&late), "{late}: 5 % of 80 %");
        for decision in all {
            if let Decision::Pass { after, .. } = decision {
                let most = BAD.delay + BAD.jitter + HELD_BACK;
                assert!((BAD.delay..=most).contains(&after), "{after:?}");
            }
        }
    }
}
