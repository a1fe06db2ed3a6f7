//! The machine of one actor: decides commands, keeps their outcomes, gathers what shares a commit.
//!
//! Pure: no async, no store, no clock. The activation feeds it, does the look-ups and commits it asks
//! for, and hands out the answers. It never answers a decision before its commit has finished.

mod effects;
mod end;
mod group;
mod memory;
mod personal;
mod retention;
mod stored;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::limits::{ACTOR_BATCH_BYTES_MAX, ACTOR_BATCH_MAX, STATE_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Failure, SubjectId, if_version};
use tokio::time::Instant;

use effects::{Asked, NODE};
pub(crate) use group::{Batch, Finished, Group, Write};
pub(crate) use memory::{LookUp, Memory, New, Recall};
pub(crate) use personal::{Index, Personal};

use crate::actor::hosted::{State, defect};
use crate::actor::kind::{Context, Incoming, Origin, Stand};
use crate::actor::mailbox::Caller;
use crate::actor::record::{ActorRecord, Stored, StoredState, TimerEntry};
use crate::actor::request::{CommandRequest, QueryRequest, ScopedAddress};
use crate::store::keys::{ActorPath, ActorPrefix, Key};
use crate::store::{self, Version};

/// Who an actor is.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) actor: ScopedAddress,
    pub(crate) slot: u16,
    pub(crate) prefix: ActorPrefix,
    pub(crate) is_public: bool,
}

impl Name {
    pub(crate) fn path(&self) -> ActorPath {
        ActorPath {
            slot: self.slot,
            tenant: self.actor.tenant.clone(),
            address: self.actor.address.clone(),
        }
    }
}

/// The time of an arrival.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall_ms: u64,
    pub(crate) instant: Instant,
}

/// What changes an actor.
#[derive(Debug)]
pub(crate) enum Work {
    Command(CommandRequest),
    /// A timer is due.
    Fire {
        name: String,
        due_ms: u64,
        body: Bytes,
    },
}

/// How far the machine came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All that can be decided now is.
    Done,
    /// The next command needs a value; [`Machine::learn`] it, then [`Machine::resume`].
    LookUp(LookUp),
}

/// The state in memory cannot be trusted any more: nothing undecided is decided, nothing pending is
/// committed, only a commit in flight may finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// When the pending decisions want to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    Soon,
    Now,
}

/// An actor as loaded.
pub(crate) struct Loaded {
    pub(crate) name: Arc<Name>,
    pub(crate) state: Box<dyn State>,
    /// `None`: it was never committed.
    pub(crate) record: Option<ActorRecord>,
    pub(crate) memory: Memory,
    /// Rows past their retention.
    pub(crate) expired: Vec<Write>,
    /// How long it is kept without a change.
    pub(crate) retention: Option<Duration>,
    pub(crate) base: Version,
}

pub(crate) struct Machine {
    name: Arc<Name>,
    state: Box<dyn State>,
    memory: Memory,
    /// The last event, message and version, as decided, decided and committed.
    seq: u64,
    outbox: u64,
    version: u64,
    awake: bool,
    timers: Vec<TimerEntry>,
    /// Chunks that the stored state has; 0 while it is within the record.
    chunks: u32,
    /// Whether any part was ever stored beside the record.
    has_parts: bool,
    base: Version,
    /// Whom it is about, once that is known: it stays so.
    subject: Option<SubjectId>,
    /// Whether this activation has seen to it that the subject's things are found.
    is_indexed: bool,
    expired: Vec<Write>,
    retention: Option<Duration>,
    pending: Option<Box<Group>>,
    in_flight: Option<Box<Group>>,
    /// What waits for room in the next commit, or for a look-up.
    backlog: VecDeque<(Work, Caller)>,
    /// Answers to those whose command broke the machine. Given when nobody can reach it any more: an
    /// answered caller finds the next activation.
    parting: Vec<(Caller, Outcome)>,
}

impl Machine {
    pub(crate) fn new(loaded: Loaded) -> Self {
        let record = loaded.record.unwrap_or(ActorRecord {
            state_format: 0,
            seq: 0,
            version: 0,
            outbox: 0,
            awake: false,
            timers: Vec::new(),
            session: None,
            state: StoredState::Chunks(0),
            has_parts: false,
        });
        Self {
            name: loaded.name,
            state: loaded.state,
            memory: loaded.memory,
            seq: record.seq,
            outbox: record.outbox,
            version: record.version,
            awake: record.awake,
            timers: record.timers,
            chunks: match record.state {
                StoredState::Here(_) => 0,
                StoredState::Chunks(count) => count,
            },
            has_parts: record.has_parts,
            base: loaded.base,
            subject: None,
            is_indexed: false,
            expired: loaded.expired,
            retention: loaded.retention,
            pending: None,
            in_flight: None,
            backlog: VecDeque::new(),
            parting: Vec::new(),
        }
    }

    /// Takes a command or a due timer, and decides it as soon as its turn comes.
    pub(crate) fn offer(
        &mut self,
        now: Moment,
        work: Work,
        caller: Caller,
    ) -> Result<Progress, Broken> {
        if self.backlog.is_empty() && !self.is_full() {
            return self.decide(now, work, caller);
        }
        self.backlog.push_back((work, caller));
        Ok(Progress::Done)
    }

    /// Goes on with what waits.
    pub(crate) fn resume(&mut self, now: Moment) -> Result<Progress, Broken> {
        while !self.is_full() {
            let Some((work, caller)) = self.backlog.pop_front() else {
                // An idle actor keeps no buffers.
                self.backlog = VecDeque::new();
                break;
            };
            if let Progress::LookUp(look_up) = self.decide(now, work, caller)? {
                return Ok(Progress::LookUp(look_up));
            }
        }
        Ok(Progress::Done)
    }

    /// Takes the answer to a look-up.
    pub(crate) fn learn(
        &mut self,
        look_up: &LookUp,
        value: Option<&Bytes>,
    ) -> Result<(), store::Error> {
        self.memory.learn(look_up, value)
    }

    /// Answers a query on the state as decided, once that is committed.
    pub(crate) fn query(&mut self, now: Moment, request: &QueryRequest, caller: Caller) {
        if is_late(request.deadline, now) {
            caller.answer(late());
            return;
        }
        let outcome = match self.state.answer(&request.name, &request.body) {
            Ok(body) => self.success(body),
            Err(failure) => Outcome::Failure(failure),
        };
        self.answer_when_committed(caller, outcome);
    }

    /// When the pending decisions want to be committed.
    pub(crate) fn wish(&self) -> Wish {
        match &self.pending {
            Some(_) if self.in_flight.is_some() => Wish::Nothing,
            Some(pending) if pending.is_urgent || self.is_full() => Wish::Now,
            Some(_) => Wish::Soon,
            None => Wish::Nothing,
        }
    }

    /// Whether nothing waits here and the kind expects nothing more.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_busy = self.pending.is_some() || self.in_flight.is_some();
        if is_busy || !self.backlog.is_empty() {
            return false;
        }
        // A panic keeps it in memory until it was idle, which harms nobody.
        catch_unwind(AssertUnwindSafe(|| self.state.is_at_rest(self.awake))).unwrap_or(false)
    }

    pub(crate) const fn is_committing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The pending decisions as a transaction; `None` when there are none or one is in flight.
    pub(crate) fn start_commit(&mut self) -> Result<Option<Batch>, Broken> {
        if self.in_flight.is_some() {
            return Ok(None);
        }
        let Some(mut group) = self.pending.take() else {
            return Ok(None);
        };
        if group.is_end {
            return Ok(Some(self.end_batch(group)));
        }
        let Ok(state) = self.stored_state(group.state_changed) else {
            self.refuse_too_large(*group);
            return Err(Broken);
        };
        let personal = self.personal()?;
        let mut writes = std::mem::take(&mut group.rows);
        writes.append(&mut self.expired);
        writes.extend(group.event_rows(&self.name.prefix));
        let sessions = self.memory.place_sessions(&group.sessions);
        writes.extend(sessions.rows.iter().map(|(session, record)| Write {
            key: self.name.prefix.session(*session),
            value: Some(record.encode()),
        }));
        self.has_parts |= !sessions.rows.is_empty();
        let (stored, clear) = self.write_state(state, group.state_changed, &mut writes);
        let record = self.name.prefix.record();
        writes.push(Write {
            key: record.clone(),
            value: Some(self.record(stored, sessions.inline).encode()),
        });
        if self.version == 0 {
            writes.extend(self.name.catalog(Some(Bytes::new())));
        }
        let audited = group.audited(&self.name.actor.tenant);
        self.in_flight = Some(group);
        Ok(Some(Batch {
            base: self.base,
            builds_on: self.version,
            record,
            clear,
            writes,
            audited,
            personal,
        }))
    }

    /// The commit in flight is durable as of `base`.
    pub(crate) fn commit_finished(&mut self, base: Version) -> Finished {
        let group = self.in_flight.take().unwrap_or_default();
        self.base = base;
        if group.is_end {
            self.begin_anew();
        } else {
            self.version += 1;
            self.memory.trim(self.version);
        }
        Finished {
            events: group.events.into(),
            has_messages: group.has_messages,
            timer_due_ms: group.timer_due_ms,
            answers: group.answers,
            is_end: group.is_end,
        }
    }

    /// Tells the kind that the actor was activated or has committed.
    pub(crate) fn tell_committed(&mut self) -> Result<(), Broken> {
        let stand = Stand {
            seq: self.seq,
            version: self.decided_version(),
            is_durable: self.pending.is_none() && self.in_flight.is_none(),
        };
        let (state, actor) = (&mut self.state, &self.name.actor);
        catch_unwind(AssertUnwindSafe(|| state.committed(actor, stand))).map_err(|_| Broken)
    }

    /// The commit in flight is over the limits of the store.
    pub(crate) fn refuse_in_flight(&mut self) {
        if let Some(group) = self.in_flight.take() {
            self.refuse_too_large(*group);
        }
    }

    /// The present group was not committed, and everybody in it can be told why.
    pub(crate) fn fail_in_flight(&mut self, failure: &Failure) {
        if let Some(group) = self.in_flight.take() {
            let outcomes = group.answers.into_iter();
            self.parting
                .extend(outcomes.map(|(caller, _)| (caller, Outcome::Failure(failure.clone()))));
        }
    }

    /// The end: whoever still waits hears that it may try again, or what its command did wrong.
    pub(crate) fn part(self) {
        for (caller, outcome) in self.parting {
            caller.answer(outcome);
        }
    }

    /// Forgets whatever is not in flight; its callers hear that they may try again.
    pub(crate) fn give_up(&mut self) {
        self.pending = None;
        self.backlog = VecDeque::new();
    }

    /// The version that decisions made now will have.
    const fn next_version(&self) -> u64 {
        self.version + if self.in_flight.is_some() { 2 } else { 1 }
    }

    /// Whether the next decision has to wait for a commit.
    fn is_full(&self) -> bool {
        let is_full = self.pending.as_ref().is_some_and(|pending| {
            pending.decisions >= ACTOR_BATCH_MAX || pending.bytes >= ACTOR_BATCH_BYTES_MAX
        });
        is_full || self.is_ending()
    }

    fn decide(&mut self, now: Moment, work: Work, caller: Caller) -> Result<Progress, Broken> {
        match work {
            Work::Command(request) => match self.memory.recall(&request.identity, self.version) {
                Recall::Known(outcome) => self.answer_when_committed(caller, outcome),
                Recall::Unclear(look_up) => {
                    self.backlog.push_front((Work::Command(request), caller));
                    return Ok(Progress::LookUp(look_up));
                }
                Recall::New if is_late(request.deadline, now) => caller.answer(late()),
                Recall::New if !self.has_version(request.if_version) => {
                    let refused = self.other_version(request.if_version);
                    self.answer_when_committed(caller, refused);
                }
                Recall::New => self.decide_command(now, &request, caller)?,
            },
            Work::Fire { name, due_ms, body } => {
                self.decide_timer(now, Firing { name, due_ms, body }, caller)?;
            }
        }
        Ok(Progress::Done)
    }

    /// Whether a command that is decided now finds the version that it needs.
    fn has_version(&self, wanted: Option<u64>) -> bool {
        wanted.is_none_or(|wanted| wanted == self.decided_version())
    }

    fn other_version(&self, wanted: Option<u64>) -> Outcome {
        let wanted = wanted.unwrap_or_default();
        Outcome::Failure(if_version::refused(wanted, self.decided_version()))
    }

    fn decide_command(
        &mut self,
        now: Moment,
        request: &CommandRequest,
        caller: Caller,
    ) -> Result<(), Broken> {
        let incoming = Incoming {
            name: &request.name,
            body: &request.body,
            payload: request.payload.as_ref(),
        };
        let context = Context {
            now_ms: now.wall_ms,
            tenant: &self.name.actor.tenant,
            address: &self.name.actor.address,
            principal: &request.principal,
            origin: request.origin,
            seq: self.seq,
        };
        let state = &mut self.state;
        let decision = catch_unwind(AssertUnwindSafe(|| state.apply(&context, &incoming)));
        let asked = Asked {
            now_ms: now.wall_ms,
            principal: &request.principal,
            identity: &request.identity,
        };
        self.settle(asked, decision, caller)
    }

    fn decide_timer(&mut self, now: Moment, timer: Firing, caller: Caller) -> Result<(), Broken> {
        let found = self
            .timers
            .iter()
            .position(|entry| entry.name == timer.name && entry.due_ms == timer.due_ms);
        let Some(index) = found else {
            // It fired already, or was moved: the row goes with the commit that said so.
            let outcome = self.success(Bytes::new());
            self.answer_when_committed(caller, outcome);
            return Ok(());
        };
        if timer.name == retention::TIMER {
            return self.decide_retention(now, (index, timer), caller);
        }
        let name = Arc::clone(&self.name);
        let incoming = Incoming {
            name: &timer.name,
            body: &timer.body,
            payload: None,
        };
        let context = Context {
            now_ms: now.wall_ms,
            tenant: &name.actor.tenant,
            address: &name.actor.address,
            principal: NODE,
            origin: Origin::Timer,
            seq: self.seq,
        };
        let state = &mut self.state;
        // Removed first, so that the command may set it again.
        self.timers.swap_remove(index);
        let decision = catch_unwind(AssertUnwindSafe(|| state.apply(&context, &incoming)));
        let row = self.timer_key(timer.name.clone(), timer.due_ms);
        let group = self.pending.get_or_insert_default();
        group.rows.push(Write {
            key: row,
            value: None,
        });
        group.is_urgent = true;
        group.decisions += 1;
        self.settle(Asked::by_nobody(now.wall_ms), decision, caller)
    }

    /// Answers now, or with the last commit that what the answer rests on waits for.
    fn answer_when_committed(&mut self, caller: Caller, outcome: Outcome) {
        match (&mut self.pending, &mut self.in_flight) {
            (Some(pending), _) => {
                // Somebody waits now.
                pending.is_urgent = true;
                pending.answers.push((caller, outcome));
            }
            (None, Some(in_flight)) => in_flight.answers.push((caller, outcome)),
            (None, None) => caller.answer(outcome),
        }
    }

    /// A success as of the last decision.
    fn success(&self, body: Bytes) -> Outcome {
        Outcome::Success(Success {
            body,
            seq: self.seq,
            version: self.decided_version(),
        })
    }

    /// The version once all that was decided is committed.
    fn decided_version(&self) -> u64 {
        self.version + u64::from(self.in_flight.is_some()) + u64::from(self.pending.is_some())
    }

    /// A state that cannot be stored: the one command that made it so is refused for good; of several
    /// nobody knows which one did, so each may try again, alone.
    fn refuse_too_large(&mut self, group: Group) {
        if group.decisions > 1 {
            return;
        }
        let message = format!("the state would be over {STATE_BYTES_MAX} bytes");
        for (caller, _) in group.answers {
            let failure = Failure::new(ErrorCode::TooLarge, message.clone());
            self.parting.push((caller, Outcome::Failure(failure)));
        }
    }

    fn timer_key(&self, name: String, due_ms: u64) -> Vec<u8> {
        Key::Timer {
            actor: self.name.path(),
            due_ms,
            name,
        }
        .encode()
    }
}

struct Firing {
    name: String,
    due_ms: u64,
    body: Bytes,
}

pub(crate) fn is_late(deadline: Option<Instant>, now: Moment) -> bool {
    deadline.is_some_and(|deadline| deadline < now.instant)
}

pub(crate) fn late() -> Outcome {
    Outcome::Failure(Failure::new(
        ErrorCode::DeadlineExceeded,
        "the deadline passed before this was decided",
    ))
}

fn internal(what: &str) -> Outcome {
    Outcome::Failure(defect(what))
}

#[cfg(test)]
mod tests;
