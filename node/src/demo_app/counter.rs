//! A counter: `add {by}` and `get`. The smallest actor there is.

use bytes::Bytes;
use selvedge_cluster::actor::kind::{Urgency, json};
use selvedge_cluster::actor::{Context, Effects, Incoming, Kind, NewEvent, Refusal};
use serde::{Deserialize, Serialize};

/// The kind `counter`.
#[derive(Debug, Clone, Copy)]
pub struct Counter;

/// What a counter stores and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub value: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    by: i64,
}

impl Kind for Counter {
    type State = Count;

    const NAME: &'static str = "counter";

    fn apply(
        &self,
        state: &mut Count,
        _context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        match command.name {
            "get" => Ok(Effects {
                reply: json::encode(state),
                urgency: Urgency::Never,
                ..Effects::default()
            }),
            "add" => {
                let add: Add = json::decode(command.body).map_err(|error| {
                    Refusal::invalid("body", format!("use {{\"by\": 1}}: {error}"))
                })?;
                let Some(value) = state.value.checked_add(add.by) else {
                    return Err(Refusal::rejected("the counter would leave 64 bits"));
                };
                state.value = value;
                let data = Bytes::from(format!(r#"{{"by":{},"value":{value}}}"#, add.by));
                Ok(Effects {
                    reply: json::encode(state),
                    events: vec![NewEvent {
                        kind: "added".into(),
                        data,
                    }],
                    ..Effects::default()
                })
            }
            name => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn query(&self, state: &Count, name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        match name {
            "get" => Ok(json::encode(state)),
            name => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn view(&self, state: &Count) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &Count) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<Count, String> {
        json::decode(bytes)
    }
}
