//! The commands and flags of `selvedge subject`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use selvedge_protocol::SubjectId;

use super::ClientFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// List subjects and how their keys are, by id.
    List {
        /// How many to show.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=256))]
        limit: u32,
        /// Where the page before ended.
        #[arg(long)]
        cursor: Option<SubjectId>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Write everything that is stored about a subject as JSON: actors and operations with their events and payloads,
    /// consents, and what the audit trail says.
    Export {
        subject: SubjectId,
        /// Where to [default: standard output].
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Erase what is stored about a subject, for good.
    ///
    /// Its key is destroyed at once, which makes all of it unreadable wherever it is, backups included; then the
    /// rows are cleared. May be repeated, and goes on where it was. What is stored about the subject later has
    /// another key.
    Erase(SubjectName),
    /// Wrap the keys of all subjects anew that are under an older wrapping key, so that this can be taken out.
    Rewrap {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Record and show what subjects consent to.
    #[command(subcommand)]
    Consent(Consent),
}

#[derive(Debug, Args)]
pub(crate) struct SubjectName {
    pub(crate) subject: SubjectId,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Consent {
    /// Record that a subject consents to a use of its data.
    Grant(ConsentOf),
    /// Record that it does not any more.
    Withdraw(ConsentOf),
    /// Show what it has said, by purpose.
    List(SubjectName),
}

#[derive(Debug, Args)]
pub(crate) struct ConsentOf {
    pub(crate) subject: SubjectId,
    /// What the data is used for, `newsletter` for example.
    pub(crate) purpose: String,
    /// How it was given.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}
