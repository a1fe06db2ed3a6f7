//! The names that frames have as JSON: camelCase, and error codes by their stable names.

use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, ServerFrame};
use serde_json::{Value, to_value};

use crate::any::Any;
use crate::samples::samples;

fn json(frame: &Any) -> Value {
    let value = match frame {
        Any::Client(frame) => match frame {
            ClientFrame::Hello(body) => to_value(body),
            ClientFrame::Command(body) => to_value(body),
            ClientFrame::Query(body) => to_value(body),
            ClientFrame::Subscribe(body) => to_value(body),
            ClientFrame::Unsubscribe(body) => to_value(body),
            ClientFrame::Ack(body) => to_value(body),
            ClientFrame::WorkerReady(body) => to_value(body),
            ClientFrame::StepResult(body) => to_value(body),
            ClientFrame::Ping(body) => to_value(body),
            ClientFrame::Goodbye(body) => to_value(body),
            ClientFrame::Ephemeral(body) => to_value(body),
        },
        Any::Server(frame) => match frame {
            ServerFrame::Welcome(body) => to_value(body),
            ServerFrame::Reply(body) => to_value(body),
            ServerFrame::Event(body) => to_value(body),
            ServerFrame::Gap(body) => to_value(body),
            ServerFrame::Task(body) => to_value(body),
            ServerFrame::Notice(body) => to_value(body),
            ServerFrame::Redirect(body) => to_value(body),
            ServerFrame::Goodbye(body) => to_value(body),
            ServerFrame::Pong(body) => to_value(body),
            ServerFrame::Ephemeral(body) => to_value(body),
        },
    };
    value.unwrap()
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
