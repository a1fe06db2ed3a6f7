//! What an application writes: a handler, ordinary async code that runs operations of one type.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;

use crate::processing::context::OperationContext;

/// Runs operations of one type. One value serves all of them; it holds configuration only.
///
/// After a crash or a failed attempt `run` is called again: what is inside a finished
/// [`OperationContext::step`] is skipped then, what is outside runs again.
pub trait Handler: Send + Sync + 'static {
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
    fn run(&self, context: OperationContext) -> BoxFuture<'_, Result<Value, HandlerError>>;
    fn compensate(
        &self,
        context: OperationContext,
        name: String,
        data: Value,
    ) -> BoxFuture<'_, Result<(), HandlerError>>;
}

impl<H: Handler> ErasedHandler for H {
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

/// Why a handler or a step gave up. Any error becomes a retryable one by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) step: Option<String>,
    pub(crate) cause: Cause,
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

    pub(crate) fn new(code: &str, message: impl Into<String>, cause: Cause) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            step: None,
            cause,
        }
    }
}

// Like `anyhow`: not an `Error` itself, so that every `Error` converts.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message = format!("{message}: {error}");
            source = error.source();
        }
        Self::retryable(message)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
