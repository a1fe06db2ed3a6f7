//! Who waits for a change of which key.
//!
//! Watchers register here; the committer fires them once a change is visible. Knows nothing of values.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::super::Error;
use super::engine::Slice;

type Sender = oneshot::Sender<Result<(), Error>>;

/// The watches of a store.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_key: Mutex<HashMap<Slice, Vec<Sender>>>,
    /// Lets a commit pass by without the lock while nobody watches anything.
    count: AtomicUsize,
}

impl Watches {
    /// Waits from now on. A watch that is given up is forgotten.
    pub(super) fn add(self: &Arc<Self>, key: Slice) -> BoxFuture<'static, Result<(), Error>> {
        if self.count.load(Ordering::Acquire) >= WATCHES_MAX {
            // A watch may complete by chance: who still cares asks again, who does not is gone.
            self.fire_all(&Ok(()));
        }
        let (sender, fired) = oneshot::channel();
        {
            let mut by_key = self.by_key.lock();
            by_key.entry(key.clone()).or_default().push(sender);
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        let mut watch = Watch {
            fired,
            watches: Arc::clone(self),
            key,
        };
        Box::pin(async move { (&mut watch.fired).await.unwrap_or(Ok(())) })
    }

    /// Whether anybody watches anything.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Completes the watches of a key.
    pub(super) fn fire(&self, key: &Slice) {
        let Some(senders) = self.by_key.lock().remove(key) else {
            return;
        };
        self.count.fetch_sub(senders.len(), Ordering::AcqRel);
        for sender in senders {
            // The watcher may be gone.
            let _ = sender.send(Ok(()));
        }
    }

    /// Completes every watch with the same outcome.
    pub(super) fn fire_all(&self, outcome: &Result<(), Error>) {
        let all = std::mem::take(&mut *self.by_key.lock());
        for sender in all.into_values().flatten() {
            self.count.fetch_sub(1, Ordering::AcqRel);
            let _ = sender.send(outcome.clone());
        }
    }

    fn forget_closed(&self, key: &Slice) {
        let mut by_key = self.by_key.lock();
        let Some(senders) = by_key.get_mut(key) else {
            return;
        };
        let before = senders.len();
        senders.retain(|sender| !sender.is_closed());
        self.count
            .fetch_sub(before - senders.len(), Ordering::AcqRel);
        if senders.is_empty() {
            by_key.remove(key);
        }
    }
}

/// A registered watch; forgotten when dropped.
struct Watch {
    fired: oneshot::Receiver<Result<(), Error>>,
    watches: Arc<Watches>,
    key: Slice,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.fired.close();
        self.watches.forget_closed(&self.key);
    }
}

/// FoundationDB's default number of watches per client.
const WATCHES_MAX: usize = 10_000;
