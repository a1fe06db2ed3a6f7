//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): how the limits that are set for a principal
//! stand. What holds for every request puts them on each answer; nothing here decides.

use std::fmt::Write;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::limit::Standing;

/// Says of each limit its quota and window, and what remains at this node. Says nothing where none is set.
pub(super) fn say(headers: &mut HeaderMap, standings: &[Standing]) {
    if standings.is_empty() {
        return;
    }
    let (mut policies, mut limits) = (String::new(), String::new());
    for standing in standings {
        let between = if policies.is_empty() { "" } else { ", " };
        let (level, name) = (standing.level.name(), standing.name);
        let (quota, window) = (standing.rate.tokens(), standing.rate.period_seconds());
        let wait = standing.wait.as_millis().div_ceil(1_000);
        // Writing to a text does not fail.
        let _ = write!(policies, "{between}\"{level}.{name}\";q={quota};w={window}");
        let remaining = standing.remaining;
        let _ = write!(limits, "{between}\"{level}.{name}\";r={remaining};t={wait}");
    }
    for (name, text) in [(POLICY, policies), (LIMIT, limits)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::{Level, LimitName};

    #[test]
    fn each_limit_is_an_item_of_a_list() {
        let mut headers = HeaderMap::new();
        say(&mut headers, &[]);
        assert!(headers.is_empty());
        let standing = |name, level, rate: &str, remaining, wait_ms| Standing {
            name,
            level,
            rate: rate.parse().unwrap(),
            remaining,
            wait: Duration::from_millis(wait_ms),
        };
        let standings = [
            standing(LimitName::Commands, Level::Principal, "10/min", 0, 1_200),
            standing(LimitName::Queries, Level::Tenant, "50/s", 5, 0),
        ];
        say(&mut headers, &standings);
        assert_eq!(
            headers.get("RateLimit-Policy").unwrap(),
            r#""principal.commands";q=10;w=60, "tenant.queries";q=50;w=1"#
        );
        assert_eq!(
            headers.get("RateLimit").unwrap(),
            r#""principal.commands";r=0;t=2, "tenant.queries";r=5;t=0"#
        );
    }
}
