//! The table `[tls]` of a configuration: what clients see, and by what nodes know each other.

use std::path::PathBuf;

use selvedge_cluster::peer::PeerFiles;
use serde::{Deserialize, Serialize};

use crate::operate::failure::CommandFailure;

/// The table as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsTable {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) browser_certificate: Option<PathBuf>,
    pub(crate) browser_key: Option<PathBuf>,
    pub(crate) peer_ca: Option<PathBuf>,
    pub(crate) peer_certificate: Option<PathBuf>,
    pub(crate) peer_key: Option<PathBuf>,
}

/// The same, checked: what belongs together is there together.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "TlsTable")]
pub(crate) struct TlsConfig {
    pub(crate) edge: Option<TlsFiles>,
    /// What browsers see in its place, and take for its hash.
    pub(crate) browsers: Option<TlsFiles>,
    pub(crate) peer: Option<PeerFiles>,
}

/// A certificate chain and its private key that clients see, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl TlsConfig {
    /// `by` names what gave a key its value.
    pub(crate) fn of(table: TlsTable, by: impl Fn(&str) -> String) -> Result<Self, CommandFailure> {
        let missing = |key: &str, given: &str, others: &str| {
            let (key, given) = (by(key), by(given));
            CommandFailure::usage(format!("{given}: {key} is missing: give {others} together"))
        };
        let pair = |names: [&str; 2], files: (Option<PathBuf>, Option<PathBuf>)| match files {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing(names[1], names[0], "both")),
            (None, Some(_)) => Err(missing(names[0], names[1], "both")),
        };
        let edge = pair(
            ["tls.certificate", "tls.key"],
            (table.certificate, table.key),
        )?;
        let browsers = pair(
            ["tls.browser_certificate", "tls.browser_key"],
            (table.browser_certificate, table.browser_key),
        )?;
        let together = "peer_ca, peer_certificate and peer_key";
        let peer = match (table.peer_ca, table.peer_certificate, table.peer_key) {
            (Some(ca), Some(certificate), Some(key)) => Some(PeerFiles {
                ca,
                certificate,
                key,
            }),
            (None, None, None) => None,
            (Some(_), None, _) => {
                return Err(missing("tls.peer_certificate", "tls.peer_ca", together));
            }
            (Some(_), _, None) => return Err(missing("tls.peer_key", "tls.peer_ca", together)),
            (None, Some(_), _) => {
                return Err(missing("tls.peer_ca", "tls.peer_certificate", together));
            }
            (None, None, Some(_)) => return Err(missing("tls.peer_ca", "tls.peer_key", together)),
        };
        Ok(Self {
            edge,
            browsers,
            peer,
        })
    }
}

impl From<TlsConfig> for TlsTable {
    fn from(
        TlsConfig {
            edge,
            browsers,
            peer,
        }: TlsConfig,
    ) -> Self {
        let (certificate, key) = edge.map(|it| (it.certificate, it.key)).unzip();
        let (browser_certificate, browser_key) =
            browsers.map(|it| (it.certificate, it.key)).unzip();
        let (peer_ca, rest) = peer.map(|it| (it.ca, (it.certificate, it.key))).unzip();
        let (peer_certificate, peer_key) = rest.unzip();
        Self {
            certificate,
            key,
            browser_certificate,
            browser_key,
            peer_ca,
            peer_certificate,
            peer_key,
        }
    }
}
