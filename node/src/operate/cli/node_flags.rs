//! The flags of commands that run a node.

use std::path::PathBuf;

use clap::Args;

use crate::operate::tie::Tied;

#[derive(Debug, Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    #[command(flatten)]
    pub(crate) tied: Tied,
    /// How many nodes to run, each a process of its own, on the store of one more. Node i is called node-i,
    /// and its ports are the given ones plus i - 1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) nodes: u8,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    #[command(flatten)]
    pub(crate) tied: Tied,
}

/// What `start` and `dev` take. Precedence: flag, `SELVEDGE_…` variable, configuration file, default.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NodeFlags {
    /// A TOML file; `selvedge config check` lists its fields.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The node's name within its cluster [default: node-1].
    #[arg(long, value_name = "NAME", env = "SELVEDGE_NAME")]
    pub(crate) name: Option<String>,
    /// Where the embedded store and development files live [default: ./selvedge-data].
    #[arg(long, value_name = "DIR", env = "SELVEDGE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The store: `embedded`, `node:HOST:PORT` of a storage node (`node:NAME@HOST:PORT` insists on its name),
    /// or `fdb:CLUSTER_FILE` [default: embedded].
    #[arg(long, value_name = "URL", env = "SELVEDGE_STORE")]
    pub(crate) store: Option<String>,
    /// Roles of this node, separated by commas; `storage` stands alone and serves the embedded store to other
    /// nodes [default: edge,bridge,core,processing].
    #[arg(
        long,
        value_name = "LIST",
        env = "SELVEDGE_ROLES",
        value_delimiter = ','
    )]
    pub(crate) roles: Option<Vec<String>>,
    /// Where clients connect, QUIC over UDP; port 0 asks for a free one [default: 127.0.0.1:7400].
    #[arg(long, value_name = "ADDR", env = "SELVEDGE_QUIC")]
    pub(crate) quic: Option<String>,
    /// Where other nodes connect, QUIC over UDP [default: 127.0.0.1:7410].
    #[arg(long, value_name = "ADDR", env = "SELVEDGE_PEER")]
    pub(crate) peer: Option<String>,
    /// Where browsers connect, HTTP [default: 127.0.0.1:7480].
    #[arg(long, value_name = "ADDR", env = "SELVEDGE_HTTP")]
    pub(crate) http: Option<String>,
    /// What clients are told as this node's address, HOST:PORT, where it is not that of --quic.
    #[arg(long, value_name = "ADDR", env = "SELVEDGE_ADVERTISE_QUIC")]
    pub(crate) advertise_quic: Option<String>,
    /// What browsers are told as this node's address, HOST:PORT, where it is not that of --http.
    #[arg(long, value_name = "ADDR", env = "SELVEDGE_ADVERTISE_HTTP")]
    pub(crate) advertise_http: Option<String>,
    /// What other nodes are told as this node's address, HOST:PORT, where it is not that of --peer.
    #[arg(long, value_name = "ADDR", env = "SELVEDGE_ADVERTISE_PEER")]
    pub(crate) advertise_peer: Option<String>,
    /// The node's share of the actors, in proportion to the weights of the others [default: 100].
    #[arg(long, value_name = "N", env = "SELVEDGE_WEIGHT")]
    pub(crate) weight: Option<u32>,
    /// The authority of the cluster's nodes, PEM; see `selvedge cluster`.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_PEER_CA")]
    pub(crate) peer_ca: Option<PathBuf>,
    /// This node's certificate among nodes, PEM.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_PEER_CERTIFICATE")]
    pub(crate) peer_certificate: Option<PathBuf>,
    /// The private key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_PEER_KEY")]
    pub(crate) peer_key: Option<PathBuf>,
    /// Written when the node is ready to serve: its addresses, as JSON.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_READY_FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}
