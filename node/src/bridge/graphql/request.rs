//! The parameters of a GraphQL request: read from a body, which may be a batch, or from the query of an address.

use async_graphql::Variables;
use selvedge_protocol::limits::GRAPHQL_BATCH_MAX;
use selvedge_protocol::{ErrorCode, Failure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::bridge::graphql::persisted::PersistedQuery;

/// What a client asks for. Fields that it does not know are left aside, as the specification has it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    pub(super) query: Option<String>,
    pub(super) operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
    extensions: Option<Extensions>,
}

/// What a request has besides, as far as it is understood here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    persisted_query: Option<PersistedQuery>,
}

/// What one body has.
#[derive(Debug)]
pub(super) enum Requests {
    One(Parameters),
    Batch(Vec<Parameters>),
}

impl Requests {
    pub(super) fn from_body(body: &[u8]) -> Result<Self, Failure> {
        let is_batch = body.trim_ascii_start().starts_with(b"[");
        if !is_batch {
            return read("body", body).map(Self::One);
        }
        let batch: Vec<Parameters> = read("body", body)?;
        match batch.len() {
            1..=GRAPHQL_BATCH_MAX => Ok(Self::Batch(batch)),
            count => Err(Failure::field(
                ErrorCode::Malformed,
                "body",
                format!("a batch of {count} requests; use 1 to {GRAPHQL_BATCH_MAX}"),
            )),
        }
    }
}

impl Parameters {
    /// Reads the query of an address.
    pub(super) fn from_address(query: &str) -> Result<Self, Failure> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "query" => parameters.query = Some(value.into_owned()),
                "operationName" => {
                    let name = value.into_owned();
                    parameters.operation_name = Some(name).filter(|name| !name.is_empty());
                }
                "variables" => parameters.variables = optional("variables", &value)?,
                "extensions" => parameters.extensions = optional("extensions", &value)?,
                _ => {}
            }
        }
        Ok(parameters)
    }

    /// Takes the values of its variables.
    pub(super) fn take_variables(&mut self) -> Variables {
        let values = self.variables.take().unwrap_or_default();
        Variables::from_json(Value::Object(values))
    }

    /// The document that it names by its hash.
    pub(super) fn persisted(&self) -> Option<&PersistedQuery> {
        self.extensions.as_ref()?.persisted_query.as_ref()
    }
}

fn optional<T: DeserializeOwned>(field: &str, text: &str) -> Result<Option<T>, Failure> {
    match text.is_empty() {
        true => Ok(None),
        false => read(field, text.as_bytes()),
    }
}

/// Reads JSON text, and names the field that is wrong.
fn read<T: DeserializeOwned>(field: &str, text: &[u8]) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut reader);
    let malformed = |field: String, error: &serde_json::Error| {
        Failure::field(
            ErrorCode::Malformed,
            field,
            format!("it does not read: {error}"),
        )
    };
    let value = read.map_err(|error| {
        let within = error.path().to_string();
        let field = match (field, within.as_str()) {
            (field, "." | "?") => field.to_owned(),
            ("body", within) => within.to_owned(),
            (field, within) => format!("{field}.{within}"),
        };
        malformed(field, error.inner())
    })?;
    let end = reader.end();
    end.map_err(|error| malformed(field.to_owned(), &error))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Result<Parameters, Failure> {
        match Requests::from_body(body.as_bytes())? {
            Requests::One(parameters) => Ok(parameters),
            Requests::Batch(_) => panic!("{body} is no batch"),
        }
    }

    #[test]
    fn what_a_body_says_wrong_is_named() {
        for (body, field) in [
            ("", "body"),
            ("{", "body"),
            ("{} {}", "body"),
            ("\"query\"", "body"),
            ("[]", "body"),
            (r#"{"query":1}"#, "query"),
            (r#"{"query":["a"]}"#, "query"),
            (r#"{"operationName":{}}"#, "operationName"),
            (r#"{"variables":"x"}"#, "variables"),
            (r#"{"variables":[1]}"#, "variables"),
            (r#"{"extensions":0}"#, "extensions"),
            (
                r#"{"extensions":{"persistedQuery":{"version":1}}}"#,
                "extensions.persistedQuery",
            ),
        ] {
            let failure = Requests::from_body(body.as_bytes()).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Malformed, "{body}");
            assert_eq!(failure.field.as_deref(), Some(field), "{body}");
        }
    }

    #[test]
    fn nulls_and_unknown_fields_are_nothing() {
        let body =
            r#"{"query":"{a}","operationName":null,"variables":null,"extensions":null,"x":1}"#;
        let parameters = one(body).unwrap();
        assert_eq!(parameters.query.as_deref(), Some("{a}"));
        assert_eq!(parameters.operation_name, None);
        assert!(
            one(r#"{"extensions":{"other":1}}"#)
                .unwrap()
                .persisted()
                .is_none()
        );
    }

    #[test]
    fn batches_are_bounded() {
        let batch = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        let read = Requests::from_body(batch(GRAPHQL_BATCH_MAX).as_bytes());
        assert!(matches!(read, Ok(Requests::Batch(batch)) if batch.len() == GRAPHQL_BATCH_MAX));
        assert!(Requests::from_body(batch(GRAPHQL_BATCH_MAX + 1).as_bytes()).is_err());
        let failure = Requests::from_body(b"[{},{\"query\":1}]").unwrap_err();
        assert_eq!(failure.field.as_deref(), Some("[1].query"));
    }

    #[test]
    fn an_address_says_the_same_as_a_body() {
        let query = "query=%7Ba%7D&variables=%7B%22x%22%3A1%7D&operationName=&extensions=";
        let mut parameters = Parameters::from_address(query).unwrap();
        assert_eq!(parameters.query.as_deref(), Some("{a}"));
        assert_eq!(parameters.operation_name, None);
        assert_eq!(parameters.take_variables().len(), 1);
        let failure = Parameters::from_address("variables=%7B").unwrap_err();
        assert_eq!(failure.field.as_deref(), Some("variables"));
    }
}
