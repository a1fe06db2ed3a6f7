//! The frames with which nodes share the execution of operations, version 1 of the service `Processing`. Framed
//! as those of the session protocol are, see [`crate::frame`].
//!
//! The first frame of a stream says what it is:
//!
//! ```text
//! an attempt    Ask ► ◄ Load              is there a place for it? if granted, the stream goes on:
//!               Work ► ◄ (Report | Note | Want)*      ► (Heard | Hold | Delivered | Chunk | Stop)*
//!                      ◄ End
//! a payload     Carry ► ◄ Carried         then Chunk* ►
//! news          Changed ► ◄ Noted         Workers ► ◄ Noted         any number of them
//! ```
//!
//! The node that owns an operation asks; what the executing node reports becomes durable there, by the owner.
//! A stream that breaks is an attempt that was lost, as in a crash of its runner.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::error::Failure;
use crate::ids::{ActorAddress, OperationId, OperationType, Tenant};

/// What the node that opened the stream may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessingRequest {
    Ask(Ask),
    Work(Work),
    Heard(Heard),
    Hold(Hold),
    Delivered(Delivered),
    Stop(Stop),
    Chunk(Chunk),
    Carry(Carry),
    Changed(Changed),
    Workers(Workers),
}

/// What the other node may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessingAnswer {
    Load(Load),
    Report(Report),
    Note(Note),
    Want(Want),
    End(End),
    Carried(Carried),
    Noted(Noted),
}

/// Asks for a place for an attempt of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub tenant: Tenant,
    pub operation_type: OperationType,
    /// Of the operation: higher first.
    pub priority: i32,
    /// How long to wait for a place, milliseconds; 0: is there one now?
    pub wait_ms: u32,
}

/// How full the asked node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// A place is kept for the attempt for as long as the stream lives. Else nothing more comes.
    pub is_granted: bool,
    /// Operations of the type that run or wait there.
    pub taken: u32,
    /// How many may run there at a time; 0: none.
    pub places: u32,
}

/// An attempt to execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub operation: OperationId,
    pub attempt: u32,
    /// JSON text.
    #[serde(deserialize_with = "bounded::large_body")]
    pub input: Bytes,
    /// What has finished before.
    #[serde(deserialize_with = "bounded::steps")]
    pub steps: Vec<Step>,
    /// What is to be undone, in the order in which it was promised; `None`: the operation is to be run.
    pub undo: Option<Promises>,
    /// That the attempt has begun is noted already.
    pub is_noted: bool,
    pub payload: Payload,
}

/// A step's result, JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    #[serde(deserialize_with = "bounded::step")]
    pub name: String,
    #[serde(deserialize_with = "bounded::large_body")]
    pub result: Bytes,
}

/// Promises to undo something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    #[serde(deserialize_with = "bounded::promises")]
    pub promises: Vec<Promise>,
}

/// A promise to undo something, with its data, JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    #[serde(deserialize_with = "bounded::step")]
    pub name: String,
    #[serde(deserialize_with = "bounded::large_body")]
    pub data: Bytes,
}

/// Where the payload of an attempt is. Grows at its end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    None,
    /// In the store.
    Stored {
        length: u64,
    },
    /// It comes as [`Chunk`]s, as many as are [`Want`]ed.
    Streamed {
        length: Option<u64>,
    },
    /// The handler may not read it.
    Withheld,
}

/// What was done since the last report, to be made durable. Answered with [`Heard`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub number: u64,
    pub done: Done,
}

/// What a handler has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    #[serde(deserialize_with = "bounded::steps")]
    pub steps: Vec<Step>,
    pub promises: Promises,
    #[serde(deserialize_with = "bounded::waits")]
    pub waits: Vec<Wait>,
    #[serde(deserialize_with = "bounded::sends")]
    pub sends: Vec<Send>,
    /// Promises that were kept.
    #[serde(deserialize_with = "bounded::names")]
    pub undone: Vec<Name>,
}

/// The name of a step or promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    #[serde(deserialize_with = "bounded::step")]
    pub name: String,
}

/// A step that waits from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    #[serde(deserialize_with = "bounded::step")]
    pub name: String,
    pub on: WaitOn,
}

/// What a step waits for. Grows at its end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitOn {
    /// For so long.
    Time { ms: u64 },
    /// Until then, Unix milliseconds.
    Until { until_ms: u64 },
    Signal {
        #[serde(deserialize_with = "bounded::name")]
        signal: String,
        timeout_ms: Option<u64>,
    },
    Call {
        operation_type: OperationType,
        #[serde(deserialize_with = "bounded::large_body")]
        input: Bytes,
    },
}

/// A command for another actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    pub to: ActorAddress,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    #[serde(deserialize_with = "bounded::body")]
    pub body: Bytes,
}

/// The report of this number is durable, or was refused: the operation went on elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub number: u64,
    pub result: Result<(), Failure>,
}

/// The attempt goes on, and how far it is, JSON text. Not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    #[serde(deserialize_with = "bounded::progress")]
    pub progress: Option<String>,
}

/// The last of an attempt: what was done since the last report, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub done: Done,
    #[serde(deserialize_with = "bounded::progress")]
    pub progress: Option<String>,
    pub ending: Ending,
}

/// How an attempt ended. Grows at its end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// JSON text.
    Succeeded {
        #[serde(deserialize_with = "bounded::large_body")]
        result: Bytes,
    },
    /// The handler waits for these steps and for nothing else, and was dropped.
    Suspended {
        #[serde(deserialize_with = "bounded::names")]
        on: Vec<Name>,
    },
    /// The handler wants to begin anew with this input, JSON text.
    Continued {
        #[serde(deserialize_with = "bounded::large_body")]
        input: Bytes,
    },
    Failed {
        #[serde(deserialize_with = "bounded::name")]
        code: String,
        #[serde(
            deserialize_with = "bounded::message",
            serialize_with = "bounded::cut_message"
        )]
        message: String,
        #[serde(deserialize_with = "bounded::field")]
        step: Option<String>,
        is_permanent: bool,
        retry_after_ms: Option<u64>,
    },
    /// The handler was dropped as asked, or because the node stops.
    Stopped,
    /// The payload's stream broke.
    PayloadMissing,
}

/// No further step is to begin, or they may again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub is_held: bool,
}

/// Steps that others have finished: timers, clients, children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    #[serde(deserialize_with = "bounded::steps")]
    pub steps: Vec<Step>,
}

/// The handler is to be dropped; its [`End`] tells what it had done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {}

/// So many more chunks of the payload are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    pub chunks: u32,
}

/// A part of a payload. Grows at its end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    Bytes {
        #[serde(deserialize_with = "bounded::data")]
        data: Bytes,
    },
    /// It is whole.
    End,
    /// Whoever sent it has broken off.
    Broken {
        #[serde(
            deserialize_with = "bounded::message",
            serialize_with = "bounded::cut_message"
        )]
        message: String,
    },
}

/// A payload is about to come for a submit that follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carry {
    pub tenant: Tenant,
    pub operation: OperationId,
    pub length: Option<u64>,
}

/// The submit names the payload by this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    pub number: u64,
}

/// A policy was changed and is in the store. `None`: there were more than can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    pub policy: Option<PolicyName>,
}

/// A policy: of one operation type, or `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyName {
    pub tenant: Tenant,
    #[serde(deserialize_with = "bounded::name")]
    pub subject: String,
}

/// All that the workers of a node execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workers {
    #[serde(deserialize_with = "bounded::node")]
    pub node: String,
    /// As the node has joined.
    pub incarnation: u64,
    /// Counts what it tells: what is older than the last is void.
    pub number: u64,
    #[serde(deserialize_with = "bounded::groups")]
    pub groups: Vec<Group>,
}

/// Operations of one type of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub tenant: Tenant,
    pub operation_type: OperationType,
}

/// What was told is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {}
