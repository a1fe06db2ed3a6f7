//! The client half: numbers requests, keeps them until they are answered, says what to send again.
//!
//! The SDK's driver owns one [`Machine`] per session. Frames to send are appended to the buffer that
//! each call takes; callers are known by tickets, which the machine gives back exactly once. It never
//! does I/O, reads a clock or draws a random number. Events do not pass through it: each event stream
//! is read against the [`Cursor`] of its subscription.

mod answers;
mod cursor;
mod pending;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

pub use self::cursor::{Cursor, Verdict};
pub use self::pending::{NewCommand, NewQuery, backoff_ms};
use self::pending::{Pending, append, check_command, check_request};
use self::tasks::Tasks;
use crate::codec;
use crate::error::{ErrorCode, Failure};
use crate::frame::{
    Ack, ClientFrame, Command, Hello, Notice, Outcome, Ping, Position, Query, Request,
    SessionLimits, Since, Subscribe, Task, Unsubscribe,
};
use crate::ids::{SessionId, Target, Tenant};
use crate::limits;
use crate::version;

/// Who the client says it is.
#[derive(Clone)]
pub struct Introduction {
    /// The credential. A secret.
    pub token: String,
    pub tenant: Option<Tenant>,
    /// Name and version of the client, for logs only.
    pub agent: String,
}

/// What a frame of the server means for the driver and its callers.
#[derive(Debug)]
pub enum Output<C, S> {
    /// Nothing to do.
    None,
    /// The session is open; everything that waited has been appended to the buffer.
    Ready {
        resumed: bool,
        /// Callers whose commands may or may not have taken effect in a session that is gone.
        unknown: Vec<C>,
        /// Where else the session may go on, best first; bounded by `limits::SERVERS_MAX`.
        servers: Vec<String>,
    },
    /// A caller has its answer.
    Answer { ticket: C, outcome: Outcome },
    /// The server refused for the moment: call [`Machine::send_again`] after this time.
    Wait {
        request: Request,
        wait_ms: u32,
        /// Waited for this request so far, this wait included.
        waited_ms: u32,
        failure: Failure,
    },
    /// The subscription is over.
    SubscriptionEnded { ticket: S, failure: Failure },
    /// Work for this client: [`Machine::report`] its end.
    Task(Task),
    /// Something a person or the driver may want to know, a worker among them.
    Notice(Notice),
    /// Leave this connection and resume over another one.
    Reconnect {
        /// Where to, if the server named a place.
        address: Option<String>,
        reason: Failure,
    },
    /// The session cannot go on; no reconnect will help.
    Closed(Failure),
}

/// A subscription that is held.
#[derive(Debug)]
pub struct Subscription<S> {
    pub target: Target,
    pub cursor: Cursor,
    pub ticket: S,
    is_parked: bool,
    /// Streams and refusals in a row that brought nothing.
    attempts: u32,
    /// Where it stood when its stream last ended.
    ended_at: Option<Since>,
    /// The position that the server was told.
    reported: u64,
}

/// The client half of one session. `C` stands for who waits for an answer, `S` for who listens.
pub struct Machine<C, S> {
    introduction: Introduction,
    session: Option<SessionId>,
    resume: Option<Bytes>,
    limits: SessionLimits,
    /// Whether this connection's Welcome has come.
    is_ready: bool,
    /// Commands up to this number are answered: the first of `commands` has the next number.
    acknowledged: u64,
    /// `None` is answered already, before one with a lower number.
    commands: VecDeque<Option<Pending<C>>>,
    /// The first command that was not sent over this connection.
    command_to_send: u64,
    /// Boxed, for the map moves its entries about.
    queries: BTreeMap<u64, Box<Pending<C>>>,
    next_query: u64,
    /// The first query that was not sent over this connection.
    query_to_send: u64,
    /// The first command that was never sent over any connection of this session.
    command_never_sent: u64,
    subscriptions: BTreeMap<u64, Subscription<S>>,
    next_subscription: u64,
    /// Commands whose payload takes a stream of its own, to be sent by the driver.
    uploads: VecDeque<u64>,
    /// The `acknowledged` that the server knows of.
    acknowledged_sent: u64,
    /// Of a worker only.
    tasks: Option<Box<Tasks>>,
}

impl<C, S> Machine<C, S> {
    /// Shows another credential with the next Hello.
    pub fn show(&mut self, token: String) {
        self.introduction.token = token;
    }

    /// A session that is not open yet. Requests may be made at once, they wait for the Welcome.
    pub fn new(introduction: Introduction) -> Self {
        Self {
            introduction,
            session: None,
            resume: None,
            limits: LIMITS_BEFORE_WELCOME,
            is_ready: false,
            acknowledged: 0,
            commands: VecDeque::new(),
            command_to_send: 1,
            queries: BTreeMap::new(),
            next_query: 1,
            query_to_send: 1,
            command_never_sent: 1,
            subscriptions: BTreeMap::new(),
            next_subscription: 1,
            uploads: VecDeque::new(),
            acknowledged_sent: 0,
            tasks: None,
        }
    }

    /// A connection is there: appends the Hello. Nothing else is sent before its Welcome, because only
    /// that tells whether the session goes on and unanswered commands keep their numbers.
    ///
    /// An error means that the introduction is too long for any server.
    pub fn connected(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.disconnected();
        let hello = Hello {
            versions: version::SPOKEN.to_vec(),
            token: self.introduction.token.clone(),
            tenant: self.introduction.tenant.clone(),
            agent: self.introduction.agent.clone(),
            resume: self.resume.clone(),
            ext: Vec::new(),
        };
        codec::encode(&ClientFrame::Hello(hello), out).map_err(|error| {
            Failure::field(ErrorCode::TooLarge, "token", format!("the hello: {error}"))
        })
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.is_ready = false;
        self.uploads.clear();
    }

    /// Takes a command, numbers it and sends it as soon as the window allows. A refused one is given back.
    pub fn command(
        &mut self,
        new: NewCommand,
        ticket: C,
        out: &mut Vec<u8>,
    ) -> Result<(), (C, Failure)> {
        if let Err(failure) = check_command(&new, self.command_room() > 0) {
            return Err((ticket, failure));
        }
        let number = self.acknowledged + self.commands.len() as u64 + 1;
        let frame = ClientFrame::Command(Command {
            number,
            id: new.id,
            acknowledged: 0, // filled in when it is sent
            target: new.target,
            name: new.name,
            body: new.body,
            payload: new.payload,
            deadline_ms: new.deadline_ms,
            ext: Vec::new(),
        });
        self.commands
            .push_back(Some(Pending::new(frame, ticket, new.retry_ms)));
        self.send_commands(out);
        Ok(())
    }

    /// Takes a query, as [`Machine::command`].
    pub fn query(
        &mut self,
        new: NewQuery,
        ticket: C,
        out: &mut Vec<u8>,
    ) -> Result<(), (C, Failure)> {
        if let Err(failure) = check_request(&new.name, new.body.len(), self.query_room() > 0) {
            return Err((ticket, failure));
        }
        let number = self.next_query;
        self.next_query += 1;
        let frame = ClientFrame::Query(Query {
            number,
            target: new.target,
            name: new.name,
            body: new.body,
            consistency: new.consistency,
            deadline_ms: new.deadline_ms,
            ext: Vec::new(),
        });
        self.queries
            .insert(number, Box::new(Pending::new(frame, ticket, new.retry_ms)));
        self.send_queries(out);
        Ok(())
    }

    /// Takes a subscription; gives its number.
    pub fn subscribe(
        &mut self,
        target: Target,
        since: Since,
        ticket: S,
        out: &mut Vec<u8>,
    ) -> Result<u64, (S, Failure)> {
        if self.subscription_room() == 0 {
            let max = self.subscriptions_max();
            let message = format!("this session holds its {max} subscriptions: end one first");
            return Err((ticket, Failure::new(ErrorCode::LimitExceeded, message)));
        }
        let number = self.next_subscription;
        self.next_subscription += 1;
        let subscription = Subscription {
            target,
            cursor: Cursor::new(since),
            ticket,
            is_parked: false,
            attempts: 0,
            ended_at: None,
            reported: 0,
        };
        if self.is_ready {
            subscription.send(number, out);
        }
        self.subscriptions.insert(number, subscription);
        Ok(number)
    }

    /// How many more subscriptions the session may hold; those that nobody wants any more count until
    /// [`Machine::retain_subscriptions`].
    pub fn subscription_room(&self) -> usize {
        self.subscriptions_max()
            .saturating_sub(self.subscriptions.len())
    }

    fn subscriptions_max(&self) -> usize {
        usize::try_from(self.limits.subscriptions)
            .map_or(limits::SESSION_SUBSCRIPTIONS_MAX, |max| {
                max.min(limits::SESSION_SUBSCRIPTIONS_MAX)
            })
    }

    /// Ends a subscription; its ticket is given back.
    pub fn unsubscribe(&mut self, subscription: u64, out: &mut Vec<u8>) -> Option<S> {
        let ended = self.subscriptions.remove(&subscription)?;
        if self.is_ready {
            append(&ClientFrame::Unsubscribe(Unsubscribe { subscription }), out);
        }
        Some(ended.ticket)
    }

    /// Ends the subscriptions that nobody wants any more.
    pub fn retain_subscriptions(&mut self, wanted: impl Fn(&S) -> bool, out: &mut Vec<u8>) {
        let is_ready = self.is_ready;
        self.subscriptions.retain(|&subscription, held| {
            let is_wanted = wanted(&held.ticket);
            if !is_wanted && is_ready {
                let unsubscribe = Unsubscribe { subscription };
                append(&ClientFrame::Unsubscribe(unsubscribe), out);
            }
            is_wanted
        });
    }

    /// The stream of a subscription ended without a word: the time after which to call
    /// [`Machine::send_again`] for it, or `None` if nobody listens any more.
    pub fn stream_ended(&mut self, subscription: u64, random: u32) -> Option<u32> {
        let held = self.subscriptions.get_mut(&subscription)?;
        let since = held.cursor.since();
        if held.ended_at.replace(since) != Some(since) {
            held.attempts = 0;
        }
        held.is_parked = true;
        held.attempts += 1;
        Some(backoff_ms(held.attempts, random))
    }

    /// A request that had to wait is sent again, unless that has happened meanwhile.
    pub fn send_again(&mut self, request: Request, out: &mut Vec<u8>) {
        if !self.is_ready {
            return;
        }
        match request {
            Request::Command(number) => {
                let acknowledged = self.acknowledged;
                if let Some(pending) = self.pending_command(number)
                    && pending.is_parked
                    && pending.send_command(acknowledged, out)
                {
                    self.uploads.push_back(number);
                }
            }
            Request::Query(number) => {
                if let Some(pending) = self.queries.get_mut(&number)
                    && pending.is_parked
                {
                    pending.is_parked = false;
                    append(&pending.frame, out);
                }
            }
            Request::Subscription(number) => {
                if let Some(subscription) = self.subscriptions.get_mut(&number)
                    && subscription.is_parked
                {
                    subscription.is_parked = false;
                    subscription.send(number, out);
                }
            }
        }
    }

    /// The next command to be sent on a stream of its own: its number, its frame and its caller.
    pub fn next_upload(&mut self) -> Option<(u64, &ClientFrame, &mut C)> {
        while let Some(number) = self.uploads.pop_front() {
            if self.pending_command(number).is_some() {
                let pending = self.pending_command(number)?;
                return Some((number, &pending.frame, &mut pending.ticket));
            }
        }
        None
    }

    /// Takes a command that can never be sent again out of the session, as if it had been answered.
    pub fn abandon(&mut self, number: u64, out: &mut Vec<u8>) -> Option<C> {
        let pending = self.take_command(number)?;
        self.send_commands(out);
        Some(pending.ticket)
    }

    /// Tells the server what has been received, if it does not know already.
    pub fn acknowledge(&mut self, out: &mut Vec<u8>) {
        if !self.is_ready {
            return;
        }
        let mut positions = Vec::new();
        for (&number, subscription) in &mut self.subscriptions {
            if let Since::After(seq) = subscription.cursor.since()
                && seq > subscription.reported
            {
                subscription.reported = seq;
                positions.push(Position {
                    subscription: number,
                    seq,
                });
            }
        }
        if self.acknowledged == self.acknowledged_sent && positions.is_empty() {
            return;
        }
        self.acknowledged_sent = self.acknowledged;
        let ack = Ack {
            acknowledged: self.acknowledged,
            positions,
        };
        append(&ClientFrame::Ack(ack), out);
    }

    /// The session ends: all callers and listeners, to be told so.
    pub fn into_tickets(self) -> (Vec<C>, Vec<S>) {
        let commands = self.commands.into_iter().flatten();
        let queries = self.queries.into_values().map(|pending| pending.ticket);
        let calls = commands
            .map(|pending| pending.ticket)
            .chain(queries)
            .collect();
        let listeners = self
            .subscriptions
            .into_values()
            .map(|subscription| subscription.ticket)
            .collect();
        (calls, listeners)
    }

    /// How many more commands may be taken.
    pub fn command_room(&self) -> usize {
        COMMANDS_MAX.saturating_sub(self.commands.len())
    }

    /// How many more queries may be taken.
    pub fn query_room(&self) -> usize {
        limits::SESSION_QUERIES_MAX.saturating_sub(self.queries.len())
    }

    /// Whether the session is open on a connection.
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The session, once there was a Welcome.
    pub const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// The bounds that the server last stated.
    pub const fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// Whether a request waits for its answer.
    pub fn has_unanswered(&self) -> bool {
        !self.commands.is_empty() || !self.queries.is_empty()
    }

    /// Whether the client waits for what the server says by itself: events, or tasks.
    pub fn is_listening(&self) -> bool {
        !self.subscriptions.is_empty() || self.tasks.is_some()
    }

    /// Asks for a sign of life. Answered by a Pong, which needs no handling.
    pub fn ping(&self, nonce: u64, out: &mut Vec<u8>) {
        if self.is_ready {
            append(&ClientFrame::Ping(Ping { nonce }), out);
        }
    }

    /// Everything up to this number is answered.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The subscription of this number.
    pub fn subscription(&self, number: u64) -> Option<&Subscription<S>> {
        self.subscriptions.get(&number)
    }

    fn pending_command(&mut self, number: u64) -> Option<&mut Pending<C>> {
        let index = number.checked_sub(self.acknowledged + 1)?;
        self.commands
            .get_mut(usize::try_from(index).ok()?)?
            .as_mut()
    }

    fn take_command(&mut self, number: u64) -> Option<Pending<C>> {
        let index = number.checked_sub(self.acknowledged + 1)?;
        let taken = self.commands.get_mut(usize::try_from(index).ok()?)?.take();
        while let Some(None) = self.commands.front() {
            self.commands.pop_front();
            self.acknowledged += 1;
        }
        taken
    }

    /// Sends what was not sent over this connection, in order, as far as the window allows.
    fn send_commands(&mut self, out: &mut Vec<u8>) {
        if !self.is_ready {
            return;
        }
        let end = self.acknowledged + self.commands.len() as u64;
        let end = end.min(self.acknowledged.saturating_add(self.limits.window));
        self.command_to_send = self.command_to_send.max(self.acknowledged + 1);
        while self.command_to_send <= end {
            let number = self.command_to_send;
            let acknowledged = self.acknowledged;
            self.command_to_send += 1;
            if let Some(pending) = self.pending_command(number) {
                if pending.send_command(acknowledged, out) {
                    self.uploads.push_back(number);
                }
                self.acknowledged_sent = acknowledged;
            }
        }
        self.command_never_sent = self.command_never_sent.max(self.command_to_send);
    }

    fn send_queries(&mut self, out: &mut Vec<u8>) {
        if !self.is_ready || self.query_to_send == self.next_query {
            return;
        }
        let unsent = self.next_query - self.query_to_send;
        let in_flight = (self.queries.len() as u64).saturating_sub(unsent);
        let room = u64::from(self.limits.queries).saturating_sub(in_flight);
        let until = self.next_query.min(self.query_to_send.saturating_add(room));
        for (_, pending) in self.queries.range_mut(self.query_to_send..until) {
            pending.is_parked = false;
            append(&pending.frame, out);
        }
        self.query_to_send = until;
    }
}

impl<S> Subscription<S> {
    fn send(&self, subscription: u64, out: &mut Vec<u8>) {
        let subscribe = Subscribe {
            subscription,
            target: self.target.clone(),
            since: self.cursor.since(),
            ext: Vec::new(),
        };
        append(&ClientFrame::Subscribe(subscribe), out);
    }
}

impl<C, S> std::fmt::Debug for Machine<C, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("session", &self.session)
            .field("is_ready", &self.is_ready)
            .field("acknowledged", &self.acknowledged)
            .field("commands", &self.commands.len())
            .field("queries", &self.queries.len())
            .field("subscriptions", &self.subscriptions.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Introduction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introduction")
            .field("token", &"(secret)")
            .field("tenant", &self.tenant)
            .field("agent", &self.agent)
            .finish()
    }
}

/// Unanswered commands that are held, counted from the first: the window, as a length.
#[expect(
    clippy::cast_possible_truncation,
    reason = "1,024 fits every machine's word"
)]
const COMMANDS_MAX: usize = limits::SESSION_WINDOW as usize;

/// What is taken on before the server has stated its own bounds.
const LIMITS_BEFORE_WELCOME: SessionLimits = SessionLimits {
    window: limits::SESSION_WINDOW,
    queries: 1_024,                 // SESSION_QUERIES_MAX, as the wire has it
    subscriptions: 128,             // SESSION_SUBSCRIPTIONS_MAX, as the wire has it
    inline_bytes: 64 * 1024,        // INLINE_BYTES_MAX, as the wire has it
    payload_bytes: 8 * 1024 * 1024, // PAYLOAD_BYTES_MAX, as the wire has it
    idle_ms: 0,
};
