//! The store on FoundationDB: for clusters that outgrow one machine. Behind the features `fdb-7_1`, `fdb-7_3` and
//! `fdb-7_4`, which say the version of the client API; `fdb` is the usual one.
//!
//! ```text
//! Store, Transaction ──► transaction ─┐
//!                        watch ───────┼──► native (the crate, its one thread) ──► libfdb_c ──► FoundationDB
//! health ◄── database ◄── follower ───┘
//! ```
//!
//! All keys lie under one prefix, so that several clusters share a database. A commit that knows its version needs one
//! round trip and no read: `begin_at` gives FoundationDB the version, so that its proxies need not be asked for one.
//! What FoundationDB does not know of a commit is [`Error::CommitUnknown`](super::Error::CommitUnknown) here, never a
//! guess.

mod config;
mod database;
mod failure;
mod native;
mod status;
mod transaction;
mod watch;

pub use config::{ClusterFile, ClusterFileError, FdbConfig, NetworkConfig, Priority, Tls};
pub use database::{Fdb, OpenError};
pub use native::{NetworkError, stop};
