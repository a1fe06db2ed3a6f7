//! Whether each change took effect as often as it may: once where it was acknowledged, never where it was refused,
//! at most once where nobody knows. And whether the repeat of a command got the answer of the first.

use std::collections::{BTreeMap, BTreeSet};

use crate::operate::verify::check::events::Log;
use crate::operate::verify::check::{Check, Violation};

/// A change that was asked for. Its number is in the event that it causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) tag: u64,
    pub(crate) fate: Fate,
}

/// What the asker was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done; with the seq of its event, where that was told.
    Acknowledged {
        seq: Option<u64>,
    },
    /// Not done: refused, or a compare-and-set that met another value.
    Refused,
    Unknown,
}

/// A command that was sent again under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) id: String,
    pub(crate) first: String,
    pub(crate) again: String,
}

/// Holds what was asked of one actor against its events.
pub(crate) fn check(of: &str, intents: &[Intent], repeats: &[Repeat], log: &Log) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut tell = |message: String| found.push(Violation::new(Check::Effects, of, message));
    let is_whole = log.0.iter().all(Option::is_some);
    let seqs = seqs_by_tag(log);
    let known: BTreeSet<u64> = intents.iter().map(|intent| intent.tag).collect();
    for intent in intents {
        let seqs = seqs.get(&intent.tag).map_or(&[][..], Vec::as_slice);
        if let Err(message) = judge(intent, seqs, is_whole) {
            tell(message);
        }
    }
    for (tag, seqs) in &seqs {
        if !known.contains(tag) {
            tell(format!(
                "nobody asked for {tag}, which is event {}",
                seqs[0]
            ));
        }
    }
    for repeat in repeats {
        if repeat.first != repeat.again {
            tell(format!(
                "the command {} was answered {}, and its repeat {}",
                repeat.id, repeat.first, repeat.again
            ));
        }
    }
    found
}

fn seqs_by_tag(log: &Log) -> BTreeMap<u64, Vec<u64>> {
    let mut seqs: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (seq, fact) in (1..).zip(&log.0) {
        if let Some(tag) = fact.as_ref().and_then(|fact| fact.tag()) {
            seqs.entry(tag).or_default().push(seq);
        }
    }
    seqs
}

fn judge(intent: &Intent, seqs: &[u64], is_whole: bool) -> Result<(), String> {
    let tag = intent.tag;
    if seqs.len() > 1 {
        return Err(format!(
            "{tag} took effect {} times: events {seqs:?}",
            seqs.len()
        ));
    }
    match (intent.fate, seqs.first()) {
        (Fate::Acknowledged { .. }, None) if is_whole => {
            Err(format!("{tag} was acknowledged and has no event"))
        }
        (Fate::Acknowledged { seq: Some(told) }, Some(seq)) if told != *seq => Err(format!(
            "{tag} was acknowledged as event {told} and is event {seq}"
        )),
        (Fate::Refused, Some(seq)) => Err(format!("{tag} was refused and is event {seq}")),
        (Fate::Acknowledged { .. } | Fate::Refused | Fate::Unknown, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
