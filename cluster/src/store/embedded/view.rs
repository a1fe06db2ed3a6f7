//! What readers see: a snapshot of the engine for each group of commits, newest last.
//!
//! Transactions take one at their beginning; the committer publishes them. Never waits for a commit.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::super::{Error, Version};
use super::engine::{Engine, Snapshot};

/// The store as of one version.
pub(super) struct View {
    pub(super) version: Version,
    pub(super) snapshot: Snapshot,
    pub(super) engine: Arc<Engine>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({})", self.version)
    }
}

/// The views that may still be read, newest last; none once the store is closed.
#[derive(Debug)]
pub(super) struct Views {
    views: RwLock<VecDeque<Arc<View>>>,
    oldest: AtomicU64,
}

impl Views {
    pub(super) fn new(first: View) -> Self {
        Self {
            oldest: AtomicU64::new(first.version),
            views: RwLock::new(VecDeque::from([Arc::new(first)])),
        }
    }

    /// The newest view.
    pub(super) fn latest(&self) -> Option<Arc<View>> {
        self.views.read().back().cloned()
    }

    /// The view of the last group at or before `version`.
    pub(super) fn at(&self, version: Version) -> Result<Arc<View>, Error> {
        let views = self.views.read();
        let Some(latest) = views.back() else {
            return Err(closed());
        };
        // A version from the future is one of before a restore: whoever has it must begin anew.
        if version > latest.version || self.is_too_old(version) {
            return Err(Error::TooOld);
        }
        let after = views.partition_point(|view| view.version <= version);
        let view = after.checked_sub(1).and_then(|at| views.get(at));
        view.cloned().ok_or(Error::TooOld)
    }

    /// Whether what a transaction read at `version` may no longer be read.
    pub(super) fn is_too_old(&self, version: Version) -> bool {
        version < self.oldest.load(Ordering::Acquire)
    }

    /// Adds a view and forgets those that only transactions before `oldest` would read.
    pub(super) fn publish(&self, view: View, oldest: Version) {
        self.oldest.store(oldest, Ordering::Release);
        let mut forgotten = Vec::new();
        {
            let mut views = self.views.write();
            views.push_back(Arc::new(view));
            while views.get(1).is_some_and(|next| next.version <= oldest) {
                forgotten.extend(views.pop_front());
            }
        }
        // Snapshots are closed outside of the lock, since readers wait for it.
        drop(forgotten);
    }

    /// Lets go of the engine.
    pub(super) fn close(&self) {
        let views = std::mem::take(&mut *self.views.write());
        drop(views);
    }
}

/// The error of everything that comes after `close`.
pub(super) fn closed() -> Error {
    Error::Stopped("it was closed".to_owned())
}
