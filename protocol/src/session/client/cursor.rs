//! Where a subscription stands: which event is the next, which is a repeat, which one skips.
//!
//! The driver's readers, one for each event stream, ask it before they hand an event over; the machine
//! asks it where to go on after a reconnect. It never reads a stream and never waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::frame::Since;

/// A shared position. Clones are the same position, so that the readers of a broken connection and of
/// its successor cannot both hand over one event.
#[derive(Debug, Clone)]
pub struct Cursor(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// Where to go on from.
    since: Since,
    /// Whether the next event must be the one right after `since`. Not so for `Latest`: there the
    /// first event is whatever comes.
    is_exact: bool,
}

/// What to do with an event or gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<R> {
    /// It was the next one and has been delivered.
    Delivered(R),
    /// It was delivered before: drop it.
    Repeat,
    /// Events between the position and this one are missing: a defect of the peer. Go on from the
    /// position over a new connection.
    Skip {
        /// The last seq that was delivered.
        position: u64,
    },
}

impl Cursor {
    /// A position before anything was received.
    pub fn new(since: Since) -> Self {
        let is_exact = match since {
            Since::After(_) => true,
            Since::Latest => false,
        };
        Self(Arc::new(Mutex::new(State { since, is_exact })))
    }

    /// Judges the event `seq` and delivers it if it is the next. `deliver` runs under the lock, so
    /// that deliveries happen in the order of their seq; it must not wait.
    pub fn event<R>(&self, seq: u64, deliver: impl FnOnce() -> R) -> Verdict<R> {
        let mut state = self.lock();
        if let Since::After(position) = state.since {
            if seq <= position {
                return Verdict::Repeat;
            }
            if state.is_exact && seq != position + 1 {
                return Verdict::Skip { position };
            }
        }
        state.advance(seq);
        Verdict::Delivered(deliver())
    }

    /// Judges a gap from `after` to `seq`, as [`Cursor::event`]. It may go back, if it does from here: the
    /// actor has ended and its events begin anew.
    pub fn gap<R>(&self, after: u64, seq: u64, deliver: impl FnOnce() -> R) -> Verdict<R> {
        let mut state = self.lock();
        if let Since::After(position) = state.since
            && (seq == position || (seq < position && after != position))
        {
            return Verdict::Repeat;
        }
        state.advance(seq);
        Verdict::Delivered(deliver())
    }

    /// Where to go on from.
    pub fn since(&self) -> Since {
        self.lock().since
    }

    /// The server began at `seq`: a subscription to `Latest` that is broken before its first event
    /// goes on from there, and loses nothing.
    pub(super) fn began_at(&self, seq: u64) {
        let mut state = self.lock();
        if state.since == Since::Latest && seq > 0 {
            // Not exact: the server may have read the seq a moment before it began to listen.
            state.since = Since::After(seq);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every moment, also when a `deliver` panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn advance(&mut self, seq: u64) {
        self.since = Since::After(seq);
        self.is_exact = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_delivered_once_and_in_order() {
        let cursor = Cursor::new(Since::After(0));
        assert_eq!(cursor.event(1, || 'a'), Verdict::Delivered('a'));
        assert_eq!(cursor.event(1, || 'a'), Verdict::Repeat);
        assert_eq!(cursor.event(3, || 'c'), Verdict::Skip { position: 1 });
        assert_eq!(cursor.event(2, || 'b'), Verdict::Delivered('b'));
        assert_eq!(cursor.since(), Since::After(2));
    }

    #[test]
    fn a_gap_moves_the_position_once() {
        let cursor = Cursor::new(Since::After(2));
        assert_eq!(cursor.gap(2, 9, || ()), Verdict::Delivered(()));
        assert_eq!(cursor.gap(2, 9, || ()), Verdict::Repeat);
        assert_eq!(cursor.gap(1, 5, || ()), Verdict::Repeat);
        assert_eq!(cursor.event(9, || ()), Verdict::Repeat);
        assert_eq!(cursor.event(10, || ()), Verdict::Delivered(()));
    }

    #[test]
    fn a_gap_goes_back_with_an_actor_that_has_ended() {
        let cursor = Cursor::new(Since::After(9));
        assert_eq!(cursor.gap(9, 0, || ()), Verdict::Delivered(()));
        assert_eq!(cursor.gap(9, 0, || ()), Verdict::Repeat);
        assert_eq!(cursor.event(1, || ()), Verdict::Delivered(()));
        assert_eq!(cursor.since(), Since::After(1));
    }

    #[test]
    fn latest_takes_whatever_comes_first_and_then_is_exact() {
        let cursor = Cursor::new(Since::Latest);
        cursor.began_at(7);
        assert_eq!(cursor.since(), Since::After(7));
        assert_eq!(cursor.event(9, || ()), Verdict::Delivered(()));
        assert_eq!(cursor.event(11, || ()), Verdict::Skip { position: 9 });
    }
}
