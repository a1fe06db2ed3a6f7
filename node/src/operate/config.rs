//! The configuration of a node: a TOML file, `SELVEDGE_…` variables and flags, in that order of
//! precedence upwards. Parsed once, before any port opens, into types that cannot be wrong.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use selvedge_cluster::membership::Role;
use selvedge_protocol::limits::LABEL_BYTES_MAX;
use serde::{Deserialize, Serialize};

use crate::edge::admission::AdmissionConfig;
use crate::identity::IssueConfig;
use crate::identity::jwt::IssuerConfig;
use crate::limit::LocalLimits;
use crate::operate::audit_table::{AuditConfig, AuditTable};
use crate::operate::bridge_table::BridgeTable;
use crate::operate::cli::NodeFlags;
use crate::operate::edge_table;
use crate::operate::failure::CommandFailure;
use crate::operate::fdb_table::FdbTable;
use crate::operate::identity_table::IdentityTable;
use crate::operate::limits_table::LimitsTable;
use crate::operate::origin::{Origins, flag_or_variable};
use crate::operate::peers_table::PeersTable;
use crate::operate::privacy::PrivacyTable;
use crate::operate::session_table::SessionTable;
use crate::operate::tls_files::{TlsConfig, TlsTable};

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
    /// What clients are told instead of `quic`, `host:port`.
    pub(crate) advertise_quic: Option<String>,
    /// What they are told instead of `http`.
    pub(crate) advertise_http: Option<String>,
    /// What other nodes are told instead of `peer`.
    pub(crate) advertise_peer: Option<String>,
    pub(crate) weight: u32,
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) tls: TlsConfig,
    pub(crate) fdb: FdbTable,
    pub(crate) edge: AdmissionConfig,
    pub(crate) peers: AdmissionConfig,
    pub(crate) bridge: BridgeTable,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) identity: IdentityTable,
    pub(crate) privacy: PrivacyTable,
    /// Those of `identity`, checked.
    #[serde(skip)]
    pub(crate) issuers: Vec<IssuerConfig>,
    /// The rest of it, checked.
    #[serde(skip)]
    pub(crate) issue: IssueConfig,
    pub(crate) limits: LimitsTable,
    #[serde(skip)]
    pub(crate) local_limits: LocalLimits,
    pub(crate) drain_seconds: u32,
    pub(crate) reserve_mib: u32,
    pub(crate) connections_max: u32,
    pub(crate) worker_lease_ms: u32,
    pub(crate) audit: AuditConfig,
    pub(crate) sessions: SessionTable,
    #[serde(skip)]
    origins: Origins,
}

/// Where state lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) enum StoreUrl {
    /// A directory of this node, under the data directory.
    Embedded,
    /// A storage node, `host:port`, and the name it must have, if any.
    Node {
        name: Option<String>,
        address: String,
    },
    /// A FoundationDB cluster file.
    FoundationDb(PathBuf),
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
    advertise_quic: Option<String>,
    advertise_http: Option<String>,
    advertise_peer: Option<String>,
    weight: Option<u32>,
    ready_file: Option<PathBuf>,
    tls: TlsTable,
    fdb: FdbTable,
    edge: AdmissionConfig,
    peers: PeersTable,
    bridge: BridgeTable,
    token_file: Option<PathBuf>,
    identity: IdentityTable,
    limits: LimitsTable,
    privacy: PrivacyTable,
    drain_seconds: Option<u32>,
    reserve_mib: Option<u32>,
    connections_max: Option<u32>,
    worker_lease_ms: Option<u32>,
    audit: AuditTable,
    sessions: SessionTable,
}

impl NodeConfig {
    /// Reads the file that the flags name, lets the flags override it, and checks every field.
    pub(crate) fn load(flags: &NodeFlags) -> Result<Self, CommandFailure> {
        let file = File::read(flags.config.as_deref())?;
        let flags = flags.clone();
        let mut origins = Origins::new(flags.config);
        let name = origins.pick("name", flags.name, file.name);
        let data_dir = origins.pick("data_dir", flags.data_dir, file.data_dir);
        let store = origins.pick("store", flags.store, file.store);
        let roles = flags.roles.map(|roles| roles.join(","));
        let roles = origins.pick("roles", roles, file.roles.map(|roles| roles.join(",")));
        let quic = origins.pick("quic", flags.quic, file.quic);
        let peer = origins.pick("peer", flags.peer, file.peer);
        let http = origins.pick("http", flags.http, file.http);
        let advertise_quic =
            origins.pick("advertise_quic", flags.advertise_quic, file.advertise_quic);
        let advertise_http =
            origins.pick("advertise_http", flags.advertise_http, file.advertise_http);
        let advertise_peer =
            origins.pick("advertise_peer", flags.advertise_peer, file.advertise_peer);
        let weight = number(&mut origins, "weight", flags.weight, file.weight);
        let ready_file = origins.pick("ready_file", flags.ready_file, file.ready_file);
        let given = [flags.peer_ca, flags.peer_certificate, flags.peer_key];
        let table = tls_table(&mut origins, given, file.tls);
        let by = |key| origins.of(key);
        let store = StoreUrl::parse(&by("store"), store.as_deref().unwrap_or("embedded"))?;
        let roles = self::roles(&by("roles"), roles.as_deref(), &store)?;
        storage_is_embedded(&by("store"), &roles, &store)?;
        Ok(Self {
            name: node_name(&by("name"), name.unwrap_or_else(|| "node-1".to_owned()))?,
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from("./selvedge-data")),
            store,
            roles,
            quic: address(&by("quic"), quic, "127.0.0.1:7400")?,
            peer: address(&by("peer"), peer, "127.0.0.1:7410")?,
            http: address(&by("http"), http, "127.0.0.1:7480")?,
            advertise_quic: advertised(&by("advertise_quic"), advertise_quic)?,
            advertise_http: advertised(&by("advertise_http"), advertise_http)?,
            advertise_peer: advertised(&by("advertise_peer"), advertise_peer)?,
            // A node of twice the weight has twice the actors.
            weight: within(&by("weight"), weight, 100, 1..=10_000)?,
            ready_file: self::ready_file(&by("ready_file"), ready_file)?,
            tls: TlsConfig::of(table, |key| origins.of(key))?,
            fdb: file.fdb.checked(|key| origins.of(key))?,
            edge: edge_table::checked("edge", file.edge, |key| origins.of(key))?,
            peers: edge_table::checked("peers", file.peers.admission(), |key| origins.of(key))?,
            bridge: file.bridge.checked(|key| origins.of(key))?,
            token_file: file.token_file,
            issuers: file.identity.checked(|key| origins.of(key))?,
            issue: file.identity.issue(|key| origins.of(key))?,
            identity: file.identity,
            local_limits: file.limits.checked(|key| origins.of(key))?,
            limits: file.limits,
            privacy: file.privacy,
            drain_seconds: within(&by("drain_seconds"), file.drain_seconds, 30, 1..=3_600)?,
            reserve_mib: within(&by("reserve_mib"), file.reserve_mib, 64, 1..=1_048_576)?,
            connections_max: within(
                &by("connections_max"),
                file.connections_max,
                // 100,000 idle sessions take under 6 GB.
                100_000,
                1..=10_000_000,
            )?,
            worker_lease_ms: within(
                &by("worker_lease_ms"),
                file.worker_lease_ms,
                // A heartbeat every third of it: two may be lost.
                10_000,
                100..=3_600_000,
            )?,
            audit: file.audit.checked(|key| origins.of(key))?,
            sessions: file.sessions.checked(|key| origins.of(key))?,
            origins,
        })
    }

    /// Whether the node serves its store to others and nothing else.
    pub(crate) fn is_storage(&self) -> bool {
        self.roles.contains(&Role::Storage)
    }

    /// Whether the node has a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The name of what gave a key its value, for errors.
    pub(crate) fn origin(&self, key: &str) -> String {
        self.origins.of(key)
    }
}

/// What the file says of certificates, with those of peers that flags give: authority, certificate, key.
fn tls_table(origins: &mut Origins, given: [Option<PathBuf>; 3], file: TlsTable) -> TlsTable {
    let [authority, certificate, key] = given;
    let in_file = file.peer_certificate;
    TlsTable {
        peer_ca: origins.pick("tls.peer_ca", authority, file.peer_ca),
        peer_certificate: origins.pick("tls.peer_certificate", certificate, in_file),
        peer_key: origins.pick("tls.peer_key", key, file.peer_key),
        ..file
    }
}

impl File {
    fn read(path: Option<&Path>) -> Result<Self, CommandFailure> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let name = flag_or_variable("config", path);
        let text = std::fs::read_to_string(path).map_err(|error| {
            let remedy = "give a TOML file that can be read";
            CommandFailure::named(&name, path, &error, remedy)
        })?;
        toml::from_str(&text).map_err(|error| {
            let path = path.display();
            CommandFailure::usage(format!("{name} {path}: {error}"))
        })
    }
}

impl StoreUrl {
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, CommandFailure> {
        match text.split_once(':') {
            None if text == "embedded" => Ok(Self::Embedded),
            Some(("node", rest)) if is_address(rest) => match rest.split_once('@') {
                Some((node, address)) => Ok(Self::Node {
                    name: Some(node_name(name, node.to_owned())?),
                    address: address.to_owned(),
                }),
                None => Ok(Self::Node {
                    name: None,
                    address: rest.to_owned(),
                }),
            },
            Some(("fdb", _)) if cfg!(not(feature = "fdb-client")) => {
                Err(CommandFailure::usage(format!(
                    "{name}: this build has no FoundationDB: build it with --features fdb (libfdb_c must be \
                     installed), or use embedded or node:HOST:PORT"
                )))
            }
            Some(("fdb", path)) if !path.is_empty() => Ok(Self::FoundationDb(PathBuf::from(path))),
            Some(_) | None => Err(CommandFailure::usage(format!(
                "{name}: store {text:?} is not known: use embedded, node:HOST:PORT or \
                 fdb:CLUSTER_FILE"
            ))),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Node {
                name: Some(name),
                address,
            } => write!(f, "node:{name}@{address}"),
            Self::Node {
                name: None,
                address,
            } => write!(f, "node:{address}"),
            Self::FoundationDb(path) => write!(f, "fdb:{}", path.display()),
        }
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

/// Whether a host and a port are there.
fn is_address(text: &str) -> bool {
    let host_and_port = text.rsplit_once(':');
    host_and_port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

pub(crate) fn node_name(by: &str, name: String) -> Result<String, CommandFailure> {
    let valid = (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if valid {
        Ok(name)
    } else {
        Err(CommandFailure::usage(format!(
            "{by}: {name:?} is not a valid name: use 1 to 63 of a-z, 0-9 and '-'"
        )))
    }
}

/// The roles of a list with commas: any of them on a store that nodes share, all that one node needs on one of
/// its own, or storage alone.
fn roles(by: &str, listed: Option<&str>, store: &StoreUrl) -> Result<Vec<Role>, CommandFailure> {
    let Some(listed) = listed else {
        return Ok(vec![Role::Edge, Role::Bridge, Role::Core, Role::Processing]);
    };
    let mut roles = Vec::new();
    for name in listed
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let role = match name {
            "edge" => Role::Edge,
            "bridge" => Role::Bridge,
            "core" => Role::Core,
            "processing" => Role::Processing,
            "storage" => Role::Storage,
            other => {
                return Err(CommandFailure::usage(format!(
                    "{by}: {other:?} is not a role: use edge, bridge, core, processing, storage"
                )));
            }
        };
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    if roles.is_empty() {
        return Err(CommandFailure::usage(format!(
            "{by}: name at least one role"
        )));
    }
    if roles.contains(&Role::Storage) {
        // Beside others it would have a writer that these do not know of.
        return match roles.as_slice() {
            [_] => Ok(roles),
            _ => Err(CommandFailure::usage(format!(
                "{by}: storage stands alone: start another node for the other roles, with \
                 --store node:HOST:PORT"
            ))),
        };
    }
    let needed = match store {
        // Nobody else can do it.
        StoreUrl::Embedded => [Role::Edge, Role::Core, Role::Processing].as_slice(),
        StoreUrl::Node { .. } | StoreUrl::FoundationDb(_) => &[],
    };
    for role in needed {
        if !roles.contains(role) {
            return Err(CommandFailure::usage(format!(
                "{by}: {} is missing; a node with an embedded store is alone and needs edge, core and \
                 processing; roles are divided among nodes with --store node:HOST:PORT",
                format!("{role:?}").to_lowercase()
            )));
        }
    }
    Ok(roles)
}

fn address(by: &str, text: Option<String>, default: &str) -> Result<SocketAddr, CommandFailure> {
    let text = text.unwrap_or_else(|| default.to_owned());
    let resolved = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    resolved.ok_or_else(|| {
        CommandFailure::usage(format!(
            "{by}: {text:?} is not an address: use HOST:PORT, for example {default}"
        ))
    })
}

fn storage_is_embedded(by: &str, roles: &[Role], store: &StoreUrl) -> Result<(), CommandFailure> {
    if roles.contains(&Role::Storage) && *store != StoreUrl::Embedded {
        return Err(CommandFailure::usage(format!(
            "{by}: a node with the role storage serves its embedded store; leave --store out"
        )));
    }
    Ok(())
}

/// A number of either place.
fn number(
    origins: &mut Origins,
    key: &'static str,
    by_flag: Option<u32>,
    by_file: Option<u32>,
) -> Option<u32> {
    let text = |number: Option<u32>| number.map(|number| number.to_string());
    let picked = origins.pick(key, text(by_flag), text(by_file));
    picked.and_then(|text| text.parse().ok())
}

/// An address that is told to others; it is looked up by them.
fn advertised(by: &str, text: Option<String>) -> Result<Option<String>, CommandFailure> {
    match text {
        Some(text) if !is_address(&text) || text.len() > LABEL_BYTES_MAX => {
            Err(CommandFailure::usage(format!(
                "{by}: {text:?} is not an address that others can use: give HOST:PORT"
            )))
        }
        text => Ok(text),
    }
}

/// Found wrong now, not when the node is ready.
fn ready_file(by: &str, path: Option<PathBuf>) -> Result<Option<PathBuf>, CommandFailure> {
    match path {
        Some(path) if !can_be_a_file(&path) => Err(CommandFailure::usage(format!(
            "{by} {}: give a file in a directory that is there",
            path.display()
        ))),
        path => Ok(path),
    }
}

/// Whether there is a directory for the file, and none in its place.
pub(crate) fn can_be_a_file(path: &Path) -> bool {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new(".")).is_dir() && !path.is_dir()
}

pub(super) fn within(
    by: &str,
    value: Option<u32>,
    default: u32,
    range: RangeInclusive<u32>,
) -> Result<u32, CommandFailure> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(&value) => Ok(value),
        Some(value) => Err(CommandFailure::usage(format!(
            "{by}: {value} is out of range: use {} to {}",
            range.start(),
            range.end()
        ))),
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
        assert_eq!(config.origin("name"), "--name");
        assert!(config.origin("quic").ends_with("node.toml: quic"));
    }

    #[test]
    fn a_storage_node_is_named_with_or_without_its_name() {
        for text in ["node:db:7410", "node:storage-1@[::1]:7410"] {
            assert_eq!(StoreUrl::parse("--store", text).unwrap().to_string(), text);
        }
        let config = from_text("roles = ['storage']", NodeFlags::default()).unwrap();
        assert!(config.is_storage());
    }

    #[test]
    fn roles_are_divided_among_nodes_that_share_a_store() {
        let text = "store = 'node:db:7410'\nroles = ['core']";
        let config = from_text(text, NodeFlags::default()).unwrap();
        assert!(config.has(Role::Core) && !config.has(Role::Edge));
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
            ("roles = ['edge', 'storage']", "roles"),
            ("roles = ['edge', 'core']", "processing is missing"),
            ("ready_file = '/nowhere/ready'", "ready_file"),
            ("worker_lease_ms = 'soon'", "worker_lease_ms"),
            ("drain_seconds = 0", "drain_seconds"),
            ("[sessions]\nhours_max = 0", "sessions.hours_max"),
            ("[sessions]\nidle_minutes_max = 600000", "sessions.idle"),
            ("[sessions]\nminutes = 1", "minutes"),
            ("weight = 0", "weight"),
            ("[audit]\nretention_days = 40000", "audit.retention_days"),
            ("[audit]\nretention = 7", "retention_days"),
            ("advertise_peer = 'here'", "HOST:PORT"),
            ("[edge]\nhandshakes_max = 1", "edge.handshakes_max"),
            ("[edge]\nadress = 1", "adress"),
            ("[peers]\nhandshakes_max = 1", "peers.handshakes_max"),
            ("[tls]\ncertificate = 'a'", "tls.key"),
            ("[tls]\nbrowser_certificate = 'a'", "tls.browser_key"),
            (
                "[tls]\npeer_ca = 'a'\npeer_key = 'b'",
                "tls.peer_certificate",
            ),
            ("store = 'node:nowhere'", "node:HOST:PORT"),
            ("store = 'node:A b@host:1'", "a-z"),
            ("roles = ['storage']\nstore = 'node:host:1'", "store"),
        ] {
            let failure = from_text(text, NodeFlags::default()).unwrap_err();
            let message = failure.message.to_lowercase();
            assert!(message.contains(&named.to_lowercase()), "{text}: {message}");
            assert!(message.contains("node.toml"), "{text}: {message}");
            assert_eq!(failure.exit, crate::operate::failure::Exit::Usage);
        }
    }

    #[cfg(not(feature = "fdb-client"))]
    #[test]
    fn a_build_without_foundationdb_says_how_to_make_one() {
        let text = "store = 'fdb:/etc/fdb.cluster'";
        let failure = from_text(text, NodeFlags::default()).unwrap_err();
        for part in ["store", "--features fdb", "node.toml"] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        assert_eq!(failure.exit, crate::operate::failure::Exit::Usage);
    }
}
