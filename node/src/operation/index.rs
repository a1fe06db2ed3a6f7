//! The rows that make operations found in lists, and the rows that hold a stored payload.
//!
//! The kind adds them to the effects of its decisions; `list` reads the index. Index rows have no value:
//! the record is the truth.

use bytes::Bytes;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::store::keys::{ActorPath, Entry, Key, Label};
use selvedge_protocol::Tenant;

use crate::operation::record::{Payload, Record, ordinal_of};

/// A payload's chunk: under the store's limit for values, with room for its own overhead.
pub(crate) const PAYLOAD_CHUNK_BYTES: usize = 90_000;

type Row = (Key, Option<Bytes>);

/// The rows of a new operation.
pub(super) fn created(record: &Record) -> Vec<Row> {
    let entry = Entry {
        created_ms: record.created_ms,
        id: record.id.clone(),
    };
    let tenant = &record.tenant;
    let mut rows = Vec::with_capacity(3 + record.labels.len());
    rows.push(set(Key::OperationByTime {
        tenant: tenant.clone(),
        entry: entry.clone(),
    }));
    rows.push(set(Key::OperationByType {
        tenant: tenant.clone(),
        operation_type: record.operation_type.clone(),
        entry: entry.clone(),
    }));
    for (key, value) in &record.labels {
        rows.push(set(Key::OperationByLabel {
            tenant: tenant.clone(),
            label: Label {
                key: key.clone(),
                value: value.clone(),
            },
            entry: entry.clone(),
        }));
    }
    rows.push(set(by_status(tenant, record.status, entry)));
    rows
}

/// Clears all rows of an operation.
pub(super) fn forgotten(record: &Record) -> Vec<Row> {
    let rows = created(record).into_iter();
    rows.map(|(key, _)| (key, None)).collect()
}

/// The rows of a change of status.
pub(super) fn moved(before: Status, record: &Record) -> Vec<Row> {
    if before == record.status {
        return Vec::new();
    }
    let entry = Entry {
        created_ms: record.created_ms,
        id: record.id.clone(),
    };
    let tenant = &record.tenant;
    vec![
        (by_status(tenant, before, entry.clone()), None),
        set(by_status(tenant, record.status, entry)),
    ]
}

/// The rows of a payload that came with a submit.
pub(super) fn payload(actor: &ActorPath, payload: &Bytes) -> Vec<Row> {
    let starts = (0..payload.len()).step_by(PAYLOAD_CHUNK_BYTES);
    let chunks =
        starts.map(|start| payload.slice(start..payload.len().min(start + PAYLOAD_CHUNK_BYTES)));
    (0..)
        .zip(chunks)
        .map(|(chunk, bytes)| (chunk_key(actor, chunk), Some(bytes)))
        .collect()
}

/// Clears what [`payload`] has written.
pub(super) fn payload_cleared(actor: &ActorPath, payload: &Payload) -> Vec<Row> {
    match payload {
        Payload::None | Payload::Streamed { .. } => Vec::new(),
        Payload::Stored { length, .. } => (0..chunks(*length))
            .map(|chunk| (chunk_key(actor, chunk), None))
            .collect(),
    }
}

/// How many chunks a payload takes.
pub(crate) fn chunks(length: u64) -> u32 {
    u32::try_from(length.div_ceil(PAYLOAD_CHUNK_BYTES as u64)).unwrap_or(u32::MAX)
}

pub(crate) fn chunk_key(actor: &ActorPath, chunk: u32) -> Key {
    Key::Payload {
        actor: actor.clone(),
        chunk,
    }
}

fn by_status(tenant: &Tenant, status: Status, entry: Entry) -> Key {
    Key::OperationByStatus {
        tenant: tenant.clone(),
        status: ordinal_of(status),
        entry,
    }
}

fn set(key: Key) -> Row {
    (key, Some(Bytes::new()))
}
