//! A profile: what is known of the person that its key names. Shows how an application has data about people.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{Context, Effects, Incoming, Kind, NewEvent, Refusal, ScopedAddress};
use selvedge_protocol::SubjectId;
use serde::{Deserialize, Serialize};

/// The kind `profile`: `set {field, value}`, `remove {field}`, and the query `get`. Its key is the subject: a pseudonym,
/// never a name.
///
/// It does not ask for a wrapping key at the start of a node, so that the demo application runs without one; commands
/// to profiles are refused then.
#[derive(Debug, Clone, Copy)]
pub struct Profile;

/// What a profile stores and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    pub fields: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    field: String,
    value: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remove {
    field: String,
}

/// Fields of a profile: more than forms have.
const FIELDS_MAX: usize = 64;
/// The name of a field.
const FIELD_BYTES_MAX: usize = 64;

impl Kind for Profile {
    type State = Fields;

    const NAME: &'static str = "profile";

    fn apply(
        &self,
        state: &mut Fields,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        if SubjectId::new(context.address.key.as_str()).is_err() {
            return Err(Refusal::invalid(
                "key",
                "use the id of a subject: 1 to 128 of A-Z, a-z, 0-9 and ._:-",
            ));
        }
        match command.name {
            "set" => {
                let set: Set = body(command, r#"{"field": "email", "value": "a@example.org"}"#)?;
                if !(1..=FIELD_BYTES_MAX).contains(&set.field.len()) {
                    return Err(Refusal::invalid("field", "use 1 to 64 bytes"));
                }
                if state.fields.len() == FIELDS_MAX && !state.fields.contains_key(&set.field) {
                    return Err(Refusal::rejected("a profile has at most 64 fields"));
                }
                let data = json::encode(&set);
                state.fields.insert(set.field, set.value);
                Ok(effects(state, "set", data))
            }
            "remove" => {
                let remove: Remove = body(command, r#"{"field": "email"}"#)?;
                state.fields.remove(&remove.field);
                Ok(effects(state, "removed", json::encode(&remove)))
            }
            name => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn query(&self, state: &Fields, name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        match name {
            "get" => Ok(json::encode(state)),
            name => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn view(&self, state: &Fields) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &Fields) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<Fields, String> {
        json::decode(bytes)
    }

    /// What nobody has touched for a year is not needed.
    fn retention(&self) -> Option<Duration> {
        Some(Duration::from_secs(365 * 24 * 60 * 60))
    }

    fn subject(&self, actor: &ScopedAddress, _state: &Fields) -> Option<SubjectId> {
        SubjectId::new(actor.address.key.as_str()).ok()
    }
}

/// What was sent is not quoted: refusals are kept and logged by clients.
fn body<T: serde::de::DeserializeOwned>(command: &Incoming<'_>, form: &str) -> Result<T, Refusal> {
    json::decode(command.body).map_err(|_| Refusal::invalid("body", format!("use {form}")))
}

fn effects(state: &Fields, event: &'static str, data: Bytes) -> Effects {
    Effects {
        reply: json::encode(state),
        events: vec![NewEvent {
            kind: event.into(),
            data,
        }],
        ..Effects::default()
    }
}
