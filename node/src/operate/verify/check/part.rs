//! The smallest part of a history that still cannot be explained, for a person to read.
//!
//! A change may not simply be left out: whoever read it would seem to have read what nobody wrote. So a part is
//! made by what keeps it true. Calls before a moment are left out by beginning there from any state, and those
//! under way at that moment are kept as ones of which nothing is known. Calls that changed nothing are left out
//! one by one. A part that fails is so a proof that the whole does.

use crate::operate::verify::check::history::{
    Action, Answer, Call, Moment, Outcome, View, moments,
};
use crate::operate::verify::check::linearizable::{Bounds, Stuck, Verdict, check};
use crate::operate::verify::check::model::{ITEMS_SHOWN_MAX, Model};

/// Calls that no order explains from any of the states that they may begin in.
#[derive(Debug, Clone)]
pub(crate) struct Part<S> {
    pub(crate) starts: Vec<S>,
    pub(crate) calls: Vec<Call>,
    from: From,
}

/// What a part begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// It fails whatever came before.
    Anything,
    /// All that the calls before can have come to.
    Before,
    /// The actor had just been made.
    Beginning,
}

/// The smallest failing part of a history that is stuck.
pub(crate) fn smallest<M: Model>(
    model: M,
    calls: &[Call],
    stuck: &Stuck<M::State>,
) -> Part<M::State> {
    let history = History::that_fails(model, calls, stuck.moment);
    let anything = [model.anything()];
    let fails = |calls: &[Call]| is_impossible(model, Bounds::PART, &anything, calls);
    if let Some(calls) = history.shortest(fails) {
        return Part {
            calls: without_pure(calls, fails),
            starts: anything.to_vec(),
            from: From::Anything,
        };
    }
    let at_the_end = history.from(stuck.moment);
    let is_known = !stuck.states.is_empty();
    if is_known && is_impossible(model, Bounds::PART, &stuck.states, &at_the_end) {
        return Part {
            starts: stuck.states.clone(),
            calls: at_the_end,
            from: From::Before,
        };
    }
    let beginning = [model.initial()];
    let fails = |calls: &[Call]| is_impossible(model, Bounds::PART, &beginning, calls);
    Part {
        calls: without_pure(history.from(0), fails),
        starts: beginning.to_vec(),
        from: From::Beginning,
    }
}

fn is_impossible<M: Model>(model: M, bounds: Bounds, starts: &[M::State], calls: &[Call]) -> bool {
    let verdict = check(model, starts, calls, bounds);
    matches!(verdict, Verdict::Impossible(_))
}

/// A history up to the answer that cannot be.
struct History<'a> {
    calls: &'a [Call],
    end: usize,
    /// The call whose answer cannot be.
    last: usize,
    /// By call: the moments of its call and answer, if it has any.
    places: Vec<(Option<usize>, Option<usize>)>,
}

impl<'a> History<'a> {
    /// Up to the first answer with which it fails. Where the search is stuck it knows the answers to come; so
    /// it may be one of those, to a call that was under way, that cannot be.
    fn that_fails<M: Model>(model: M, calls: &'a [Call], stuck: usize) -> Self {
        let whole = Self::new(calls, stuck);
        let mut ends: Vec<usize> = whole
            .places
            .iter()
            .filter(|(called, _)| called.is_some_and(|called| called < stuck))
            .filter_map(|(_, answered)| *answered)
            .filter(|answered| *answered > stuck)
            .collect();
        ends.sort_unstable();
        let fails = |history: &Self| {
            is_impossible(model, Bounds::WHOLE, &[model.initial()], &history.from(0))
        };
        let mut history = whole;
        for end in ends {
            if fails(&history) {
                break;
            }
            history = Self::new(calls, end);
        }
        history
    }

    fn new(calls: &'a [Call], end: usize) -> Self {
        let mut places = vec![(None, None); calls.len()];
        let mut last = 0;
        for (at, moment) in moments(calls).into_iter().enumerate() {
            match moment {
                Moment::Called(call) => places[call].0 = Some(at),
                Moment::Answered(call) => {
                    places[call].1 = Some(at);
                    if at == end {
                        last = call;
                    }
                }
            }
        }
        Self {
            calls,
            end,
            last,
            places,
        }
    }

    /// The calls from a moment on.
    fn from(&self, begin: usize) -> Vec<Call> {
        let mut kept = Vec::new();
        for (index, (call, place)) in self.calls.iter().zip(&self.places).enumerate() {
            let (Some(called), answered) = *place else {
                continue;
            };
            if called > self.end || answered.is_some_and(|answered| answered < begin) {
                continue;
            }
            let is_whole = called >= begin && answered.is_some_and(|at| at <= self.end);
            if is_whole || index == self.last {
                kept.push(call.clone());
            } else if !call.is_pure() {
                kept.push(call.weakened());
            }
        }
        kept
    }

    /// The fewest calls before the last that make it fail. A later begin only leaves out more, so that the
    /// latest is found by halving.
    fn shortest(&self, fails: impl Fn(&[Call]) -> bool) -> Option<Vec<Call>> {
        let latest = self.places[self.last].0?;
        let mut reach = 1;
        let mut failing = loop {
            let begin = latest.saturating_sub(reach);
            if fails(&self.from(begin)) {
                break begin;
            }
            if begin == 0 {
                return None;
            }
            reach *= 2;
        };
        let mut explained = latest + 1;
        while failing + 1 < explained {
            let middle = failing.midpoint(explained);
            if fails(&self.from(middle)) {
                failing = middle;
            } else {
                explained = middle;
            }
        }
        Some(self.from(failing))
    }
}

/// Leaves out calls that changed nothing, in pieces that halve (Zeller and Hildebrandt, "Simplifying and isolating
/// failure-inducing input", TSE 2002), while what is left fails.
fn without_pure(mut calls: Vec<Call>, fails: impl Fn(&[Call]) -> bool) -> Vec<Call> {
    let mut tries = TRIES_MAX;
    let mut size = calls.len().div_ceil(2).max(1);
    loop {
        let mut begin = 0;
        while begin < calls.len() && tries > 0 {
            let end = (begin + size).min(calls.len());
            let piece = begin..end;
            let is_left = |(at, call): (usize, &Call)| !piece.contains(&at) || !call.is_pure();
            let fewer: Vec<Call> = calls
                .iter()
                .enumerate()
                .filter(|&(at, call)| is_left((at, call)))
                .map(|(_, call)| call.clone())
                .collect();
            tries -= 1;
            if fewer.len() < calls.len() && fails(&fewer) {
                // What follows the piece has moved to its place.
                begin = end - (calls.len() - fewer.len());
                calls = fewer;
            } else {
                begin = end;
            }
        }
        if size == 1 || tries == 0 {
            return calls;
        }
        size = size.div_ceil(2);
    }
}

impl<S> Part<S> {
    /// A line for each call, in the order in which they were called; times from the first.
    pub(crate) fn lines<M: Model<State = S>>(&self, model: M) -> Vec<String> {
        let mut lines = vec![match self.from {
            From::Anything => "whatever came before:".to_owned(),
            From::Before => "after all that came before:".to_owned(),
            From::Beginning => "from the beginning:".to_owned(),
        }];
        if self.from == From::Before {
            let shown = self.starts.iter().take(SHOWN_MAX);
            lines
                .extend(shown.map(|state| format!("  the state may be {}", model.describe(state))));
        }
        let mut calls: Vec<_> = self.calls.iter().collect();
        calls.sort_by_key(|call| call.called_us);
        let first = calls.first().map_or(0, |call| call.called_us);
        if calls.len() > SHOWN_MAX {
            let hidden = calls.len() - SHOWN_MAX;
            lines.push(format!("  {hidden} calls more, then"));
            calls.drain(..hidden);
        }
        lines.extend(calls.into_iter().map(|call| line(call, first)));
        lines
    }
}

fn line(call: &Call, first_us: u64) -> String {
    let called = milliseconds(call.called_us - first_us);
    let (answered, told) = match &call.outcome {
        Outcome::Answered { answer, at_us } => {
            (milliseconds(at_us.saturating_sub(first_us)), told(answer))
        }
        Outcome::Refused => ("".to_owned(), "refused".to_owned()),
        Outcome::Unknown => (
            "…".to_owned(),
            "under way, may take effect or not".to_owned(),
        ),
    };
    format!(
        "  {called:>10} to {answered:>10} ms  client {:<3} {:<24} {told}",
        call.process,
        asked(call.action)
    )
}

fn asked(action: Action) -> String {
    match action {
        Action::Read => "get".to_owned(),
        Action::Write { value } => format!("write {value}"),
        Action::CompareAndSet { expected, value } => format!("compareAndSet {expected} {value}"),
        Action::Append { item } => format!("append {item}"),
        Action::Add { by } => format!("add {by}"),
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::State(view) => format!("shows {}", shown(view)),
        Answer::Previous(previous) => format!("done, was {previous}"),
        Answer::Swapped {
            is_met: true,
            value,
        } => format!("done, was {value}"),
        Answer::Swapped {
            is_met: false,
            value,
        } => format!("not done, is {value}"),
        Answer::Position(position) => format!("done, at position {position}"),
        Answer::Sum(sum) => format!("done, is {sum}"),
    }
}

/// A state for people.
pub(crate) fn shown(view: &View) -> String {
    match view {
        View::Counter { value } => format!("value {value}"),
        View::Register {
            value,
            appended,
            items,
        } => {
            let last = &items[items.len().saturating_sub(ITEMS_SHOWN_MAX)..];
            format!("value {value}, {appended} appended, the last {last:?}")
        }
    }
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03}", us / 1_000, us % 1_000)
}

/// Searches for one part: seconds at most.
const TRIES_MAX: usize = 500;
/// Lines that a person reads.
const SHOWN_MAX: usize = 40;

#[cfg(test)]
mod tests;
