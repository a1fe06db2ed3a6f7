//! The flags of `selvedge cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Make the authority of a cluster: ca.pem, which every node gets, and ca.key, which none does.
    InitCa(InitCa),
    /// Make the certificate of a node, signed by the cluster's authority, and its private key.
    IssueCert(IssueCert),
}

#[derive(Debug, Args)]
pub(crate) struct InitCa {
    /// Where ca.pem and ca.key go; nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How long it is in force; a new one means new certificates for all nodes.
    #[arg(long, value_name = "N", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct IssueCert {
    /// The directory of ca.pem and ca.key.
    #[arg(long, value_name = "DIR")]
    pub(crate) ca: PathBuf,
    /// The node's name within its cluster.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// A host name or IP address to be in the certificate as well, for use on the client port; may be
    /// repeated. Nodes know each other by name alone.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Where NAME.pem and NAME.key go; nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How long it is in force. A node reads its files again when they have changed.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
}
