//! Reads what the server sends on a stream: frames, and the bytes that some of them announce.
//!
//! Readers of events and of answers own one each. It holds at most one frame or body; the rest waits
//! in QUIC, whose flow control stops the server.

use bytes::{Bytes, BytesMut};
use quinn::{RecvStream, VarInt};
use selvedge_protocol::codec;
use selvedge_protocol::frame::{Outcome, Reply, ServerFrame};
use selvedge_protocol::limits::PAYLOAD_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure, attachment};

/// The reading end of a stream and what has been read of it.
#[derive(Debug)]
pub(crate) struct FrameStream {
    receive: RecvStream,
    buffer: BytesMut,
}

impl FrameStream {
    pub(crate) fn new(receive: RecvStream) -> Self {
        Self {
            receive,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame; `None` at the end of the stream, however it came. The error is a violation.
    pub(crate) async fn next(&mut self) -> Result<Option<ServerFrame>, Failure> {
        loop {
            match codec::decode::<ServerFrame>(&mut self.buffer) {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(error) => return Err(malformed(&error)),
            }
            if !self.fill().await {
                return Ok(None);
            }
        }
    }

    /// The bytes that a frame has announced; `None` if the stream ends before.
    pub(crate) async fn bytes(&mut self, length: u64) -> Result<Option<Bytes>, Failure> {
        let length = match usize::try_from(length) {
            Ok(length) if length <= PAYLOAD_BYTES_MAX => length,
            Ok(_) | Err(_) => {
                let reason = format!("{length} bytes are announced, {PAYLOAD_BYTES_MAX} is most");
                return Err(malformed(&reason));
            }
        };
        // The buffer grows with what comes, not with what was announced.
        while self.buffer.len() < length {
            if !self.fill().await {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// The whole answer of a stream that begins with this reply. A body that does not come whole is a
    /// refusal for the moment.
    pub(crate) async fn answer(mut self, mut reply: Reply) -> Result<Reply, Failure> {
        let length = match attachment::length(&reply) {
            Ok(Some(length)) => length,
            Ok(None) => return Err(malformed(&"an answer has a stream of its own for nothing")),
            Err(error) => return Err(malformed(&error)),
        };
        let body = self.bytes(length as u64).await?;
        match body {
            Some(body) if self.is_finished().await => attachment::attach(&mut reply, body),
            Some(_) | None => {
                let failure = Failure::new(ErrorCode::Unavailable, "the answer was cut off");
                reply.outcome = Outcome::Failure(failure);
                reply.ext = Vec::new();
            }
        }
        Ok(reply)
    }

    /// Tells the server that nobody reads on.
    pub(crate) fn stop(&mut self) {
        let _ = self.receive.stop(NOBODY_LISTENS);
    }

    /// Whether the stream ends here, in order.
    async fn is_finished(&mut self) -> bool {
        self.buffer.is_empty()
            && matches!(
                self.receive.read_chunk(READ_BYTES_MAX, true).await,
                Ok(None)
            )
    }

    async fn fill(&mut self) -> bool {
        match self.receive.read_chunk(READ_BYTES_MAX, true).await {
            Ok(Some(chunk)) => {
                self.buffer.extend_from_slice(&chunk.bytes);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }
}

pub(crate) fn malformed(reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::Malformed, reason.to_string())
}

/// What is taken off a stream at a time: at most one frame more than is being handed over.
const READ_BYTES_MAX: usize = 64 * 1024;
/// The code with which a stream is stopped.
const NOBODY_LISTENS: VarInt = VarInt::from_u32(0);
