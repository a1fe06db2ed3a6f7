//! What a handler is given: the operation's input and payload, and the means to make progress durable.
//!
//! Here is what applications call; [`super::attempt`] is what it shares with the runner.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use selvedge_protocol::limits::{NAME_BYTES_MAX, OPERATION_PROGRESS_BYTES_MAX};
use selvedge_protocol::{ActorAddress, OperationId, OperationType, Tenant};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operation::{Compensation, FinishedStep, NewWait, NewWaitOn, Sent};
use crate::processing::attempt::Attempt;
use crate::processing::handler::{Cause, HandlerError};
use crate::processing::payload::PayloadReader;

/// One attempt of one operation, as its handler sees it. A cheap handle.
///
/// Whatever is named here (steps, sleeps, waits, calls, sends) is done once under its name, and a later
/// attempt gets the stored result. Names are unique within the operation and have 1 to 260 bytes. An
/// operation that only waits is not in memory: its handler is dropped, and called again when the wait is
/// over.
#[derive(Clone)]
pub struct OperationContext {
    pub(super) attempt: Arc<Attempt>,
    /// The promise that is being kept: steps of its own have their names under it.
    pub(super) undoing: Option<Arc<str>>,
}

impl OperationContext {
    /// The operation's id.
    pub fn operation_id(&self) -> &OperationId {
        &self.attempt.id
    }

    /// The tenant it belongs to.
    pub fn tenant(&self) -> &Tenant {
        &self.attempt.tenant
    }

    /// Counts the attempts of the operation from 1: another follows a failure, or the end of a node. To
    /// be called again after a wait is none.
    pub fn attempt(&self) -> u32 {
        self.attempt.reporter.attempt()
    }

    /// The operation's input. One that does not fit the type fails the operation for good.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        serde_json::from_str(&self.attempt.input).map_err(|error| {
            let message = format!("the input does not fit: {error}");
            HandlerError::new("invalid_input", message, Cause::Permanent)
        })
    }

    /// A key for outside systems that recognise repeats: the same in every attempt of this step.
    pub fn idempotency_key(&self, step: &str) -> String {
        format!("{}/{}/{step}", self.attempt.tenant, self.attempt.id)
    }

    /// Whether the operation is being cancelled. The handler is dropped at its next await anyway; code
    /// that computes for long without one may ask.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.reporter.control().is_stopped()
    }

    /// Says how far the operation is; watchers see the latest value a few times a second. A value whose
    /// JSON text is over 4 KiB is not told. Counts as a heartbeat.
    pub fn progress(&self, value: &impl Serialize) {
        self.heartbeat();
        match serde_json::to_string(value) {
            Ok(text) if text.len() <= OPERATION_PROGRESS_BYTES_MAX => {
                *self.attempt.progress.lock() = Some(text);
            }
            Ok(_) | Err(_) => {
                tracing::debug!(operation = %self.attempt.id, "progress cannot be told");
            }
        }
    }

    /// Says that the step at work is alive, where the policy of the type has a heartbeat timeout: a step that
    /// says nothing for longer than that has failed, and another attempt takes over.
    pub fn heartbeat(&self) {
        self.attempt.beat.notify_waiters();
    }

    /// The bytes that came with the submit, stored or streamed alike. A streamed payload can be read
    /// once in an attempt; a second reader of it gets an error.
    pub fn payload(&self) -> PayloadReader {
        PayloadReader::new(self.attempt.payload.lock().next())
    }

    /// Runs a named unit of work, once: its result is stored, and a later attempt gets the stored result
    /// instead of running it again. No step begins before the results of those before it are durable.
    pub async fn step<T, F, W>(&self, name: &str, work: W) -> Result<T, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, HandlerError>>,
        W: FnOnce() -> F,
    {
        let attempt = &self.attempt;
        let name = &*self.full(name);
        if let Some(done) = attempt.claim(name)? {
            return stored(name, &done);
        }
        let _working = attempt.begin_step().await?;
        let value = attempt.in_time(work()).await.map_err(|mut error| {
            error.step.get_or_insert_with(|| name.to_owned());
            error
        })?;
        attempt.buffer.lock().await.steps.push(FinishedStep {
            name: name.into(),
            result: text(&value)?,
        });
        Ok(value)
    }

    /// Runs steps side by side, at most `at_once` of them, and gives their results in the given order. The
    /// first failure ends the attempt; what has finished by then is stored.
    pub async fn steps<T, F, W>(
        &self,
        at_once: usize,
        steps: impl IntoIterator<Item = (String, W)>,
    ) -> Result<Vec<T>, HandlerError>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, HandlerError>>,
        W: FnOnce() -> F,
    {
        let running = steps
            .into_iter()
            .map(|(name, work)| async move { self.step(&name, work).await });
        let mut running = stream::iter(running).buffered(at_once.max(1));
        let mut results = Vec::new();
        while let Some(result) = running.next().await {
            results.push(result?);
        }
        Ok(results)
    }

    /// Promises to undo something if the operation fails or is cancelled: [`Handler::compensate`] is called
    /// then with `name` and `data`, the last promise first. Durable together with the step before it when
    /// nothing is awaited in between.
    ///
    /// [`Handler::compensate`]: crate::processing::Handler::compensate
    pub async fn compensate(&self, name: &str, data: &impl Serialize) -> Result<(), HandlerError> {
        self.attempt.check_name(name)?;
        let data = text(data)?;
        let undo = Compensation {
            name: name.into(),
            data,
        };
        self.attempt.buffer.lock().await.compensations.push(undo);
        Ok(())
    }

    /// Sleeps, durably: through restarts, and without being in memory.
    pub async fn sleep(&self, name: &str, time: Duration) -> Result<(), HandlerError> {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.wait(name, NewWaitOn::Time { ms }).await.map(|_| ())
    }

    /// Sleeps until a moment, Unix milliseconds.
    pub async fn sleep_until(&self, name: &str, until_ms: u64) -> Result<(), HandlerError> {
        let on = NewWaitOn::Until { until_ms };
        self.wait(name, on).await.map(|_| ())
    }

    /// Waits for a signal: the data that came with it, or `None` when the time is over. A signal that came
    /// before somebody waited for it is not lost; each is received once.
    pub async fn wait_signal<T: DeserializeOwned>(
        &self,
        name: &str,
        signal: &str,
        timeout: Option<Duration>,
    ) -> Result<Option<T>, HandlerError> {
        #[derive(Deserialize)]
        struct Received<T> {
            data: T,
        }
        if !(1..=NAME_BYTES_MAX).contains(&signal.len()) {
            let message = format!("a signal's name has 1 to {NAME_BYTES_MAX} bytes");
            return Err(HandlerError::new(
                "invalid_signal",
                message,
                Cause::Permanent,
            ));
        }
        let on = NewWaitOn::Signal {
            signal: signal.into(),
            timeout_ms: timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        };
        let result = self.wait(name, on).await?;
        let received: Option<Received<T>> = stored(name, &result)?;
        Ok(received.map(|received| received.data))
    }

    /// Runs another operation and waits for its result. It is cancelled with this one. One that does not
    /// succeed is an error for good, whose code is its own.
    pub async fn call<T: DeserializeOwned>(
        &self,
        name: &str,
        operation_type: &OperationType,
        input: &impl Serialize,
    ) -> Result<T, HandlerError> {
        #[derive(Deserialize)]
        struct Ended {
            status: String,
            #[serde(default)]
            result: Value,
            error: Option<Failed>,
        }
        #[derive(Deserialize)]
        struct Failed {
            code: String,
            message: String,
        }
        let on = NewWaitOn::Call {
            operation_type: operation_type.clone(),
            input: text(input)?,
        };
        let result = self.wait(name, on).await?;
        let ended: Ended = stored(name, &result)?;
        match ended.error {
            None if ended.status == "succeeded" => Ok(serde_json::from_value(ended.result)?),
            error => {
                let status = &ended.status;
                let (code, message) = match error {
                    Some(error) => (error.code, error.message),
                    None => (status.clone(), "it did not succeed".to_owned()),
                };
                let message = format!("the called operation is {status}: {message}");
                let mut error = HandlerError::new(&code, message, Cause::Permanent);
                error.step = Some(name.to_owned());
                Err(error)
            }
        }
    }

    /// Sends a command to an actor, which takes effect once. Does not wait for its answer: a refusal is an
    /// event `send.refused` of the operation, and a warning in the log. A kind that this node has no
    /// code for, or a command that fits no message, fails the operation here.
    pub async fn send(
        &self,
        name: &str,
        actor: &ActorAddress,
        command: &str,
        body: &impl Serialize,
    ) -> Result<(), HandlerError> {
        let attempt = &self.attempt;
        let name = &*self.full(name);
        if attempt.claim(name)?.is_some() {
            return Ok(());
        }
        let body = Bytes::from(text(body)?.as_bytes().to_vec());
        attempt.check_send(actor, command, &body)?;
        let mut buffer = attempt.buffer.lock().await;
        buffer.sends.push(Sent {
            to: actor.clone(),
            name: command.to_owned(),
            body,
        });
        // In the same commit, so that it is sent once.
        buffer.steps.push(FinishedStep {
            name: name.into(),
            result: "null".into(),
        });
        Ok(())
    }

    /// What a handler returns to begin anew with another input, as endless loops do: steps and their names
    /// are forgotten, signals that were not received and promises to undo are not.
    pub fn continue_as_new(&self, input: &impl Serialize) -> HandlerError {
        match text(input) {
            Ok(input) => {
                HandlerError::new("continued", "it goes on as new", Cause::Continued(input))
            }
            Err(error) => error,
        }
    }

    /// The node's wall time, Unix milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.attempt.reporter.wall_ms()
    }

    fn full<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &self.undoing {
            None => Cow::Borrowed(name),
            Some(undoing) => Cow::Owned(format!("undo {undoing}/{name}")),
        }
    }

    async fn wait(&self, name: &str, on: NewWaitOn) -> Result<Arc<str>, HandlerError> {
        let attempt = &self.attempt;
        let name: Arc<str> = self.full(name).into();
        if let Some(done) = attempt.claim(&name)? {
            return Ok(done);
        }
        attempt.held().await;
        {
            let _working = attempt.working();
            attempt.buffer.lock().await.waits.push(NewWait {
                name: Arc::clone(&name),
                on,
            });
            attempt.flush().await?;
        }
        Ok(attempt.finished_elsewhere(&name).await)
    }
}

fn stored<T: DeserializeOwned>(name: &str, result: &str) -> Result<T, HandlerError> {
    serde_json::from_str(result).map_err(|error| {
        let message = format!("the stored result of step {name:?} does not fit: {error}");
        HandlerError::new("invalid_result", message, Cause::Permanent)
    })
}

fn text(value: &impl Serialize) -> Result<Arc<str>, HandlerError> {
    let text = serde_json::to_string(value).map_err(|error| {
        HandlerError::new("invalid_result", error.to_string(), Cause::Permanent)
    })?;
    Ok(text.into())
}

impl fmt::Debug for OperationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OperationContext({}, attempt {})",
            self.attempt.id,
            self.attempt()
        )
    }
}
