//! The commands and flags of `selvedge role`, `selvedge key` and `selvedge session`.

use std::path::PathBuf;

use clap::Subcommand;

use super::ClientFlags;
use crate::operate::duration::parse_ms;

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Make a role, or give it other rules. Nobody gives what they do not have.
    Set {
        /// [a-z][a-z0-9_.-]*
        name: String,
        /// RESOURCE:ACTION, either of them *; with :own behind, for what is the principal's own. Put * in quotes.
        #[arg(value_name = "RULE")]
        rules: Vec<String>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show a role.
    Get {
        name: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// List the roles of the tenant, those that are built in as well.
    List {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Remove a role; who has it has less from then on.
    Remove {
        name: String,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make an API key. It is shown once: with --out it goes into a file that only you can read.
    Create {
        /// What it is for.
        name: String,
        /// What it may do; may be repeated. Whoever makes the key has all of it.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// How long it is valid, for example 90d; without it, until it is revoked.
        #[arg(long, value_name = "DURATION", value_parser = parse_ms)]
        expires: Option<u64>,
        /// Where the key goes; nothing is overwritten.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show a key, without its secret.
    Get {
        id: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// List the keys of the tenant, the oldest first.
    List {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Revoke a key: nobody comes in with it any more, and whoever has is let go within a second.
    Revoke {
        id: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Revoke a key and forget it.
    Remove {
        id: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Have the cluster sign its tokens with another key: in two hours, when everybody has heard of it. For administrators
    /// of the cluster.
    Rotate {
        /// At once, and what others have signed is nobody's: where somebody else knows them.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Close all sessions of a principal, on whichever nodes they are. Its credentials stay as they are.
    Close {
        /// The name of the principal.
        #[arg(long, value_name = "NAME")]
        principal: String,
        #[command(flatten)]
        client: ClientFlags,
    },
}
