//! Lists operations: newest first, filtered, in pages whose cursor stays right while operations come and
//! change.
//!
//! One filter chooses the index; the others are checked on each operation found.

use std::ops::Bound;

use bytes::Bytes;
use futures::{StreamExt, stream};
use selvedge_client::operation::{ListQuery, Operation, OperationPage};
use selvedge_cluster::store::keys::{Entry, Key, KeyRange, Label};
use selvedge_cluster::store::{self, Isolation, Order, Store};
use selvedge_protocol::limits::{
    INLINE_BYTES_MAX, OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX, OPERATION_SCAN_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, OperationId, Tenant};

use crate::operation::record::ordinal_of;

/// Operations that are asked for their state at a time.
const READS_IN_FLIGHT: usize = 32;

/// Bytes of the operations of one page: what an answer carries, less the brackets and the cursor.
const PAGE_BYTES_MAX: usize = INLINE_BYTES_MAX - 512;

/// A list as it was asked for, checked.
#[derive(Debug)]
pub(super) struct List {
    tenant: Tenant,
    query: ListQuery,
    label: Option<Label>,
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
            after,
            limit,
        })
    }

    /// Reads a page. `read` gives the operation with an id; `None` when it is gone.
    pub(super) async fn page<R, F>(
        &self,
        store: &dyn Store,
        read: R,
    ) -> Result<OperationPage, Failure>
    where
        R: Fn(OperationId) -> F,
        F: Future<Output = Option<Operation>>,
    {
        let mut items = Vec::with_capacity(self.limit);
        let mut after = self.after.clone();
        let mut seen = 0;
        let mut bytes_left = PAGE_BYTES_MAX;
        loop {
            let entries = self
                .entries(store, after.as_ref())
                .await
                .map_err(unavailable)?;
            let is_last = entries.len() < self.limit;
            seen += entries.len();
            let mut found = stream::iter(entries)
                .map(|entry| {
                    let operation = read(entry.id.clone());
                    async move { (entry, operation.await) }
                })
                .buffered(READS_IN_FLIGHT);
            while let Some((entry, operation)) = found.next().await {
                if let Some(operation) = operation.filter(|operation| self.matches(operation)) {
                    let (operation, bytes) = fit(operation);
                    bytes_left = match bytes_left.checked_sub(bytes) {
                        Some(left) => left,
                        // It begins the next page.
                        None => return Ok(page(items, after)),
                    };
                    items.push(operation);
                }
                after = Some(entry);
                if items.len() == self.limit {
                    return Ok(page(items, after));
                }
            }
            if is_last {
                return Ok(page(items, None));
            }
            if seen >= OPERATION_SCAN_MAX {
                return Ok(page(items, after));
            }
        }
    }

    /// The next index entries, newest first.
    async fn entries(
        &self,
        store: &dyn Store,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, store::Error> {
        let index = self.index();
        let mut range = index.read(self.limit, Isolation::Snapshot);
        range.order = Order::Descending;
        if let Some(entry) = after {
            range.end = Bound::Excluded(Bytes::from(self.key(entry.clone()).encode()));
        }
        let rows = store.begin().range(range).await?;
        Ok(rows.iter().filter_map(|(key, _)| entry_of(key)).collect())
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

    fn matches(&self, operation: &Operation) -> bool {
        let status = self
            .query
            .status
            .is_none_or(|status| status == operation.status);
        let name = self.query.operation_type.as_ref();
        let label = self.label.as_ref();
        status
            && name.is_none_or(|name| *name == operation.operation_type)
            && label.is_none_or(|label| operation.labels.get(&label.key) == Some(&label.value))
    }
}

/// An operation and the bytes that it takes on a page. One that would not fit alone is listed without what
/// makes it large: that is read from the operation.
fn fit(operation: Operation) -> (Operation, usize) {
    // And the comma after it.
    let bytes =
        |operation: &Operation| serde_json::to_vec(operation).map_or(0, |json| json.len() + 1);
    let whole = bytes(&operation);
    if whole <= PAGE_BYTES_MAX {
        return (operation, whole);
    }
    let outline = Operation {
        metadata: None,
        input: None,
        result: None,
        progress: None,
        steps: Vec::new(),
        ..operation
    };
    let bytes = bytes(&outline);
    (outline, bytes)
}

fn page(items: Vec<Operation>, after: Option<Entry>) -> OperationPage {
    OperationPage {
        items,
        cursor: after.map(|entry| format!("{}.{}", entry.created_ms, entry.id)),
    }
}

fn read_cursor(text: &str) -> Option<Entry> {
    let (created_ms, id) = text.split_once('.')?;
    Some(Entry {
        created_ms: created_ms.parse().ok()?,
        id: OperationId::new(id).ok()?,
    })
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

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn unavailable(error: store::Error) -> Failure {
    tracing::warn!(%error, "listing operations failed");
    Failure::new(
        ErrorCode::Unavailable,
        "the store does not answer; try again",
    )
}
