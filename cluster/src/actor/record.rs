//! The records of actor hosting as they are stored. Read and written by the machine, the loader, the
//! chores and subscriptions; nothing here touches the store.
//!
//! Each starts with a format version. Fields are only ever changed together with the version.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::codec::{self, decode_record};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ActorAddress, SessionId};
use serde::{Deserialize, Serialize};

use crate::store;
use crate::store::record::{self, Record};

/// A record of this module, named for the error that says it does not decode.
pub(crate) trait Stored: Record {
    const NAME: &'static str;

    fn encode(&self) -> Bytes {
        record::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, store::Error> {
        record::decode(Self::NAME.as_bytes(), bytes)
    }
}

/// Who owns a slot: compared within each commit's transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fence {
    /// Raised with each take, and when the slot is given up; none is 0.
    pub(crate) epoch: u64,
    /// Empty once it has given the slot up.
    pub(crate) node: String,
    /// What the node had joined the cluster as; 0: it was alone.
    pub(crate) incarnation: u64,
    /// The number of the plan under which it took the slot: nobody takes it under an earlier one.
    pub(crate) plan: u64,
}

impl Fence {
    /// The fence of a slot that was left: nobody has it, and no commit under the fence before is accepted.
    pub(crate) fn given_up(self) -> Self {
        Self {
            epoch: self.epoch + 1,
            node: String::new(),
            ..self
        }
    }
}

/// Format 1 of it.
#[derive(Deserialize)]
struct Fence1 {
    epoch: u64,
    node: String,
}

/// An actor: counters, timers, and its state while that is small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActorRecord {
    /// The format of the state, as its kind counts.
    pub(crate) state_format: u8,
    pub(crate) seq: u64,
    pub(crate) version: u64,
    /// The last message put into the outbox.
    pub(crate) outbox: u64,
    pub(crate) awake: bool,
    pub(crate) timers: Vec<TimerEntry>,
    /// What is known of the commands of the session heard last, while that is little: newer than its row.
    pub(crate) session: Option<(SessionId, SessionRecord)>,
    pub(crate) state: StoredState,
    /// Other parts are stored beside this one, or were.
    pub(crate) has_parts: bool,
}

/// Format 1 of it.
#[derive(Deserialize)]
struct ActorRecord1 {
    state_format: u8,
    seq: u64,
    version: u64,
    outbox: u64,
    awake: bool,
    timers: Vec<TimerEntry>,
    session: Option<(SessionId, SessionRecord)>,
    state: StoredState,
}

/// Where the state is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredState {
    Here(Bytes),
    /// In this many chunks under keys of their own.
    Chunks(u32),
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerEntry {
    pub(crate) name: String,
    pub(crate) due_ms: u64,
}

/// What is known of the commands of one session to one actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub(crate) acknowledged: u64,
    pub(crate) heard_ms: u64,
    /// By number; `None` is an outcome under a key of its own, because it is large.
    pub(crate) outcomes: Vec<(u64, Option<Outcome>)>,
}

/// The outcome of a command with an id of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutcomeRecord {
    pub(crate) time_ms: u64,
    pub(crate) outcome: Outcome,
}

/// A timer that will fire: its name and due time are in its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerRecord {
    pub(crate) body: Bytes,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboxRecord {
    pub(crate) to: ActorAddress,
    pub(crate) name: String,
    pub(crate) body: Bytes,
}

/// Events committed together, in order and without a gap: the last one's seq is in the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventsRecord(pub(crate) Vec<EventRecord>);

/// A committed event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    pub(crate) kind: Arc<str>,
    pub(crate) time_ms: u64,
    pub(crate) data: Bytes,
}

/// Gives records of one format so far their format and name.
macro_rules! stored {
    ($($record:ty: $name:literal),* $(,)?) => {$(
        impl Record for $record {
            const FORMAT: u8 = 1;
        }

        impl Stored for $record {
            const NAME: &'static str = $name;
        }
    )*};
}

stored! {
    SessionRecord: "session",
    OutcomeRecord: "command outcome",
    TimerRecord: "timer",
    OutboxRecord: "outbox message",
    EventsRecord: "events",
}

impl Record for Fence {
    const FORMAT: u8 = 2;

    fn upcast(format: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        let upcast = |fence: Fence1| Self {
            epoch: fence.epoch,
            node: fence.node,
            incarnation: 0,
            plan: 0,
        };
        (format == 1).then(|| decode_record(body).map(upcast))
    }
}

impl Stored for Fence {
    const NAME: &'static str = "slot fence";
}

impl Record for ActorRecord {
    const FORMAT: u8 = 2;

    fn upcast(format: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        let upcast = |record: ActorRecord1| Self {
            state_format: record.state_format,
            seq: record.seq,
            version: record.version,
            outbox: record.outbox,
            awake: record.awake,
            timers: record.timers,
            session: record.session,
            state: record.state,
            has_parts: true,
        };
        (format == 1).then(|| decode_record(body).map(upcast))
    }
}

impl Stored for ActorRecord {
    const NAME: &'static str = "actor";
}

#[cfg(test)]
mod tests;
