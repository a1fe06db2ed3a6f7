//! Versions of the HTTP interface: which are spoken, which will go, and what requests and answers say of it. The path
//! has the version (`/v1`); `Selvedge-Version` lets a client make sure of it.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use selvedge_protocol::{ErrorCode, Failure};

/// A version that is spoken.
#[derive(Debug)]
struct Spoken {
    name: &'static str,
    /// Set once there is a better one.
    deprecation: Option<Deprecation>,
}

/// Since when a version is not to be used any more, and from when on it will be gone: Unix seconds.
#[derive(Debug, Clone, Copy)]
struct Deprecation {
    since: u64,
    sunset: u64,
}

/// By what a request may say its version, and each answer does.
pub(super) const HEADER: HeaderName = HeaderName::from_static("selvedge-version");

/// Those that are spoken, best first. Requests of today are all of the first.
static VERSIONS: [Spoken; 1] = [Spoken {
    name: "1",
    deprecation: None,
}];

/// Why a request of this version is not served.
pub(super) fn refuses(asked: &str) -> Option<Failure> {
    if VERSIONS.iter().any(|version| version.name == asked) {
        return None;
    }
    let names: Vec<_> = VERSIONS.iter().map(|version| version.name).collect();
    Some(Failure::field(
        ErrorCode::UnsupportedVersion,
        "Selvedge-Version",
        format!(
            "this node speaks version {} of the HTTP interface; send one of these, or none",
            names.join(", ")
        ),
    ))
}

/// What answers say of the version that they are of.
pub(super) fn says(headers: &mut HeaderMap) {
    VERSIONS[0].says(headers);
}

impl Spoken {
    fn says(&self, headers: &mut HeaderMap) {
        headers.insert(HEADER, HeaderValue::from_static(self.name));
        let Some(Deprecation { since, sunset }) = self.deprecation else {
            return;
        };
        // RFC 9745 has a date of structured fields, RFC 8594 one of HTTP.
        let sunset = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(sunset));
        for (name, value) in [(DEPRECATION, format!("@{since}")), (SUNSET, sunset)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_is_told_those_that_are_spoken() {
        assert_eq!(refuses("1"), None);
        for asked in ["2", "", "v1", "1.0"] {
            let failure = refuses(asked).unwrap();
            assert_eq!(failure.code, ErrorCode::UnsupportedVersion);
            assert!(failure.message.contains("version 1"), "{failure}");
        }
    }

    #[test]
    fn a_version_that_will_go_says_since_when_and_until_when() {
        let mut headers = HeaderMap::new();
        says(&mut headers);
        assert_eq!(headers.get(HEADER).unwrap(), "1");
        assert!(headers.get(DEPRECATION).is_none());
        let old = Spoken {
            name: "0",
            deprecation: Some(Deprecation {
                since: 1_688_169_599,
                sunset: 1_719_791_999,
            }),
        };
        old.says(&mut headers);
        assert_eq!(headers.get(HEADER).unwrap(), "0");
        assert_eq!(headers.get(DEPRECATION).unwrap(), "@1688169599");
        let sunset = headers.get(SUNSET).unwrap();
        assert_eq!(sunset, "Sun, 30 Jun 2024 23:59:59 GMT");
    }
}
