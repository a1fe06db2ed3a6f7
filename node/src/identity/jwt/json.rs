//! JSON of others, read strictly: what signs a token and what reads it must see the same. Tokens, key sets and
//! discovery documents are read here and nowhere else.
//!
//! Members that are there twice are refused, as readers differ in which they take; so is what goes past its bounds.

use std::cell::Cell;
use std::fmt;

use selvedge_protocol::limits::TOKEN_DEPTH_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The object that `text` is, with at most so many values in all and [`TOKEN_DEPTH_MAX`] levels. Its errors say
/// nothing of what the text holds.
pub(super) fn object(
    text: &[u8],
    values_max: usize,
) -> Result<Map<String, Value>, serde_json::Error> {
    let left = Cell::new(values_max);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict {
        left: &left,
        levels: TOKEN_DEPTH_MAX,
    }
    .deserialize(&mut reader)?;
    reader.end()?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::custom("it is no object"))
        }
    }
}

/// One value and all that is in it.
#[derive(Clone, Copy)]
struct Strict<'a> {
    /// Values that may still come, of the whole text.
    left: &'a Cell<usize>,
    /// Levels that may still open.
    levels: usize,
}

impl Strict<'_> {
    fn within<E: Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(E::custom("it is nested too deep")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left
            .set(left.ok_or_else(|| D::Error::custom("it has too many values"))?);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("it has no such number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let within = self.within()?;
        let mut values = Vec::new();
        while let Some(value) = from.next_element_seed(within)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let within = self.within()?;
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let value = from.next_value_seed(within)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("it has a member twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_is() {
        let text = r#" {"a": [1, -2, 2.5, null, true, "x\u00e9"], "b": {"c": {}}} "#;
        let read = object(text.as_bytes(), 20).unwrap();
        assert_eq!(
            Value::Object(read),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn what_readers_would_differ_about_is_refused() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            r#"{"b": [{"a": 1, "a": 2}]}"#,
            r#"{"a": 1} {"a": 1}"#,
            r#"{"a": 1},"#,
            "{'a': 1}",
            r#"{"a": 1,}"#,
            r#"{"a": 01}"#,
            r#"{"a": NaN}"#,
            r#"{"a": 1e999}"#,
            r#"{"a": "\ud800"}"#,
            "\u{feff}{}",
            "[]",
            "\"a\"",
            "null",
            "",
        ] {
            assert!(object(text.as_bytes(), 20).is_err(), "{text}");
        }
        assert!(object(b"{\"a\": \"\xff\"}", 20).is_err());
    }

    #[test]
    fn its_bounds_are_kept_to_the_value_and_the_level() {
        let list = |count: usize| format!(r#"{{"a": [{}]}}"#, vec!["1"; count].join(","));
        assert!(object(list(18).as_bytes(), 20).is_ok());
        assert!(object(list(19).as_bytes(), 20).is_err());
        let deep = |levels: usize| {
            let lists = levels - 1;
            format!(r#"{{"a": {}{}}}"#, "[".repeat(lists), "]".repeat(lists))
        };
        assert!(object(deep(TOKEN_DEPTH_MAX).as_bytes(), 20).is_ok());
        assert!(object(deep(TOKEN_DEPTH_MAX + 1).as_bytes(), 20).is_err());
        // A reader that recursed would be out of stack.
        assert!(object(deep(1_000_000).as_bytes(), usize::MAX).is_err());
    }
}
