//! What an application writes: a handler, ordinary async code that runs operations of one type.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use selvedge_protocol::error::chain;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::processing::context::OperationContext;

/// Runs operations of one type. One value serves all of them; it holds configuration only.
///
/// After a crash or a failed attempt `run` is called again: what is inside a finished
/// [`OperationContext::step`] is skipped then, what is outside runs again.
pub trait Handler: Send + Sync + 'static {
    /// Checks an operation's input, JSON text, when it is submitted: one that is refused here makes no
    /// operation. Quick, and from the input alone: it is called on the way of the submit.
    fn validate(&self, input: &str) -> Result<(), InvalidInput> {
        let _ = input;
        Ok(())
    }

    /// Runs one operation to its result.
    fn run(
        &self,
        context: OperationContext,
    ) -> impl Future<Output = Result<Value, HandlerError>> + Send;

    /// Undoes what [`OperationContext::compensate`] has promised under this name, with the data it was
    /// given. Called in the reverse order of the promises when the operation fails or is cancelled, until
    /// it succeeds or the retry policy gives up: so it must bear to be called again, for which
    /// [`OperationContext::idempotency_key`] helps.
    fn compensate(
        &self,
        context: OperationContext,
        name: String,
        data: Value,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        let _ = (context, data);
        async move {
            let message = format!("the handler has no code that undoes {name:?}");
            Err(HandlerError::permanent(message))
        }
    }
}

/// The same for storing handlers of different types in one map.
pub(crate) trait ErasedHandler: Send + Sync {
    fn validate(&self, input: &str) -> Result<(), InvalidInput>;
    fn run(&self, context: OperationContext) -> BoxFuture<'_, Result<Value, HandlerError>>;
    fn compensate(
        &self,
        context: OperationContext,
        name: String,
        data: Value,
    ) -> BoxFuture<'_, Result<(), HandlerError>>;
}

impl<H: Handler> ErasedHandler for H {
    fn validate(&self, input: &str) -> Result<(), InvalidInput> {
        Handler::validate(self, input)
    }

    fn run(&self, context: OperationContext) -> BoxFuture<'_, Result<Value, HandlerError>> {
        Handler::run(self, context).boxed()
    }

    fn compensate(
        &self,
        context: OperationContext,
        name: String,
        data: Value,
    ) -> BoxFuture<'_, Result<(), HandlerError>> {
        Handler::compensate(self, context, name, data).boxed()
    }
}

/// Why an input is refused at the submit. Not an `Error`, so that `?` makes a permanent one of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidInput {
    /// Where in the input, for example `steps[2].name`; empty: the input as a whole.
    pub field: String,
    pub message: String,
}

impl InvalidInput {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }

    /// Reads an input; an error names the field that does not fit.
    pub fn read<T: DeserializeOwned>(input: &str) -> Result<T, Self> {
        let mut reader = serde_json::Deserializer::from_str(input);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = match error.path().to_string() {
                whole if whole == "." => String::new(),
                field => field,
            };
            Self::new(field, error.inner().to_string())
        })
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.field {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}

/// Why a handler or a step gave up. Any error becomes a retryable one by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) step: Option<String>,
    pub(crate) cause: Cause,
    /// No other attempt is worth it before.
    pub(crate) retry_after: Option<Duration>,
}

/// What follows from an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Another attempt, as the policy says.
    Retryable,
    /// The operation fails.
    Permanent,
    /// The payload has to be sent again.
    PayloadMissing,
    /// The runner lost the operation: whatever the handler returns is dropped.
    Lost,
    /// It goes on as new, with this input.
    Continued(Arc<str>),
}

impl HandlerError {
    /// Another attempt may succeed.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::new("handler", message, Cause::Retryable)
    }

    /// No attempt will ever succeed.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new("handler", message, Cause::Permanent)
    }

    /// The same error under a code of the handler's own, for programs.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// The same error, after which the next attempt begins no sooner than this: as whoever was called says.
    /// The backoff of the policy counts if it is longer; of more than 24 h only these do.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn new(code: &str, message: impl Into<String>, cause: Cause) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            step: None,
            cause,
            retry_after: None,
        }
    }
}

impl From<InvalidInput> for HandlerError {
    fn from(invalid: InvalidInput) -> Self {
        let message = format!("the input does not fit: {invalid}");
        Self::new("invalid_input", message, Cause::Permanent)
    }
}

// Like `anyhow`: not an `Error` itself, so that every `Error` converts.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::retryable(chain(&error))
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
