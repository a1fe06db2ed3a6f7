//! The events of an operation: their names and their data, JSON. What watchers see.

use std::borrow::Cow;

use bytes::Bytes;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::NewEvent;
use selvedge_cluster::actor::kind::RefusedMessage;
use selvedge_protocol::limits::OPERATION_EVENT_RESULT_BYTES_MAX;
use selvedge_protocol::time;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::operation::record::{Fault, Record, Signal, Step, Wait, WaitOn, Waiting};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepFinished<'a> {
    step: &'a str,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptFailed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    attempt: u32,
    error: Error<'a>,
    next_attempt_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WaitingFor<'a> {
    waiting_for: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
}

#[derive(Serialize)]
struct Retried<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
}

#[derive(Serialize)]
struct Compensating<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
    /// In the order in which they run.
    compensations: Vec<&'a str>,
}

#[derive(Serialize)]
struct CompensationFinished<'a> {
    compensation: &'a str,
}

#[derive(Serialize)]
struct Signalled<'a> {
    signal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct SendRefused<'a> {
    to: String,
    command: &'a str,
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Finished<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
}

pub(super) fn submitted(record: &Record) -> NewEvent {
    // A type's characters need no escapes in JSON.
    raw(
        "submitted",
        format!(r#"{{"type":"{}"}}"#, record.operation_type),
    )
}

pub(super) fn started(record: &Record) -> NewEvent {
    raw("started", format!(r#"{{"attempt":{}}}"#, record.attempt))
}

pub(super) fn progress(progress: &str) -> NewEvent {
    raw("progress", format!(r#"{{"progress":{progress}}}"#))
}

pub(super) fn plain(name: &'static str) -> NewEvent {
    raw(name, "{}".to_owned())
}

pub(super) fn step_finished(step: &Step) -> NewEvent {
    let data = StepFinished {
        step: &step.name,
        attempt: step.attempt,
        result: short(&step.result),
    };
    json("step.finished", &data)
}

/// `step.failed` where a step did, else `attempt.failed`.
pub(super) fn attempt_failed(record: &Record, fault: &Fault, next_ms: Option<u64>) -> NewEvent {
    let data = AttemptFailed {
        step: fault.step.as_deref(),
        attempt: record.failures + record.lost,
        error: error(fault),
        next_attempt_at: next_ms.map(time::format),
    };
    let name = if fault.step.is_some() {
        "step.failed"
    } else {
        "attempt.failed"
    };
    json(name, &data)
}

/// A command that the operation has sent came to nothing.
pub(super) fn send_refused(refused: &RefusedMessage) -> NewEvent {
    let data = SendRefused {
        to: refused.to.to_string(),
        command: &refused.name,
        error: Error {
            code: &refused.code,
            message: &refused.message,
        },
    };
    json("send.refused", &data)
}

pub(super) fn waiting(record: &Record) -> NewEvent {
    let data = WaitingFor {
        waiting_for: describe(record).unwrap_or_default(),
        error: record.error.as_ref().map(error),
    };
    json("waiting", &data)
}

pub(super) fn retried(from: Option<&str>) -> NewEvent {
    json("retried", &Retried { from })
}

pub(super) fn continued(record: &Record) -> NewEvent {
    raw(
        "continued",
        format!(r#"{{"generation":{}}}"#, record.generation),
    )
}

/// The operation begins to undo what it has done.
pub(super) fn compensating(record: &Record) -> NewEvent {
    let data = Compensating {
        error: record.error.as_ref().map(error),
        compensations: record
            .compensations
            .iter()
            .rev()
            .map(|undo| &*undo.name)
            .collect(),
    };
    json("compensating", &data)
}

pub(super) fn compensated(name: &str) -> NewEvent {
    json(
        "compensation.finished",
        &CompensationFinished { compensation: name },
    )
}

pub(super) fn signalled(signal: &Signal) -> NewEvent {
    let data = Signalled {
        signal: &signal.name,
        data: short(&signal.data),
    };
    json("signalled", &data)
}

/// Named after the final status.
pub(super) fn finished(record: &Record) -> NewEvent {
    let data = Finished {
        result: record.result.as_deref().and_then(short),
        error: record
            .error
            .as_ref()
            .filter(|_| record.status != Status::Succeeded)
            .map(error),
    };
    json(record.status.name(), &data)
}

/// What an operation waits for, in words; the first of them is for scripts and stays.
pub(super) fn describe(record: &Record) -> Option<String> {
    Some(match record.waiting? {
        Waiting::Time { until_ms } => format!("time: it shall run at {}", time::format(until_ms)),
        Waiting::Retry { until_ms } => {
            format!("retry: the next attempt is at {}", time::format(until_ms))
        }
        Waiting::Payload => {
            "payload: send the same submit again, with the bytes that are streamed".to_owned()
        }
        Waiting::Handler => NO_HANDLER.to_owned(),
        Waiting::Steps => {
            let waits: Vec<String> = record.waits.iter().map(describe_wait).collect();
            waits.join("; ")
        }
    })
}

/// What a step waits for.
pub(super) fn describe_wait(wait: &Wait) -> String {
    let step = &wait.name;
    match &wait.on {
        WaitOn::Time { until_ms } => {
            format!(
                "timer: step {step:?} sleeps until {}",
                time::format(*until_ms)
            )
        }
        WaitOn::Signal { signal, until_ms } => {
            let until = until_ms.map_or_else(String::new, |until_ms| {
                format!(", until {}", time::format(until_ms))
            });
            format!("signal: step {step:?} waits for the signal {signal:?}{until}")
        }
        WaitOn::Call { operation } => {
            format!("operation: step {step:?} waits for the end of {operation}")
        }
    }
}

pub(super) const NO_HANDLER: &str =
    "handler: no node runs operations of this type; start one that does, or a worker";

/// Workers run its type, and none is there.
pub(super) fn no_worker(record: &Record) -> String {
    let name = &record.operation_type;
    format!("worker: no worker of type {name} is connected; start one that executes it")
}

fn error(fault: &Fault) -> Error<'_> {
    Error {
        code: &fault.code,
        message: &fault.message,
    }
}

/// A result that is worth repeating in an event; longer ones are in the operation.
fn short(result: &str) -> Option<&RawValue> {
    if result.len() > OPERATION_EVENT_RESULT_BYTES_MAX {
        return None;
    }
    serde_json::from_str(result).ok()
}

fn json(name: &'static str, data: &impl Serialize) -> NewEvent {
    raw(
        name,
        serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned()),
    )
}

fn raw(name: &'static str, data: String) -> NewEvent {
    NewEvent {
        kind: Cow::Borrowed(name),
        data: Bytes::from(data),
    }
}
