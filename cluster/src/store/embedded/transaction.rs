//! A transaction of the embedded store: a view to read from, what was read, what is to be written.
//!
//! Reads are answered at once: from memory nearly always, from the disk now and then. Only `commit`
//! waits for anything.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use tokio::sync::oneshot;

use super::super::{
    CommitDone, Committed, Error, Isolation, Order, Range, Transaction, Version, size,
};
use super::Shared;
use super::engine::{Slice, USER, kept, user};
use super::group::{Answer, Request};
use super::hash::HashedKey;
use super::view::{View, closed};
use super::window::Reads;
use super::writes::{Stamped, Write, Writes};

pub(super) struct EmbeddedTransaction {
    shared: Arc<Shared>,
    version: Option<Version>,
    /// Found when first read from: a transaction that only writes needs none.
    view: Option<Arc<View>>,
    reads: Reads,
    writes: Writes,
    bytes: usize,
    /// The first write over a limit; the commit answers with it.
    refused: Option<Error>,
}

impl EmbeddedTransaction {
    /// Reads as of now.
    pub(super) fn latest(shared: Arc<Shared>) -> Self {
        let view = shared.views.latest();
        Self::new(shared, view.as_ref().map(|view| view.version), view)
    }

    /// Reads as of `version`.
    pub(super) fn at(shared: Arc<Shared>, version: Version) -> Self {
        Self::new(shared, Some(version), None)
    }

    fn new(shared: Arc<Shared>, version: Option<Version>, view: Option<Arc<View>>) -> Self {
        Self {
            shared,
            version,
            view,
            reads: Reads::default(),
            writes: Writes::default(),
            bytes: 0,
            refused: None,
        }
    }

    fn view(&mut self) -> Result<Arc<View>, Error> {
        let version = self.version.ok_or_else(closed)?;
        if self.shared.views.is_too_old(version) {
            return Err(Error::TooOld);
        }
        if let Some(view) = &self.view {
            return Ok(Arc::clone(view));
        }
        let view = self.shared.views.at(version)?;
        self.view = Some(Arc::clone(&view));
        Ok(view)
    }

    fn read(&mut self, key: &[u8], isolation: Isolation) -> Result<Option<Bytes>, Error> {
        size::check_key(key.len())?;
        let view = self.view()?;
        let key = kept(key);
        let own = self.writes.keys.get(&key);
        if let Some(write @ (Write::Set(_) | Write::Clear)) = own {
            return Ok(write.over(None).as_deref().map(Bytes::copy_from_slice));
        }
        if own.is_none() && self.writes.is_cleared(&key) {
            return Ok(None);
        }
        let stored = view.engine.value(&view.snapshot, &key)?;
        let value = match own {
            Some(write) => write.over(stored.as_deref()),
            None => stored,
        };
        if isolation == Isolation::Serializable {
            self.bytes += key.len();
            self.reads.keys.push(HashedKey::new(key));
        }
        Ok(value.as_deref().map(Bytes::copy_from_slice))
    }

    fn read_range(&mut self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let (begin, end) = (kept_begin(&range.begin), kept_end(&range.end));
        let view = self.view()?;
        let stored = view
            .engine
            .pairs(&view.snapshot, (&begin, &end), range.order);
        let merged = self.writes.merge(stored, (&begin, &end), range.order);
        let mut pairs = Vec::new();
        for pair in merged.take(range.limit) {
            let (key, value) = pair?;
            pairs.push((
                Bytes::copy_from_slice(user(&key)),
                Bytes::copy_from_slice(&value),
            ));
        }
        if range.isolation == Isolation::Serializable && begin < end && range.limit > 0 {
            let read = covered(range, (begin, end), &pairs);
            self.bytes += read.0.len() + read.1.len();
            self.reads.ranges.push(read);
        }
        Ok(pairs)
    }

    /// Notes what a write takes of the limits; false if it is over one.
    fn admit(&mut self, key: usize, value: usize) -> bool {
        let admitted = size::check_write(key, value);
        self.bytes += key + value;
        match admitted {
            Ok(()) => true,
            Err(error) => {
                self.refused.get_or_insert(error);
                false
            }
        }
    }

    /// Whether the transaction is within its limits, and has anything to commit.
    fn check_commit(&mut self) -> Result<Commit, Error> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        size::check_transaction(self.bytes)?;
        let version = self.version.ok_or_else(closed)?;
        if self.writes.is_empty() {
            // What was read stood at the read version: there is nothing to decide.
            return Ok(Commit::Nothing(Committed {
                version,
                versionstamp: [0; VERSIONSTAMP_BYTES],
            }));
        }
        Ok(Commit::Needed(version))
    }

    fn into_request(self, version: Version, answer: Answer) -> Request {
        let keys = self.writes.keys.into_iter();
        Request {
            version,
            reads: self.reads,
            keys: keys
                .map(|(key, write)| (HashedKey::new(key), write))
                .collect(),
            cleared: self.writes.cleared,
            stamped: self.writes.stamped,
            conflicts: self
                .writes
                .conflicts
                .into_iter()
                .map(HashedKey::new)
                .collect(),
            bytes: self.bytes,
            answer,
        }
    }
}

impl Transaction for EmbeddedTransaction {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(ready(self.read(key, isolation)))
    }

    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, Error>> {
        Box::pin(ready(self.read_range(&range)))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        if self.admit(key.len(), value.len()) {
            self.writes.set(kept(key), Slice::from(value));
        }
    }

    fn clear(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            self.writes.clear(kept(key));
        }
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        if self.admit(begin.len(), 0) && self.admit(end.len(), 0) {
            self.writes.clear_range(kept(begin), kept(end));
        }
    }

    fn add(&mut self, key: &[u8], by: i64) {
        if self.admit(key.len(), size_of::<i64>()) {
            self.writes.add(kept(key), by);
        }
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        let key = prefix.len() + VERSIONSTAMP_BYTES + suffix.len();
        if self.admit(key, value.len()) {
            self.writes.stamped.push(Stamped {
                prefix: kept(prefix),
                suffix: Slice::from(suffix),
                value: Slice::from(value),
            });
        }
    }

    fn add_read_conflict(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            self.reads.keys.push(HashedKey::new(kept(key)));
        }
    }

    fn add_write_conflict(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            self.writes.conflicts.push(kept(key));
        }
    }

    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(ready(self.version.ok_or_else(closed)))
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        Box::pin(async move {
            let version = match self.check_commit() {
                Ok(Commit::Needed(version)) => version,
                Ok(Commit::Nothing(committed)) => return Ok(committed),
                Err(error) => return Err(error),
            };
            let (answer, outcome) = oneshot::channel();
            let queue = Arc::clone(&self.shared.queue);
            queue.submit(self.into_request(version, Answer::Channel(answer)));
            // An answer is lost only by a panic while committing.
            outcome.await.unwrap_or(Err(Error::CommitUnknown))
        })
    }

    fn commit_then(mut self: Box<Self>, done: CommitDone) {
        match self.check_commit() {
            Ok(Commit::Needed(version)) => {
                let queue = Arc::clone(&self.shared.queue);
                queue.submit(self.into_request(version, Answer::Call(done)));
            }
            Ok(Commit::Nothing(committed)) => done(Ok(committed)),
            Err(error) => done(Err(error)),
        }
    }
}

/// What a commit comes to before it is queued.
enum Commit {
    /// It reads as of this version.
    Needed(Version),
    Nothing(Committed),
}

impl fmt::Debug for EmbeddedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedTransaction")
            .field("version", &self.version)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// The part of the range that was looked at: a limit may have ended it early.
fn covered(
    range: &Range,
    (begin, end): (Slice, Slice),
    pairs: &[(Bytes, Bytes)],
) -> (Slice, Slice) {
    match pairs.last() {
        Some((last, _)) if pairs.len() == range.limit => match range.order {
            Order::Ascending => (begin, after(last)),
            Order::Descending => (kept(last), end),
        },
        Some(_) | None => (begin, end),
    }
}

fn kept_begin(bound: &Bound<Bytes>) -> Slice {
    match bound {
        Bound::Included(key) => kept(key),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Slice::from([USER]),
    }
}

fn kept_end(bound: &Bound<Bytes>) -> Slice {
    match bound {
        Bound::Included(key) => after(key),
        Bound::Excluded(key) => kept(key),
        Bound::Unbounded => Slice::from([USER + 1]),
    }
}

/// The first key after `key`.
fn after(key: &[u8]) -> Slice {
    Slice::from([&[USER], key, &[0]].concat())
}

const VERSIONSTAMP_BYTES: usize = 10;
