//! What a schedule tells those who follow it.

use std::borrow::Cow;

use selvedge_cluster::actor::NewEvent;
use selvedge_cluster::actor::kind::json;
use selvedge_protocol::{OperationId, time};
use serde_json::{Value, json};

use crate::operation::schedule::definition::Definition;
use crate::operation::schedule::record::Finished;

pub(super) fn defined(kind: &'static str, definition: &Definition) -> NewEvent {
    event(kind, &json!({ "definition": definition }))
}

pub(super) fn paused(note: Option<&str>) -> NewEvent {
    event("paused", &json!({ "note": note }))
}

pub(super) fn plain(kind: &'static str) -> NewEvent {
    event(kind, &json!({}))
}

pub(super) fn run(kind: &'static str, operation: &OperationId, planned_ms: u64) -> NewEvent {
    let data = json!({ "operation": operation, "plannedAt": time::format(planned_ms) });
    event(kind, &data)
}

pub(super) fn skipped(planned_ms: u64, reason: &str) -> NewEvent {
    let data = json!({ "plannedAt": time::format(planned_ms), "reason": reason });
    event("skipped", &data)
}

pub(super) fn missed(count: u64, first_ms: u64, last_ms: u64) -> NewEvent {
    let (first, last) = (time::format(first_ms), time::format(last_ms));
    let data = json!({ "count": count, "firstPlannedAt": first, "lastPlannedAt": last });
    event("missed", &data)
}

pub(super) fn finished(finished: &Finished) -> NewEvent {
    let data = json!({
        "operation": finished.operation,
        "status": finished.status,
        "plannedAt": time::format(finished.planned_ms),
    });
    event("finished", &data)
}

pub(super) fn ended(reason: &str) -> NewEvent {
    event("ended", &json!({ "reason": reason }))
}

fn event(kind: &'static str, data: &Value) -> NewEvent {
    NewEvent {
        kind: Cow::Borrowed(kind),
        data: json::encode(data),
    }
}
