//! A room: `say {text}` becomes the event `said`; who comes later sees the last messages.

use std::collections::VecDeque;

use bytes::Bytes;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{Context, Effects, Incoming, Kind, NewEvent, Refusal};
use serde::{Deserialize, Serialize};

/// Messages that a room remembers: a screen or two.
const MESSAGES_MAX: usize = 100;
/// Bytes of one message, so that a full room stays a small state.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// The kind `room`.
#[derive(Debug, Clone, Copy)]
pub struct Room;

/// What a room stores and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    pub messages: VecDeque<Message>,
}

/// Something said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub text: String,
    /// The principal who said it.
    pub by: String,
    /// Unix milliseconds.
    pub at: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    text: String,
}

impl Kind for Room {
    type State = Messages;

    const NAME: &'static str = "room";

    fn apply(
        &self,
        state: &mut Messages,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        if command.name != "say" {
            return Err(Refusal::unknown(Self::NAME, command.name));
        }
        let say: Say = json::decode(command.body).map_err(|error| {
            Refusal::invalid("body", format!("use {{\"text\": \"hello\"}}: {error}"))
        })?;
        if say.text.is_empty() || say.text.len() > TEXT_BYTES_MAX {
            let message = format!("a message has 1 to {TEXT_BYTES_MAX} bytes");
            return Err(Refusal::invalid("text", message));
        }
        let message = Message {
            text: say.text,
            by: context.principal.to_owned(),
            at: context.now_ms,
        };
        let data = json::encode(&message);
        if state.messages.len() == MESSAGES_MAX {
            state.messages.pop_front();
        }
        state.messages.push_back(message);
        Ok(Effects {
            events: vec![NewEvent {
                kind: "said".into(),
                data,
            }],
            ..Effects::default()
        })
    }

    fn query(&self, state: &Messages, name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        match name {
            "get" => Ok(json::encode(state)),
            name => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn view(&self, state: &Messages) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &Messages) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<Messages, String> {
        json::decode(bytes)
    }
}
