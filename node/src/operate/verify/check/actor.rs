//! All that is held against one actor: puts the checks of its history, its effects and its events together.

use crate::operate::verify::check::effects::{self, Fate, Intent, Repeat};
use crate::operate::verify::check::events::{self, Evidence, Heard, Shown};
use crate::operate::verify::check::history::{Action, Answer, Call, Outcome, View};
use crate::operate::verify::check::linearizable::{self, Bounds, Verdict};
use crate::operate::verify::check::model::{CounterModel, Model, RegisterModel};
use crate::operate::verify::check::part::smallest;
use crate::operate::verify::check::{Check, Violation};

/// A kind of actor that is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActorKind {
    Register,
    Counter,
}

/// A call, and where the answer says that it stands in the events.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) call: Call,
    /// The last event by then.
    pub(crate) seq: Option<u64>,
}

/// What a run has seen of an actor.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) kind: ActorKind,
    pub(crate) recorded: Vec<Recorded>,
    /// Changes that others made on our behalf: no calls of ours, and effects all the same.
    pub(crate) intents: Vec<Intent>,
    pub(crate) repeats: Vec<Repeat>,
    pub(crate) heard: Vec<Vec<Heard>>,
    pub(crate) last: Shown,
}

/// What is wrong with it.
pub(crate) fn check(record: &Record) -> Vec<Violation> {
    let calls: Vec<_> = record.recorded.iter().map(|it| it.call.clone()).collect();
    let has_others = !record.intents.is_empty();
    let mut found = match record.kind {
        // Changes of others have no time that could be held against the calls.
        _ if has_others => Vec::new(),
        ActorKind::Register => register_in_one_order(&record.name, &calls),
        ActorKind::Counter => in_one_order(CounterModel, &record.name, &calls),
    };
    let shown: Vec<_> = record.recorded.iter().filter_map(shown).collect();
    let evidence = Evidence {
        of: &record.name,
        initial: initial(record.kind),
        heard: &record.heard,
        shown: &shown,
        last: &record.last,
    };
    let (log, wrong) = events::check(&evidence);
    found.extend(wrong);
    let intents: Vec<_> = record.recorded.iter().filter_map(intent).collect();
    let intents = [intents, record.intents.clone()].concat();
    let mut wrong = effects::check(&record.name, &intents, &record.repeats, &log);
    if wrong.len() > EFFECTS_SHOWN_MAX {
        let hidden = wrong.len() - EFFECTS_SHOWN_MAX;
        wrong.truncate(EFFECTS_SHOWN_MAX);
        let message = format!("and {hidden} more of its effects are wrong");
        wrong.push(Violation::new(Check::Effects, &record.name, message));
    }
    found.extend(wrong);
    found
}

/// As a whole; and where that fails, told by the half that fails as well, if there is one.
fn register_in_one_order(name: &str, calls: &[Call]) -> Vec<Violation> {
    let whole = in_one_order(RegisterModel::Whole, name, calls);
    let is_broken = |found: &[Violation]| {
        found
            .first()
            .is_some_and(|it| it.check == Check::Linearizability)
    };
    if is_broken(&whole) {
        for half in [RegisterModel::Value, RegisterModel::List] {
            let concerned = calls.iter().filter(|call| half.concerns(call.action));
            let concerned: Vec<_> = concerned.cloned().collect();
            let found = in_one_order(half, name, &concerned);
            if is_broken(&found) {
                return found;
            }
        }
    }
    whole
}

fn in_one_order<M: Model>(model: M, name: &str, calls: &[Call]) -> Vec<Violation> {
    match linearizable::check(model, &[model.initial()], calls, Bounds::WHOLE) {
        Verdict::Linearizable => Vec::new(),
        Verdict::Undecided => vec![Violation::new(
            Check::Undecided,
            name,
            "too many calls overlap to find an order or to show that there is none; use fewer clients, \
             more actors or less time",
        )],
        Verdict::Impossible(stuck) => {
            let message = "no order of these calls explains their answers";
            let mut violation = Violation::new(Check::Linearizability, name, message);
            violation.part = smallest(model, calls, &stuck).lines(model);
            vec![violation]
        }
    }
}

/// The state of a new actor.
pub(crate) const fn initial(kind: ActorKind) -> View {
    match kind {
        ActorKind::Register => View::Register {
            value: 0,
            appended: 0,
            items: Vec::new(),
        },
        ActorKind::Counter => View::Counter { value: 0 },
    }
}

fn shown(recorded: &Recorded) -> Option<Shown> {
    match (&recorded.call.outcome, recorded.seq) {
        (
            Outcome::Answered {
                answer: Answer::State(state),
                ..
            },
            Some(seq),
        ) => Some(Shown {
            seq,
            state: state.clone(),
        }),
        (Outcome::Answered { .. } | Outcome::Refused | Outcome::Unknown, _) => None,
    }
}

fn intent(recorded: &Recorded) -> Option<Intent> {
    if recorded.call.action == Action::Read {
        return None;
    }
    let fate = match &recorded.call.outcome {
        Outcome::Unknown => Fate::Unknown,
        Outcome::Answered { answer, .. } if answer.is_change() => {
            Fate::Acknowledged { seq: recorded.seq }
        }
        Outcome::Refused | Outcome::Answered { .. } => Fate::Refused,
    };
    let tag = recorded.call.action.tag()?;
    Some(Intent { tag, fate })
}

/// Enough to see what they have in common.
const EFFECTS_SHOWN_MAX: usize = 5;

#[cfg(test)]
mod tests;
