//! Rates by the generic cell rate algorithm: what is spent is a moment up to which it is paid back. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many in a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// A rate, as it is counted with. Debts are nanoseconds until all is paid back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What one costs.
    pub(super) each_ns: u64,
    /// What may be owed.
    pub(super) room_ns: u64,
}

impl Pace {
    /// A rate of nothing lets one pass in a second, so that whoever waits long enough gets through.
    pub(super) fn of(rate: Rate) -> Self {
        let each_ns = SECOND_NS / u64::from(rate.per_second.max(1));
        Self {
            each_ns: each_ns.max(1),
            room_ns: each_ns.max(1).saturating_mul(rate.burst.max(1).into()),
        }
    }

    /// Whether who owes so much may spend one more.
    pub(super) const fn allows(self, debt_ns: u64) -> bool {
        debt_ns.saturating_add(self.each_ns) <= self.room_ns
    }
}

/// One rate that all share.
#[derive(Debug)]
pub(super) struct Shared {
    pace: Pace,
    /// When all is paid back.
    due_ns: u64,
}

impl Shared {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            pace: Pace::of(rate),
            due_ns: 0,
        }
    }

    /// Whether there is still room for one. Who has part of the rate leaves the rest to others.
    pub(super) fn allows(&self, now_ns: u64, part: Part) -> bool {
        let pace = match part {
            Part::Whole => self.pace,
            Part::Half => Pace {
                room_ns: self.pace.room_ns / 2,
                ..self.pace
            },
        };
        pace.allows(self.due_ns.saturating_sub(now_ns))
    }

    /// Spends one, if there is.
    pub(super) fn spend(&mut self, now_ns: u64, part: Part) -> bool {
        let may = self.allows(now_ns, part);
        if may {
            self.due_ns = self.due_ns.max(now_ns).saturating_add(self.pace.each_ns);
        }
        may
    }

    /// Whether one more would be one too many.
    pub(super) const fn is_pressed(&self, now_ns: u64) -> bool {
        !self.pace.allows(self.due_ns.saturating_sub(now_ns))
    }

    /// Counts one that comes whether it may or not: whether there are more of them than may come. Once there were, it
    /// takes as long as a burst until they are few enough again.
    pub(super) fn press(&mut self, now_ns: u64) -> bool {
        let debt_ns = self.due_ns.saturating_sub(now_ns);
        let debt_ns = debt_ns.saturating_add(self.pace.each_ns);
        self.due_ns = now_ns.saturating_add(debt_ns.min(self.pace.room_ns.saturating_mul(2)));
        debt_ns > self.pace.room_ns
    }
}

/// How much of a shared rate one may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Half,
}

/// A moment since any other that stays.
pub(super) fn nanoseconds(since: Duration) -> u64 {
    // Five hundred years.
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const SECOND_NS: u64 = 1_000_000_000;
