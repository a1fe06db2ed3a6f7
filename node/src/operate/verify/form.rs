//! Actions, answers and events of the demo application's kinds as JSON.

use selvedge_client::Success;
use selvedge_protocol::{ActorAddress, IdError, Target};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::demo_app::{Count, Registered};
use crate::operate::verify::check::actor::ActorKind;
use crate::operate::verify::check::events::{Fact, Shown};
use crate::operate::verify::check::history::{Action, Answer, View};

/// An actor that is verified.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) kind: ActorKind,
    /// KIND/KEY.
    pub(super) name: String,
    pub(super) target: Target,
}

impl Subject {
    pub(super) fn new(kind: ActorKind, key: &str) -> Result<Self, IdError> {
        let name = match kind {
            ActorKind::Register => format!("register/{key}"),
            ActorKind::Counter => format!("counter/{key}"),
        };
        let address: ActorAddress = name.parse()?;
        Ok(Self {
            kind,
            name,
            target: Target::Actor(address),
        })
    }

    /// The state that an answer to `get` shows.
    pub(super) fn shown(&self, success: &Success) -> Result<Shown, serde_json::Error> {
        Ok(Shown {
            seq: success.seq,
            state: view(self.kind, &success.body)?,
        })
    }
}

/// The name and body of the command that does it; a read is a query.
pub(super) fn command(action: Action) -> (&'static str, Value) {
    match action {
        Action::Read => ("get", json!({})),
        Action::Write { value } => ("write", json!({ "value": value })),
        Action::CompareAndSet { expected, value } => (
            "compareAndSet",
            json!({ "expected": expected, "value": value }),
        ),
        Action::Append { item } => ("append", json!({ "item": item })),
        Action::Add { by } => ("add", json!({ "by": by })),
    }
}

#[derive(Deserialize)]
struct Previous {
    previous: u64,
}

#[derive(Deserialize)]
struct Swapped {
    swapped: bool,
    value: u64,
}

#[derive(Deserialize)]
struct Position {
    position: u64,
}

#[derive(Deserialize)]
struct Sum {
    value: u64,
}

/// What the reply to an action says.
pub(super) fn answer(
    kind: ActorKind,
    action: Action,
    reply: &[u8],
) -> Result<Answer, serde_json::Error> {
    Ok(match action {
        Action::Read => Answer::State(view(kind, reply)?),
        Action::Write { .. } => {
            let Previous { previous } = serde_json::from_slice(reply)?;
            Answer::Previous(previous)
        }
        Action::CompareAndSet { .. } => {
            let Swapped { swapped, value } = serde_json::from_slice(reply)?;
            Answer::Swapped {
                is_met: swapped,
                value,
            }
        }
        Action::Append { .. } => {
            let Position { position } = serde_json::from_slice(reply)?;
            Answer::Position(position)
        }
        Action::Add { .. } => {
            let Sum { value } = serde_json::from_slice(reply)?;
            Answer::Sum(value)
        }
    })
}

/// A state as `get`, `state` and snapshots show it.
pub(super) fn view(kind: ActorKind, state: &[u8]) -> Result<View, serde_json::Error> {
    Ok(match kind {
        ActorKind::Register => {
            let Registered {
                value,
                appended,
                items,
            } = serde_json::from_slice(state)?;
            View::Register {
                value,
                appended,
                items: items.into(),
            }
        }
        ActorKind::Counter => {
            let Count { value } = serde_json::from_slice(state)?;
            // What is added here is never negative.
            let value = u64::try_from(value).map_err(serde::de::Error::custom)?;
            View::Counter { value }
        }
    })
}

#[derive(Deserialize)]
struct Written {
    value: u64,
}

#[derive(Deserialize)]
struct Set {
    expected: u64,
    value: u64,
}

#[derive(Deserialize)]
struct Appended {
    item: u64,
    position: u64,
}

#[derive(Deserialize)]
struct Added {
    by: u64,
    value: u64,
}

/// What an event says.
pub(super) fn fact(kind: &str, data: &[u8]) -> Fact {
    let known = match kind {
        "written" => serde_json::from_slice(data).map(|Written { value }| Fact::Written { value }),
        "swapped" => serde_json::from_slice(data)
            .map(|Set { expected, value }| Fact::Swapped { expected, value }),
        "appended" => serde_json::from_slice(data)
            .map(|Appended { item, position }| Fact::Appended { item, position }),
        "added" => {
            serde_json::from_slice(data).map(|Added { by, value }| Fact::Added { by, value })
        }
        _ => return Fact::Other(kind.to_owned()),
    };
    known.unwrap_or_else(|error| Fact::Other(format!("{kind}: {error}")))
}
