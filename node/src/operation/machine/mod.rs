//! The life of an operation, as a pure state machine: what a submit, the verbs of clients, a runner's
//! report, a child's end and a timer do to its record.
//!
//! The kind calls it and adds index rows. It never waits, reads no clock and draws no randomness. Each
//! function either changes the record and returns what is to be committed with it, or refuses and
//! leaves the record as it was.
//!
//! ```text
//! pending ⇄ running ⇄ waiting        paused: any of the three, held
//!    └─────────┬─────────┘
//!              ├─► succeeded
//!              ├─► failed, or compensating ─► compensated (failed if that fails)
//!              └─► cancelling ─► cancelled, or compensating ─► compensated
//! ```

mod settle;
mod waits;

use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::kind::{RefusedMessage, Urgency};
use selvedge_cluster::actor::{Effects, Message, Refusal, TimerChange};
use selvedge_protocol::limits::{OPERATION_LOST_MAX, OPERATION_RECORD_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Failure};

use crate::operation::record::{Fault, Payload, Record, Wait, WaitOn, Waiting};
use crate::operation::report::{News, Report};
use crate::operation::{child, event};
use crate::processing::Retry;

pub(crate) use waits::{child_finished, signal};

/// Due: it may run (again).
pub(crate) const TIMER_RUN: &str = "run";
/// Due: it has taken too long.
pub(crate) const TIMER_DEADLINE: &str = "deadline";
/// Due: a step has waited long enough.
pub(crate) const TIMER_WAIT: &str = "wait";

/// The code of the error of an operation that was cancelled and is being undone.
const CANCELLED: &str = "cancelled";

/// What follows from a new record: its first events and timers.
pub(crate) fn submitted(record: &Record) -> Effects {
    let mut effects = Effects {
        events: vec![event::submitted(record)],
        ..Effects::default()
    };
    if record.waiting.is_some() {
        effects.events.push(event::waiting(record));
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

/// A client, or a parent, asks for the end. `is_taken`: a runner is at work, though nothing of its attempt
/// may be noted yet.
pub(crate) fn cancel(record: &mut Record, now_ms: u64, is_taken: bool) -> Result<Effects, Refusal> {
    let was_cancelled = |record: &Record| {
        let error = record.error.as_ref();
        error.is_some_and(|error| error.code == CANCELLED)
    };
    match record.status {
        // The repeat of a cancel whose answer got lost.
        Status::Cancelling | Status::Cancelled => Ok(unchanged()),
        Status::Compensating | Status::Compensated if was_cancelled(record) => Ok(unchanged()),
        Status::Succeeded | Status::Failed | Status::Compensating | Status::Compensated => {
            Err(wrong_status(record, "cancelled any more"))
        }
        Status::Running => Ok(change(record, now_ms, cancelling)),
        Status::Pending | Status::Waiting | Status::Paused if is_taken && can_be_taken(record) => {
            Ok(change(record, now_ms, |record, effects| {
                begin(record, effects);
                cancelling(record, effects);
            }))
        }
        Status::Pending | Status::Waiting | Status::Paused => {
            Ok(change(record, now_ms, end_by_cancel))
        }
    }
}

/// A client asks for a halt: the step at work finishes, no other begins.
pub(crate) fn pause(record: &mut Record, now_ms: u64, is_taken: bool) -> Result<Effects, Refusal> {
    match record.status {
        Status::Paused => Ok(unchanged()),
        Status::Pending | Status::Running | Status::Waiting => {
            Ok(change(record, now_ms, |record, effects| {
                if is_taken && can_be_taken(record) {
                    begin(record, effects);
                }
                record.status = Status::Paused;
                effects.events.push(event::plain("paused"));
            }))
        }
        Status::Succeeded
        | Status::Failed
        | Status::Cancelling
        | Status::Cancelled
        | Status::Compensating
        | Status::Compensated => Err(wrong_status(record, "paused")),
    }
}

/// A client lets a paused operation go on where it was. `is_taken`: the runner of before the halt is still
/// at work.
pub(crate) fn resume(record: &mut Record, now_ms: u64, is_taken: bool) -> Result<Effects, Refusal> {
    if record.status != Status::Paused {
        return Err(wrong_status(record, "resumed: it is not paused"));
    }
    Ok(change(record, now_ms, |record, effects| {
        record.status = match record.waiting {
            _ if is_taken && record.is_begun => Status::Running,
            Some(_) => Status::Waiting,
            None => Status::Pending,
        };
        effects.events.push(event::plain("resumed"));
    }))
}

/// A client wants it run again: after its end, from the step `from` on or where it failed; while it waits
/// for its next attempt, at once.
pub(crate) fn retry(
    record: &mut Record,
    now_ms: u64,
    from: Option<&str>,
) -> Result<Effects, Refusal> {
    let kept = match from {
        None => record.steps.len(),
        Some(from) => match record.steps.iter().position(|step| &*step.name == from) {
            Some(at) => at,
            None => {
                let message = format!("the operation has no finished step {from:?}");
                return Err(Refusal::invalid("from", message));
            }
        },
    };
    match record.status {
        Status::Waiting if matches!(record.waiting, Some(Waiting::Retry { .. })) => {}
        Status::Failed | Status::Cancelled | Status::Compensated => {
            if let Payload::Stored { .. } = record.payload {
                return Err(conflict(
                    "its payload was let go when it ended; submit it again under another id"
                        .to_owned(),
                ));
            }
        }
        Status::Pending
        | Status::Running
        | Status::Waiting
        | Status::Paused
        | Status::Succeeded
        | Status::Cancelling
        | Status::Compensating => return Err(wrong_status(record, "retried")),
    }
    Ok(change(record, now_ms, |record, effects| {
        run_again(record, now_ms, kept, effects);
        effects.events.push(event::retried(from));
    }))
}

fn run_again(record: &mut Record, now_ms: u64, kept: usize, effects: &mut Effects) {
    let was_final = record.status.is_final();
    record.steps.truncate(kept);
    if record.status == Status::Compensated {
        // What was undone has to be done anew.
        record.steps.clear();
    }
    stop_waiting(record, effects);
    (record.failures, record.lost) = (0, 0);
    record.is_attempt_over = true;
    record.result = None;
    if was_final {
        // One that has passed is what it failed for, or of no use any more.
        record.deadline_ms = record
            .deadline_ms
            .filter(|deadline_ms| *deadline_ms > now_ms);
        let again = |deadline_ms| timer(TIMER_DEADLINE, deadline_ms);
        effects.timers.extend(record.deadline_ms.map(again));
    }
    if was_final && !record.compensations.is_empty() {
        record.status = Status::Compensating;
    } else if matches!(record.payload, Payload::Streamed { .. }) {
        wait(record, effects, Waiting::Payload);
    } else {
        record.error = None;
        record.status = Status::Pending;
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
        return if report.run == record.run {
            Ok(unchanged())
        } else {
            Err(stale(record, &report))
        };
    }
    let is_start = report.run == record.run.saturating_add(1) && record.is_runnable();
    let is_present = report.run == record.run && record.is_begun;
    if !is_start && !is_present {
        return Err(stale(record, &report));
    }
    if let News::NotStarted(fault) = report.news {
        // Nothing was begun, so nothing is counted.
        return Ok(change(record, now_ms, |record, effects| {
            match record.status {
                Status::Cancelling => end_by_cancel(record, effects),
                _ => fail(record, effects, fault),
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
        settle::settle(record, now_ms, report, retry, effects);
    }))
}

/// A command that the operation has sent was refused: watchers see it, and nothing else changes. Often
/// the operation has ended by then.
pub(crate) fn send_refused(record: &mut Record, now_ms: u64, refused: &RefusedMessage) -> Effects {
    change(record, now_ms, |_, effects| {
        effects.events.push(event::send_refused(refused));
    })
}

/// A timer of the operation is due.
pub(crate) fn due(record: &mut Record, now_ms: u64, name: &str) -> Result<Effects, Refusal> {
    match name {
        TIMER_RUN | TIMER_DEADLINE | TIMER_WAIT if record.status.is_final() => {
            Ok(Effects::default())
        }
        TIMER_RUN => match record.waiting {
            Some(Waiting::Time { .. } | Waiting::Retry { .. }) => {
                Ok(change(record, now_ms, |record, _| {
                    record.waiting = None;
                    if record.status == Status::Waiting {
                        record.status = Status::Pending;
                    }
                }))
            }
            _ => Ok(Effects::default()),
        },
        TIMER_WAIT => Ok(change(record, now_ms, |record, effects| {
            waits::due(record, now_ms, effects);
        })),
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
    record.attempt = record.next_attempt();
    record.is_attempt_over = false;
    if record.is_begun {
        record.lost += 1;
    }
    record.is_begun = true;
    record.run += 1;
    if !matches!(record.status, Status::Cancelling | Status::Compensating) {
        record.status = Status::Running;
        record.waiting = None;
        effects.events.push(event::started(record));
    }
}

/// Whether a runner can be at work. One whose run is over only has to end.
fn can_be_taken(record: &Record) -> bool {
    record.is_begun || record.is_runnable()
}

/// Notes the run that a runner has begun.
fn begin(record: &mut Record, effects: &mut Effects) {
    if !record.is_begun {
        start(record, effects);
    }
}

fn wait(record: &mut Record, effects: &mut Effects, waiting: Waiting) {
    record.waiting = Some(waiting);
    if record.status != Status::Paused {
        record.status = Status::Waiting;
        effects.events.push(event::waiting(record));
    }
}

fn cancelling(record: &mut Record, effects: &mut Effects) {
    record.status = Status::Cancelling;
    record.waiting = None;
    effects.events.push(event::plain("cancelling"));
}

/// Nobody is at work: undoes what is to be undone, or ends at once.
fn end_by_cancel(record: &mut Record, effects: &mut Effects) {
    if !record.compensations.is_empty() {
        record.error = Some(fault(CANCELLED, "a client has cancelled it".to_owned()));
    }
    undo_or_finish(record, effects, Status::Cancelled);
}

fn fail(record: &mut Record, effects: &mut Effects, fault: Fault) {
    record.error = Some(fault);
    if record.status == Status::Compensating {
        // Undoing it failed as well.
        return finish(record, effects, Status::Failed);
    }
    undo_or_finish(record, effects, Status::Failed);
}

fn undo_or_finish(record: &mut Record, effects: &mut Effects, status: Status) {
    if record.compensations.is_empty() {
        return finish(record, effects, status);
    }
    let (calls, others): (Vec<Wait>, Vec<Wait>) = std::mem::take(&mut record.waits)
        .into_iter()
        .partition(|wait| matches!(wait.on, WaitOn::Call { .. }));
    effects
        .messages
        .extend(calls.iter().filter_map(child::cancelled));
    record.waits = others;
    stop_waiting(record, effects);
    record.is_settling = !calls.is_empty();
    record.waiting = record.is_settling.then_some(Waiting::Steps);
    record.waits = calls;
    record.status = Status::Compensating;
    record.is_begun = false;
    // To undo it is other work than what has failed.
    record.is_attempt_over = false;
    (record.failures, record.lost) = (0, 0);
    effects.events.push(event::compensating(record));
}

fn finish(record: &mut Record, effects: &mut Effects, status: Status) {
    stop_waiting(record, effects);
    if record.deadline_ms.is_some() {
        effects.timers.push(cancel_timer(TIMER_DEADLINE));
    }
    record.status = status;
    record.is_begun = false;
    record.is_settling = false;
    record.signals = Vec::new();
    if status == Status::Succeeded {
        record.compensations = Vec::new();
    }
    effects.events.push(event::finished(record));
    effects.messages.extend(child::told_parent(record));
}

/// Lets go of all timers and children that the operation waits for.
fn stop_waiting(record: &mut Record, effects: &mut Effects) {
    if let Some(Waiting::Time { .. } | Waiting::Retry { .. }) = record.waiting {
        effects.timers.push(cancel_timer(TIMER_RUN));
    }
    record.waiting = None;
    if record.next_wait_ms().is_some() {
        effects.timers.push(cancel_timer(TIMER_WAIT));
    }
    let waits = std::mem::take(&mut record.waits);
    effects
        .messages
        .extend(waits.iter().filter_map(child::cancelled));
}

/// What the record roughly takes in the store.
fn bytes(record: &Record) -> usize {
    let steps = record.steps.iter();
    let signals = record.signals.iter();
    let compensations = record.compensations.iter();
    record.input.len()
        + record.metadata.as_ref().map_or(0, String::len)
        + record.progress.as_ref().map_or(0, String::len)
        + steps
            .map(|step| step.name.len() + step.result.len())
            .chain(signals.map(|signal| signal.name.len() + signal.data.len()))
            .chain(compensations.map(|undo| undo.name.len() + undo.data.len()))
            .sum::<usize>()
}

/// Whether so many bytes more still fit.
fn has_room(record: &Record, more: usize) -> bool {
    bytes(record) + more <= OPERATION_RECORD_BYTES_MAX
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

fn cancel_timer(name: &str) -> TimerChange {
    TimerChange::Cancel {
        name: name.to_owned(),
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

fn wrong_status(record: &Record, what: &str) -> Refusal {
    conflict(format!(
        "the operation is {} and cannot be {what}",
        record.status
    ))
}

fn stale(record: &Record, report: &Report) -> Refusal {
    conflict(format!(
        "run {} is not the present one: the operation is {} at run {}",
        report.run, record.status, record.run
    ))
}

fn conflict(message: String) -> Refusal {
    Refusal(Failure::new(ErrorCode::Conflict, message))
}

/// A message to another actor, as the operation's own code makes them.
fn message(to: selvedge_protocol::ActorAddress, name: &str, body: bytes::Bytes) -> Message {
    Message {
        to,
        name: name.to_owned(),
        body,
    }
}

#[cfg(test)]
mod tests;
