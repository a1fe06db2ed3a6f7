//! Starts all who take part in a run, ends them in order, and puts together what they saw, by actor.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_client::{CallError, Client, Success};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use crate::operate::failure::CommandFailure;
use crate::operate::verify::check::Violation;
use crate::operate::verify::check::actor::{Record, Recorded};
use crate::operate::verify::check::effects::{Fate, Intent};
use crate::operate::verify::check::events::{Heard, Shown};
use crate::operate::verify::check::history::{Action, Answer, Call, Outcome, View};
use crate::operate::verify::check::operations::Job;
use crate::operate::verify::form::Subject;
use crate::operate::verify::process::{Notes, Process};
use crate::operate::verify::run::{PATIENCE, Run};
use crate::operate::verify::submitter::{self, Submitted};
use crate::operate::verify::subscriber::listen;

/// A part of a run that ends with what it saw. Dropped before that, it ends at once.
#[derive(Debug)]
struct Part<T>(JoinHandle<Result<T, CommandFailure>>);

impl<T: Send + 'static> Part<T> {
    fn begin(part: impl Future<Output = Result<T, CommandFailure>> + Send + 'static) -> Self {
        Self(tokio::spawn(part))
    }

    async fn end(mut self) -> Result<T, CommandFailure> {
        let ended = (&mut self.0).await;
        ended.unwrap_or_else(|error| {
            Err(CommandFailure::failed(format!(
                "the run was broken off: {error}"
            )))
        })
    }
}

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All who take part.
#[derive(Debug)]
pub(super) struct Everybody {
    clients: u32,
    processes: Vec<Part<Notes>>,
    submitters: Vec<Part<Submitted>>,
    audiences: Vec<Audience>,
    /// A read of each subject, from after all faults.
    settled: Vec<Recorded>,
}

/// The subscribers of one actor.
#[derive(Debug)]
struct Audience {
    last: watch::Sender<Option<u64>>,
    subscribers: Vec<Part<Vec<Heard>>>,
}

/// What all of them saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) records: Vec<Record>,
    pub(super) jobs: Vec<Job>,
    pub(super) violations: Vec<Violation>,
    /// What calls of unknown outcome were told, and how many of them.
    pub(super) errors: BTreeMap<String, u64>,
}

/// Whether the node has what is verified: asks each actor once, before anything is written.
pub(super) async fn probe(run: &Run) -> Result<(), CommandFailure> {
    for subject in run.subjects.iter().chain([&run.sent]) {
        read(run, subject).await?;
    }
    Ok(())
}

async fn read(run: &Run, subject: &Subject) -> Result<Success, CallError> {
    let call = run.other.query(subject.target.clone(), "get", ());
    call.deadline(PATIENCE).send().await
}

impl Everybody {
    /// Connects all and lets them work.
    pub(super) async fn begin(run: &Arc<Run>, clients: u32) -> Result<Self, CommandFailure> {
        let mut processes = Vec::new();
        for number in 0..clients {
            let process = Process::new(Arc::clone(run), number).await?;
            processes.push(Part::begin(process.work()));
        }
        let submitters = (0..SUBMITTERS)
            .map(|number| Part::begin(submitter::submit(Arc::clone(run), number)))
            .collect();
        let subjects = run.subjects.iter().chain([&run.sent]);
        let audiences = (0..)
            .zip(subjects)
            .map(|(number, subject)| Audience::new(run, subject, number))
            .collect();
        Ok(Self {
            clients,
            processes,
            submitters,
            audiences,
            settled: Vec::new(),
        })
    }

    /// Waits until each actor answers again, while everybody goes on: what recovers late is seen to.
    pub(super) async fn settle(&mut self, run: &Run) -> Result<(), CommandFailure> {
        let reads = run.subjects.iter().map(async |subject| {
            let (called_us, success) = settled(run, subject).await?;
            let shown = shown(subject, &success)?;
            Ok::<_, CommandFailure>(read_of(self.clients, called_us, run.now_us(), &shown))
        });
        self.settled = futures::future::try_join_all(reads).await?;
        Ok(())
    }

    /// Waits for those who act, reads the final states, and lets subscribers hear of them.
    pub(super) async fn finish(self, run: &Arc<Run>) -> Result<Seen, CommandFailure> {
        let mut submitted = Submitted::default();
        let reads = self.settled.into_iter();
        let mut by_subject: Vec<(Vec<Recorded>, Vec<_>)> =
            reads.map(|read| (vec![read], Vec::new())).collect();
        let mut violations = Vec::new();
        let mut errors = BTreeMap::new();
        for part in self.processes {
            let notes = part.end().await?;
            for (subject, recorded) in notes.recorded {
                by_subject[subject].0.push(recorded);
            }
            for (subject, repeat) in notes.repeats {
                by_subject[subject].1.push(repeat);
            }
            violations.extend(notes.violations);
            for (error, count) in notes.errors {
                *errors.entry(error).or_default() += count;
            }
        }
        for part in self.submitters {
            let part = part.end().await?;
            submitted.jobs.extend(part.jobs);
            submitted.intents.extend(part.intents);
        }
        delivered(run, &submitted.intents).await?;
        by_subject.push((Vec::new(), Vec::new()));
        let subjects = run.subjects.iter().chain([&run.sent]);
        let mut records = Vec::new();
        for ((subject, audience), (mut recorded, repeats)) in
            subjects.zip(self.audiences).zip(by_subject)
        {
            let (called_us, success) = settled(run, subject).await?;
            let last = shown(subject, &success)?;
            recorded.push(read_of(self.clients, called_us, run.now_us(), &last));
            records.push(Record {
                name: subject.name.clone(),
                kind: subject.kind,
                recorded,
                intents: Vec::new(),
                repeats,
                heard: audience.end(run, subject, last.seq).await?,
                last,
            });
        }
        if let Some(sent) = records.last_mut() {
            sent.intents = submitted.intents;
        }
        Ok(Seen {
            records,
            jobs: submitted.jobs,
            violations,
            errors,
        })
    }
}

/// Waits until an actor answers again, with whatever it takes: nothing is broken any more. Says when that call began.
async fn settled(run: &Run, subject: &Subject) -> Result<(u64, Success), CommandFailure> {
    let begun = run.clock.monotonic();
    let mut other: Option<Client> = None;
    loop {
        let called_us = run.now_us();
        let session = other.as_ref().map_or(&run.other, Client::session);
        let call = session.query(subject.target.clone(), "get", ());
        match call.deadline(PATIENCE).send().await {
            Ok(success) => return Ok((called_us, success)),
            Err(error) if run.clock.monotonic() - begun >= SETTLE_MAX => {
                return Err(CommandFailure::failed(format!(
                    "{} does not answer, though all faults were over {SETTLE_MAX:?} ago: {error}",
                    subject.name
                )));
            }
            // Maybe it is the session that is lost.
            Err(_) => {
                sleep(DELIVERY_PAUSE).await;
                other = Some(run.connect().await?);
            }
        }
    }
}

/// Waits until what sagas have sent has come, or does not come any more. The checks will tell which.
async fn delivered(run: &Run, intents: &[Intent]) -> Result<(), CommandFailure> {
    let is_done = |intent: &&Intent| matches!(intent.fate, Fate::Acknowledged { .. });
    let expected = intents.iter().filter(is_done).count() as u64;
    for _ in 0..DELIVERY_TRIES {
        let (_, success) = settled(run, &run.sent).await?;
        match run.sent.shown(&success) {
            Ok(Shown {
                state: View::Register { appended, .. },
                ..
            }) if appended < expected => sleep(DELIVERY_PAUSE).await,
            Ok(_) | Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn shown(subject: &Subject, success: &Success) -> Result<Shown, CommandFailure> {
    subject.shown(success).map_err(|error| {
        CommandFailure::failed(format!("{} shows no state: {error}", subject.name))
    })
}

/// Such a read is a call like any other.
fn read_of(process: u32, called_us: u64, at_us: u64, shown: &Shown) -> Recorded {
    let answer = Answer::State(shown.state.clone());
    Recorded {
        call: Call {
            process,
            action: Action::Read,
            called_us,
            outcome: Outcome::Answered { answer, at_us },
        },
        seq: Some(shown.seq),
    }
}

impl Audience {
    /// Subscribers from before the first event.
    fn new(run: &Arc<Run>, subject: &Subject, number: u64) -> Self {
        let (last, told) = watch::channel(None);
        let subscriber = |index| {
            let choices = run.choices(LISTENERS + number * SUBSCRIBERS + index);
            let listening = listen(Arc::clone(run), subject.clone(), choices, told.clone());
            Part::begin(listening)
        };
        let subscribers = (0..SUBSCRIBERS).map(subscriber).collect();
        Self { last, subscribers }
    }

    /// What they heard up to the last event, and what one hears who comes now.
    async fn end(
        self,
        run: &Arc<Run>,
        subject: &Subject,
        seq: u64,
    ) -> Result<Vec<Vec<Heard>>, CommandFailure> {
        self.last.send_replace(Some(seq));
        let told = self.last.subscribe();
        let choices = run.choices(LISTENERS - 1);
        let late = Part::begin(listen(Arc::clone(run), subject.clone(), choices, told));
        let mut heard = Vec::new();
        for subscriber in self.subscribers.into_iter().chain([late]) {
            heard.push(subscriber.end().await?);
        }
        Ok(heard)
    }
}

impl Seen {
    /// Of the actors that clients call all the time.
    pub(super) fn called(&self) -> &[Record] {
        // The last is the one that only sagas send to.
        let called = self.records.split_last();
        called.map_or(&[], |(_, called)| called)
    }

    pub(super) fn operations(&self) -> u64 {
        let calls: usize = self
            .records
            .iter()
            .map(|record| record.recorded.len())
            .sum();
        (calls + self.jobs.len()) as u64
    }

    pub(super) fn unknown(&self) -> u64 {
        let calls = self.records.iter().flat_map(|record| &record.recorded);
        let unknown = calls.filter(|it| it.call.outcome == Outcome::Unknown);
        unknown.count() as u64
    }
}

/// Who submits operations, one at a time each.
const SUBMITTERS: u64 = 2;
/// Subscribers of each actor, so that what they hear can be compared.
const SUBSCRIBERS: u64 = 2;
/// Keeps the decisions of subscribers apart from those of clients.
const LISTENERS: u64 = 1 << 36;
/// A cluster that is whole again is at work within seconds; a minute is as good as never.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Messages between actors take milliseconds; after a restart they begin anew.
const DELIVERY_TRIES: u32 = 400;
const DELIVERY_PAUSE: Duration = Duration::from_millis(50);
