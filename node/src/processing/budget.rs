//! How many crashes a supervisor bears, and how long it waits before it starts again what crashed.

use std::collections::VecDeque;
use std::time::Duration;

use ractor::ActorProcessingErr;
use tokio::time::Instant;

/// Long enough to tell a lasting defect from a passing one.
const BUDGET_TIME: Duration = Duration::from_secs(10);
/// The wait after the first crash, twice as long for each that is still counted.
const BACKOFF: Duration = Duration::from_millis(10);
/// The last doubling: 2.56 s, after which waiting longer tells nothing new.
const DOUBLINGS_MAX: usize = 8;

/// Crashes not long ago.
#[derive(Debug)]
pub(super) struct Budget {
    crashes: VecDeque<Instant>,
    crashes_max: usize,
}

impl Budget {
    pub(super) const fn new(crashes_max: usize) -> Self {
        Self {
            crashes: VecDeque::new(),
            crashes_max,
        }
    }

    /// Counts a crash. Answers how long to wait before the restart, or that there were too many.
    pub(super) fn spend(&mut self, now: Instant) -> Result<Duration, ActorProcessingErr> {
        while let Some(first) = self.crashes.front()
            && now.duration_since(*first) >= BUDGET_TIME
        {
            self.crashes.pop_front();
        }
        let doublings = self.crashes.len().min(DOUBLINGS_MAX);
        self.crashes.push_back(now);
        if self.crashes.len() > self.crashes_max {
            return Err(format!("{} crashes within {BUDGET_TIME:?}", self.crashes.len()).into());
        }
        Ok(BACKOFF * (1 << doublings))
    }
}

#[cfg(test)]
mod tests {
    use selvedge_cluster::Clock;

    use super::*;

    #[test]
    fn a_budget_waits_longer_each_time_ends_and_forgets() {
        let mut budget = Budget::new(2);
        let start = Clock::system().monotonic();
        assert_eq!(budget.spend(start).unwrap(), BACKOFF);
        assert_eq!(budget.spend(start).unwrap(), BACKOFF * 2);
        assert!(budget.spend(start).is_err());
        let later = start + BUDGET_TIME;
        assert_eq!(budget.spend(later).unwrap(), BACKOFF);
    }
}
