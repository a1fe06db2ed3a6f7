//! The flags of the commands that put a load on a node: `bench` and `verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::operate::cli::ClientFlags;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure.
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    /// Requests unanswered at a time.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
    /// How long to measure.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Actors that commands and queries are spread over.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) actors: u32,
    /// Requests a second, on schedule whatever the answers do [default: as fast as answers come].
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// A file that gets one line per acknowledged operation: its id.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Measure the baseline too; it takes half as long again.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) baseline: bool,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Decides what is called and when faults happen [default: a random one, which is printed].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How long the workload runs; the checks come after it.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Clients with a session each, one call at a time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) clients: u32,
    /// Actors they call; fewer make them meet more often.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) actors: u32,
    /// Start a cluster of its own: a storage node and so many nodes, with a network in between that can be broken.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) nodes: Option<u8>,
    /// Let the nodes of --nodes share this store, under a name of their own, instead of a storage node: fdb:CLUSTER_FILE.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Let the nodes of --nodes share a FoundationDB of its own instead of a storage node: three servers, started with
    /// the fdbserver and fdbcli of this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) fdb_bin: Option<PathBuf>,
    /// Kill a node with SIGKILL and start it again, so many times [3 without a number]; without --nodes, a node of
    /// its own that is alone.
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "3", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) kill: Option<u32>,
    /// Stop a node with SIGSTOP for up to 10 s and let it go on, so many times [3 without a number].
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "3", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) stop: Option<u32>,
    /// Cut a node off from the store, its peers, clients or all of them for up to 5 s, both ways or one way, so many
    /// times [3 without a number]; on FoundationDB from peers and clients only, and the way to the database stays.
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "3", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) partition: Option<u32>,
    /// Kill the storage node, or one of the three servers of --fdb-bin, with SIGKILL and start it again, so many
    /// times [3 without a number].
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "3", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) storage_kill: Option<u32>,
    /// Let a node leave by SIGTERM and come back, so many times [3 without a number].
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "3", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) drain: Option<u32>,
    /// Let another node join and leave by SIGTERM, so many times [3 without a number].
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "3", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) join: Option<u32>,
    /// Lose so many of a hundred datagrams, on all links of the cluster and its clients.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) loss: Option<u8>,
    /// Delay datagrams on all links by so much, and up to half as much more.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=500))]
    pub(crate) delay: Option<u64>,
    /// Let others overtake so many of a hundred datagrams, on all links.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) reorder: Option<u8>,
    /// Repeat so many of a hundred datagrams, on all links.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) duplicate: Option<u8>,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One-step durable operations, from submit to the result seen by the client.
    Ops,
    /// Actor commands, one commit each.
    Commands,
    /// Queries answered from memory.
    Queries,
    /// Sessions opened and kept.
    Sessions,
    /// Raw commits of the embedded store: needs no node.
    Commits,
}
