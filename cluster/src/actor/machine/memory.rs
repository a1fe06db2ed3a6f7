//! What an actor remembers of commands it has decided, so that each takes effect once. Part of the
//! machine: no I/O, no clock.
//!
//! What is kept in memory is a part of what is stored. While it is all of it, an unknown id is a new
//! command; after something was let go, unknown ids are looked up in the store one by one.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::{RETENTION_MS, SESSION_WINDOW};
use selvedge_protocol::{CommandId, ErrorCode, Failure, SessionId};

use crate::actor::machine::Write;
use crate::actor::record::{OutcomeRecord, SessionRecord, Stored};
use crate::actor::request::Identity;
use crate::store;
use crate::store::keys::ActorPrefix;

/// Sessions, and outcomes by id, kept in memory between commits, each. Most actors hear of a few.
const KEPT_MAX: usize = 128;
/// Outcomes of one session inside its record, bytes; further ones get keys of their own, so that the
/// record stays small against the store's limit on a value and 128 of them stay small in memory.
const SESSION_OUTCOMES_BYTES_MAX: usize = 16 * 1024;
/// A session's record within the actor's, bytes: the rest of that takes up to 90,000 of the 100,000 that a
/// value may have, and all of it is written with each commit.
const INLINE_SESSION_BYTES_MAX: usize = 512;
/// Outcomes in it, for those under keys of their own still take a number each.
pub(super) const INLINE_OUTCOMES_MAX: usize = 16;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    sessions: HashMap<SessionId, Session>,
    /// The session whose record is within the actor's own, which saves most commits a row.
    inline: Option<SessionId>,
    /// Outcomes by id, with the version of the actor that contains each.
    outcomes: HashMap<CommandId, (u64, Outcome)>,
    /// Whether sessions, outcomes in the store are missing here.
    sessions_are_partial: bool,
    outcomes_are_partial: bool,
    /// The answer to the last look-up, for the command that asked for it.
    looked_up: Option<(CommandId, Option<Outcome>)>,
}

#[derive(Debug)]
struct Session {
    acknowledged: u64,
    heard_ms: u64,
    /// In order of their numbers.
    outcomes: VecDeque<Entry>,
    bytes: usize,
    /// The version of the actor that contains the last change.
    version: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    /// `None`: under a key of its own.
    outcome: Option<Outcome>,
    version: u64,
}

/// What is known of a command.
#[derive(Debug)]
pub(crate) enum Recall {
    New,
    Known(Outcome),
    /// It depends on the value under this key.
    Unclear(LookUp),
}

/// A value that the machine needs from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookUp {
    Session(SessionId),
    Outcome(CommandId),
}

impl LookUp {
    pub(crate) fn key(&self, prefix: &ActorPrefix) -> Vec<u8> {
        match self {
            Self::Session(session) => prefix.session(*session),
            Self::Outcome(command) => prefix.command_outcome(*command),
        }
    }
}

impl Memory {
    /// Takes in a session as stored. Answers whether it is still worth keeping in the store.
    pub(crate) fn load_session(
        &mut self,
        now_ms: u64,
        session: SessionId,
        value: &[u8],
    ) -> Result<bool, store::Error> {
        let record = SessionRecord::decode(value)?;
        Ok(self.take_session(now_ms, session, record))
    }

    /// Takes in the session that was stored within the actor's record. It may have an older row as well,
    /// which was taken in before.
    pub(crate) fn load_inline(&mut self, now_ms: u64, session: SessionId, record: SessionRecord) {
        if self.take_session(now_ms, session, record) {
            self.inline = Some(session);
        }
    }

    fn take_session(&mut self, now_ms: u64, session: SessionId, record: SessionRecord) -> bool {
        let is_kept = record.heard_ms.saturating_add(RETENTION_MS) >= now_ms;
        if is_kept {
            self.sessions.insert(session, Session::from(record));
        }
        is_kept
    }

    /// Takes in an outcome as stored. Answers whether it is still worth keeping in the store.
    pub(crate) fn load_outcome(
        &mut self,
        now_ms: u64,
        command: CommandId,
        value: &[u8],
    ) -> Result<bool, store::Error> {
        let record = OutcomeRecord::decode(value)?;
        if record.time_ms.saturating_add(RETENTION_MS) < now_ms {
            return Ok(false);
        }
        self.outcomes.insert(command, (0, record.outcome));
        Ok(true)
    }

    /// There is more in the store than was taken in.
    pub(crate) const fn load_was_partial(&mut self, sessions: bool) {
        self.sessions_are_partial |= sessions;
        self.outcomes_are_partial = true;
    }

    /// Takes in the answer to a look-up.
    pub(crate) fn learn(
        &mut self,
        look_up: &LookUp,
        value: Option<&Bytes>,
    ) -> Result<(), store::Error> {
        match look_up {
            LookUp::Session(session) => {
                let known = match value {
                    Some(value) => Session::from(SessionRecord::decode(value)?),
                    None => Session::new(),
                };
                self.sessions.insert(*session, known);
            }
            LookUp::Outcome(command) => {
                let outcome = match value {
                    Some(value) => Some(OutcomeRecord::decode(value)?.outcome),
                    None => None,
                };
                self.looked_up = Some((*command, outcome));
            }
        }
        Ok(())
    }

    /// What is known of a command; `committed` is the version of the actor that is durable.
    pub(crate) fn recall(&mut self, identity: &Identity, committed: u64) -> Recall {
        match identity {
            Identity::Session {
                session,
                number,
                acknowledged,
            } => self.recall_number(*session, *number, *acknowledged, committed),
            Identity::Id(command) => {
                if let Some((_, outcome)) = self.outcomes.get(command) {
                    return Recall::Known(outcome.clone());
                }
                match self.looked_up.take() {
                    Some((looked_up, Some(outcome))) if looked_up == *command => {
                        Recall::Known(outcome)
                    }
                    Some((looked_up, None)) if looked_up == *command => Recall::New,
                    Some(_) | None if self.outcomes_are_partial => {
                        Recall::Unclear(LookUp::Outcome(*command))
                    }
                    Some(_) | None => Recall::New,
                }
            }
            Identity::Natural => Recall::New,
        }
    }

    fn recall_number(
        &mut self,
        id: SessionId,
        number: u64,
        acknowledged: u64,
        committed: u64,
    ) -> Recall {
        let known = self.sessions.get(&id);
        if known.is_none() && self.sessions_are_partial {
            return Recall::Unclear(LookUp::Session(id));
        }
        let acknowledged = acknowledged.max(known.map_or(0, |session| session.acknowledged));
        if number <= acknowledged {
            let message = "this command was acknowledged, its outcome is not kept any more";
            return Recall::Known(Outcome::Failure(Failure::new(
                ErrorCode::OutcomeExpired,
                message,
            )));
        }
        if number - acknowledged > SESSION_WINDOW {
            let message = format!(
                "command {number} is more than {SESSION_WINDOW} past the last acknowledged one; acknowledge answers"
            );
            return Recall::Known(Outcome::Failure(Failure::field(
                ErrorCode::Invalid,
                "number",
                message,
            )));
        }
        let Some(session) = known else {
            return Recall::New;
        };
        let Ok(index) = session.find(number) else {
            return Recall::New;
        };
        let entry = &session.outcomes[index];
        if let Some(outcome) = &entry.outcome {
            return Recall::Known(outcome.clone());
        }
        let command = command_of(id, number);
        match self.looked_up.take() {
            Some((looked_up, Some(outcome))) if looked_up == command => Recall::Known(outcome),
            // Its row is cleared when it is past the retention.
            Some((looked_up, None)) if looked_up == command => {
                Recall::Known(Outcome::Failure(Failure::new(
                    ErrorCode::OutcomeExpired,
                    "the outcome of this command is not kept any more",
                )))
            }
            Some(_) | None if entry.version > committed => {
                Recall::Known(Outcome::Failure(Failure::new(
                    ErrorCode::Unavailable,
                    "this command is being committed; send it again",
                )))
            }
            Some(_) | None => Recall::Unclear(LookUp::Outcome(command)),
        }
    }

    /// Keeps the outcome of a command just decided, to be durable with `version`. Answers the session
    /// whose record changed; rows of their own go to `rows`.
    pub(crate) fn keep(
        &mut self,
        new: New<'_>,
        prefix: &ActorPrefix,
        rows: &mut Vec<Write>,
    ) -> Option<SessionId> {
        let row = |command: CommandId| Write {
            key: prefix.command_outcome(command),
            value: Some(
                OutcomeRecord {
                    time_ms: new.now_ms,
                    outcome: new.outcome.clone(),
                }
                .encode(),
            ),
        };
        match new.identity {
            Identity::Session {
                session: id,
                number,
                acknowledged,
            } => {
                let session = self.sessions.entry(*id).or_insert_with(Session::new);
                session.acknowledge(*acknowledged, |number| {
                    rows.push(Write {
                        key: prefix.command_outcome(command_of(*id, number)),
                        value: None,
                    });
                });
                session.heard_ms = new.now_ms;
                session.version = new.version;
                let bytes = size(new.outcome);
                let is_small = session.bytes + bytes <= SESSION_OUTCOMES_BYTES_MAX;
                if is_small {
                    session.bytes += bytes;
                } else {
                    rows.push(row(command_of(*id, *number)));
                }
                let entry = Entry {
                    number: *number,
                    outcome: is_small.then(|| new.outcome.clone()),
                    version: new.version,
                };
                match session.find(*number) {
                    Ok(index) => session.outcomes[index] = entry,
                    Err(index) => session.outcomes.insert(index, entry),
                }
                Some(*id)
            }
            Identity::Id(command) => {
                rows.push(row(*command));
                self.outcomes
                    .insert(*command, (new.version, new.outcome.clone()));
                None
            }
            Identity::Natural => None,
        }
    }

    /// What is to be stored of the sessions that changed: the last of them within the actor's record if it
    /// fits, all others in rows of their own, the one that makes room for it included.
    pub(crate) fn place_sessions(&mut self, changed: &[SessionId]) -> Placed {
        let candidate = changed.last().copied().or(self.inline);
        let mut placed = Placed::default();
        let before = self.inline.take().filter(|id| !changed.contains(id));
        for id in changed.iter().copied().chain(before) {
            let Some(record) = self.session_record(&id) else {
                continue;
            };
            if Some(id) == candidate && self.is_small(&id) {
                self.inline = candidate;
                placed.inline = Some((id, record));
            } else {
                placed.rows.push((id, record));
            }
        }
        placed
    }

    fn is_small(&self, id: &SessionId) -> bool {
        // What a record takes besides its outcomes: two numbers and a length.
        const FRAME_BYTES_MAX: usize = 27;
        self.sessions.get(id).is_some_and(|session| {
            FRAME_BYTES_MAX + session.bytes <= INLINE_SESSION_BYTES_MAX
                && session.outcomes.len() <= INLINE_OUTCOMES_MAX
        })
    }

    fn session_record(&self, session: &SessionId) -> Option<SessionRecord> {
        self.sessions.get(session).map(|session| SessionRecord {
            acknowledged: session.acknowledged,
            heard_ms: session.heard_ms,
            outcomes: session
                .outcomes
                .iter()
                .map(|entry| (entry.number, entry.outcome.clone()))
                .collect(),
        })
    }

    /// Lets go of what is durable when there is too much of it. Called after each commit.
    pub(crate) fn trim(&mut self, committed: u64) {
        if self.sessions.len() > KEPT_MAX {
            let inline = self.inline;
            self.sessions
                .retain(|id, session| session.version > committed || Some(*id) == inline);
            self.sessions_are_partial = true;
        }
        if self.outcomes.len() > KEPT_MAX {
            self.outcomes.retain(|_, (version, _)| *version > committed);
            self.outcomes_are_partial = true;
        }
    }
}

/// Where the records of sessions go in a commit.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    pub(crate) inline: Option<(SessionId, SessionRecord)>,
    pub(crate) rows: Vec<(SessionId, SessionRecord)>,
}

/// A command just decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) outcome: &'a Outcome,
    pub(crate) now_ms: u64,
    pub(crate) version: u64,
}

impl Session {
    const fn new() -> Self {
        Self {
            acknowledged: 0,
            heard_ms: 0,
            outcomes: VecDeque::new(),
            bytes: 0,
            version: 0,
        }
    }

    /// Forgets outcomes up to `number`; `apart` hears of those with keys of their own.
    fn acknowledge(&mut self, number: u64, mut apart: impl FnMut(u64)) {
        self.acknowledged = self.acknowledged.max(number);
        while let Some(entry) = self.outcomes.front() {
            if entry.number > self.acknowledged {
                return;
            }
            match &entry.outcome {
                Some(outcome) => self.bytes -= size(outcome),
                None => apart(entry.number),
            }
            self.outcomes.pop_front();
        }
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        match self.outcomes.back() {
            Some(last) if last.number < number => Err(self.outcomes.len()),
            Some(_) | None => self
                .outcomes
                .binary_search_by_key(&number, |entry| entry.number),
        }
    }
}

impl From<SessionRecord> for Session {
    fn from(record: SessionRecord) -> Self {
        let outcomes: VecDeque<Entry> = record
            .outcomes
            .into_iter()
            .map(|(number, outcome)| Entry {
                number,
                outcome,
                version: 0,
            })
            .collect();
        Self {
            acknowledged: record.acknowledged,
            heard_ms: record.heard_ms,
            bytes: outcomes
                .iter()
                .filter_map(|entry| entry.outcome.as_ref())
                .map(size)
                .sum(),
            outcomes,
            version: 0,
        }
    }
}

/// Numbers, lengths and the marks of options around an outcome.
const ENVELOPE_BYTES_MAX: usize = 32;

/// About the bytes of an outcome in a record.
fn size(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Success(success) => ENVELOPE_BYTES_MAX + success.body.len(),
        Outcome::Failure(failure) => {
            ENVELOPE_BYTES_MAX
                + failure.message.len()
                + failure.field.as_ref().map_or(0, String::len)
        }
    }
}

/// The id under which a large outcome of a session's command is stored.
fn command_of(session: SessionId, number: u64) -> CommandId {
    CommandId::from_text(&format!("{session}#{number}"))
}
