//! The reserve of free disk space: commits are refused before a disk is full, not after.
//!
//! Asked by the committer before each group, and for the store's health. Never waits and never writes.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::Error;

/// Watches the free space of one directory's disk.
#[derive(Debug)]
pub(super) struct Space {
    path: PathBuf,
    reserve_bytes: u64,
    last: Mutex<Look>,
}

/// The last look at the disk.
#[derive(Debug)]
struct Look {
    at: Option<Instant>,
    written_bytes: usize,
    outcome: Result<(), Error>,
}

impl Space {
    pub(super) const fn new(path: PathBuf, reserve_bytes: u64) -> Self {
        Self {
            path,
            reserve_bytes,
            last: Mutex::new(Look {
                at: None,
                written_bytes: 0,
                outcome: Ok(()),
            }),
        }
    }

    /// Whether `bytes` more may be written; looks at the disk only now and then.
    pub(super) fn check(&self, now: Instant, bytes: usize) -> Result<(), Error> {
        let mut last = self.last.lock();
        last.written_bytes += bytes;
        let is_fresh = last
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < LOOK_EVERY);
        if !is_fresh || last.written_bytes >= LOOK_EVERY_BYTES {
            *last = Look {
                at: Some(now),
                written_bytes: 0,
                outcome: self.look(),
            };
        }
        last.outcome.clone()
    }

    fn look(&self) -> Result<(), Error> {
        // A file system that cannot tell is not a full one.
        let Ok(disk) = rustix::fs::statvfs(&self.path) else {
            return Ok(());
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= self.reserve_bytes {
            return Ok(());
        }
        Err(Error::Full {
            path: self.path.display().to_string(),
            free,
            needed: self.reserve_bytes,
        })
    }
}

/// Often enough that what is written in between is far below the reserve, seldom enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An eighth of the default reserve.
const LOOK_EVERY_BYTES: usize = 8 * 1024 * 1024;
