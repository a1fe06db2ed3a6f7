//! fjall behind the few verbs that the embedded store needs. The only file that names fjall.
//!
//! Users' keys are kept under one leading byte, so that they may be empty and so that the store has
//! a place of its own. Nothing here knows of transactions or conflicts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable,
};

use super::super::{Error, Order, Version};
use super::EmbeddedConfig;
use super::directory::Directory;

pub(super) use fjall::{Slice, Snapshot};

/// An open fjall database with the lock on its directory.
pub(super) struct Engine {
    keyspace: Keyspace,
    database: Database,
    path: PathBuf,
    /// Last, so that the directory is free only once fjall's threads have ended.
    directory: Directory,
}

/// A change of one key, under the key that is kept: a value, or none.
pub(super) type Change = (Slice, Option<Slice>);

/// How a write failed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Nothing was written.
    Refused(String),
    /// It may have been written, in part or whole.
    Unknown(String),
}

impl Engine {
    /// Opens or creates the database within the directory, and answers its last version.
    pub(super) fn open(
        directory: Directory,
        config: &EmbeddedConfig,
    ) -> Result<(Self, Version), Error> {
        let path = directory.path().to_owned();
        let opened = Database::builder(directory.database_path())
            .worker_threads(WORKERS)
            .cache_size(config.cache_bytes)
            .max_journaling_size(JOURNALS_BYTES_MAX)
            .journal_compression(CompressionType::None)
            .open()
            .and_then(|database| {
                let options = || options(config.memtable_bytes);
                Ok((database.keyspace(KEYSPACE, options)?, database))
            });
        let (keyspace, database) = opened.map_err(|error| corrupt(&path, &error))?;
        let engine = Self {
            keyspace,
            database,
            path,
            directory,
        };
        let version = engine.snapshot().get(&engine.keyspace, VERSION_KEY);
        let version = match version.map_err(|error| corrupt(&engine.path, &error))? {
            None => 0,
            Some(bytes) => match <[u8; 8]>::try_from(&*bytes) {
                Ok(bytes) => Version::from_be_bytes(bytes),
                Err(_) => return Err(engine.damaged("its version has a wrong length")),
            },
        };
        Ok((engine, version))
    }

    /// Everything that was written until now, and nothing later.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    /// The value under a kept key.
    pub(super) fn value(&self, snapshot: &Snapshot, key: &[u8]) -> Result<Option<Slice>, Error> {
        snapshot
            .get(&self.keyspace, key)
            .map_err(|error| unreadable(&self.path, &error))
    }

    /// The pairs with `begin <= key < end`, under kept keys.
    pub(super) fn pairs<'a>(
        &'a self,
        snapshot: &Snapshot,
        (begin, end): (&[u8], &[u8]),
        order: Order,
    ) -> Box<dyn Iterator<Item = Result<(Slice, Slice), Error>> + 'a> {
        if begin >= end {
            return Box::new(std::iter::empty());
        }
        let pairs = snapshot.range(&self.keyspace, begin..end);
        let path = &self.path;
        let pair = move |guard: fjall::Guard| guard.into_inner().map_err(|e| unreadable(path, &e));
        match order {
            Order::Ascending => Box::new(pairs.map(pair)),
            Order::Descending => Box::new(pairs.rev().map(pair)),
        }
    }

    /// Writes the changes and the version in one atomic batch, and returns when they are durable.
    pub(super) fn write(
        &self,
        version: Version,
        changes: impl ExactSizeIterator<Item = Change>,
    ) -> Result<(), WriteError> {
        self.wait_for_room()?;
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), changes.len() + 1)
            .durability(Some(PersistMode::SyncData));
        batch.insert(&self.keyspace, VERSION_KEY, version.to_be_bytes());
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit().map_err(|error| match error {
            fjall::Error::Poisoned => WriteError::Refused(POISONED.to_owned()),
            other => WriteError::Unknown(format!("a write failed: {other}")),
        })
    }

    /// The directory, for its floor and its free space.
    pub(super) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The error for content that cannot be right.
    pub(super) fn damaged(&self, reason: &str) -> Error {
        Error::Corrupt {
            path: self.path.display().to_string(),
            reason: reason.to_owned(),
        }
    }

    /// Lets flushes and compactions catch up. fjall does the same a little later, but for ever if
    /// its worker has died in the meantime, and in steps of 100 ms.
    fn wait_for_room(&self) -> Result<(), WriteError> {
        while self.keyspace.sealed_memtable_count() >= SEALED_MEMTABLES_MAX
            || self.keyspace.l0_table_count() >= L0_TABLES_MAX
        {
            if self.database.persist(PersistMode::Buffer).is_err() {
                return Err(WriteError::Refused(POISONED.to_owned()));
            }
            std::thread::sleep(ROOM_POLL);
        }
        Ok(())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.path.display())
    }
}

/// The key under which a user's key is kept.
pub(super) fn kept(key: &[u8]) -> Slice {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(USER);
    bytes.extend_from_slice(key);
    Slice::from(bytes)
}

/// The user's key that is kept under `key`.
pub(super) fn user(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

fn options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes)
        .data_block_compression_policy(CompressionPolicy::disabled())
}

fn corrupt(path: &Path, error: &fjall::Error) -> Error {
    Error::Corrupt {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn unreadable(path: &Path, error: &fjall::Error) -> Error {
    Error::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

/// The leading byte of users' keys.
pub(super) const USER: u8 = 1;
/// The leading byte of the store's own keys.
const VERSION_KEY: &[u8] = b"\0version";
const KEYSPACE: &str = "data";
const POISONED: &str = "an earlier write, flush or compaction failed";

/// One worker flushes and compacts: with two, fjall's first spins for as long as the second compacts.
const WORKERS: usize = 1;
/// Journals are removed once flushed; four of fjall's 64 MB journals are reached only when flushes lag.
const JOURNALS_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// One below where fjall stops writers by itself.
const SEALED_MEMTABLES_MAX: usize = 3;
/// Below the 20 runs at which fjall slows writers down by itself.
const L0_TABLES_MAX: usize = 18;
/// A flush takes tens of milliseconds: looked for often enough, without a busy core.
const ROOM_POLL: Duration = Duration::from_millis(1);
