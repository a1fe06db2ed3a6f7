//! References from an input to the result of an earlier step: `{"$result": "step", "pointer": "/a/b"}`, the
//! pointer as in RFC 6901. Pure.

use serde_json::Value;

use crate::processing::builtin::saga::Results;
use crate::processing::{HandlerError, InvalidInput};

const KEY: &str = "$result";
const POINTER: &str = "pointer";

/// Calls `found` with the step of each reference in `value`. One that is not formed well is refused.
pub(super) fn each<'a>(
    value: &'a Value,
    field: &str,
    found: &mut impl FnMut(&str, &'a str) -> Result<(), InvalidInput>,
) -> Result<(), InvalidInput> {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| each(item, &format!("{field}[{at}]"), found)),
        Value::Object(fields) if fields.contains_key(KEY) => {
            if let Some(other) = fields.keys().find(|key| *key != KEY && *key != POINTER) {
                let message = format!("a reference has no field {other:?}");
                return Err(InvalidInput::new(field, message));
            }
            let text = |key: &str, value: &'a Value| {
                let text = value.as_str();
                text.ok_or_else(|| InvalidInput::new(format!("{field}.{key}"), "use a string"))
            };
            let pointer = fields.get(POINTER);
            let pointer = pointer.map_or(Ok(""), |value| text(POINTER, value))?;
            if !is_pointer(pointer) {
                let field = format!("{field}.{POINTER}");
                return Err(InvalidInput::new(
                    field,
                    "it is no JSON pointer (RFC 6901): use \"/a/b\"",
                ));
            }
            found(field, text(KEY, &fields[KEY])?)
        }
        Value::Object(fields) => fields
            .iter()
            .try_for_each(|(key, value)| each(value, &format!("{field}.{key}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The value with what its references lead to. `room` is what the references may bring, bytes.
pub(super) fn resolve(
    value: &Value,
    results: &Results,
    room: &mut usize,
) -> Result<Value, HandlerError> {
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| resolve(item, results, room))
            .collect(),
        Value::Object(fields) => match fields.get(KEY).and_then(Value::as_str) {
            Some(step) => {
                let pointer = fields.get(POINTER).and_then(Value::as_str);
                let led = led(step, pointer.unwrap_or_default(), results)?;
                let size = led.to_string().len();
                match room.checked_sub(size) {
                    Some(rest) => *room = rest,
                    None => return Err(too_large()),
                }
                Ok(led.clone())
            }
            None => fields
                .iter()
                .map(|(key, value)| Ok((key.clone(), resolve(value, results, room)?)))
                .collect::<Result<_, _>>()
                .map(Value::Object),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value.clone()),
    }
}

fn led<'a>(step: &str, pointer: &str, results: &'a Results) -> Result<&'a Value, HandlerError> {
    let found = results.get(step).and_then(|result| result.pointer(pointer));
    found.ok_or_else(|| {
        let message = format!("the result of step {step:?} has nothing at {pointer:?}");
        HandlerError::permanent(message).with_code("missing_result")
    })
}

fn too_large() -> HandlerError {
    let message = "the results that it refers to are too large; pass where they are instead";
    HandlerError::permanent(message).with_code("too_large")
}

fn is_pointer(text: &str) -> bool {
    let mut escaped = text.split('~').skip(1);
    (text.is_empty() || text.starts_with('/')) && escaped.all(|rest| rest.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results() -> Results {
        let one = json!({ "a": [{ "b": 1 }, 2], "c/d": "x", "e~f": null });
        Results::from([("one".to_owned(), one)])
    }

    fn resolved(value: Value) -> Result<Value, String> {
        resolve(&value, &results(), &mut 1_000).map_err(|error| error.code)
    }

    #[test]
    fn references_become_what_they_lead_to() {
        let of = |pointer: &str| resolved(json!({ "$result": "one", "pointer": pointer }));
        assert_eq!(of("/a/0/b").unwrap(), json!(1));
        assert_eq!(of("/a/1").unwrap(), json!(2));
        assert_eq!(of("/c~1d").unwrap(), json!("x"));
        assert_eq!(of("/e~0f").unwrap(), Value::Null);
        assert_eq!(of("").unwrap(), results()["one"]);
        let whole = resolved(json!({ "x": [{ "$result": "one" }, 3] })).unwrap();
        assert_eq!(whole, json!({ "x": [results()["one"], 3] }));
        assert_eq!(of("/a/2").unwrap_err(), "missing_result");
        assert_eq!(of("/a/00").unwrap_err(), "missing_result");
        let other = resolved(json!({ "$result": "two" }));
        assert_eq!(other.unwrap_err(), "missing_result");
    }

    #[test]
    fn references_cannot_multiply_without_bound() {
        let many: Vec<_> = (0..100).map(|_| json!({ "$result": "one" })).collect();
        assert_eq!(resolved(json!(many)).unwrap_err(), "too_large");
    }

    #[test]
    fn references_are_checked() {
        let check = |value: Value| {
            let mut steps = Vec::new();
            each(&value, "input", &mut |_, step| {
                steps.push(step.to_owned());
                Ok(())
            })
            .map(|()| steps)
            .map_err(|invalid| invalid.field)
        };
        let two = json!({ "x": [{ "$result": "one" }, { "$result": "two", "pointer": "/~0~1" }] });
        assert_eq!(check(two).unwrap(), ["one", "two"]);
        for (value, field) in [
            (json!({ "$result": 1 }), "input.$result"),
            (json!([{ "$result": "a", "x": 1 }]), "input[0]"),
            (
                json!({ "x": { "$result": "a", "pointer": 1 } }),
                "input.x.pointer",
            ),
            (json!({ "$result": "a", "pointer": "a" }), "input.pointer"),
            (json!({ "$result": "a", "pointer": "/~" }), "input.pointer"),
            (json!({ "$result": "a", "pointer": "/~2" }), "input.pointer"),
        ] {
            assert_eq!(check(value).unwrap_err(), field);
        }
    }
}
