//! A store that stands still while its gate is closed, as for a process that was stopped or cut off: calls
//! wait, and go on when it opens. Counts the commits that are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use selvedge_cluster::store::{Committed, Error, Isolation, Range, Store, Transaction, Version};
use tokio::sync::watch;

/// The gate of a store, and what went through it.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    is_open: watch::Sender<bool>,
    refused: AtomicUsize,
}

#[derive(Debug)]
struct Gated {
    inner: Arc<dyn Store>,
    gate: Gate,
}

#[derive(Debug)]
struct GatedTransaction {
    inner: Box<dyn Transaction>,
    gate: Gate,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            is_open: watch::Sender::new(true),
            refused: AtomicUsize::new(0),
        }))
    }

    /// The store behind this gate. Others may write to it.
    pub(crate) fn store(&self, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Gated {
            inner,
            gate: self.clone(),
        })
    }

    pub(crate) fn close(&self) {
        self.0.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.0.is_open.send_replace(true);
    }

    /// Commits that were made and conflicted.
    pub(crate) fn refused(&self) -> usize {
        self.0.refused.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        let mut is_open = self.0.is_open.subscribe();
        is_open.wait_for(|is_open| *is_open).await.unwrap();
    }
}

impl Gated {
    fn transaction(&self, inner: Box<dyn Transaction>) -> Box<dyn Transaction> {
        let gate = self.gate.clone();
        Box::new(GatedTransaction { inner, gate })
    }
}

impl Store for Gated {
    fn begin(&self) -> Box<dyn Transaction> {
        self.transaction(self.inner.begin())
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.transaction(self.inner.begin_at(version))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        let (watch, gate) = (self.inner.watch(key), self.gate.clone());
        Box::pin(async move {
            let fired = watch.await;
            gate.pass().await;
            fired
        })
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn health(&self) -> Result<(), Error> {
        self.inner.health()
    }
}

impl Transaction for GatedTransaction {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(async move {
            self.gate.pass().await;
            self.inner.get(key, isolation).await
        })
    }

    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, Error>> {
        Box::pin(async move {
            self.gate.pass().await;
            self.inner.range(range).await
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.inner.set(key, value);
    }

    fn clear(&mut self, key: &[u8]) {
        self.inner.clear(key);
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        self.inner.clear_range(begin, end);
    }

    fn add(&mut self, key: &[u8], by: i64) {
        self.inner.add(key, by);
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
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
        let (inner, gate) = (self.inner, self.gate);
        Box::pin(async move {
            gate.pass().await;
            let result = inner.commit().await;
            if matches!(result, Err(Error::Conflict)) {
                gate.0.refused.fetch_add(1, Ordering::SeqCst);
            }
            result
        })
    }
}
