//! The frames with which a node asks the owner of actors, version 1 of the service `Actors`. Framed as those
//! of the session protocol are, see [`crate::frame`].
//!
//! A stream is either many requests, answered in any order, or one subscription:
//!
//! ```text
//! (Command | CommandIf | Query | Tell)* ► (Answer | Elsewhere)*   one for each Command, CommandIf and Query, by its id
//! Subscribe                    ► Opened Item* | Elsewhere | Ended
//! ```
//!
//! Who is asked either answers for itself or says who else does: it never asks a third node. A request whose
//! answer is lost with the stream may be sent again, since what it does once is told by its identity.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::error::Failure;
use crate::frame::{Consistency, Since};
use crate::ids::{ActorAddress, CommandId, SessionId, Tenant};

/// What the asking node may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorRequest {
    Command(Command),
    Query(Query),
    Tell(Tell),
    Subscribe(Subscribe),
    CommandIf(CommandIf),
}

/// What the owner may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorAnswer {
    Answer(Answer),
    Elsewhere(Elsewhere),
    Opened(Opened),
    Item(Item),
    Ended(Ended),
}

/// A command to an actor. The sender has authorised it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Chosen by the asking node, unique within the stream.
    pub id: u64,
    /// The plan by which it was sent: an owner that knows only an older one waits for this one.
    pub plan: u64,
    /// Milliseconds that are left; 0 is no deadline.
    pub deadline_ms: u32,
    pub tenant: Tenant,
    pub actor: ActorAddress,
    #[serde(deserialize_with = "bounded::principal")]
    pub principal: String,
    pub sender: Sender,
    pub identity: Identity,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    #[serde(deserialize_with = "bounded::large_body")]
    pub body: Bytes,
    #[serde(deserialize_with = "bounded::large_payload")]
    pub payload: Option<Bytes>,
}

/// A command on a condition, see [`crate::if_version`]. A frame of its own, so that a node which does not know of
/// conditions never executes one without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandIf {
    /// The version that its actor must have.
    pub version: u64,
    pub command: Command,
}

/// Who commands. Grows at its end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sender {
    Client(Option<SessionId>),
    /// Another actor, through its outbox.
    Actor,
    /// A node of the cluster: a step runner, a recovery.
    Node,
}

/// What makes a command take effect at most once. Grows at its end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// Its number within its session; outcomes up to `acknowledged` may be forgotten.
    Session {
        session: SessionId,
        number: u64,
        acknowledged: u64,
    },
    /// An id that somebody chose.
    Id(CommandId),
    /// Its kind makes repeats harmless by itself.
    Natural,
}

/// A query to an actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// As in [`Command`].
    pub id: u64,
    pub plan: u64,
    pub deadline_ms: u32,
    pub tenant: Tenant,
    pub actor: ActorAddress,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    #[serde(deserialize_with = "bounded::large_body")]
    pub body: Bytes,
    pub consistency: Consistency,
}

/// An ephemeral message to the actor's subscribers. Not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    pub tenant: Tenant,
    pub actor: ActorAddress,
    pub from: SessionId,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    #[serde(deserialize_with = "bounded::data")]
    pub data: Bytes,
}

/// Asks for the events of an actor; the first and last frame of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// As in [`Command`].
    pub plan: u64,
    pub tenant: Tenant,
    pub actor: ActorAddress,
    pub since: Since,
}

/// The answer to a command or query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub id: u64,
    pub result: Result<Done, Failure>,
}

/// A success: of a command, committed and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    #[serde(deserialize_with = "bounded::large_body")]
    pub body: Bytes,
    pub seq: u64,
    pub version: u64,
}

/// The actor has another owner: nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// Of the request; 0 of a subscription.
    pub id: u64,
    /// The plan that the answering node knows.
    pub plan: u64,
    /// The owner by that plan, if there is one.
    #[serde(deserialize_with = "bounded::owner")]
    pub owner: Option<String>,
}

/// The subscription begins after this seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    pub position: u64,
}

/// What a subscriber hears. Grows at its end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    Event {
        seq: u64,
        #[serde(deserialize_with = "bounded::kind")]
        kind: String,
        time_ms: u64,
        #[serde(deserialize_with = "bounded::data")]
        data: Bytes,
    },
    /// Events up to `seq` are not stored any more; `snapshot` is the state at `seq`.
    Gap {
        after: u64,
        seq: u64,
        #[serde(deserialize_with = "bounded::large_snapshot")]
        snapshot: Bytes,
    },
    /// Not stored.
    Ephemeral {
        from: SessionId,
        #[serde(deserialize_with = "bounded::name")]
        name: String,
        #[serde(deserialize_with = "bounded::data")]
        data: Bytes,
    },
}

/// The subscription was refused, or is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub failure: Failure,
}
