//! Payloads of commands: where the bytes come from, how they travel, and their way onto a stream.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use quinn::{Connection, RecvStream, SendStream, WriteError};
use selvedge_protocol::frame::{Payload, ServerFrame};
use selvedge_protocol::{ErrorCode, Failure, limits};
use tokio::io::AsyncReadExt;

use crate::error::CallError;
use crate::stream::FrameStream;

/// A source that can be read once.
pub type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// Where the bytes of a payload come from.
#[derive(Clone, Default)]
pub enum PayloadSource {
    /// No payload.
    #[default]
    None,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file. It is read in pieces, and from its start when the command must be sent again.
    File(PathBuf),
    /// A stream. It can be sent once only: if the connection breaks before all of it was sent, the
    /// call ends with [`CallError::OutcomeUnknown`].
    Stream(OnceStream),
}

/// A stream that whoever comes first may read.
#[derive(Clone)]
pub struct OnceStream(Arc<Mutex<Option<ByteStream>>>);

impl PayloadSource {
    /// A payload that is read from a stream.
    pub fn stream(stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Self {
        Self::Stream(OnceStream(Arc::new(Mutex::new(Some(Box::pin(stream))))))
    }

    /// How these bytes travel, beside arguments of `body_bytes`: in the frame, stored from a stream of
    /// their own, or handed through.
    pub(crate) async fn place(&self, body_bytes: usize) -> Result<Payload, CallError> {
        let length = match self {
            Self::None => return Ok(Payload::None),
            Self::Stream(_) => return Ok(Payload::Streamed { length: None }),
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(path) => {
                let metadata = tokio::fs::metadata(path)
                    .await
                    .map_err(CallError::Payload)?;
                if metadata.is_dir() {
                    return Err(CallError::Payload(std::io::ErrorKind::IsADirectory.into()));
                }
                metadata.len()
            }
        };
        let inline_max = limits::INLINE_BYTES_MAX.saturating_sub(body_bytes) as u64;
        if length <= inline_max {
            return Ok(Payload::Inline(self.read().await?));
        }
        if length <= limits::PAYLOAD_BYTES_MAX as u64 {
            return Ok(Payload::Attached { length });
        }
        Ok(Payload::Streamed {
            length: Some(length),
        })
    }

    /// The whole of a small payload.
    async fn read(&self) -> Result<Bytes, CallError> {
        match self {
            Self::None | Self::Stream(_) => Ok(Bytes::new()),
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => {
                let file = tokio::fs::File::open(path)
                    .await
                    .map_err(CallError::Payload)?;
                let mut bytes = Vec::new();
                // The file may have grown since its length was looked at.
                file.take(limits::INLINE_BYTES_MAX as u64 + 1)
                    .read_to_end(&mut bytes)
                    .await
                    .map_err(CallError::Payload)?;
                Ok(Bytes::from(bytes))
            }
        }
    }

    /// What to send now; `None` if it was a stream that has been read already.
    pub(crate) fn open(&self) -> Option<Opened> {
        Some(match self {
            Self::None => Opened::Bytes(Bytes::new()),
            Self::Bytes(bytes) => Opened::Bytes(bytes.clone()),
            Self::File(path) => Opened::File(path.clone()),
            Self::Stream(once) => {
                let mut stream = once.0.lock().unwrap_or_else(PoisonError::into_inner);
                Opened::Stream(stream.take()?)
            }
        })
    }
}

impl From<Bytes> for PayloadSource {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<PathBuf> for PayloadSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl std::fmt::Debug for PayloadSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl std::fmt::Debug for OnceStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnceStream")
    }
}

/// A source that is about to be sent.
pub(crate) enum Opened {
    Bytes(Bytes),
    File(PathBuf),
    Stream(ByteStream),
}

/// How the sending of one command on its own stream ended.
pub(crate) enum Uploaded {
    /// The server's frame: the answer.
    Answered(ServerFrame),
    /// The stream broke, the connection perhaps not: worth another attempt.
    Broken(Failure),
    /// The source cannot be read.
    Unreadable(std::io::Error),
}

/// Sends the command `frame` and its payload on a stream of their own and waits for the answer there.
///
/// The answer counts only when the payload has been handed over as well: before that, a break means
/// that the command must be sent again.
pub(crate) async fn upload(connection: Connection, frame: Vec<u8>, source: Opened) -> Uploaded {
    let (mut send, receive) = match connection.open_bi().await {
        Ok(streams) => streams,
        Err(error) => return broken(&error),
    };
    if let Err(error) = send.write_all(&frame).await {
        return broken(&error);
    }
    match tokio::try_join!(send_payload(send, source), receive_answer(receive)) {
        Ok(((), answer)) => Uploaded::Answered(answer),
        Err(otherwise) => otherwise,
    }
}

/// Sends all of it, or as much as the server wants: why it wants no more, its answer says.
async fn send_payload(mut send: SendStream, source: Opened) -> Result<(), Uploaded> {
    let sent = match source {
        Opened::Bytes(bytes) => send.write_chunk(bytes).await.map_err(SendError::Stream),
        Opened::File(path) => send_file(&mut send, path).await,
        Opened::Stream(stream) => send_stream(&mut send, stream).await,
    };
    match sent {
        Ok(()) => {
            // Fails only if the server has stopped the stream.
            let _ = send.finish();
            Ok(())
        }
        Err(SendError::Stream(WriteError::Stopped(_))) => Ok(()),
        Err(SendError::Stream(error)) => Err(broken(&error)),
        Err(SendError::Source(error)) => {
            // Without this the drop of the stream would finish it, and a part would pass for all.
            let _ = send.reset(UPLOAD_GIVEN_UP);
            Err(Uploaded::Unreadable(error))
        }
    }
}

enum SendError {
    Source(std::io::Error),
    Stream(WriteError),
}

async fn send_file(send: &mut SendStream, path: PathBuf) -> Result<(), SendError> {
    let mut file = tokio::fs::File::open(path)
        .await
        .map_err(SendError::Source)?;
    loop {
        let mut chunk = BytesMut::with_capacity(FILE_CHUNK_BYTES);
        if file.read_buf(&mut chunk).await.map_err(SendError::Source)? == 0 {
            return Ok(());
        }
        send.write_chunk(chunk.freeze())
            .await
            .map_err(SendError::Stream)?;
    }
}

async fn send_stream(send: &mut SendStream, mut stream: ByteStream) -> Result<(), SendError> {
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(SendError::Source)?;
        send.write_chunk(chunk).await.map_err(SendError::Stream)?;
    }
    Ok(())
}

async fn receive_answer(receive: RecvStream) -> Result<ServerFrame, Uploaded> {
    match FrameStream::new(receive).next().await {
        Ok(Some(frame)) => Ok(frame),
        Ok(None) => Err(broken(&"the server ended it without an answer")),
        Err(failure) => Err(broken(&failure)),
    }
}

fn broken(reason: &dyn std::fmt::Display) -> Uploaded {
    Uploaded::Broken(Failure::new(
        ErrorCode::Unavailable,
        format!("the stream of the payload broke: {reason}"),
    ))
}

/// Pieces that keep a link busy without holding much memory.
const FILE_CHUNK_BYTES: usize = 64 * 1024;
/// The code of the reset when this end cannot read on.
const UPLOAD_GIVEN_UP: quinn::VarInt = quinn::VarInt::from_u32(1);
