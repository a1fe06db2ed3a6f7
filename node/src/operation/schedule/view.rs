//! A schedule as its users see it, JSON text.

use bytes::Bytes;
use selvedge_cluster::actor::kind::json;
use selvedge_protocol::limits::SCHEDULE_NEXT_SHOWN;
use selvedge_protocol::{OperationId, time};
use serde::Serialize;

use crate::operation::schedule::definition::Definition;
use crate::operation::schedule::machine::{Schedule, Triggered};
use crate::operation::schedule::record::{Counts, Finished, Run};

/// The answer to `get`, and to all commands but `trigger`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: &'a str,
    status: &'static str,
    definition: &'a Definition,
    /// The next times, without what chance adds.
    next: Vec<String>,
    running: Vec<Running<'a>>,
    /// Times that wait for what runs to end.
    buffered: Vec<String>,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Last<'a>>,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_note: Option<&'a str>,
    created_by: &'a str,
    created_at: String,
    updated_at: String,
    /// Of a create: whether it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Running<'a> {
    operation: &'a OperationId,
    planned_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Last<'a> {
    operation: &'a OperationId,
    status: &'a str,
    planned_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// The answer to `trigger`.
#[derive(Serialize)]
struct TriggerView<'a> {
    triggered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a OperationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// The whole schedule; `created`: of a create, whether it did.
pub(super) fn schedule(schedule: &Schedule, created: Option<bool>) -> Bytes {
    let record = &schedule.record;
    let paused = record.paused.as_ref();
    let next = schedule.coming(SCHEDULE_NEXT_SHOWN);
    json::encode(&View {
        id: record.address.key.as_str(),
        status: status(schedule),
        definition: &record.definition,
        next: next.into_iter().map(time::format).collect(),
        running: record.running.iter().map(running).collect(),
        buffered: record.buffered.iter().copied().map(time::format).collect(),
        counts: record.counts,
        last: record.last.as_ref().map(last),
        paused: paused.is_some(),
        pause_note: paused.and_then(|paused| paused.note.as_deref()),
        created_by: &record.created_by,
        created_at: time::format(record.created_ms),
        updated_at: time::format(record.updated_ms),
        created,
    })
}

pub(super) fn status(schedule: &Schedule) -> &'static str {
    match schedule.record.paused {
        Some(_) => "paused",
        None if schedule.is_ended() => "ended",
        None => "active",
    }
}

pub(super) fn triggered(triggered: &Triggered) -> Bytes {
    let (operation, reason) = match triggered {
        Triggered::Submitted(operation) => (Some(operation), None),
        Triggered::Skipped => (
            None,
            Some("an operation of the schedule is running, and its overlap is skip"),
        ),
        Triggered::Full => (None, Some("as many operations of the schedule run as may")),
    };
    json::encode(&TriggerView {
        triggered: operation.is_some(),
        operation,
        reason,
    })
}

pub(super) fn running(run: &Run) -> Running<'_> {
    Running {
        operation: &run.operation,
        planned_at: time::format(run.planned_ms),
    }
}

fn last(finished: &Finished) -> Last<'_> {
    Last {
        operation: &finished.operation,
        status: &finished.status,
        planned_at: time::format(finished.planned_ms),
        finished_at: time::format(finished.finished_ms),
        error: finished.error.as_deref(),
    }
}
