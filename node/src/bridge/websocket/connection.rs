//! One connection: an actor that holds its session, between the socket and the session.
//!
//! Whatever it hears adds to the outbox; once that is full the actor waits for room before it hears more.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, StreamHandler};
use actix_web::web::{Data, Payload};
use futures::stream;
use selvedge_protocol::Failure;
use selvedge_protocol::frame::{
    ClientFrame, Command, Payload as CommandPayload, Request, ServerFrame,
};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::bridge::Inside;
use crate::session::{
    Attached, BatchPermit, End, LinkReceiver, Opening, Outgoing, Ready, Room, SessionHandle,
    SessionReporter, link,
};

use super::WebSockets;
use super::handshake::Agreed;
use super::large::Large;
use super::last::{Last, no_hello, silent, unread};
use super::outbox::{NoRoom, Outbox};
use super::payload::{Answered, Payloads, Receiver, Taken};
use super::reader::{Batch, Reader};
use super::subscription::{self, Item, Items, Listener};
use super::writer::Writer;

/// A connection with its session.
pub(super) struct Connection {
    inside: Data<Inside>,
    shared: Data<WebSockets>,
    /// `None` once the last words were said.
    session: Option<SessionHandle>,
    reporter: SessionReporter,
    start: Option<Start>,
    writer: Writer,
    outbox: Outbox,
    /// What the session wants, as far as it was not carried out yet.
    wanted: VecDeque<Outgoing>,
    end: Option<End>,
    /// Large answers and snapshots that go out chunk by chunk, in turns.
    large: VecDeque<Large>,
    is_sending: bool,
    subscriptions: HashMap<u64, Subscribed>,
    generation: u64,
    payloads: Payloads,
    room: Room,
    is_heard: Rc<Cell<bool>>,
    /// Thirds of the idle time in which nothing was heard.
    silent: u32,
}

/// What the actor starts with.
struct Start {
    reader: Reader,
    link: LinkReceiver,
    /// What came with the Hello.
    rest: Batch,
}

/// A subscription that is served.
struct Subscribed {
    generation: u64,
    task: AbortHandle,
}

/// Reads the Hello, opens the session it asks for, and starts the actor that serves it.
pub(super) async fn open(
    agreed: Agreed,
    payload: Payload,
    outbox: Outbox,
    inside: Data<Inside>,
    shared: Data<WebSockets>,
) {
    let mut writer = Writer::new(agreed.form, agreed.is_deflating);
    let mut reader = Reader::new(payload, agreed.form, agreed.is_deflating);
    let room = shared.answer_room.connection();
    let (sender, link) = link(room.clone());
    let greeted = match timeout(shared.config.hello, hello(&mut reader)).await {
        Ok(Some(Ok((hello, rest)))) => {
            // Not under the deadline: a session that is being opened must be seen through.
            let opened = inside.open(with_token(hello, agreed.token), sender).await;
            opened.map(|session| (session, rest)).map_err(Last::Failed)
        }
        Ok(Some(Err(last))) => Err(last),
        Ok(None) => return,
        Err(_) => Err(Last::Failed(no_hello())),
    };
    let (session, rest) = match greeted {
        Ok(greeted) => greeted,
        Err(last) => {
            tracing::debug!(?last, "no session");
            last.write(&mut writer);
            outbox.push(writer.take());
            // What the client has not read yet would be lost with the connection.
            let _ = timeout(shared.config.linger, reader.let_go()).await;
            return;
        }
    };
    let connection = Connection {
        reporter: session.reporter(),
        is_heard: reader.heard(),
        payloads: Payloads::new(shared.window_room.clone()),
        inside,
        shared,
        session: Some(session),
        start: Some(Start { reader, link, rest }),
        writer,
        outbox,
        wanted: VecDeque::new(),
        end: None,
        large: VecDeque::new(),
        is_sending: false,
        subscriptions: HashMap::new(),
        generation: 0,
        room,
        silent: 0,
    };
    connection.start();
}

/// The first frame, and what came with it. `None` when the connection has gone.
async fn hello(reader: &mut Reader) -> Option<Result<(ClientFrame, Batch), Last>> {
    let mut ping = None;
    loop {
        let mut batch = reader.next().await?;
        // Only the last of several needs an answer (RFC 6455, 5.5.3).
        ping = batch.pings.pop().or(ping);
        if !batch.frames.is_empty() {
            let first = batch.frames.remove(0);
            batch.pings = ping.into_iter().collect();
            return Some(Ok((first, batch)));
        }
        if let Some(last) = batch.last {
            return Some(Err(last));
        }
    }
}

/// The credential of the handshake holds where the Hello has none.
fn with_token(frame: ClientFrame, token: Option<String>) -> ClientFrame {
    match (frame, token) {
        (ClientFrame::Hello(mut hello), Some(token)) if hello.token.is_empty() => {
            hello.token = token;
            ClientFrame::Hello(hello)
        }
        (frame, _) => frame,
    }
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let (Some(Start { reader, link, rest }), Some(session)) =
            (self.start.take(), &self.session)
        else {
            return ctx.stop();
        };
        ctx.add_stream(link_stream(link));
        ctx.add_stream(reader.batches(session.batches()));
        ctx.run_interval(self.inside.sessions.idle() / 3, Self::beat);
        let rest = Batch {
            permit: session.try_permit(),
            ..rest
        };
        StreamHandler::handle(self, rest, ctx);
    }

    fn stopped(&mut self, _ctx: &mut Context<Self>) {
        self.let_go();
    }
}

/// Messages of subscriptions and payloads that wait for the actor; more wait to be sent.
const MAILBOX_MAX: usize = 16;

fn link_stream(link: LinkReceiver) -> impl futures::Stream<Item = Ready> {
    stream::unfold(Some(link), |link| async move {
        let link = link?;
        let ready = link.next().await;
        let goes_on = ready.end.is_none();
        Some((ready, goes_on.then_some(link)))
    })
}

/// What the client sent.
impl StreamHandler<Batch> for Connection {
    fn handle(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        if self.session.is_none() {
            // The last words were said.
            if matches!(batch.last, Some(Last::Close)) {
                ctx.stop();
            }
            return;
        }
        for ping in &batch.pings {
            self.writer.pong(ping);
        }
        if let Err(failure) = self.take_in(batch.frames, batch.permit, ctx) {
            return self.finish(Last::Failed(failure), ctx);
        }
        match batch.last {
            Some(last) => self.finish(last, ctx),
            None => drop(self.flush(ctx)),
        }
    }

    /// The connection has gone.
    fn finished(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// What the session wants.
impl StreamHandler<Ready> for Connection {
    fn handle(&mut self, ready: Ready, ctx: &mut Context<Self>) {
        self.wanted.extend(ready.items);
        self.end = self.end.take().or(ready.end);
        self.carry_out(ctx);
    }

    fn finished(&mut self, _ctx: &mut Context<Self>) {}
}

impl Handler<Items> for Connection {
    type Result = ();

    fn handle(&mut self, items: Items, ctx: &mut Context<Self>) {
        let subscription = items.subscription;
        let is_current = self
            .subscriptions
            .get(&subscription)
            .is_some_and(|current| current.generation == items.generation);
        if !is_current {
            return;
        }
        for item in items.items {
            if let Err(failure) = self.item(subscription, item, ctx) {
                self.unsubscribe(subscription);
                self.reporter
                    .subscription_ended(subscription, Some(failure));
                break;
            }
        }
        if items.is_last {
            self.unsubscribe(subscription);
        }
        self.flush(ctx);
    }
}

impl Handler<Taken> for Connection {
    type Result = ();

    fn handle(&mut self, Taken(window): Taken, ctx: &mut Context<Self>) {
        self.say(ServerFrame::Window(window), ctx);
    }
}

impl Handler<Answered> for Connection {
    type Result = ();

    fn handle(&mut self, answered: Answered, ctx: &mut Context<Self>) {
        self.payloads.forget(answered.number);
        // Without one the session goes on elsewhere, of which its link tells.
        if let Some(reply) = answered.reply {
            self.say(ServerFrame::Reply(reply), ctx);
        }
    }
}

/// The next chunk of what is large is due.
#[derive(Debug)]
struct SendChunk;

impl Message for SendChunk {
    type Result = ();
}

impl Handler<SendChunk> for Connection {
    type Result = ();

    fn handle(&mut self, _due: SendChunk, ctx: &mut Context<Self>) {
        let Some(large) = self.large.pop_front() else {
            self.is_sending = false;
            return self.carry_out(ctx);
        };
        let (chunk, rest) = large.chunk();
        self.large.extend(rest);
        self.say(ServerFrame::Chunk(chunk), ctx);
        ctx.notify(SendChunk);
    }
}

impl Connection {
    /// Hands over what is the session's, and keeps the payloads.
    fn take_in(
        &mut self,
        frames: Vec<ClientFrame>,
        permit: Option<BatchPermit>,
        ctx: &Context<Self>,
    ) -> Result<(), Failure> {
        let mut rest = Vec::with_capacity(frames.len());
        for frame in frames {
            match frame {
                ClientFrame::Chunk(chunk) => self.payloads.chunk(chunk)?,
                ClientFrame::Command(command) if has_chunks(&command) => {
                    self.receive(command, ctx)?;
                }
                frame => {
                    self.writer.asked(&frame);
                    rest.push(frame);
                }
            }
        }
        // Without leave the session has ended, of which the link tells.
        if let (Some(session), Some(permit), false) = (&self.session, permit, rest.is_empty()) {
            session.frames(permit, rest);
        }
        Ok(())
    }

    fn receive(&mut self, command: Command, ctx: &Context<Self>) -> Result<(), Failure> {
        let receiver = Receiver {
            connection: ctx.address(),
            session: self.reporter.clone(),
            room: self.shared.payload_room.clone(),
            stall: self.shared.config.stall,
        };
        match self.payloads.begin(command, receiver)? {
            Ok(task) => {
                self.inside.runtime.spawn(task);
                Ok(())
            }
            Err(refusal) => self.writer.frame(ServerFrame::Reply(refusal)),
        }
    }

    /// Does what the session wants, as far as there is room.
    fn carry_out(&mut self, ctx: &mut Context<Self>) {
        while let Some(item) = self.wanted.pop_front() {
            if let Err(failure) = self.outgoing(item, ctx) {
                return self.finish(Last::Failed(failure), ctx);
            }
            if self.writer.len() >= WRITE_BYTES && self.flush(ctx) == Flow::Waits {
                return;
            }
        }
        if self.flush(ctx) == Flow::Waits || self.end.is_none() {
            return;
        }
        let is_failed = matches!(self.end, Some(End::Failed(_)));
        if (self.large.is_empty() || is_failed)
            && let Some(end) = self.end.take()
        {
            self.finish(Last::End(end), ctx);
        }
    }

    fn outgoing(&mut self, item: Outgoing, ctx: &mut Context<Self>) -> Result<(), Failure> {
        match item {
            Outgoing::Frame(frame) => self.writer.frame(frame),
            Outgoing::Attached(attached) => {
                let Attached { reply, body, room } = *attached;
                let request = reply.request;
                self.writer.frame(ServerFrame::Reply(reply))?;
                self.send_large(Large::new(request, body, room, None), ctx);
                Ok(())
            }
            Outgoing::Subscribe(opening) => {
                self.subscribe(*opening, ctx);
                Ok(())
            }
            Outgoing::Unsubscribe(id) => {
                self.unsubscribe(id);
                Ok(())
            }
        }
    }

    fn item(
        &mut self,
        subscription: u64,
        item: Item,
        ctx: &mut Context<Self>,
    ) -> Result<(), Failure> {
        match item {
            Item::Event(event) => self.writer.event(subscription, &event),
            Item::Frame(frame) => self.writer.frame(frame),
            Item::Large {
                gap,
                snapshot,
                room,
                written,
            } => {
                self.writer.frame(ServerFrame::LargeGap(gap))?;
                let request = Request::Subscription(subscription);
                self.send_large(Large::new(request, snapshot, room, Some(written)), ctx);
                Ok(())
            }
        }
    }

    fn send_large(&mut self, large: Large, ctx: &mut Context<Self>) {
        self.large.push_back(large);
        if !self.is_sending {
            self.is_sending = true;
            ctx.notify(SendChunk);
        }
    }

    fn subscribe(&mut self, opening: Opening, ctx: &Context<Self>) {
        self.generation += 1;
        let id = opening.subscription;
        let listener = Listener {
            connection: ctx.address(),
            session: self.reporter.clone(),
            room: self.room.clone(),
            generation: self.generation,
        };
        let task = subscription::serve(opening, listener);
        let subscribed = Subscribed {
            generation: self.generation,
            task: self.inside.runtime.spawn(task).abort_handle(),
        };
        self.unsubscribe(id);
        self.subscriptions.insert(id, subscribed);
    }

    fn unsubscribe(&mut self, id: u64) {
        if let Some(subscribed) = self.subscriptions.remove(&id) {
            subscribed.task.abort();
        }
        self.large.retain(|large| !large.is_of(id));
    }

    fn say(&mut self, frame: ServerFrame, ctx: &mut Context<Self>) {
        if self.session.is_none() {
            return;
        }
        match self.writer.frame(frame) {
            Ok(()) => drop(self.flush(ctx)),
            Err(failure) => self.finish(Last::Failed(failure), ctx),
        }
    }

    /// Hands what was written to the socket. Where that does not take it, nothing is handled until it does.
    fn flush(&mut self, ctx: &mut Context<Self>) -> Flow {
        self.outbox.push(self.writer.take());
        if !self.outbox.is_full() || self.session.is_none() {
            return Flow::GoesOn;
        }
        let room = self.outbox.room(self.shared.config.stall);
        let waited = wrap_future(room).map(|room, actor: &mut Self, ctx: &mut Context<Self>| {
            // What came meanwhile was not read.
            actor.is_heard.set(true);
            match room {
                Ok(()) => actor.carry_out(ctx),
                Err(NoRoom::Gone) => ctx.stop(),
                Err(NoRoom::Stalled) => actor.finish(Last::Failed(unread()), ctx),
            }
        });
        ctx.wait(waited);
        Flow::Waits
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if self.session.is_none() {
            return;
        }
        if self.is_heard.take() {
            self.silent = 0;
            return;
        }
        self.silent += 1;
        if self.silent >= 3 {
            return self.finish(Last::Failed(silent()), ctx);
        }
        self.writer.ping();
        self.flush(ctx);
    }

    /// Says the last words, and leaves the client some time to read them.
    fn finish(&mut self, last: Last, ctx: &mut Context<Self>) {
        let is_answered = matches!(last, Last::Close);
        last.write(&mut self.writer);
        // The session is told before they are read, which may take a while.
        self.let_go();
        self.outbox.push(self.writer.take());
        if is_answered {
            ctx.stop();
        } else {
            ctx.run_later(self.shared.config.linger, |_, ctx| ctx.stop());
        }
    }

    /// Gives up all but the socket.
    fn let_go(&mut self) {
        self.session = None;
        self.wanted.clear();
        self.large.clear();
        self.payloads = Payloads::new(self.shared.window_room.clone());
        for (_, subscribed) in self.subscriptions.drain() {
            subscribed.task.abort();
        }
    }
}

/// Whether the actor hears on after something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoesOn,
    Waits,
}

/// Bytes that go to the socket at a time.
const WRITE_BYTES: usize = 32 * 1024;

const fn has_chunks(command: &Command) -> bool {
    match command.payload {
        CommandPayload::None | CommandPayload::Inline(_) => false,
        CommandPayload::Attached { .. } | CommandPayload::Streamed { .. } => true,
    }
}
