//! An operation as its users see it: the JSON of DESIGN 7, made from the record.

use bytes::Bytes;
use selvedge_client::operation::{
    Operation, OperationError, OperationStatus as Status, OperationStep, StepStatus,
};
use selvedge_protocol::limits::INLINE_BYTES_MAX;
use selvedge_protocol::time;
use serde_json::value::RawValue;

use crate::operation::event;
use crate::operation::record::{Fault, Record, Step};
use crate::processing::RunBy;

/// What a view needs besides the record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// A runner has begun, though it may not be noted in the record yet.
    pub(super) is_taken: bool,
    /// Who runs its type, as far as this node knows.
    pub(super) run_by: RunBy,
}

/// The status to show: a runner may have begun before the record knows.
pub(super) fn status(record: &Record, frame: Frame) -> Status {
    match record.status {
        Status::Pending | Status::Waiting if frame.is_taken => Status::Running,
        status => status,
    }
}

pub(super) fn operation(record: &Record, frame: Frame) -> Operation {
    let status = status(record, frame);
    let is_begun = status != record.status;
    let waiting_for = match record.waiting {
        // Also while an attempt waits for a worker to come back.
        _ if record.is_awake() && frame.run_by == RunBy::AbsentWorkers => {
            Some(event::no_worker(record))
        }
        _ if is_begun => None,
        Some(_) => event::describe(record),
        // Accepted by a binary that knew the type.
        None if record.is_runnable() && frame.run_by == RunBy::Nobody => {
            Some(event::NO_HANDLER.to_owned())
        }
        None => None,
    };
    Operation {
        id: record.id.clone(),
        operation_type: record.operation_type.clone(),
        status,
        metadata: raw(record.metadata.as_deref().unwrap_or("{}")),
        input: raw(&record.input),
        result: record.result.as_deref().and_then(raw),
        error: record.error.as_ref().map(error),
        waiting_for,
        tenant: record.tenant.to_string(),
        created_by: record.created_by.clone(),
        created_at: time::format(record.created_ms),
        updated_at: time::format(record.updated_ms),
        version: record.version,
        attempt: match is_begun {
            true => record.next_attempt(),
            false => record.attempt,
        },
        progress: record
            .progress
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok()),
        steps: record.steps.iter().map(step).collect(),
        deadline: record.deadline_ms.map(time::format),
        run_at: record.run_at_ms.map(time::format),
        priority: record.priority,
        labels: record.labels.clone(),
    }
}

/// The operation as JSON text.
pub(super) fn json(record: &Record, frame: Frame) -> Bytes {
    Bytes::from(encode(&operation(record, frame)))
}

/// The same in at most `bytes_max`, which are some ten thousand: what does not fit is left out, the input
/// and the results first.
pub(super) fn json_within(record: &Record, frame: Frame, bytes_max: usize) -> Bytes {
    let mut operation = operation(record, frame);
    let mut text = encode(&operation);
    if text.len() > bytes_max {
        operation.input = None;
        operation.result = None;
        for step in &mut operation.steps {
            step.result = None;
        }
        text = encode(&operation);
    }
    if text.len() > bytes_max {
        operation.metadata = None;
        operation.progress = None;
        operation.steps.clear();
        text = encode(&operation);
    }
    Bytes::from(text)
}

/// The answer to a command: the operation as far as it fits into an answer.
pub(super) fn answer(record: &Record, frame: Frame) -> Bytes {
    json_within(record, frame, INLINE_BYTES_MAX)
}

/// The answer to a submit: the same, and whether this submit created it.
pub(super) fn submitted(record: &Record, frame: Frame, created: bool) -> Bytes {
    let tail = format!(",\"created\":{created}}}");
    let mut text = Vec::from(json_within(record, frame, INLINE_BYTES_MAX - tail.len()));
    if text.pop() == Some(b'}') {
        text.extend_from_slice(tail.as_bytes());
    }
    Bytes::from(text)
}

fn encode(operation: &Operation) -> Vec<u8> {
    // Serialisation into memory fails only for maps with keys that are not text.
    serde_json::to_vec(operation).unwrap_or_else(|_| b"null".to_vec())
}

fn step(step: &Step) -> OperationStep {
    OperationStep {
        name: step.name.to_string(),
        status: StepStatus::Succeeded,
        attempt: step.attempt,
        result: raw(&step.result),
        error: None,
        finished_at: Some(time::format(step.finished_ms)),
    }
}

fn error(fault: &Fault) -> OperationError {
    OperationError {
        code: fault.code.clone(),
        message: fault.message.clone(),
        step: fault.step.clone(),
    }
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}
