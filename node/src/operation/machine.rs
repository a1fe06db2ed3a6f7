//! The life of an operation, as a pure state machine: what a submit, a cancel, a runner's report and a
//! timer do to its record.
//!
//! The kind calls it and adds index rows. It never waits, reads no clock and draws no randomness. Each
//! function either changes the record and returns what is to be committed with it, or refuses and
//! leaves the record as it was.

use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::kind::Urgency;
use selvedge_cluster::actor::{Effects, Refusal, TimerChange};
use selvedge_protocol::limits::{
    OPERATION_LOST_MAX, OPERATION_RECORD_BYTES_MAX, OPERATION_STEPS_MAX,
};
use selvedge_protocol::{ErrorCode, Failure};

use crate::operation::event;
use crate::operation::record::{Fault, Payload, Record, Step, Waiting};
use crate::operation::report::{FinishedStep, News, Report};
use crate::processing::Retry;

/// Due: it may run (again).
pub(crate) const TIMER_RUN: &str = "run";
/// Due: it has taken too long.
pub(crate) const TIMER_DEADLINE: &str = "deadline";

/// What follows from a new record: its first events and timers.
pub(crate) fn submitted(record: &Record) -> Effects {
    let mut effects = Effects {
        events: vec![event::submitted(record)],
        ..Effects::default()
    };
    if let Some(waiting) = record.waiting {
        effects.events.push(event::waiting(waiting, None));
    }
    if let Some(Waiting::Time { until_ms }) = record.waiting {
        effects.timers.push(timer(TIMER_RUN, until_ms));
    }
    if let Some(deadline_ms) = record.deadline_ms {
        effects.timers.push(timer(TIMER_DEADLINE, deadline_ms));
    }
    if record.is_awake() {
        effects.awake = Some(true);
    }
    effects
}

/// A client asks for the end. `is_taken`: a runner has begun, though nothing of it may be noted yet.
pub(crate) fn cancel(record: &mut Record, now_ms: u64, is_taken: bool) -> Result<Effects, Refusal> {
    match record.status {
        // The repeat of a cancel whose answer got lost.
        Status::Cancelling | Status::Cancelled => Ok(unchanged()),
        Status::Succeeded | Status::Failed | Status::Compensating | Status::Compensated => {
            Err(conflict(format!(
                "the operation is {} and cannot be cancelled any more",
                record.status
            )))
        }
        Status::Running => Ok(change(record, now_ms, cancelling)),
        Status::Pending | Status::Waiting if is_taken && record.is_runnable() => {
            Ok(change(record, now_ms, |record, effects| {
                start(record, effects);
                cancelling(record, effects);
            }))
        }
        Status::Pending | Status::Waiting | Status::Paused => {
            Ok(change(record, now_ms, |record, effects| {
                finish(record, effects, Status::Cancelled);
            }))
        }
    }
}

/// A runner's news.
pub(crate) fn report(
    record: &mut Record,
    now_ms: u64,
    report: Report,
    retry: &Retry,
) -> Result<Effects, Refusal> {
    if record.status.is_final() {
        // The repeat of a report whose answer got lost, or one that came too late to matter.
        return if report.attempt == record.attempt {
            Ok(unchanged())
        } else {
            Err(stale(record, &report))
        };
    }
    let is_start = report.attempt == record.attempt.saturating_add(1) && record.is_runnable();
    let is_present = report.attempt == record.attempt
        && matches!(record.status, Status::Running | Status::Cancelling);
    if !is_start && !is_present {
        return Err(stale(record, &report));
    }
    if let News::NotStarted(fault) = report.news {
        return Ok(change(record, now_ms, |record, effects| {
            if record.status == Status::Cancelling {
                finish(record, effects, Status::Cancelled);
            } else {
                fail(record, effects, fault);
            }
        }));
    }
    Ok(change(record, now_ms, |record, effects| {
        if is_start {
            start(record, effects);
        }
        if record.lost > OPERATION_LOST_MAX {
            let fault = fault(
                "lost",
                format!("the node ended {OPERATION_LOST_MAX} times while the operation ran"),
            );
            return fail(record, effects, fault);
        }
        settle(record, now_ms, report, retry, effects);
    }))
}

/// A timer of the operation is due.
pub(crate) fn due(record: &mut Record, now_ms: u64, name: &str) -> Result<Effects, Refusal> {
    match name {
        TIMER_RUN => match (record.status, record.waiting) {
            (Status::Waiting, Some(Waiting::Time { .. } | Waiting::Retry { .. })) => {
                Ok(change(record, now_ms, |record, _| {
                    record.status = Status::Pending;
                    record.waiting = None;
                }))
            }
            _ => Ok(Effects::default()),
        },
        TIMER_DEADLINE if record.status.is_final() => Ok(Effects::default()),
        TIMER_DEADLINE => Ok(change(record, now_ms, |record, effects| {
            let message = "the operation was not final by its deadline".to_owned();
            fail(record, effects, fault("deadline_exceeded", message));
        })),
        _ => Err(Refusal::unknown("operation", name)),
    }
}

/// Applies `decide` and does what every change does: count it, date it, keep the awake mark right.
fn change(
    record: &mut Record,
    now_ms: u64,
    decide: impl FnOnce(&mut Record, &mut Effects),
) -> Effects {
    let was_awake = record.is_awake();
    let mut effects = Effects::default();
    decide(record, &mut effects);
    record.version += 1;
    record.updated_ms = now_ms.max(record.updated_ms);
    if record.is_awake() != was_awake {
        effects.awake = Some(record.is_awake());
    }
    effects
}

fn start(record: &mut Record, effects: &mut Effects) {
    if record.status == Status::Running {
        record.lost += 1;
    }
    record.attempt += 1;
    if record.status != Status::Cancelling {
        record.status = Status::Running;
        record.waiting = None;
        effects.events.push(event::started(record));
    }
}

fn settle(record: &mut Record, now_ms: u64, report: Report, retry: &Retry, effects: &mut Effects) {
    for step in report.steps {
        if let Err(fault) = add_step(record, now_ms, step, effects) {
            return fail(record, effects, fault);
        }
    }
    if let Some(progress) = report.progress {
        effects.events.push(event::progress(&progress));
        record.progress = Some(progress);
    }
    match report.news {
        News::Running { urgent: true } => {}
        News::Running { urgent: false } => effects.urgency = Urgency::Soon,
        News::Succeeded(result) => {
            if bytes(record) + result.len() > OPERATION_RECORD_BYTES_MAX {
                return fail(record, effects, too_large());
            }
            record.result = Some(result);
            record.error = None;
            finish(record, effects, Status::Succeeded);
        }
        News::Failed { .. } | News::PayloadMissing | News::Cancelled
            if record.status == Status::Cancelling =>
        {
            finish(record, effects, Status::Cancelled);
        }
        News::Failed { fault, permanent } => {
            record.failures += 1;
            let is_last =
                permanent || retry.is_final(&fault.code) || record.failures >= retry.attempts_max;
            let delay_ms = retry.delay_ms(record.failures, report.random);
            let next_ms = (!is_last).then(|| now_ms.saturating_add(delay_ms));
            effects
                .events
                .push(event::attempt_failed(record, &fault, next_ms));
            match next_ms {
                None => fail(record, effects, fault),
                Some(until_ms) => wait_for_retry(record, effects, fault, until_ms),
            }
        }
        News::PayloadMissing => wait(record, effects, Waiting::Payload),
        // Decided before anything was counted as started.
        News::NotStarted(fault) => fail(record, effects, fault),
        // A runner that was stopped for another reason than a cancel: another attempt takes over.
        News::Cancelled => effects.urgency = Urgency::Soon,
    }
}

fn add_step(
    record: &mut Record,
    now_ms: u64,
    step: FinishedStep,
    effects: &mut Effects,
) -> Result<(), Fault> {
    // The repeat of a report whose answer got lost.
    if record.finished_step(&step.name).is_some() {
        return Ok(());
    }
    if record.steps.len() >= OPERATION_STEPS_MAX {
        return Err(fault(
            "too_many_steps",
            format!("an operation has at most {OPERATION_STEPS_MAX} steps"),
        ));
    }
    if bytes(record) + step.result.len() > OPERATION_RECORD_BYTES_MAX {
        return Err(too_large());
    }
    let step = Step {
        name: step.name,
        result: step.result,
        attempt: record.failures + record.lost + 1,
        finished_ms: now_ms,
    };
    effects.events.push(event::step_finished(&step));
    record.steps.push(step);
    record.failures = 0;
    record.lost = 0;
    Ok(())
}

fn wait_for_retry(record: &mut Record, effects: &mut Effects, fault: Fault, until_ms: u64) {
    record.error = Some(fault);
    match record.payload {
        // The attempt has consumed the stream; only its client has the bytes.
        Payload::Streamed { .. } => wait(record, effects, Waiting::Payload),
        Payload::None | Payload::Stored { .. } => {
            effects.timers.push(timer(TIMER_RUN, until_ms));
            wait(record, effects, Waiting::Retry { until_ms });
        }
    }
}

fn wait(record: &mut Record, effects: &mut Effects, waiting: Waiting) {
    record.status = Status::Waiting;
    record.waiting = Some(waiting);
    effects
        .events
        .push(event::waiting(waiting, record.error.as_ref()));
}

fn cancelling(record: &mut Record, effects: &mut Effects) {
    record.status = Status::Cancelling;
    record.waiting = None;
    effects.events.push(event::plain("cancelling"));
}

fn fail(record: &mut Record, effects: &mut Effects, fault: Fault) {
    record.error = Some(fault);
    finish(record, effects, Status::Failed);
}

fn finish(record: &mut Record, effects: &mut Effects, status: Status) {
    if matches!(
        record.waiting,
        Some(Waiting::Time { .. } | Waiting::Retry { .. })
    ) {
        effects.timers.push(TimerChange::Cancel {
            name: TIMER_RUN.to_owned(),
        });
    }
    if record.deadline_ms.is_some() {
        effects.timers.push(TimerChange::Cancel {
            name: TIMER_DEADLINE.to_owned(),
        });
    }
    record.status = status;
    record.waiting = None;
    effects.events.push(event::finished(record));
}

/// What the record roughly takes in the store.
fn bytes(record: &Record) -> usize {
    record.input.len()
        + record.metadata.as_ref().map_or(0, String::len)
        + record.progress.as_ref().map_or(0, String::len)
        + record
            .steps
            .iter()
            .map(|step| step.name.len() + step.result.len())
            .sum::<usize>()
}

fn unchanged() -> Effects {
    Effects {
        urgency: Urgency::Never,
        ..Effects::default()
    }
}

fn timer(name: &str, due_ms: u64) -> TimerChange {
    TimerChange::Set {
        name: name.to_owned(),
        due_ms,
        body: bytes::Bytes::from_static(b"null"),
    }
}

fn fault(code: &str, message: String) -> Fault {
    Fault {
        code: code.to_owned(),
        message,
        step: None,
    }
}

fn too_large() -> Fault {
    fault(
        "too_large",
        format!(
            "the results of the steps are over {OPERATION_RECORD_BYTES_MAX} bytes in all; store \
             them elsewhere and return where"
        ),
    )
}

fn stale(record: &Record, report: &Report) -> Refusal {
    conflict(format!(
        "attempt {} is not the present one: the operation is {} at attempt {}",
        report.attempt, record.status, record.attempt
    ))
}

fn conflict(message: String) -> Refusal {
    Refusal(Failure::new(ErrorCode::Conflict, message))
}

#[cfg(test)]
mod tests;
