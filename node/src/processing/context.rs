//! What a handler is given: the operation's input and payload, and the means to make progress durable.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_protocol::limits::{LABEL_BYTES_MAX, OPERATION_PROGRESS_BYTES_MAX};
use selvedge_protocol::{OperationId, Tenant};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operation::{FinishedStep, News};
use crate::processing::handler::{Cause, HandlerError};
use crate::processing::payload::{PayloadReader, Source};
use crate::processing::policy::Policy;
use crate::processing::runner::Reporter;

/// One attempt of one operation, as its handler sees it. A cheap handle.
#[derive(Clone)]
pub struct OperationContext(pub(super) Arc<Attempt>);

/// What handler and runner share during an attempt.
pub(super) struct Attempt {
    pub(super) id: OperationId,
    pub(super) tenant: Tenant,
    pub(super) input: Arc<str>,
    pub(super) finished: Vec<FinishedStep>,
    pub(super) policy: Arc<Policy>,
    pub(super) reporter: Reporter,
    /// Results that are not durable yet. The lock is held while they are being committed, so that
    /// whoever takes it next knows that they are.
    pub(super) buffer: tokio::sync::Mutex<Vec<FinishedStep>>,
    pub(super) names: Mutex<Vec<String>>,
    pub(super) progress: Mutex<Option<String>>,
    pub(super) payload: Mutex<Source>,
}

impl OperationContext {
    /// The operation's id.
    pub fn operation_id(&self) -> &OperationId {
        &self.0.id
    }

    /// The tenant it belongs to.
    pub fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// Counts the attempts of the operation from 1.
    pub fn attempt(&self) -> u32 {
        self.0.reporter.attempt()
    }

    /// The operation's input. One that does not fit the type fails the operation for good.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        serde_json::from_str(&self.0.input).map_err(|error| {
            HandlerError::new(
                "invalid_input",
                format!("the input does not fit: {error}"),
                Cause::Permanent,
            )
        })
    }

    /// A key for outside systems that recognise repeats: the same in every attempt of this step.
    pub fn idempotency_key(&self, step: &str) -> String {
        format!("{}/{}/{step}", self.0.tenant, self.0.id)
    }

    /// Whether the operation is being cancelled. The handler is dropped at its next await anyway; code
    /// that computes for long without one may ask.
    pub fn is_cancelled(&self) -> bool {
        self.0.reporter.control().is_stopped()
    }

    /// Says how far the operation is; watchers see the latest value a few times a second. A value whose
    /// JSON text is over 4 KiB is not told.
    pub fn progress(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) if text.len() <= OPERATION_PROGRESS_BYTES_MAX => {
                *self.0.progress.lock() = Some(text);
            }
            Ok(_) | Err(_) => tracing::debug!(operation = %self.0.id, "progress cannot be told"),
        }
    }

    /// The bytes that came with the submit, stored or streamed alike. A streamed payload can be read
    /// once in an attempt; a second reader of it gets an error.
    pub fn payload(&self) -> PayloadReader {
        PayloadReader::new(self.0.payload.lock().next())
    }

    /// Runs a named unit of work, once: its result is stored, and a later attempt gets the stored result
    /// instead of running it again. No step begins before the results of those before it are durable.
    ///
    /// Names are unique within the operation and have 1 to 260 bytes.
    pub async fn step<T, F, W>(&self, name: &str, work: W) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, HandlerError>>,
        W: FnOnce() -> F,
    {
        self.claim(name)?;
        let attempt = &self.0;
        if let Some(done) = attempt.finished.iter().find(|step| &*step.name == name) {
            return serde_json::from_str(&done.result).map_err(|error| {
                let message = format!("the stored result of step {name:?} does not fit: {error}");
                HandlerError::new("invalid_result", message, Cause::Permanent)
            });
        }
        self.0.flush().await?;
        let limit = attempt.policy.step_timeout;
        let done = match tokio::time::timeout(limit, work()).await {
            Ok(done) => done,
            Err(_) => Err(HandlerError::new(
                "timeout",
                format!("the step took longer than {} s", limit.as_secs_f64()),
                Cause::Retryable,
            )),
        };
        let value = done.map_err(|mut error| {
            error.step.get_or_insert_with(|| name.to_owned());
            error
        })?;
        let result = serde_json::to_string(&value).map_err(|error| {
            HandlerError::new("invalid_result", error.to_string(), Cause::Permanent)
        })?;
        attempt.buffer.lock().await.push(FinishedStep {
            name: name.into(),
            result: result.into(),
        });
        Ok(value)
    }

    fn claim(&self, name: &str) -> Result<(), HandlerError> {
        if !(1..=LABEL_BYTES_MAX).contains(&name.len()) {
            return Err(HandlerError::new(
                "invalid_step",
                format!(
                    "a step's name has 1 to {LABEL_BYTES_MAX} bytes, not {}",
                    name.len()
                ),
                Cause::Permanent,
            ));
        }
        let mut names = self.0.names.lock();
        if names.iter().any(|known| known == name) {
            return Err(HandlerError::new(
                "duplicate_step",
                format!("step {name:?} was run before; give each step a name of its own"),
                Cause::Permanent,
            ));
        }
        names.push(name.to_owned());
        Ok(())
    }
}

impl Attempt {
    /// Makes the results so far durable; when it returns `Ok`, they are.
    pub(super) async fn flush(&self) -> Result<(), HandlerError> {
        let mut buffer = self.buffer.lock().await;
        if buffer.is_empty() {
            return Ok(());
        }
        let report = self
            .reporter
            .report(buffer.clone(), News::Running { urgent: true });
        match self.reporter.tell(&report).await {
            Ok(_) => {
                buffer.clear();
                Ok(())
            }
            Err(_) => Err(HandlerError::new(
                "lost",
                "the operation went on elsewhere",
                Cause::Lost,
            )),
        }
    }

    /// Whether there are results that nobody is making durable.
    pub(super) fn has_results(&self) -> bool {
        self.buffer
            .try_lock()
            .is_ok_and(|buffer| !buffer.is_empty())
    }

    /// The latest progress since the last call.
    pub(super) fn take_progress(&self) -> Option<String> {
        self.progress.lock().take()
    }
}

impl fmt::Debug for OperationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OperationContext({}, attempt {})",
            self.0.id,
            self.attempt()
        )
    }
}
