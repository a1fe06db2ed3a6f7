//! The session actor: drives the server half of the protocol's session machine for one session.
//!
//! Connections send it whole batches of frames through a [`SessionHandle`]; it asks the gateway and
//! pushes what is to be sent onto its link, again as whole batches. It never waits for either.

mod credential;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use selvedge_client::end_of_line;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{AnswerSink, Identity, ReplyTo};
use selvedge_protocol::frame::{
    ClientFrame, Command, Notice, Outcome, Payload, Query, Reply, Request, ServerFrame, Subscribe,
};
use selvedge_protocol::session::server::{Action, Session};
use selvedge_protocol::{ErrorCode, Failure, SessionId, Target, if_version, servers, task_payload};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::gateway::{Caller, CommandCall, CommandPayload, QueryCall, Service};
use crate::identity::{Permission, Request as Wanted, authorize};
use crate::session::alarm::{Alarm, is_asking};
use crate::session::elsewhere::{Elsewhere, Told};
use crate::session::handle::{ConnectionNumber, PayloadCommand};
use crate::session::inbox::{Inbox, token};
use crate::session::limited::Limited;
use crate::session::link::{End, LinkSender, Opening, Outgoing};
use crate::session::message::{Attachment, Message};
use crate::session::registry::{Registration, Registry, SessionInfo};
use crate::session::work::Work;

/// What a session starts with.
pub(super) struct Start {
    pub(super) session: SessionId,
    pub(super) caller: Caller,
    pub(super) machine: Session,
    pub(super) service: Arc<dyn Service>,
    pub(super) work: Work,
    pub(super) detached: Duration,
    /// How long its client may ask for nothing; `None`: for ever.
    pub(super) idle: Option<Duration>,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Clock,
    pub(super) attachment: Attachment,
}

pub(super) struct SessionActor;

pub(super) struct State {
    session: SessionId,
    caller: Caller,
    machine: Session,
    service: Arc<dyn Service>,
    work: Work,
    inbox: Arc<Inbox>,
    sink: Arc<dyn AnswerSink>,
    attachment: Option<(ConnectionNumber, LinkSender)>,
    /// Where the replies to commands with a payload of their own go.
    replies: HashMap<u64, oneshot::Sender<Reply>>,
    /// Payloads that are being handed through: nobody could send them again.
    streamed: usize,
    detached: Duration,
    clock: Clock,
    elsewhere: Arc<Elsewhere>,
    told: Option<Told>,
    departure: Departure,
    registration: Registration,
    limited: Limited,
    alarm: Alarm,
}

/// Whether the session is on its way out of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Departure {
    No,
    /// To move once no task is at work and no payload is handed through: till then it is served as ever, but gets no more tasks.
    Due,
    /// To move once its commands are answered; it takes no more requests.
    Begun,
    /// The node stops. No other session takes this one's place here.
    Final,
}

impl Actor for SessionActor {
    type Msg = Message;
    type State = State;
    type Arguments = Start;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        start: Start,
    ) -> Result<State, ActorProcessingErr> {
        let info = SessionInfo {
            session: start.session,
            principal: start.caller.principal.clone(),
            since_ms: start.clock.wall_ms(),
            transport: None,
        };
        let registration = Registration::new(start.registry, info, myself.clone());
        let inbox = Arc::new(Inbox::new(myself.clone()));
        let mut state = State {
            session: start.session,
            caller: start.caller,
            machine: start.machine,
            service: start.service,
            work: start.work,
            sink: Arc::clone(&inbox) as Arc<dyn AnswerSink>,
            inbox,
            attachment: None,
            replies: HashMap::new(),
            streamed: 0,
            detached: start.detached,
            elsewhere: Arc::clone(&start.attachment.elsewhere),
            clock: start.clock,
            told: None,
            departure: Departure::No,
            registration,
            limited: Limited::default(),
            alarm: Alarm::new(start.idle),
        };
        state.attach(&myself, start.attachment);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(message, Message::Answers) {
            end_of_line().await;
        }
        state.handle(&myself, message);
        Ok(())
    }
}

impl State {
    fn handle(&mut self, myself: &ActorRef<Message>, message: Message) {
        match message {
            Message::Attach(attachment) => self.attach(myself, *attachment),
            Message::Frames {
                connection, frames, ..
            } if self.is_current(connection) => self.frames(myself, frames),
            Message::PayloadCommand(connection, command) if self.is_current(connection) => {
                self.payload_command(myself, *command);
            }
            Message::SubscriptionOpened(connection, id, opened) if self.is_current(connection) => {
                let reply = self.machine.subscription_opened(id, *opened);
                self.send(reply);
            }
            Message::SubscriptionEnded(connection, id, failure) if self.is_current(connection) => {
                let reply = self.machine.subscription_ended(id, *failure);
                self.send(reply);
            }
            Message::PayloadEnded(connection) if self.is_current(connection) => {
                self.streamed = self.streamed.saturating_sub(1);
            }
            // From a connection that another has replaced.
            Message::Frames { .. }
            | Message::PayloadCommand(..)
            | Message::PayloadEnded(_)
            | Message::SubscriptionOpened(..)
            | Message::SubscriptionEnded(..) => {}
            Message::Answers => self.answers(),
            Message::Task(task) => {
                let lease = task.lease;
                match self.machine.task(*task) {
                    Some(frame) => self.push(vec![Outgoing::Frame(frame)]),
                    None => self.work.refuse(lease),
                }
            }
            Message::TaskCancelled(lease) => {
                let notice = self.machine.task_cancelled(lease);
                self.push(notice.map(Outgoing::Frame).into_iter().collect());
            }
            Message::Detached(connection) => {
                if self.is_current(connection) {
                    self.detach(myself);
                }
            }
            Message::LookAtCredential(connection) => self.look_at_credential(myself, connection),
            Message::Expired(connection) => {
                if self.registration.is_detached_since(connection) {
                    myself.stop(None);
                }
            }
            Message::Drain { deadline_ms } => self.drain(deadline_ms),
            Message::Move => self.begin_to_move(),
            Message::MoveNow(connection) => {
                if self.is_current(connection) && self.departure == Departure::Begun {
                    self.leave(myself);
                }
            }
            Message::Stop => self.leave(myself),
            Message::Close => {
                self.end(End::Failed(closed()));
                self.work.leave();
                myself.stop(None);
            }
            Message::Replaced => {
                self.end(End::Failed(replaced()));
                myself.stop(None);
            }
        }
        self.depart(myself);
    }

    fn drain(&mut self, deadline_ms: u32) {
        self.departure = Departure::Final;
        self.machine.drain();
        self.work.away();
        let notice = ServerFrame::Notice(Notice::Draining { deadline_ms });
        self.push(vec![Outgoing::Frame(notice)]);
    }

    fn begin_to_move(&mut self) {
        let is_served = self.attachment.is_some() && self.departure == Departure::No;
        if is_served && !self.elsewhere.is_empty() {
            self.departure = Departure::Due;
            self.work.away();
        }
    }

    /// Goes on with the departure, if there is one, as far as what is in flight allows.
    fn depart(&mut self, myself: &ActorRef<Message>) {
        if self.departure == Departure::Due
            && !self.machine.holds_leases()
            && self.streamed == 0
            && let Some((connection, _)) = self.attachment
        {
            self.departure = Departure::Begun;
            self.machine.drain();
            myself.send_after(MOVE_MAX, move || Message::MoveNow(connection));
        }
        let is_over = match self.departure {
            Departure::No | Departure::Due => false,
            Departure::Begun => self.machine.is_movable(),
            Departure::Final => {
                // Where the client has nowhere to go yet, its queries are better answered here.
                let has_asked = self.elsewhere.is_empty() && !self.machine.is_idle();
                self.machine.is_movable() && self.streamed == 0 && !has_asked
            }
        };
        let is_left = self.departure == Departure::Final && self.attachment.is_none();
        if is_over || is_left {
            self.leave(myself);
        }
    }

    /// Ends the session here; its client goes on with it elsewhere, or here in a moment.
    fn leave(&mut self, myself: &ActorRef<Message>) {
        if self.attachment.is_some() {
            let stopped = || {
                End::Failed(Failure::new(
                    ErrorCode::Unavailable,
                    "the node has stopped; connect again and resume",
                ))
            };
            let end = self.elsewhere.next().map_or_else(stopped, End::Elsewhere);
            self.end(end);
        }
        myself.stop(None);
    }

    fn is_current(&self, connection: ConnectionNumber) -> bool {
        matches!(&self.attachment, Some((current, _)) if *current == connection)
    }

    fn attach(&mut self, myself: &ActorRef<Message>, attachment: Attachment) {
        self.end(End::Failed(replaced()));
        self.machine.attached();
        self.stay();
        self.work.away();
        self.replies = HashMap::new();
        self.streamed = 0;
        let transport = attachment.link.transport();
        self.registration.attached(transport, self.clock.wall_ms());
        let Attachment {
            connection,
            principal,
            allowance,
            link,
            welcome,
            told,
            elsewhere,
        } = attachment;
        self.told = Some(told);
        self.elsewhere = elsewhere;
        link.push(vec![Outgoing::Frame(ServerFrame::Welcome(welcome))]);
        self.attachment = Some((connection, link));
        self.work.go_on_as(&principal);
        self.caller.principal = principal;
        self.caller.allowance = allowance;
        self.alarm.asked(Instant::now());
        self.set_alarm(myself, connection);
    }

    /// A client that has come back is served: it had nowhere else to go.
    fn stay(&mut self) {
        match self.departure {
            Departure::No | Departure::Final => {}
            Departure::Due | Departure::Begun => {
                self.departure = Departure::No;
                self.machine.serve();
            }
        }
    }

    fn detach(&mut self, myself: &ActorRef<Message>) {
        let Some((connection, _)) = self.attachment.take() else {
            return;
        };
        self.alarm.clear();
        self.replies = HashMap::new();
        self.streamed = 0;
        self.stay();
        self.machine.detached();
        self.work.away();
        if self.registration.detached(connection, self.clock.wall_ms()) {
            myself.send_after(self.detached, move || Message::Expired(connection));
        } else {
            // As many as may be are waiting for their clients: this one resumes from its token alone.
            myself.stop(None);
        }
    }

    /// Ends a connection that broke the protocol, or asked for too much; its client may resume.
    fn expel(&mut self, myself: &ActorRef<Message>, failure: Failure) {
        if let Some((_, link)) = &self.attachment {
            link.end(End::Failed(failure));
        }
        self.detach(myself);
    }

    /// Gives up the connection.
    fn end(&mut self, end: End) {
        if let Some((_, link)) = self.attachment.take() {
            link.end(end);
        }
    }

    fn frames(&mut self, myself: &ActorRef<Message>, frames: Vec<ClientFrame>) {
        if !self.is_let_in(myself) {
            return;
        }
        let now = Instant::now();
        if frames.iter().any(is_asking) {
            self.alarm.asked(now);
        }
        let mut outgoing = Vec::new();
        for frame in frames {
            match self.machine.handle_frame(frame) {
                Ok(Action::End) => {
                    self.push(outgoing);
                    self.end(End::Done);
                    self.work.leave();
                    myself.stop(None);
                    return;
                }
                // It moves: what it takes it says again where it goes.
                Ok(Action::Ready(_)) if self.departure != Departure::No => {}
                Ok(Action::Ready(ready)) => {
                    if let Err(failure) =
                        self.work
                            .ready(&*self.service, &self.caller, myself, &ready)
                    {
                        self.push(outgoing);
                        self.expel(myself, failure);
                        return;
                    }
                }
                Ok(action) => self.carry_out(action, now, &mut outgoing),
                Err(failure) => {
                    self.push(outgoing);
                    self.expel(myself, failure);
                    return;
                }
            }
        }
        self.push(outgoing);
    }

    fn carry_out(&self, action: Action, now: Instant, outgoing: &mut Vec<Outgoing>) {
        match action {
            Action::Command(mut command) => {
                let payload = match std::mem::replace(&mut command.payload, Payload::None) {
                    Payload::Inline(bytes) => CommandPayload::Whole(bytes),
                    // The machine lets no other pass on this stream.
                    Payload::None | Payload::Attached { .. } | Payload::Streamed { .. } => {
                        CommandPayload::None
                    }
                };
                self.execute(command, payload, now);
            }
            Action::Query(query) => self.query(query, now),
            Action::Subscribe(subscribe) => outgoing.push(self.open(subscribe)),
            Action::Unsubscribe(id) => outgoing.push(Outgoing::Unsubscribe(id)),
            Action::Tell(message) => {
                self.service
                    .tell(&self.caller, &message.target, &message.name, &message.data);
            }
            Action::Send(frame) => outgoing.push(Outgoing::Frame(frame)),
            Action::Report(result) => self.work.report(result),
            Action::Freed { lease, notice } => {
                self.work.freed(lease);
                outgoing.extend(notice.map(Outgoing::Frame));
            }
            // Seen to before.
            Action::Ready(_) | Action::End | Action::Nothing => {}
        }
    }

    fn payload_command(&mut self, myself: &ActorRef<Message>, call: PayloadCommand) {
        if !self.is_let_in(myself) {
            return;
        }
        let PayloadCommand {
            command,
            payload,
            reply,
        } = call;
        self.alarm.asked(Instant::now());
        let number = command.number;
        if let CommandPayload::Streamed { .. } = payload {
            self.streamed += 1;
        }
        match self.machine.handle_command(command) {
            Ok(Action::Command(command)) => {
                self.replies.insert(number, reply);
                self.execute(command, payload, Instant::now());
            }
            Ok(Action::Send(ServerFrame::Reply(refusal))) => {
                let _ = reply.send(refusal);
            }
            // It is in flight: its answer goes to the stream that waits for it now.
            Ok(_) => {
                self.replies.insert(number, reply);
            }
            Err(failure) => self.expel(myself, failure),
        }
    }

    fn execute(&self, command: Command, payload: CommandPayload, now: Instant) {
        let reply = self.reply_to(Request::Command(command.number));
        let identity = match command.id {
            Some(id) => Identity::Id(id),
            None => Identity::Session {
                session: self.session,
                number: command.number,
                acknowledged: command.acknowledged,
            },
        };
        let if_version = match if_version::wanted(&command.ext) {
            Ok(version) => version,
            Err(failure) => return reply.answer(Outcome::Failure(failure)),
        };
        let call = CommandCall {
            target: command.target,
            identity,
            name: command.name,
            body: command.body,
            payload,
            if_version,
            deadline: deadline(now, command.deadline_ms),
        };
        self.service.command(&self.caller, call, reply);
    }

    fn query(&self, query: Query, now: Instant) {
        let reply = self.reply_to(Request::Query(query.number));
        if let (Target::Operation(id), task_payload::QUERY) = (&query.target, &*query.name) {
            // Of a lease, which is the session's own and nobody else knows of.
            let needed = Permission::of(Wanted::Query(&query.name), &query.target);
            return match authorize(&self.caller.principal, needed) {
                Ok(()) => self.work.read_payload(id, &query.body, reply),
                Err(failure) => {
                    self.service.denied(&self.caller.principal, needed);
                    reply.answer(Outcome::Failure(failure));
                }
            };
        }
        let call = QueryCall {
            target: query.target,
            name: query.name,
            body: query.body,
            consistency: query.consistency,
            deadline: deadline(now, query.deadline_ms),
        };
        self.service.query(&self.caller, call, reply);
    }

    fn open(&self, subscribe: Subscribe) -> Outgoing {
        Outgoing::Subscribe(Box::new(Opening {
            subscription: subscribe.subscription,
            feed: self
                .service
                .subscribe(&self.caller, subscribe.target, subscribe.since),
        }))
    }

    fn reply_to(&self, request: Request) -> ReplyTo {
        ReplyTo::new(Arc::clone(&self.sink), token(request))
    }

    fn answers(&mut self) {
        let answers = self.inbox.take();
        let mut outgoing = Vec::with_capacity(answers.len());
        for (request, outcome) in answers {
            let notice = self.limited.notice(&outcome, &self.clock);
            outgoing.extend(self.answer(request, outcome));
            outgoing.extend(notice.map(ServerFrame::Notice).map(Outgoing::Frame));
        }
        self.push(outgoing);
    }

    /// What tells an answer, unless it goes where its payload came from or nobody waits for it.
    fn answer(&mut self, request: Request, outcome: Outcome) -> Option<Outgoing> {
        let mut reply = self.machine.answered(request, outcome)?;
        if let Some(others) = self.told.as_mut().and_then(Told::news) {
            servers::announce(&mut reply.ext, others);
        }
        if !self.replies.is_empty()
            && let Request::Command(number) = request
            && let Some(waiting) = self.replies.remove(&number)
        {
            let _ = waiting.send(reply);
            return None;
        }
        let (_, link) = self.attachment.as_ref()?;
        Some(link.reply(reply))
    }

    fn send(&self, reply: Option<Reply>) {
        self.push(
            reply
                .map(ServerFrame::Reply)
                .map(Outgoing::Frame)
                .into_iter()
                .collect(),
        );
    }

    fn push(&self, outgoing: Vec<Outgoing>) {
        if !outgoing.is_empty()
            && let Some((_, link)) = &self.attachment
        {
            link.push(outgoing);
        }
    }
}

/// How long the commands of a session that moves may take to be answered: those that take longer are sent again
/// from where it goes, and have one effect all the same.
const MOVE_MAX: Duration = Duration::from_secs(2);

fn deadline(now: Instant, after_ms: u32) -> Option<Instant> {
    (after_ms > 0).then(|| now + Duration::from_millis(u64::from(after_ms)))
}

fn closed() -> Failure {
    Failure::new(
        ErrorCode::PermissionDenied,
        "the session was closed by an administrator; open a new one",
    )
}

fn replaced() -> Failure {
    Failure::new(
        ErrorCode::SessionReplaced,
        "the session goes on on another connection",
    )
}
