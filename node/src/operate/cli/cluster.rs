//! The commands and flags of `selvedge cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ClientFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Make the authority of a cluster: ca.pem, which every node gets, and ca.key, which none does.
    InitCa(InitCa),
    /// Make the certificate of a node, signed by the cluster's authority, and its private key.
    IssueCert(IssueCert),
    /// Show the nodes: what each is, does and owns, and where it is reached.
    Status {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show which node owns which slots by the plan, and which are still on their way.
    Plan {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Let a node hand over all that it owns, and own nothing until it is undrained, also when it starts again.
    Drain(Drain),
    /// Let a node that was drained own its share again.
    Undrain {
        /// The node's name.
        node: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Forget a node that is dead or has left for good.
    Remove {
        /// The node's name.
        node: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Explain why the cluster, or one node of it, is not at rest: what waits for what, and what ends it.
    Why {
        /// The node's name [default: all nodes].
        node: Option<String>,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The node's name.
    pub(crate) node: String,
    /// Also where no other node can own slots: then nothing goes on until one can.
    #[arg(long)]
    pub(crate) force: bool,
    /// Wait until it owns nothing: then it can be stopped without anybody waiting for it.
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
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
