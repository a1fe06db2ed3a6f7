//! The records of actor hosting as they are stored. Read and written by the machine, the loader, the
//! chores and subscriptions; nothing here touches the store.
//!
//! Each starts with a format version. Fields are only ever changed together with the version.

use bytes::Bytes;
use selvedge_protocol::ActorAddress;
use selvedge_protocol::codec::{decode_record, encode_record};
use selvedge_protocol::frame::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store;

/// A record with the format version that is written today.
pub(crate) trait Stored: Serialize + DeserializeOwned {
    /// What the record is, for the error that says it does not decode.
    const NAME: &'static str;
    const FORMAT: u8 = 1;

    fn encode(&self) -> Bytes {
        encode_record(Self::FORMAT, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, store::Error> {
        let failed = |reason: String| store::Error::Record {
            key: Self::NAME.to_owned(),
            reason,
        };
        match bytes.split_first() {
            Some((&format, body)) if format == Self::FORMAT => {
                decode_record(body).map_err(|error| failed(error.to_string()))
            }
            Some((format, _)) => Err(failed(format!("format {format} is not known"))),
            None => Err(failed("it is empty".to_owned())),
        }
    }
}

/// Who owns a slot: compared within each commit's transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fence {
    pub(crate) epoch: u64,
    pub(crate) node: String,
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
    pub(crate) state: StoredState,
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

/// A committed event: its seq is in its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    pub(crate) kind: String,
    pub(crate) time_ms: u64,
    pub(crate) data: Bytes,
}

impl Stored for Fence {
    const NAME: &'static str = "slot fence";
}

impl Stored for ActorRecord {
    const NAME: &'static str = "actor";
}

impl Stored for SessionRecord {
    const NAME: &'static str = "session";
}

impl Stored for OutcomeRecord {
    const NAME: &'static str = "command outcome";
}

impl Stored for TimerRecord {
    const NAME: &'static str = "timer";
}

impl Stored for OutboxRecord {
    const NAME: &'static str = "outbox message";
}

impl Stored for EventRecord {
    const NAME: &'static str = "event";
}
