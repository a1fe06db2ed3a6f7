//! A store that counts what is asked of it, for figures that say what a thing costs its store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use selvedge_cluster::store::{Committed, Error, Isolation, Range, Store, Transaction, Version};
use tokio::time::Instant;

/// A store of which everything is counted. Clones count together.
#[derive(Debug, Clone)]
pub struct Counted {
    inner: Arc<dyn Store>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    since: Instant,
    transactions: AtomicU64,
    reads: AtomicU64,
    last_us: AtomicU64,
    commits: AtomicU64,
    failed: AtomicU64,
    keys: AtomicU64,
    bytes: AtomicU64,
}

/// What was asked of a store, from its beginning or between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// That were begun, whatever came of them.
    pub transactions: u64,
    /// That were answered.
    pub reads: u64,
    /// From the store's beginning until the answer to the last read.
    pub last_read: Duration,
    /// That had something to write, and did.
    pub commits: u64,
    /// That had something to write, and did not.
    pub failed: u64,
    /// In commits.
    pub keys: u64,
    /// Of these keys and their values.
    pub bytes: u64,
}

#[derive(Debug)]
struct CountedTransaction {
    inner: Box<dyn Transaction>,
    counts: Arc<Counts>,
    keys: u64,
    bytes: u64,
}

impl Counted {
    /// Begins to count what goes to `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let counts = Counts {
            since: Instant::now(),
            transactions: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        Self {
            inner,
            counts: Arc::new(counts),
        }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.counts.since.elapsed()
    }

    /// Until now.
    pub fn asked(&self) -> Asked {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Asked {
            transactions: of(&self.counts.transactions),
            reads: of(&self.counts.reads),
            last_read: Duration::from_micros(of(&self.counts.last_us)),
            commits: of(&self.counts.commits),
            failed: of(&self.counts.failed),
            keys: of(&self.counts.keys),
            bytes: of(&self.counts.bytes),
        }
    }

    fn transaction(&self, inner: Box<dyn Transaction>) -> Box<dyn Transaction> {
        count(&self.counts.transactions, 1);
        Box::new(CountedTransaction {
            inner,
            counts: Arc::clone(&self.counts),
            keys: 0,
            bytes: 0,
        })
    }
}

impl Asked {
    /// What came after an earlier moment.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            transactions: self.transactions - before.transactions,
            reads: self.reads - before.reads,
            last_read: self.last_read,
            commits: self.commits - before.commits,
            failed: self.failed - before.failed,
            keys: self.keys - before.keys,
            bytes: self.bytes - before.bytes,
        }
    }
}

fn count(of: &AtomicU64, by: u64) {
    of.fetch_add(by, Ordering::Relaxed);
}

impl Store for Counted {
    fn begin(&self) -> Box<dyn Transaction> {
        self.transaction(self.inner.begin())
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.transaction(self.inner.begin_at(version))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        self.inner.watch(key)
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    fn health(&self) -> Result<(), Error> {
        self.inner.health()
    }
}

impl CountedTransaction {
    fn answered(&self) {
        count(&self.counts.reads, 1);
        let now = self.counts.since.elapsed().as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.counts.last_us.fetch_max(now, Ordering::Relaxed);
    }

    const fn wrote(&mut self, bytes: usize) {
        self.keys += 1;
        self.bytes += bytes as u64;
    }
}

impl Transaction for CountedTransaction {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(async move {
            let value = self.inner.get(key, isolation).await;
            self.answered();
            value
        })
    }

    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, Error>> {
        Box::pin(async move {
            let rows = self.inner.range(range).await;
            self.answered();
            rows
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.wrote(key.len() + value.len());
        self.inner.set(key, value);
    }

    fn clear(&mut self, key: &[u8]) {
        self.wrote(key.len());
        self.inner.clear(key);
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        self.wrote(begin.len() + end.len());
        self.inner.clear_range(begin, end);
    }

    fn add(&mut self, key: &[u8], by: i64) {
        self.wrote(key.len() + size_of::<i64>());
        self.inner.add(key, by);
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        self.wrote(prefix.len() + suffix.len() + value.len());
        self.inner.set_versionstamped_key(prefix, suffix, value);
    }

    fn add_read_conflict(&mut self, key: &[u8]) {
        self.inner.add_read_conflict(key);
    }

    fn add_write_conflict(&mut self, key: &[u8]) {
        self.inner.add_write_conflict(key);
    }

    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, Error>> {
        self.inner.read_version()
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        let Self {
            inner,
            counts,
            keys,
            bytes,
        } = *self;
        let committing = inner.commit();
        Box::pin(async move {
            let result = committing.await;
            match (&result, keys) {
                // It only read.
                (_, 0) => {}
                (Ok(_), _) => {
                    count(&counts.commits, 1);
                    count(&counts.keys, keys);
                    count(&counts.bytes, bytes);
                }
                (Err(_), _) => count(&counts.failed, 1),
            }
            result
        })
    }
}
