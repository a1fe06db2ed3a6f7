//! The configuration of a node: a TOML file, `SELVEDGE_…` variables and flags, in that order of
//! precedence upwards. Parsed once, before any port opens, into types that cannot be wrong.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::operate::cli::NodeFlags;
use crate::operate::failure::CommandFailure;

/// Everything a node needs to know before it starts.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) struct NodeConfig {
    pub(crate) name: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) store: StoreUrl,
    pub(crate) roles: Vec<Role>,
    pub(crate) quic: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) drain_seconds: u32,
    pub(crate) reserve_mib: u32,
    pub(crate) connections_max: u32,
    pub(crate) worker_lease_ms: u32,
}

/// Where state lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) enum StoreUrl {
    /// A directory of this node, under the data directory.
    Embedded,
    /// A storage node, `host:port`.
    Node(String),
    /// A FoundationDB cluster file.
    FoundationDb(PathBuf),
}

/// What a node does. See DESIGN 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Edge,
    Bridge,
    Core,
    Processing,
    Storage,
}

/// The certificate chain and private key that clients see, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    name: Option<String>,
    data_dir: Option<PathBuf>,
    store: Option<String>,
    roles: Option<Vec<String>>,
    quic: Option<String>,
    peer: Option<String>,
    http: Option<String>,
    ready_file: Option<PathBuf>,
    tls: Option<TlsFiles>,
    token_file: Option<PathBuf>,
    drain_seconds: Option<u32>,
    reserve_mib: Option<u32>,
    connections_max: Option<u32>,
    worker_lease_ms: Option<u32>,
}

impl NodeConfig {
    /// Reads the file that the flags name, lets the flags override it, and checks every field.
    pub(crate) fn load(flags: &NodeFlags) -> Result<Self, CommandFailure> {
        let file = match &flags.config {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    CommandFailure::usage(format!("--config {}: {e}", path.display()))
                })?;
                toml::from_str(&text)
                    .map_err(|e| CommandFailure::usage(format!("{}: {e}", path.display())))?
            }
        };
        let flags = flags.clone();
        let config = Self {
            name: node_name(
                flags
                    .name
                    .or(file.name)
                    .unwrap_or_else(|| "node-1".to_owned()),
            )?,
            data_dir: flags
                .data_dir
                .or(file.data_dir)
                .unwrap_or_else(|| PathBuf::from("./selvedge-data")),
            store: StoreUrl::parse(flags.store.or(file.store).as_deref().unwrap_or("embedded"))?,
            roles: roles(flags.roles.or(file.roles))?,
            quic: address("quic", flags.quic.or(file.quic), "127.0.0.1:7400")?,
            peer: address("peer", flags.peer.or(file.peer), "127.0.0.1:7410")?,
            http: address("http", flags.http.or(file.http), "127.0.0.1:7480")?,
            ready_file: flags.ready_file.or(file.ready_file),
            tls: file.tls,
            token_file: file.token_file,
            drain_seconds: within("drain_seconds", file.drain_seconds.unwrap_or(30), 1, 3_600)?,
            reserve_mib: within("reserve_mib", file.reserve_mib.unwrap_or(64), 1, 1_048_576)?,
            connections_max: within(
                "connections_max",
                // 100,000 idle sessions take under 6 GB.
                file.connections_max.unwrap_or(100_000),
                1,
                10_000_000,
            )?,
            worker_lease_ms: within(
                "worker_lease_ms",
                // A heartbeat every third of it: two may be lost.
                file.worker_lease_ms.unwrap_or(10_000),
                100,
                3_600_000,
            )?,
        };
        Ok(config)
    }
}

impl StoreUrl {
    fn parse(text: &str) -> Result<Self, CommandFailure> {
        match text.split_once(':') {
            None if text == "embedded" => Ok(Self::Embedded),
            Some(("node", address)) if address.contains(':') => Ok(Self::Node(address.to_owned())),
            Some(("fdb", path)) if !path.is_empty() => Ok(Self::FoundationDb(PathBuf::from(path))),
            Some(_) | None => Err(CommandFailure::usage(format!(
                "store {text:?} is not known: use embedded, node:HOST:PORT or fdb:CLUSTER_FILE"
            ))),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Node(address) => write!(f, "node:{address}"),
            Self::FoundationDb(path) => write!(f, "fdb:{}", path.display()),
        }
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

fn node_name(name: String) -> Result<String, CommandFailure> {
    let valid = (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if valid {
        Ok(name)
    } else {
        Err(CommandFailure::usage(format!(
            "name {name:?} is not valid: use 1 to 63 of a-z, 0-9 and '-'"
        )))
    }
}

fn roles(listed: Option<Vec<String>>) -> Result<Vec<Role>, CommandFailure> {
    let Some(listed) = listed else {
        return Ok(vec![Role::Edge, Role::Bridge, Role::Core, Role::Processing]);
    };
    let mut roles = Vec::new();
    for name in &listed {
        let role = match name.trim() {
            "edge" => Role::Edge,
            "bridge" => Role::Bridge,
            "core" => Role::Core,
            "processing" => Role::Processing,
            "storage" => Role::Storage,
            other => {
                return Err(CommandFailure::usage(format!(
                    "roles: {other:?} is not a role: use edge, bridge, core, processing, storage"
                )));
            }
        };
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    if roles.is_empty() {
        return Err(CommandFailure::usage("roles: name at least one role"));
    }
    Ok(roles)
}

fn address(
    field: &'static str,
    text: Option<String>,
    default: &str,
) -> Result<SocketAddr, CommandFailure> {
    let text = text.unwrap_or_else(|| default.to_owned());
    let resolved = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    resolved.ok_or_else(|| {
        CommandFailure::usage(format!(
            "{field}: {text:?} is not an address: use HOST:PORT, for example {default}"
        ))
    })
}

fn within(field: &'static str, value: u32, min: u32, max: u32) -> Result<u32, CommandFailure> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(CommandFailure::usage(format!(
            "{field}: {value} is out of range: use {min} to {max}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_text(text: &str, flags: NodeFlags) -> Result<NodeConfig, CommandFailure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        NodeConfig::load(&NodeFlags {
            config: Some(path),
            ..flags
        })
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let flags = NodeFlags {
            name: Some("b".into()),
            ..NodeFlags::default()
        };
        let config = from_text("name = 'a'\nquic = '127.0.0.1:9'\n", flags).unwrap();
        assert_eq!(
            (config.name.as_str(), config.quic.port(), config.peer.port()),
            ("b", 9, 7410)
        );
    }

    #[test]
    fn every_wrong_field_is_named_with_its_remedy() {
        for (text, named) in [
            ("nmae = 'a'", "nmae"),
            ("name = 'A b'", "a-z"),
            ("quic = 'nowhere'", "HOST:PORT"),
            ("roles = ['kernel']", "kernel"),
            ("roles = []", "at least one"),
            ("store = 'redis:1'", "cluster_file"),
            ("drain_seconds = 0", "drain_seconds"),
            ("[tls]\ncertificate = 'a'", "key"),
        ] {
            let failure = from_text(text, NodeFlags::default()).unwrap_err();
            let message = failure.message.to_lowercase();
            assert!(message.contains(&named.to_lowercase()), "{text}: {message}");
            assert_eq!(failure.exit, crate::operate::failure::Exit::Usage);
        }
    }
}
