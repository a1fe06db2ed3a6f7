//! The names that frames have as JSON: camelCase, and error codes by their stable names.

use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, ServerFrame};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, to_string, to_value};

use crate::any::Any;
use crate::samples::samples;

fn json(frame: &Any) -> Value {
    serde_json::from_str(&text(frame)).unwrap()
}

/// The fields of a frame in the order in which they are declared.
pub(crate) fn field_names(frame: &Any) -> Vec<String> {
    let Names(names) = serde_json::from_str(&text(frame)).unwrap();
    names
}

/// The keys of an object, in order.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some((name, IgnoredAny)) = map.next_entry()? {
            names.push(name);
        }
        Ok(Names(names))
    }
}

fn text(frame: &Any) -> String {
    let text = match frame {
        Any::Client(frame) => match frame {
            ClientFrame::Hello(body) => to_string(body),
            ClientFrame::Command(body) => to_string(body),
            ClientFrame::Query(body) => to_string(body),
            ClientFrame::Subscribe(body) => to_string(body),
            ClientFrame::Unsubscribe(body) => to_string(body),
            ClientFrame::Ack(body) => to_string(body),
            ClientFrame::WorkerReady(body) => to_string(body),
            ClientFrame::StepResult(body) => to_string(body),
            ClientFrame::Ping(body) => to_string(body),
            ClientFrame::Goodbye(body) => to_string(body),
            ClientFrame::Ephemeral(body) => to_string(body),
            ClientFrame::Chunk(body) => to_string(body),
        },
        Any::Server(frame) => match frame {
            ServerFrame::Welcome(body) => to_string(body),
            ServerFrame::Reply(body) => to_string(body),
            ServerFrame::Event(body) => to_string(body),
            ServerFrame::Gap(body) => to_string(body),
            ServerFrame::Task(body) => to_string(body),
            ServerFrame::Notice(body) => to_string(body),
            ServerFrame::Redirect(body) => to_string(body),
            ServerFrame::Goodbye(body) => to_string(body),
            ServerFrame::Pong(body) => to_string(body),
            ServerFrame::Ephemeral(body) => to_string(body),
            ServerFrame::LargeGap(body) => to_string(body),
            ServerFrame::Chunk(body) => to_string(body),
            ServerFrame::Window(body) => to_string(body),
        },
    };
    text.unwrap()
}

fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                found.push(key.clone());
                keys(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn names_are_camel_case() {
    let mut found = Vec::new();
    for (_, frame) in samples() {
        keys(&json(&frame), &mut found);
    }
    found.sort_unstable();
    found.dedup();
    for name in &found {
        let camel = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|char| char.is_ascii_alphanumeric());
        assert!(camel, "{name} is not camelCase: see rename_all");
    }
    for name in ["resumeToken", "deadlineMs", "retryAfterMs", "operationType"] {
        assert!(found.iter().any(|key| key == name), "{name} in {found:?}");
    }
}

#[test]
fn error_codes_are_their_names() {
    for code in ErrorCode::ALL {
        let value = to_value(code).unwrap();
        assert_eq!(value, Value::from(code.name()));
        assert_eq!(serde_json::from_value::<ErrorCode>(value).unwrap(), code);
    }
}
