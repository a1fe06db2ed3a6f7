//! Scalars of the schema that GraphQL does not have.

use async_graphql::{InputValueError, InputValueResult, Json, Scalar, ScalarType, Value};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bridge::graphql::call::decode;
use crate::bridge::graphql::error::Refusal;

/// Any JSON value.
pub(super) type AnyJson = Json<serde_json::Value>;

/// A whole number from 0 to 2^64 - 1. A JSON number up to 2^53 - 1, which is what JavaScript counts exactly; text past
/// it. Either is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(in crate::bridge::graphql) struct UInt64(pub(super) u64);

#[Scalar(name = "UInt64")]
impl ScalarType for UInt64 {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            Value::Null
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_)
            | Value::List(_)
            | Value::Object(_) => None,
        };
        number.map(Self).ok_or_else(|| {
            InputValueError::custom("use a whole number from 0 on, or its digits as text")
        })
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        match self.0 <= EXACT_MAX {
            true => Value::from(self.0),
            false => Value::from(self.0.to_string()),
        }
    }
}

/// A moment, RFC 3339 in UTC, for example 2026-01-31T12:00:00.000Z.
#[derive(Debug, Clone)]
pub(in crate::bridge::graphql) struct DateTime(pub(super) String);

#[Scalar(
    name = "DateTime",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339"
)]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            // Whether it is a time is said by who uses it, which names the field.
            Value::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(_))
    }

    fn to_value(&self) -> Value {
        Value::from(self.0.as_str())
    }
}

/// JSON text of the inside as a value.
pub(super) fn any(text: &Bytes) -> Result<AnyJson, Refusal> {
    decode(text).map(Json)
}

/// The same, where there is any.
pub(super) fn raw(text: Option<&RawValue>) -> Result<Option<AnyJson>, Refusal> {
    text.map(|text| decode(text.get().as_bytes()).map(Json))
        .transpose()
}

/// 2^53 - 1.
const EXACT_MAX: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_exact_whatever_reads_them() {
        for (number, value) in [
            (0, Value::from(0)),
            (EXACT_MAX, Value::from(EXACT_MAX)),
            (EXACT_MAX + 1, Value::from("9007199254740992")),
            (u64::MAX, Value::from("18446744073709551615")),
        ] {
            assert_eq!(UInt64(number).to_value(), value);
            assert_eq!(UInt64::parse(value).ok(), Some(UInt64(number)));
        }
        for wrong in [
            Value::from(-1),
            Value::from(1.5),
            Value::from("x"),
            Value::Null,
        ] {
            assert!(UInt64::parse(wrong).is_err());
        }
    }
}
