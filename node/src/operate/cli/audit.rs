//! The flags of `selvedge audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ClientFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List records, the newest first.
    List(Box<AuditList>),
    /// Write records as JSON lines, oldest first, each with the bytes that its hash is made of.
    ///
    /// Of each line `record` is the stored record in base64, `hash` its SHA-256, `previous` that of the record before;
    /// the other fields are what the record says. `selvedge audit verify --file` checks all of that, without a node.
    Export(Box<AuditExport>),
    /// Verify that records are as they were written, and none is missing.
    ///
    /// Exits with 1 where they are not. Who can write to all of the store can write a chain anew: against that, keep
    /// the head that this prints somewhere else, and give it with --expect.
    Verify(Box<AuditVerify>),
}

/// Whose chain.
#[derive(Debug, Clone, Args)]
pub(crate) struct OfChain {
    /// Of the cluster, for its administrators, instead of the tenant's.
    #[arg(long)]
    pub(crate) cluster: bool,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Args)]
pub(crate) struct AuditList {
    /// From this number on, oldest first.
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// Not before this, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only of this principal.
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: Option<String>,
    /// Only this action, `policy.set`, or those of a resource, `policy`.
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// How many to show.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Show these oldest first, then what is recorded from now on.
    #[arg(long, conflicts_with = "until")]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) of: OfChain,
}

#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// Where they go [default: standard output]; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// From this number on [default: the first that is kept].
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    #[command(flatten)]
    pub(crate) of: OfChain,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// An export to verify, without a node.
    #[arg(long, value_name = "FILE", conflicts_with = "cluster")]
    pub(crate) file: Option<PathBuf>,
    /// A record that is known from elsewhere, and its hash.
    #[arg(long, value_name = "NUMBER:HASH", value_parser = parse_known)]
    pub(crate) expect: Option<(u64, String)>,
    #[command(flatten)]
    pub(crate) of: OfChain,
}

/// `NUMBER:HASH` of a record.
pub(crate) fn parse_known(text: &str) -> Result<(u64, String), String> {
    let parsed = text.split_once(':').and_then(|(number, hash)| {
        selvedge_cluster::audit::parse_hash(hash)?;
        Some((number.parse().ok()?, hash.to_lowercase()))
    });
    parsed.ok_or_else(|| {
        "give the number of a record, a colon and its hash of 64 hexadecimal digits".to_owned()
    })
}
