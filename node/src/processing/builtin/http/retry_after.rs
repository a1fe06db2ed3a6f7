//! The header `Retry-After` (RFC 9110, section 10.2.3): when a host wants to be called again.
//!
//! The client reads it of answers that are no success. What is not one is as good as none: nothing here fails.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{DATE, HeaderName, RETRY_AFTER};
use selvedge_protocol::time;

/// When a host wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryAfter {
    Wait(Duration),
    /// By the clock of the host, which has not told how it stands.
    At {
        unix_ms: u64,
    },
}

impl RetryAfter {
    /// What the headers of an answer say. A date counts from the answer's own: clocks need not agree then.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        if let Some(seconds) = text(headers, &RETRY_AFTER).and_then(seconds) {
            return Some(Self::Wait(Duration::from_secs(seconds)));
        }
        let unix_ms = date(headers, &RETRY_AFTER)?;
        Some(match date(headers, &DATE) {
            Some(answered_ms) => Self::Wait(between(answered_ms, unix_ms)),
            None => Self::At { unix_ms },
        })
    }

    /// How long to wait from now on.
    pub(super) const fn wait(self, now_ms: u64) -> Duration {
        match self {
            Self::Wait(wait) => wait,
            Self::At { unix_ms } => between(now_ms, unix_ms),
        }
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(wait) => write!(f, "after {} s", wait.as_secs()),
            Self::At { unix_ms } => write!(f, "at {}", time::format(*unix_ms)),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Digits and nothing else; more of them than fit are for good.
fn seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let date = httpdate::parse_http_date(text(headers, name)?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Nothing, if the later is the earlier.
const fn between(from_ms: u64, until_ms: u64) -> Duration {
    Duration::from_millis(until_ms.saturating_sub(from_ms))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of the RFC.
    const THEN_MS: u64 = 784_111_777_000;

    fn read(retry_after: &str, date: Option<&str>) -> Option<RetryAfter> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        RetryAfter::read(&headers)
    }

    const fn wait(seconds: u64) -> RetryAfter {
        RetryAfter::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn seconds_are_read() {
        for (text, seconds) in [
            ("0", 0),
            ("120", 120),
            ("  007 ", 7),
            ("99999999999999999999999", u64::MAX),
        ] {
            assert_eq!(read(text, None), Some(wait(seconds)), "{text}");
        }
        assert_eq!(wait(120).wait(THEN_MS), Duration::from_secs(120));
    }

    #[test]
    fn dates_are_read_in_all_their_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let at = read(text, None).unwrap();
            assert_eq!(at, RetryAfter::At { unix_ms: THEN_MS }, "{text}");
            assert_eq!(at.wait(THEN_MS - 1_500), Duration::from_millis(1_500));
            assert_eq!(at.wait(THEN_MS + 1_500), Duration::ZERO);
        }
    }

    #[test]
    fn a_date_counts_from_the_answers_own() {
        let then = "Sun, 06 Nov 1994 08:49:37 GMT";
        let later = "Sun, 06 Nov 1994 09:49:37 GMT";
        assert_eq!(read(later, Some(then)), Some(wait(3_600)));
        assert_eq!(read(then, Some(later)), Some(wait(0)));
        let at = RetryAfter::At { unix_ms: THEN_MS };
        assert_eq!(read(then, Some("today")), Some(at));
    }

    #[test]
    fn what_is_neither_is_ignored() {
        for text in [
            "",
            "soon",
            "-1",
            "+1",
            "1.5",
            "1 s",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37",
            "Thu, 30 Feb 2023 08:49:37 GMT",
        ] {
            assert_eq!(read(text, None), None, "{text}");
        }
        assert_eq!(RetryAfter::read(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40), now_ms: u64) {
            if let Ok(value) = hyper::header::HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
                let _ = RetryAfter::read(&headers).map(|asked| (asked.wait(now_ms), asked.to_string()));
            }
        }
    }
}
