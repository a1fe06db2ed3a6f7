//! Failures as GraphQL has them: `extensions` with the stable code, the field that is wrong and when a retry is worth
//! it. The one place where they are made.

use async_graphql::{Error, ErrorExtensionValues, ServerError, Value};
use selvedge_protocol::limits::MESSAGE_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure};

/// A failure on its way out of a resolver.
#[derive(Debug, Clone)]
pub(super) struct Refusal(pub(super) Failure);

impl Refusal {
    /// An argument is not valid.
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self(Failure::field(ErrorCode::Invalid, field, message))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<Refusal> for Error {
    fn from(Refusal(failure): Refusal) -> Self {
        let extensions = Some(extensions(&failure));
        Self {
            message: failure.message,
            source: None,
            extensions,
        }
    }
}

/// A failure that is about the request as a whole.
pub(super) fn server_error(failure: Failure) -> ServerError {
    let extensions = Some(extensions(&failure));
    ServerError {
        extensions,
        ..ServerError::new(failure.message, None)
    }
}

/// Gives a code to errors that have none, which are those of GraphQL's own rules. Some repeat what they are about, so
/// they are cut.
pub(super) fn with_code(mut error: ServerError) -> ServerError {
    let end = error.message.floor_char_boundary(MESSAGE_BYTES_MAX);
    error.message.truncate(end);
    let values = error.extensions.get_or_insert_default();
    if values.get(CODE).is_none() {
        values.set(CODE, ErrorCode::Invalid.name());
    }
    error
}

fn extensions(failure: &Failure) -> ErrorExtensionValues {
    let mut values = ErrorExtensionValues::default();
    values.set(CODE, failure.code.name());
    if let Some(field) = &failure.field {
        values.set("field", field.as_str());
    }
    if let Some(ms) = failure.retry_after_ms {
        values.set("retryAfterMs", Value::from(ms));
    }
    values
}

/// Where clients look for the code.
pub(super) const CODE: &str = "code";
