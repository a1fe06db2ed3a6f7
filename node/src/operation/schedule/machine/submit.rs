//! The operations of a schedule: their ids, their submits as messages of the outbox, their cancels.

use bytes::Bytes;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{Effects, Kind as _, Message};
use selvedge_protocol::limits::CHOSEN_ID_BYTES_MAX;
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, OperationId, time};

use super::Schedule;
use crate::operation::child::{ChildParent, ChildSubmit, SUBMIT_CHILD};
use crate::operation::kind::{CANCEL, OperationKind};
use crate::operation::schedule::event;
use crate::operation::schedule::record::{Record, Run, Submitted};

/// An operation that nobody above called: what it calls is one deeper.
const DEPTH: u16 = 1;
/// Digits of the hash that stands for a key which is no id.
const HASH_LEN: usize = 16;

impl Schedule {
    /// Submits an operation for a time, with the change that is being made.
    pub(super) fn submit(
        &mut self,
        operation: OperationId,
        planned_ms: u64,
        effects: &mut Effects,
    ) {
        let record = &mut self.record;
        record.counts.runs += 1;
        effects
            .events
            .push(event::run("submitted", &operation, planned_ms));
        effects
            .messages
            .extend(message(record, &operation, planned_ms));
        record.past.submitted = Some(Submitted {
            operation: operation.clone(),
            planned_ms,
            submitted_ms: record.updated_ms,
            ended: None,
        });
        record.running.push(Run {
            operation,
            planned_ms,
        });
    }
}

fn message(record: &Record, operation: &OperationId, planned_ms: u64) -> Option<Message> {
    let body = json::encode(&ChildSubmit {
        parent: ChildParent {
            actor: record.address.clone(),
            name: time::format(planned_ms),
            depth: DEPTH,
        },
        created_by: record.created_by.clone(),
        submit: record.definition.operation.submit().ok()?,
    });
    Some(Message {
        to: address(operation)?,
        name: SUBMIT_CHILD.to_owned(),
        body,
    })
}

/// Cancels an operation that runs.
pub(super) fn cancel(run: &Run) -> Option<Message> {
    Some(Message {
        to: address(&run.operation)?,
        name: CANCEL.to_owned(),
        body: Bytes::from_static(b"{}"),
    })
}

/// The operation of a time: the same however often the time is decided.
pub(super) fn planned_id(record: &Record, planned_ms: u64) -> OperationId {
    let planned = time::format(planned_ms);
    id(
        record,
        &match record.incarnation {
            1 => planned,
            incarnation => format!("{planned}.{incarnation}"),
        },
    )
}

/// The operation of a trigger: each has one of its own.
pub(super) fn triggered_id(record: &Record, seq: u64) -> OperationId {
    id(record, &format!("trigger-{}", seq + 1))
}

/// Under the schedule's name, or as much of it as an id may hold.
fn id(record: &Record, suffix: &str) -> OperationId {
    let key = record.address.key.as_str();
    if let Ok(id) = OperationId::new(format!("{key}.{suffix}")) {
        return id;
    }
    let hash = blake3::hash(key.as_bytes()).to_hex();
    let room = CHOSEN_ID_BYTES_MAX - suffix.len() - HASH_LEN - 2;
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    let kept: String = key.chars().filter(is_plain).take(room).collect();
    let text = format!("{kept}-{}.{suffix}", &hash[..HASH_LEN]);
    match OperationId::new(text) {
        Ok(id) => id,
        Err(error) => panic!("an id of plain characters within its length is one: {error}"),
    }
}

/// The actor that an operation is.
fn address(id: &OperationId) -> Option<ActorAddress> {
    Some(ActorAddress {
        kind: ActorKind::new(OperationKind::NAME).ok()?,
        key: ActorKey::new(id.as_str()).ok()?,
    })
}
