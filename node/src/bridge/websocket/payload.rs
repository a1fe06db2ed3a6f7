//! The payloads that a client sends in Chunks: each has a task of the main runtime that receives it and has its
//! command executed, and a buffer between that task and the connection's actor.
//!
//! What a buffer holds is bounded by the window: the client may have sent so much more than the task has taken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Message};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use selvedge_protocol::frame::{Chunk, Command, Reply, Request, Window};
use selvedge_protocol::limits::{PAYLOAD_WINDOW_BYTES, SESSION_STREAMS_MAX};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::session::{PayloadRoom, SessionReporter, Source, Upload, broken, refusal};

use super::connection::Connection;

/// Room for payloads that arrive: each takes a whole window of it.
#[derive(Debug, Clone)]
pub(super) struct WindowRoom(Arc<Semaphore>);

impl WindowRoom {
    /// Room for so many bytes in all.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes_max / PAYLOAD_WINDOW_BYTES)))
    }
}

/// A task took bytes of a payload.
#[derive(Debug)]
pub(super) struct Taken(pub(super) Window);

impl Message for Taken {
    type Result = ();
}

/// The command of a payload was answered, or is not for this connection.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) number: u64,
    pub(super) reply: Option<Reply>,
}

impl Message for Answered {
    type Result = ();
}

/// The payloads of one connection that are on their way.
#[derive(Debug)]
pub(super) struct Payloads {
    room: WindowRoom,
    open: HashMap<u64, Arc<Buffer>>,
    /// Those that were answered last: chunks of them may have been on their way.
    answered: VecDeque<u64>,
}

/// Payloads of a client that may be on their way.
const OPEN_MAX: usize = SESSION_STREAMS_MAX as usize;

/// Bytes that came and were not taken.
#[derive(Debug)]
struct Buffer {
    arrived: Mutex<Arrived>,
    news: Notify,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Arrived {
    bytes: BytesMut,
    /// All that were taken.
    taken: u64,
    is_last: bool,
    /// The connection has gone before the last.
    is_broken: bool,
}

/// What a payload's task needs of its connection.
pub(super) struct Receiver {
    pub(super) connection: Addr<Connection>,
    pub(super) session: SessionReporter,
    pub(super) room: PayloadRoom,
    /// How long nothing may come.
    pub(super) stall: Duration,
}

impl Payloads {
    pub(super) fn new(room: WindowRoom) -> Self {
        Self {
            room,
            open: HashMap::new(),
            answered: VecDeque::new(),
        }
    }

    /// Begins to receive the payload of a command: what has to run for it, or its refusal. An error ends the
    /// connection.
    pub(super) fn begin(
        &mut self,
        command: Command,
        receiver: Receiver,
    ) -> Result<Result<impl Future<Output = ()> + Send + use<>, Reply>, Failure> {
        let number = command.number;
        if self.open.contains_key(&number) || self.open.len() == OPEN_MAX {
            return Err(Failure::field(
                ErrorCode::Malformed,
                "payload",
                "at most 16 payloads are on their way at a time, each for a command of its own",
            ));
        }
        let Ok(room) = Arc::clone(&self.room.0).try_acquire_owned() else {
            self.forget(number);
            let failure = Failure::field(
                ErrorCode::Overloaded,
                "payload",
                "too many payloads are on their way to this node; send it again in a moment",
            );
            return Ok(Err(refusal(number, failure)));
        };
        self.answered.retain(|answered| *answered != number);
        let buffer = Arc::new(Buffer {
            arrived: Mutex::default(),
            news: Notify::new(),
            _room: room,
        });
        self.open.insert(number, Arc::clone(&buffer));
        let source = Chunks {
            number,
            buffer,
            stall: receiver.stall,
            connection: receiver.connection,
        };
        let stall = receiver.stall;
        let upload = Upload {
            source,
            session: receiver.session,
            room: receiver.room,
            stall,
        };
        Ok(Ok(receive(upload, command)))
    }

    /// Takes some bytes of one. An error ends the connection.
    pub(super) fn chunk(&self, chunk: Chunk) -> Result<(), Failure> {
        let open = match chunk.request {
            Request::Command(number) => self.open.get(&number),
            Request::Query(_) | Request::Subscription(_) => None,
        };
        match (open, chunk.request) {
            (Some(buffer), _) => buffer.arrived(&chunk),
            (None, Request::Command(number)) if self.answered.contains(&number) => Ok(()),
            (None, _) => Err(Failure::field(
                ErrorCode::Malformed,
                "chunk.request",
                "chunks follow a command that announced a payload, until it is answered",
            )),
        }
    }

    /// The command was answered.
    pub(super) fn forget(&mut self, number: u64) {
        self.open.remove(&number);
        if self.answered.len() == OPEN_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back(number);
    }
}

impl Drop for Payloads {
    fn drop(&mut self) {
        for buffer in self.open.values() {
            buffer.arrived.lock().is_broken = true;
            buffer.news.notify_one();
        }
    }
}

async fn receive(mut upload: Upload<Chunks>, command: Command) {
    let number = command.number;
    let reply = match upload.run(command).await {
        Ok(reply) => reply,
        Err(failure) => Some(refusal(number, failure)),
    };
    // A connection that has gone has nobody to tell.
    let answered = Answered { number, reply };
    let _ = upload.source.connection.send(answered).await;
}

impl Buffer {
    fn arrived(&self, chunk: &Chunk) -> Result<(), Failure> {
        let wrong = |field, message| Err(Failure::field(ErrorCode::Malformed, field, message));
        let mut arrived = self.arrived.lock();
        if arrived.is_last {
            return wrong("chunk.last", "a chunk follows the last one of its payload");
        }
        if arrived.bytes.len() + chunk.data.len() > PAYLOAD_WINDOW_BYTES {
            return wrong(
                "chunk.data",
                "more than the window allows: wait for a window before more of the payload is sent",
            );
        }
        arrived.bytes.extend_from_slice(&chunk.data);
        arrived.is_last = chunk.last;
        drop(arrived);
        self.news.notify_one();
        Ok(())
    }

    /// What came by now, and how much was taken with it; `None` at the end.
    fn take(&self) -> Result<Option<(Bytes, u64)>, Failure> {
        let mut arrived = self.arrived.lock();
        if arrived.bytes.is_empty() && arrived.is_last {
            return Ok(None);
        }
        if arrived.is_broken {
            return Err(broken(GONE));
        }
        let bytes = std::mem::take(&mut arrived.bytes).freeze();
        arrived.taken += bytes.len() as u64;
        Ok(Some((bytes, arrived.taken)))
    }
}

const GONE: &str = "the connection has gone";

/// The bytes of one payload.
struct Chunks {
    number: u64,
    buffer: Arc<Buffer>,
    stall: Duration,
    connection: Addr<Connection>,
}

impl Source for Chunks {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Some((bytes, taken)) = self.buffer.take()? else {
                return Ok(None);
            };
            if bytes.is_empty() {
                let news = tokio::time::timeout(self.stall, self.buffer.news.notified());
                news.await
                    .map_err(|_| broken("no byte came for too long"))?;
                continue;
            }
            let window = Window {
                request: Request::Command(self.number),
                bytes: taken,
            };
            if self.connection.send(Taken(window)).await.is_err() {
                return Err(broken(GONE));
            }
            return Ok(Some(bytes));
        }
    }

    /// The reply tells the client.
    fn stop(&mut self, _why: Option<ErrorCode>) {}
}
