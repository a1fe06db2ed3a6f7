//! The frames between a store's client and its server, version 1 of the service `Store`. Framed as those of
//! the session protocol are, see [`crate::frame`].
//!
//! A stream is one transaction, one watch, or the status of the store for as long as it is open:
//!
//! ```text
//! Begin (Get | Range | Set | … )* Commit     ► Begun (Value | Pairs+ | Failed)* (Committed | Failed)
//! Watch                                      ► Changed | Failed
//! Follow                                     ► Status*
//! ```
//!
//! Writes are not answered. `Begun` comes before the first other answer, unless the version was given. A stream that
//! ends without `Commit` leaves no trace.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounded;

/// What a store's client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRequest {
    Begin(Begin),
    Get(Get),
    Range(Range),
    Set(Set),
    Clear(Clear),
    ClearRange(ClearRange),
    Add(Add),
    SetVersionstamped(SetVersionstamped),
    ReadConflict(ReadConflict),
    WriteConflict(WriteConflict),
    Commit(Commit),
    Watch(Watch),
    Follow(Follow),
}

/// What a store's server may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAnswer {
    Begun(Begun),
    Value(Value),
    Pairs(Pairs),
    Committed(Committed),
    Failed(StoreFailure),
    Changed(Changed),
    Status(Status),
}

/// Begins a transaction, as of now or as of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    pub version: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
    pub isolation: Isolation,
}

/// Reads `begin <= key < end`; without an end, to the last key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    #[serde(deserialize_with = "bounded::begin")]
    pub begin: Bytes,
    #[serde(deserialize_with = "bounded::end")]
    pub end: Option<Bytes>,
    pub order: Order,
    pub limit: u64,
    pub isolation: Isolation,
}

/// Whether a read takes part in conflict detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    Serializable,
    Snapshot,
}

/// The direction of a range read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    Ascending,
    Descending,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
    #[serde(deserialize_with = "bounded::value")]
    pub value: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clear {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearRange {
    #[serde(deserialize_with = "bounded::key")]
    pub begin: Bytes,
    #[serde(deserialize_with = "bounded::key")]
    pub end: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
    pub by: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetVersionstamped {
    #[serde(deserialize_with = "bounded::prefix")]
    pub prefix: Bytes,
    #[serde(deserialize_with = "bounded::suffix")]
    pub suffix: Bytes,
    #[serde(deserialize_with = "bounded::value")]
    pub value: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadConflict {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteConflict {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
}

/// Commits; the last frame of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {}

/// Answered once, when the value changed after `since` or may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
    /// The latest version that the client knew of when it began to watch.
    pub since: u64,
}

/// Tells the status now and from time to time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {}

/// The version that the transaction reads at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    #[serde(deserialize_with = "bounded::stored")]
    pub value: Option<Bytes>,
}

/// A part of a range's pairs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    #[serde(deserialize_with = "bounded::pairs")]
    pub pairs: Vec<Pair>,
    /// Whether these are the last of them.
    pub is_last: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    #[serde(deserialize_with = "bounded::key")]
    pub key: Bytes,
    #[serde(deserialize_with = "bounded::value")]
    pub value: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    pub version: u64,
    pub versionstamp: [u8; 10],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its latest version.
    pub version: u64,
    /// Why commits cannot succeed, if they cannot.
    pub failure: Option<StoreFailure>,
}

/// Why the store did not do what it was asked. Grows at its end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreFailure {
    Conflict,
    TooOld,
    CommitUnknown,
    TooLarge {
        what: Large,
        bytes: u64,
        limit: u64,
    },
    Full {
        #[serde(
            serialize_with = "bounded::cut_message",
            deserialize_with = "bounded::path"
        )]
        path: String,
        free: u64,
        needed: u64,
    },
    /// What is stored is damaged.
    Damaged {
        #[serde(
            serialize_with = "bounded::cut_message",
            deserialize_with = "bounded::path"
        )]
        path: String,
        #[serde(
            serialize_with = "bounded::cut_message",
            deserialize_with = "bounded::reason"
        )]
        reason: String,
    },
    Stopped {
        #[serde(
            serialize_with = "bounded::cut_message",
            deserialize_with = "bounded::reason"
        )]
        reason: String,
    },
    /// It cannot serve the transaction at the moment; nothing was written.
    Unavailable {
        #[serde(
            serialize_with = "bounded::cut_message",
            deserialize_with = "bounded::reason"
        )]
        reason: String,
    },
}

/// What is too large. Grows at its end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Large {
    Key,
    Value,
    Transaction,
    Other,
}
