//! Which pages may reach a node from a browser. Asked before a session is granted; it decides of nothing else: who
//! somebody is, the credential in the Hello says.

use url::{Host, Url};

/// Whose pages may, beside those of the host that they ask.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    /// These origins, as browsers send them.
    pub(crate) listed: &'a [String],
    /// `host:port` of the cluster's other bridges, whose consoles go on here when theirs is away.
    pub(crate) bridges: &'a [String],
}

impl Pages<'_> {
    /// Whether a page of this origin may: one of the same host, whatever its port, or one of those. What is not a
    /// browser names none, and has no page that could be another's. `host` is the one that the page has asked for.
    pub(crate) fn allow(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(text) = origin else {
            return true;
        };
        if self.listed.iter().any(|it| it.eq_ignore_ascii_case(text)) {
            return true;
        }
        let Ok(origin) = Url::parse(text) else {
            return false;
        };
        is_of(&origin, host) || self.bridges.iter().any(|bridge| is_at(&origin, bridge))
    }
}

fn is_of(origin: &Url, host: &str) -> bool {
    let (Some(page), Ok(host)) = (origin.host().map(|it| it.to_owned()), Host::parse(host)) else {
        return false;
    };
    page == host || is_this_machine(&page) && is_this_machine(&host)
}

/// Whether it is the origin of a page of the bridge at this `host:port`. The scheme is left aside: a proxy may end TLS.
pub(crate) fn is_at(origin: &Url, bridge: &str) -> bool {
    let Ok(at) = Url::parse(&format!("{}://{bridge}", origin.scheme())) else {
        return false;
    };
    let (Some(page), Some(host)) = (origin.host(), at.host()) else {
        return false;
    };
    let is_its_host = page == host || is_this_machine(&page) && is_this_machine(&host);
    let is_its_port = origin.port_or_known_default() == at.port_or_known_default();
    matches!(origin.scheme(), "http" | "https") && is_its_host && is_its_port
}

/// The names that one machine has for itself are one host: a page of `localhost` is of nobody else's making.
fn is_this_machine<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_host_and_those_listed() {
        let pages = Pages {
            listed: &["https://app.example".to_owned()],
            bridges: &[],
        };
        let cases = [
            (None, true),
            (Some("http://localhost:7480"), true),
            (Some("https://localhost"), true),
            (Some("http://127.0.0.1:7480"), true),
            (Some("http://[::1]"), true),
            (Some("http://192.168.0.1"), false),
            (Some("https://app.example"), true),
            (Some("https://APP.example"), true),
            (Some("https://app.example:444"), false),
            (Some("http://app.example"), false),
            (Some("https://localhost.example"), false),
            (Some("https://example/localhost"), false),
            (Some("https://localhost@evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ];
        for (origin, expected) in cases {
            assert_eq!(pages.allow(origin, "localhost"), expected, "{origin:?}");
        }
        let of = |origin, host| pages.allow(Some(origin), host);
        assert!(of("http://localhost:7480", "[::1]"));
        assert!(of("http://192.168.0.1:7480", "192.168.0.1"));
        assert!(of("https://Node.example:7480", "node.example"));
        assert!(!of("http://localhost", "node.example"));
        assert!(!of("https://node.example", "127.0.0.1"));
    }

    #[test]
    fn pages_of_other_bridges() {
        let bridges = ["node-2.example:7480", "[2001:db8::3]:443", "127.0.0.1:7481"];
        let bridges = bridges.map(ToOwned::to_owned);
        let pages = Pages {
            listed: &[],
            bridges: &bridges,
        };
        for (origin, expected) in [
            ("http://node-2.example:7480", true),
            ("https://node-2.example:7480", true),
            ("https://node-2.example", false),
            ("https://[2001:db8::3]", true),
            ("ftp://node-2.example:7480", false),
            ("http://node-3.example:7480", false),
            ("http://localhost:7481", true),
            ("http://[::1]:7481", true),
            ("http://localhost:7482", false),
            ("http://localhost.example:7481", false),
            ("null", false),
        ] {
            assert_eq!(
                pages.allow(Some(origin), "node-1.example"),
                expected,
                "{origin}"
            );
        }
    }
}
