//! The store: ordered keys and serialisable optimistic transactions, with FoundationDB's semantics.
//!
//! One trait, because there is more than one implementation: `embedded`, `remote`, which is the store of a storage
//! node, and `fdb`, which is FoundationDB. Callers write keys through [`keys`] only. The conformance suite
//! (`tests/it/store/`) runs over every backend.

pub mod chunk;
pub mod embedded;
#[cfg(feature = "fdb-client")]
pub mod fdb;
pub mod keys;
pub mod migration;
pub mod record;
pub mod remote;
mod run;
mod size;
mod watch;

pub(crate) use run::backoff;
pub use run::{run, run_repeatable};

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::privacy::SubjectKeys;

/// A commit's place in the order of all commits. Later is larger; gaps are usual.
pub type Version = u64;

/// A store, shared by everything on a node.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// A transaction that reads as of now, or as of a later moment up to its first read: stores that have to
    /// be asked are asked then. What it only writes has no version before its commit.
    fn begin(&self) -> Box<dyn Transaction>;

    /// A transaction that conflicts with whatever was committed after `version`, without asking the
    /// store for a fresh one. Meant for writers that know their keys as of `version`, such as an actor
    /// as of its last commit. Reads in it are as of `version` or fail with [`Error::TooOld`].
    fn begin_at(&self, version: Version) -> Box<dyn Transaction>;

    /// Completes when the value under `key` changed after this call, or by chance; read again then.
    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>>;

    /// Whether this process alone can write to the store for as long as it is open, so that what it
    /// holds in memory cannot be outdated by another process.
    fn is_exclusive(&self) -> bool;

    /// Whether keys that lie side by side can come to lie on different machines when much is written there, so that
    /// it is worth while to write at several places.
    fn is_spread(&self) -> bool {
        false
    }

    /// Whether commits can succeed at the moment, and why not: for readiness.
    fn health(&self) -> Result<(), Error>;

    /// The keys under which personal data is to be sealed; `None` where nothing is unsealed, so that nothing personal
    /// can be stored.
    fn subject_keys(&self) -> Option<&SubjectKeys> {
        None
    }
}

/// One transaction. Reads see its own writes. Dropped without `commit`, it leaves no trace.
pub trait Transaction: Send + fmt::Debug {
    /// The value under `key`.
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>>;

    /// The pairs within a range, in order, up to its limit.
    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, Error>>;

    /// The pairs of each of some ranges, all as of one version. Stores that have to be asked are asked for all at once,
    /// where they can be.
    fn ranges(&mut self, ranges: Vec<Range>) -> BoxFuture<'_, Result<Vec<Pairs>, Error>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(ranges.len());
            for range in ranges {
                all.push(self.range(range).await?);
            }
            Ok(all)
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]);

    fn clear(&mut self, key: &[u8]);

    /// Clears `begin <= key < end`.
    fn clear_range(&mut self, begin: &[u8], end: &[u8]);

    /// Adds to a little-endian 64-bit number (absent is 0), wrapping, without a read conflict.
    fn add(&mut self, key: &[u8], by: i64);

    /// Sets a key made of `prefix`, the ten bytes of this commit's versionstamp, and `suffix`.
    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]);

    /// Conflicts as if `key` had been read at this transaction's read version.
    fn add_read_conflict(&mut self, key: &[u8]);

    /// Conflicts for others as if `key` had been written.
    fn add_write_conflict(&mut self, key: &[u8]);

    /// The version the transaction reads at.
    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, Error>>;

    /// Commits: when this answers `Ok`, the writes are durable and visible.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>>;

    /// The same, for who has something else to do meanwhile: calls `done` with the answer, on any thread,
    /// so it must not wait. Dropped uncalled, it is not known whether the commit happened. Called within a
    /// runtime.
    fn commit_then(self: Box<Self>, done: CommitDone) {
        let committing = self.commit();
        tokio::spawn(async move { done(committing.await) });
    }
}

/// Keys and values in order.
pub type Pairs = Vec<(Bytes, Bytes)>;

/// Takes the answer to a commit.
pub type CommitDone = Box<dyn FnOnce(Result<Committed, Error>) + Send>;

/// Whether a read takes part in conflict detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The transaction fails if what it read has changed by its commit.
    Serializable,
    /// Read as of the transaction's version, without a conflict.
    Snapshot,
}

/// What to read, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub begin: Bound<Bytes>,
    pub end: Bound<Bytes>,
    pub order: Order,
    /// At most this many pairs.
    pub limit: usize,
    pub isolation: Isolation,
}

/// The direction of a range read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// A commit that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    pub version: Version,
    /// The ten bytes that versionstamped keys of this commit contain. Of no meaning if it wrote none.
    pub versionstamp: [u8; 10],
}

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Something read was changed by another transaction. Run it again.
    #[error("the transaction conflicts with a later commit")]
    Conflict,
    /// The transaction's version is past the window of 5 s. Run it again.
    #[error("the transaction is too old")]
    TooOld,
    /// The commit may or may not have happened. Find out by reading; never guess.
    #[error("whether the transaction was committed is not known")]
    CommitUnknown,
    /// A key, value or transaction is over its limit.
    #[error("{what} of {bytes} bytes is over the store's limit of {limit}")]
    TooLarge {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
    /// The disk is full. Nothing was written; reads go on; free some space and go on.
    #[error(
        "the disk of {path} is full: {free} bytes free, {needed} kept in reserve; free some space"
    )]
    Full {
        path: String,
        free: u64,
        needed: u64,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another process{}", .process.map(|id| format!(" (id {id})")).unwrap_or_default())]
    Locked { path: String, process: Option<u32> },
    /// The store's files are damaged, or not a store's.
    #[error(
        "{path} cannot be opened: {reason}; restore it from a backup, or move it away to start empty"
    )]
    Corrupt { path: String, reason: String },
    /// Something stored was found damaged when it was read: it stays so until the store is restored.
    #[error("{path} has a damaged part that cannot be read: {reason}; restore it from a backup")]
    Unreadable { path: String, reason: String },
    /// The schema is newer than this binary understands.
    #[error(
        "the store has schema {found}, this binary knows up to {known}; run selvedge {needed} or newer"
    )]
    NewerSchema {
        found: u32,
        known: u32,
        needed: String,
    },
    /// A backup was being restored into it, and that has not come to its end.
    #[error(
        "a restore into this store has not finished; run `selvedge backup restore` with the same backup again"
    )]
    Unfinished,
    /// The store cannot be reached, or is too busy. Nothing was written. Run it again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The store failed and takes no more commits until the node is restarted.
    #[error("the store has stopped: {0}")]
    Stopped(String),
    /// A stored record does not decode.
    #[error("the record under {key} does not decode: {reason}")]
    Record { key: String, reason: String },
}

impl Error {
    /// Whether running the same transaction again can succeed. `CommitUnknown` is not among these:
    /// the caller has to look first.
    pub const fn may_be_retried(&self) -> bool {
        match self {
            Self::Conflict | Self::TooOld | Self::Unavailable(_) => true,
            Self::CommitUnknown
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::Locked { .. }
            | Self::Corrupt { .. }
            | Self::Unreadable { .. }
            | Self::NewerSchema { .. }
            | Self::Unfinished
            | Self::Stopped(_)
            | Self::Record { .. } => false,
        }
    }

    /// Whether what is stored is damaged, so that asking again finds the same.
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Unreadable { .. } | Self::Record { .. } => true,
            Self::Conflict
            | Self::TooOld
            | Self::CommitUnknown
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::Locked { .. }
            | Self::NewerSchema { .. }
            | Self::Unfinished
            | Self::Unavailable(_)
            | Self::Stopped(_) => false,
        }
    }
}
