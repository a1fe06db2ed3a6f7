//! What a handler and its runner share during an attempt: what was done and is not durable yet, and what
//! the handler is at.
//!
//! The context writes it, the runner reads it. Nothing here is kept past the attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_protocol::limits::{INLINE_BYTES_MAX, LABEL_BYTES_MAX, NAME_BYTES_MAX};
use selvedge_protocol::{ActorAddress, OperationId, Tenant};
use tokio::sync::Notify;

use crate::operation::{Done, FinishedStep};
use crate::processing::handler::{Cause, HandlerError};
use crate::processing::payload::Source;
use crate::processing::policy::Policy;
use crate::processing::reporter::Reporter;

pub(super) struct Attempt {
    pub(super) id: OperationId,
    pub(super) tenant: Tenant,
    pub(super) input: Arc<str>,
    pub(super) finished: Vec<FinishedStep>,
    pub(super) policy: Arc<Policy>,
    pub(super) reporter: Reporter,
    /// What is not durable yet. The lock is held while it is being committed, so that whoever takes it next
    /// knows that it is.
    pub(super) buffer: tokio::sync::Mutex<Done>,
    pub(super) names: Mutex<Vec<String>>,
    pub(super) progress: Mutex<Option<String>>,
    pub(super) payload: Mutex<Source>,
    /// A step has said that it is alive.
    pub(super) beat: Notify,
    /// Steps at work, or about to wait.
    pub(super) working: AtomicUsize,
    /// Steps that wait, by name, and those that may not begin, without one.
    pub(super) waiting: Mutex<Vec<Option<Arc<str>>>>,
}

impl Attempt {
    pub(super) fn check_name(&self, name: &str) -> Result<(), HandlerError> {
        if (1..=LABEL_BYTES_MAX).contains(&name.len()) {
            return Ok(());
        }
        let message = format!(
            "a step's name has 1 to {LABEL_BYTES_MAX} bytes, not {}",
            name.len()
        );
        Err(HandlerError::new("invalid_step", message, Cause::Permanent))
    }

    /// Whether a command can be sent at all.
    pub(super) fn check_send(
        &self,
        to: &ActorAddress,
        command: &str,
        body: &[u8],
    ) -> Result<(), HandlerError> {
        let message = if !self.reporter.knows_kind(&to.kind) {
            format!("no code is registered for actors of the kind {}", to.kind)
        } else if !(1..=NAME_BYTES_MAX).contains(&command.len()) {
            format!("a command's name has 1 to {NAME_BYTES_MAX} bytes")
        } else if body.len() > INLINE_BYTES_MAX {
            let length = body.len();
            format!(
                "the command's body of {length} bytes is over {INLINE_BYTES_MAX}; store it elsewhere and \
                 send where"
            )
        } else {
            return Ok(());
        };
        Err(HandlerError::new("invalid_send", message, Cause::Permanent))
    }

    /// Takes a step's name. Answers its result if it has finished before.
    pub(super) fn claim(&self, name: &str) -> Result<Option<Arc<str>>, HandlerError> {
        self.check_name(name)?;
        {
            let mut names = self.names.lock();
            if names.iter().any(|known| known == name) {
                return Err(HandlerError::new(
                    "duplicate_step",
                    format!("step {name:?} was run before; give each step a name of its own"),
                    Cause::Permanent,
                ));
            }
            names.push(name.to_owned());
        }
        let done = self.finished.iter().find(|step| *step.name == *name);
        Ok(done.map(|step| Arc::clone(&step.result)))
    }

    /// Makes what was done durable; when it returns `Ok`, it is.
    pub(super) async fn flush(&self) -> Result<(), HandlerError> {
        let mut buffer = self.buffer.lock().await;
        if buffer.is_empty() {
            return Ok(());
        }
        self.reporter.flush(&buffer).await?;
        *buffer = Done::default();
        Ok(())
    }

    /// Whether there is something that nobody is making durable.
    pub(super) fn has_done(&self) -> bool {
        self.buffer
            .try_lock()
            .is_ok_and(|buffer| !buffer.is_empty())
    }

    /// The latest progress since the last call.
    pub(super) fn take_progress(&self) -> Option<String> {
        self.progress.lock().take()
    }

    /// The result of a step that keeps to the times of its policy.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, HandlerError>>,
    ) -> Result<T, HandlerError> {
        in_time(&self.policy, &self.beat, work).await
    }

    /// Waits until a step may begin: nothing holds it, and what was done before is durable.
    pub(super) async fn begin_step(&self) -> Result<Working<'_>, HandlerError> {
        loop {
            self.held().await;
            let working = self.working();
            self.flush().await?;
            // A halt that came before that commit is known by now.
            if !self.reporter.control().is_held() {
                return Ok(working);
            }
        }
    }

    /// A step is at work until this is dropped.
    pub(super) fn working(&self) -> Working<'_> {
        self.working.fetch_add(1, Ordering::AcqRel);
        Working(&self.working)
    }

    /// What the handler waits for, if it waits and nothing else is at work: steps by name, and none for one
    /// that may not begin.
    pub(super) fn suspended_on(&self) -> Option<Vec<Arc<str>>> {
        if self.working.load(Ordering::Acquire) > 0 || self.has_done() {
            return None;
        }
        let waiting = self.waiting.lock();
        if waiting.is_empty() {
            return None;
        }
        Some(waiting.iter().flatten().cloned().collect())
    }

    /// Completes when steps may begin.
    pub(super) async fn held(&self) {
        let control = self.reporter.control();
        if !control.is_held() {
            return;
        }
        let _waiting = self.waiting(None);
        loop {
            let changed = control.changed();
            if !control.is_held() {
                return;
            }
            changed.await;
        }
    }

    /// The result of a step that a timer, a signal or a child finishes.
    pub(super) async fn finished_elsewhere(&self, name: &Arc<str>) -> Arc<str> {
        let control = self.reporter.control();
        let _waiting = self.waiting(Some(Arc::clone(name)));
        loop {
            let changed = control.changed();
            if let Some(result) = control.delivered(name) {
                return result;
            }
            changed.await;
        }
    }

    fn waiting(&self, name: Option<Arc<str>>) -> Waits<'_> {
        self.waiting.lock().push(name.clone());
        Waits {
            attempt: self,
            name,
        }
    }
}

/// The result of a step, unless it takes longer than it may, or is silent for longer: `beat` is that it is alive.
async fn in_time<T>(
    policy: &Policy,
    beat: &Notify,
    work: impl Future<Output = Result<T, HandlerError>>,
) -> Result<T, HandlerError> {
    let late = |code: &str, what: &str, time: Duration| {
        let message = format!("the step {what} for longer than {} s", time.as_secs_f64());
        Err(HandlerError::new(code, message, Cause::Retryable))
    };
    let limit = policy.step_timeout;
    let beating = async {
        let Some(silence) = policy.heartbeat_timeout else {
            return std::future::pending().await;
        };
        while tokio::time::timeout(silence, beat.notified()).await.is_ok() {}
        silence
    };
    tokio::select! {
        biased;
        // First, so that one which was not let run for a while is not taken for silent: it says its word now.
        done = work => done,
        () = tokio::time::sleep(limit) => late("timeout", "was at work", limit),
        silence = beating => late("heartbeat_timeout", "said nothing", silence),
    }
}

/// A step at work.
pub(super) struct Working<'a>(&'a AtomicUsize);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A step that waits.
struct Waits<'a> {
    attempt: &'a Attempt,
    name: Option<Arc<str>>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.attempt.waiting.lock();
        if let Some(at) = waiting.iter().position(|name| *name == self.name) {
            waiting.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    /// A step of ten seconds that says in each of the first ones that it is alive: its error, if it has failed,
    /// and what it took. No time passes but what it waits for.
    async fn ten_seconds(beats: usize, policy: &Policy) -> (Option<String>, Duration) {
        let beat = Notify::new();
        let began = Instant::now();
        let work = async {
            for second in 0..10 {
                if second < beats {
                    beat.notify_one();
                }
                sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        };
        let done = in_time(policy, &beat, work).await;
        (done.err().map(|error| error.code), began.elapsed())
    }

    fn policy(step: Duration, heartbeat: Option<Duration>) -> Policy {
        Policy {
            step_timeout: step,
            heartbeat_timeout: heartbeat,
            ..Policy::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_has_failed_when_it_was_silent_or_at_work_for_too_long() {
        let second = Duration::from_secs(1);
        let silence = Some(second * 3 / 2);
        let cases = [
            (10, policy(second * 60, silence), None, second * 10),
            (
                5,
                policy(second * 60, silence),
                Some("heartbeat_timeout"),
                second * 11 / 2,
            ),
            (0, policy(second * 60, None), None, second * 10),
            (10, policy(second * 3, silence), Some("timeout"), second * 3),
        ];
        for (beats, policy, error, took) in cases {
            let ended = ten_seconds(beats, &policy).await;
            assert_eq!(ended, (error.map(str::to_owned), took), "{policy:?}");
        }
    }
}
