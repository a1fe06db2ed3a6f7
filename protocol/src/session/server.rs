//! The server half: decides what each frame of a client means for its session.
//!
//! The node's session actor drives it: [`greet`] looks at the first frame of a connection, [`Session`]
//! takes every later frame and every answer from inside, and says what to execute and what to send. It
//! never waits, does no I/O and reads no clock.

use std::collections::{HashMap, HashSet};

use crate::error::{ErrorCode, Failure};
use crate::frame::{
    ClientFrame, Command, EphemeralSend, Hello, Outcome, Payload, Pong, Query, Reply, Request,
    ServerFrame, SessionLimits, StepResult, Subscribe, Success, WorkerReady,
};
use crate::limits;
use crate::version;

mod tasks;

use tasks::Tasks;

/// A Hello that can be served: what remains is to authenticate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The version of the connection from here on.
    pub version: u8,
    pub hello: Hello,
}

/// Looks at the first frame of a connection.
pub fn greet(first: ClientFrame) -> Result<Greeting, Failure> {
    let ClientFrame::Hello(hello) = first else {
        return Err(Failure::new(
            ErrorCode::Malformed,
            "the first frame of a connection must be Hello",
        ));
    };
    let Some(version) = version::negotiate(&hello.versions) else {
        return Err(Failure::field(
            ErrorCode::UnsupportedVersion,
            "versions",
            format!(
                "none of the versions offered is spoken here; this server speaks {:?}",
                version::SPOKEN
            ),
        ));
    };
    if hello.token.len() > limits::TOKEN_BYTES_MAX {
        return Err(Failure::field(
            ErrorCode::TooLarge,
            "token",
            format!("a token has at most {} bytes", limits::TOKEN_BYTES_MAX),
        ));
    }
    Ok(Greeting { version, hello })
}

/// The limits that a server states in its Welcome.
pub fn limits(idle_ms: u32) -> SessionLimits {
    SessionLimits {
        window: limits::SESSION_WINDOW,
        queries: saturated(limits::SESSION_QUERIES_MAX),
        subscriptions: saturated(limits::SESSION_SUBSCRIPTIONS_MAX),
        inline_bytes: saturated(limits::INLINE_BYTES_MAX),
        payload_bytes: saturated(limits::PAYLOAD_BYTES_MAX),
        idle_ms,
    }
}

/// What the driver has to do about a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Execute the command, then give its outcome to [`Session::answered`].
    Command(Command),
    /// Execute the query, then give its outcome to [`Session::answered`].
    Query(Query),
    /// Open the subscription, then call [`Session::subscription_opened`].
    Subscribe(Subscribe),
    /// End the subscription, if there is one of this id.
    Unsubscribe(u64),
    /// Pass the message on, or drop it.
    Tell(EphemeralSend),
    /// The client is ready for tasks, or for none any more: see [`Session::task`].
    Ready(WorkerReady),
    /// Hand over what a worker says of a lease that it holds; a result has ended it.
    Report(StepResult),
    /// The worker has ended a task whose lease was void. Send the frame, if there is one.
    Freed {
        lease: u64,
        notice: Option<ServerFrame>,
    },
    /// Send the frame.
    Send(ServerFrame),
    /// The client has ended the session.
    End,
    /// Nothing.
    Nothing,
}

/// The server's view of one session, above any one connection.
#[derive(Debug)]
pub struct Session {
    limits: SessionLimits,
    /// Whether there is a connection to send to.
    is_attached: bool,
    is_draining: bool,
    /// Outcomes up to this command have been received.
    acknowledged: u64,
    commands: HashSet<u64>,
    queries: HashSet<u64>,
    subscriptions: HashMap<u64, Stage>,
    /// Of a worker only: most sessions are none.
    tasks: Option<Box<Tasks>>,
}

/// How far a subscription has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
}

impl Session {
    /// A session without a connection.
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            is_attached: false,
            is_draining: false,
            acknowledged: 0,
            commands: HashSet::new(),
            queries: HashSet::new(),
            subscriptions: HashMap::new(),
            tasks: None,
        }
    }

    /// A connection has come; it takes the place of one that was there before. Its client declares
    /// its subscriptions again.
    pub fn attached(&mut self) {
        self.is_attached = true;
        self.subscriptions = HashMap::new();
        self.tasks_away();
    }

    /// The connection has gone. Answers are dropped from here on: the client sends again what was not
    /// answered, and actors hold the outcomes.
    pub fn detached(&mut self) {
        self.is_attached = false;
        self.subscriptions = HashMap::new();
        self.tasks_away();
    }

    /// Takes no more requests; what is in flight is still answered.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Takes requests again: the node goes on, and its client has come back.
    pub fn serve(&mut self) {
        self.is_draining = false;
    }

    /// Handles a frame of the control stream. An error ends the connection.
    pub fn handle_frame(&mut self, frame: ClientFrame) -> Result<Action, Failure> {
        match frame {
            ClientFrame::Command(command) => match command.payload {
                Payload::None | Payload::Inline(_) => self.handle_command(command),
                Payload::Attached { .. } | Payload::Streamed { .. } => Ok(refuse(
                    Request::Command(command.number),
                    Failure::field(
                        ErrorCode::Invalid,
                        "payload",
                        "send a command with a payload of its own on a stream of its own",
                    ),
                )),
            },
            ClientFrame::Query(query) => self.handle_query(query),
            ClientFrame::Subscribe(subscribe) => Ok(self.handle_subscribe(subscribe)),
            ClientFrame::Unsubscribe(unsubscribe) => {
                self.subscriptions.remove(&unsubscribe.subscription);
                Ok(Action::Unsubscribe(unsubscribe.subscription))
            }
            ClientFrame::Ack(ack) => {
                self.acknowledged = self.acknowledged.max(ack.acknowledged);
                Ok(Action::Nothing)
            }
            ClientFrame::Ping(ping) => {
                Ok(Action::Send(ServerFrame::Pong(Pong { nonce: ping.nonce })))
            }
            ClientFrame::Goodbye(_) => Ok(Action::End),
            ClientFrame::Ephemeral(message) => Ok(Action::Tell(message)),
            ClientFrame::Hello(_) => Err(Failure::new(
                ErrorCode::Malformed,
                "a connection has one Hello, its first frame",
            )),
            ClientFrame::WorkerReady(ready) => self.handle_ready(ready),
            ClientFrame::StepResult(result) => Ok(self.handle_result(result)),
            // Over WebSocket a connection keeps them to itself.
            ClientFrame::Chunk(_) => Err(Failure::new(
                ErrorCode::Malformed,
                "chunks go over WebSocket only: here payloads have streams of their own",
            )),
        }
    }

    /// Handles a command, from whichever stream. An error ends the connection.
    pub fn handle_command(&mut self, command: Command) -> Result<Action, Failure> {
        let number = command.number;
        if number == 0 {
            return Err(not_from_one("commands"));
        }
        self.acknowledged = self.acknowledged.max(command.acknowledged);
        if number <= self.acknowledged {
            return Ok(refuse(
                Request::Command(number),
                Failure::new(
                    ErrorCode::OutcomeExpired,
                    format!(
                        "command {number} was acknowledged (all up to {})",
                        self.acknowledged
                    ),
                ),
            ));
        }
        if self.commands.contains(&number) {
            return Ok(Action::Nothing);
        }
        // The second test holds those to the window who acknowledge what was never answered.
        let in_flight = u64::try_from(self.commands.len()).unwrap_or(u64::MAX);
        if number > self.acknowledged.saturating_add(self.limits.window)
            || in_flight >= self.limits.window
        {
            return Err(Failure::new(
                ErrorCode::LimitExceeded,
                format!(
                    "command {number} is outside the window: at most {} after {} may be unanswered",
                    self.limits.window, self.acknowledged
                ),
            ));
        }
        if self.is_draining {
            return Ok(refuse(Request::Command(number), draining()));
        }
        self.commands.insert(number);
        Ok(Action::Command(command))
    }

    fn handle_query(&mut self, query: Query) -> Result<Action, Failure> {
        let number = query.number;
        if number == 0 {
            return Err(not_from_one("queries"));
        }
        if self.queries.contains(&number) {
            return Ok(Action::Nothing);
        }
        if self.is_draining && !self.is_for_a_task(&query) {
            return Ok(refuse(Request::Query(number), draining()));
        }
        if is_full(self.queries.len(), self.limits.queries) {
            let message = format!(
                "a session has at most {} unanswered queries",
                self.limits.queries
            );
            return Ok(refuse(
                Request::Query(number),
                Failure::new(ErrorCode::LimitExceeded, message),
            ));
        }
        self.queries.insert(number);
        Ok(Action::Query(query))
    }

    fn handle_subscribe(&mut self, subscribe: Subscribe) -> Action {
        let id = subscribe.subscription;
        if self.subscriptions.contains_key(&id) {
            let failure = Failure::field(
                ErrorCode::Conflict,
                "subscription",
                format!("subscription {id} is open; choose another id"),
            );
            return refuse(Request::Subscription(id), failure);
        }
        if self.is_draining {
            return refuse(Request::Subscription(id), draining());
        }
        if is_full(self.subscriptions.len(), self.limits.subscriptions) {
            let message = format!(
                "a session has at most {} subscriptions; end one first",
                self.limits.subscriptions
            );
            return refuse(
                Request::Subscription(id),
                Failure::new(ErrorCode::LimitExceeded, message),
            );
        }
        self.subscriptions.insert(id, Stage::Opening);
        Action::Subscribe(subscribe)
    }

    /// A command or query has its outcome. `None` where nobody waits for it on this connection.
    pub fn answered(&mut self, request: Request, outcome: Outcome) -> Option<Reply> {
        let was_in_flight = match request {
            Request::Command(number) => take(&mut self.commands, number),
            Request::Query(number) => take(&mut self.queries, number),
            Request::Subscription(_) => false,
        };
        (was_in_flight && self.is_attached).then(|| reply(request, outcome))
    }

    /// A subscription was opened after `position`, or could not be.
    pub fn subscription_opened(&mut self, id: u64, opened: Result<u64, Failure>) -> Option<Reply> {
        let stage = self.subscriptions.get_mut(&id)?;
        if *stage != Stage::Opening {
            return None;
        }
        let outcome = match opened {
            Ok(position) => {
                *stage = Stage::Open;
                Outcome::Success(Success {
                    body: bytes::Bytes::from_static(b"null"),
                    seq: position,
                    version: 0,
                })
            }
            Err(failure) => {
                self.subscriptions.remove(&id);
                Outcome::Failure(failure)
            }
        };
        Some(reply(Request::Subscription(id), outcome))
    }

    /// A subscription has ended by itself: with a failure that the client has to hear of, or because
    /// the client stopped reading it.
    pub fn subscription_ended(&mut self, id: u64, failure: Option<Failure>) -> Option<Reply> {
        self.subscriptions.remove(&id)?;
        failure.map(|failure| reply(Request::Subscription(id), Outcome::Failure(failure)))
    }

    /// Whether nothing is in flight, and no task at work.
    pub fn is_idle(&self) -> bool {
        self.is_movable() && self.queries.is_empty()
    }

    /// Whether the session can go on elsewhere with nothing lost: no command in flight, and no task at work.
    /// Queries are asked again there.
    pub fn is_movable(&self) -> bool {
        self.commands.is_empty() && !self.holds_leases()
    }

    /// Whether a task is at work.
    pub fn holds_leases(&self) -> bool {
        let tasks = self.tasks.as_ref();
        tasks.is_some_and(|tasks| tasks.has_leases())
    }

    /// Whether no more requests are taken.
    pub const fn is_draining(&self) -> bool {
        self.is_draining
    }
}

/// Removes a number; a set that has become empty gives its memory back, for sessions are mostly idle.
fn take(numbers: &mut HashSet<u64>, number: u64) -> bool {
    let was_there = numbers.remove(&number);
    if numbers.is_empty() && numbers.capacity() > IDLE_CAPACITY_MAX {
        *numbers = HashSet::new();
    }
    was_there
}

/// Room for a few numbers costs less than allocating it for each request of a quiet session.
const IDLE_CAPACITY_MAX: usize = 16;

fn is_full(len: usize, limit: u32) -> bool {
    saturated(len) >= limit
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn not_from_one(what: &str) -> Failure {
    Failure::field(
        ErrorCode::Malformed,
        "number",
        format!("{what} are counted from 1"),
    )
}

fn draining() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the node is draining; send the request again on a new connection",
    )
}

fn refuse(request: Request, failure: Failure) -> Action {
    Action::Send(ServerFrame::Reply(reply(
        request,
        Outcome::Failure(failure),
    )))
}

/// The reply, cut to what can be sent.
fn reply(request: Request, outcome: Outcome) -> Reply {
    // Only queries have large answers: what a command answers is kept for its repeats.
    let limit = match request {
        Request::Query(_) => limits::PAYLOAD_BYTES_MAX,
        Request::Command(_) | Request::Subscription(_) => limits::INLINE_BYTES_MAX,
    };
    let outcome = match outcome {
        Outcome::Success(success) if success.body.len() > limit => Outcome::Failure(Failure::new(
            ErrorCode::TooLarge,
            format!(
                "the answer of {} bytes is over the limit of {limit}; ask for less at a time",
                success.body.len(),
            ),
        )),
        Outcome::Success(success) => Outcome::Success(success),
        Outcome::Failure(failure) => Outcome::Failure(bounded(failure)),
    };
    Reply {
        request,
        outcome,
        ext: Vec::new(),
    }
}

/// A failure that fits into a frame, whatever an application wrote into it.
pub fn bounded(mut failure: Failure) -> Failure {
    cut(&mut failure.message);
    if let Some(field) = &mut failure.field {
        cut(field);
    }
    failure
}

/// A message is for a person to read; past this nobody does.
const FAILURE_TEXT_BYTES_MAX: usize = 4 * 1024;

fn cut(text: &mut String) {
    let mut end = FAILURE_TEXT_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests;
