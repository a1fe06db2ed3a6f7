//! Runs a transaction again until it has committed, within bounds.

use std::time::Duration;

use super::{Committed, Error, Store, Transaction};
use crate::Clock;

/// Runs `body` in a transaction and commits it; on a conflict, both again, after a wait that grows
/// and is jittered. `body` gives the transaction back with its result, and may run several times:
/// what it does outside of the transaction, it does as often.
///
/// [`Error::CommitUnknown`] is not retried: the caller alone can look whether it was done.
pub async fn run<T, F, Fut>(
    store: &dyn Store,
    clock: &Clock,
    mut body: F,
) -> Result<(T, Committed), Error>
where
    F: FnMut(Box<dyn Transaction>) -> Fut,
    Fut: Future<Output = Result<(Box<dyn Transaction>, T), Error>>,
{
    let mut attempt = 0;
    loop {
        let error = match once(body(store.begin())).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        attempt += 1;
        if !error.may_be_retried() || attempt == ATTEMPTS_MAX {
            return Err(error);
        }
        tokio::time::sleep(backoff(attempt, clock.random())).await;
    }
}

/// The same for what does no harm when it is done twice: it is run again also where nobody knows whether it was done.
pub async fn run_repeatable<T, F, Fut>(
    store: &dyn Store,
    clock: &Clock,
    mut body: F,
) -> Result<(T, Committed), Error>
where
    F: FnMut(Box<dyn Transaction>) -> Fut,
    Fut: Future<Output = Result<(Box<dyn Transaction>, T), Error>>,
{
    for _ in 1..UNKNOWN_MAX {
        match run(store, clock, &mut body).await {
            Err(Error::CommitUnknown) => {}
            result => return result,
        }
    }
    run(store, clock, body).await
}

async fn once<T>(
    body: impl Future<Output = Result<(Box<dyn Transaction>, T), Error>>,
) -> Result<(T, Committed), Error> {
    let (transaction, value) = body.await?;
    let committed = transaction.commit().await?;
    Ok((value, committed))
}

/// Between nothing and a bound that doubles with each attempt ("full jitter").
pub(crate) fn backoff(attempt: u32, random: u64) -> Duration {
    let bound_us = (BACKOFF_US << attempt.min(16)).min(BACKOFF_US_MAX);
    Duration::from_micros(random % bound_us)
}

/// With the backoff below about two seconds of trying; then somebody should hear of it.
const ATTEMPTS_MAX: u32 = 24;
/// Unknown outcomes in a row: each takes a store some time, so then somebody should hear of it.
const UNKNOWN_MAX: u32 = 5;
/// About the time of one commit.
const BACKOFF_US: u64 = 500;
/// Far below the 5 s of a transaction.
const BACKOFF_US_MAX: u64 = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_its_bound() {
        let longest = |attempt| {
            (0..2_000)
                .map(|n| backoff(attempt, n * 997))
                .max()
                .unwrap_or_default()
        };
        assert!(longest(1) < Duration::from_millis(1));
        assert!(longest(5) < Duration::from_millis(16));
        assert!(longest(5) > Duration::from_millis(8));
        assert!(longest(40) < Duration::from_millis(200));
    }
}
