//! Whether a history is linearizable: whether there is one order of its calls, each at a moment between call and
//! answer, in which every answer is right.
//!
//! The search of Wing and Gong ("Testing and verifying concurrent objects", JPDC 1993) with the improvements of
//! Lowe ("Testing for linearizability", CCPE 2017): a call is given its place just in time, when an answer is
//! due that has none yet; configurations that were seen are not searched again; and going back undoes one step
//! of a list of choices instead of copying. A call without an answer never has to be placed, and may be at any
//! time. A configuration names only calls under way, so memory grows with concurrency and not with its square.

use std::collections::HashSet;

use crate::operate::verify::check::history::{Call, Moment, Outcome, moments};
use crate::operate::verify::check::model::Model;

/// How much a search may take before it gives up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Calls that are tried.
    pub(crate) steps: u64,
    /// Configurations that are remembered.
    pub(crate) configurations: usize,
}

impl Bounds {
    /// Some seconds, and some hundred megabytes.
    pub(crate) const WHOLE: Self = Self {
        steps: 50_000_000,
        configurations: 2_000_000,
    };

    /// For one of many small searches.
    pub(crate) const PART: Self = Self {
        steps: 1_000_000,
        configurations: 100_000,
    };
}

/// What a search comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<S> {
    Linearizable,
    Impossible(Stuck<S>),
    /// Given up at the bounds.
    Undecided,
}

/// Where every order ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stuck<S> {
    /// Among the moments of the history: the answer that no order gets past.
    pub(crate) moment: usize,
    /// The states in which it was due; empty where there are too many to tell.
    pub(crate) states: Vec<S>,
}

/// Searches an order that explains `calls` from one of the states `starts`.
pub(crate) fn check<M: Model>(
    model: M,
    starts: &[M::State],
    calls: &[Call],
    bounds: Bounds,
) -> Verdict<M::State> {
    let mut search = Search {
        model,
        calls,
        moments: moments(calls),
        bounds,
        steps: 0,
        seen: HashSet::new(),
        stuck: Stuck {
            moment: 0,
            states: Vec::new(),
        },
        has_all_states: true,
    };
    for start in starts {
        match search.from(start.clone()) {
            Some(true) => return Verdict::Linearizable,
            Some(false) => {}
            None => return Verdict::Undecided,
        }
    }
    if !search.has_all_states {
        search.stuck.states.clear();
    }
    Verdict::Impossible(search.stuck)
}

struct Search<'a, M: Model> {
    model: M,
    calls: &'a [Call],
    moments: Vec<Moment>,
    bounds: Bounds,
    steps: u64,
    /// Position, state, and the calls under way that have their place: enough, since the others under way
    /// follow from the position.
    seen: HashSet<(usize, M::State, Box<[usize]>)>,
    stuck: Stuck<M::State>,
    has_all_states: bool,
}

/// A path through the search: what has its place by now.
struct Path<S> {
    position: usize,
    state: S,
    /// Called, without a place; in order.
    waiting: Vec<usize>,
    /// Placed, not answered yet; in order.
    placed: Vec<usize>,
    undo: Vec<Choice<S>>,
}

/// A moment at which a call has to be placed, and which were tried.
struct Choice<S> {
    position: usize,
    /// Before it.
    state: S,
    /// What to try next: 0 is the call whose answer is due, then those that wait.
    next: usize,
    /// States that the call tried last may lead to as well.
    more: Vec<S>,
    tried: usize,
    is_placed: bool,
}

impl<M: Model> Search<'_, M> {
    /// Whether there is an order from this state; `None` where the bounds come first.
    fn from(&mut self, state: M::State) -> Option<bool> {
        let mut path = Path {
            position: 0,
            state,
            waiting: Vec::new(),
            placed: Vec::new(),
            undo: Vec::new(),
        };
        loop {
            path.advance(&self.moments);
            if path.position == self.moments.len() {
                return Some(true);
            }
            self.note_arrival(&path);
            path.choose();
            while !self.place_next(&mut path)? {
                path.undo.pop();
                if path.undo.is_empty() {
                    return Some(false);
                }
            }
        }
    }

    /// Keeps the states in which the furthest answer is due.
    fn note_arrival(&mut self, path: &Path<M::State>) {
        if path.position > self.stuck.moment {
            self.stuck.moment = path.position;
            self.stuck.states.clear();
            self.has_all_states = true;
        }
        if path.position == self.stuck.moment && !self.stuck.states.contains(&path.state) {
            if self.stuck.states.len() < STATES_MAX {
                self.stuck.states.push(path.state.clone());
            } else {
                self.has_all_states = false;
            }
        }
    }

    /// Takes back what the last choice tried, and tries the next; whether there is one that leads to a new
    /// configuration.
    fn place_next(&mut self, path: &mut Path<M::State>) -> Option<bool> {
        loop {
            path.take_back(&self.moments);
            let Some(choice) = path.undo.last_mut() else {
                return Some(false);
            };
            let state = match choice.more.pop() {
                Some(state) => state,
                None => {
                    let Some(call) = candidate(&self.moments, choice, &path.waiting) else {
                        return Some(false);
                    };
                    choice.next += 1;
                    choice.tried = call;
                    self.steps += 1;
                    let call = &self.calls[call];
                    let answer = match &call.outcome {
                        Outcome::Answered { answer, .. } => Some(answer),
                        Outcome::Refused | Outcome::Unknown => None,
                    };
                    let mut states = self.model.after(&choice.state, call.action, answer);
                    let Some(state) = states.pop() else { continue };
                    choice.more = states;
                    state
                }
            };
            if self.steps > self.bounds.steps || self.seen.len() > self.bounds.configurations {
                return None;
            }
            path.place(state);
            let key = (
                path.position,
                path.state.clone(),
                path.placed.clone().into_boxed_slice(),
            );
            if self.seen.insert(key) {
                return Some(true);
            }
        }
    }
}

/// The call to try next: the one that is due first, for most often it is right.
fn candidate<S>(moments: &[Moment], choice: &Choice<S>, waiting: &[usize]) -> Option<usize> {
    let due = match moments.get(choice.position) {
        Some(Moment::Answered(call)) => *call,
        Some(Moment::Called(_)) | None => unreachable!("a choice is made where an answer is due"),
    };
    let others = waiting.iter().copied().filter(|call| *call != due);
    std::iter::once(due).chain(others).nth(choice.next)
}

impl<S: Clone> Path<S> {
    /// Goes on to the next answer whose call has no place yet.
    fn advance(&mut self, moments: &[Moment]) {
        while let Some(moment) = moments.get(self.position) {
            match *moment {
                Moment::Called(call) => insert(&mut self.waiting, call),
                Moment::Answered(call) => {
                    if !remove(&mut self.placed, call) {
                        return;
                    }
                }
            }
            self.position += 1;
        }
    }

    fn choose(&mut self) {
        self.undo.push(Choice {
            position: self.position,
            state: self.state.clone(),
            next: 0,
            more: Vec::new(),
            tried: 0,
            is_placed: false,
        });
    }

    fn place(&mut self, state: S) {
        if let Some(choice) = self.undo.last_mut() {
            choice.is_placed = true;
            remove(&mut self.waiting, choice.tried);
            insert(&mut self.placed, choice.tried);
            self.state = state;
        }
    }

    /// Back to the last choice, as if nothing had been placed there.
    fn take_back(&mut self, moments: &[Moment]) {
        let Some(choice) = self.undo.last_mut() else {
            return;
        };
        while self.position > choice.position {
            self.position -= 1;
            match moments[self.position] {
                Moment::Called(call) => {
                    remove(&mut self.waiting, call);
                }
                Moment::Answered(call) => insert(&mut self.placed, call),
            }
        }
        if choice.is_placed {
            choice.is_placed = false;
            remove(&mut self.placed, choice.tried);
            insert(&mut self.waiting, choice.tried);
            self.state = choice.state.clone();
        }
    }
}

fn insert(calls: &mut Vec<usize>, call: usize) {
    let at = calls.partition_point(|other| *other < call);
    calls.insert(at, call);
}

fn remove(calls: &mut Vec<usize>, call: usize) -> bool {
    match calls.binary_search(&call) {
        Ok(at) => {
            calls.remove(at);
            true
        }
        Err(_) => false,
    }
}

/// More states than anybody reads.
const STATES_MAX: usize = 64;

#[cfg(test)]
pub(in crate::operate::verify::check) mod tests;
