//! When a node that has ended is started again: after long enough to see that it is gone, and later and later
//! where it does not stay.

use std::time::Duration;

/// The waits of one node.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    last: Option<Duration>,
}

impl Restarts {
    /// How long to wait for the next start of a node that ended after having served for `served`; zero if it
    /// never did.
    pub(super) fn after(&mut self, served: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if served < STEADY => (last * 2).min(WAIT_MAX),
            Some(_) | None => WAIT_FIRST,
        };
        self.last = Some(wait);
        wait
    }
}

/// A person who has killed a node looks for what its absence does.
const WAIT_FIRST: Duration = Duration::from_secs(5);
/// A node that cannot start costs no more than a try a minute.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// One that has served for so long has got over what ended it before.
const STEADY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_while_a_node_does_not_stay() {
        let mut restarts = Restarts::default();
        let mut after = |seconds| restarts.after(Duration::from_secs(seconds)).as_secs();
        assert_eq!([3, 0, 0, 0, 0].map(&mut after), [5, 10, 20, 40, 60]);
        assert_eq!([0, 11, 9].map(&mut after), [60, 5, 10]);
    }
}
