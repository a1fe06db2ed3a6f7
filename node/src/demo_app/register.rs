//! A register: a value with compare-and-set, and a list to append to. What `selvedge verify` writes to, because
//! one state shows what became of every kind of change.

use std::collections::VecDeque;

use bytes::Bytes;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{Context, Effects, Incoming, Kind, NewEvent, Refusal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Items of the list that are kept: enough to see what came before, few enough for a small state.
pub(crate) const REGISTER_ITEMS_MAX: usize = 32;

/// The kind `register`: `write {value}`, `compareAndSet {expected, value}`, `append {item}`, and the query
/// `get`.
///
/// Each answer says what the change met: `{previous}`, `{swapped, value}` with the value before, `{position}`
/// counted from 1. A compare-and-set that meets another value changes nothing, and that it did not is kept
/// as the outcome of its command id.
#[derive(Debug, Clone, Copy)]
pub struct Register;

/// What a register stores and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub value: u64,
    /// How many items were ever appended.
    pub appended: u64,
    /// The last 32 of them, the latest at the end.
    pub items: VecDeque<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    value: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompareAndSet {
    expected: u64,
    value: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    item: u64,
}

impl Registered {
    fn write(&mut self, write: &Write) -> Effects {
        let previous = std::mem::replace(&mut self.value, write.value);
        let event = event("written", &json!({ "value": write.value }));
        effects(&json!({ "previous": previous }), Some(event))
    }

    fn compare_and_set(&mut self, change: &CompareAndSet) -> Effects {
        let before = self.value;
        let is_met = before == change.expected;
        let reply = json!({ "swapped": is_met, "value": before });
        if !is_met {
            return effects(&reply, None);
        }
        self.value = change.value;
        let data = json!({ "expected": change.expected, "value": change.value });
        effects(&reply, Some(event("swapped", &data)))
    }

    fn append(&mut self, append: &Append) -> Effects {
        if self.items.len() == REGISTER_ITEMS_MAX {
            self.items.pop_front();
        }
        self.items.push_back(append.item);
        self.appended += 1;
        let data = json!({ "item": append.item, "position": self.appended });
        let reply = json!({ "position": self.appended });
        effects(&reply, Some(event("appended", &data)))
    }
}

impl Kind for Register {
    type State = Registered;

    const NAME: &'static str = "register";

    fn apply(
        &self,
        state: &mut Registered,
        _context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        match command.name {
            "write" => Ok(state.write(&body(command, r#"{"value": 1}"#)?)),
            "compareAndSet" => {
                let change = body(command, r#"{"expected": 1, "value": 2}"#)?;
                Ok(state.compare_and_set(&change))
            }
            "append" => Ok(state.append(&body(command, r#"{"item": 1}"#)?)),
            name => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn query(&self, state: &Registered, name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        match name {
            "get" => Ok(json::encode(state)),
            name => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn view(&self, state: &Registered) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &Registered) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<Registered, String> {
        json::decode(bytes)
    }
}

fn body<T: DeserializeOwned>(command: &Incoming<'_>, form: &str) -> Result<T, Refusal> {
    json::decode(command.body)
        .map_err(|error| Refusal::invalid("body", format!("use {form}: {error}")))
}

fn event(kind: &'static str, data: &Value) -> NewEvent {
    NewEvent {
        kind: kind.into(),
        data: json::encode(data),
    }
}

fn effects(reply: &Value, event: Option<NewEvent>) -> Effects {
    Effects {
        reply: json::encode(reply),
        events: event.into_iter().collect(),
        ..Effects::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_say_what_they_met() {
        let mut state = Registered::default();
        let said = |effects: &Effects| String::from_utf8(effects.reply.to_vec()).unwrap();
        assert_eq!(said(&state.write(&Write { value: 5 })), r#"{"previous":0}"#);
        let missed = state.compare_and_set(&CompareAndSet {
            expected: 4,
            value: 6,
        });
        assert_eq!(said(&missed), r#"{"swapped":false,"value":5}"#);
        assert!(missed.events.is_empty());
        let met = state.compare_and_set(&CompareAndSet {
            expected: 5,
            value: 6,
        });
        assert_eq!(said(&met), r#"{"swapped":true,"value":5}"#);
        assert_eq!((state.value, met.events.len()), (6, 1));
    }

    #[test]
    fn a_list_keeps_its_last_items_and_counts_all() {
        let mut state = Registered::default();
        for item in 1..=40 {
            state.append(&Append { item });
        }
        assert_eq!(state.appended, 40);
        assert_eq!(state.items, (9..=40).collect::<VecDeque<_>>());
    }
}
