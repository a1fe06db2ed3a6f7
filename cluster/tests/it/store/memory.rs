//! A store in memory for simulations: no thread, no file, no clock but tokio's. The conformance suite runs over it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;
use selvedge_cluster::store::{
    Committed, Error, Isolation, Order, Range, Store, Transaction, Version,
};
use selvedge_protocol::limits::{
    STORE_KEY_BYTES_MAX, STORE_TRANSACTION_BYTES_MAX, STORE_TRANSACTION_MS_MAX,
    STORE_VALUE_BYTES_MAX,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A cheap handle on the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Data>>);

#[derive(Debug, Default)]
struct Data {
    version: Version,
    /// Each key with its values, by the version from which on they were there; `None`: it was cleared.
    keys: BTreeMap<Bytes, Vec<(Version, Option<Bytes>)>>,
    /// What was written in the last seconds.
    window: VecDeque<Written>,
    window_keys: usize,
    /// What is older is forgotten.
    oldest: Version,
    watches: BTreeMap<Bytes, Vec<oneshot::Sender<()>>>,
}

#[derive(Debug)]
struct Written {
    version: Version,
    at: Instant,
    keys: Vec<Bytes>,
    ranges: Vec<(Bytes, Bytes)>,
}

/// A write, in the order in which it was asked for.
#[derive(Debug, Clone)]
enum Write {
    Set(Bytes, Bytes),
    Clear(Bytes),
    ClearRange(Bytes, Bytes),
    Add(Bytes, i64),
}

#[derive(Debug)]
struct MemoryTransaction {
    store: Memory,
    version: Option<Version>,
    writes: Vec<Write>,
    /// Prefix, suffix and value of each.
    stamped: Vec<(Bytes, Bytes, Bytes)>,
    read_keys: Vec<Bytes>,
    read_ranges: Vec<(Bytes, Bytes)>,
    write_conflicts: Vec<Bytes>,
    bytes: usize,
    refused: Option<Error>,
}

impl Memory {
    /// The value under a key as of a version that is not forgotten.
    pub(crate) fn value_at(&self, key: &[u8], version: Version) -> Option<Bytes> {
        self.0.lock().value(key, version)
    }

    fn transaction(&self, version: Option<Version>) -> Box<dyn Transaction> {
        Box::new(MemoryTransaction {
            store: self.clone(),
            version,
            writes: Vec::new(),
            stamped: Vec::new(),
            read_keys: Vec::new(),
            read_ranges: Vec::new(),
            write_conflicts: Vec::new(),
            bytes: 0,
            refused: None,
        })
    }
}

impl Store for Memory {
    fn begin(&self) -> Box<dyn Transaction> {
        self.transaction(None)
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.transaction(Some(version))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        let (sender, fired) = oneshot::channel();
        let mut data = self.0.lock();
        let watches = data.watches.entry(Bytes::copy_from_slice(key)).or_default();
        watches.retain(|watch| !watch.is_closed());
        watches.push(sender);
        // One that is lost with the store fires by chance.
        Box::pin(async move {
            let _ = fired.await;
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

impl Data {
    fn value(&self, key: &[u8], version: Version) -> Option<Bytes> {
        at(self.keys.get(key)?, version)
    }

    fn check_version(&self, version: Version) -> Result<(), Error> {
        if version > self.version {
            return Err(Error::Unavailable("there is no such version".to_owned()));
        }
        match version < self.oldest {
            true => Err(Error::TooOld),
            false => Ok(()),
        }
    }

    /// Whether something of what was read at a version has changed.
    fn is_changed(&self, version: Version, reads: &MemoryTransaction) -> bool {
        let newer = self.window.iter().rev();
        let mut newer = newer.take_while(|written| written.version > version);
        newer.any(|written| {
            let has_read = |key: &Bytes| {
                reads.read_keys.contains(key)
                    || reads.read_ranges.iter().any(|range| is_in(key, range))
            };
            let was_cleared = |key: &Bytes| written.ranges.iter().any(|range| is_in(key, range));
            let meets = |one: &(Bytes, Bytes)| {
                let other = |other: &(Bytes, Bytes)| one.0 < other.1 && other.0 < one.1;
                written.ranges.iter().any(other)
            };
            written.keys.iter().any(has_read)
                || reads.read_keys.iter().any(was_cleared)
                || reads.read_ranges.iter().any(meets)
        })
    }

    /// Forgets what is too old, and the oldest of what is too much.
    fn expire(&mut self, now: Instant) {
        while let Some(first) = self.window.front() {
            let age = now.saturating_duration_since(first.at);
            if age <= WINDOW && self.window_keys <= WINDOW_KEYS_MAX {
                return;
            }
            self.oldest = first.version;
            self.window_keys -= first.keys.len() + first.ranges.len();
            self.window.pop_front();
        }
    }

    fn put(&mut self, key: &Bytes, value: Option<Bytes>) {
        let oldest = self.oldest;
        let values = self.keys.entry(key.clone()).or_default();
        let forgotten = values.partition_point(|(version, _)| *version <= oldest);
        values.drain(..forgotten.saturating_sub(1));
        match values.last_mut() {
            Some((version, last)) if *version == self.version => *last = value,
            Some(_) | None => values.push((self.version, value)),
        }
        for watch in self.watches.remove(key).into_iter().flatten() {
            // The watcher may be gone.
            let _ = watch.send(());
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Set(key, value) => self.put(key, Some(value.clone())),
            Write::Clear(key) => self.put(key, None),
            Write::ClearRange(begin, end) => {
                let inside = self.keys.range(begin.clone()..end.clone());
                let there = inside.filter(|(_, values)| at(values, Version::MAX).is_some());
                let keys: Vec<Bytes> = there.map(|(key, _)| key.clone()).collect();
                for key in keys {
                    self.put(&key, None);
                }
            }
            Write::Add(key, by) => {
                let before = self.value(key, Version::MAX);
                self.put(key, Some(sum(before.as_deref(), *by)));
            }
        }
    }
}

impl MemoryTransaction {
    fn version(&mut self) -> Version {
        *self
            .version
            .get_or_insert_with(|| self.store.0.lock().version)
    }

    fn read(&mut self, key: &[u8], isolation: Isolation) -> Result<Option<Bytes>, Error> {
        check("key", key.len(), STORE_KEY_BYTES_MAX)?;
        let version = self.version();
        let mut value = {
            let data = self.store.0.lock();
            data.check_version(version)?;
            data.value(key, version)
        };
        let mut is_own = false;
        for write in &self.writes {
            match write {
                Write::Set(own, set) if own == key => (value, is_own) = (Some(set.clone()), true),
                Write::Clear(own) if own == key => (value, is_own) = (None, true),
                Write::ClearRange(begin, end) if &begin[..] <= key && key < &end[..] => {
                    (value, is_own) = (None, true);
                }
                Write::Add(own, by) if own == key => value = Some(sum(value.as_deref(), *by)),
                Write::Set(..) | Write::Clear(_) | Write::ClearRange(..) | Write::Add(..) => {}
            }
        }
        if isolation == Isolation::Serializable && !is_own {
            self.bytes += key.len();
            self.read_keys.push(Bytes::copy_from_slice(key));
        }
        Ok(value)
    }

    fn read_range(&mut self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let version = self.version();
        let (begin, end) = (begin(&range.begin), end(&range.end));
        let mut pairs = BTreeMap::new();
        {
            let data = self.store.0.lock();
            data.check_version(version)?;
            if begin >= end || range.limit == 0 {
                return Ok(Vec::new());
            }
            for (key, values) in data.keys.range(begin.clone()..end.clone()) {
                if let Some(value) = at(values, version) {
                    pairs.insert(key.clone(), value);
                }
            }
        }
        for write in &self.writes {
            match write {
                Write::Set(key, value) => drop(pairs.insert(key.clone(), value.clone())),
                Write::Clear(key) => drop(pairs.remove(key)),
                Write::ClearRange(begin, end) => pairs.retain(|key, _| key < begin || end <= key),
                Write::Add(key, by) => {
                    let before = pairs.get(key).cloned();
                    pairs.insert(key.clone(), sum(before.as_deref(), *by));
                }
            }
        }
        pairs.retain(|key, _| begin <= *key && *key < end);
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        if range.order == Order::Descending {
            pairs.reverse();
        }
        pairs.truncate(range.limit);
        if range.isolation == Isolation::Serializable {
            // A limit may have ended it early.
            let last = pairs.last().filter(|_| pairs.len() == range.limit);
            let read = match (last, range.order) {
                (Some((last, _)), Order::Ascending) => (begin, after(last)),
                (Some((last, _)), Order::Descending) => (last.clone(), end),
                (None, Order::Ascending | Order::Descending) => (begin, end),
            };
            self.bytes += read.0.len() + read.1.len();
            self.read_ranges.push(read);
        }
        Ok(pairs)
    }

    /// Notes what a write takes of the limits; false if it is over one.
    fn admit(&mut self, key: usize, value: usize) -> bool {
        let admitted = check("key", key, STORE_KEY_BYTES_MAX)
            .and_then(|()| check("value", value, STORE_VALUE_BYTES_MAX));
        self.bytes += key + value;
        let is_admitted = admitted.is_ok();
        if let Err(error) = admitted {
            self.refused.get_or_insert(error);
        }
        is_admitted
    }

    fn commit_now(mut self) -> Result<Committed, Error> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        check("transaction", self.bytes, STORE_TRANSACTION_BYTES_MAX)?;
        let version = self.version();
        let store = self.store.clone();
        let mut data = store.0.lock();
        if self.writes.is_empty() && self.stamped.is_empty() && self.write_conflicts.is_empty() {
            return Ok(committed(version));
        }
        data.expire(Instant::now());
        data.check_version(version)?;
        if data.is_changed(version, &self) {
            return Err(Error::Conflict);
        }
        data.version += 1;
        let committed = committed(data.version);
        let mut written = Written {
            version: data.version,
            at: Instant::now(),
            keys: std::mem::take(&mut self.write_conflicts),
            ranges: Vec::new(),
        };
        for (prefix, suffix, value) in self.stamped {
            let key = [&prefix[..], &committed.versionstamp, &suffix[..]].concat();
            self.writes.push(Write::Set(key.into(), value));
        }
        for write in &self.writes {
            data.write(write);
            match write {
                Write::Set(key, _) | Write::Clear(key) | Write::Add(key, _) => {
                    written.keys.push(key.clone());
                }
                Write::ClearRange(begin, end) => written.ranges.push((begin.clone(), end.clone())),
            }
        }
        data.window_keys += written.keys.len() + written.ranges.len();
        data.window.push_back(written);
        Ok(committed)
    }
}

impl Transaction for MemoryTransaction {
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
            let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            self.writes.push(Write::Set(key, value));
        }
    }

    fn clear(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            self.writes.push(Write::Clear(Bytes::copy_from_slice(key)));
        }
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        if begin < end && self.admit(begin.len(), 0) && self.admit(end.len(), 0) {
            let (begin, end) = (Bytes::copy_from_slice(begin), Bytes::copy_from_slice(end));
            self.writes.push(Write::ClearRange(begin, end));
        }
    }

    fn add(&mut self, key: &[u8], by: i64) {
        if self.admit(key.len(), size_of::<i64>()) {
            self.writes
                .push(Write::Add(Bytes::copy_from_slice(key), by));
        }
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        let key = prefix.len() + VERSIONSTAMP_BYTES + suffix.len();
        if self.admit(key, value.len()) {
            let [prefix, suffix, value] = [prefix, suffix, value].map(Bytes::copy_from_slice);
            self.stamped.push((prefix, suffix, value));
        }
    }

    fn add_read_conflict(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            self.read_keys.push(Bytes::copy_from_slice(key));
        }
    }

    fn add_write_conflict(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            self.write_conflicts.push(Bytes::copy_from_slice(key));
        }
    }

    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(ready(Ok(self.version())))
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        // Not before it is asked for.
        Box::pin(async move { self.commit_now() })
    }
}

fn committed(version: Version) -> Committed {
    let mut versionstamp = [0; VERSIONSTAMP_BYTES];
    versionstamp[..8].copy_from_slice(&version.to_be_bytes());
    Committed {
        version,
        versionstamp,
    }
}

/// The value of a key as of a version.
fn at(values: &[(Version, Option<Bytes>)], version: Version) -> Option<Bytes> {
    let then = values.partition_point(|(from, _)| *from <= version);
    let (_, value) = values.get(then.checked_sub(1)?)?;
    value.clone()
}

fn is_in(key: &Bytes, (begin, end): &(Bytes, Bytes)) -> bool {
    begin <= key && key < end
}

fn begin(bound: &Bound<Bytes>) -> Bytes {
    match bound {
        Bound::Included(key) => key.clone(),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Bytes::new(),
    }
}

fn end(bound: &Bound<Bytes>) -> Bytes {
    match bound {
        Bound::Included(key) => after(key),
        Bound::Excluded(key) => key.clone(),
        // Longer than any key, and after all of its length.
        Bound::Unbounded => Bytes::from(vec![0xff; STORE_KEY_BYTES_MAX + 1]),
    }
}

/// The first key after `key`.
fn after(key: &[u8]) -> Bytes {
    Bytes::from([key, &[0]].concat())
}

/// A little-endian number plus `by`.
fn sum(base: Option<&[u8]>, by: i64) -> Bytes {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(base.unwrap_or_default()) {
        *to = *from;
    }
    let sum = i64::from_le_bytes(bytes).wrapping_add(by);
    Bytes::copy_from_slice(&sum.to_le_bytes())
}

const fn check(what: &'static str, bytes: usize, limit: usize) -> Result<(), Error> {
    if bytes > limit {
        return Err(Error::TooLarge { what, bytes, limit });
    }
    Ok(())
}

const WINDOW: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX);
/// As the embedded store has it.
const WINDOW_KEYS_MAX: usize = 262_144;
const VERSIONSTAMP_BYTES: usize = 10;
