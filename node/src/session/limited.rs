//! Tells a client that it is over a limit, beside the answers that say so: now and then, so that one who sends much
//! without looking at answers hears of it. The session actor asks it with each answer.

use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{Notice, Outcome};
use selvedge_protocol::limits::LIMIT_NOTICE_MS;
use tokio::time::Instant;

/// When the client was told last.
#[derive(Debug, Default)]
pub(super) struct Limited {
    told: Option<Instant>,
}

impl Limited {
    /// What to tell beside this answer.
    pub(super) fn notice(&mut self, outcome: &Outcome, clock: &Clock) -> Option<Notice> {
        let Outcome::Failure(failure) = outcome else {
            return None;
        };
        // Other things that are used up, such as places for subscriptions, know no time.
        let retry_after_ms = failure
            .retry_after_ms
            .filter(|_| failure.code == ErrorCode::LimitExceeded)?;
        let now = clock.monotonic();
        let pause = Duration::from_millis(LIMIT_NOTICE_MS);
        if self.told.is_some_and(|told| now < told + pause) {
            return None;
        }
        self.told = Some(now);
        Some(Notice::Limited {
            limit: failure.field.clone().unwrap_or_default(),
            retry_after_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use selvedge_protocol::Failure;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_once_a_second() {
        let (mut limited, clock) = (Limited::default(), Clock::simulated(0, 1));
        let refused = Failure {
            retry_after_ms: Some(20),
            ..Failure::field(ErrorCode::LimitExceeded, "tenant.commands", "no")
        };
        let refused = Outcome::Failure(refused);
        let notice = Notice::Limited {
            limit: "tenant.commands".to_owned(),
            retry_after_ms: 20,
        };
        assert_eq!(limited.notice(&refused, &clock), Some(notice.clone()));
        assert_eq!(limited.notice(&refused, &clock), None);
        tokio::time::advance(Duration::from_millis(LIMIT_NOTICE_MS)).await;
        assert_eq!(limited.notice(&refused, &clock), Some(notice));
        tokio::time::advance(Duration::from_secs(10)).await;
        let full = Outcome::Failure(Failure::new(ErrorCode::LimitExceeded, "too many"));
        assert_eq!(limited.notice(&full, &clock), None);
    }
}
