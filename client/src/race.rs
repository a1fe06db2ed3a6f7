//! Staggered attempts, as RFC 8305 has them for addresses: the next begins a moment after the one before
//! without waiting for its failure, and at once when all that have begun have failed.

use std::future::Future;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Duration, Instant, sleep_until};

/// The first success; the others are dropped. Else all errors, in the order in which they came.
pub(crate) async fn first_success<T, E, A>(attempts: impl Iterator<Item = A>) -> Result<T, Vec<E>>
where
    A: Future<Output = Result<T, E>>,
{
    let mut attempts = attempts.fuse();
    let mut running = FuturesUnordered::new();
    let mut errors = Vec::new();
    let mut has_more = true;
    let mut next_at = Instant::now();
    loop {
        tokio::select! {
            Some(ended) = running.next(), if !running.is_empty() => match ended {
                Ok(success) => return Ok(success),
                Err(error) => {
                    errors.push(error);
                    if running.is_empty() {
                        next_at = Instant::now();
                    }
                }
            },
            () = sleep_until(next_at), if has_more => match attempts.next() {
                Some(attempt) => {
                    running.push(attempt);
                    next_at = Instant::now() + STAGGER;
                }
                None => has_more = false,
            },
            else => return Err(errors),
        }
    }
}

/// RFC 8305, 5: more than most round trips, less than anybody notices.
const STAGGER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::FutureExt;
    use tokio::time::sleep;

    use super::*;

    /// When each attempt begins, how long it takes, and how it ends.
    async fn race(
        takes_ms: &[(u64, Result<u32, u32>)],
    ) -> (Result<u32, Vec<u32>>, Vec<u128>, u128) {
        let began = Instant::now();
        let begun = RefCell::new(Vec::new());
        let attempts = takes_ms.iter().map(|&(ms, result)| {
            begun.borrow_mut().push(began.elapsed().as_millis());
            sleep(Duration::from_millis(ms)).map(move |()| result)
        });
        let result = first_success(attempts).await;
        (result, begun.take(), began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_time_stays_alone() {
        let (result, begun, took) = race(&[(100, Ok(1)), (1, Ok(2))]).await;
        assert_eq!((result, begun, took), (Ok(1), vec![0], 100));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_is_passed_by() {
        let silent = (3_000, Err(0));
        let (result, begun, took) = race(&[silent, silent, (10, Ok(3)), (1, Ok(4))]).await;
        assert_eq!(result, Ok(3));
        assert_eq!((begun, took), (vec![0, 250, 500], 510));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_first_still_wins() {
        let (result, _, took) = race(&[(300, Ok(1)), (200, Ok(2))]).await;
        assert_eq!((result, took), (Ok(1), 300));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_the_next_begins_at_once() {
        let (result, begun, _) = race(&[(10, Err(1)), (20, Err(2)), (5, Ok(3))]).await;
        assert_eq!((result, begun), (Ok(3), vec![0, 10, 30]));
    }

    #[tokio::test(start_paused = true)]
    async fn all_errors_are_told() {
        let (result, _, took) = race(&[(3_000, Err(1)), (100, Err(2)), (3_000, Err(3))]).await;
        assert_eq!((result, took), (Err(vec![2, 1, 3]), 3_500));
        assert_eq!(race(&[]).await.0, Err(Vec::new()));
    }
}
