//! The commands and flags of `selvedge limit`.

use clap::{Args, Subcommand};

use super::ClientFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum Limit {
    /// Set a limit over the whole cluster, in force on every node within a second.
    Set {
        #[command(flatten)]
        named: LimitNamed,
        /// How much in how much time: 50/s, 600/min, 10/h.
        rate: String,
        /// What may come at once [default: what comes in a second, at least 1].
        #[arg(long, value_name = "N")]
        burst: Option<u64>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show a limit.
    Get {
        #[command(flatten)]
        named: LimitNamed,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// List the limits that are set.
    List {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Take a limit away.
    Delete {
        #[command(flatten)]
        named: LimitNamed,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show the limits that are set, and each change of them as it is made.
    Watch {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show whom the node that is asked refused most in the last minute.
    Top {
        /// How many to show.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Which limit.
#[derive(Debug, Args)]
pub(crate) struct LimitNamed {
    /// tenant:NAME, tenant:* (each that has none of its own), principal:NAME or principal:*.
    pub(crate) scope: String,
    /// bytes, frames, commands, queries, submissions, subscriptions or datagrams.
    pub(crate) limit: String,
}
