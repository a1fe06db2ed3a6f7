//! An activated actor: the ractor actor around a machine. Does the machine's look-ups and commits, and
//! hands out what a commit sets free. Spawned by the core, supervised by its slot.
//!
//! One whose actor came to rest may stay as the slot's spare: to take another actor in costs a fraction
//! of a spawn, with its mailboxes and the two wake-ups of its supervisor.

mod personal;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use selvedge_protocol::frame::{Consistency, Outcome};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::actor::attendance::Attending;
use crate::actor::commit::{Completion, Done, Hold, Refused, commit};
use crate::actor::core::Core;
use crate::actor::hosted::AnyKind;
use crate::actor::load::{Failed, load, look_up, unknown, unreadable};
use crate::actor::machine::{Batch, Broken, Machine, Name, Progress, Wish, Work};
use crate::actor::mailbox::Caller;
use crate::actor::proof;
use crate::actor::request::{CommandRequest, QueryRequest};
use crate::metrics;
use crate::privacy::{DataKey, ScopedSubject};
use crate::slot::{BASE_AGE_MAX, Proof, Slot};
use crate::store::Version;

/// How long decisions wait for company that may be lost without harm.
const SOON: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Activation;

#[derive(Debug)]
pub(crate) enum Message {
    /// To a spare: be this actor. Comes before all else that is sent to the actor.
    Activate(Hosting),
    Command(CommandRequest, Caller),
    Query(QueryRequest, Caller),
    Fire {
        name: String,
        due_ms: u64,
        body: Bytes,
        caller: Caller,
    },
    /// Nothing but to be activated.
    Wake(Caller),
    CommitFinished(Result<Done, Refused>),
    /// Whom it is about was erased.
    Erased(ScopedSubject),
    /// What waited for company has waited long enough.
    Flush,
    /// Who waited for it elsewhere has been answered: it may be that nobody does any more.
    Rest,
    /// A defect on purpose, for tests of the supervision.
    #[cfg(test)]
    Panic,
}

/// Whom an activation hosts.
#[derive(Debug, Clone)]
pub(crate) struct Hosting {
    pub(crate) name: Arc<Name>,
    /// `None`: no kind of this name is registered.
    pub(crate) kind: Option<Arc<dyn AnyKind>>,
}

pub(crate) struct Running {
    core: Arc<Core>,
    /// Of a spare, the one before.
    name: Arc<Name>,
    /// The epoch of the slot when the actor was loaded.
    epoch: u64,
    base: Option<Base>,
    /// Under which the last commit was sealed, if it was.
    key: Option<Arc<DataKey>>,
    attending: Option<Attending>,
    /// That of the attendance when the state was loaded.
    generation: u64,
    phase: Phase,
    is_flush_coming: bool,
    /// Held so that its many small parts are freed here and not on the store's one thread.
    committing: Option<Arc<Batch>>,
}

/// What is known of the version that the machine's next commit is based on.
#[derive(Debug, Clone, Copy)]
struct Base {
    /// When it became known: about when it was the store's latest.
    at: Instant,
    /// Whether it is that of a commit of this activation.
    is_commit: bool,
}

enum Phase {
    /// `None` of a kind that is not registered, and of a spare.
    Loading(Option<Arc<dyn AnyKind>>),
    Ready(Box<Machine>),
    /// Waits for its last commit, then ends.
    Ending(Box<Machine>),
    /// Answers everything with the same failure.
    Failed(Failure),
}

impl Actor for Activation {
    type Msg = Message;
    type State = Running;
    type Arguments = (Arc<Core>, Hosting);

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        (core, hosting): (Arc<Core>, Hosting),
    ) -> Result<Running, ActorProcessingErr> {
        Ok(Running {
            core,
            name: hosting.name,
            epoch: 0,
            base: None,
            key: None,
            attending: None,
            generation: 0,
            phase: Phase::Loading(hosting.kind),
            is_flush_coming: false,
            committing: None,
        })
    }

    /// Loads here, not before the start: only now would the supervisor hear of a failure.
    async fn post_start(
        &self,
        myself: ActorRef<Message>,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        Box::pin(running.load(&myself)).await
    }

    /// Not `async`: what is done at once needs no room in the future, which is part of each idle actor.
    fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        running: &mut Running,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send {
        let step = running.step(&myself, message);
        async move {
            match step {
                Step::Done => {}
                Step::Load => Box::pin(running.load(&myself)).await?,
                Step::LookUp(what) => Box::pin(running.look_up(&myself, what)).await?,
            }
            running.rest(&myself);
            Ok(())
        }
    }
}

enum Step {
    Done,
    Load,
    LookUp(crate::actor::machine::LookUp),
}

impl Running {
    fn slot(&self) -> &Slot {
        &self.core.slots[usize::from(self.name.slot)]
    }

    async fn load(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        let Phase::Loading(kind) = &self.phase else {
            return Ok(());
        };
        let Some(kind) = kind.clone() else {
            self.phase = Phase::Failed(unknown(&self.name.actor.address.kind));
            return Ok(());
        };
        self.epoch = self.slot().epoch();
        self.generation = self.core.attendance.generation();
        self.base = Some(Base {
            at: self.core.clock.monotonic(),
            is_commit: false,
        });
        match load(&self.core, &self.name, &*kind).await {
            Ok(loaded) => {
                let mut machine = Box::new(Machine::new(loaded));
                let told = machine.tell_committed();
                self.phase = Phase::Ready(machine);
                if told.and_then(|()| self.attend(myself)) == Err(Broken) {
                    self.end(myself);
                }
                Ok(())
            }
            Err(Failed::Lost(epoch)) => {
                self.slot().lose(epoch);
                myself.stop(None);
                Ok(())
            }
            Err(Failed::Undecodable(reason)) => {
                error!(actor = %self.name.actor.address, reason, "stored actor cannot be read");
                self.phase = Phase::Failed(unreadable());
                Ok(())
            }
            Err(Failed::Store(error)) => {
                if self.core.may_tell_trouble() {
                    warn!(actor = %self.name.actor.address, %error, "actor cannot be loaded");
                }
                self.end(myself);
                Ok(())
            }
        }
    }

    fn query(&mut self, myself: &ActorRef<Message>, request: &QueryRequest, caller: Caller) {
        match &mut self.phase {
            Phase::Ready(machine) => {
                let now = self.core.now();
                let caller = match request.consistency {
                    Consistency::Linearizable if !self.core.store.is_exclusive() => {
                        let of = proof::Of {
                            slot: self.name.slot,
                            epoch: self.epoch,
                            activation: myself.clone(),
                        };
                        proof::required(&self.core, of, caller)
                    }
                    // What was committed here will do, also when others have gone on from there.
                    Consistency::Linearizable | Consistency::Eventual => caller,
                };
                machine.query(now, request, caller);
                self.commit_if_wanted(myself);
            }
            Phase::Failed(failure) => caller.answer(Outcome::Failure(failure.clone())),
            // Dropped: the caller hears that it may try again.
            Phase::Loading(_) | Phase::Ending(_) => {}
        }
    }

    fn step(&mut self, myself: &ActorRef<Message>, message: Message) -> Step {
        let (work, caller) = match message {
            Message::Activate(hosting) => {
                self.name = hosting.name;
                self.phase = Phase::Loading(hosting.kind);
                return Step::Load;
            }
            Message::Command(request, caller) => (Work::Command(request), caller),
            Message::Fire {
                name,
                due_ms,
                body,
                caller,
            } => (Work::Fire { name, due_ms, body }, caller),
            Message::Query(request, caller) => {
                self.query(myself, &request, caller);
                return Step::Done;
            }
            Message::Wake(caller) => {
                caller.answer(Outcome::Failure(Failure::new(ErrorCode::Rejected, "awake")));
                return Step::Done;
            }
            Message::CommitFinished(result) => return self.commit_finished(myself, result),
            Message::Flush => {
                self.is_flush_coming = false;
                self.start_commit(myself);
                return Step::Done;
            }
            Message::Erased(of) => {
                self.erased(myself, &of);
                return Step::Done;
            }
            // As after every message.
            Message::Rest => return Step::Done,
            #[cfg(test)]
            Message::Panic => panic!("a defect on purpose"),
        };
        match &mut self.phase {
            Phase::Ready(machine) => {
                let progress = machine.offer(self.core.now(), work, caller);
                self.proceed(myself, progress)
            }
            Phase::Failed(failure) => {
                caller.answer(Outcome::Failure(failure.clone()));
                Step::Done
            }
            Phase::Loading(_) | Phase::Ending(_) => Step::Done,
        }
    }

    fn proceed(&mut self, myself: &ActorRef<Message>, progress: Result<Progress, Broken>) -> Step {
        match progress {
            Ok(Progress::Done) => {
                self.commit_if_wanted(myself);
                Step::Done
            }
            Ok(Progress::LookUp(what)) => Step::LookUp(what),
            Err(Broken) => {
                self.end(myself);
                Step::Done
            }
        }
    }

    async fn look_up(
        &mut self,
        myself: &ActorRef<Message>,
        mut what: crate::actor::machine::LookUp,
    ) -> Result<(), ActorProcessingErr> {
        loop {
            let value = look_up(&self.core, &self.name, &what).await;
            let Phase::Ready(machine) = &mut self.phase else {
                return Ok(());
            };
            let learned = value.and_then(|value| machine.learn(&what, value.as_ref()));
            if let Err(error) = learned {
                warn!(actor = %self.name.actor.address, %error, "outcome cannot be looked up");
                self.end(myself);
                return Ok(());
            }
            let progress = machine.resume(self.core.now());
            match self.proceed(myself, progress) {
                Step::Done | Step::Load => return Ok(()),
                Step::LookUp(next) => what = next,
            }
        }
    }

    fn commit_if_wanted(&mut self, myself: &ActorRef<Message>) {
        let Phase::Ready(machine) = &self.phase else {
            return;
        };
        match machine.wish() {
            Wish::Nothing => {}
            Wish::Now => self.start_commit(myself),
            Wish::Soon if self.is_flush_coming => {}
            Wish::Soon => {
                self.is_flush_coming = true;
                myself.send_after(SOON, || Message::Flush);
            }
        }
    }

    fn start_commit(&mut self, myself: &ActorRef<Message>) {
        let Phase::Ready(machine) = &mut self.phase else {
            return;
        };
        match machine.start_commit() {
            Ok(None) => {}
            Ok(Some(batch)) => {
                let batch = Arc::new(batch);
                self.committing = Some(Arc::clone(&batch));
                let completion = Completion::new(myself.clone());
                let hold = Hold {
                    slot: self.name.slot,
                    epoch: self.epoch,
                    base: self.base(myself, &batch),
                    key: self.key.clone(),
                };
                commit(&self.core, hold, batch, completion);
            }
            Err(Broken) => self.end(myself),
        }
    }

    /// From which version on the store is to check the next commit: `base`, unless that is too long ago.
    fn base(&self, myself: &ActorRef<Message>, batch: &Batch) -> Option<Version> {
        let (known, base) = (self.base?, batch.base);
        let now = self.core.clock.monotonic();
        if now.saturating_duration_since(known.at) < BASE_AGE_MAX {
            return Some(base);
        }
        if batch.personal.is_some() {
            // What is known of the slot later than that says nothing of the subject's key.
            return None;
        }
        // Until it has committed, a commit of an activation before it may still come.
        let slot = self.slot();
        known
            .is_commit
            .then(|| slot.later_base(&self.name.actor, myself.get_id(), self.epoch, now))?
    }

    fn commit_finished(
        &mut self,
        myself: &ActorRef<Message>,
        result: Result<Done, Refused>,
    ) -> Step {
        let (machine, is_ending) = match &mut self.phase {
            Phase::Ready(machine) => (machine, false),
            Phase::Ending(machine) => (machine, true),
            Phase::Loading(_) | Phase::Failed(_) => return Step::Done,
        };
        self.committing = None;
        let Done { version: base, key } = match result {
            Ok(done) => done,
            Err(refused) => {
                self.commit_refused(myself, &refused);
                return Step::Done;
            }
        };
        let finished = machine.commit_finished(base);
        // The kind first: whoever hears of the commit finds in force what it asked for.
        let told = match is_ending {
            true => Ok(()),
            false => machine.tell_committed(),
        };
        metrics::commit_finished(finished.answers.len());
        let slot = &self.core.slots[usize::from(self.name.slot)];
        let at = self.core.clock.monotonic();
        slot.prove(Proof {
            version: base,
            epoch: self.epoch,
            at,
        });
        self.base = Some(Base {
            at,
            is_commit: true,
        });
        self.key = key;
        slot.hub.publish(&self.name.actor, &finished.events);
        if finished.is_end {
            slot.hub.let_go(&self.name.actor);
        }
        if let Some(due_ms) = finished.timer_due_ms {
            self.core.schedule(&slot.timers, due_ms);
        }
        if finished.has_messages {
            self.core.schedule(&slot.outbox, 0);
        }
        for (caller, outcome) in finished.answers {
            caller.answer(outcome);
        }
        if is_ending {
            self.leave(myself);
            return Step::Done;
        }
        if finished.is_end {
            self.attending = None;
        }
        if told == Err(Broken) || (self.key.is_some() && self.attend(myself) == Err(Broken)) {
            self.end(myself);
            return Step::Done;
        }
        // What is pending goes first, so that the backlog finds room.
        self.commit_if_wanted(myself);
        let Phase::Ready(machine) = &mut self.phase else {
            return Step::Done;
        };
        let progress = machine.resume(self.core.now());
        self.proceed(myself, progress)
    }

    /// Lets the actor go if nothing more is expected of it and nobody waits for it.
    fn rest(&mut self, myself: &ActorRef<Message>) {
        let Phase::Ready(machine) = &self.phase else {
            return;
        };
        if !machine.is_at_rest() || !self.slot().rest(&self.name.actor, myself.get_id()) {
            return;
        }
        metrics::passivated(1);
        (self.key, self.attending) = (None, None);
        self.phase = Phase::Loading(None);
        if !self.slot().keep_spare(myself) {
            myself.stop(None);
        }
    }

    /// Ends the activation; a commit in flight finishes first, so that the next one finds it done.
    fn end(&mut self, myself: &ActorRef<Message>) {
        match std::mem::replace(&mut self.phase, Phase::Loading(None)) {
            Phase::Ready(mut machine) | Phase::Ending(mut machine) if machine.is_committing() => {
                machine.give_up();
                self.phase = Phase::Ending(machine);
            }
            ended @ (Phase::Ready(_) | Phase::Ending(_) | Phase::Loading(_) | Phase::Failed(_)) => {
                self.phase = ended;
                self.leave(myself);
            }
        }
    }

    fn leave(&mut self, myself: &ActorRef<Message>) {
        let slot = self.slot();
        slot.remove(&self.name.actor, myself.get_id());
        // If it is to be awake, it shall be again; the chore looks whether it is.
        self.core.schedule(
            &slot.awake,
            self.core.clock.wall_ms().saturating_add(AWAKE_AGAIN_MS),
        );
        myself.stop(None);
        // After the removal: whoever is answered now finds the next activation.
        match std::mem::replace(&mut self.phase, Phase::Loading(None)) {
            Phase::Ready(machine) | Phase::Ending(machine) => machine.part(),
            Phase::Loading(_) | Phase::Failed(_) => {}
        }
    }
}

/// A failed activation comes back after this, if it is one that shall be awake.
const AWAKE_AGAIN_MS: u64 = 1_000;
