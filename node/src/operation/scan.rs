//! Reads an index newest first, whatever the number of its shards. The list calls it; it reads index rows and nothing
//! else.
//!
//! All shards are read at once and at one version, from the same place on, a little more than a page would take of each
//! if operations were spread evenly; what is missing for a page after that is read in the same way.

use std::ops::Bound;

use bytes::Bytes;
use selvedge_cluster::store::keys::{Entry, Index, Key, KeyRange, Shards};
use selvedge_cluster::store::{self, Isolation, Order, Range, Store, Transaction};
use selvedge_protocol::{OperationId, Tenant};

/// What is read of an index.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) tenant: Tenant,
    pub(super) index: Index,
    pub(super) shards: Shards,
    /// Created from the first moment on, before the second; Unix milliseconds.
    pub(super) created_ms: (Option<u64>, Option<u64>),
}

impl Scan {
    /// The next entries after one, newest first: fewer than the limit when there are no more.
    pub(super) async fn entries(
        &self,
        transaction: &mut dyn Transaction,
        after: Option<&Entry>,
        limit: usize,
    ) -> Result<Vec<Entry>, store::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while entries.len() < limit {
            let missing = limit - entries.len();
            let each = share(missing, self.shards);
            let ranges = self.ranges(entries.last().or(after), each);
            let rows = transaction.ranges(ranges).await?;
            let read: Result<Vec<Vec<Entry>>, _> = rows.iter().map(|rows| decoded(rows)).collect();
            let Merged { next, is_last } = merge(read?, each);
            entries.extend(next.into_iter().take(missing));
            if is_last {
                break;
            }
        }
        Ok(entries)
    }

    /// How many rows there are after an entry, up to a bound, and whether these are all.
    pub(super) async fn count(
        &self,
        store: &dyn Store,
        after: Option<&Entry>,
        max: usize,
    ) -> Result<(usize, bool), store::Error> {
        let mut left = self.ranges(after, COUNT_ROWS / usize::from(self.shards.count()));
        let mut count = 0;
        while !left.is_empty() && count < max {
            // Anew for each round: the store bounds how long a transaction may read.
            let found = store.begin().ranges(left.clone()).await?;
            let mut unread = Vec::new();
            for (range, rows) in left.into_iter().zip(found) {
                count += rows.len();
                let last = rows.last().filter(|_| rows.len() >= range.limit);
                unread.extend(last.map(|(key, _)| Range {
                    end: Bound::Excluded(key.clone()),
                    ..range
                }));
            }
            left = unread;
        }
        Ok((count, left.is_empty()))
    }

    fn ranges(&self, after: Option<&Entry>, limit: usize) -> Vec<Range> {
        let range = |shard| self.range(shard, after, limit);
        self.shards.all().map(range).collect()
    }

    /// The part of a shard that is asked for, newest first.
    fn range(&self, shard: Option<u8>, after: Option<&Entry>, limit: usize) -> Range {
        let shard_range = KeyRange::operations(&self.tenant, &self.index, shard);
        let mut range = shard_range.read(limit, Isolation::Snapshot);
        range.order = Order::Descending;
        let key = |entry| {
            let key = Key::Operation {
                tenant: self.tenant.clone(),
                index: self.index.clone(),
                shard,
                entry,
            };
            Bytes::from(key.encode())
        };
        if let Some(from_ms) = self.created_ms.0 {
            range.begin = Bound::Included(key(first_at(from_ms)));
        }
        if let Some(before_ms) = self.created_ms.1 {
            range.end = Bound::Excluded(key(first_at(before_ms)));
        }
        if let Some(entry) = after {
            let cursor = key(entry.clone());
            let is_later = matches!(&range.end, Bound::Excluded(end) if *end < cursor);
            if !is_later {
                range.end = Bound::Excluded(cursor);
            }
        }
        range
    }
}

/// What follows in an index.
#[derive(Debug, PartialEq, Eq)]
struct Merged {
    next: Vec<Entry>,
    is_last: bool,
}

/// Puts what was read of the shards, up to a limit of each, into one order. A shard that gave as many as it could may go
/// on right after its last, so what is older than that in others is not known to be next and left out.
fn merge(shards: Vec<Vec<Entry>>, limit: usize) -> Merged {
    let full = shards.iter().filter(|shard| shard.len() >= limit);
    let known_until = full.filter_map(|shard| shard.last()).max().cloned();
    let is_known = |entry: &Entry| known_until.as_ref().is_none_or(|until| entry >= until);
    let mut next: Vec<Entry> = shards.into_iter().flatten().filter(is_known).collect();
    next.sort_unstable_by(|one, other| other.cmp(one));
    Merged {
        next,
        is_last: known_until.is_none(),
    }
}

/// How many rows to read of each shard for so many of all: twice its part, and some. So a page is read in one round but
/// for one in some thousand; one that is not costs another round and is as right.
fn share(rows: usize, shards: Shards) -> usize {
    rows.min(2 * rows.div_ceil(usize::from(shards.count())) + SHARE_ROWS)
}

fn decoded(rows: &[(Bytes, Bytes)]) -> Result<Vec<Entry>, store::Error> {
    rows.iter().map(|(key, _)| entry_of(key)).collect()
}

fn entry_of(key: &[u8]) -> Result<Entry, store::Error> {
    let reason = match Key::decode(key) {
        Ok(Key::Operation { entry, .. }) => return Ok(entry),
        Ok(other) => format!("{other:?} is in an index"),
        Err(error) => error.reason,
    };
    Err(store::Error::Record {
        key: key.escape_ascii().to_string(),
        reason,
    })
}

/// The least entry of a moment: no id comes before this one.
fn first_at(created_ms: u64) -> Entry {
    let id = OperationId::new("-").unwrap_or_else(|error| unreachable!("a valid id: {error}"));
    Entry { created_ms, id }
}

/// Rows of an index that are counted in one read.
const COUNT_ROWS: usize = 1_000;
/// What a share has beside twice its part: small parts vary more.
const SHARE_ROWS: usize = 2;

#[cfg(test)]
mod tests;
