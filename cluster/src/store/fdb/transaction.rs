//! A transaction on a FoundationDB database: our keys under the store's prefix, our limits and errors.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};

use super::super::keys::Key;
use super::super::{Committed, Error, Isolation, Order, Pairs, Range, Transaction, Version, size};
use super::database::Shared;
use super::failure;
use super::native::{Conflict, Native, Span};
use crate::metrics;

pub(super) struct FdbTransaction {
    shared: Arc<Shared>,
    /// Why there is none, if there is none.
    native: Result<Native, Error>,
    /// Given, or learnt from the database.
    version: Option<Version>,
    /// The prefix, and room for a key behind it.
    key: Vec<u8>,
    bytes: usize,
    has_writes: bool,
    /// Whether it writes a key that has its versionstamp.
    has_stamp: bool,
    /// The first write over a limit; the commit answers with it.
    refused: Option<Error>,
    /// What was written, while somebody wants to know.
    written: Option<Vec<Vec<u8>>>,
}

impl FdbTransaction {
    pub(super) fn new(shared: Arc<Shared>, version: Option<Version>) -> Self {
        let native = match shared.failure() {
            None => shared.database.begin().map_err(failure::read),
            Some(error) => Err(error),
        };
        if let (Ok(native), Some(version)) = (&native, version) {
            native.set_read_version(i64::try_from(version).unwrap_or(i64::MAX));
        }
        let key = shared.config.prefix.clone();
        Self {
            shared,
            native,
            version,
            key,
            bytes: 0,
            has_writes: false,
            has_stamp: false,
            refused: None,
            written: tracing::enabled!(tracing::Level::TRACE).then(Vec::new),
        }
    }

    /// Notes what a write takes of the limits, and gives what to write it with, and its key; `None` if it is over one.
    fn write(&mut self, key: &[u8], value: usize) -> Option<(&Native, &[u8])> {
        self.bytes = self.bytes.saturating_add(key.len() + value);
        let admitted = size::check_write(self.shared.config.prefix.len() + key.len(), value)
            .and_then(|()| size::check_transaction(self.bytes));
        if let Err(error) = admitted {
            self.refused.get_or_insert(error);
            return None;
        }
        self.has_writes = true;
        if let Some(written) = &mut self.written {
            written.push(key.to_vec());
        }
        self.key.truncate(self.shared.config.prefix.len());
        self.key.extend_from_slice(key);
        let native = self.native.as_ref().ok()?;
        Some((native, &self.key))
    }

    fn conflict(&mut self, key: &[u8], kind: Conflict) {
        self.bytes = self.bytes.saturating_add(key.len());
        match kind {
            Conflict::Read => {}
            Conflict::Write => self.has_writes = true,
        }
        let begin = match self.shared.full(key) {
            Ok(begin) => begin,
            Err(error) => {
                self.refused.get_or_insert(error);
                return;
            }
        };
        let Ok(native) = &self.native else { return };
        if let Err(code) = native.conflict(&begin, &after(&begin), kind) {
            self.refused.get_or_insert_with(|| failure::read(code));
        }
    }

    fn native(&self) -> Result<&Native, Error> {
        self.native.as_ref().map_err(Clone::clone)
    }

    async fn value(&self, key: &[u8], isolation: Isolation) -> Result<Option<Bytes>, Error> {
        let key = self.shared.full(key)?;
        let value = self.native()?.get(&key, is_snapshot(isolation)).await;
        value.map_err(failure::read)
    }

    async fn pairs(&self, range: Range) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let begin = match &range.begin {
            Bound::Included(key) => self.shared.full(key)?,
            Bound::Excluded(key) => after(&self.shared.full(key)?),
            Bound::Unbounded => self.shared.config.prefix.clone(),
        };
        let end = match &range.end {
            Bound::Included(key) => after(&self.shared.full(key)?),
            Bound::Excluded(key) => self.shared.full(key)?,
            Bound::Unbounded => self.shared.end.clone(),
        };
        if begin >= end || range.limit == 0 {
            return Ok(Vec::new());
        }
        let span = Span {
            begin: &begin,
            end: &end,
            limit: range.limit,
            is_reverse: range.order == Order::Descending,
            is_snapshot: is_snapshot(range.isolation),
        };
        let cut = self.shared.config.prefix.len();
        let pairs = self.native()?.range(&span, cut).await;
        pairs.map_err(failure::read)
    }

    async fn learn_version(&mut self) -> Result<Version, Error> {
        if let Some(version) = self.version {
            return Ok(version);
        }
        let version = self.native()?.read_version().await.map_err(failure::read)?;
        let version = Version::try_from(version).unwrap_or_default();
        self.shared.saw(version);
        self.version = Some(version);
        Ok(version)
    }

    async fn finish(mut self) -> Result<Committed, Error> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        if !self.has_writes {
            // What was read stood at the read version: there is nothing to decide.
            return Ok(Committed {
                version: self.learn_version().await?,
                versionstamp: [0; 10],
            });
        }
        let clock = &self.shared.config.clock;
        let begun = clock.monotonic();
        let committed = self.native?.commit(self.has_stamp).await;
        let elapsed = clock.monotonic().saturating_duration_since(begun);
        if let Err(code) = &committed {
            tracing::debug!(%code, "FoundationDB did not commit");
        }
        let result = committed.map_err(failure::commit);
        metrics::fdb_committed(elapsed, result.as_ref().err());
        let written = self.written.as_deref().map(Written);
        tracing::trace!(?elapsed, ?result, keys = ?written, "transaction");
        if elapsed > self.shared.config.slow {
            tracing::warn!(
                ?elapsed,
                bytes = self.bytes,
                "FoundationDB was slow to commit"
            );
        }
        let (version, versionstamp) = result?;
        let version = Version::try_from(version).unwrap_or_default();
        self.shared.saw(version);
        Ok(Committed {
            version,
            versionstamp,
        })
    }
}

impl Transaction for FdbTransaction {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(self.value(key, isolation))
    }

    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, Error>> {
        Box::pin(self.pairs(range))
    }

    fn ranges(&mut self, ranges: Vec<Range>) -> BoxFuture<'_, Result<Vec<Pairs>, Error>> {
        let reads = ranges.into_iter().map(|range| self.pairs(range));
        Box::pin(try_join_all(reads))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        if let Some((native, key)) = self.write(key, value.len()) {
            native.set(key, value);
        }
    }

    fn clear(&mut self, key: &[u8]) {
        if let Some((native, key)) = self.write(key, 0) {
            native.clear(key);
        }
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        self.bytes = self.bytes.saturating_add(end.len());
        let end = match self.shared.full(end) {
            Ok(end) => end,
            Err(error) => {
                self.refused.get_or_insert(error);
                return;
            }
        };
        if let Some((native, begin)) = self.write(begin, 0)
            && begin < &*end
        {
            native.clear_range(begin, &end);
        }
    }

    fn add(&mut self, key: &[u8], by: i64) {
        if let Some((native, key)) = self.write(key, size_of::<i64>()) {
            native.add(key, by);
        }
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        let at = self.shared.config.prefix.len() + prefix.len();
        let Ok(at) = u32::try_from(at) else {
            // Far over the limit of keys: to write it says so.
            let _ = self.write(prefix, value.len());
            return;
        };
        self.has_stamp = true;
        let key = [prefix, &[0; VERSIONSTAMP_BYTES], suffix].concat();
        if let Some((native, key)) = self.write(&key, value.len()) {
            native.set_versionstamped_key(&[key, &at.to_le_bytes()].concat(), value);
        }
    }

    fn add_read_conflict(&mut self, key: &[u8]) {
        self.conflict(key, Conflict::Read);
    }

    fn add_write_conflict(&mut self, key: &[u8]) {
        self.conflict(key, Conflict::Write);
    }

    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(self.learn_version())
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        Box::pin(self.finish())
    }
}

impl fmt::Debug for FdbTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FdbTransaction")
            .field("version", &self.version)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A key as the database has it. The limit of keys is on all of it.
    pub(super) fn full(&self, key: &[u8]) -> Result<Vec<u8>, Error> {
        let key = [&*self.config.prefix, key].concat();
        size::check_key(key.len())?;
        Ok(key)
    }
}

/// The keys of a transaction, for who reads the log.
struct Written<'a>(&'a [Vec<u8>]);

impl fmt::Debug for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for key in self.0 {
            match Key::decode(key) {
                Ok(key) => list.entry(&key),
                Err(_) => list.entry(&format_args!("{}", key.escape_ascii())),
            };
        }
        list.finish()
    }
}

/// The first key after `key`.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

const fn is_snapshot(isolation: Isolation) -> bool {
    match isolation {
        Isolation::Serializable => false,
        Isolation::Snapshot => true,
    }
}

const VERSIONSTAMP_BYTES: usize = 10;
