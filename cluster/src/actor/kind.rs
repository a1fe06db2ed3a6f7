//! What an application implements: an actor kind, a pure type that decides commands.
//!
//! The host calls it. It never waits, does no I/O and reads no clock: time and origin are in the
//! context, and whatever shall happen is in the returned [`Effects`], which become durable together
//! with the state in one commit, or not at all.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use selvedge_protocol::{ActorAddress, ErrorCode, Failure, SessionId, SubjectId, Tenant};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::actor::request::ScopedAddress;
use crate::store::keys::Key;

/// A kind of actor: how its state begins, how commands change it, how queries read it.
///
/// One value of the type serves all actors of the kind; it holds configuration only.
pub trait Kind: Send + Sync + 'static {
    /// What is stored.
    type State: Default + Send + Sync + 'static;

    /// The name of the kind: the part of an address before the slash.
    const NAME: &'static str;

    /// The format version that is written with each state.
    const FORMAT: u8 = 1;

    /// Whether its actors are always about somebody: a node without a wrapping key refuses to run such a kind. Of one
    /// that has [subjects](Kind::subject) and does not say so, commands that would store personal data are refused.
    const PERSONAL: bool = false;

    /// Decides a command. On `Err` the state must be as it was. A panic ends the activation: nothing
    /// of the command is kept and the caller is told `internal`.
    fn apply(
        &self,
        state: &mut Self::State,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal>;

    /// Answers a query with JSON text. The host answers the reserved query `state` by itself, with
    /// [`Kind::view`]. Both are asked as well, on any node, of a state that was just decoded and that
    /// [`Kind::committed`] has not seen: for queries that any committed state will do for.
    fn query(&self, state: &Self::State, name: &str, body: &[u8]) -> Result<Bytes, Refusal> {
        let _ = (state, body);
        Err(Refusal::unknown(Self::NAME, name))
    }

    /// The state as users see it, JSON text.
    fn view(&self, state: &Self::State) -> Bytes;

    /// The state as it is stored; [`json`] helps where JSON will do.
    fn encode(&self, state: &Self::State) -> Bytes;

    /// A stored state of this or an earlier format.
    fn decode(&self, format: u8, bytes: &[u8]) -> Result<Self::State, String>;

    /// Called when an actor was activated and after each of its commits, before those are answered, on
    /// the actor's own task. The place to hand runnable work to a pool. Must not wait; may change what is not stored.
    fn committed(&self, actor: &ScopedAddress, state: &mut Self::State, stand: Stand) {
        let _ = (actor, state, stand);
    }

    /// Whether nothing more is expected of this actor, so that its activation may end at once instead
    /// of after the idle time. It comes back with the next request. `is_awake`: it has asked to be activated
    /// whenever its slot is taken, so somebody else has to know that it is to come back before that. Asked
    /// after a commit and after a request when nothing is pending; must be cheap.
    fn is_at_rest(&self, state: &Self::State, is_awake: bool) -> bool {
        let _ = (state, is_awake);
        false
    }

    /// Whether an actor of this kind hears of its messages that were refused for good: as the node's
    /// command [`MESSAGE_REFUSED`], whose body is a [`RefusedMessage`], once each. What is temporary, or may
    /// pass with a newer binary, is tried again instead.
    fn hears_refusals(&self) -> bool {
        false
    }

    /// Whether actors of this kind are listed and may be addressed by clients.
    fn is_public(&self) -> bool {
        true
    }

    /// Whom the actor is about. All that it stores from then on lies under a key of that person: state, events,
    /// outcomes, timers, messages, payloads. It never changes but with the end of the actor; what was stored before it
    /// was known stays as it is. Asked at activation and with each commit; must be cheap.
    fn subject(&self, actor: &ScopedAddress, state: &Self::State) -> Option<SubjectId> {
        let _ = (actor, state);
        None
    }

    /// How long an actor is kept after the last commit that changed it; `None`: for good. Then it ends by itself, with
    /// the rows of its own that are its [traces](Kind::traces): as by [`Effects::is_end`], and in the audit trail if it is
    /// about a subject. It may be kept by one twenty-fourth longer, and for as long as its node's clock is behind. No
    /// shorter than the 24 hours for which command ids are, which end with the actor: the late repeat of a command would
    /// be applied again. Asked once; one that is changed, or added to a kind that had none, holds for each actor from its
    /// next change on, and a longer one at once.
    fn retention(&self) -> Option<Duration> {
        None
    }

    /// The rows of the kind's own, such as indexes, that go when the subject is erased or the retention is over: all that it ever writes of this
    /// actor, for by then nobody knows which are there. At most
    /// [`SUBJECT_TRACES_MAX`](selvedge_protocol::limits::SUBJECT_TRACES_MAX).
    fn traces(&self, actor: &ScopedAddress, state: &Self::State) -> Vec<Key> {
        let _ = (actor, state);
        Vec::new()
    }

    /// Called when the subject was erased, before the activation ends: the place to stop what is at work for it.
    fn erased(&self, actor: &ScopedAddress, state: &mut Self::State) {
        let _ = (actor, state);
    }
}

/// From the node, to an actor whose message was refused.
pub const MESSAGE_REFUSED: &str = "message.refused";

/// A message that its receiver has refused for good.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefusedMessage {
    pub to: ActorAddress,
    /// The command.
    pub name: String,
    /// The stable name of the error.
    pub code: String,
    pub message: String,
}

/// State stored as JSON: add fields with `#[serde(default)]` and old states decode by themselves.
pub mod json {
    use super::{Bytes, DeserializeOwned, Serialize};

    /// JSON text of a value.
    pub fn encode<T: Serialize>(value: &T) -> Bytes {
        // Serialisation into memory fails only for maps with keys that are not text.
        serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from)
    }

    /// The value of a JSON text.
    pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// How far an actor's commits are.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    /// The last event, as decided.
    pub seq: u64,
    /// The version of the actor, as decided.
    pub version: u64,
    /// Whether all that was decided is durable, so that the state may be shown.
    pub is_durable: bool,
}

/// What a decision may depend on, besides state and command.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Unix milliseconds. May stand still or jump back: only compare, never subtract blindly.
    pub now_ms: u64,
    pub tenant: &'a Tenant,
    pub address: &'a ActorAddress,
    /// Who asks.
    pub principal: &'a str,
    pub origin: Origin,
    /// The last event of the actor so far.
    pub seq: u64,
}

/// Where a command comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client, through the edge or the bridge.
    Client(Option<SessionId>),
    /// Another actor, through its outbox.
    Actor,
    /// A timer of this actor.
    Timer,
    /// The node itself: a step runner, a recovery.
    Node,
}

/// A command as its kind sees it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    pub name: &'a str,
    /// JSON text.
    pub body: &'a [u8],
    /// Stored bytes that came with it, up to 8 MiB.
    pub payload: Option<&'a Bytes>,
}

/// All that a command causes. Committed with the state in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// The answer, JSON text; empty is `null`.
    pub reply: Bytes,
    pub events: Vec<NewEvent>,
    pub timers: Vec<TimerChange>,
    pub messages: Vec<Message>,
    /// `Some(true)`: activate this actor whenever its slot is taken, until `Some(false)`.
    pub awake: Option<bool>,
    /// Rows of the kind's own, such as indexes: a key, and its value or `None` to clear it.
    pub rows: Vec<(Key, Option<Bytes>)>,
    pub urgency: Urgency,
    /// What the audit trail of the tenant is to say, in the same commit. Only for what people administer: all that are
    /// audited in a tenant wait for each other at the end of its chain. Not with [`Urgency::Never`].
    pub audit: Vec<AuditEntry>,
    /// The actor is forgotten: everything stored of it goes, but for messages on their way and rows of the
    /// kind's own that are not cleared here. `apply` leaves the default state; a later command begins a new
    /// life. The outcomes of commands go as well, so wait for the retention of command ids first.
    pub is_end: bool,
}

/// A record of the audit trail. Who did it, when and in which tenant is as the context says, and that it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// A resource and what was done to it: `policy.set`.
    pub action: Cow<'static, str>,
    /// To what: a name or an id.
    pub target: String,
    /// More, JSON text: before and after, never a secret. Empty is nothing.
    pub detail: String,
}

/// When effects must be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgency {
    /// At once.
    #[default]
    Now,
    /// With the next commit of this actor, or after a moment (50 ms). Only for what may be lost in a
    /// crash without harm, such as the note that an attempt has begun.
    Soon,
    /// The state did not change: nothing to commit. The answer still waits for what was decided before.
    Never,
}

/// An event to be numbered and committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub kind: Cow<'static, str>,
    /// JSON text.
    pub data: Bytes,
}

/// A change to the actor's durable timers. Setting a name again moves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// Delivers the command `name` with `body` from [`Origin::Timer`] at `due_ms` or soon after, once.
    Set {
        name: String,
        due_ms: u64,
        body: Bytes,
    },
    Cancel {
        name: String,
    },
}

/// A command for another actor of the same tenant, delivered effectively once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub to: ActorAddress,
    pub name: String,
    /// JSON text.
    pub body: Bytes,
}

/// A kind's No: becomes a [`Failure`] on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Failure);

impl Refusal {
    /// By the rules of the kind.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self(Failure::new(ErrorCode::Rejected, message))
    }

    /// An argument is not valid.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Failure::field(ErrorCode::Invalid, field, message))
    }

    /// The kind has no such command or query.
    pub fn unknown(kind: &str, name: &str) -> Self {
        Self(Failure::new(
            ErrorCode::UnknownCommand,
            format!("{kind} has no {name:?}"),
        ))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
