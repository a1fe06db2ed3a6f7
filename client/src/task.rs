//! A task as the code of a worker sees it, and how that code fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_protocol::error::chain;
use selvedge_protocol::limits::OPERATION_PROGRESS_BYTES_MAX;
use selvedge_protocol::task_payload::{self, Malformed};
use selvedge_protocol::{ErrorCode, Failure, OperationType, Target, frame};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::session::Session;

mod payload;

pub use payload::TaskPayload;

/// One attempt of one step. A cheap handle.
#[derive(Clone)]
pub struct Task(Arc<Inner>);

struct Inner {
    frame: frame::Task,
    operation: String,
    /// How long the payload is, if there is one.
    payload: Option<u64>,
    session: Session,
    is_void: watch::Receiver<bool>,
    progress: watch::Sender<Bytes>,
}

/// Why a task did not succeed. Any error becomes a retryable one by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkError {
    is_retryable: bool,
    message: String,
    retry_after: Option<Duration>,
}

impl Task {
    /// A task as it came in. An error where what it says of its payload does not read.
    pub(crate) fn new(
        frame: frame::Task,
        session: Session,
        is_void: watch::Receiver<bool>,
    ) -> Result<Self, Malformed> {
        let payload = task_payload::length(&frame)?;
        let operation = match &frame.operation {
            Target::Operation(id) => id.to_string(),
            other => other.to_string(),
        };
        Ok(Self(Arc::new(Inner {
            frame,
            operation,
            payload,
            session,
            is_void,
            progress: watch::Sender::new(Bytes::new()),
        })))
    }

    /// The id of the operation.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The operation's type.
    pub fn operation_type(&self) -> &OperationType {
        &self.0.frame.operation_type
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.0.frame.step
    }

    /// Counts the attempts of the operation from 1: another follows a failure, or the loss of a worker.
    pub fn attempt(&self) -> u32 {
        self.0.frame.attempt
    }

    /// The operation's input. One that does not fit the type fails the operation for good.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, WorkError> {
        serde_json::from_slice(self.input_text())
            .map_err(|error| WorkError::permanent(format!("the input does not fit: {error}")))
    }

    /// The operation's input as JSON text.
    pub fn input_text(&self) -> &[u8] {
        match &self.0.frame.input[..] {
            [] => b"null",
            text => text,
        }
    }

    /// The bytes that came with the submit, if any did. Each call reads them from the start. Streamed
    /// payloads are never stored, and operations with one are not given to workers.
    pub fn payload(&self) -> Option<TaskPayload> {
        let Inner { frame, session, .. } = &*self.0;
        let (operation, lease) = (frame.operation.clone(), frame.lease);
        let length = self.0.payload?;
        Some(TaskPayload::new(session.clone(), operation, lease, length))
    }

    /// A key for outside systems that recognise repeats: the same in every attempt of this step, and
    /// unique within the tenant.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.operation(), self.step())
    }

    /// Says how far the task is; watchers of the operation see the latest value a few times a second. A
    /// value whose JSON text is over 4 KiB is not told.
    pub fn progress(&self, value: &impl Serialize) {
        match serde_json::to_vec(value) {
            Ok(text) if text.len() <= OPERATION_PROGRESS_BYTES_MAX => {
                self.0.progress.send_replace(Bytes::from(text));
            }
            Ok(_) | Err(_) => {
                tracing::debug!(operation = self.operation(), "progress cannot be told");
            }
        }
    }

    /// Whether the work is of no use any more: the operation was cancelled, or the server has not heard
    /// of this worker for too long and given the step to another.
    pub fn is_cancelled(&self) -> bool {
        *self.0.is_void.borrow()
    }

    /// Completes when the task is cancelled. Its future is dropped a while after that.
    pub async fn cancelled(&self) {
        let mut is_void = self.0.is_void.clone();
        if is_void.wait_for(|is_void| *is_void).await.is_err() {
            // The worker is gone, and nobody will say so any more.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn lease(&self) -> u64 {
        self.0.frame.lease
    }

    /// What is told of its progress.
    pub(crate) fn told(&self) -> watch::Receiver<Bytes> {
        self.0.progress.subscribe()
    }
}

impl WorkError {
    /// Another attempt may succeed.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self {
            is_retryable: true,
            message: message.into(),
            retry_after: None,
        }
    }

    /// No attempt will ever succeed: the operation fails.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            is_retryable: false,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The same error, after which the next attempt begins no sooner than this. The backoff of the policy
    /// counts if it is longer; of more than 24 h only these do.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn into_failure(self) -> Failure {
        let code = match self.is_retryable {
            true => ErrorCode::Unavailable,
            false => ErrorCode::Rejected,
        };
        Failure {
            retry_after_ms: self
                .retry_after
                .map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
            ..Failure::new(code, self.message)
        }
    }
}

// Like `anyhow`: not an `Error` itself, so that every `Error` converts.
impl<E: std::error::Error> From<E> for WorkError {
    fn from(error: E) -> Self {
        Self::retryable(chain(&error))
    }
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Task({} {}, attempt {})",
            self.operation(),
            self.step(),
            self.attempt()
        )
    }
}
