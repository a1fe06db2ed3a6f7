//! Runs one attempt of one operation: drives the handler's future, tells the operation what came of it,
//! and ends.
//!
//! The pool calls it. It keeps nothing that is not in the store, or that the next attempt would miss.

use std::any::Any;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use selvedge_protocol::limits::{
    MESSAGE_BYTES_MAX, NAME_BYTES_MAX, OPERATION_NOTE_MS, OPERATION_PROGRESS_MS,
};
use selvedge_protocol::{OperationId, Tenant};
use serde_json::Value;
use tokio::sync::Notify;

use crate::metrics;
use crate::operation::{Compensation, Done, Fault, FinishedStep, News};
use crate::processing::attempt::Attempt;
use crate::processing::breaker::Verdict;
use crate::processing::context::OperationContext;
use crate::processing::elsewhere::{self, Granted, Guest, Lent};
use crate::processing::handler::{Cause, ErasedHandler, HandlerError};
use crate::processing::payload::Source;
use crate::processing::policy::{Policy, Retry};
use crate::processing::pool::{self, Pool};
use crate::processing::ready::{Held, Ready, Work};
use crate::processing::reporter::Reporter;
use crate::processing::scheduler::Entry;

/// What a runner is given.
pub(super) enum Job {
    /// An operation of this node.
    Own(Box<Ready>),
    /// One that another node executes, which has a place for it.
    Lent(Box<Ready>, Box<Granted>),
    /// An attempt of another node's operation.
    Guest(Box<Guest>),
}

/// What a handler needs to know of the attempt, wherever it runs.
pub(super) struct Task {
    pub(super) id: OperationId,
    pub(super) tenant: Tenant,
    pub(super) input: Arc<str>,
    pub(super) steps: Vec<FinishedStep>,
    /// What is to be undone; `None`: the operation is to be run.
    pub(super) undo: Option<Vec<Compensation>>,
    /// That the attempt has begun is noted already.
    pub(super) is_noted: bool,
}

/// How an attempt ended: what its operation is to be told.
pub(super) struct Ended {
    pub(super) done: Done,
    pub(super) news: News,
    pub(super) progress: Option<String>,
}

/// How the handler came to its end.
enum End {
    Returned(Result<Value, HandlerError>),
    Panicked(String),
    Stopped,
    /// It waits for these steps and for nothing else.
    Suspended(Vec<Arc<str>>),
}

/// Why the handler is polled no more.
enum Polled {
    Handled(Result<Result<Value, HandlerError>, Box<dyn Any + Send>>),
    Suspended(Vec<Arc<str>>),
}

impl End {
    /// What this end says of the handler.
    fn verdict(&self, retry: &Retry) -> Verdict {
        match self {
            // To wait for something is to be well.
            Self::Returned(Ok(_)) | Self::Suspended(_) => Verdict::Success,
            Self::Returned(Err(error)) => match error.cause {
                Cause::Continued(_) => Verdict::Success,
                Cause::Retryable if retry.is_final(&error.code) => Verdict::Neutral,
                Cause::Retryable => Verdict::Failure,
                Cause::Permanent | Cause::PayloadMissing | Cause::Lost => Verdict::Neutral,
            },
            Self::Panicked(_) => Verdict::Failure,
            Self::Stopped => Verdict::Neutral,
        }
    }
}

type Handled<'a> = Pin<
    Box<dyn Future<Output = Result<Result<Value, HandlerError>, Box<dyn Any + Send>>> + Send + 'a>,
>;

/// A step runner, supervised by its pool: runs one operation at a time.
pub(super) struct Runner;

impl Entry for Job {
    fn is_void(&self) -> bool {
        match self {
            Self::Own(ready) | Self::Lent(ready, _) => ready.is_void(),
            Self::Guest(guest) => guest.is_void(),
        }
    }

    fn is_guest(&self) -> bool {
        matches!(self, Self::Guest(_))
    }
}

impl Actor for Runner {
    type Msg = Job;
    type State = ActorRef<pool::Message>;
    type Arguments = ActorRef<pool::Message>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Job>,
        pool: ActorRef<pool::Message>,
    ) -> Result<ActorRef<pool::Message>, ActorProcessingErr> {
        Ok(pool)
    }

    async fn handle(
        &self,
        myself: ActorRef<Job>,
        job: Job,
        pool: &mut ActorRef<pool::Message>,
    ) -> Result<(), ActorProcessingErr> {
        let verdict = match job {
            Job::Own(ready) => Box::pin(run(*ready, None)).await,
            Job::Lent(ready, granted) => Box::pin(run(*ready, Some(*granted))).await,
            Job::Guest(guest) => Box::pin(elsewhere::run_guest(guest)).await,
        };
        // A pool that is gone takes its runners with it.
        drop(pool.send_message(pool::Message::Free {
            runner: myself,
            verdict,
        }));
        Ok(())
    }
}

/// Runs the operation's next attempt, from taking the offer to the report of its end; where a place is
/// granted, on that node. Answers what the attempt says of the handler.
async fn run(ready: Ready, granted: Option<Granted>) -> Verdict {
    let Ready {
        mut held,
        work,
        place,
    } = ready;
    drop(place);
    // Its slot is not handed over before this has ended, if that is soon.
    let working = held.pools.begin_work(&held.actor);
    if working.is_none() || !held.control.take() {
        // Withdrawn, or another node's by now, or soon: nobody waits for it.
        held.is_settled = true;
        return Verdict::Neutral;
    }
    let reporter = Reporter::own(&held, &work);
    let mut verdict = Verdict::Neutral;
    let is_lent = granted.is_some();
    let is_heard = attempt(&held, &reporter, work, granted, &mut verdict).await;
    held.is_settled = is_heard;
    if is_lent && !is_heard {
        // Lost with its node: it is offered again at once.
        held.control.miss();
    }
    verdict
}

/// Fails an operation that has waited too long for a runner. The pool calls it.
pub(super) async fn expire(ready: Ready, policy: Arc<Policy>) {
    let Ready {
        mut held,
        work,
        place: _place,
    } = ready;
    if !held.control.take() {
        held.is_settled = true;
        return;
    }
    let reporter = Reporter::own(&held, &work);
    let limit = policy.queue_timeout.unwrap_or_default().as_secs_f64();
    let message = format!("no runner took the operation up within {limit} s; see its policy");
    let fault = fault(HandlerError::new(
        "queue_timeout",
        message,
        Cause::Permanent,
    ));
    held.is_settled = reporter
        .end(Done::default(), News::NotStarted(fault), None)
        .await;
}

/// `false` when the operation did not hear of the end.
async fn attempt(
    held: &Held,
    reporter: &Reporter,
    work: Work,
    granted: Option<Granted>,
    verdict: &mut Verdict,
) -> bool {
    if reporter.control().is_stopped() {
        return reporter.end(Done::default(), News::Cancelled, None).await;
    }
    let Some(source) = held.pools.payload(&held.actor, &held.pool, &work) else {
        return reporter
            .end(Done::default(), News::PayloadMissing, None)
            .await;
    };
    if !work.is_fresh {
        // After a crash the attempt is counted before it can do harm again.
        let begun = reporter.report(Done::default(), News::Running { urgent: true });
        match reporter.tell(&begun).await {
            Ok(status) if matches!(&status[..], b"running" | b"compensating") => {}
            Ok(_) => return true,
            Err(failure) => return !failure.code.may_be_retried(),
        }
    }
    let task = Task {
        id: work.id,
        tenant: held.actor.tenant.clone(),
        input: work.input,
        steps: work.steps,
        undo: work.undo,
        is_noted: !work.is_fresh,
    };
    let ended = match granted {
        None => execute(&held.pool, reporter.clone(), task, source, verdict).await,
        Some(granted) => {
            let lent = Lent {
                task,
                source,
                granted,
            };
            metrics::attempt_lent(held.pool.name());
            let ended = elsewhere::run_lent(reporter, lent).await;
            if ended.is_none() {
                metrics::lent_attempt_lost(held.pool.name());
            }
            ended
        }
    };
    match ended {
        Some(ended) => reporter.end(ended.done, ended.news, ended.progress).await,
        None => false,
    }
}

/// Runs the handler to its end. `None`: the operation went on elsewhere.
pub(super) async fn execute(
    pool: &Pool,
    reporter: Reporter,
    task: Task,
    source: Source,
    verdict: &mut Verdict,
) -> Option<Ended> {
    let context = Arc::new(Attempt {
        policy: pool.policy_for(&task.tenant),
        id: task.id,
        tenant: task.tenant,
        input: task.input,
        finished: task.steps,
        buffer: tokio::sync::Mutex::default(),
        names: Mutex::default(),
        progress: Mutex::default(),
        payload: Mutex::new(source),
        beat: Notify::new(),
        working: AtomicUsize::new(0),
        waiting: Mutex::default(),
        reporter: reporter.clone(),
    });
    let handler = Arc::clone(&pool.handler);
    let future = match task.undo {
        None => run_handler(handler, Arc::clone(&context)).boxed(),
        Some(undo) => undo_all(handler, Arc::clone(&context), undo).boxed(),
    };
    let end = drive(future, &context, &reporter, task.is_noted).await;
    *verdict = end.verdict(&context.policy.retry);
    let done = std::mem::take(&mut *context.buffer.lock().await);
    let news = match end {
        End::Returned(Ok(value)) => News::Succeeded(value.to_string().into()),
        End::Returned(Err(error)) => match error.cause {
            Cause::Lost => return None,
            Cause::PayloadMissing => News::PayloadMissing,
            Cause::Continued(input) => News::Continued { input },
            Cause::Permanent | Cause::Retryable => failed(error),
        },
        End::Suspended(on) => News::Suspended { on },
        End::Panicked(message) => failed(HandlerError::new("panic", message, Cause::Retryable)),
        End::Stopped => News::Cancelled,
    };
    Some(Ended {
        done,
        news,
        progress: context.take_progress(),
    })
}

async fn run_handler(
    handler: Arc<dyn ErasedHandler>,
    attempt: Arc<Attempt>,
) -> Result<Value, HandlerError> {
    let context = OperationContext {
        attempt,
        undoing: None,
    };
    handler.run(context).await
}

/// Keeps all promises, the last first. Each is noted before the next begins.
async fn undo_all(
    handler: Arc<dyn ErasedHandler>,
    attempt: Arc<Attempt>,
    undo: Vec<Compensation>,
) -> Result<Value, HandlerError> {
    for undo in undo.into_iter().rev() {
        attempt.flush().await?;
        let context = OperationContext {
            attempt: Arc::clone(&attempt),
            undoing: Some(Arc::clone(&undo.name)),
        };
        let data = serde_json::from_str(&undo.data)?;
        let undone = handler.compensate(context, undo.name.to_string(), data);
        undone.await.map_err(|mut error| {
            error.step.get_or_insert_with(|| undo.name.to_string());
            error
        })?;
        attempt.buffer.lock().await.undone.push(undo.name);
    }
    Ok(Value::Null)
}

/// Polls the handler to its end, or until it only waits. What it does becomes durable beside it whenever
/// it is pending.
async fn drive(
    future: BoxFuture<'static, Result<Value, HandlerError>>,
    context: &Arc<Attempt>,
    reporter: &Reporter,
    is_noted: bool,
) -> End {
    let mut handled: Handled<'_> = Box::pin(AssertUnwindSafe(future).catch_unwind());
    let mut flush: Option<BoxFuture<'_, Result<(), HandlerError>>> = None;
    let ended = {
        let mut driven = pin!(poll_fn(|waker| {
            if let Poll::Ready(end) = handled.as_mut().poll(waker) {
                return Poll::Ready(Polled::Handled(end));
            }
            if flush.is_none() && context.has_done() {
                flush = Some(Box::pin(context.flush()));
            }
            // Whoever needs it durable finds out by a flush of its own.
            if flush
                .as_mut()
                .is_some_and(|flush| flush.as_mut().poll(waker).is_ready())
            {
                flush = None;
            }
            match context.suspended_on() {
                Some(on) if flush.is_none() => Poll::Ready(Polled::Suspended(on)),
                Some(_) | None => Poll::Pending,
            }
        }));
        // Most handlers of short work end here: no timer, no note.
        match futures::poll!(driven.as_mut()) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => watch(driven, context, reporter, is_noted).await,
        }
    };
    let ended = match ended {
        Some(Polled::Handled(ended)) => ended,
        Some(Polled::Suspended(on)) => {
            let_go(context, handled);
            return End::Suspended(on);
        }
        None => {
            let_go(context, handled);
            return End::Stopped;
        }
    };
    // A flush that is under way holds the buffer: it has to be done before the end is told.
    if let Some(flush) = flush.take()
        && let Err(error) = flush.await
    {
        return End::Returned(Err(error));
    }
    match ended {
        Ok(returned) => End::Returned(returned),
        Err(panic) => End::Panicked(words(&*panic)),
    }
}

/// Drops a handler: its destructors are the application's code as well.
fn let_go(context: &Attempt, handled: Handled<'_>) {
    let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(handled)));
    if let Err(panic) = dropped {
        let said = words(&*panic);
        tracing::error!(operation = %context.id, said, "a dropped handler panicked");
    }
}

/// Waits for the end of a handler that takes its time, and notes how it goes. `None`: it is to be dropped.
async fn watch<T>(
    mut driven: Pin<&mut impl Future<Output = T>>,
    context: &Attempt,
    reporter: &Reporter,
    mut is_noted: bool,
) -> Option<T> {
    let mut wait = Duration::from_millis(OPERATION_NOTE_MS);
    loop {
        tokio::select! {
            biased;
            () = reporter.control().stopped() => return None,
            ended = driven.as_mut() => return Some(ended),
            () = tokio::time::sleep(wait) => {
                let progress = context.take_progress();
                if !is_noted || progress.is_some() {
                    is_noted = true;
                    reporter.note(progress);
                }
                wait = Duration::from_millis(OPERATION_PROGRESS_MS);
            }
        }
    }
}

fn failed(error: HandlerError) -> News {
    News::Failed {
        permanent: error.cause == Cause::Permanent,
        retry_after_ms: error
            .retry_after
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        fault: fault(error),
    }
}

/// What is stored of an error. A handler may put anything into one; it is shown in answers and events.
fn fault(error: HandlerError) -> Fault {
    Fault {
        code: cut(error.code, NAME_BYTES_MAX),
        message: cut(error.message, MESSAGE_BYTES_MAX),
        step: error.step,
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    said.map_or_else(
        || "the handler panicked".to_owned(),
        |said| format!("the handler panicked: {said}"),
    )
}
