//! Whether operations ended as they should: in success, with the expected result, each step finished once, and a
//! repeat of the submit giving the same operation.

use std::collections::BTreeMap;

use crate::operate::verify::check::{Check, Violation};

/// An operation, from its submit to its end, as its submitter saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// The names of its steps.
    pub(crate) steps: Vec<String>,
    /// JSON text.
    pub(crate) expected: String,
    /// What each submit with its id told of it.
    pub(crate) submits: Vec<Seen>,
    /// The operation at its end; `None` where it has not ended in time.
    pub(crate) end: Option<Ended>,
    pub(crate) events: Vec<JobEvent>,
}

/// What stays the same through the life of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) created_at: String,
    /// JSON text, once it has one.
    pub(crate) result: Option<String>,
}

/// A final operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: String,
    pub(crate) seen: Seen,
    /// The names of the steps that have succeeded.
    pub(crate) steps: Vec<String>,
}

/// An event of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobEvent {
    pub(crate) seq: u64,
    pub(crate) kind: String,
    /// Of `step.finished`.
    pub(crate) step: Option<String>,
    pub(crate) is_final: bool,
}

/// What is wrong with an operation.
pub(crate) fn check(job: &Job) -> Vec<Violation> {
    let mut messages = Vec::new();
    match &job.end {
        None => messages.push("it was accepted and did not end".to_owned()),
        Some(end) => messages.extend(ending(job, end)),
    }
    let results: Vec<_> = job
        .submits
        .iter()
        .filter_map(|seen| seen.result.as_ref())
        .collect();
    let created: Vec<_> = job.submits.iter().map(|seen| &seen.created_at).collect();
    if created.windows(2).any(|pair| pair[0] != pair[1]) {
        messages.push(format!(
            "submits with its id made several of it: {created:?}"
        ));
    }
    if results.windows(2).any(|pair| pair[0] != pair[1]) {
        messages.push(format!(
            "submits with its id told several results: {results:?}"
        ));
    }
    messages.extend(stream(job));
    let violation = |message| Violation::new(Check::Operations, &job.id, message);
    messages.into_iter().map(violation).collect()
}

fn ending(job: &Job, end: &Ended) -> Vec<String> {
    let mut messages = Vec::new();
    if end.status != "succeeded" {
        messages.push(format!("it ended {}", end.status));
    } else if end.seen.result.as_ref() != Some(&job.expected) {
        messages.push(format!(
            "its result is {}, expected was {}",
            end.seen.result.as_deref().unwrap_or("none"),
            job.expected
        ));
    }
    for seen in &job.submits {
        let is_same = seen.created_at == end.seen.created_at
            && (seen.result.is_none() || seen.result == end.seen.result);
        if !is_same {
            messages.push(format!(
                "a submit showed {seen:?}, the end is {:?}",
                end.seen
            ));
        }
    }
    for step in &job.steps {
        let count = end.steps.iter().filter(|name| *name == step).count();
        if end.status == "succeeded" && count != 1 {
            messages.push(format!("its step {step} is there {count} times"));
        }
    }
    messages
}

/// The events: from 1 without gap or repeat, each step finished once, the final one last.
fn stream(job: &Job) -> Vec<String> {
    let mut messages = Vec::new();
    let mut finished: BTreeMap<&str, u32> = BTreeMap::new();
    for (expected, event) in (1..).zip(&job.events) {
        if event.seq != expected {
            messages.push(format!("event {} came where {expected} was due", event.seq));
            return messages;
        }
        if event.is_final && expected < job.events.len() as u64 {
            messages.push(format!("events follow its final one, {expected}"));
        }
        if let Some(step) = &event.step {
            *finished.entry(step).or_default() += 1;
        }
    }
    let is_over = job.events.last().is_some_and(|event| event.is_final);
    if job.end.is_some() && !is_over {
        messages.push("it has ended and its final event did not come".to_owned());
    }
    for (step, count) in finished {
        if count > 1 {
            messages.push(format!("its step {step} finished {count} times"));
        }
    }
    messages
}

#[cfg(test)]
mod tests;
