//! Which pages may reach a node from a browser. Asked before a session is granted; it decides of nothing else: who
//! somebody is, the credential in the Hello says.

use url::Url;

/// Whether a page of this origin may: one of the same host, whatever its port, or one that is listed. What is not a
/// browser names none, and has no page that could be another's.
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
    let parsed = Url::parse(origin);
    parsed.is_ok_and(|origin| origin.host_str() == Some(host))
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
        assert!(is_allowed(Some("http://[::1]:7480"), "[::1]", &[]));
    }
}
