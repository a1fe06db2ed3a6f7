//! A worker: executes steps of operations over a session, at most so many at a time.
//!
//! It says what it takes on each connection, keeps the leases of what is at work with heartbeats, and says
//! how each task ended. What came with the submit is read by [`Task::payload`]. Results are taken at least once: a step may come again, here or elsewhere, so its
//! code goes by [`Task::idempotency_key`].

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use selvedge_protocol::frame::{StepReport, WorkerReady};
use selvedge_protocol::limits::{INLINE_BYTES_MAX, WORKER_CAPACITY_MAX};
use selvedge_protocol::{ErrorCode, Failure, OperationType};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::client::Client;
use crate::error::CallError;
use crate::session::Session;
use crate::task::{Task, WorkError};

/// The code of one operation type.
type Code = Arc<dyn Fn(Task) -> BoxFuture<'static, Result<Bytes, WorkError>> + Send + Sync>;

/// What the driver hears for a worker.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    Task(selvedge_protocol::frame::Task),
    /// The lease is void: the work is of no use any more.
    Void {
        lease: u64,
    },
    /// The session goes on as another: all leases are void.
    AllVoid,
    /// The session has ended.
    Ended(CallError),
}

/// Executes steps of operations. One per session: a later one takes its place.
#[must_use = "a worker does nothing until it is `run`"]
pub struct Worker {
    session: Session,
    codes: HashMap<OperationType, Code>,
    capacity: u32,
    cancel_grace: Duration,
}

/// Puts a [`Worker`] together.
#[must_use = "a worker is made by `build`"]
pub struct WorkerBuilder {
    worker: Worker,
    wrong: Option<CallError>,
}

impl Worker {
    /// A worker over the session of a client.
    pub fn builder(client: &Client) -> WorkerBuilder {
        WorkerBuilder {
            worker: Self {
                session: client.session().clone(),
                codes: HashMap::new(),
                capacity: 1,
                cancel_grace: CANCEL_GRACE,
            },
            wrong: None,
        }
    }

    /// Executes tasks until the session ends, which is an error unless it was closed here.
    pub async fn run(self) -> Result<(), CallError> {
        self.run_until(pending()).await
    }

    /// Executes tasks until `stop` completes, then finishes those at work. Breaks of the connection are
    /// survived; the error is that the session ended.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), CallError> {
        let (events, mut heard) = mpsc::channel(EVENTS_MAX);
        self.session.work(self.ready(), events).await?;
        let mut stop = pin!(stop);
        let mut is_stopping = false;
        let mut tasks = Tasks {
            places: Arc::new(Semaphore::new(usize::try_from(self.capacity).unwrap_or(1))),
            running: HashMap::new(),
            work: JoinSet::new(),
            worker: self,
        };
        loop {
            if is_stopping && tasks.work.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(ended) = tasks.work.join_next() => tasks.ended(ended),
                event = heard.recv() => match event {
                    Some(WorkerEvent::Task(task)) => tasks.start(task),
                    Some(WorkerEvent::Void { lease }) => tasks.void(lease),
                    Some(WorkerEvent::AllVoid) => tasks.all_void(),
                    Some(WorkerEvent::Ended(CallError::Closed)) => return Ok(()),
                    Some(WorkerEvent::Ended(error)) => return Err(error),
                    // Another worker has the session.
                    None => return Err(CallError::Closed),
                },
                () = &mut stop, if !is_stopping => {
                    is_stopping = true;
                    tasks.worker.session.take_no_more_work().await?;
                }
            }
        }
    }

    fn ready(&self) -> WorkerReady {
        let mut types: Vec<_> = self.codes.keys().cloned().collect();
        types.sort_by(|one, two| one.as_str().cmp(two.as_str()));
        WorkerReady {
            types,
            capacity: self.capacity,
            ext: Vec::new(),
        }
    }
}

impl WorkerBuilder {
    /// Code for the steps of an operation type. Its future runs beside those of other tasks, so what
    /// computes for long belongs on a thread of its own.
    pub fn operation_type<F, W, T>(mut self, name: &str, code: F) -> Self
    where
        F: Fn(Task) -> W + Send + Sync + 'static,
        W: Future<Output = Result<T, WorkError>> + Send + 'static,
        T: Serialize,
    {
        let code: Code = Arc::new(move |task| {
            let work = code(task);
            async move { encode(&work.await?) }.boxed()
        });
        match OperationType::new(name) {
            Ok(name) => {
                self.worker.codes.insert(name, code);
            }
            Err(error) => self.wrong = Some(error.into()),
        }
        self
    }

    /// Tasks at a time, 1 to 1,024; 1 if nothing is said.
    pub fn capacity(mut self, tasks: u32) -> Self {
        self.worker.capacity = tasks.clamp(1, WORKER_CAPACITY_MAX);
        self
    }

    /// How long the code of a cancelled task may take to end by itself, before its future is dropped.
    pub const fn cancel_grace(mut self, grace: Duration) -> Self {
        self.worker.cancel_grace = grace;
        self
    }

    /// The worker; an error where the name of a type is not valid.
    pub fn build(self) -> Result<Worker, CallError> {
        match self.wrong {
            Some(wrong) => Err(wrong),
            None => Ok(self.worker),
        }
    }
}

/// What a worker is at.
struct Tasks {
    worker: Worker,
    /// What is at work takes one, also while it winds down after a cancel.
    places: Arc<Semaphore>,
    /// The way to say that a lease is void.
    running: HashMap<u64, watch::Sender<bool>>,
    work: JoinSet<u64>,
}

impl Tasks {
    fn start(&mut self, frame: selvedge_protocol::frame::Task) {
        let lease = frame.lease;
        let session = self.worker.session.clone();
        let Some(code) = self.worker.codes.get(&frame.operation_type).cloned() else {
            // It was not asked for; another worker may know the type.
            return self.refuse(lease, "the worker has no code for it".to_owned());
        };
        let patience = Duration::from_millis(frame.lease_ms.into());
        let (void, is_void) = watch::channel(false);
        let task = match Task::new(frame, session.clone(), is_void) {
            Ok(task) => task,
            Err(malformed) => return self.refuse(lease, malformed.to_string()),
        };
        self.running.insert(lease, void);
        let execution = Execution {
            places: Arc::clone(&self.places),
            grace: self.worker.cancel_grace,
            patience,
            task,
            session,
            code,
        };
        self.work.spawn(async move {
            execution.run().await;
            lease
        });
    }

    /// Gives a task back that cannot be begun here.
    fn refuse(&mut self, lease: u64, why: String) {
        let session = self.worker.session.clone();
        let failure = Failure::new(ErrorCode::Unavailable, why);
        self.work.spawn(async move {
            session.report(lease, StepReport::Failure(failure)).await;
            lease
        });
    }

    fn void(&self, lease: u64) {
        if let Some(void) = self.running.get(&lease) {
            void.send_replace(true);
        }
    }

    fn all_void(&self) {
        for void in self.running.values() {
            void.send_replace(true);
        }
    }

    fn ended(&mut self, ended: Result<u64, tokio::task::JoinError>) {
        if let Ok(lease) = ended {
            self.running.remove(&lease);
        }
    }
}

/// One task at work.
struct Execution {
    task: Task,
    code: Code,
    session: Session,
    places: Arc<Semaphore>,
    grace: Duration,
    patience: Duration,
}

impl Execution {
    async fn run(self) {
        let lease = self.task.lease();
        let mut told = self.task.told();
        let report = {
            let mut work = pin!(self.work());
            let interval = (self.patience / 3).max(BEAT_MIN);
            let mut beats = tokio::time::interval_at(Instant::now() + interval, interval);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut next_progress = Instant::now();
            loop {
                let progress = async {
                    tokio::time::sleep_until(next_progress).await;
                    told.changed().await
                };
                tokio::select! {
                    report = &mut work => break report,
                    _ = beats.tick() => self.beat(Bytes::new()),
                    Ok(()) = progress => {
                        next_progress = Instant::now() + PROGRESS_MIN;
                        self.beat(told.borrow_and_update().clone());
                    }
                }
            }
        };
        self.session.report(lease, report).await;
    }

    /// Runs the code to its end, or drops it a while after the task was cancelled.
    async fn work(&self) -> StepReport {
        let Ok(_place) = self.places.acquire().await else {
            return void();
        };
        if self.task.is_cancelled() {
            return void();
        }
        let work = AssertUnwindSafe((self.code)(self.task.clone())).catch_unwind();
        let given_up = async {
            self.task.cancelled().await;
            tokio::time::sleep(self.grace).await;
        };
        let done = tokio::select! {
            done = work => done,
            () = given_up => return void(),
        };
        match done {
            // Whatever came of it, nobody wants it; this frees the place.
            _ if self.task.is_cancelled() => void(),
            Ok(Ok(result)) => StepReport::Success(result),
            Ok(Err(error)) => StepReport::Failure(error.into_failure()),
            Err(panic) => StepReport::Failure(Failure::new(
                ErrorCode::Unavailable,
                format!("the worker's code panicked{}", words(&*panic)),
            )),
        }
    }

    /// Says that the task is at work, and how far it is. May be lost: another follows.
    fn beat(&self, progress: Bytes) {
        self.session
            .try_report(self.task.lease(), StepReport::Heartbeat(progress));
    }
}

/// The end of a task whose lease is void.
fn void() -> StepReport {
    StepReport::Failure(Failure::new(
        ErrorCode::Unavailable,
        "the task was cancelled",
    ))
}

fn encode(result: &impl Serialize) -> Result<Bytes, WorkError> {
    let text = serde_json::to_vec(result)
        .map_err(|error| WorkError::permanent(format!("the result is no JSON: {error}")))?;
    if text.len() > INLINE_BYTES_MAX {
        let length = text.len();
        return Err(WorkError::permanent(format!(
            "the result of {length} bytes is over {INLINE_BYTES_MAX}; store it elsewhere and \
             return where"
        )));
    }
    Ok(Bytes::from(text))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    said.map_or_else(String::new, |said| format!(": {said}"))
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("types", &self.codes.keys())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.worker.fmt(f)
    }
}

/// Tasks, and words about them, that the worker has not looked at: a task and two notices for each place.
const EVENTS_MAX: usize = 3 * WORKER_CAPACITY_MAX as usize;
/// What winds down in more time than this is not worth waiting for.
const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// Progress is told at most this often: the node commits it as often.
const PROGRESS_MIN: Duration = Duration::from_millis(250);
/// A lease of no time at all is no reason to talk without end.
const BEAT_MIN: Duration = Duration::from_millis(10);
