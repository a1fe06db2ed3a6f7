//! The handler of operations that workers execute: one step, named `work`, whose result is the worker's.
//!
//! The pool of the group runs it as any other handler. It holds a lease while the step runs and drops it
//! with the step, which is how a cancel reaches the worker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_protocol::frame::Task;
use selvedge_protocol::limits::INLINE_BYTES_MAX;
use selvedge_protocol::{Failure, Target, task_payload};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::processing::context::OperationContext;
use crate::processing::handler::{Cause, Handler, HandlerError};
use crate::processing::payload::Source;
use crate::processing::policy::Policy;
use crate::processing::worker::desk::Desk;
use crate::processing::worker::lease::{Heard, Job, Lease, LeaseEnd};
use crate::processing::worker::roster::Group;

/// The one step of such an operation.
const STEP: &str = "work";

/// The code of an attempt whose worker has gone, or was not heard of in time.
const WORKER_LOST: &str = "worker_lost";

/// Why workers get no payload whose bytes are not stored, and what to do about it.
pub(crate) const STREAMED_TO_WORKERS: &str = "workers execute this operation, and they get payloads that are stored: send one of at most 8 MiB \
     as bytes or as a file, not as a stream; keep a larger one elsewhere and pass in the input where it is";

/// A step of a worker may take this long, heartbeats or not: leases bound the silence, not the work.
const WORK_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The policy of operations that workers execute. Workers bound what runs at a time.
pub(in crate::processing) fn policy() -> Policy {
    Policy {
        concurrency: usize::MAX,
        step_timeout: WORK_MAX,
        ..Policy::default()
    }
}

pub(in crate::processing) struct RemoteHandler {
    pub(in crate::processing) desk: Arc<Desk>,
    pub(in crate::processing) group: Group,
}

impl Handler for RemoteHandler {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        context.step(STEP, || self.work(&context)).await
    }
}

impl RemoteHandler {
    async fn work(&self, context: &OperationContext) -> Result<Value, HandlerError> {
        let attempt = &context.attempt;
        if attempt.input.len() > INLINE_BYTES_MAX {
            let message = format!("the input is over the {INLINE_BYTES_MAX} bytes of a task");
            return Err(permanent("input_too_large", message));
        }
        let payload = attempt.payload.lock().next();
        if matches!(payload, Source::Streamed(_) | Source::Taken) {
            return Err(permanent(
                "payload_unsupported",
                STREAMED_TO_WORKERS.to_owned(),
            ));
        }
        let job = Arc::new(Job {
            operation: attempt.id.clone(),
            payload,
        });
        loop {
            let task = |number| self.task(number, &job, context);
            let lease = self.desk.lease(&self.group, &job, task);
            if let Some(done) = self.follow(lease.await, context).await {
                return done;
            }
        }
    }

    /// Waits for the end of a lease. `None`: the task did not reach the worker.
    async fn follow(
        &self,
        lease: Lease,
        context: &OperationContext,
    ) -> Option<Result<Value, HandlerError>> {
        let patience = self.desk.patience;
        loop {
            let end = match tokio::time::timeout(patience, lease.heard()).await {
                Ok(Heard::Beat(progress)) => {
                    // What is no JSON is not told.
                    let progress = progress
                        .and_then(|text| serde_json::from_slice::<Box<RawValue>>(&text).ok());
                    if let Some(progress) = progress {
                        context.progress(&progress);
                    }
                    continue;
                }
                Ok(Heard::End(end)) => end,
                Err(_) => {
                    lease.ran_out();
                    let seconds = patience.as_secs_f64();
                    return Some(Err(lost(format!(
                        "the worker was not heard of for {seconds} s"
                    ))));
                }
            };
            return match end {
                LeaseEnd::Success(result) => Some(value(&result)),
                LeaseEnd::Failure(failure) => Some(Err(failed(failure))),
                LeaseEnd::Lost => Some(Err(lost("the session of the worker ended".to_owned()))),
                LeaseEnd::Refused => None,
            };
        }
    }

    fn task(&self, lease: u64, job: &Job, context: &OperationContext) -> Task {
        let attempt = &context.attempt;
        let mut task = Task {
            lease,
            operation: Target::Operation(job.operation.clone()),
            operation_type: self.group.operation_type.clone(),
            step: STEP.to_owned(),
            attempt: context.attempt(),
            input: Bytes::copy_from_slice(attempt.input.as_bytes()),
            lease_ms: u32::try_from(self.desk.patience.as_millis()).unwrap_or(u32::MAX),
            ext: Vec::new(),
        };
        if let Some(length) = job.payload.stored_length() {
            task_payload::announce(&mut task, length);
        }
        task
    }
}

fn value(result: &[u8]) -> Result<Value, HandlerError> {
    if result.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(result).map_err(|error| {
        let message = format!("the worker's result is no JSON: {error}");
        permanent("invalid_result", message)
    })
}

/// What a worker says is a failure of the step, whatever its code means on a session.
fn failed(failure: Failure) -> HandlerError {
    let cause = match failure.code.may_be_retried() {
        true => Cause::Retryable,
        false => Cause::Permanent,
    };
    let mut error = HandlerError::new(failure.code.name(), failure.message, cause);
    error.retry_after = failure
        .retry_after_ms
        .map(|ms| Duration::from_millis(u64::from(ms)));
    error
}

fn lost(message: String) -> HandlerError {
    let message = format!("{message}; the step is given to another");
    HandlerError::new(WORKER_LOST, message, Cause::Retryable)
}

fn permanent(code: &str, message: String) -> HandlerError {
    HandlerError::new(code, message, Cause::Permanent)
}
