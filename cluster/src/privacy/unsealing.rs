//! The store as actors, lists and subscriptions see it: sealed values come as they were written, and those whose key
//! was erased are not there.
//!
//! Between the host and the store of a node that has wrapping keys. Backups, restores and storage nodes have the store
//! itself, where everything personal is cipher text. It writes what it is given: commits seal.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::envelope::{Form, KeyId};
use super::keys::SubjectKeys;
use crate::store::{
    CommitDone, Committed, Error, Isolation, Order, Pairs, Range, Store, Transaction, Version,
};

/// A store whose values are unsealed.
#[derive(Debug)]
pub struct Unsealing {
    inner: Arc<dyn Store>,
    keys: SubjectKeys,
}

impl Unsealing {
    /// Over the store that the keys are in.
    pub fn new(keys: SubjectKeys) -> Self {
        Self {
            inner: Arc::clone(keys.store()),
            keys,
        }
    }

    fn transaction(&self, inner: Box<dyn Transaction>) -> Box<dyn Transaction> {
        Box::new(Unsealed {
            inner,
            keys: self.keys.clone(),
        })
    }
}

impl Store for Unsealing {
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

    fn is_spread(&self) -> bool {
        self.inner.is_spread()
    }

    fn health(&self) -> Result<(), Error> {
        self.inner.health()
    }

    fn subject_keys(&self) -> Option<&SubjectKeys> {
        Some(&self.keys)
    }
}

#[derive(Debug)]
struct Unsealed {
    inner: Box<dyn Transaction>,
    keys: SubjectKeys,
}

impl Unsealed {
    /// Opens what was read of a range, and reads on in place of what is not there.
    async fn finish(&mut self, mut range: Range, mut rows: Pairs) -> Result<Pairs, Error> {
        if rows.iter().all(|(_, value)| Form::of(value) == Form::Plain) {
            return Ok(rows);
        }
        let limit = range.limit;
        let mut erased: Option<KeyId> = None;
        let mut opened = Vec::with_capacity(rows.len());
        loop {
            let is_over = rows.len() < range.limit;
            let last = rows.last().map(|(key, _)| key.clone());
            for (key, value) in rows {
                if let Some(value) = self.keys.open(&key, value, &mut erased).await? {
                    opened.push((key, value));
                }
            }
            let Some(last) = last.filter(|_| !is_over && opened.len() < limit) else {
                opened.truncate(limit);
                return Ok(opened);
            };
            match range.order {
                Order::Ascending => range.begin = Bound::Excluded(last),
                Order::Descending => range.end = Bound::Excluded(last),
            }
            // One by one it would take long where much was erased.
            range.limit = (limit - opened.len()).max(REFILL_MIN);
            rows = self.inner.range(range.clone()).await?;
        }
    }
}

/// Rows that are read in place of erased ones, at the least.
const REFILL_MIN: usize = 64;

impl Transaction for Unsealed {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(async move {
            match self.inner.get(key, isolation).await? {
                Some(value) => self.keys.open(key, value, &mut None).await,
                None => Ok(None),
            }
        })
    }

    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Pairs, Error>> {
        Box::pin(async move {
            let rows = self.inner.range(range.clone()).await?;
            self.finish(range, rows).await
        })
    }

    fn ranges(&mut self, ranges: Vec<Range>) -> BoxFuture<'_, Result<Vec<Pairs>, Error>> {
        Box::pin(async move {
            let all = self.inner.ranges(ranges.clone()).await?;
            let mut finished = Vec::with_capacity(all.len());
            for (range, rows) in ranges.into_iter().zip(all) {
                finished.push(self.finish(range, rows).await?);
            }
            Ok(finished)
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
        self.inner.commit()
    }

    fn commit_then(self: Box<Self>, done: CommitDone) {
        self.inner.commit_then(done);
    }
}
