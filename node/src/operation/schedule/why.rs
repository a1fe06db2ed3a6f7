//! The query `why` of a schedule: what it waits for, since when, what ends it, and what came of the times
//! before.
//!
//! The kind calls it. It reads the record and no clock: what is late is told by what was decided.

use bytes::Bytes;
use selvedge_client::operation::WhyWait;
use selvedge_cluster::actor::kind::json;
use selvedge_protocol::{OperationId, time};
use serde::Serialize;

use crate::operation::schedule::definition::Overlap;
use crate::operation::schedule::machine::Schedule;
use crate::operation::schedule::record::{Counts, Finished, MissedTimes, Record, SkippedTime};
use crate::operation::schedule::view::{self, Running};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Why<'a> {
    id: &'a str,
    status: &'static str,
    /// One sentence for a person.
    summary: String,
    waits: Vec<WhyWait>,
    /// When it runs next, what chance adds included.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run_at: Option<String>,
    running: Vec<Running<'a>>,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_submitted: Option<LastSubmitted<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_missed: Option<LastMissed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_skipped: Option<LastSkipped<'a>>,
}

/// The operation that was submitted last, and its outcome.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastSubmitted<'a> {
    operation: &'a OperationId,
    planned_at: String,
    submitted_at: String,
    /// Its final status; none while it has not told its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// The last operation that ended with an error.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastError<'a> {
    operation: &'a OperationId,
    status: &'a str,
    finished_at: String,
    error: &'a str,
}

/// Times that were too late to be caught up.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastMissed {
    count: u64,
    first_planned_at: String,
    last_planned_at: String,
    found_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastSkipped<'a> {
    planned_at: String,
    reason: &'a str,
}

pub(super) fn why(schedule: &Schedule) -> Bytes {
    let record = &schedule.record;
    let past = &record.past;
    let waits = waits(record);
    json::encode(&Why {
        id: record.address.key.as_str(),
        status: view::status(schedule),
        summary: summary(schedule, &waits),
        waits,
        next_run_at: record.timer_ms.map(time::format),
        running: record.running.iter().map(view::running).collect(),
        counts: record.counts,
        last_submitted: past.submitted.as_ref().map(|last| {
            let ended = last.ended.as_ref();
            LastSubmitted {
                operation: &last.operation,
                planned_at: time::format(last.planned_ms),
                submitted_at: time::format(last.submitted_ms),
                status: ended.map(|ended| &*ended.status),
                finished_at: ended.map(|ended| time::format(ended.finished_ms)),
                error: ended.and_then(|ended| ended.error.as_deref()),
            }
        }),
        last_error: past.failed.as_ref().and_then(last_error),
        last_missed: past.missed.as_ref().map(last_missed),
        last_skipped: past.skipped.as_ref().map(last_skipped),
    })
}

fn last_error(failed: &Finished) -> Option<LastError<'_>> {
    Some(LastError {
        operation: &failed.operation,
        status: &failed.status,
        finished_at: time::format(failed.finished_ms),
        error: failed.error.as_deref()?,
    })
}

fn last_missed(missed: &MissedTimes) -> LastMissed {
    LastMissed {
        count: missed.count,
        first_planned_at: time::format(missed.first_ms),
        last_planned_at: time::format(missed.last_ms),
        found_at: time::format(missed.found_ms),
    }
}

fn last_skipped(skipped: &SkippedTime) -> LastSkipped<'_> {
    LastSkipped {
        planned_at: time::format(skipped.planned_ms),
        reason: &skipped.reason,
    }
}

fn summary(schedule: &Schedule, waits: &[WhyWait]) -> String {
    let status = view::status(schedule);
    match waits.first() {
        Some(first) if waits.len() == 1 => format!("it is {status}: {}", first.detail),
        Some(first) => {
            let more = waits.len() - 1;
            format!("it is {status}: {}; and {more} more", first.detail)
        }
        None if schedule.is_ended() => {
            let reason = schedule.ended_by();
            format!("it has ended by its {reason} and waits for nothing")
        }
        None => format!("it is {status}"),
    }
}

fn waits(record: &Record) -> Vec<WhyWait> {
    let mut waits = Vec::new();
    if let Some(paused) = &record.paused {
        let note = paused.note.as_deref();
        let note = note.map_or_else(String::new, |note| format!(" ({note})"));
        let detail = format!("resume: a client has paused it{note}; resume it");
        waits.push(wait("resume", detail, paused.since_ms, None));
    }
    waits.extend(next(record));
    waits.extend(buffered(record));
    waits
}

/// For its next time.
fn next(record: &Record) -> Option<WhyWait> {
    let (next_ms, due_ms) = (record.next_ms?, record.timer_ms?);
    if due_ms <= record.updated_ms {
        // What is due by the last change is left over from it.
        let detail = format!(
            "catch-up: more times have passed than one commit decides; the next of them is {}",
            time::format(next_ms)
        );
        return Some(wait("catch-up", detail, Some(record.updated_ms), None));
    }
    let mut detail = format!("time: it runs next at {}", time::format(due_ms));
    if due_ms != next_ms {
        detail.push_str(&format!(", {} and what chance adds", time::format(next_ms)));
    }
    if let Some(beside) = beside(record) {
        detail.push_str(&beside);
    }
    Some(wait("time", detail, Some(record.cursor_ms), Some(due_ms)))
}

/// What its overlap policy makes of the next time, if what runs has not ended by then.
fn beside(record: &Record) -> Option<String> {
    let running = runs(record)?;
    match record.definition.overlap {
        Overlap::Skip => Some(format!(
            ", unless {running} still runs: its overlap is skip"
        )),
        Overlap::BufferOne | Overlap::BufferAll => {
            Some(format!(", or when {running} has ended after that"))
        }
        Overlap::CancelOther => Some(format!(", and cancels {running} if it still runs")),
        Overlap::Allow => None,
    }
}

/// For the end of a run before, as its overlap policy says.
fn buffered(record: &Record) -> Option<WhyWait> {
    let (first_ms, running) = (*record.buffered.front()?, runs(record)?);
    let mut detail = format!(
        "operation: the run of {} waits for the end of {running}",
        time::format(first_ms)
    );
    match record.buffered.len() {
        1 => {}
        count => detail.push_str(&format!(", and {} later ones do", count - 1)),
    }
    Some(wait("operation", detail, Some(first_ms), None))
}

/// What runs, in words.
fn runs(record: &Record) -> Option<String> {
    match record.running.as_slice() {
        [] => None,
        [run] => Some(run.operation.to_string()),
        [first, others @ ..] => Some(format!("{} and {} others", first.operation, others.len())),
    }
}

fn wait(reason: &str, detail: String, since_ms: Option<u64>, until_ms: Option<u64>) -> WhyWait {
    WhyWait {
        reason: reason.to_owned(),
        detail,
        since: since_ms.map(time::format),
        until: until_ms.map(time::format),
        step: None,
    }
}
