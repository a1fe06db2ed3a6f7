//! Which pages may reach a node from a browser. Asked before a session is granted; it decides of nothing else: who
//! somebody is, the credential in the Hello says.

use url::{Host, Url};

/// Whether a page of this origin may: one of the same host, whatever its port, or one that is listed. What is not a
/// browser names none, and has no page that could be another's. `host` is the one that the page has asked for.
pub(crate) fn is_allowed(origin: Option<&str>, host: &str, listed: &[String]) -> bool {
    let Some(origin) = origin else {
        return true;
    };
    if listed
        .iter()
        .any(|listed| listed.eq_ignore_ascii_case(origin))
    {
        return true;
    }
    let (Ok(origin), Ok(host)) = (Url::parse(origin), Host::parse(host)) else {
        return false;
    };
    let Some(of_page) = origin.host().map(|host| host.to_owned()) else {
        return false;
    };
    of_page == host || is_this_machine(&of_page) && is_this_machine(&host)
}

/// The names that one machine has for itself are one host: a page of `localhost` is of nobody else's making.
fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_host_and_those_listed() {
        let listed = ["https://app.example".to_owned()];
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
            assert_eq!(
                is_allowed(origin, "localhost", &listed),
                expected,
                "{origin:?}"
            );
        }
        let of = |origin, host| is_allowed(Some(origin), host, &[]);
        assert!(of("http://localhost:7480", "[::1]"));
        assert!(of("http://192.168.0.1:7480", "192.168.0.1"));
        assert!(of("https://Node.example:7480", "node.example"));
        assert!(!of("http://localhost", "node.example"));
        assert!(!of("https://node.example", "127.0.0.1"));
    }
}
