//! Commands and queries as a caller builds them, and the answers they turn into.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use selvedge_protocol::frame::{Consistency, Payload, Success};
use selvedge_protocol::session::client::{NewCommand, NewQuery};
use selvedge_protocol::{ActorAddress, CommandId, ErrorCode, IdError, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::error::CallError;
use crate::payload::PayloadSource;
use crate::session::Session;

/// The target `kind/key`, for example `actor("room/42")`.
pub fn actor(address: &str) -> Result<Target, IdError> {
    Ok(Target::Actor(address.parse::<ActorAddress>()?))
}

/// Arguments of a call: JSON text.
#[derive(Debug)]
pub struct Body(Result<Bytes, serde_json::Error>);

impl Body {
    /// Any value that serde can write as JSON. A value that cannot be written fails the call.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::to_vec(value).map(Bytes::from))
    }

    /// JSON text that is already written.
    pub const fn text(text: Bytes) -> Self {
        Self(Ok(text))
    }
}

impl From<serde_json::Value> for Body {
    fn from(value: serde_json::Value) -> Self {
        Self::json(&value)
    }
}

impl From<Bytes> for Body {
    fn from(text: Bytes) -> Self {
        Self::text(text)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::text(Bytes::from_static(text.as_bytes()))
    }
}

impl From<()> for Body {
    /// No arguments: an empty object.
    fn from((): ()) -> Self {
        Self::from("{}")
    }
}

/// A command that is being put together. It takes effect at most once, however often it is sent.
#[derive(Debug)]
#[must_use = "a command is sent by `send` or `start`"]
pub struct CommandCall<'a> {
    session: &'a Session,
    target: Target,
    name: String,
    body: Body,
    id: Option<CommandId>,
    deadline: Option<Duration>,
    payload: Option<PayloadSource>,
}

impl<'a> CommandCall<'a> {
    pub(crate) fn new(session: &'a Session, target: Target, name: String, body: Body) -> Self {
        Self {
            session,
            target,
            name,
            body,
            id: None,
            deadline: None,
            payload: None,
        }
    }

    /// An id of the caller's choice: the command is recognised by it beyond this session.
    pub const fn id(mut self, id: CommandId) -> Self {
        self.id = Some(id);
        self
    }

    /// Not decided after this time; the call ends then as well.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Bytes beside the arguments.
    pub fn payload(mut self, payload: impl Into<PayloadSource>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// Sends the command and waits for its answer.
    pub async fn send(self) -> Result<Success, CallError> {
        self.start().await?.await
    }

    /// Sends the command and waits for its answer, read as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, CallError> {
        Ok(serde_json::from_slice(&self.send().await?.body)?)
    }

    /// Sends the command, and waits only until it has its place in the order of the session: many
    /// commands can be on their way, in the order in which they were started.
    pub async fn start(self) -> Result<Answer, CallError> {
        let body = self.body.0?;
        let payload = match &self.payload {
            None => Payload::None,
            Some(source) => source.place(body.len()).await?,
        };
        let new = NewCommand {
            id: self.id,
            target: self.target,
            name: self.name,
            body,
            deadline_ms: deadline_ms(self.deadline),
            retry_ms: retry_ms(self.deadline),
            payload: payload.clone(),
        };
        let source = match payload {
            Payload::None | Payload::Inline(_) => None,
            Payload::Attached { .. } | Payload::Streamed { .. } => self.payload,
        };
        let (answer, receiver) = oneshot::channel();
        let ticket = Ticket { answer, source };
        self.session.enqueue_command(new, ticket).await?;
        Ok(Answer::new(receiver, self.deadline))
    }
}

/// A query that is being put together.
#[derive(Debug)]
#[must_use = "a query is sent by `send` or `start`"]
pub struct QueryCall<'a> {
    session: &'a Session,
    target: Target,
    name: String,
    body: Body,
    consistency: Consistency,
    deadline: Option<Duration>,
}

impl<'a> QueryCall<'a> {
    pub(crate) const fn new(
        session: &'a Session,
        target: Target,
        name: String,
        body: Body,
    ) -> Self {
        Self {
            session,
            target,
            name,
            body,
            consistency: Consistency::Linearizable,
            deadline: None,
        }
    }

    /// Any committed state will do, also a little old one: the answer says which, by its seq and version. Told by
    /// whichever node is asked, also while the actor's owner is away. Nothing orders it after what was answered
    /// before: an earlier command's effect may be missing.
    pub const fn eventual(mut self) -> Self {
        self.consistency = Consistency::Eventual;
        self
    }

    /// The call ends after this time.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sends the query and waits for its answer.
    pub async fn send(self) -> Result<Success, CallError> {
        self.start().await?.await
    }

    /// Sends the query and waits for its answer, read as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, CallError> {
        Ok(serde_json::from_slice(&self.send().await?.body)?)
    }

    /// Sends the query without waiting for its answer.
    pub async fn start(self) -> Result<Answer, CallError> {
        let new = NewQuery {
            target: self.target,
            name: self.name,
            body: self.body.0?,
            consistency: self.consistency,
            deadline_ms: deadline_ms(self.deadline),
            retry_ms: retry_ms(self.deadline),
        };
        let (answer, receiver) = oneshot::channel();
        let ticket = Ticket {
            answer,
            source: None,
        };
        self.session.enqueue_query(new, ticket).await?;
        Ok(Answer::new(receiver, self.deadline))
    }
}

/// An answer that is on its way. Dropping it does not take the request back.
#[derive(Debug)]
pub struct Answer {
    receiver: oneshot::Receiver<Result<Success, CallError>>,
    /// Only where a deadline was asked for: a timer for each call would cost more than the call.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    fn new(
        receiver: oneshot::Receiver<Result<Success, CallError>>,
        deadline: Option<Duration>,
    ) -> Self {
        Self {
            receiver,
            deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep(deadline))),
        }
    }

    /// Waits for the answer, read as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, CallError> {
        Ok(serde_json::from_slice(&self.await?.body)?)
    }
}

impl Future for Answer {
    type Output = Result<Success, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(answer) = Pin::new(&mut self.receiver).poll(context) {
            return Poll::Ready(answer.unwrap_or(Err(CallError::Closed)));
        }
        match &mut self.deadline {
            None => Poll::Pending,
            Some(deadline) => {
                ready!(deadline.as_mut().poll(context));
                Poll::Ready(Err(CallError::Timeout))
            }
        }
    }
}

/// Who waits for the answer to a call, and where its payload comes from.
#[derive(Debug)]
pub(crate) struct Ticket {
    answer: oneshot::Sender<Result<Success, CallError>>,
    /// Only for payloads that take a stream of their own.
    pub(crate) source: Option<PayloadSource>,
}

impl Ticket {
    /// Gives the answer; nobody may be waiting any more, and that is fine.
    pub(crate) fn answer(self, answer: Result<Success, CallError>) {
        let answer = match answer {
            Err(CallError::Failure(failure)) if failure.code == ErrorCode::OutcomeExpired => {
                Err(CallError::OutcomeUnknown)
            }
            other => other,
        };
        let _ = self.answer.send(answer);
    }
}

fn deadline_ms(deadline: Option<Duration>) -> u32 {
    // 0 means "never" on the wire, so the shortest deadline is one millisecond.
    deadline.map_or(0, |deadline| saturating_ms(deadline).max(1))
}

fn retry_ms(deadline: Option<Duration>) -> u32 {
    saturating_ms(deadline.unwrap_or(RETRY_MAX))
}

fn saturating_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// How long a call that the server refuses for the moment is retried, unless its deadline says
/// otherwise: long enough for a node to be restarted.
const RETRY_MAX: Duration = Duration::from_secs(30);
