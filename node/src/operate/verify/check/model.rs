//! What actors are meant to do, one call at a time: the sequential specifications that histories are held against.
//!
//! A state may be known in part only: that is how a part of a history is checked without what came before it. Then
//! there may be more states after a call than one.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use crate::demo_app::REGISTER_ITEMS_MAX;
use crate::operate::verify::check::history::{Action, Answer, View};

/// A sequential specification.
pub(crate) trait Model: Copy {
    type State: Clone + Debug + Eq + Hash;

    /// The state of an actor that nobody has written to.
    fn initial(self) -> Self::State;

    /// A state of which nothing is known: it stands for every state.
    fn anything(self) -> Self::State;

    /// The states after an action that was answered so, or in any way where the answer is not known. None:
    /// there is no such answer in this state.
    fn after(
        self,
        state: &Self::State,
        action: Action,
        answer: Option<&Answer>,
    ) -> Vec<Self::State>;

    /// A state for people.
    fn describe(self, state: &Self::State) -> String;
}

/// The kind `counter`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CounterModel;

impl Model for CounterModel {
    /// `None`: not known.
    type State = Option<u64>;

    fn initial(self) -> Option<u64> {
        Some(0)
    }

    fn anything(self) -> Option<u64> {
        None
    }

    fn after(
        self,
        state: &Option<u64>,
        action: Action,
        answer: Option<&Answer>,
    ) -> Vec<Option<u64>> {
        let next = match (action, answer) {
            (Action::Read, None) => Some(*state),
            (Action::Read, Some(Answer::State(View::Counter { value }))) => {
                is_met(*state, *value).then_some(Some(*value))
            }
            (Action::Add { by }, None) => Some(state.and_then(|sum| sum.checked_add(by))),
            (Action::Add { by }, Some(Answer::Sum(sum))) => match sum.checked_sub(by) {
                Some(before) if is_met(*state, before) => Some(Some(*sum)),
                Some(_) | None => None,
            },
            _ => None,
        };
        next.into_iter().collect()
    }

    fn describe(self, state: &Option<u64>) -> String {
        format!("value {}", known(*state))
    }
}

/// The kind `register`, or one of its halves. Value and list are objects of their own, and what is linearizable
/// has linearizable parts (Herlihy and Wing, TOPLAS 1990): a half that fails is a shorter proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegisterModel {
    Whole,
    /// Knows nothing of the list.
    Value,
    /// Knows nothing of the value.
    List,
}

impl RegisterModel {
    fn read(self, state: &RegisterState, view: &View) -> Vec<RegisterState> {
        let View::Register {
            value,
            appended,
            items,
        } = view
        else {
            return Vec::new();
        };
        let is_value_right = self == Self::List || is_met(state.value, *value);
        let is_list_right = self == Self::Value || state.may_list(*appended, items);
        when(is_value_right && is_list_right, || match self {
            Self::Value => state.holding(*value),
            Self::Whole | Self::List => RegisterState {
                value: if self == Self::List {
                    state.value
                } else {
                    Some(*value)
                },
                appended: Some(*appended),
                items: Arc::from(items.as_slice()),
            },
        })
    }

    /// Whether a call has to do with this half.
    pub(crate) fn concerns(self, action: Action) -> bool {
        match action {
            Action::Read => true,
            Action::Write { .. } | Action::CompareAndSet { .. } => self != Self::List,
            Action::Append { .. } => self != Self::Value,
            Action::Add { .. } => false,
        }
    }
}

/// A register and its list, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RegisterState {
    value: Option<u64>,
    appended: Option<u64>,
    /// The last items that are known: all that a register keeps, or fewer.
    items: Arc<[u64]>,
}

impl RegisterState {
    fn holding(&self, value: u64) -> Self {
        Self {
            value: Some(value),
            ..self.clone()
        }
    }

    fn appending(&self, item: u64, appended: Option<u64>) -> Self {
        let skipped = (self.items.len() + 1).saturating_sub(REGISTER_ITEMS_MAX);
        let kept = self.items.iter().skip(skipped).copied();
        Self {
            value: self.value,
            appended,
            items: kept.chain([item]).collect(),
        }
    }

    /// Whether the list may look so.
    fn may_list(&self, appended: u64, items: &[u64]) -> bool {
        let length = usize::try_from(appended).unwrap_or(usize::MAX);
        is_met(self.appended, appended)
            && items.len() == length.min(REGISTER_ITEMS_MAX)
            && items.ends_with(&self.items)
    }
}

impl Model for RegisterModel {
    type State = RegisterState;

    fn initial(self) -> RegisterState {
        RegisterState {
            value: Some(0),
            appended: Some(0),
            items: Arc::new([]),
        }
    }

    fn anything(self) -> RegisterState {
        RegisterState {
            value: None,
            appended: None,
            items: Arc::new([]),
        }
    }

    fn after(
        self,
        state: &RegisterState,
        action: Action,
        answer: Option<&Answer>,
    ) -> Vec<RegisterState> {
        match (action, answer) {
            (Action::Read, None) => vec![state.clone()],
            (Action::Read, Some(Answer::State(view))) => self.read(state, view),
            (Action::Write { value }, None) => vec![state.holding(value)],
            (Action::Write { value }, Some(Answer::Previous(previous))) => {
                when(is_met(state.value, *previous), || state.holding(value))
            }
            (Action::CompareAndSet { expected, value }, None) => match state.value {
                Some(before) if before == expected => vec![state.holding(value)],
                Some(_) => vec![state.clone()],
                None => vec![state.holding(value), state.clone()],
            },
            (
                Action::CompareAndSet { expected, value },
                Some(Answer::Swapped {
                    is_met: swapped,
                    value: before,
                }),
            ) => {
                let is_right = is_met(state.value, *before) && *swapped == (*before == expected);
                let holds = if *swapped { value } else { *before };
                when(is_right, || state.holding(holds))
            }
            (Action::Append { item }, None) => {
                vec![state.appending(item, state.appended.map(|count| count + 1))]
            }
            (Action::Append { item }, Some(Answer::Position(position))) => {
                let is_right = *position > 0 && is_met(state.appended, *position - 1);
                when(is_right, || state.appending(item, Some(*position)))
            }
            _ => Vec::new(),
        }
    }

    fn describe(self, state: &RegisterState) -> String {
        let last = &state.items[state.items.len().saturating_sub(ITEMS_SHOWN_MAX)..];
        let value = format!("value {}", known(state.value));
        let list = format!("{} appended, the last {last:?}", known(state.appended));
        match self {
            Self::Whole => format!("{value}, {list}"),
            Self::Value => value,
            Self::List => list,
        }
    }
}

fn when<S>(is_right: bool, state: impl FnOnce() -> S) -> Vec<S> {
    is_right.then(state).into_iter().collect()
}

fn is_met(known: Option<u64>, told: u64) -> bool {
    known.is_none_or(|known| known == told)
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

/// Items of a list in a line for people.
pub(crate) const ITEMS_SHOWN_MAX: usize = 8;
