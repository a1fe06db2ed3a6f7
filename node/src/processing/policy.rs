//! How operations of one type are run: how many at a time, how often, for how long. Data, no code runs
//! here but the arithmetic of the backoff.

use std::time::Duration;

/// The policy of an operation type.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Operations of the type that this node runs at a time: the bulkhead.
    pub concurrency: usize,
    pub retry: Retry,
    /// One try of one step may take this long.
    pub step_timeout: Duration,
    /// The operation fails unless it is final after this long; `None` is never.
    pub total_timeout: Option<Duration>,
}

/// When a failed attempt is followed by another.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included; finishing a step starts the count anew.
    pub attempts_max: u32,
    pub initial: Duration,
    pub factor: f64,
    pub max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Handlers mostly wait: for others, and at their end for the commit of their result. As
            // many as fill the commits of a store: raw commits gain little past 128 at a time.
            concurrency: 128,
            retry: Retry::default(),
            step_timeout: Duration::from_secs(5 * 60),
            total_timeout: None,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            initial: Duration::from_millis(200),
            factor: 2.0,
            max: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// The wait after the `failures`-th failure in a row: half of the exponential backoff for certain, the
    /// other half by chance, so that what failed together does not come back together.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a wait of milliseconds, bounded by `max`, needs no more than a float has"
    )]
    pub fn delay_ms(&self, failures: u32, random: u64) -> u64 {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let full = (self.initial.as_secs_f64() * self.factor.powi(exponent))
            .clamp(0.0, self.max.as_secs_f64())
            * 1_000.0;
        let share = random as f64 / u64::MAX as f64;
        (full * (0.5 + share / 2.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_to_its_bound_and_keeps_half() {
        let retry = Retry::default();
        assert_eq!(retry.delay_ms(1, 0), 100);
        assert_eq!(retry.delay_ms(1, u64::MAX), 200);
        assert_eq!(retry.delay_ms(2, u64::MAX), 400);
        assert_eq!(retry.delay_ms(100, u64::MAX), 30_000);
        assert_eq!(retry.delay_ms(u32::MAX, 0), 15_000);
    }
}
