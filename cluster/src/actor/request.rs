//! What callers ask of the host, and how they get their answer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_protocol::frame::{Consistency, Outcome};
use selvedge_protocol::{ActorAddress, CommandId, ErrorCode, Failure, SessionId, Tenant};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::actor::kind::Origin;

/// An actor, and the tenant it lives in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopedAddress {
    pub tenant: Tenant,
    pub address: ActorAddress,
}

/// A command on its way to its actor.
#[derive(Debug)]
pub struct CommandRequest {
    pub actor: ScopedAddress,
    pub principal: Arc<str>,
    pub origin: Origin,
    pub identity: Identity,
    pub name: String,
    pub body: Bytes,
    pub payload: Option<Bytes>,
    /// The version that the actor must have for it, in the commit that it is part of.
    pub if_version: Option<u64>,
    /// Not decided after this.
    pub deadline: Option<Instant>,
}

/// What makes a command take effect at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Its number within its session; outcomes up to `acknowledged` may be forgotten.
    Session {
        session: SessionId,
        number: u64,
        acknowledged: u64,
    },
    /// An id that somebody chose; its outcome is kept for the retention.
    Id(CommandId),
    /// Its kind makes repeats harmless by itself.
    Natural,
}

/// A query on its way to its actor.
#[derive(Debug)]
pub struct QueryRequest {
    pub actor: ScopedAddress,
    pub name: String,
    pub body: Bytes,
    pub consistency: Consistency,
    pub deadline: Option<Instant>,
}

/// Takes answers: a session, a waiting caller. Called on the answering actor's task: must not wait.
pub trait AnswerSink: Send + Sync + 'static {
    /// `token` is the one the sink gave with its request.
    fn answer(&self, token: u64, outcome: Outcome);
}

/// Where the answer to one request goes. Dropped unused, it answers `unavailable`, so that no caller
/// ever waits for a request that got lost.
pub struct ReplyTo {
    sink: Option<Arc<dyn AnswerSink>>,
    token: u64,
}

impl ReplyTo {
    /// An answer for `sink`.
    pub fn new(sink: Arc<dyn AnswerSink>, token: u64) -> Self {
        Self {
            sink: Some(sink),
            token,
        }
    }

    /// Nobody waits for this answer.
    pub const fn nobody() -> Self {
        Self {
            sink: None,
            token: 0,
        }
    }

    /// Says nothing: who waits is told otherwise.
    pub(crate) fn dismiss(mut self) {
        self.sink = None;
    }

    /// Gives the answer.
    pub fn answer(mut self, outcome: Outcome) {
        if let Some(sink) = self.sink.take() {
            sink.answer(self.token, outcome);
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if let Some(sink) = self.sink.take() {
            let failure = Failure::new(
                ErrorCode::Unavailable,
                "the request was not completed; send it again with the same number or id",
            );
            sink.answer(self.token, Outcome::Failure(failure));
        }
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyTo({})", self.token)
    }
}

/// A committed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub seq: u64,
    pub kind: Arc<str>,
    pub time_ms: u64,
    /// JSON text.
    pub data: Bytes,
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionItem {
    Event(StoredEvent),
    /// Events up to `seq` are not stored any more; `snapshot` is the state at `seq`.
    Gap {
        after: u64,
        seq: u64,
        snapshot: Bytes,
    },
    /// Not stored, may be lost.
    Ephemeral {
        from: SessionId,
        name: String,
        data: Bytes,
    },
}

/// A reply to be waited for.
pub(crate) fn asked() -> (ReplyTo, impl Future<Output = Outcome> + Send + 'static) {
    let (sender, receiver) = oneshot::channel();
    let reply = ReplyTo::new(Arc::new(Asked(Mutex::new(Some(sender)))), 0);
    let answer = async move {
        // The reply answers even when it is dropped, so this is not reached before an answer.
        receiver.await.unwrap_or_else(|_| {
            Outcome::Failure(Failure::new(ErrorCode::Unavailable, "there was no answer"))
        })
    };
    (reply, answer)
}

struct Asked(Mutex<Option<oneshot::Sender<Outcome>>>);

impl AnswerSink for Asked {
    fn answer(&self, _token: u64, outcome: Outcome) {
        if let Some(sender) = self.0.lock().take() {
            // Who asked may have left.
            drop(sender.send(outcome));
        }
    }
}
