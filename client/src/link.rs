//! One connection as the driver sees it: the control stream both ways, what the server opens, and the
//! tasks that live no longer than the connection.

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout};

use crate::events::{self, EventStream, Listener, Reading};
use crate::payload::{self, Opened, Uploaded};
use selvedge_protocol::session::client::Cursor;
use selvedge_protocol::{ErrorCode, Failure};

/// A connection and what belongs to it. Dropping it ends its tasks.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) control: ControlStream,
    pub(crate) inbound: mpsc::Receiver<Inbound>,
    pub(crate) tasks: JoinSet<Done>,
    /// Until then the Welcome must have come.
    pub(crate) welcome_by: Instant,
}

/// The stream that carries all frames but events and payloads.
pub(crate) struct ControlStream {
    send: SendStream,
    receive: RecvStream,
    /// Being written; `written` bytes of it are.
    sending: Vec<u8>,
    written: usize,
    /// Whether anything was taken to be written since somebody asked.
    has_taken: bool,
    /// Read and not yet decoded.
    pub(crate) received: BytesMut,
}

/// What the server began by itself.
pub(crate) enum Inbound {
    Stream(RecvStream),
    Datagram(Bytes),
}

/// What a task of the connection ended with.
pub(crate) enum Done {
    /// The task that takes what the server opens: the connection is gone.
    Inbound,
    Reading(Reading),
    Uploaded {
        number: u64,
        uploaded: Uploaded,
    },
}

impl Link {
    /// Opens the control stream.
    pub(crate) async fn open(connection: Connection) -> Result<Self, ConnectionError> {
        let (send, receive) = connection.open_bi().await?;
        let (sender, inbound) = mpsc::channel(INBOUND_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(connection.clone(), sender));
        Ok(Self {
            connection,
            control: ControlStream {
                send,
                receive,
                sending: Vec::new(),
                written: 0,
                has_taken: false,
                received: BytesMut::new(),
            },
            inbound,
            tasks,
            welcome_by: Instant::now() + WELCOME_MAX,
        })
    }

    /// Reads up to whose events the stream carries.
    pub(crate) fn identify(&mut self, stream: RecvStream) {
        self.tasks
            .spawn(async move { Done::Reading(events::identify(stream).await) });
    }

    /// Reads on, handing the events over.
    pub(crate) fn deliver(
        &mut self,
        subscription: u64,
        stream: EventStream,
        cursor: Cursor,
        listener: Listener,
    ) {
        self.tasks.spawn(async move {
            Done::Reading(events::deliver(subscription, stream, cursor, listener).await)
        });
    }

    /// Sends a command and its payload on a stream of their own.
    pub(crate) fn upload(&mut self, number: u64, frame: Vec<u8>, source: Opened) {
        let connection = self.connection.clone();
        self.tasks.spawn(async move {
            let uploaded = payload::upload(connection, frame, source).await;
            Done::Uploaded { number, uploaded }
        });
    }

    /// Writes what is left, which ends with a Goodbye, and closes.
    pub(crate) async fn close(mut self, out: &[u8]) {
        let control = &mut self.control;
        let polite = async {
            control
                .send
                .write_all(&control.sending[control.written..])
                .await?;
            control.send.write_all(out).await?;
            // Fails only if the stream is closed already.
            let _ = control.send.finish();
            let _ = control.send.stopped().await;
            Ok::<(), quinn::WriteError>(())
        };
        // A server that is gone cannot be told; the close below is for it too.
        let _ = timeout(CLOSE_MAX, polite).await;
        self.connection.close(CLOSED, b"the client closed");
    }
}

impl ControlStream {
    /// Takes `out` to be written, once everything before it has been.
    pub(crate) fn refill(&mut self, out: &mut Vec<u8>) {
        if self.is_written() && !out.is_empty() {
            self.sending.clear();
            self.written = 0;
            self.has_taken = true;
            std::mem::swap(&mut self.sending, out);
        }
    }

    /// Whether anything was taken to be written since this was last asked.
    pub(crate) const fn has_taken(&mut self) -> bool {
        std::mem::replace(&mut self.has_taken, false)
    }

    /// Writes on and reads on; whichever comes first. Loses nothing when dropped in between.
    pub(crate) async fn transfer(&mut self) -> Result<(), ReadError> {
        let has_more = !self.is_written();
        tokio::select! {
            biased;
            written = self.send.write(&self.sending[self.written..]), if has_more => match written {
                Ok(written) => self.written += written,
                // The connection's end is seen by reading; a stopped stream is as good as that.
                Err(_) => return Err(ReadError::ClosedStream),
            },
            read = read(&mut self.receive, &mut self.received) => read?,
        }
        Ok(())
    }

    /// Reads what has come and was not looked at before the connection was lost; `false` if there is no more.
    pub(crate) fn has_left(&mut self) -> bool {
        let left = read(&mut self.receive, &mut self.received).now_or_never();
        matches!(left, Some(Ok(())))
    }

    const fn is_written(&self) -> bool {
        self.written == self.sending.len()
    }
}

/// Takes what has come, or waits until something has.
async fn read(receive: &mut RecvStream, received: &mut BytesMut) -> Result<(), ReadError> {
    let mut chunks: [Bytes; CHUNKS_MAX] = std::array::from_fn(|_| Bytes::new());
    match receive.read_chunks(&mut chunks).await? {
        Some(count) => {
            for chunk in &chunks[..count] {
                received.extend_from_slice(chunk);
            }
            Ok(())
        }
        None => Err(ReadError::ClosedStream),
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(CLOSED, b"the client left");
    }
}

async fn accept(connection: Connection, inbound: mpsc::Sender<Inbound>) -> Done {
    loop {
        let next = tokio::select! {
            stream = connection.accept_uni() => stream.map(Inbound::Stream),
            datagram = connection.read_datagram() => datagram.map(Inbound::Datagram),
        };
        let Ok(next) = next else { return Done::Inbound };
        if inbound.send(next).await.is_err() {
            return Done::Inbound;
        }
    }
}

/// Why the connection has gone. A Goodbye may get lost with it, but its code is in the close.
pub(crate) fn lost(connection: &Connection) -> Failure {
    match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) => {
            let index = usize::try_from(close.error_code.into_inner()).unwrap_or(usize::MAX);
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            let code = ErrorCode::ALL.get(index.wrapping_sub(1)).copied();
            code.map_or_else(|| unavailable(&reason), |code| Failure::new(code, &reason))
        }
        Some(reason) => unavailable(format!("the connection was lost: {reason}")),
        None => unavailable("the server ended the control stream"),
    }
}

pub(crate) fn unavailable(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::Unavailable, message)
}

/// Pieces of the control stream that are taken at a time: one is a packet's worth, about 1.4 kB.
const CHUNKS_MAX: usize = 32;
/// Streams and datagrams of the server that the driver has not looked at; the rest waits in QUIC.
const INBOUND_MAX: usize = 16;
/// A server that has accepted a connection has its Welcome ready at once, unless it is hung.
const WELCOME_MAX: Duration = Duration::from_secs(5);
/// How long a Goodbye may take: a few round trips around the world.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// The code of an orderly close.
const CLOSED: VarInt = VarInt::from_u32(0);
