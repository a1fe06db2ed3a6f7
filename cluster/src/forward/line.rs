//! The requests of one asker for one slot that are on their way, wherever they are: they keep their order.
//!
//! Some are at another node and unanswered, all of them at the same one; those that came later and belong
//! elsewhere by now are held until these are back. What a node holds for others waits behind nothing of its own,
//! and the other way round: nodes that ask each other never wait for each other's lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Line {
    held: AtomicUsize,
    away: Mutex<Away>,
    /// As in `away`, for who only asks whether there are any.
    away_count: AtomicUsize,
    /// The asker was sent elsewhere by the plan before this one; what it asked by an older one goes there as well.
    sent_away_before: AtomicU64,
}

/// Requests at another node.
#[derive(Debug, Default)]
struct Away {
    /// The number of the outlet that they left by.
    outlet: u64,
    count: usize,
}

/// Where a request that is to go on stands in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It was held, and so was none before it.
    First,
    /// It has just come.
    Last,
}

/// A request at another node. Dropped when it is answered, or taken back.
#[derive(Debug)]
pub(super) struct Flight(Arc<Line>);

impl Line {
    /// Whether a request that comes now has no other before it.
    pub(crate) fn is_clear(&self) -> bool {
        // In this order: one that comes back is counted as held before it counts as home.
        self.is_home() && !self.is_held()
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire) > 0
    }

    /// Whether none is at another node.
    pub(super) fn is_home(&self) -> bool {
        self.away_count.load(Ordering::Acquire) == 0
    }

    /// The asker is sent elsewhere, by a plan.
    pub(super) fn send_away(&self, plan: u64) {
        let next = plan.saturating_add(1);
        self.sent_away_before.fetch_max(next, Ordering::AcqRel);
    }

    /// Whether a request that was made by a plan goes where one before it was sent.
    pub(super) fn is_sent_away(&self, plan: u64) -> bool {
        plan < self.sent_away_before.load(Ordering::Acquire)
    }

    /// One more is held. Answers whether it is the first.
    pub(super) fn hold(&self) -> bool {
        self.held.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// One that was held has gone on.
    pub(super) fn release(&self) {
        self.held.fetch_sub(1, Ordering::AcqRel);
    }

    /// One leaves by an outlet, unless others have left by another one and are not back, or are to leave before it.
    pub(super) fn depart(self: &Arc<Self>, outlet: u64, place: Place) -> Option<Flight> {
        let mut away = self.away.lock();
        let is_behind = match place {
            Place::First => false,
            // Under the lock: one that has come back since the caller looked is counted as held by now.
            Place::Last => self.is_held(),
        };
        if is_behind || (away.count > 0 && away.outlet != outlet) {
            return None;
        }
        away.outlet = outlet;
        away.count += 1;
        self.away_count.store(away.count, Ordering::Release);
        Some(Flight(Arc::clone(self)))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut away = self.0.away.lock();
        away.count -= 1;
        self.0.away_count.store(away.count, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_away_are_at_the_same_place() {
        let line = Arc::<Line>::default();
        assert!(line.is_clear());
        let depart = |outlet| line.depart(outlet, Place::Last);
        let first = depart(1).unwrap();
        let second = depart(1).unwrap();
        assert!(!line.is_clear() && depart(2).is_none());
        drop(first);
        assert!(depart(2).is_none(), "one of two is back");
        drop(second);
        assert!(line.is_home());
        let _elsewhere = depart(2).unwrap();
        assert!(depart(1).is_none());
    }

    #[test]
    fn one_that_has_just_come_does_not_leave_before_one_that_has_come_back() {
        let line = Arc::<Line>::default();
        let back = line.depart(1, Place::Last).unwrap();
        assert!(line.hold());
        drop(back);
        assert!(line.is_home() && !line.is_clear());
        assert!(line.depart(2, Place::Last).is_none());
        let _first = line.depart(2, Place::First).unwrap();
        line.release();
        assert!(line.depart(2, Place::Last).is_some(), "behind it");
    }

    #[test]
    fn what_was_asked_before_the_asker_was_sent_away_goes_as_well() {
        let line = Line::default();
        assert!(!line.is_sent_away(0), "nothing was");
        line.send_away(4);
        line.send_away(2);
        assert!(line.is_sent_away(0) && line.is_sent_away(4));
        assert!(!line.is_sent_away(5), "it knew");
    }

    #[test]
    fn a_line_is_clear_when_nothing_is_held_any_more() {
        let line = Line::default();
        assert!(line.hold());
        assert!(!line.hold());
        line.release();
        assert!(!line.is_clear());
        line.release();
        assert!(line.is_clear());
    }
}
