//! The driver: one task per client, one loop. It owns the session machine and the connection.
//!
//! Callers reach it through bounded channels and hear from it through their tickets. Each turn takes
//! all that is ready, so that a busy session costs one write and one wake-up for many calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use quinn::Connection;
use selvedge_protocol::codec;
use selvedge_protocol::frame::{
    ClientFrame, EphemeralSend, Goodbye, Notice, Outcome, Reply, Request, ServerFrame,
};
use selvedge_protocol::session::client::{Introduction, Machine, NewCommand, NewQuery, Output};
use selvedge_protocol::{ErrorCode, Failure, servers};
use tokio::sync::{mpsc, watch};
use tokio::time::{
    Duration, Instant, Interval, MissedTickBehavior, Sleep, sleep, sleep_until, timeout,
};
use tracing::{debug, info, warn};

use crate::call::Ticket;
use crate::connector::{Connector, Established, is_closing};
use crate::error::CallError;
use crate::events::{Listener, Reading};
use crate::link::{Done, Inbound, Link, lost, unavailable};
use crate::payload::Uploaded;
use crate::random::Random;
use crate::session::Control;
use crate::silence::{Expecting, Look, STEP, Silence, Verdict};
use crate::turn::end_of_line;
use crate::work::Work;
use crate::worker::WorkerEvent;

/// What a driver is made of.
pub(crate) struct Opening {
    pub(crate) introduction: Introduction,
    pub(crate) connector: Connector,
    pub(crate) silence: Silence,
    pub(crate) commands: mpsc::Receiver<(NewCommand, Ticket)>,
    pub(crate) queries: mpsc::Receiver<(NewQuery, Ticket)>,
    pub(crate) controls: mpsc::Receiver<Control>,
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) patience: Option<Patience>,
}

/// Hears of refusals that calls are still waiting out.
#[derive(Clone)]
pub(crate) struct Patience(pub(crate) Arc<dyn Fn(&Failure) + Send + Sync>);

impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Patience")
    }
}

pub(crate) struct Driver {
    machine: Machine<Ticket, Listener>,
    connector: Connector,
    silence: Silence,
    /// Completes when it is time to look whether the server is there; while something is expected of it.
    look: Pin<Box<Sleep>>,
    is_watched: bool,
    pings: u64,
    began: Instant,
    commands: mpsc::Receiver<(NewCommand, Ticket)>,
    queries: mpsc::Receiver<(NewQuery, Ticket)>,
    controls: mpsc::Receiver<Control>,
    closing: watch::Receiver<bool>,
    ready_since: Option<Instant>,
    random: Random,
    /// Requests that wait for their next attempt. The number keeps keys apart.
    timers: BTreeMap<(Instant, u64), Request>,
    timers_made: u64,
    /// Frames that are not on their way yet.
    out: Vec<u8>,
    command_batch: Vec<(NewCommand, Ticket)>,
    query_batch: Vec<(NewQuery, Ticket)>,
    tick: Interval,
    work: Work,
    patience: Option<Patience>,
}

/// Why a connection is left.
enum Leave {
    /// To go on over another one.
    Again(Failure),
    /// For good: no other connection will help.
    Refused(Failure),
    /// For good: the program wants it.
    Asked,
}

impl Driver {
    pub(crate) fn new(opening: Opening) -> Self {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            machine: Machine::new(opening.introduction),
            connector: opening.connector,
            silence: opening.silence,
            look: Box::pin(sleep(STEP)),
            is_watched: false,
            pings: 0,
            began: Instant::now(),
            commands: opening.commands,
            queries: opening.queries,
            controls: opening.controls,
            closing: opening.closing,
            ready_since: None,
            random: Random::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
            out: Vec::new(),
            command_batch: Vec::new(),
            query_batch: Vec::new(),
            tick,
            work: Work::default(),
            patience: opening.patience,
        }
    }

    /// Keeps the session going until it is closed.
    pub(crate) async fn run(mut self) {
        let mut refusal = None;
        while let Some(established) = self.connector.establish(&mut self.closing).await {
            match self.serve(established).await {
                Leave::Again(reason) => {
                    info!(%reason, "connection left");
                    if !self.connector.may_go_on(reason) {
                        break;
                    }
                }
                Leave::Refused(failure) => {
                    warn!(%failure, "session refused");
                    refusal = Some(failure);
                    break;
                }
                Leave::Asked => break,
            }
        }
        self.end(refusal);
    }

    async fn serve(&mut self, established: Established) -> Leave {
        self.out.clear();
        self.ready_since = None;
        self.silence.connected();
        self.is_watched = false;
        self.machine.show(established.token.reveal());
        let opening = timeout(TICK, Link::open(established.connection));
        let Ok(Ok(mut link)) = opening.await else {
            return Leave::Again(unavailable("no stream could be opened"));
        };
        if let Err(failure) = self.machine.connected(&mut self.out) {
            return Leave::Refused(failure);
        }
        let leave = loop {
            if let Some(leave) = self.turn(&mut link).await {
                break leave;
            }
            if self.machine.is_ready() && !self.out.is_empty() {
                end_of_line().await;
                self.take_requests();
            }
        };
        if matches!(leave, Leave::Asked) && self.machine.is_ready() {
            // What was said before the end goes before it, such as a worker's last result.
            while let Ok(control) = self.controls.try_recv() {
                self.take_control(control, &link);
            }
        }
        self.machine.disconnected();
        if self
            .ready_since
            .is_some_and(|since| since.elapsed() >= LASTING)
        {
            self.connector.lasted();
            self.silence.lasted();
        }
        if let Leave::Asked = leave {
            let goodbye = ClientFrame::Goodbye(Goodbye { failure: None });
            if codec::encode(&goodbye, &mut self.out).is_ok() {
                link.close(&self.out).await;
            }
        }
        leave
    }

    /// Waits for something to do, and does it.
    async fn turn(&mut self, link: &mut Link) -> Option<Leave> {
        self.start_uploads(link);
        link.control.refill(&mut self.out);
        let is_ready = self.machine.is_ready();
        if !self.is_watched && self.is_expecting() {
            self.is_watched = true;
            self.look.as_mut().reset(Instant::now() + STEP);
        }
        // Past this the server is not reading: new work waits with its callers.
        let is_open = is_ready && self.out.len() < OUTGOING_BYTES_MAX;
        let command_room = self.machine.command_room().min(BATCH_MAX);
        let query_room = self.machine.query_room().min(BATCH_MAX);
        let due = self.timers.first_key_value().map(|(&(at, _), _)| at);
        tokio::select! {
            transferred = link.control.transfer() => match transferred {
                Ok(()) => return self.take_frames(&mut link.control.received),
                Err(_) => return self.take_loss(link),
            },
            taken = self.queries.recv_many(&mut self.query_batch, query_room),
                if is_open && query_room > 0 =>
            {
                if taken == 0 {
                    return Some(Leave::Asked);
                }
                // Before the queries: one may ask for what a command called before it has done.
                self.take_commands();
                self.send_queries();
            },
            taken = self.commands.recv_many(&mut self.command_batch, command_room),
                if is_open && command_room > 0 =>
            {
                if taken == 0 {
                    return Some(Leave::Asked);
                }
                self.send_commands();
            },
            Some(control) = self.controls.recv(), if is_open => self.take_control(control, link),
            Some(inbound) = link.inbound.recv(), if is_ready => match inbound {
                Inbound::Stream(stream) => link.identify(stream),
                Inbound::Datagram(datagram) => self.take_datagram(&datagram),
            },
            Some(Ok(done)) = link.tasks.join_next() => return self.take_done(done, link),
            () = sleep_until(due.unwrap_or(link.welcome_by)), if due.is_some() => self.send_due(),
            () = sleep_until(link.welcome_by), if !is_ready => {
                return Some(Leave::Again(unavailable("the server does not answer the hello")));
            },
            () = &mut self.look, if self.is_watched => return self.look(link),
            _ = self.tick.tick() => self.keep_house(),
            () = is_closing(&mut self.closing) => return Some(Leave::Asked),
        }
        None
    }

    /// Takes what callers want by now, as far as there is room for it.
    fn take_requests(&mut self) {
        // Queries first into the batch: a command called before one of them is there by now as well.
        while self.query_batch.len() < self.machine.query_room().min(BATCH_MAX)
            && let Ok(new) = self.queries.try_recv()
        {
            self.query_batch.push(new);
        }
        self.take_commands();
        self.send_queries();
    }

    fn take_commands(&mut self) {
        while self.command_batch.len() < self.machine.command_room().min(BATCH_MAX)
            && let Ok(new) = self.commands.try_recv()
        {
            self.command_batch.push(new);
        }
        self.send_commands();
    }

    fn send_queries(&mut self) {
        for (new, ticket) in self.query_batch.drain(..) {
            if let Err((ticket, failure)) = self.machine.query(new, ticket, &mut self.out) {
                ticket.answer(Err(CallError::Failure(failure)));
            }
        }
    }

    fn send_commands(&mut self) {
        for (new, ticket) in self.command_batch.drain(..) {
            if let Err((ticket, failure)) = self.machine.command(new, ticket, &mut self.out) {
                ticket.answer(Err(CallError::Failure(failure)));
            }
        }
    }

    fn take_frames(&mut self, received: &mut BytesMut) -> Option<Leave> {
        loop {
            match codec::decode::<ServerFrame>(received) {
                Ok(None) => return None,
                Ok(Some(frame)) => {
                    if let Some(leave) = self.take_frame(frame) {
                        return Some(leave);
                    }
                }
                Err(error) => {
                    let failure = Failure::new(ErrorCode::Malformed, error.to_string());
                    return Some(Leave::Again(failure));
                }
            }
        }
    }

    fn take_frame(&mut self, frame: ServerFrame) -> Option<Leave> {
        if let ServerFrame::Reply(reply) = &frame
            && !reply.ext.is_empty()
        {
            self.connector.learn(servers::named(&reply.ext));
        }
        let random = self.random.next();
        match self.machine.handle(frame, random, &mut self.out) {
            Output::None => {}
            Output::Answer { ticket, outcome } => ticket.answer(match outcome {
                Outcome::Success(success) => Ok(success),
                Outcome::Failure(failure) => Err(CallError::Failure(failure)),
            }),
            Output::Ready {
                resumed,
                unknown,
                servers,
            } => {
                debug!(resumed, session = ?self.machine.session(), "session open");
                self.ready_since = Some(Instant::now());
                if !resumed {
                    self.work.tell(WorkerEvent::AllVoid);
                }
                for ticket in unknown {
                    ticket.answer(Err(CallError::OutcomeUnknown));
                }
                self.connector.welcomed(servers);
            }
            Output::Wait {
                request,
                wait_ms,
                waited_ms,
                failure,
            } => {
                if waited_ms >= PATIENCE_MS
                    && let Some(Patience(tell)) = &self.patience
                {
                    tell(&failure);
                }
                self.set_timer(request, wait_ms);
            }
            Output::SubscriptionEnded { ticket, failure } => {
                ticket.end(CallError::Failure(failure));
            }
            Output::Notice(Notice::Draining { deadline_ms }) => {
                info!(deadline_ms, "the node is draining");
            }
            Output::Notice(Notice::Limited {
                limit,
                retry_after_ms,
            }) => {
                info!(limit, retry_after_ms, "the session is over a limit");
            }
            Output::Task(task) => self.work.task(task, &mut self.machine, &mut self.out),
            Output::Notice(Notice::TaskCancelled { lease } | Notice::ResultRefused { lease }) => {
                self.work.tell(WorkerEvent::Void { lease });
            }
            Output::Reconnect { address, reason } => {
                if let Some(address) = address {
                    self.connector.redirect(address);
                }
                return Some(Leave::Again(reason));
            }
            Output::Closed(failure) => return Some(Leave::Refused(failure)),
        }
        None
    }

    /// The connection has gone. What had come before is heard first: it may answer, or say where to go on. Then
    /// it is as if the reason had been said as a Goodbye.
    fn take_loss(&mut self, link: &mut Link) -> Option<Leave> {
        while link.control.has_left() {
            if let Some(leave) = self.take_frames(&mut link.control.received) {
                return Some(leave);
            }
        }
        let failure = Some(lost(&link.connection));
        self.take_frame(ServerFrame::Goodbye(Goodbye { failure }))
    }

    fn take_control(&mut self, control: Control, link: &Link) {
        match control {
            Control::Subscribe {
                target,
                since,
                listener,
            } => {
                if self.machine.subscription_room() == 0 {
                    // What was left since the last tick makes room for what is wanted now.
                    self.keep_house();
                }
                let taken = self
                    .machine
                    .subscribe(target, since, listener, &mut self.out);
                if let Err((listener, failure)) = taken {
                    listener.end(CallError::Failure(failure));
                }
            }
            Control::Tell(message) => tell(&link.connection, message),
            Control::Work { ready, events } => {
                self.work
                    .begin(ready, events, &mut self.machine, &mut self.out);
            }
            Control::TakeNoMoreWork => self.work.finish(&mut self.machine, &mut self.out),
            Control::Report(result) => self.machine.report(result, &mut self.out),
        }
    }

    fn take_datagram(&self, datagram: &[u8]) {
        if let Ok(ServerFrame::Ephemeral(event)) = codec::decode_whole(BytesMut::from(datagram))
            && let Some(subscription) = self.machine.subscription(event.subscription)
        {
            subscription.ticket.tell(event.from, event.name, event.data);
        }
    }

    fn take_done(&mut self, done: Done, link: &mut Link) -> Option<Leave> {
        match done {
            Done::Inbound => self.take_loss(link),
            Done::Reading(Reading::Identified {
                subscription,
                stream,
            }) => {
                if let Some(held) = self.machine.subscription(subscription) {
                    let (cursor, listener) = (held.cursor.clone(), held.ticket.clone());
                    link.deliver(subscription, stream, cursor, listener);
                }
                None
            }
            Done::Reading(Reading::Answered(reply)) => self.take_frame(ServerFrame::Reply(reply)),
            Done::Reading(Reading::Ended { subscription }) => {
                let random = self.random.next();
                if let Some(subscription) = subscription
                    && let Some(wait_ms) = self.machine.stream_ended(subscription, random)
                {
                    self.set_timer(Request::Subscription(subscription), wait_ms);
                }
                None
            }
            Done::Reading(Reading::Left) => None,
            Done::Reading(Reading::Violated(failure)) => Some(Leave::Again(failure)),
            Done::Uploaded { number, uploaded } => self.take_uploaded(number, uploaded),
        }
    }

    fn take_uploaded(&mut self, number: u64, uploaded: Uploaded) -> Option<Leave> {
        match uploaded {
            Uploaded::Answered(frame) => self.take_frame(frame),
            // Like a refusal for the moment: the machine knows how often that may happen.
            Uploaded::Broken(failure) => self.take_frame(ServerFrame::Reply(Reply {
                request: Request::Command(number),
                outcome: Outcome::Failure(failure),
                ext: Vec::new(),
            })),
            Uploaded::Unreadable(error) => {
                if let Some(ticket) = self.machine.abandon(number, &mut self.out) {
                    ticket.answer(Err(CallError::Payload(error)));
                }
                None
            }
        }
    }

    fn start_uploads(&mut self, link: &mut Link) {
        while let Some((number, frame, ticket)) = self.machine.next_upload() {
            match ticket.source.as_ref().and_then(|source| source.open()) {
                Some(source) => {
                    let mut bytes = Vec::new();
                    // The machine has checked what is in it.
                    if codec::encode(frame, &mut bytes).is_ok() {
                        link.upload(number, bytes, source);
                    }
                }
                None => {
                    if let Some(ticket) = self.machine.abandon(number, &mut self.out) {
                        ticket.answer(Err(CallError::OutcomeUnknown));
                    }
                }
            }
        }
    }

    fn set_timer(&mut self, request: Request, wait_ms: u32) {
        self.timers_made += 1;
        let at = Instant::now() + Duration::from_millis(u64::from(wait_ms));
        self.timers.insert((at, self.timers_made), request);
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let request = entry.remove();
            self.machine.send_again(request, &mut self.out);
        }
    }

    /// Looks whether the server is there, and leaves it if it is not.
    fn look(&mut self, link: &mut Link) -> Option<Leave> {
        if !self.is_expecting() {
            self.silence.rest();
            self.is_watched = false;
            return None;
        }
        let has_sent = link.control.has_taken();
        let verdict = self.silence.look(Look {
            now: self.began.elapsed(),
            datagrams: link.connection.stats().udp_rx.datagrams,
            round_trip: link.connection.rtt(),
            expecting: match () {
                () if !self.machine.is_ready() => Expecting::Welcome,
                () if self.machine.has_unanswered() && has_sent => Expecting::Answer,
                () => Expecting::Something,
            },
        });
        let wait = match verdict {
            Verdict::Wait(wait) => wait,
            Verdict::Probe(wait) => {
                self.pings += 1;
                self.machine.ping(self.pings, &mut self.out);
                wait
            }
            Verdict::Dead(silent) => {
                let message = format!("the server has been silent for {} ms", silent.as_millis());
                return Some(Leave::Again(unavailable(message)));
            }
        };
        self.look.as_mut().reset(Instant::now() + wait);
        None
    }

    /// Whether anything is expected of the server.
    fn is_expecting(&self) -> bool {
        let machine = &self.machine;
        !machine.is_ready() || machine.has_unanswered() || machine.is_listening()
    }

    /// What need not be prompt: subscriptions nobody listens to, and acknowledgements.
    fn keep_house(&mut self) {
        self.machine
            .retain_subscriptions(|listener| !listener.is_gone(), &mut self.out);
        self.machine.acknowledge(&mut self.out);
    }

    /// Tells everybody that it is over.
    fn end(self, refusal: Option<Failure>) {
        self.connector.end(refusal.as_ref());
        let error = || {
            refusal
                .clone()
                .map_or(CallError::Closed, CallError::Failure)
        };
        self.work.tell(WorkerEvent::Ended(error()));
        let (calls, listeners) = self.machine.into_tickets();
        for ticket in calls {
            ticket.answer(Err(error()));
        }
        for listener in listeners {
            listener.end(error());
        }
    }
}

/// A message that fits no datagram, or finds no room, is lost, as such messages may be.
fn tell(connection: &Connection, message: EphemeralSend) {
    let mut bytes = Vec::new();
    if let Err(error) = codec::encode(&ClientFrame::Ephemeral(message), &mut bytes) {
        debug!(%error, "ephemeral message lost");
        return;
    }
    if let Err(error) = connection.send_datagram(bytes.into()) {
        debug!(%error, "ephemeral message lost");
    }
}

/// Calls taken in one turn.
const BATCH_MAX: usize = 256;
/// Frames that wait to be written: two write batches; past that no new work is taken.
const OUTGOING_BYTES_MAX: usize = 256 * 1024;
/// A call that has waited for longer than this is one that somebody wonders about.
const PATIENCE_MS: u32 = 2_000;
/// How often acknowledgements are sent by themselves; also the patience with one's own end.
const TICK: Duration = Duration::from_secs(1);
/// A connection that held for so long was a good one: the next is tried at once.
const LASTING: Duration = Duration::from_secs(5);
