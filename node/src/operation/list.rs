//! Lists operations: newest first, filtered, in pages whose cursor stays right while operations come and
//! change.
//!
//! One filter chooses the index; the others are checked on each operation found. Operations are read from
//! the store in the snapshot of the index; listing activates none.

use std::ops::Bound;

use bytes::Bytes;
use selvedge_client::operation::{ListQuery, OperationCount};
use selvedge_cluster::actor::{Refusal, ScopedAddress, stored_state};
use selvedge_cluster::store::keys::{Entry, Key, KeyRange, Label};
use selvedge_cluster::store::{self, Isolation, Order, Range, Transaction};
use selvedge_protocol::limits::{
    INLINE_BYTES_MAX, OPERATION_COUNT_MAX, OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX,
    OPERATION_SCAN_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, OperationId, Tenant};

use crate::operation::record::{Record, ordinal_of};
use crate::operation::service::address;
use crate::operation::{submission, view};
use crate::processing::Pools;

/// What a page has besides its items: the names of its fields, and a cursor of a time and an id of 128
/// bytes.
const FRAME_BYTES: usize = 256;
/// The items of a page: with its frame it is answered inline.
const ITEMS_BYTES_MAX: usize = INLINE_BYTES_MAX - FRAME_BYTES;

/// Rows of the index that are counted in one read.
const COUNT_ROWS: usize = 1_000;

/// A list as it was asked for, checked.
#[derive(Debug)]
pub(super) struct List {
    tenant: Tenant,
    query: ListQuery,
    label: Option<Label>,
    /// Created from the first moment on, before the second; Unix milliseconds.
    created_ms: (Option<u64>, Option<u64>),
    after: Option<Entry>,
    limit: usize,
}

impl List {
    /// Checks the body of the query `list`; an empty one lists all.
    pub(super) fn parse(tenant: Tenant, body: &[u8]) -> Result<Self, Failure> {
        let query: ListQuery = match body {
            [] | b"null" => ListQuery::default(),
            body => serde_json::from_slice(body)
                .map_err(|error| invalid("body", format!("the list does not read: {error}")))?,
        };
        let label = match query.label.as_deref().map(|label| label.split_once('=')) {
            None => None,
            Some(Some((key, value))) => Some(Label {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            Some(None) => return Err(invalid("label", "use KEY=VALUE".to_owned())),
        };
        let created_ms = (
            submission::moment("createdAfter", query.created_after.as_deref())
                .map_err(|Refusal(failure)| failure)?,
            submission::moment("createdBefore", query.created_before.as_deref())
                .map_err(|Refusal(failure)| failure)?,
        );
        let after = match query.cursor.as_deref().map(read_cursor) {
            None => None,
            Some(Some(entry)) => Some(entry),
            Some(None) => {
                return Err(invalid(
                    "cursor",
                    "use the cursor of the page before".to_owned(),
                ));
            }
        };
        let limit = query.limit.map_or(OPERATION_PAGE_DEFAULT, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        if !(1..=OPERATION_PAGE_MAX).contains(&limit) {
            return Err(invalid(
                "limit",
                format!("a page has 1 to {OPERATION_PAGE_MAX} items"),
            ));
        }
        Ok(Self {
            tenant,
            query,
            label,
            created_ms,
            after,
            limit,
        })
    }

    /// Reads a page, JSON text.
    pub(super) async fn page(&self, pools: &Pools) -> Result<Bytes, Failure> {
        let mut page = Page::default();
        let mut after = self.after.clone();
        let mut seen = 0;
        loop {
            // Anew for each round: the store bounds how long a transaction may read.
            let mut transaction = pools.store().begin();
            let entries = self.entries(&mut *transaction, after.as_ref()).await;
            let entries = entries.map_err(unavailable)?;
            let is_last = entries.len() < self.limit;
            seen += entries.len();
            for entry in entries {
                let item = self.item(pools, &mut *transaction, &entry).await;
                if let Some(item) = item.map_err(unavailable)? {
                    if !page.has_room(&item) {
                        return Ok(page.end(after.as_ref()));
                    }
                    page.push(&item);
                }
                after = Some(entry);
                if page.len == self.limit {
                    return Ok(page.end(after.as_ref()));
                }
            }
            if is_last {
                return Ok(page.end(None));
            }
            if seen >= OPERATION_SCAN_MAX {
                return Ok(page.end(after.as_ref()));
            }
        }
    }

    /// The operation of an index entry as JSON text, if it is there and matches.
    async fn item(
        &self,
        pools: &Pools,
        transaction: &mut dyn Transaction,
        entry: &Entry,
    ) -> Result<Option<Bytes>, store::Error> {
        let Ok(actor) = address(self.tenant.clone(), &entry.id) else {
            return Ok(None);
        };
        let Some(stored) = stored_state(transaction, &pools.path(&actor)).await? else {
            return Ok(None);
        };
        let record = match Record::decode(&stored.bytes) {
            Ok(record) => record,
            Err(reason) => {
                tracing::error!(operation = %entry.id, reason, "stored operation does not decode");
                return Ok(None);
            }
        };
        let frame = frame(pools, &actor, &record);
        let is_wanted = self.matches(&record, frame);
        Ok(is_wanted.then(|| view::json_within(&record, frame, ITEMS_BYTES_MAX)))
    }

    /// The next index entries, newest first.
    async fn entries(
        &self,
        transaction: &mut dyn Transaction,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, store::Error> {
        let rows = transaction.range(self.range(after, self.limit)).await?;
        Ok(rows.iter().filter_map(|(key, _)| entry_of(key)).collect())
    }

    /// The part of the index that is asked for, newest first.
    fn range(&self, after: Option<&Entry>, limit: usize) -> Range {
        let mut range = self.index().read(limit, Isolation::Snapshot);
        range.order = Order::Descending;
        let at = |created_ms| Bytes::from(self.key(first_at(created_ms)).encode());
        if let Some(from_ms) = self.created_ms.0 {
            range.begin = Bound::Included(at(from_ms));
        }
        if let Some(before_ms) = self.created_ms.1 {
            range.end = Bound::Excluded(at(before_ms));
        }
        if let Some(entry) = after {
            let cursor = Bytes::from(self.key(entry.clone()).encode());
            let is_later = matches!(&range.end, Bound::Excluded(end) if *end < cursor);
            if !is_later {
                range.end = Bound::Excluded(cursor);
            }
        }
        range
    }

    /// Counts what matches, up to a bound. Where the index alone tells, no operation is read.
    pub(super) async fn count(&self, pools: &Pools) -> Result<OperationCount, Failure> {
        let is_index_enough = self.is_index_enough();
        let seen_max = match is_index_enough {
            true => OPERATION_COUNT_MAX,
            false => OPERATION_SCAN_MAX,
        };
        let (mut count, mut seen) = (0, 0);
        let mut after = self.after.clone();
        while seen < seen_max {
            let mut transaction = pools.store().begin();
            let range = self.range(after.as_ref(), COUNT_ROWS);
            let rows = transaction.range(range).await.map_err(unavailable)?;
            let is_last = rows.len() < COUNT_ROWS;
            seen += rows.len();
            after = rows.last().and_then(|(key, _)| entry_of(key));
            if is_index_enough {
                count += rows.len() as u64;
            } else {
                for entry in rows.iter().filter_map(|(key, _)| entry_of(key)) {
                    let item = self.item(pools, &mut *transaction, &entry).await;
                    count += u64::from(item.map_err(unavailable)?.is_some());
                }
            }
            if is_last {
                let is_exact = true;
                return Ok(OperationCount { count, is_exact });
            }
        }
        let is_exact = false;
        Ok(OperationCount { count, is_exact })
    }

    /// Whether the index that is read holds just what is asked for.
    fn is_index_enough(&self) -> bool {
        let filters = [
            self.label.is_some(),
            self.query.status.is_some(),
            self.query.operation_type.is_some(),
        ];
        let set = filters.into_iter().filter(|is_set| *is_set).count();
        set <= 1 && self.query.created_by.is_none()
    }

    fn index(&self) -> KeyRange {
        let tenant = &self.tenant;
        match (&self.label, self.query.status, &self.query.operation_type) {
            (Some(label), _, _) => KeyRange::operations_by_label(tenant, label),
            (None, Some(status), _) => KeyRange::operations_by_status(tenant, ordinal_of(status)),
            (None, None, Some(name)) => KeyRange::operations_by_type(tenant, name),
            (None, None, None) => KeyRange::operations_by_time(tenant),
        }
    }

    /// An entry's key in the same index.
    fn key(&self, entry: Entry) -> Key {
        let tenant = self.tenant.clone();
        match (&self.label, self.query.status, &self.query.operation_type) {
            (Some(label), _, _) => Key::OperationByLabel {
                tenant,
                label: label.clone(),
                entry,
            },
            (None, Some(status), _) => Key::OperationByStatus {
                tenant,
                status: ordinal_of(status),
                entry,
            },
            (None, None, Some(name)) => Key::OperationByType {
                tenant,
                operation_type: name.clone(),
                entry,
            },
            (None, None, None) => Key::OperationByTime { tenant, entry },
        }
    }

    fn matches(&self, record: &Record, frame: view::Frame) -> bool {
        let status = view::status(record, frame);
        let name = self.query.operation_type.as_ref();
        let label = self.label.as_ref();
        let creator = self.query.created_by.as_ref();
        self.query.status.is_none_or(|wanted| wanted == status)
            && name.is_none_or(|name| *name == record.operation_type)
            && creator.is_none_or(|creator| *creator == record.created_by)
            && label.is_none_or(|label| record.labels.get(&label.key) == Some(&label.value))
    }
}

/// The JSON text of a page while it grows.
#[derive(Default)]
struct Page {
    items: Vec<u8>,
    len: usize,
}

impl Page {
    fn has_room(&self, item: &Bytes) -> bool {
        self.items.len() + 1 + item.len() <= ITEMS_BYTES_MAX || self.len == 0
    }

    fn push(&mut self, item: &Bytes) {
        if self.len > 0 {
            self.items.push(b',');
        }
        self.items.extend_from_slice(item);
        self.len += 1;
    }

    /// The whole page; `after`: the last entry that it covers, unless there are no more.
    fn end(self, after: Option<&Entry>) -> Bytes {
        let mut text = Vec::with_capacity(self.items.len() + FRAME_BYTES);
        text.extend_from_slice(b"{\"items\":[");
        text.extend_from_slice(&self.items);
        // Neither a number nor an id needs escapes.
        let cursor = after.map_or_else(
            || "null".to_owned(),
            |entry| format!("\"{}.{}\"", entry.created_ms, entry.id),
        );
        text.extend_from_slice(format!("],\"cursor\":{cursor}}}").as_bytes());
        Bytes::from(text)
    }
}

fn frame(pools: &Pools, actor: &ScopedAddress, record: &Record) -> view::Frame {
    view::Frame {
        is_taken: pools
            .active(actor)
            .is_some_and(|control| control.is_ahead_of(record)),
        run_by: pools.run_by(&record.tenant, &record.operation_type),
    }
}

fn read_cursor(text: &str) -> Option<Entry> {
    let (created_ms, id) = text.split_once('.')?;
    Some(Entry {
        created_ms: created_ms.parse().ok()?,
        id: OperationId::new(id).ok()?,
    })
}

/// The least entry of a moment: no id comes before this one.
fn first_at(created_ms: u64) -> Entry {
    let id = OperationId::new("-").unwrap_or_else(|error| unreachable!("a valid id: {error}"));
    Entry { created_ms, id }
}

fn entry_of(key: &[u8]) -> Option<Entry> {
    match Key::decode(key) {
        Ok(
            Key::OperationByTime { entry, .. }
            | Key::OperationByStatus { entry, .. }
            | Key::OperationByType { entry, .. }
            | Key::OperationByLabel { entry, .. },
        ) => Some(entry),
        Ok(_) | Err(_) => None,
    }
}

fn invalid(field: &str, message: String) -> Failure {
    Failure::field(ErrorCode::Invalid, field, message)
}

fn unavailable(error: store::Error) -> Failure {
    if error.is_damage() {
        tracing::error!(%error, "listing operations failed");
        return Failure::new(
            ErrorCode::Internal,
            "what is stored cannot be read; the node's log says more",
        );
    }
    tracing::warn!(%error, "listing operations failed");
    Failure::new(
        ErrorCode::Unavailable,
        "the store does not answer; try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_for_good_and_other_errors_for_the_moment() {
        let damage = store::Error::Unreadable {
            path: "/data/store".to_owned(),
            reason: "a checksum".to_owned(),
        };
        assert!(!damage.to_string().contains("opened"), "{damage}");
        let failure = unavailable(damage);
        assert_eq!(failure.code, ErrorCode::Internal);
        assert!(failure.message.contains("cannot be read"), "{failure}");
        let failure = unavailable(store::Error::TooOld);
        assert_eq!(failure.code, ErrorCode::Unavailable);
    }
}
