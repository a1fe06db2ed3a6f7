//! A store that stands still while its gate is closed, as for a process that was stopped or cut off: calls
//! wait, and go on when it opens, ranges perhaps later than the rest. It can hold only the commits that write some key, be full, or be
//! away. Counts the commits
//! that are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use selvedge_cluster::Clock;
use selvedge_cluster::store::{Committed, Error, Isolation, Range, Store, Transaction, Version};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::world::PATIENCE;
use crate::actor::inner::inner_writes;

/// The gate of a store, and what went through it.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    is_open: watch::Sender<bool>,
    /// Whether range reads wait.
    holds_ranges: watch::Sender<bool>,
    /// Commits that write a key in which this occurs wait.
    held: watch::Sender<Option<Vec<u8>>>,
    /// How many do.
    holding: watch::Sender<usize>,
    is_full: AtomicBool,
    /// Whether range reads fail at once, and when each did.
    is_away: AtomicBool,
    failed: watch::Sender<Vec<Instant>>,
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
    is_held: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            is_open: watch::Sender::new(true),
            holds_ranges: watch::Sender::new(false),
            held: watch::Sender::new(None),
            holding: watch::Sender::new(0),
            is_full: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            failed: watch::Sender::new(Vec::new()),
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
        self.0.holds_ranges.send_replace(false);
        self.0.is_open.send_replace(true);
    }

    /// For all but range reads: a look at all fences, which may have begun before, sees nothing yet.
    pub(crate) fn open_but_for_ranges(&self) {
        self.0.holds_ranges.send_replace(true);
        self.0.is_open.send_replace(true);
    }

    /// From now on commits that write a key in which this occurs wait.
    pub(crate) fn hold(&self, part_of_key: &[u8]) {
        self.0.held.send_replace(Some(part_of_key.to_vec()));
    }

    /// Completes when one does.
    pub(crate) async fn holds(&self) {
        let mut holding = self.0.holding.subscribe();
        let held = holding.wait_for(|holding| *holding > 0);
        assert!(timeout(PATIENCE, held).await.is_ok());
    }

    /// Those that wait go on, and others do not wait.
    pub(crate) fn let_go(&self) {
        self.0.held.send_replace(None);
    }

    /// From now on there is no room for commits, or there is again.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.is_full.store(is_full, Ordering::SeqCst);
    }

    /// From now on range reads fail at once, or no longer do.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.0.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Completes when so many have failed, with when each did.
    pub(crate) async fn has_failed(&self, count: usize) -> Vec<Instant> {
        let mut failed = self.0.failed.subscribe();
        let waited = failed.wait_for(|failed| failed.len() >= count);
        let failed = timeout(PATIENCE, waited).await.unwrap().unwrap();
        failed[..count].to_vec()
    }

    /// Commits that were made and refused, as they conflicted or came too late to tell.
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
        let is_held = false;
        Box::new(GatedTransaction {
            inner,
            gate,
            is_held,
        })
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
            let mut holds_ranges = self.gate.0.holds_ranges.subscribe();
            holds_ranges.wait_for(|holds| !holds).await.unwrap();
            if self.gate.0.is_away.load(Ordering::SeqCst) {
                let now = Clock::system().monotonic();
                self.gate.0.failed.send_modify(|failed| failed.push(now));
                return Err(Error::Unavailable("it is away".to_owned()));
            }
            self.inner.range(range).await
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        if let Some(part) = &*self.gate.0.held.borrow() {
            self.is_held |= key.windows(part.len()).any(|window| window == part);
        }
        self.inner.set(key, value);
    }

    inner_writes!();

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        let Self {
            inner,
            gate,
            is_held,
        } = *self;
        Box::pin(async move {
            gate.pass().await;
            if is_held {
                gate.0.holding.send_modify(|holding| *holding += 1);
                let mut held = gate.0.held.subscribe();
                let let_go = held.wait_for(Option::is_none).await.map(drop);
                let_go.unwrap();
                gate.0.holding.send_modify(|holding| *holding -= 1);
            }
            if gate.0.is_full.load(Ordering::SeqCst) {
                return Err(Error::Full {
                    path: "/full".to_owned(),
                    free: 0,
                    needed: 1,
                });
            }
            let result = inner.commit().await;
            // A store that no longer remembers what was written meanwhile refuses without looking.
            if matches!(result, Err(Error::Conflict | Error::TooOld)) {
                gate.0.refused.fetch_add(1, Ordering::SeqCst);
            }
            result
        })
    }
}
