//! A stream between nodes as frames. Services read and write with it; it knows none of them.

use bytes::BytesMut;
use quinn::{Connection, ReadError, ReadExactError, RecvStream, SendStream, VarInt, WriteError};
use selvedge_protocol::codec::{self, Frame};
use selvedge_protocol::peer::{LINK, Preface, Service};

/// Why a stream gives or takes no more frames.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StreamError {
    /// The other end wants no more of this stream.
    #[error("the other node has ended the stream (code {0})")]
    Ended(u64),
    /// It ended in the midst of a frame, or before it.
    #[error("the stream ended early")]
    Cut,
    /// The connection is lost.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// What came is no frame.
    #[error("the stream has no frames")]
    Malformed(#[source] codec::Error),
}

/// Both directions of a stream, whose first bytes have been dealt with.
#[derive(Debug)]
pub struct PeerStream {
    reader: PeerReader,
    writer: PeerWriter,
}

/// What the other end says.
#[derive(Debug)]
pub struct PeerReader {
    receive: RecvStream,
    input: BytesMut,
}

/// What is said to the other end.
#[derive(Debug)]
pub struct PeerWriter {
    send: SendStream,
}

impl PeerStream {
    pub(crate) fn new(send: SendStream, receive: RecvStream) -> Self {
        let input = BytesMut::new();
        Self::unite(PeerReader { receive, input }, PeerWriter { send })
    }

    /// Opens a stream for a service.
    pub(crate) async fn open(
        connection: &Connection,
        service: Service,
    ) -> Result<Self, StreamError> {
        Self::open_with(connection, &service.preface()).await
    }

    /// Opens the stream that keeps a connection.
    pub(super) async fn open_link(connection: &Connection) -> Result<Self, StreamError> {
        Self::open_with(connection, &LINK).await
    }

    async fn open_with(connection: &Connection, preface: &Preface) -> Result<Self, StreamError> {
        let opened = connection.open_bi().await;
        let (send, receive) = opened.map_err(|error| StreamError::Lost(error.to_string()))?;
        let mut stream = Self::new(send, receive);
        stream.write(preface).await?;
        Ok(stream)
    }

    /// The two directions, for who reads and writes at the same time.
    pub fn split(self) -> (PeerReader, PeerWriter) {
        (self.reader, self.writer)
    }

    /// The same, for a while.
    pub const fn halves(&mut self) -> (&mut PeerReader, &mut PeerWriter) {
        (&mut self.reader, &mut self.writer)
    }

    /// Undoes [`Self::split`].
    pub const fn unite(reader: PeerReader, writer: PeerWriter) -> Self {
        Self { reader, writer }
    }

    /// The first bytes, which say what the stream is for.
    pub(super) async fn read_preface(&mut self) -> Result<Preface, StreamError> {
        let mut preface = Preface::default();
        let read = self.reader.receive.read_exact(&mut preface).await;
        read.map_err(|error| match error {
            ReadExactError::FinishedEarly(_) => StreamError::Cut,
            ReadExactError::ReadError(error) => error.into(),
        })?;
        Ok(preface)
    }

    /// Hears a word, of the stream that keeps a connection. `false`: the other end says no more.
    pub(super) async fn read_word(&mut self) -> Result<bool, StreamError> {
        let mut word = [0];
        Ok(self.reader.receive.read(&mut word).await?.is_some())
    }

    /// Says one.
    pub(super) async fn write_word(&mut self) -> Result<(), StreamError> {
        self.write(&[0]).await
    }

    /// As [`PeerReader::read`].
    pub async fn read<F: Frame>(&mut self) -> Result<Option<F>, StreamError> {
        self.reader.read().await
    }

    /// Whether something was received that no frame was made of yet.
    pub fn has_input(&self) -> bool {
        !self.reader.input.is_empty()
    }

    /// As [`PeerWriter::write`].
    pub async fn write(&mut self, frames: &[u8]) -> Result<(), StreamError> {
        self.writer.write(frames).await
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        // Fails only if it was finished or reset before.
        let _ = self.writer.send.finish();
    }

    /// Ends both directions at once: what was not received is void.
    pub fn reset(&mut self, code: u32) {
        let code = VarInt::from_u32(code);
        // Both fail only on a stream that has ended.
        let _ = self.writer.send.reset(code);
        let _ = self.reader.receive.stop(code);
    }

    /// Completes when the other end wants no more, or is gone.
    pub async fn stopped(&self) {
        let _ = self.writer.send.stopped().await;
    }
}

impl PeerReader {
    /// The next frame; `None` when the other end has said all. Cancelled in between, it goes on where it was.
    pub async fn read<F: Frame>(&mut self) -> Result<Option<F>, StreamError> {
        loop {
            if let Some(frame) = codec::decode(&mut self.input).map_err(StreamError::Malformed)? {
                return Ok(Some(frame));
            }
            match self.receive.read_chunk(CHUNK_BYTES_MAX, true).await? {
                Some(chunk) => self.input.extend_from_slice(&chunk.bytes),
                None if self.input.is_empty() => return Ok(None),
                None => return Err(StreamError::Cut),
            }
        }
    }
}

impl PeerWriter {
    /// Hands frames over to be sent. Waits while the other end takes none.
    pub async fn write(&mut self, frames: &[u8]) -> Result<(), StreamError> {
        Ok(self.send.write_all(frames).await?)
    }
}

impl From<ReadError> for StreamError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::Ended(code.into()),
            ReadError::ConnectionLost(error) => Self::Lost(error.to_string()),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Cut,
        }
    }
}

impl From<WriteError> for StreamError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::Ended(code.into()),
            WriteError::ConnectionLost(error) => Self::Lost(error.to_string()),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::Cut,
        }
    }
}

/// Taken out of QUIC's buffers at a time.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
