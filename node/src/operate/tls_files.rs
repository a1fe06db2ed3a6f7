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
    pub(crate) peer_ca: Option<PathBuf>,
    pub(crate) peer_certificate: Option<PathBuf>,
    pub(crate) peer_key: Option<PathBuf>,
}

/// The same, checked: what belongs together is there together.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "TlsTable")]
pub(crate) struct TlsConfig {
    pub(crate) edge: Option<TlsFiles>,
    pub(crate) peer: Option<PeerFiles>,
}

/// The certificate chain and private key that clients see, PEM.
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
        let edge = match (table.certificate, table.key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(missing("tls.key", "tls.certificate", "both")),
            (None, Some(_)) => return Err(missing("tls.certificate", "tls.key", "both")),
        };
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
        Ok(Self { edge, peer })
    }
}

impl From<TlsConfig> for TlsTable {
    fn from(TlsConfig { edge, peer }: TlsConfig) -> Self {
        let (certificate, key) = edge.map(|it| (it.certificate, it.key)).unzip();
        let (peer_ca, rest) = peer.map(|it| (it.ca, (it.certificate, it.key))).unzip();
        let (peer_certificate, peer_key) = rest.unzip();
        Self {
            certificate,
            key,
            peer_ca,
            peer_certificate,
            peer_key,
        }
    }
}
