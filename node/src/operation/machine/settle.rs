//! What the report of a runner comes to. Part of the machine.

use std::sync::Arc;

use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::Effects;
use selvedge_cluster::actor::kind::Urgency;
use selvedge_protocol::limits::{
    OPERATION_COMPENSATIONS_MAX, OPERATION_RETRY_AFTER_MS_MAX, OPERATION_STEPS_MAX,
};

use crate::operation::event;
use crate::operation::machine::{
    TIMER_RUN, end_by_cancel, fail, fault, finish, has_room, message, stop_waiting, timer,
    too_large, wait, waits,
};
use crate::operation::record::{Compensation, Fault, Payload, Record, Step, Waiting};
use crate::operation::report::{Done, FinishedStep, News, Report};
use crate::processing::Retry;

pub(super) fn settle(
    record: &mut Record,
    now_ms: u64,
    report: Report,
    retry: &Retry,
    effects: &mut Effects,
) {
    if let Some(progress) = report.progress {
        effects.events.push(event::progress(&progress));
        record.progress = Some(progress);
    }
    // What a handler has done must not be lost; a mere note may.
    let note = match report.done.is_empty() {
        true => Urgency::Soon,
        false => Urgency::Now,
    };
    if let Err(fault) = take_done(record, now_ms, report.done, effects) {
        return fail(record, effects, fault);
    }
    let failing = Failing {
        now_ms,
        random: report.random,
        retry,
        retry_after_ms: report.news.retry_after_ms(),
    };
    if record.status == Status::Compensating {
        return settle_undo(record, report.news, failing, note, effects);
    }
    match report.news {
        News::Running { urgent: true } => {}
        News::Running { urgent: false } => effects.urgency = note,
        News::Suspended { on } => {
            record.is_begun = false;
            match record.status {
                Status::Cancelling => end_by_cancel(record, effects),
                _ if is_waiting(record, &on) => wait(record, effects, Waiting::Steps),
                Status::Paused => {}
                _ => record.status = Status::Pending,
            }
        }
        News::Succeeded(result) => {
            if !has_room(record, result.len()) {
                return fail(record, effects, too_large());
            }
            record.result = Some(result);
            record.error = None;
            finish(record, effects, Status::Succeeded);
        }
        News::Continued { .. } | News::Failed { .. } | News::PayloadMissing | News::Cancelled
            if record.status == Status::Cancelling =>
        {
            record.is_begun = false;
            end_by_cancel(record, effects);
        }
        News::Continued { input } => go_on_as_new(record, input, effects),
        News::Failed {
            fault: why,
            permanent,
            retry_after_ms: _,
        } => {
            let is_last = permanent || retry.is_final(&why.code);
            match failing.next_ms(record, &why, is_last, effects) {
                None => fail(record, effects, why),
                Some(until_ms) => wait_for_retry(record, effects, why, until_ms),
            }
        }
        News::PayloadMissing => {
            record.is_begun = false;
            wait(record, effects, Waiting::Payload);
        }
        // Decided before anything was counted as started.
        News::NotStarted(why) => fail(record, effects, why),
        // A runner that was stopped for another reason than a cancel: another attempt takes over.
        News::Cancelled => {
            end_attempt(record);
            effects.urgency = note;
        }
    }
}

/// The run has ended before its work was done: the next is another attempt.
const fn end_attempt(record: &mut Record) {
    record.is_begun = false;
    record.is_attempt_over = true;
}

/// Whether all of these steps still wait: one that has finished meanwhile is a reason to go on at once.
fn is_waiting(record: &Record, on: &[Arc<str>]) -> bool {
    let waits = |name: &Arc<str>| record.waits.iter().any(|wait| wait.name == *name);
    !on.is_empty() && on.iter().all(waits)
}

/// What decides whether a failed attempt is followed by another, and when.
#[derive(Clone, Copy)]
struct Failing<'a> {
    now_ms: u64,
    random: u64,
    retry: &'a Retry,
    /// As the error says, which may be anything.
    retry_after_ms: Option<u64>,
}

impl Failing<'_> {
    /// Counts a failed attempt and tells of it. Answers when the next may begin, unless it was the last.
    fn next_ms(
        self,
        record: &mut Record,
        why: &Fault,
        is_last: bool,
        effects: &mut Effects,
    ) -> Option<u64> {
        end_attempt(record);
        record.failures += 1;
        let is_last = is_last || record.failures >= self.retry.attempts_max;
        let asked_ms = self.retry_after_ms.unwrap_or(0);
        let delay_ms = self
            .retry
            .delay_ms(record.failures, self.random)
            .max(asked_ms.min(OPERATION_RETRY_AFTER_MS_MAX));
        let next_ms = (!is_last).then(|| self.now_ms.saturating_add(delay_ms));
        let failed = event::attempt_failed(record, why, next_ms);
        effects.events.push(failed);
        next_ms
    }
}

fn wait_for_retry(record: &mut Record, effects: &mut Effects, why: Fault, until_ms: u64) {
    record.error = Some(why);
    match record.payload {
        // The attempt has consumed the stream; only its client has the bytes, and with it the choice of when.
        Payload::Streamed { .. } => wait(record, effects, Waiting::Payload),
        Payload::None | Payload::Stored { .. } => {
            effects.timers.push(timer(TIMER_RUN, until_ms));
            wait(record, effects, Waiting::Retry { until_ms });
        }
    }
}

/// What a compensating attempt came to.
fn settle_undo(
    record: &mut Record,
    news: News,
    failing: Failing<'_>,
    note: Urgency,
    effects: &mut Effects,
) {
    match news {
        News::Running { urgent: true } => {}
        News::Running { urgent: false } => effects.urgency = note,
        News::Succeeded(_) if record.compensations.is_empty() => {
            finish(record, effects, Status::Compensated);
        }
        News::Failed {
            fault: why,
            permanent,
            retry_after_ms: _,
        } => match failing.next_ms(record, &why, permanent, effects) {
            None => {
                let cause = record.error.take().map_or_else(String::new, |error| {
                    format!(
                        "; it was undone because of {}: {}",
                        error.code, error.message
                    )
                });
                let mut failed = fault("compensation_failed", format!("{}{cause}", why.message));
                failed.step = why.step;
                fail(record, effects, failed);
            }
            Some(until_ms) => {
                effects.timers.push(timer(TIMER_RUN, until_ms));
                record.waiting = Some(Waiting::Retry { until_ms });
            }
        },
        News::Suspended { on } => {
            record.is_begun = false;
            record.waiting = is_waiting(record, &on).then_some(Waiting::Steps);
        }
        News::Cancelled => {
            end_attempt(record);
            effects.urgency = note;
        }
        News::Succeeded(_)
        | News::Continued { .. }
        | News::NotStarted(_)
        | News::PayloadMissing => {
            record.is_begun = false;
            effects.urgency = note;
        }
    }
}

fn undone(record: &mut Record, name: &str, effects: &mut Effects) {
    let before = record.compensations.len();
    record.compensations.retain(|undo| &*undo.name != name);
    if record.compensations.len() < before {
        (record.failures, record.lost) = (0, 0);
        effects.events.push(event::compensated(name));
    }
}

fn take_done(
    record: &mut Record,
    now_ms: u64,
    done: Done,
    effects: &mut Effects,
) -> Result<(), Fault> {
    for step in done.steps {
        add_step(record, now_ms, step, effects)?;
    }
    for undo in done.compensations {
        add_compensation(record, undo)?;
    }
    for sent in done.sends {
        effects
            .messages
            .push(message(sent.to, &sent.name, sent.body));
    }
    for new in done.waits {
        waits::begin(record, now_ms, new, effects)?;
    }
    for name in &done.undone {
        undone(record, name, effects);
    }
    Ok(())
}

/// Adds a finished step, unless it is there: the repeat of a report whose answer got lost.
pub(super) fn add_step(
    record: &mut Record,
    now_ms: u64,
    step: FinishedStep,
    effects: &mut Effects,
) -> Result<(), Fault> {
    if record.finished_step(&step.name).is_some() {
        return Ok(());
    }
    if record.steps.len() >= OPERATION_STEPS_MAX {
        return Err(fault(
            "too_many_steps",
            format!(
                "an operation has at most {OPERATION_STEPS_MAX} steps; go on as new before that"
            ),
        ));
    }
    if !has_room(record, step.result.len()) {
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

fn add_compensation(record: &mut Record, undo: Compensation) -> Result<(), Fault> {
    if record.compensations.iter().any(|it| it.name == undo.name) {
        return Ok(());
    }
    if record.compensations.len() >= OPERATION_COMPENSATIONS_MAX {
        let message = format!("an operation has at most {OPERATION_COMPENSATIONS_MAX} of them");
        return Err(fault("too_many_compensations", message));
    }
    if !has_room(record, undo.name.len() + undo.data.len()) {
        return Err(too_large());
    }
    record.compensations.push(undo);
    Ok(())
}

/// Begins anew with another input: steps are forgotten, what was promised (compensations) is not.
fn go_on_as_new(record: &mut Record, input: Arc<str>, effects: &mut Effects) {
    stop_waiting(record, effects);
    record.is_begun = false;
    record.steps = Vec::new();
    record.input = input;
    record.generation += 1;
    (record.failures, record.lost) = (0, 0);
    if record.status != Status::Paused {
        record.status = Status::Pending;
    }
    effects.events.push(event::continued(record));
}
