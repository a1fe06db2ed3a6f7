//! Actors that were quiet for longer than a store remembers what was written: on a store in memory, in simulated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, HostConfig, Identity, Kinds};
use selvedge_cluster::store::{Committed, Error, Store, Transaction, Version};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::limits::STORE_TRANSACTION_MS_MAX;
use tokio::time::advance;

use super::inner::{inner_reads, inner_writes};
use super::kinds::Tally;
use super::world::*;
use crate::store::memory::Memory;

/// A second longer than the store remembers.
const LONG: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX + 1_000);

/// What a host asks its store, and a commit that comes late.
#[derive(Debug, Clone, Default)]
struct Observed(Arc<Observations>);

#[derive(Debug, Default)]
struct Observations {
    inner: Memory,
    /// Transactions that asked the store for a version.
    looks: AtomicUsize,
    /// Commits.
    commits: AtomicUsize,
    /// Whether the next commit is kept, and reported as one of an unknown outcome.
    keeps: AtomicBool,
    kept: Mutex<Option<Box<dyn Transaction>>>,
}

#[derive(Debug)]
struct ObservedTransaction {
    inner: Box<dyn Transaction>,
    store: Observed,
}

impl Observed {
    /// How often it was looked, and committed, since this was asked last.
    fn counted(&self) -> (usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        (take(&self.0.looks), take(&self.0.commits))
    }

    fn keep_next(&self) {
        self.0.keeps.store(true, Ordering::SeqCst);
    }

    async fn commit_kept(&self) -> Result<Committed, Error> {
        let kept = self.0.kept.lock().take().unwrap();
        kept.commit().await
    }

    async fn host(&self, node: &str) -> Host {
        let config = HostConfig {
            node: node.to_owned(),
            idle_ms: 3_600_000,
            slots: 16,
        };
        let (clock, kinds) = (Clock::manual(1_000_000, 1), Kinds::default().with(Tally));
        Host::start(config, Arc::new(self.clone()), clock, kinds)
            .await
            .unwrap()
    }
}

impl Store for Observed {
    fn begin(&self) -> Box<dyn Transaction> {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        Box::new(ObservedTransaction {
            inner: self.0.inner.begin(),
            store: self.clone(),
        })
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        Box::new(ObservedTransaction {
            inner: self.0.inner.begin_at(version),
            store: self.clone(),
        })
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        self.0.inner.watch(key)
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn health(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Transaction for ObservedTransaction {
    inner_reads!();

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.inner.set(key, value);
    }

    inner_writes!();

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        let observations = Arc::clone(&self.store.0);
        observations.commits.fetch_add(1, Ordering::SeqCst);
        match observations.keeps.swap(false, Ordering::SeqCst) {
            true => {
                *observations.kept.lock() = Some(self.inner);
                Box::pin(std::future::ready(Err(Error::CommitUnknown)))
            }
            false => self.inner.commit(),
        }
    }
}

async fn adds(host: &Host, key: &str) -> u64 {
    number(&ok(add(host, key, Identity::Natural).await))
}

/// Others write meanwhile, so that what is old is forgotten.
async fn pass(store: &Observed, time: Duration) {
    for _ in 0..2 {
        advance(time / 2).await;
        let mut transaction = store.0.inner.begin();
        transaction.set(b"of others", b"");
        transaction.commit().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn it_commits_without_a_look_where_its_slot_was_looked_at() {
    let store = Observed::default();
    let host = store.host("one").await;
    assert_eq!(adds(&host, "a").await, 1);
    for sum in 2..5 {
        pass(&store, LONG).await;
        assert_eq!(host.check().await.unwrap(), 0);
        store.counted();
        assert_eq!(adds(&host, "a").await, sum);
        assert_eq!(store.counted(), (0, 1));
    }
    host.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_looks_first_where_nobody_did_and_tries_nothing_in_vain() {
    let store = Observed::default();
    let host = store.host("one").await;
    assert_eq!(adds(&host, "a").await, 1);
    pass(&store, LONG).await;
    store.counted();
    assert_eq!(adds(&host, "a").await, 2);
    assert_eq!(store.counted(), (1, 1));
    // What was looked at too long ago is of no use either.
    assert_eq!(host.check().await.unwrap(), 0);
    pass(&store, LONG).await;
    store.counted();
    assert_eq!(adds(&host, "a").await, 3);
    assert_eq!(store.counted(), (1, 1));
    host.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_refused_where_another_host_has_taken_its_slot_since_the_look() {
    let store = Observed::default();
    let first = store.host("one").await;
    assert_eq!(adds(&first, "a").await, 1);
    pass(&store, LONG).await;
    assert_eq!(first.check().await.unwrap(), 0);
    let second = store.host("two").await;
    assert_eq!(
        code(add(&first, "a", Identity::Natural).await),
        ErrorCode::Unavailable
    );
    assert_eq!(first.commits_fenced(), 1);
    assert_eq!(adds(&second, "a").await, 2);
    // Nor does a look help that comes after: it finds the slot lost.
    assert!(first.check().await.unwrap() > 0);
}

/// An activation that has not committed yet does not know all that was written to its actor, although its slot is
/// proven to be here: a commit of the activation before it came late.
#[tokio::test(start_paused = true)]
async fn a_late_commit_of_the_activation_before_is_not_overlooked() {
    let store = Observed::default();
    let host = store.host("one").await;
    assert_eq!(adds(&host, "a").await, 1);
    store.keep_next();
    assert_eq!(
        code(add(&host, "a", Identity::Natural).await),
        ErrorCode::Unavailable
    );
    // Loaded again, without what was kept.
    assert_eq!(sum(&host, "a").await, 1);
    pass(&store, Duration::from_secs(3)).await;
    store.commit_kept().await.unwrap();
    assert_eq!(host.check().await.unwrap(), 0);
    pass(&store, Duration::from_secs(3)).await;
    assert_eq!(
        code(add(&host, "a", Identity::Natural).await),
        ErrorCode::Unavailable
    );
    assert_eq!(adds(&host, "a").await, 3);
    host.stop().await;
}
