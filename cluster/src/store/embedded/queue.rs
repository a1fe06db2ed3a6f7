//! Who commits: a lone committer by itself, many of them through one thread.
//!
//! Whoever finds the queue without a leader leads: it commits its own group in place, with no
//! hand-over to wait for. If others have queued up meanwhile, it passes the lead on to the thread,
//! which commits group after group until nobody is left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use super::super::Error;
use super::group::{Answer, Committer, Failure, Request};
use super::view::closed;

/// The requests that wait, and what commits them.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    handed_over: Condvar,
    committer: Mutex<Option<Committer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Waiting {
    requests: Vec<Request>,
    /// The number of requests that the thread waits for, if it does.
    wanted: usize,
    /// Whether somebody leads, or the thread is about to.
    lead: Lead,
    intake: Intake,
}

/// Whether commits are taken.
#[derive(Debug)]
enum Intake {
    Open,
    /// No new ones; those that wait are committed.
    Closing,
    /// None at all, and this is why.
    Failed(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    Nobody,
    Caller,
    Thread,
}

impl Queue {
    /// A queue with its thread.
    pub(super) fn start(committer: Committer) -> Result<Arc<Self>, Error> {
        let queue = Arc::new(Self {
            waiting: Mutex::new(Waiting {
                requests: Vec::new(),
                wanted: usize::MAX,
                lead: Lead::Nobody,
                intake: Intake::Open,
            }),
            handed_over: Condvar::new(),
            committer: Mutex::new(Some(committer)),
            thread: Mutex::new(None),
        });
        let shared = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("selvedge-store".to_owned())
            .spawn(move || shared.serve())
            .map_err(|error| Error::Stopped(format!("its thread does not start: {error}")))?;
        *queue.thread.lock() = Some(thread);
        Ok(queue)
    }

    /// Queues a request. If nobody else is committing it is committed here if its answer is waited for,
    /// on a task of its own if not.
    pub(super) fn submit(self: &Arc<Self>, request: Request) {
        let is_awaited = matches!(request.answer, Answer::Channel(_));
        let mut waiting = self.waiting.lock();
        if let Err(error) = waiting.intake.check() {
            return request.answer.give(Err(error));
        }
        waiting.requests.push(request);
        if waiting.lead != Lead::Nobody {
            if waiting.requests.len() == waiting.wanted {
                self.handed_over.notify_one();
            }
            return;
        }
        waiting.lead = Lead::Caller;
        drop(waiting);
        let Ok(runtime) = Handle::try_current() else {
            return self.lead();
        };
        let leader = || Leader(Some(Arc::clone(self)));
        match runtime.runtime_flavor() {
            RuntimeFlavor::MultiThread if is_awaited => self.lead(),
            RuntimeFlavor::MultiThread => {
                let mut leader = leader();
                drop(runtime.spawn(async move { leader.lead() }));
            }
            // The only thread of a runtime must not wait for a disk; its tasks share the group.
            _ => {
                let mut leader = leader();
                drop(runtime.spawn_blocking(move || leader.lead()));
            }
        }
    }

    /// Why no more commits are taken, if so.
    pub(super) fn health(&self) -> Result<(), Error> {
        self.waiting.lock().intake.check()
    }

    /// Takes no more commits, waits for those that were taken, and gives the committer back.
    pub(super) fn close(&self) -> Option<Committer> {
        {
            let mut waiting = self.waiting.lock();
            if matches!(waiting.intake, Intake::Open) {
                waiting.intake = Intake::Closing;
            }
            self.handed_over.notify_one();
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic in it has been reported by the panic hook, and nothing is left to commit.
            let _ = thread.join();
        }
        self.committer.lock().take()
    }

    /// Commits one group, then passes the lead on if there are more.
    fn lead(&self) {
        let mut group = Vec::new();
        self.commit_next(&mut group);
        self.pass_on();
    }

    fn pass_on(&self) {
        let mut waiting = self.waiting.lock();
        waiting.lead = if waiting.requests.is_empty() {
            Lead::Nobody
        } else {
            Lead::Thread
        };
        // Only the thread waits for this: for the lead, or for the end.
        if waiting.lead == Lead::Thread || !matches!(waiting.intake, Intake::Open) {
            self.handed_over.notify_one();
        }
    }

    /// The thread: commits while the lead is its, ends when the store is closed.
    fn serve(&self) {
        let mut group = Vec::new();
        let mut linger = Linger::default();
        loop {
            {
                let mut waiting = self.waiting.lock();
                if waiting.lead == Lead::Thread {
                    linger.wait(&mut waiting, &self.handed_over);
                    if waiting.requests.is_empty() {
                        waiting.lead = Lead::Nobody;
                    }
                }
                while waiting.lead != Lead::Thread {
                    if waiting.lead == Lead::Nobody && !matches!(waiting.intake, Intake::Open) {
                        return;
                    }
                    linger = Linger::default();
                    self.handed_over.wait(&mut waiting);
                }
                linger.start(waiting.requests.len());
            }
            self.commit_next(&mut group);
            linger.end();
        }
    }

    /// Commits the next group of those that wait.
    fn commit_next(&self, group: &mut Vec<Request>) {
        let failure = {
            let mut waiting = self.waiting.lock();
            take_group(&mut waiting.requests, group);
            match &waiting.intake {
                Intake::Open | Intake::Closing => None,
                Intake::Failed(error) => Some(error.clone()),
            }
        };
        let mut owned = self.committer.lock();
        let (Some(committer), None) = (&mut *owned, &failure) else {
            let error = failure.unwrap_or_else(closed);
            for request in group.drain(..) {
                request.answer.give(Err(error.clone()));
            }
            return;
        };
        let failure = match catch_unwind(AssertUnwindSafe(|| committer.commit(group))) {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(_) => Failure {
                reason: "committing panicked".to_owned(),
                answers: Vec::new(),
            },
        };
        tracing::error!(reason = failure.reason, "the store has stopped");
        self.waiting.lock().intake = Intake::Failed(Error::Stopped(failure.reason));
        for (answer, outcome) in failure.answers {
            answer.give(outcome);
        }
        // After a panic, whoever has no answer learns by the loss of its sender that it is not known.
        group.clear();
        *owned = None;
    }
}

/// The lead on its way to a task, which may be dropped before it runs: nobody would commit any more.
struct Leader(Option<Arc<Queue>>);

impl Leader {
    fn lead(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.lead();
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.pass_on();
        }
    }
}

/// How long the thread waits for a group to fill up. Those who were just answered mostly come back
/// with another commit: an fsync for a few of them would only make all the others wait for it.
#[derive(Debug, Default)]
struct Linger {
    /// The requests of the last group.
    last: usize,
    started: Option<Instant>,
    /// What the last group took.
    took: Duration,
}

impl Linger {
    fn start(&mut self, requests: usize) {
        self.last = requests;
        self.started = Some(Instant::now());
    }

    fn end(&mut self) {
        self.took = self.started.map_or(Duration::ZERO, |at| at.elapsed());
    }

    fn wait(&self, waiting: &mut MutexGuard<'_, Waiting>, handed_over: &Condvar) {
        let wanted = (self.last + waiting.requests.len()) / 2;
        if waiting.requests.len() >= wanted || !matches!(waiting.intake, Intake::Open) {
            return;
        }
        waiting.wanted = wanted;
        // A timeout is as good as the number: both end the waiting.
        let _ = handed_over.wait_for(waiting, (self.took / 2).min(LINGER_MAX));
        waiting.wanted = usize::MAX;
    }
}

impl Intake {
    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Open => Ok(()),
            Self::Closing => Err(closed()),
            Self::Failed(error) => Err(error.clone()),
        }
    }
}

/// Moves the requests of the next group, oldest first.
fn take_group(waiting: &mut Vec<Request>, group: &mut Vec<Request>) {
    let mut bytes = 0;
    let fitting = waiting.iter().take(GROUP_LEN_MAX).take_while(|request| {
        // The first one always fits.
        let fits = bytes == 0 || bytes + request.bytes <= GROUP_BYTES_MAX;
        bytes += request.bytes;
        fits
    });
    let length = fitting.count();
    group.extend(waiting.drain(..length));
}

/// A few fsyncs of a fast disk. On a slow one waiting is worth more, but nobody would understand it.
const LINGER_MAX: Duration = Duration::from_micros(500);
/// Enough to make an fsync's share of a commit small; below what a versionstamp can number.
const GROUP_LEN_MAX: usize = 1_024;
/// About what a disk writes in the time of one fsync; a larger group only delays its members.
const GROUP_BYTES_MAX: usize = 1_000_000;
