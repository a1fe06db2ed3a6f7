//! Time for limits: nanoseconds since the handle was made. Accounts and owners of limits read it.

use selvedge_cluster::Clock;
use tokio::time::Instant;

/// A cheap handle on a clock.
#[derive(Debug, Clone)]
pub(super) struct Ticks {
    clock: Clock,
    began: Instant,
}

impl Ticks {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            began: clock.monotonic(),
        }
    }

    /// Never 0 or less than before.
    pub(super) fn now_ns(&self) -> u64 {
        let passed = self.clock.monotonic().duration_since(self.began);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX / 2) + 1
    }
}
