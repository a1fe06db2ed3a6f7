//! Reads a connection's messages: bytes in, batches of whole frames out. The connection's actor takes them.
//!
//! A batch with requests waits until the session can take it, and meanwhile nothing more is read.

use std::cell::Cell;
use std::rc::Rc;

use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, Stream, StreamExt, stream};
use selvedge_protocol::frame::ClientFrame;
use selvedge_protocol::{ErrorCode, Failure};

use crate::session::{BatchPermit, Batches};

use super::form::{Form, Unreadable, binary};
use super::frame::{self, Received, Violation};
use super::last::{Last, NO_UTF8, PROTOCOL_ERROR};

/// What came.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) frames: Vec<ClientFrame>,
    /// Leave to hand the frames over, where there are some.
    pub(super) permit: Option<BatchPermit>,
    /// What the client wants to have back.
    pub(super) pings: Vec<BytesMut>,
    /// Nothing follows.
    pub(super) last: Option<Last>,
}

/// The reading half of a connection.
pub(super) struct Reader {
    payload: Payload,
    buffer: BytesMut,
    messages: frame::Reader,
    form: Form,
    /// What is left of a message of many frames.
    rest: BytesMut,
    /// Set whenever something came whole.
    is_heard: Rc<Cell<bool>>,
    is_over: bool,
    /// That came and were not counted yet.
    bytes: usize,
}

impl Reader {
    pub(super) fn new(payload: Payload, form: Form, is_deflating: bool) -> Self {
        Self {
            payload,
            buffer: BytesMut::new(),
            messages: frame::Reader::new(is_deflating),
            form,
            rest: BytesMut::new(),
            is_heard: Rc::new(Cell::new(false)),
            is_over: false,
            bytes: 0,
        }
    }

    /// Whether anything came; set by the reader, cleared by who looks. A byte now and then is nothing: messages that
    /// never end are silence.
    pub(super) fn heard(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.is_heard)
    }

    /// The next batch, without leave to hand it over. `None` when the connection has gone.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        if self.is_over {
            self.let_go().await;
            return None;
        }
        loop {
            let batch = self.batch();
            if batch.last.is_some() {
                self.is_over = true;
            }
            if !batch.is_empty() {
                return Some(batch);
            }
            let chunk = self.payload.next().await?.ok()?;
            self.received(&chunk);
        }
    }

    /// All batches, each with leave from the session where it needs some.
    pub(super) fn batches(self, session: Batches) -> impl Stream<Item = Batch> {
        stream::unfold((self, session), |(mut reader, session)| async move {
            let allowance = session.allowance();
            // One that has brought too much is read again when that is within its limits.
            allowance.ready().await;
            let mut batch = reader.next().await?;
            allowance.came(std::mem::take(&mut reader.bytes), batch.frames.len());
            if !batch.frames.is_empty() {
                batch.permit = session.permit().await;
            }
            Some((batch, (reader, session)))
        })
    }

    fn received(&mut self, chunk: &Bytes) {
        let before = self.buffer.len();
        self.buffer.extend_from_slice(chunk);
        while self.buffer.len() < READ_BYTES
            && let Some(Some(Ok(chunk))) = self.payload.next().now_or_never()
        {
            self.buffer.extend_from_slice(&chunk);
        }
        self.bytes += self.buffer.len() - before;
    }

    fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        loop {
            if let Err(error) = binary(&mut self.rest, &mut batch.frames, BATCH_FRAMES_MAX) {
                batch.last = Some(unreadable(error));
            }
            if batch.last.is_some() || batch.frames.len() >= BATCH_FRAMES_MAX {
                break;
            }
            let next = self.messages.next(&mut self.buffer);
            if matches!(next, Ok(Some(_))) {
                self.is_heard.set(true);
            }
            match next {
                Ok(None) => {
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::new();
                    }
                    break;
                }
                Ok(Some(Received::Ping(data))) => batch.pings.push(data),
                Ok(Some(Received::Close)) => batch.last = Some(Last::Close),
                Ok(Some(message)) => match self.form.read(message, &mut batch.frames) {
                    Ok(rest) => self.rest = rest,
                    Err(error) => batch.last = Some(unreadable(error)),
                },
                Err(violation) => batch.last = Some(violated(violation)),
            }
        }
        batch
    }

    /// Reads until the client closes, so that what it has not read yet is not lost with the connection.
    pub(super) async fn let_go(&mut self) {
        while let Some(Ok(_)) = self.payload.next().await {}
    }
}

impl Batch {
    const fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.pings.is_empty() && self.last.is_none()
    }
}

/// What is read before it is handed over: about what the kernel hands out at a time.
const READ_BYTES: usize = 64 * 1024;
/// Frames in one batch, for the smallest frame is tiny and becomes 200 bytes once decoded.
const BATCH_FRAMES_MAX: usize = 512;

fn unreadable(error: Unreadable) -> Last {
    match error {
        Unreadable::NoUtf8 => Last::Violation(NO_UTF8, "text that is no UTF-8"),
        Unreadable::NoFrame(failure) => Last::Failed(failure),
    }
}

fn violated(violation: Violation) -> Last {
    match violation {
        Violation::Protocol(reason) => Last::Violation(PROTOCOL_ERROR, reason),
        Violation::TooLarge => Last::Failed(Failure::new(
            ErrorCode::TooLarge,
            "a message has at most 196,608 bytes, inflated; send larger payloads in chunks",
        )),
    }
}
