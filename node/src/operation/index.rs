//! The rows that make operations found in lists, and the rows that hold a stored payload.
//!
//! The kind adds them to the effects of its decisions; `scan` reads the index. Index rows have no value:
//! the record is the truth.

use bytes::Bytes;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::store::keys::{ActorPath, Entry, Index, Key, Label, Shards};

use crate::operation::record::{Payload, Record, ordinal_of};

/// A payload's chunk: under the store's limit for values, with room for its own overhead.
pub(crate) const PAYLOAD_CHUNK_BYTES: usize = 90_000;

type Row = (Key, Option<Bytes>);

/// The rows of a new operation.
pub(super) fn created(record: &Record, shards: Shards) -> Vec<Row> {
    let labels = record.labels.iter().map(|(key, value)| {
        Index::Label(Label {
            key: key.clone(),
            value: value.clone(),
        })
    });
    [Index::Time, Index::Type(record.operation_type.clone())]
        .into_iter()
        .chain(labels)
        .chain([Index::Status(ordinal_of(record.status))])
        .map(|index| (key(record, shards, index), Some(Bytes::new())))
        .collect()
}

/// The keys of all rows that an operation ever has in the indexes.
pub(super) fn traces(record: &Record, shards: Shards) -> Vec<Key> {
    let rows = created(record, shards).into_iter().map(|(key, _)| key);
    let statuses = Status::ALL
        .into_iter()
        .filter(|status| *status != record.status);
    rows.chain(statuses.map(|status| key(record, shards, Index::Status(ordinal_of(status)))))
        .collect()
}

/// Clears all rows of an operation.
pub(super) fn forgotten(record: &Record, shards: Shards) -> Vec<Row> {
    let rows = created(record, shards).into_iter();
    rows.map(|(key, _)| (key, None)).collect()
}

/// The rows of a change of status.
pub(super) fn moved(before: Status, record: &Record, shards: Shards) -> Vec<Row> {
    if before == record.status {
        return Vec::new();
    }
    let by_status = |status| key(record, shards, Index::Status(ordinal_of(status)));
    vec![
        (by_status(before), None),
        (by_status(record.status), Some(Bytes::new())),
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

/// An operation's row in an index.
fn key(record: &Record, shards: Shards, index: Index) -> Key {
    Key::Operation {
        tenant: record.tenant.clone(),
        index,
        shard: shards.of(&record.id),
        entry: Entry {
            created_ms: record.created_ms,
            id: record.id.clone(),
        },
    }
}
