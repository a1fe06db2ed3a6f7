//! Where the keys of an issuer come from: a file that an operator keeps, or the issuer itself by HTTPS.
//!
//! `issuers` calls it when `keys` says so. It goes where the configuration leads and nowhere that a token names;
//! a discovery document may lead to another public host, but to a private one only if that is its own.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use selvedge_cluster::store;
use selvedge_protocol::limits::{KEY_SET_BYTES_MAX, KEY_SET_VALUES_MAX, KEYS_FETCH_MS_MAX};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use url::{Host, Url};

use crate::identity::jwt::json;
use crate::identity::jwt::key_set::{KeySet, KeySetError};
use crate::identity::jwt::keys::Published;
use crate::processing::builtin::http::{Allowed, Fetch, FetchError, Fetched};

/// A place that keys are published at.
#[async_trait]
pub(super) trait Source: Send + Sync + 'static {
    /// What is published there now.
    async fn fetch(&self) -> Result<Published, SourceError>;
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("the file of keys cannot be read")]
    File(#[source] std::io::Error),
    #[error("the file of keys is over {KEY_SET_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error("the discovery document is not JSON as it is taken")]
    Json(#[source] serde_json::Error),
    #[error("the discovery document is of another issuer")]
    Issuer,
    #[error("the discovery document has no jwks_uri that may be asked: {0}")]
    JwksUri(&'static str),
    #[error("the cluster's own keys cannot be read")]
    Store(#[from] store::Error),
    #[error("the cluster has no keys yet: nobody has logged in")]
    None,
    #[error("the keys were not there within {KEYS_FETCH_MS_MAX} ms")]
    Late,
}

/// A file. It is read again like everything else that is fetched, so it can be replaced while the node runs.
#[derive(Debug)]
pub(super) struct FileSource(pub(super) PathBuf);

#[async_trait]
impl Source for FileSource {
    async fn fetch(&self) -> Result<Published, SourceError> {
        let file = tokio::fs::File::open(&self.0).await;
        let mut text = Vec::new();
        let mut bounded = file
            .map_err(SourceError::File)?
            .take(KEY_SET_BYTES_MAX as u64 + 1);
        bounded
            .read_to_end(&mut text)
            .await
            .map_err(SourceError::File)?;
        if text.len() > KEY_SET_BYTES_MAX {
            return Err(SourceError::TooLarge);
        }
        Ok(Published {
            keys: KeySet::parse(&text)?,
            // To read it costs nothing: it is looked at as often as may be.
            age_ms: Some(0),
        })
    }
}

/// An issuer that is asked itself.
#[derive(Debug)]
pub(super) struct HttpSource {
    place: Place,
    fetch: Fetch,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Keys(Url),
    /// Where its discovery document says (OpenID Connect Discovery 1.0, 4).
    Discovered {
        issuer: String,
        document: Url,
    },
}

impl Place {
    /// Where the discovery document of an issuer is.
    pub(super) fn discovered(issuer: &str) -> Result<Self, &'static str> {
        let url = trusted(issuer)?;
        if url.query().is_some() {
            return Err("it has a query, after which no path can follow");
        }
        let document = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        Ok(Self::Discovered {
            issuer: issuer.to_owned(),
            document: trusted(&document)?,
        })
    }

    fn url(&self) -> &Url {
        match self {
            Self::Keys(url) | Self::Discovered { document: url, .. } => url,
        }
    }
}

impl HttpSource {
    pub(super) fn new(place: Place) -> Self {
        // An operator has named this host, so it may be a private one. Others that it leads to may not.
        let host = place.url().host().map(|host| match host {
            Host::Domain(name) => Allowed::Host(name.to_owned()),
            Host::Ipv4(address) => one(address.into(), 32),
            Host::Ipv6(address) => one(address.into(), 128),
        });
        let fetch = Fetch::new(host.into_iter().collect());
        Self { place, fetch }
    }

    async fn keys_url(&self) -> Result<Url, SourceError> {
        let (issuer, document) = match &self.place {
            Place::Keys(url) => return Ok(url.clone()),
            Place::Discovered { issuer, document } => (issuer, document),
        };
        let fetched = self.get(document).await?;
        let found = json::object(fetched.text.as_bytes(), KEY_SET_VALUES_MAX);
        let found = found.map_err(SourceError::Json)?;
        let member = |name| found.get(name).and_then(Value::as_str);
        // Or whoever answers here could speak for somebody else (4.3).
        if member("issuer") != Some(issuer) {
            return Err(SourceError::Issuer);
        }
        let keys = trusted(member("jwks_uri").unwrap_or_default()).map_err(SourceError::JwksUri)?;
        if keys.scheme() == "http" && document.scheme() == "https" {
            return Err(SourceError::JwksUri("it is not https"));
        }
        Ok(keys)
    }

    async fn get(&self, url: &Url) -> Result<Fetched, FetchError> {
        let limit = Duration::from_millis(KEYS_FETCH_MS_MAX);
        self.fetch.get(url, limit, KEY_SET_BYTES_MAX).await
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn fetch(&self) -> Result<Published, SourceError> {
        let url = self.keys_url().await?;
        let fetched = self.get(&url).await?;
        Ok(Published {
            keys: KeySet::parse(fetched.text.as_bytes())?,
            age_ms: fetched.age_ms,
        })
    }
}

/// A URL that keys may be had from: nobody between here and there can change what is said.
pub(super) fn trusted(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it has a user or a fragment, which no issuer has");
    }
    match (url.scheme(), url.host()) {
        (_, None) => Err("it names no host"),
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(&host) => Ok(url),
        _ => Err("it is not https, nor http to this machine itself"),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn one(base: IpAddr, prefix_bits: u8) -> Allowed {
    Allowed::Network { base, prefix_bits }
}
