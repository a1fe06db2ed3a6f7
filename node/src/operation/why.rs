//! The query `why`: what an operation waits for, since when, what ends it, and who has it.

use selvedge_client::operation::{
    OperationError, OperationStatus as Status, Why, WhyOwner, WhyWait,
};
use selvedge_protocol::time;

use crate::operation::event;
use crate::operation::record::{Record, Wait, WaitOn, Waiting};
use crate::operation::view::{self, Frame};
use crate::processing::{Control, QueueState, RunBy, WaitingFor};

/// What is known of an operation besides its record.
pub(super) struct Standing<'a> {
    pub(super) frame: Frame,
    /// Its offer to a pool, if it has one.
    pub(super) control: Option<&'a Control>,
    /// How it stands in its pool, if it waits there.
    pub(super) queue: Option<QueueState>,
    pub(super) owner: WhyOwner,
}

pub(super) fn why(record: &Record, standing: Standing<'_>) -> Why {
    let waits = waits(record, &standing);
    let status = view::status(record, standing.frame);
    let summary = match (status.is_final(), waits.first()) {
        (true, _) => format!("it is {status} and waits for nothing"),
        (false, None) => format!("it is {status}"),
        (false, Some(first)) if waits.len() == 1 => format!("it is {status}: {}", first.detail),
        (false, Some(first)) => {
            let more = waits.len() - 1;
            format!("it is {status}: {}; and {more} more", first.detail)
        }
    };
    let next_attempt_at = match record.waiting {
        Some(Waiting::Retry { until_ms } | Waiting::Time { until_ms }) => {
            Some(time::format(until_ms))
        }
        Some(Waiting::Payload | Waiting::Handler | Waiting::Steps) | None => None,
    };
    Why {
        id: record.id.clone(),
        operation_type: record.operation_type.clone(),
        status,
        summary,
        waits,
        attempt: record.attempt,
        next_attempt_at,
        last_error: record.error.as_ref().map(|error| OperationError {
            code: error.code.clone(),
            message: error.message.clone(),
            step: error.step.clone(),
        }),
        last_step: record.steps.last().map(|step| step.name.to_string()),
        compensations: record
            .compensations
            .iter()
            .rev()
            .map(|undo| undo.name.to_string())
            .collect(),
        owner: standing.owner,
    }
}

fn waits(record: &Record, standing: &Standing<'_>) -> Vec<WhyWait> {
    if record.status.is_final() {
        return Vec::new();
    }
    let mut waits = Vec::new();
    if record.status == Status::Paused {
        let detail = "a client has paused it; resume it";
        waits.push(wait(record, "resume", detail.to_owned()));
    }
    match record.waiting {
        Some(Waiting::Time { until_ms }) => waits.push(WhyWait {
            until: Some(time::format(until_ms)),
            ..described(record, "time")
        }),
        Some(Waiting::Retry { until_ms }) => waits.push(WhyWait {
            until: Some(time::format(until_ms)),
            ..described(record, "retry")
        }),
        Some(Waiting::Payload) => waits.push(described(record, "payload")),
        Some(Waiting::Handler) => waits.push(described(record, "handler")),
        Some(Waiting::Steps) => waits.extend(record.waits.iter().map(step)),
        None => waits.extend(runner(record, standing)),
    }
    waits
}

/// Nothing but a runner is needed, or one is at work.
fn runner(record: &Record, standing: &Standing<'_>) -> Option<WhyWait> {
    if record.status == Status::Paused {
        return None;
    }
    match standing.frame.run_by {
        RunBy::Nobody => return Some(wait(record, "handler", event::NO_HANDLER.to_owned())),
        RunBy::AbsentWorkers => {
            let detail = event::no_worker(record);
            return Some(wait(record, "worker", detail));
        }
        RunBy::Handler | RunBy::Workers => {}
    }
    let is_at_work = standing.control.is_some_and(Control::is_running);
    if !is_at_work {
        return Some(queued(record, standing));
    }
    let node = standing.control.and_then(Control::node);
    let on = node.map_or_else(String::new, |node| format!(" on {node}"));
    let doing = match record.status {
        Status::Cancelling => format!("runner: its handler is being stopped{on}"),
        Status::Compensating => format!("runner: its handler is undoing what it has done{on}"),
        Status::Pending
        | Status::Running
        | Status::Waiting
        | Status::Paused
        | Status::Succeeded
        | Status::Failed
        | Status::Cancelled
        | Status::Compensated => match record.steps.last() {
            Some(step) => format!(
                "runner: its handler is at work{on} after step {:?}",
                step.name
            ),
            None => format!("runner: its handler is at work{on}"),
        },
    };
    Some(wait(record, "runner", doing))
}

/// In its pool, on its way there, or in the store while that has no place for it.
fn queued(record: &Record, standing: &Standing<'_>) -> WhyWait {
    let Some(queue) = standing.queue else {
        let detail = match standing.control {
            Some(_) => "queue: it is on its way into the queue of its type",
            None => {
                "queue: as many of its type are queued as may be; it is found in the store when there \
                 is room"
            }
        };
        return wait(record, "queue", detail.to_owned());
    };
    let position = format!("it is number {} of its tenant", queue.position);
    let (reason, detail, until_ms) = match queue.waiting_for {
        WaitingFor::Turn => (
            "queue",
            format!("queue: its turn comes at once; {position}"),
            None,
        ),
        WaitingFor::Concurrency { limit } => (
            "concurrency",
            format!(
                "concurrency: {limit} of its type run, which is as many as may; {position}; raise the \
                 concurrency of its policy to run more at a time"
            ),
            None,
        ),
        WaitingFor::Rate { until_ms } => (
            "rate",
            format!("rate: as many of its type were started as its policy lets; {position}"),
            Some(until_ms),
        ),
        WaitingFor::Breaker { until_ms } => (
            "breaker",
            format!(
                "breaker: the handler of its type has failed too often, so nothing of it starts for a \
                 while; {position}"
            ),
            until_ms,
        ),
    };
    WhyWait {
        until: until_ms.map(time::format),
        ..wait(record, reason, detail)
    }
}

fn step(wait: &Wait) -> WhyWait {
    let reason = match wait.on {
        WaitOn::Time { .. } => "timer",
        WaitOn::Signal { .. } => "signal",
        WaitOn::Call { .. } => "operation",
    };
    WhyWait {
        reason: reason.to_owned(),
        detail: event::describe_wait(wait),
        since: Some(time::format(wait.since_ms)),
        until: wait.until_ms().map(time::format),
        step: Some(wait.name.to_string()),
    }
}

fn described(record: &Record, reason: &str) -> WhyWait {
    wait(record, reason, event::describe(record).unwrap_or_default())
}

fn wait(record: &Record, reason: &str, detail: String) -> WhyWait {
    WhyWait {
        reason: reason.to_owned(),
        detail,
        since: Some(time::format(record.updated_ms)),
        until: None,
        step: None,
    }
}
