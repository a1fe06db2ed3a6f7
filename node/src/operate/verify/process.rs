//! A client as a process of the history: one call after the other on its own session, some with ids of their own
//! and repeated. It notes what it asked, what it was told and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use selvedge_client::{CallError, Client, CommandId, ErrorCode, Session, Success};

use crate::operate::failure::CommandFailure;
use crate::operate::verify::check::actor::{ActorKind, Recorded};
use crate::operate::verify::check::effects::Repeat;
use crate::operate::verify::check::history::{Action, Answer, Call, Outcome, View};
use crate::operate::verify::check::{Check, Violation};
use crate::operate::verify::form::{answer, command};
use crate::operate::verify::run::{Choices, PATIENCE, Run};

/// A client at work.
#[derive(Debug)]
pub(super) struct Process {
    run: Arc<Run>,
    number: u32,
    client: Client,
    choices: Choices,
    notes: Notes,
}

/// What a client has seen; the first of each pair is the place of the actor among the subjects.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) recorded: Vec<(usize, Recorded)>,
    pub(super) repeats: Vec<(usize, Repeat)>,
    /// What calls of unknown outcome were told, and how many of them.
    pub(super) errors: BTreeMap<String, u64>,
    /// Answers that make no sense.
    pub(super) violations: Vec<Violation>,
}

impl Notes {
    fn count(&mut self, error: &CallError) {
        let text = error.to_string();
        if self.errors.len() < ERRORS_MAX || self.errors.contains_key(&text) {
            *self.errors.entry(text).or_default() += 1;
        }
    }
}

/// How a command is identified and how often it is sent.
#[derive(Debug, Clone, Copy)]
enum Sending {
    /// By its number in the session.
    Plain,
    /// By an id of its own; again where nobody knows what became of it.
    Named(CommandId),
    /// Again after it was answered, from another session.
    Repeated(CommandId),
    /// Twice at the same time.
    Doubled(CommandId),
}

impl Process {
    pub(super) async fn new(run: Arc<Run>, number: u32) -> Result<Self, CommandFailure> {
        Ok(Self {
            client: run.connect().await?,
            choices: run.choices(u64::from(number)),
            run,
            number,
            notes: Notes::default(),
        })
    }

    /// Calls until the run is over.
    pub(super) async fn work(mut self) -> Result<Notes, CommandFailure> {
        while !self.run.is_over() {
            let subject = self.choices.index(self.run.subjects.len());
            let action = self.action(subject);
            if let Err(CallError::Closed) = self.call(subject, action).await {
                // The session has ended for good; a program would open another.
                self.client = self.run.connect().await?;
            }
        }
        self.client.close().await;
        Ok(self.notes)
    }

    fn action(&self, subject: usize) -> Action {
        let (choices, run) = (&self.choices, &self.run);
        let choice = choices.below(10);
        match run.subjects[subject].kind {
            ActorKind::Counter if choice < 4 => Action::Read,
            ActorKind::Counter => Action::Add { by: run.tag() },
            ActorKind::Register => match choice {
                0..3 => Action::Read,
                3..5 => Action::Write { value: run.tag() },
                5..8 => Action::CompareAndSet {
                    expected: run.latest[subject].load(Ordering::Relaxed),
                    value: run.tag(),
                },
                _ => Action::Append { item: run.tag() },
            },
        }
    }

    fn sending(&self, action: Action) -> Sending {
        let Some(tag) = action.tag() else {
            return Sending::Plain;
        };
        let id = self.run.command_id(tag);
        match self.choices.below(20) {
            0..14 => Sending::Plain,
            14..16 => Sending::Named(id),
            16..19 => Sending::Repeated(id),
            _ => Sending::Doubled(id),
        }
    }

    /// Makes a call and notes how it ended; the error says what became of the session.
    async fn call(&mut self, subject: usize, action: Action) -> Result<(), CallError> {
        let called_us = self.run.now_us();
        let sending = self.sending(action);
        let told = self.send(subject, action, sending).await;
        let at_us = self.run.now_us();
        let (outcome, seq) = match &told {
            Ok(success) => {
                let kind = self.run.subjects[subject].kind;
                match answer(kind, action, &success.body) {
                    Ok(answer) => {
                        self.learn(subject, action, &answer);
                        (Outcome::Answered { answer, at_us }, Some(success.seq))
                    }
                    Err(error) => {
                        let message = format!("the answer to {action:?} is none: {error}");
                        self.accuse(subject, Check::Linearizability, message);
                        (Outcome::Unknown, None)
                    }
                }
            }
            Err(error) if is_refusal(error) => (Outcome::Refused, None),
            Err(error) => {
                self.notes.count(error);
                (Outcome::Unknown, None)
            }
        };
        let call = Call {
            process: self.number,
            action,
            called_us,
            outcome,
        };
        self.notes.recorded.push((subject, Recorded { call, seq }));
        told.map(|_| ())
    }

    async fn send(
        &mut self,
        subject: usize,
        action: Action,
        sending: Sending,
    ) -> Result<Success, CallError> {
        let own = self.client.session().clone();
        match sending {
            Sending::Plain => self.ask(&own, subject, action, None).await,
            Sending::Named(id) => match self.ask(&own, subject, action, Some(id)).await {
                Err(error) if !is_refusal(&error) => {
                    self.ask(&own, subject, action, Some(id)).await
                }
                told => told,
            },
            Sending::Repeated(id) => {
                let first = self.ask(&own, subject, action, Some(id)).await;
                let again = self.ask(&self.run.other, subject, action, Some(id)).await;
                self.compare(subject, action, [&first, &again]);
                first.or(again)
            }
            Sending::Doubled(id) => {
                let both = futures::future::join(
                    self.ask(&own, subject, action, Some(id)),
                    self.ask(&self.run.other, subject, action, Some(id)),
                );
                let (first, again) = both.await;
                self.compare(subject, action, [&first, &again]);
                first.or(again)
            }
        }
    }

    async fn ask(
        &self,
        session: &Session,
        subject: usize,
        action: Action,
        id: Option<CommandId>,
    ) -> Result<Success, CallError> {
        let target = self.run.subjects[subject].target.clone();
        let (name, body) = command(action);
        if action == Action::Read {
            return session
                .query(target, name, body)
                .deadline(PATIENCE)
                .send()
                .await;
        }
        let call = session.command(target, name, body).deadline(PATIENCE);
        match id {
            Some(id) => call.id(id).send().await,
            None => call.send().await,
        }
    }

    /// Notes two answers to one id. Where one has no answer there is nothing to compare.
    fn compare(&mut self, subject: usize, action: Action, told: [&Result<Success, CallError>; 2]) {
        let text = |told: &Result<Success, CallError>| match told {
            Ok(success) => Some(format!(
                "{} (seq {}, version {})",
                String::from_utf8_lossy(&success.body),
                success.seq,
                success.version
            )),
            Err(error) => is_refusal(error).then(|| error.to_string()),
        };
        if let ([Some(first), Some(again)], Some(tag)) = (told.map(text), action.tag()) {
            let id = format!("{}-{tag}", self.run.name);
            self.notes
                .repeats
                .push((subject, Repeat { id, first, again }));
        }
    }

    fn learn(&self, subject: usize, action: Action, answer: &Answer) {
        let value = match (&action, answer) {
            (Action::Write { value }, _)
            | (Action::CompareAndSet { value, .. }, Answer::Swapped { is_met: true, .. })
            | (_, Answer::Swapped { value, .. })
            | (_, Answer::State(View::Register { value, .. })) => *value,
            _ => return,
        };
        self.run.latest[subject].store(value, Ordering::Relaxed);
    }

    fn accuse(&mut self, subject: usize, check: Check, message: String) {
        if self.notes.violations.len() < VIOLATIONS_MAX {
            let name = &self.run.subjects[subject].name;
            self.notes
                .violations
                .push(Violation::new(check, name, message));
        }
    }
}

/// Whether it is certain that the command has not taken effect, and never will: the actor said so itself, or
/// there is none. After anything else it may have been decided before, with its answer lost.
fn is_refusal(error: &CallError) -> bool {
    match error.failure().map(|failure| failure.code) {
        Some(
            ErrorCode::Rejected
            | ErrorCode::Invalid
            | ErrorCode::UnknownKind
            | ErrorCode::UnknownCommand
            | ErrorCode::TooLarge,
        ) => true,
        Some(_) | None => false,
    }
}

/// Different ones, as many as anybody reads.
const ERRORS_MAX: usize = 16;
/// As many as anybody reads.
const VIOLATIONS_MAX: usize = 8;
