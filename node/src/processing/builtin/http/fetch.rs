//! Fetches a small document from a host that the configuration names, such as the keys of an issuer; and asks one that the
//! command line names for tokens.
//!
//! By the same client as an operation's calls, so to addresses that were checked. It follows no redirect: who
//! is asked is who answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::processing::BreakerPolicy;
use crate::processing::builtin::http::call::{Call, Posted};
use crate::processing::builtin::http::client::Client;
use crate::processing::builtin::http::error::CallError;
use crate::processing::builtin::http::{Allowed, HttpConfig, Roots, SystemResolver};

/// Fetches documents.
pub(crate) struct Fetch(Client);

/// A document.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) text: String,
    /// For how long it may be kept, milliseconds; `None` if the host says nothing about that.
    pub(crate) age_ms: Option<u64>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct FetchError(Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer is not UTF-8")]
    NotText,
}

impl Fetch {
    /// Goes to public addresses, and to what is allowed beside them.
    pub(crate) fn new(allow: Vec<Allowed>) -> Self {
        let config = HttpConfig {
            allow,
            // Its callers ask seldom, and keep a pace of their own after a failure.
            breaker: BreakerPolicy {
                failures: u32::MAX,
                ..BreakerPolicy::default()
            },
            ..HttpConfig::default()
        };
        Self(Client::new(config, Arc::new(SystemResolver)))
    }

    /// Goes to this host, public or not, and believes these certificates.
    pub(crate) fn trusting(host: Allowed, roots: Roots) -> Self {
        let config = HttpConfig {
            allow: vec![host],
            roots,
            ..HttpConfig::default()
        };
        Self(Client::new(config, Arc::new(SystemResolver)))
    }

    /// What is answered to this: the status and the text, of at most so many bytes.
    pub(crate) async fn post(
        &self,
        posted: Posted,
        limit: Duration,
        bytes_max: usize,
    ) -> Result<(u16, String), FetchError> {
        let call = Call::post(posted, limit, bytes_max);
        let answer = Box::pin(self.0.call(&call)).await;
        let answer = answer.map_err(|error| FetchError(error.into()))?;
        let status = answer.status();
        let text = answer.into_text().ok_or(FetchError(Reason::NotText))?;
        Ok((status, text))
    }

    /// The document at this URL, of at most so many bytes.
    pub(crate) async fn get(
        &self,
        url: &Url,
        limit: Duration,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        let call = Call::get(url.clone(), limit, bytes_max);
        let answer = Box::pin(self.0.call(&call)).await;
        let answer = answer.map_err(|error| FetchError(error.into()))?;
        let age_ms = answer
            .header("cache-control")
            .and_then(|directives| age_ms(directives, answer.header("age")));
        let text = answer.into_text().ok_or(FetchError(Reason::NotText))?;
        Ok(Fetched { text, age_ms })
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}

/// What is left of the time that a document may be kept (RFC 9111, 5.2.2 and 4.2.3).
fn age_ms(directives: &str, age: Option<&str>) -> Option<u64> {
    let directives = || directives.split(',').map(str::trim);
    let is = |name: &str| directives().any(|directive| directive.eq_ignore_ascii_case(name));
    if is("no-store") || is("no-cache") {
        return Some(0);
    }
    let max_age_s = directives().find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let seconds = value.trim_matches('"').parse::<u64>().ok();
        seconds.filter(|_| name.eq_ignore_ascii_case("max-age"))
    })?;
    let age_s = age.and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    Some(max_age_s.saturating_sub(age_s).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_told() {
        for (directives, age, told) in [
            ("max-age=60", None, Some(60_000)),
            (
                "public, Max-Age=60, must-revalidate",
                Some("20"),
                Some(40_000),
            ),
            ("max-age=\"60\"", Some("99"), Some(0)),
            ("max-age=60, no-store", None, Some(0)),
            ("No-Cache", None, Some(0)),
            ("s-maxage=60", None, None),
            ("max-age=-1", None, None),
            ("max-age=99999999999999999999", None, None),
            ("max-age=18446744073709551615", None, Some(u64::MAX)),
            ("max-age=60", Some("soon"), Some(60_000)),
            ("", None, None),
        ] {
            assert_eq!(age_ms(directives, age), told, "{directives} {age:?}");
        }
    }
}
