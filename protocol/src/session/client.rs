//! The client half: numbers requests, keeps them until they are answered, says what to send again.
//!
//! The SDK's driver owns one [`Machine`] per session. Frames to send are appended to the buffer that
//! each call takes; callers are known by tickets, which the machine gives back exactly once. It never
//! does I/O, reads a clock or draws a random number. Events do not pass through it: each event stream
//! is read against the [`Cursor`] of its subscription.

mod cursor;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

pub use self::cursor::{Cursor, Verdict};
use crate::codec;
use crate::error::{ErrorCode, Failure};
use crate::frame::{
    Ack, ClientFrame, Command, Consistency, Goodbye, Hello, Notice, Outcome, Payload, Position,
    Query, Reply, Request, ServerFrame, SessionLimits, Since, Subscribe, Success, Unsubscribe,
    Welcome,
};
use crate::ids::{CommandId, SessionId, Target, Tenant};
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

/// A command that has no number yet.
#[derive(Debug, Clone)]
pub struct NewCommand {
    pub id: Option<CommandId>,
    pub target: Target,
    pub name: String,
    pub body: Bytes,
    pub payload: Payload,
    pub deadline_ms: u32,
    /// How long refusals that may be retried are retried, in all.
    pub retry_ms: u32,
}

/// A query that has no number yet.
#[derive(Debug, Clone)]
pub struct NewQuery {
    pub target: Target,
    pub name: String,
    pub body: Bytes,
    pub consistency: Consistency,
    pub deadline_ms: u32,
    /// As in [`NewCommand`].
    pub retry_ms: u32,
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
    },
    /// A caller has its answer.
    Answer { ticket: C, outcome: Outcome },
    /// The server refused for the moment: call [`Machine::send_again`] after this time.
    Wait { request: Request, wait_ms: u32 },
    /// The subscription is over.
    SubscriptionEnded { ticket: S, failure: Failure },
    /// Something a person or the driver may want to know.
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
    attempts: u32,
    reported: u64,
}

/// A request that is not answered.
#[derive(Debug)]
struct Pending<C> {
    frame: ClientFrame,
    ticket: C,
    /// Refused for the moment: waits for `send_again`.
    is_parked: bool,
    attempts: u32,
    waited_ms: u32,
    retry_ms: u32,
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
    queries: BTreeMap<u64, Pending<C>>,
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
}

impl<C, S> Machine<C, S> {
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
        }
    }

    /// A connection is there: appends the Hello. Nothing else is sent before its Welcome, because only
    /// that tells whether the session goes on and unanswered commands keep their numbers.
    pub fn connected(&mut self, out: &mut Vec<u8>) {
        self.disconnected();
        let hello = Hello {
            versions: version::SPOKEN.to_vec(),
            token: self.introduction.token.clone(),
            tenant: self.introduction.tenant.clone(),
            agent: self.introduction.agent.clone(),
            resume: self.resume.clone(),
            ext: Vec::new(),
        };
        codec::encode(&ClientFrame::Hello(hello), out);
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
            .insert(number, Pending::new(frame, ticket, new.retry_ms));
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
        let max = usize::try_from(self.limits.subscriptions)
            .map_or(limits::SESSION_SUBSCRIPTIONS_MAX, |max| {
                max.min(limits::SESSION_SUBSCRIPTIONS_MAX)
            });
        if self.subscriptions.len() >= max {
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
            reported: 0,
        };
        if self.is_ready {
            subscription.send(number, out);
        }
        self.subscriptions.insert(number, subscription);
        Ok(number)
    }

    /// Ends a subscription; its ticket is given back.
    pub fn unsubscribe(&mut self, subscription: u64, out: &mut Vec<u8>) -> Option<S> {
        let ended = self.subscriptions.remove(&subscription)?;
        if self.is_ready {
            codec::encode(&ClientFrame::Unsubscribe(Unsubscribe { subscription }), out);
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
                codec::encode(&ClientFrame::Unsubscribe(unsubscribe), out);
            }
            is_wanted
        });
    }

    /// The stream of a subscription ended without a word: the time after which to call
    /// [`Machine::send_again`] for it, or `None` if nobody listens any more.
    pub fn stream_ended(&mut self, subscription: u64, random: u32) -> Option<u32> {
        let held = self.subscriptions.get_mut(&subscription)?;
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
                    codec::encode(&pending.frame, out);
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
        codec::encode(&ClientFrame::Ack(ack), out);
    }

    /// Carries out a frame of the server. `random` spreads retries; any value is right.
    pub fn handle(&mut self, frame: ServerFrame, random: u32, out: &mut Vec<u8>) -> Output<C, S> {
        match frame {
            ServerFrame::Welcome(welcome) => self.handle_welcome(welcome, out),
            ServerFrame::Reply(reply) if self.is_ready => self.handle_reply(reply, random, out),
            ServerFrame::Notice(notice) => Output::Notice(notice),
            ServerFrame::Redirect(redirect) => Output::Reconnect {
                address: Some(redirect.address),
                reason: Failure::new(ErrorCode::Unavailable, "the server named another node"),
            },
            ServerFrame::Goodbye(goodbye) => self.handle_goodbye(goodbye),
            ServerFrame::Pong(_) => Output::None,
            ServerFrame::Reply(_) => violation("an answer came before the welcome"),
            ServerFrame::Event(_) | ServerFrame::Gap(_) => {
                violation("an event came outside the stream of its subscription")
            }
            ServerFrame::Ephemeral(_) => violation("an ephemeral message came outside a datagram"),
            ServerFrame::Task(_) => violation("a task came to a client that is no worker"),
        }
    }

    /// The session ends: all callers and listeners, to be told so.
    pub fn into_tickets(self) -> (Vec<C>, Vec<S>) {
        let commands = self.commands.into_iter().flatten();
        let calls = commands
            .chain(self.queries.into_values())
            .map(|pending| pending.ticket)
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

    /// Everything up to this number is answered.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The subscription of this number.
    pub fn subscription(&self, number: u64) -> Option<&Subscription<S>> {
        self.subscriptions.get(&number)
    }

    fn handle_welcome(&mut self, welcome: Welcome, out: &mut Vec<u8>) -> Output<C, S> {
        if self.is_ready {
            return violation("a second welcome came");
        }
        if !version::SPOKEN.contains(&welcome.version)
            || welcome.resume_token.len() > limits::TOKEN_BYTES_MAX
        {
            return violation("the welcome is not one that this client can use");
        }
        let resumed = welcome.resumed && self.session == Some(welcome.session);
        let unknown = if self.session.is_some() && !resumed {
            self.start_over()
        } else {
            Vec::new()
        };
        self.session = Some(welcome.session);
        self.resume = Some(welcome.resume_token);
        self.limits = welcome.limits;
        self.is_ready = true;
        for (&number, subscription) in &mut self.subscriptions {
            subscription.is_parked = false;
            subscription.send(number, out);
        }
        self.command_to_send = self.acknowledged + 1;
        self.send_commands(out);
        self.query_to_send = self
            .queries
            .keys()
            .next()
            .copied()
            .unwrap_or(self.next_query);
        self.send_queries(out);
        Output::Ready { resumed, unknown }
    }

    /// The old session is gone. Commands that cannot have taken effect, or that are recognised by an id
    /// of their own, are numbered anew; what became of the others nobody can tell.
    fn start_over(&mut self) -> Vec<C> {
        let mut unknown = Vec::new();
        let mut number = self.acknowledged;
        let never_sent = self.command_never_sent;
        self.acknowledged = 0;
        self.acknowledged_sent = 0;
        self.command_never_sent = 1;
        for slot in std::mem::take(&mut self.commands) {
            number += 1;
            let Some(mut pending) = slot else { continue };
            if number < never_sent && !pending.is_recognised() {
                unknown.push(pending.ticket);
                continue;
            }
            if let ClientFrame::Command(command) = &mut pending.frame {
                command.number = self.commands.len() as u64 + 1;
            }
            pending.is_parked = false;
            self.commands.push_back(Some(pending));
        }
        unknown
    }

    fn handle_reply(&mut self, reply: Reply, random: u32, out: &mut Vec<u8>) -> Output<C, S> {
        let request = reply.request;
        let pending = match request {
            Request::Command(number) => self.pending_command(number),
            Request::Query(number) => self.queries.get_mut(&number),
            Request::Subscription(number) => {
                return self.handle_subscription_reply(number, reply.outcome, random);
            }
        };
        // Nobody waits for it: a repeat of an answer that was given before.
        let Some(pending) = pending else {
            return Output::None;
        };
        if let Outcome::Failure(failure) = &reply.outcome
            && let Some(wait_ms) = pending.wait_ms(failure, random)
        {
            return Output::Wait { request, wait_ms };
        }
        let taken = match request {
            Request::Command(number) => self.take_command(number),
            Request::Query(number) => self.queries.remove(&number),
            Request::Subscription(_) => None,
        };
        self.send_commands(out);
        self.send_queries(out);
        taken.map_or(Output::None, |pending| Output::Answer {
            ticket: pending.ticket,
            outcome: reply.outcome,
        })
    }

    fn handle_subscription_reply(
        &mut self,
        number: u64,
        outcome: Outcome,
        random: u32,
    ) -> Output<C, S> {
        let Some(subscription) = self.subscriptions.get_mut(&number) else {
            return Output::None;
        };
        match outcome {
            Outcome::Success(Success { seq, .. }) => {
                subscription.attempts = 0;
                subscription.cursor.began_at(seq);
                Output::None
            }
            Outcome::Failure(failure) if failure.code.may_be_retried() => {
                subscription.is_parked = true;
                subscription.attempts += 1;
                Output::Wait {
                    request: Request::Subscription(number),
                    wait_ms: backoff_ms(subscription.attempts, random)
                        .max(failure.retry_after_ms.unwrap_or(0)),
                }
            }
            Outcome::Failure(failure) => {
                self.subscriptions
                    .remove(&number)
                    .map_or(Output::None, |subscription| Output::SubscriptionEnded {
                        ticket: subscription.ticket,
                        failure,
                    })
            }
        }
    }

    fn handle_goodbye(&mut self, goodbye: Goodbye) -> Output<C, S> {
        let Some(failure) = goodbye.failure else {
            return Output::Reconnect {
                address: None,
                reason: Failure::new(ErrorCode::Unavailable, "the server ended the connection"),
            };
        };
        if failure.code == ErrorCode::SessionExpired && self.resume.take().is_some() {
            return Output::Reconnect {
                address: None,
                reason: failure,
            };
        }
        if failure.code.may_be_retried() || failure.code == ErrorCode::Internal {
            return Output::Reconnect {
                address: None,
                reason: failure,
            };
        }
        Output::Closed(failure)
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
            codec::encode(&pending.frame, out);
        }
        self.query_to_send = until;
    }
}

impl<C> Pending<C> {
    const fn new(frame: ClientFrame, ticket: C, retry_ms: u32) -> Self {
        Self {
            frame,
            ticket,
            is_parked: false,
            attempts: 0,
            waited_ms: 0,
            retry_ms,
        }
    }

    /// Appends the command, or says `true`: its payload takes it onto a stream of its own.
    fn send_command(&mut self, acknowledged: u64, out: &mut Vec<u8>) -> bool {
        self.is_parked = false;
        let ClientFrame::Command(command) = &mut self.frame else {
            return false;
        };
        command.acknowledged = acknowledged;
        match command.payload {
            Payload::None | Payload::Inline(_) => {
                codec::encode(&self.frame, out);
                false
            }
            Payload::Attached { .. } | Payload::Streamed { .. } => true,
        }
    }

    /// Whether a repeat in another session is recognised: by the id that its caller chose, or because
    /// operations know their own submissions and cancellations again.
    const fn is_recognised(&self) -> bool {
        match &self.frame {
            ClientFrame::Command(command) => {
                command.id.is_some() || matches!(command.target, Target::Operation(_))
            }
            ClientFrame::Hello(_)
            | ClientFrame::Query(_)
            | ClientFrame::Subscribe(_)
            | ClientFrame::Unsubscribe(_)
            | ClientFrame::Ack(_)
            | ClientFrame::WorkerReady(_)
            | ClientFrame::StepResult(_)
            | ClientFrame::Ping(_)
            | ClientFrame::Goodbye(_)
            | ClientFrame::Ephemeral(_) => true,
        }
    }

    /// How long to wait before this is sent again, or `None` if the refusal is the answer.
    fn wait_ms(&mut self, failure: &Failure, random: u32) -> Option<u32> {
        if !failure.code.may_be_retried() {
            return None;
        }
        let wait_ms =
            backoff_ms(self.attempts + 1, random).max(failure.retry_after_ms.unwrap_or(0));
        let waited_ms = self.waited_ms.saturating_add(wait_ms);
        if waited_ms > self.retry_ms {
            return None;
        }
        self.attempts += 1;
        self.waited_ms = waited_ms;
        self.is_parked = true;
        Some(wait_ms)
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
        codec::encode(&ClientFrame::Subscribe(subscribe), out);
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

/// How long to wait before attempt `attempts + 1`: doubled each time, with half of it left to chance so
/// that clients which were refused together do not come back together.
pub const fn backoff_ms(attempts: u32, random: u32) -> u32 {
    let doublings = if attempts > 7 {
        7
    } else {
        attempts.saturating_sub(1)
    };
    let full = BACKOFF_FIRST_MS << doublings;
    let full = if full > BACKOFF_MS_MAX {
        BACKOFF_MS_MAX
    } else {
        full
    };
    full / 2 + random % (full / 2 + 1)
}

fn check_command(new: &NewCommand, has_room: bool) -> Result<(), Failure> {
    let inline = match &new.payload {
        Payload::Inline(bytes) => bytes.len(),
        Payload::None | Payload::Attached { .. } | Payload::Streamed { .. } => 0,
    };
    if let Payload::Attached { length } = new.payload
        && length > limits::PAYLOAD_BYTES_MAX as u64
    {
        let message = format!(
            "a payload of {length} bytes is over the {} that are stored: stream it",
            limits::PAYLOAD_BYTES_MAX
        );
        return Err(Failure::field(ErrorCode::TooLarge, "payload", message));
    }
    check_request(&new.name, new.body.len() + inline, has_room)
}

fn check_request(name: &str, bytes: usize, has_room: bool) -> Result<(), Failure> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
        let message = format!("a name has 1 to {} bytes", limits::NAME_BYTES_MAX);
        return Err(Failure::field(ErrorCode::Invalid, "name", message));
    }
    if bytes > limits::INLINE_BYTES_MAX {
        let message = format!(
            "arguments and inline payload are {bytes} bytes, at most {} fit: attach the payload",
            limits::INLINE_BYTES_MAX
        );
        return Err(Failure::field(ErrorCode::TooLarge, "body", message));
    }
    if !has_room {
        let message = "too many requests of this session are unanswered: wait for one";
        return Err(Failure::new(ErrorCode::Overloaded, message));
    }
    Ok(())
}

fn violation<C, S>(message: &str) -> Output<C, S> {
    Output::Reconnect {
        address: None,
        reason: Failure::new(ErrorCode::Malformed, message),
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

/// About one round trip to a busy server.
const BACKOFF_FIRST_MS: u32 = 50;
/// A person who waits notices five seconds, a server does not notice one request in five seconds.
const BACKOFF_MS_MAX: u32 = 5_000;
