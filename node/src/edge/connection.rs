//! One connection: its handshake and Hello, then one loop that reads, writes and reports to the session.
//!
//! While bytes wait to be written nothing is read, so a client that does not take its answers is given
//! no more to ask for. Nothing is buffered while a connection is idle.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use quinn::{Incoming, ReadError, RecvStream, SendStream};
use selvedge_protocol::frame::ClientFrame;
use selvedge_protocol::{ErrorCode, Failure, codec};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::debug;

use crate::edge::wire::Wire;
use crate::edge::{HandshakePermit, Shared, answer, close, payload, subscription};
use crate::session::{
    BatchPermit, End, LinkReceiver, Outgoing, Ready, Room, SessionHandle, link, malformed,
    unsendable,
};

/// Serves a connection from its first packet to its end.
pub(super) async fn serve(incoming: Incoming, shared: Arc<Shared>, permit: HandshakePermit) {
    // Boxed, so that what it needs is given back before the long, idle part.
    let Some(conversation) = Box::pin(greet(incoming, shared)).await else {
        return;
    };
    drop(permit);
    conversation.run().await;
}

/// From the handshake to the session, each within the time for it.
async fn greet(incoming: Incoming, shared: Arc<Shared>) -> Option<Conversation> {
    let peer = incoming.remote_address();
    let connection = match tokio::time::timeout(shared.config.handshake, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            debug!(%peer, %error, "handshake failed");
            return None;
        }
        Err(_) => {
            debug!(%peer, "handshake took too long");
            return None;
        }
    };
    // Counted from here: lost packets of the handshake are no fault of the Hello that follows.
    let deadline = Instant::now() + shared.config.hello;
    let wire = Wire::establish(connection, &shared, deadline).await?;
    let accepted = tokio::time::timeout_at(deadline, first_stream(&wire, &shared)).await;
    let Ok(accepted) = accepted else {
        let linger = shared.config.linger;
        close::close(&wire, &End::Failed(no_hello()), linger).await;
        return None;
    };
    let (send, recv) = accepted?;
    let mut control = Control {
        recv,
        buffer: BytesMut::new(),
        // Frames may have come in one packet with the Hello.
        has_frames: true,
        whole_by: None,
    };
    let first = tokio::time::timeout_at(deadline, control.first()).await;
    let room = shared.answer_room.connection();
    let (sender, link) = link(room.clone());
    let opened = match first.unwrap_or_else(|_| Err(no_hello())) {
        // Not under the deadline: a session that is being opened must be seen through.
        Ok(first) => {
            let sender = sender.over(wire.transport());
            shared.sessions.open(first, sender).await
        }
        Err(failure) => Err(failure),
    };
    match opened {
        Ok(session) => Some(Conversation {
            shared,
            wire,
            session,
            link,
            send,
            control,
            pending: Bytes::new(),
            tasks: JoinSet::new(),
            answer_streams: answer::streams(),
            room,
            subscriptions: HashMap::new(),
        }),
        Err(failure) => {
            debug!(%peer, %failure, "no session");
            let linger = shared.config.linger;
            close::say_goodbye(&wire, send, &[], End::Failed(failure), linger).await;
            None
        }
    }
}

/// The control stream. `None`: the connection has gone.
async fn first_stream(wire: &Wire, shared: &Shared) -> Option<(SendStream, RecvStream)> {
    loop {
        let entrance = wire.accept_bi().await.ok()?;
        let entered = wire.enter(entrance, shared.config.hello).await;
        if entered.is_some() {
            return entered;
        }
    }
}

/// The reading half of the control stream.
struct Control {
    recv: RecvStream,
    /// What has come and was not handed over. Empty, it holds no memory.
    buffer: BytesMut,
    /// Whether a whole frame may be in it.
    has_frames: bool,
    /// Until when the frame that has begun must have come.
    whole_by: Option<Instant>,
}

/// A connection with its session.
struct Conversation {
    shared: Arc<Shared>,
    wire: Wire,
    session: SessionHandle,
    link: LinkReceiver,
    send: SendStream,
    control: Control,
    /// Bytes that the transport had no room for.
    pending: Bytes,
    /// Streams with payloads, large answers and subscriptions; they end with the connection.
    tasks: JoinSet<()>,
    answer_streams: Arc<Semaphore>,
    room: Room,
    subscriptions: HashMap<u64, AbortHandle>,
}

/// Why a conversation is over.
enum Over {
    /// The connection has gone.
    Lost,
    /// This side has to end it.
    Ending(End),
}

impl Conversation {
    async fn run(mut self) {
        let over = self.converse().await;
        let Self {
            wire,
            session,
            send,
            pending,
            shared,
            mut tasks,
            subscriptions,
            ..
        } = self;
        // The session is told before the last words, which may take a while.
        drop(session);
        subscriptions.into_values().for_each(|task| task.abort());
        if let Over::Ending(end) = over {
            let linger = shared.config.linger;
            // Answers that are on their way on streams of their own belong to the last words.
            let answers = async { while tasks.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(linger, answers).await;
            Box::pin(close::say_goodbye(&wire, send, &pending, end, linger)).await;
        }
        // With the connection closed they end by themselves. Cut off, one that hands a payload through would leave it
        // to its reader as if it were whole.
        tasks.detach_all();
    }

    async fn converse(&mut self) -> Over {
        loop {
            if let Err(over) = self.turn().await {
                return over;
            }
        }
    }

    /// Waits for something to happen and does what follows from it. What goes out comes first, so that
    /// no more than two batches of frames are ever taken in before their answers are written.
    async fn turn(&mut self) -> Result<(), Over> {
        let is_blocked = !self.pending.is_empty();
        let has_frames = self.control.has_frames;
        // One that has brought too much is read again when that is within its limits.
        let is_held = !self.session.allowance().is_ready();
        tokio::select! {
            biased;
            ready = self.link.next(), if !is_blocked => self.carry_out(ready)?,
            end = self.link.ended(), if is_blocked => return Err(Over::Ending(end)),
            written = self.send.write_chunks(std::slice::from_mut(&mut self.pending)), if is_blocked => {
                written.map_err(|_| Over::Lost)?;
            }
            stream = self.wire.accept_bi() => {
                let entrance = stream.map_err(|_| Over::Lost)?;
                let shared = Arc::clone(&self.shared);
                let wire = self.wire.clone();
                self.tasks.spawn(payload::serve(shared, self.session.reporter(), wire, entrance));
            }
            () = self.session.allowance().ready(), if is_held => {}
            datagram = self.wire.read_datagram(), if !is_held => {
                self.datagram(datagram.map_err(|_| Over::Lost)?)?;
            }
            Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.joined(ended),
            permit = self.session.permit(), if has_frames && !is_blocked && !is_held => {
                // None means that the session has ended, of which the link tells.
                permit.map_or(Ok(()), |permit| self.hand_over(permit))?;
            }
            chunk = self.control.recv.read_chunk(READ_BYTES, true), if !has_frames && !is_blocked && !is_held => {
                let before = self.control.buffer.len();
                self.control.received(chunk)?;
                let bytes = self.control.buffer.len() - before;
                self.session.allowance().came(bytes, 0);
                if let Some(permit) = self.session.try_permit() {
                    self.hand_over(permit)?;
                }
            }
            // Last, so that what has come by now is read first.
            () = overdue(self.control.whole_by), if !has_frames && !is_blocked => {
                return Err(Over::Ending(End::Failed(no_frame())));
            }
        }
        Ok(())
    }

    /// Hands one batch of whole frames to the session.
    fn hand_over(&mut self, permit: BatchPermit) -> Result<(), Over> {
        let frames = self.control.frames(self.shared.config.payload_stall)?;
        if !frames.is_empty() {
            self.session.allowance().came(0, frames.len());
            self.session.frames(permit, frames);
        }
        Ok(())
    }

    /// Does what the session wants, and writes all its frames at once.
    fn carry_out(&mut self, ready: Ready) -> Result<(), Over> {
        let mut bytes = Vec::with_capacity(ready.items.len() * FRAME_BYTES);
        for item in ready.items {
            match item {
                Outgoing::Frame(frame) => {
                    codec::encode(&frame, &mut bytes)
                        .map_err(|error| Over::Ending(End::Failed(unsendable(&error))))?;
                }
                Outgoing::Attached(attached) => {
                    self.tasks.spawn(answer::serve(
                        self.wire.clone(),
                        Arc::clone(&self.answer_streams),
                        *attached,
                        self.shared.config.payload_stall,
                    ));
                }
                Outgoing::Subscribe(opening) => {
                    let id = opening.subscription;
                    let task = subscription::serve(
                        self.wire.clone(),
                        *opening,
                        self.session.reporter(),
                        subscription::Bounds {
                            room: self.room.clone(),
                            stall: self.shared.config.payload_stall,
                        },
                    );
                    self.subscriptions.insert(id, self.tasks.spawn(task));
                }
                Outgoing::Unsubscribe(id) => {
                    if let Some(task) = self.subscriptions.remove(&id) {
                        task.abort();
                    }
                }
            }
        }
        self.pending = Bytes::from(bytes);
        // Mostly there is room, and no need to wait for it.
        if let Some(written) = self
            .send
            .write_chunks(std::slice::from_mut(&mut self.pending))
            .now_or_never()
        {
            written.map_err(|_| Over::Lost)?;
        }
        match ready.end {
            Some(end) => Err(Over::Ending(end)),
            None => Ok(()),
        }
    }

    fn datagram(&self, bytes: Bytes) -> Result<(), Over> {
        self.session.allowance().came(bytes.len(), 1);
        let frame =
            codec::decode_whole(BytesMut::from(bytes)).map_err(|error| violation(&error))?;
        if !matches!(frame, ClientFrame::Ephemeral(_)) {
            let failure = Failure::new(
                ErrorCode::Malformed,
                "only ephemeral messages go in datagrams",
            );
            return Err(Over::Ending(End::Failed(failure)));
        }
        // Lossy: a busy session misses it.
        if let Some(permit) = self.session.try_permit() {
            self.session.frames(permit, vec![frame]);
        }
        Ok(())
    }

    fn joined(&mut self, ended: Result<(), tokio::task::JoinError>) {
        self.subscriptions.retain(|_, task| !task.is_finished());
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a stream's task crashed");
        }
    }
}

impl Control {
    /// Waits for the first frame.
    async fn first(&mut self) -> Result<ClientFrame, Failure> {
        loop {
            if let Some(frame) =
                codec::decode(&mut self.buffer).map_err(|error| malformed(&error))?
            {
                return Ok(frame);
            }
            match self.recv.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) => return Err(no_hello()),
            }
        }
    }

    /// Takes a chunk, and whatever else has come by now.
    fn received(&mut self, chunk: Result<Option<quinn::Chunk>, ReadError>) -> Result<(), Over> {
        // Without a Goodbye the session waits for its client to come back.
        let Some(chunk) = chunk.map_err(|_| Over::Lost)? else {
            return Err(Over::Ending(End::Done));
        };
        self.has_frames = true;
        self.buffer.extend_from_slice(&chunk.bytes);
        let mut more = [const { Bytes::new() }; CHUNKS_AT_ONCE];
        while self.buffer.len() < READ_BYTES
            && let Some(Ok(Some(count))) = self.recv.read_chunks(&mut more).now_or_never()
        {
            for bytes in &mut more[..count] {
                self.buffer.extend_from_slice(&std::mem::take(bytes));
            }
        }
        Ok(())
    }

    /// One batch of whole frames off the front. What is left of another one has so long to come.
    fn frames(&mut self, patience: Duration) -> Result<Vec<ClientFrame>, Over> {
        let expected = self.buffer.len() / FRAME_BYTES;
        let mut frames = Vec::with_capacity(expected.min(BATCH_FRAMES_MAX));
        self.has_frames = false;
        while let Some(frame) = codec::decode(&mut self.buffer).map_err(|e| violation(&e))? {
            frames.push(frame);
            if frames.len() == BATCH_FRAMES_MAX {
                self.has_frames = true;
                break;
            }
        }
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.whole_by = None;
        } else if self.whole_by.is_none() || !frames.is_empty() {
            self.whole_by = Some(Instant::now() + patience);
        }
        Ok(frames)
    }
}

/// What is read before it is handed over: about what the kernel hands out at a time.
const READ_BYTES: usize = 64 * 1024;
/// Chunks taken in one call; a chunk is what one packet carried.
const CHUNKS_AT_ONCE: usize = 32;
/// About what a small request or reply takes, to make room for many at once.
const FRAME_BYTES: usize = 32;
/// Frames in one batch, for the smallest frame is tiny and becomes 200 bytes once decoded.
const BATCH_FRAMES_MAX: usize = 512;

fn violation(error: &codec::Error) -> Over {
    Over::Ending(End::Failed(malformed(error)))
}

/// Completes at this time; never without one.
async fn overdue(by: Option<Instant>) {
    match by {
        Some(by) => tokio::time::sleep_until(by).await,
        None => std::future::pending().await,
    }
}

/// The same as silence: the link may be better another time.
fn no_frame() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "a frame did not come whole in time; connect again and resume",
    )
}

fn no_hello() -> Failure {
    Failure::new(
        ErrorCode::Malformed,
        "no whole Hello came in time on the first bidirectional stream",
    )
}
