//! Where a client may have its users sent back to: a URL that is compared as the text that it is, so that no two ways to read
//! one lead to two places. Only the port of a loopback address may vary, as programs on the user's own machine take one that is
//! free (RFC 8252, 7.3). Pure.

use std::net::IpAddr;

use selvedge_protocol::limits::REDIRECT_URI_BYTES_MAX;
use url::{Host, Url};

/// A place that was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    /// In the form in which browsers have it.
    text: String,
    origin: String,
    loopback: Option<Loopback>,
}

/// One on the user's own machine, around its port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loopback {
    /// `http://127.0.0.1`
    before: String,
    /// From the path on.
    after: String,
}

impl RedirectUri {
    /// Takes what a configuration has; the error says what to write in its place.
    pub fn registered(text: &str) -> Result<Self, String> {
        let wrong = |remedy: &str| format!("{text:?}: {remedy}");
        if text.len() > REDIRECT_URI_BYTES_MAX {
            return Err(format!(
                "{text:?}: use one of {REDIRECT_URI_BYTES_MAX} bytes at the most"
            ));
        }
        if text.contains('#') {
            return Err(wrong("a fragment is not sent back to; leave it out"));
        }
        if text.contains('*') {
            return Err(wrong("there are no wildcards; list each place"));
        }
        let url = Url::parse(text)
            .map_err(|error| wrong(&format!("{error}; give a whole URL, https://HOST/PATH")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("leave out the user before the @"));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        let is_loopback_address = address.is_some_and(|address| address.is_loopback());
        let is_here = is_loopback_address || url.host_str() == Some("localhost");
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            _ => return Err(wrong("use https, or http on a loopback address")),
        }
        // What a browser makes of it is what it is compared with.
        if url.as_str() != text {
            return Err(wrong(&format!("write it as {}", url.as_str())));
        }
        let is_varying = url.scheme() == "http" && is_loopback_address;
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            loopback: is_varying.then(|| Loopback::of(&url)),
            text: text.to_owned(),
        })
    }

    /// Whether this is the place.
    pub(super) fn is(&self, uri: &str) -> bool {
        let is_here = |loopback: &Loopback| loopback.is(uri);
        uri == self.text || self.loopback.as_ref().is_some_and(is_here)
    }

    /// Whose pages are there.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }
}

impl Loopback {
    fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let query = url
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        Self {
            before: format!("http://{host}"),
            after: format!("{}{query}", url.path()),
        }
    }

    fn is(&self, uri: &str) -> bool {
        let Some(rest) = uri.strip_prefix(&self.before) else {
            return false;
        };
        let after = match rest.strip_prefix(':') {
            None => rest,
            Some(rest) => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let (port, after) = rest.split_at(digits);
                let is_port = digits <= 5 && port.parse::<u16>().is_ok_and(|port| port > 0);
                if !is_port {
                    return false;
                }
                after
            }
        };
        after == self.after
    }
}

/// What a policy of content has for the place that a form leads to in the end: browsers hold redirects to it as well.
pub(crate) fn form_action(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    match url.host()? {
        // Its grammar has no such addresses.
        Host::Ipv6(_) => Some(format!("{}:", url.scheme())),
        Host::Domain(_) | Host::Ipv4(_) => Some(url.origin().ascii_serialization()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> RedirectUri {
        RedirectUri::registered(text).unwrap()
    }

    #[test]
    fn a_place_is_compared_as_text() {
        let app = of("https://app.example/back?from=login");
        assert!(app.is("https://app.example/back?from=login"));
        for trick in [
            "",
            "https://app.example/back",
            "https://app.example/back?from=login&x=1",
            "https://app.example/back?from=login#",
            "https://app.example/back?from=login#a",
            "https://app.example/back/?from=login",
            "https://app.example/./back?from=login",
            "https://app.example/x/../back?from=login",
            "https://app.example/%62ack?from=login",
            "https://app.example/Back?from=login",
            "https://APP.example/back?from=login",
            "HTTPS://app.example/back?from=login",
            "https://app.example:443/back?from=login",
            "https://app.example:8443/back?from=login",
            "https://app.example./back?from=login",
            "https://app.example.evil/back?from=login",
            "https://evil.example/https://app.example/back?from=login",
            "https://app.example@evil.example/back?from=login",
            "https://app.example\\@evil.example/back?from=login",
            "https://evil@app.example/back?from=login",
            "https:/app.example/back?from=login",
            "https:app.example/back?from=login",
            "//app.example/back?from=login",
            "/back?from=login",
            "http://app.example/back?from=login",
            " https://app.example/back?from=login",
            "https://app.example/back?from=login ",
            "https://app.example/back?from=login\n",
            "https://app.example/back?from=login\r\nX: y",
            "https://app.example/back?from=login\0",
            "https://app.example/\tback?from=login",
            "javascript:https://app.example/back?from=login",
        ] {
            assert!(!app.is(trick), "{trick:?}");
        }
    }

    #[test]
    fn only_the_port_of_a_loopback_address_varies() {
        let here = of("http://127.0.0.1/cb?a=1");
        for port in ["", ":1", ":8080", ":65535"] {
            assert!(here.is(&format!("http://127.0.0.1{port}/cb?a=1")), "{port}");
        }
        let six = of("http://[::1]:9/cb");
        assert!(six.is("http://[::1]:9/cb") && six.is("http://[::1]:10/cb"));
        for trick in [
            "http://127.0.0.1:/cb?a=1",
            "http://127.0.0.1:0/cb?a=1",
            "http://127.0.0.1:65536/cb?a=1",
            "http://127.0.0.1:080808/cb?a=1",
            "http://127.0.0.1:80:80/cb?a=1",
            "http://127.0.0.1:80@evil.example/cb?a=1",
            "http://127.0.0.1@evil.example/cb?a=1",
            "http://127.0.0.1.evil.example/cb?a=1",
            "http://127.0.0.1:8080/cb",
            "http://127.0.0.1:8080/cb?a=1#x",
            "http://127.0.0.1:8080/x/../cb?a=1",
            "http://127.0.0.2:8080/cb?a=1",
            "http://localhost:8080/cb?a=1",
            "https://127.0.0.1:8080/cb?a=1",
            "http://127.1:8080/cb?a=1",
        ] {
            assert!(!here.is(trick), "{trick}");
        }
        // By name it is exact: who answers to a name is told by others.
        let named = of("http://localhost:8080/cb");
        assert!(named.is("http://localhost:8080/cb") && !named.is("http://localhost:8081/cb"));
        let secure = of("https://127.0.0.1:8443/cb");
        assert!(!secure.is("https://127.0.0.1:8444/cb"));
    }

    #[test]
    fn what_may_not_be_registered_is_refused_with_what_to_write() {
        for (text, said) in [
            ("app", "whole URL"),
            ("http://app.example/", "https"),
            ("ftp://app.example/", "https"),
            ("myapp:/back", "https"),
            ("javascript:alert(1)", "https"),
            ("https://app.example/#a", "fragment"),
            ("https://app.example/#", "fragment"),
            ("https://*.example/", "wildcard"),
            ("https://app.example/*", "wildcard"),
            ("https://a@app.example/", "@"),
            ("https://app.example", "write it as https://app.example/"),
            ("https://App.example/", "write it as https://app.example/"),
            (
                "https://app.example:443/",
                "write it as https://app.example/",
            ),
            (
                "https://app.example/a/../b",
                "write it as https://app.example/b",
            ),
            ("https://app.example/ä", "write it as"),
            (" https://app.example/", "write it as"),
            ("http://127.1/", "write it as http://127.0.0.1/"),
        ] {
            let refused = RedirectUri::registered(text).unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
        let long = format!("https://app.example/{}", "a".repeat(REDIRECT_URI_BYTES_MAX));
        assert!(RedirectUri::registered(&long).is_err());
    }

    #[test]
    fn a_policy_of_content_names_where_the_form_ends() {
        for (uri, source) in [
            ("https://app.example/back?x=;'none'", "https://app.example"),
            ("http://127.0.0.1:8080/cb", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/cb", "http:"),
        ] {
            assert_eq!(form_action(uri).as_deref(), Some(source), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn nothing_else_is_the_place(text in "(https?://(app\\.example|127\\.0\\.0\\.1)[:@/.]?)?\\PC{0,40}") {
            let app = of("https://app.example/back");
            prop_assert_eq!(app.is(&text), text == "https://app.example/back");
        }
    }
}
