//! Lists operations: newest first, filtered, in pages whose cursor stays right while operations come and
//! change.
//!
//! One filter chooses the index; the others are checked on each operation found. Operations are read from
//! the store in the snapshot of the index; listing activates none.

use bytes::Bytes;
use selvedge_client::operation::{ListQuery, OperationCount};
use selvedge_cluster::actor::{Refusal, ScopedAddress, stored_state};
use selvedge_cluster::store::keys::{Entry, Index, Label, Shards};
use selvedge_cluster::store::{self, Transaction};
use selvedge_protocol::limits::{
    INLINE_BYTES_MAX, OPERATION_COUNT_MAX, OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX,
    OPERATION_SCAN_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, OperationId, Tenant};

use crate::operation::record::{Record, ordinal_of};
use crate::operation::scan::Scan;
use crate::operation::service::address;
use crate::operation::{submission, view};
use crate::processing::Pools;

/// What a page has besides its items: the names of its fields, and a cursor of a time and an id of 128
/// bytes.
const FRAME_BYTES: usize = 256;
/// The items of a page: with its frame it is answered inline.
const ITEMS_BYTES_MAX: usize = INLINE_BYTES_MAX - FRAME_BYTES;

/// Entries of the index that a count looks up in one transaction.
const COUNT_ENTRIES: usize = 1_000;

/// A list as it was asked for, checked.
#[derive(Debug)]
pub(super) struct List {
    query: ListQuery,
    label: Option<Label>,
    /// What is read of the index that was chosen.
    scan: Scan,
    after: Option<Entry>,
    limit: usize,
}

impl List {
    /// Checks the body of the query `list`; an empty one lists all.
    pub(super) fn parse(tenant: Tenant, shards: Shards, body: &[u8]) -> Result<Self, Failure> {
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
        let scan = Scan {
            tenant,
            index: index(label.as_ref(), &query),
            shards,
            created_ms,
        };
        Ok(Self {
            query,
            label,
            scan,
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
            let entries = self
                .scan
                .entries(&mut *transaction, after.as_ref(), self.limit)
                .await
                .map_err(unavailable)?;
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
        let Ok(actor) = address(self.scan.tenant.clone(), &entry.id) else {
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

    /// Counts what matches, up to a bound. Where the index alone tells, no operation is read.
    pub(super) async fn count(&self, pools: &Pools) -> Result<OperationCount, Failure> {
        let counted = match self.is_index_enough() {
            true => {
                self.scan
                    .count(&**pools.store(), self.after.as_ref(), OPERATION_COUNT_MAX)
                    .await
            }
            false => self.count_matches(pools).await,
        };
        let (count, is_exact) = counted.map_err(unavailable)?;
        Ok(OperationCount {
            count: count as u64,
            is_exact,
        })
    }

    /// How many operations match, and whether these are all.
    async fn count_matches(&self, pools: &Pools) -> Result<(usize, bool), store::Error> {
        let (mut count, mut seen) = (0, 0);
        let mut after = self.after.clone();
        while seen < OPERATION_SCAN_MAX {
            let mut transaction = pools.store().begin();
            let entries = self
                .scan
                .entries(&mut *transaction, after.as_ref(), COUNT_ENTRIES)
                .await?;
            for entry in &entries {
                let item = self.item(pools, &mut *transaction, entry).await?;
                count += usize::from(item.is_some());
            }
            if entries.len() < COUNT_ENTRIES {
                return Ok((count, true));
            }
            seen += entries.len();
            after = entries.last().cloned();
        }
        Ok((count, false))
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

/// The index to read: the one by the filter that is likely to leave the fewest.
fn index(label: Option<&Label>, query: &ListQuery) -> Index {
    match (label, query.status, &query.operation_type) {
        (Some(label), _, _) => Index::Label(label.clone()),
        (None, Some(status), _) => Index::Status(ordinal_of(status)),
        (None, None, Some(name)) => Index::Type(name.clone()),
        (None, None, None) => Index::Time,
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
