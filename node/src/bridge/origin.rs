//! Whose pages may use the bridge from a browser, and under which names it answers: against requests that another
//! site's page makes with its visitor's place in the network (cross-site WebSockets, DNS rebinding).
//!
//! Pure: it looks at what a request says of itself.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::Url;

/// The origins that are allowed beside the bridge's own, `scheme://host[:port]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Checks and keeps them.
    pub fn new(listed: Vec<String>) -> Result<Self, String> {
        for origin in &listed {
            let parsed = Url::parse(origin).map(|url| url.origin().ascii_serialization());
            if parsed.as_deref() != Ok(origin) {
                return Err(format!(
                    "{origin:?} is no origin: use scheme://host or scheme://host:port, without a path, as browsers send it"
                ));
            }
        }
        Ok(Self(listed))
    }

    /// Whether a request with this Origin to this Host may be served. Requests without an Origin come from no page
    /// of another site.
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        self.lists(origin) || is_own(origin, host)
    }

    /// Whether it is one of those that were named.
    pub fn lists(&self, origin: &str) -> bool {
        self.0.iter().any(|listed| listed == origin)
    }
}

/// Whether the origin is where the request went. The scheme is left aside: a proxy may end TLS.
pub(super) fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Ok(origin), Some(host)) = (Url::parse(origin), host) else {
        return false;
    };
    let Ok(asked) = Url::parse(&format!("{}://{host}", origin.scheme())) else {
        return false;
    };
    matches!(origin.scheme(), "http" | "https") && origin.origin() == asked.origin()
}

/// Whether a bridge that listens on this machine alone may answer under this name: a page that has its own name point
/// here is of another site, although its origin is its own.
pub(super) fn is_loopback(host: Option<&str>) -> bool {
    let Some(host) = host else {
        return false;
    };
    // Every request comes by here: no more is read of it than that.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let inner = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match inner {
        Some(address) => address.parse().is_ok_and(|it: Ipv6Addr| it.is_loopback()),
        None => {
            let is_named = |name: &str| name.eq_ignore_ascii_case("localhost");
            is_named(name.rsplit('.').next().unwrap_or(name))
                || name.parse().is_ok_and(|it: Ipv4Addr| it.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_s_own_pages_and_listed_ones_are_allowed() {
        let origins = Origins::new(vec!["https://app.example".to_owned()]).unwrap();
        for (origin, host, allowed) in [
            (None, Some("127.0.0.1:7480"), true),
            (Some("http://127.0.0.1:7480"), Some("127.0.0.1:7480"), true),
            (Some("http://127.0.0.1:7481"), Some("127.0.0.1:7480"), false),
            (Some("https://node.example"), Some("node.example"), true),
            (Some("https://node.example"), Some("node.example:443"), true),
            (Some("https://app.example"), Some("node.example"), true),
            (Some("http://app.example"), Some("node.example"), false),
            (
                Some("https://app.example.evil"),
                Some("node.example"),
                false,
            ),
            (Some("null"), Some("node.example"), false),
            (Some(""), Some("node.example"), false),
            (Some("https://node.example"), None, false),
        ] {
            assert_eq!(origins.allows(origin, host), allowed, "{origin:?} {host:?}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_a_remedy() {
        for wrong in [
            "",
            "app.example",
            "https://app.example/",
            "https://app.example:443",
            "*",
        ] {
            let refused = Origins::new(vec![wrong.to_owned()]).unwrap_err();
            assert!(refused.contains("scheme://host"), "{refused}");
        }
    }

    #[test]
    fn names_of_this_machine_are_known() {
        for own in [
            "localhost",
            "localhost:7480",
            "127.0.0.1:1",
            "[::1]:7480",
            "a.localhost",
            "LocalHost",
            "[::1]",
        ] {
            assert!(is_loopback(Some(own)), "{own}");
        }
        for other in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.evil.example",
            "localhost:a",
            "::1",
            "[::2]",
            "",
            "a b",
        ] {
            assert!(!is_loopback(Some(other)), "{other}");
        }
        assert!(!is_loopback(None));
    }
}
