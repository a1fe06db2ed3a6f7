//! For how long something was the same, of the time in which it was watched. Part of the machine.

use std::time::Duration;

use tokio::time::Instant;

use super::Timing;

/// For how long a node has watched: a clock that runs at most so far between two looks.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) watched: Duration,
    looked: Option<Instant>,
    /// When it began to see anything, after it had not for too long to judge anybody, or what it saw told nothing.
    since: Duration,
    /// So much counts of the time between two looks. One that is half a beat late has a reason that others
    /// may have as well.
    counted_max: Duration,
    /// After so long it begins anew.
    blind: Duration,
}

impl Attention {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            watched: Duration::ZERO,
            looked: None,
            since: Duration::ZERO,
            counted_max: timing.beat + timing.beat / 2,
            blind: timing.dead,
        }
    }

    fn gap(&self, now: Instant) -> Duration {
        let since = |looked| now.saturating_duration_since(looked);
        self.looked.map_or(Duration::ZERO, since)
    }

    pub(super) fn at(&self, now: Instant) -> Duration {
        self.watched + self.gap(now).min(self.counted_max)
    }

    pub(super) fn look(&mut self, now: Instant) {
        self.watched = self.at(now);
        if self.gap(now) >= self.blind {
            self.since = self.watched;
        }
        self.looked = Some(now);
    }

    /// What was watched until now says nothing of anybody.
    pub(super) fn disregard(&mut self) {
        self.since = self.watched;
    }

    /// How long something was the same, of the time that counts.
    pub(super) fn age<T>(&self, now: Duration, watched: &Watched<T>) -> Duration {
        let since = watched.since.unwrap_or(now).max(self.since);
        now.saturating_sub(since)
    }
}

/// A row, and when it was last seen to change, by [`Attention`].
#[derive(Debug)]
pub(super) struct Watched<T> {
    pub(super) row: Option<T>,
    pub(super) since: Option<Duration>,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self {
            row: None,
            since: None,
        }
    }
}

impl<T: PartialEq + Clone> Watched<T> {
    pub(super) fn see(&mut self, now: Duration, row: Option<&T>) {
        if self.since.is_none() || self.row.as_ref() != row {
            self.row = row.cloned();
            self.since = Some(now);
        }
    }
}
