//! A store that fails by seed, between the host and the real one.

use std::sync::Arc;

use futures::future::BoxFuture;
use selvedge_cluster::Clock;
use selvedge_cluster::store::{Committed, Error, Store, Transaction, Version};

use super::inner::{inner_reads, inner_writes};

/// Commits fail, succeed in silence, or take their time; by seed.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn Store>,
    /// Where the dice come from.
    pub(crate) dice: Clock,
    /// Commits of a hundred that meet a fault.
    pub(crate) percent: u64,
    pub(crate) is_exclusive: bool,
}

#[derive(Debug)]
struct FaultyTransaction {
    inner: Box<dyn Transaction>,
    fault: Fault,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Not committed, and says so.
    Refused,
    /// Not committed, and nobody knows.
    UnknownLost,
    /// Committed, and nobody knows.
    UnknownDone,
    /// Committed, after others had their turn.
    Late,
}

impl Faulty {
    fn transaction(&self, inner: Box<dyn Transaction>) -> Box<dyn Transaction> {
        let fault = match self.dice.random() % 100 {
            roll if roll >= self.percent => Fault::None,
            roll => match roll % 4 {
                0 => Fault::Refused,
                1 => Fault::UnknownLost,
                2 => Fault::UnknownDone,
                _ => Fault::Late,
            },
        };
        Box::new(FaultyTransaction { inner, fault })
    }
}

impl Store for Faulty {
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
        self.is_exclusive
    }

    fn health(&self) -> Result<(), Error> {
        self.inner.health()
    }
}

impl Transaction for FaultyTransaction {
    inner_reads!();

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.inner.set(key, value);
    }

    inner_writes!();

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        let (inner, fault) = (self.inner, self.fault);
        Box::pin(async move {
            match fault {
                Fault::None => inner.commit().await,
                Fault::Refused => Err(Error::Conflict),
                Fault::UnknownLost => Err(Error::CommitUnknown),
                Fault::UnknownDone => {
                    inner.commit().await?;
                    Err(Error::CommitUnknown)
                }
                Fault::Late => {
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    inner.commit().await
                }
            }
        })
    }
}
