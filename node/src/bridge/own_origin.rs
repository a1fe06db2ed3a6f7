//! Under which origin browsers reach the bridge: as it is configured, or as they ask for it. What is told to others of its
//! addresses, and where its own pages are sent back to, follows from it.
//!
//! Pure: it looks at what a request says of itself. Who points a name of their own at the bridge is kept off by its certificate,
//! on a loopback address by [`is_loopback`](super::origin::is_loopback), and where it is configured by that.

use url::Url;

use crate::bridge::origin::is_own;

/// The origin, as far as it is known without a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnOrigin {
    configured: Option<String>,
    scheme: Scheme,
}

/// What the bridge speaks. A proxy in front of it may speak something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl OwnOrigin {
    /// As configured, or as the issuer of the cluster's tokens has it, where that is a URL.
    pub(super) fn new(public_url: Option<&str>, issuer: &str, scheme: Scheme) -> Self {
        let of_issuer = issuer.contains("://").then_some(issuer);
        Self {
            configured: public_url.or(of_issuer).map(str::to_owned),
            scheme,
        }
    }

    /// The origin for a request that asks for this host.
    pub(super) fn of(&self, host: Option<&str>) -> Option<String> {
        if let Some(configured) = &self.configured {
            return Some(configured.clone());
        }
        let url = Url::parse(&format!("{}://{}", self.scheme.name(), host?)).ok()?;
        let origin = url.origin().ascii_serialization();
        // A host and nothing else, whatever was asked for.
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        (is_bare && url.username().is_empty() && url.password().is_none()).then_some(origin)
    }

    /// Whether this is the origin, as browsers write it, for a request that asks for this host.
    pub(super) fn is(&self, origin: &str, host: Option<&str>) -> bool {
        match &self.configured {
            Some(configured) => configured == origin,
            None => self.was_asked(origin, host),
        }
    }

    /// Whether a page of this origin asks the host that it is from.
    pub(super) fn is_page(&self, origin: &str, host: Option<&str>) -> bool {
        self.configured.as_deref() == Some(origin) || self.was_asked(origin, host)
    }

    fn was_asked(&self, origin: &str, host: Option<&str>) -> bool {
        let written = Url::parse(origin).map(|url| url.origin().ascii_serialization());
        let may_be = match self.scheme {
            Scheme::Https => origin.starts_with("https://"),
            // A proxy may end TLS.
            Scheme::Http => true,
        };
        may_be && written.as_deref() == Ok(origin) && is_own(origin, host)
    }
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_asked_for() {
        let plain = OwnOrigin::new(None, "selvedge:c", Scheme::Http);
        let tls = OwnOrigin::new(None, "selvedge:c", Scheme::Https);
        let host = Some("node.example:7480");
        assert_eq!(plain.of(host).as_deref(), Some("http://node.example:7480"));
        assert_eq!(tls.of(host).as_deref(), Some("https://node.example:7480"));
        assert!(plain.is("http://node.example:7480", host));
        assert!(plain.is("https://node.example:7480", host));
        assert!(tls.is("https://node.example:7480", host));
        for other in [
            "http://node.example:7480",
            "https://node.example",
            "https://node.example:7480/",
            "https://NODE.example:7480",
            "https://a@node.example:7480",
            "https://node.example:7480.evil",
            "null",
            "",
        ] {
            assert!(!tls.is(other, host), "{other}");
        }
        for wrong in [
            None,
            Some(""),
            Some("a/b"),
            Some("a@b"),
            Some("a b"),
            Some("a?b"),
        ] {
            assert_eq!(tls.of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn it_is_what_was_configured() {
        let public = Some("https://public.example");
        let host = Some("10.0.0.7:7480");
        for own in [
            OwnOrigin::new(public, "https://issuer.example", Scheme::Http),
            OwnOrigin::new(None, "https://public.example", Scheme::Http),
        ] {
            assert_eq!(own.of(host).as_deref(), public);
            assert!(own.is("https://public.example", host));
            assert!(!own.is("http://10.0.0.7:7480", host));
            // Its pages may be opened at either.
            assert!(own.is_page("http://10.0.0.7:7480", host));
            assert!(!own.is_page("http://10.0.0.8:7480", host));
        }
    }
}
