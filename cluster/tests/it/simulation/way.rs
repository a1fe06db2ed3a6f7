//! The way of one process to the store that all share: it takes time, can be lost in either direction, and ends
//! with the process. What was handed over when it was lost may be committed all the same, and late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use selvedge_cluster::store::{Committed, Error, Isolation, Range, Store, Transaction, Version};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::dice::Dice;
use super::judge::{Judge, Process};
use super::life::Life;
use crate::store::memory::Memory;

/// A cheap handle on it; it is the store of its process.
#[derive(Debug, Clone)]
pub(super) struct Way(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Memory,
    dice: Dice,
    judge: Judge,
    process: Process,
    life: Life,
    /// What this process loses, and what all do.
    losses: [Loss; 2],
}

/// What is lost on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) there: bool,
    pub(super) back: bool,
}

impl Lost {
    pub(super) const ALL: Self = Self {
        there: true,
        back: true,
    };
}

/// A cause of loss. A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Loss(Arc<Cause>);

#[derive(Debug, Default)]
struct Cause {
    lost: Mutex<Lost>,
    /// How often nothing was lost any more.
    healed: AtomicU64,
    changed: Notify,
}

impl Loss {
    pub(super) fn lose(&self, lost: Lost) {
        *self.0.lost.lock() = lost;
    }

    pub(super) fn heal(&self) {
        let before = std::mem::take(&mut *self.0.lost.lock());
        if before != Lost::default() {
            self.0.healed.fetch_add(1, Ordering::Relaxed);
            self.0.changed.notify_waiters();
        }
    }

    fn lost(&self) -> Lost {
        *self.0.lost.lock()
    }
}

#[derive(Debug)]
struct Sent {
    inner: Box<dyn Transaction>,
    way: Way,
    /// For the judge.
    keys: Vec<Bytes>,
}

impl Way {
    pub(super) fn new(
        store: Memory,
        dice: Dice,
        judge: Judge,
        process: Process,
        life: Life,
        of_all: Loss,
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            dice,
            judge,
            process,
            life,
            losses: [Loss::default(), of_all],
        }))
    }

    /// What this process alone loses.
    pub(super) fn loss(&self) -> &Loss {
        &self.0.losses[0]
    }

    fn lost(&self) -> Lost {
        let [own, of_all] = &self.0.losses;
        let (own, of_all) = (own.lost(), of_all.lost());
        Lost {
            there: own.there || of_all.there,
            back: own.back || of_all.back,
        }
    }

    fn healed(&self) -> u64 {
        let healed = |loss: &Loss| loss.0.healed.load(Ordering::Relaxed);
        self.0.losses.iter().map(healed).sum()
    }

    /// Completes once this is so.
    async fn becomes(&self, is_so: impl Fn() -> bool) {
        let [own, of_all] = &self.0.losses;
        loop {
            let (own, of_all) = (own.0.changed.notified(), of_all.0.changed.notified());
            if is_so() {
                return;
            }
            tokio::select! {
                biased;
                () = own => {}
                () = of_all => {}
            }
        }
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(300 + self.0.dice.below(2_200))
    }

    /// The time that it takes in one direction, and that of a process that stands still. Answers whether the process
    /// is there.
    async fn pass(&self) -> bool {
        if !self.0.life.goes_on().await {
            return false;
        }
        sleep(self.latency()).await;
        self.0.life.goes_on().await
    }

    /// A question on its way, or an answer.
    async fn carry(&self, is_lost: impl Fn(Lost) -> bool) -> Result<(), Error> {
        if self.pass().await && !is_lost(self.lost()) {
            return Ok(());
        }
        sleep(GIVE_UP).await;
        Err(Error::Unavailable("it is cut off".to_owned()))
    }

    fn transaction(&self, inner: Box<dyn Transaction>) -> Box<dyn Transaction> {
        Box::new(Sent {
            inner,
            way: self.clone(),
            keys: Vec::new(),
        })
    }

    fn apply(&self, sent: Sent) -> Result<Committed, Error> {
        let result = sent.inner.commit().now_or_never();
        let result = result.expect("a store in memory commits at once");
        match &result {
            Ok(committed) => {
                let at = committed.version;
                let Shared { judge, process, .. } = &*self.0;
                judge.committed(process, &self.0.store, at, &sent.keys);
            }
            Err(_) => self.0.judge.refused(&self.0.process),
        }
        result
    }

    async fn commit(self, sent: Sent) -> Result<Committed, Error> {
        if sent.keys.is_empty() {
            return self.apply(sent);
        }
        let is_there = self.pass().await;
        if !is_there || self.lost().there {
            // It was handed over: nobody knows what has become of it.
            match self.0.dice.below(3) {
                0 => drop(self.apply(sent)),
                1 => drop(tokio::spawn(self.clone().apply_late(sent))),
                _ => drop(sent),
            }
            sleep(GIVE_UP).await;
            return Err(Error::CommitUnknown);
        }
        let result = self.apply(sent);
        let heard = self.carry(|lost| lost.back).await;
        match heard {
            Ok(()) => result,
            Err(_) => Err(Error::CommitUnknown),
        }
    }

    async fn apply_late(self, sent: Sent) {
        sleep(self.0.dice.ms(1, 4_000)).await;
        drop(self.apply(sent));
    }
}

impl Store for Way {
    fn begin(&self) -> Box<dyn Transaction> {
        self.transaction(self.0.store.begin())
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.transaction(self.0.store.begin_at(version))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        let fired = self.0.store.watch(key);
        let way = self.clone();
        let healed = self.healed();
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = fired => {}
                // By chance, once there is another connection.
                () = way.becomes(|| way.healed() > healed) => {}
            }
            way.becomes(|| way.lost() == Lost::default()).await;
            if !way.pass().await {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn health(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Transaction for Sent {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(async move {
            self.way.carry(|lost| lost.there).await?;
            let value = self.inner.get(key, isolation).await;
            self.way.carry(|lost| lost.back).await?;
            value
        })
    }

    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, Error>> {
        Box::pin(async move {
            self.way.carry(|lost| lost.there).await?;
            let pairs = self.inner.range(range).await;
            self.way.carry(|lost| lost.back).await?;
            pairs
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.keys.push(Bytes::copy_from_slice(key));
        self.inner.set(key, value);
    }

    fn clear(&mut self, key: &[u8]) {
        self.keys.push(Bytes::copy_from_slice(key));
        self.inner.clear(key);
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        self.keys.push(Bytes::copy_from_slice(begin));
        self.inner.clear_range(begin, end);
    }

    fn add(&mut self, key: &[u8], by: i64) {
        self.keys.push(Bytes::copy_from_slice(key));
        self.inner.add(key, by);
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        self.keys.push(Bytes::copy_from_slice(prefix));
        self.inner.set_versionstamped_key(prefix, suffix, value);
    }

    fn add_read_conflict(&mut self, key: &[u8]) {
        self.inner.add_read_conflict(key);
    }

    fn add_write_conflict(&mut self, key: &[u8]) {
        self.inner.add_write_conflict(key);
    }

    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(async move {
            self.way.carry(|lost| lost.there).await?;
            let version = self.inner.read_version().await;
            self.way.carry(|lost| lost.back).await?;
            version
        })
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        let way = self.way.clone();
        Box::pin(way.commit(*self))
    }
}

/// After so long a question counts as lost.
const GIVE_UP: Duration = Duration::from_millis(250);
