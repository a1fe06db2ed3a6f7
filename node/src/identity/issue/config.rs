//! `[identity.tokens]` of a configuration: in whose name the cluster gives tokens, and for how long; and the clients that users
//! log in with.
//!
//! It should be the same on all nodes. A login goes on as it was configured when it began.

use std::ops::RangeInclusive;

use selvedge_protocol::limits::{
    ACCESS_TOKEN_MS, ACCESS_TOKEN_MS_MAX, ISSUER_BYTES_MAX, LOGIN_IDLE_MS_MAX, LOGIN_MS_MAX,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::identity::clients::Clients;
use crate::identity::issue::family::Lasts;

/// The table as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokensTable {
    /// Left out: `selvedge:` and the id of the cluster.
    pub issuer: Option<String>,
    pub access_minutes: Option<u32>,
    pub refresh_days: Option<u32>,
    pub refresh_idle_days: Option<u32>,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct IssueConfig {
    /// `None`: it is named after the cluster.
    pub(super) issuer: Option<String>,
    pub(super) access_ms: u64,
    pub(super) lasts: Lasts,
    pub(super) clients: Clients,
}

/// A key of the table that is wrong, and what to do about it.
pub type WrongTokens = (&'static str, String);

impl TokensTable {
    /// Checks every key, for these clients.
    pub fn checked(&self, clients: Clients) -> Result<IssueConfig, WrongTokens> {
        if let Some(issuer) = &self.issuer {
            check_issuer(issuer).map_err(|remedy| ("issuer", remedy))?;
        }
        let minutes_max = u32::try_from(ACCESS_TOKEN_MS_MAX / MINUTE_MS).unwrap_or(u32::MAX);
        let minutes = within("access_minutes", self.access_minutes, 1..=minutes_max)?;
        let days = within("refresh_days", self.refresh_days, 1..=DAYS_MAX)?;
        let idle_days = within("refresh_idle_days", self.refresh_idle_days, 1..=DAYS_MAX)?;
        let ms = |given: Option<u32>, unit_ms: u64, otherwise_ms: u64| {
            given.map_or(otherwise_ms, |count| u64::from(count) * unit_ms)
        };
        let lasts = Lasts {
            ms: ms(days, DAY_MS, LOGIN_MS_MAX),
            idle_ms: ms(idle_days, DAY_MS, LOGIN_IDLE_MS_MAX),
        };
        if idle_days.is_some() && lasts.idle_ms > lasts.ms {
            let remedy = "no login lasts longer than refresh_days; use as many or fewer";
            return Err(("refresh_idle_days", remedy.to_owned()));
        }
        Ok(IssueConfig {
            issuer: self.issuer.clone(),
            access_ms: ms(minutes, MINUTE_MS, ACCESS_TOKEN_MS),
            lasts,
            clients,
        })
    }
}

impl IssueConfig {
    /// The same, named after this cluster where no other name is configured.
    pub(crate) fn of_cluster(mut self, cluster: &str) -> Self {
        let named = || format!("selvedge:{cluster}");
        self.issuer.get_or_insert_with(named);
        self
    }
}

impl Default for IssueConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            access_ms: ACCESS_TOKEN_MS,
            lasts: Lasts::default(),
            clients: Clients::default(),
        }
    }
}

/// A name, or the URL at which its discovery document is found: that of an origin, since nodes answer at the root.
fn check_issuer(issuer: &str) -> Result<(), String> {
    let is_plain = issuer.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=ISSUER_BYTES_MAX).contains(&issuer.len()) || !is_plain || issuer.contains('|') {
        return Err(format!(
            "give a name of 1 to {ISSUER_BYTES_MAX} characters of ASCII without spaces and |"
        ));
    }
    match issuer.contains("://") {
        false => Ok(()),
        true => check_origin(issuer),
    }
}

/// That this is where clients find a node: an origin of https, or of http on this machine.
pub(crate) fn check_origin(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?}: {error}; use https://HOST"))?;
    let is_here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_here;
    if !is_safe {
        return Err(format!(
            "{text:?}: use https, or http on a loopback address"
        ));
    }
    match url.origin().ascii_serialization() == text {
        true => Ok(()),
        false => Err(format!(
            "{text:?}: use https://HOST or https://HOST:PORT, in small letters and without a path"
        )),
    }
}

fn within(
    key: &'static str,
    given: Option<u32>,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, WrongTokens> {
    match given {
        Some(count) if !range.contains(&count) => {
            let (first, last) = (range.start(), range.end());
            Err((key, format!("use {first} to {last}")))
        }
        Some(_) | None => Ok(given),
    }
}

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * 60_000;
/// A year: longer than anybody remembers where they have logged in.
const DAYS_MAX: u32 = 365;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<IssueConfig, WrongTokens> {
        let table: TokensTable = toml::from_str(text).unwrap();
        table.checked(Clients::default())
    }

    #[test]
    fn what_is_left_out_is_as_it_was() {
        let config = table("").unwrap();
        assert_eq!((config.issuer, config.access_ms), (None, ACCESS_TOKEN_MS));
        assert_eq!(config.lasts, Lasts::default());
        let config = table(
            "issuer = 'https://node.example:7480'\naccess_minutes = 60\nrefresh_days = 2\nrefresh_idle_days = 1",
        )
        .unwrap();
        assert_eq!(config.access_ms, 60 * 60_000);
        assert_eq!(
            (config.lasts.ms, config.lasts.idle_ms),
            (2 * DAY_MS, DAY_MS)
        );
        // Idle for longer than it lasts it cannot be.
        assert!(table("refresh_days = 1").is_ok());
    }

    #[test]
    fn wrong_values_name_their_key() {
        for (text, wrong) in [
            ("access_minutes = 0", "access_minutes"),
            ("access_minutes = 61", "access_minutes"),
            ("refresh_days = 0", "refresh_days"),
            ("refresh_days = 366", "refresh_days"),
            ("refresh_idle_days = 31", "refresh_idle_days"),
            (
                "refresh_days = 2\nrefresh_idle_days = 3",
                "refresh_idle_days",
            ),
            ("issuer = ''", "issuer"),
            ("issuer = 'a b'", "issuer"),
            ("issuer = 'a|b'", "issuer"),
            ("issuer = 'http://node.example'", "issuer"),
            ("issuer = 'https://node.example/'", "issuer"),
            ("issuer = 'https://node.example/a'", "issuer"),
            ("issuer = 'https://Node.example'", "issuer"),
            ("issuer = 'https://a@node.example'", "issuer"),
        ] {
            assert_eq!(table(text).unwrap_err().0, wrong, "{text}");
        }
        for good in [
            "acme",
            "selvedge:acme",
            "http://127.0.0.1:7480",
            "http://[::1]:7480",
        ] {
            assert!(table(&format!("issuer = '{good}'")).is_ok(), "{good}");
        }
    }
}
