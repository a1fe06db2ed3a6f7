//! Reads an operation's payload, chunk by chunk: from memory, from the store, or from the client that is
//! sending it.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::store::keys::ActorPath;
use selvedge_cluster::store::{Isolation, Store};

use crate::operation::{self, PAYLOAD_CHUNK_BYTES};
use crate::processing::handler::{Cause, HandlerError};
use crate::processing::stream::{PayloadBroken, Stream};

/// Chunks that one read of the store brings: under 1 MB.
const CHUNKS_PER_READ: usize = 8;

/// Where the payload of an attempt is.
#[derive(Debug)]
pub(crate) enum Source {
    None,
    Memory(Bytes),
    Stored {
        store: Arc<dyn Store>,
        path: ActorPath,
        length: u64,
    },
    Streamed(Stream),
    /// A stream that a reader has taken.
    Taken,
}

/// A payload being read.
#[derive(Debug)]
pub struct PayloadReader {
    source: Source,
    /// Bytes given so far.
    position: u64,
    /// Chunks that were read ahead, last first.
    ahead: Vec<Bytes>,
}

impl Source {
    /// The source for one more reader.
    pub(super) fn next(&mut self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Memory(bytes) => Self::Memory(bytes.clone()),
            Self::Stored {
                store,
                path,
                length,
            } => Self::Stored {
                store: Arc::clone(store),
                path: path.clone(),
                length: *length,
            },
            Self::Streamed(_) => std::mem::replace(self, Self::Taken),
            Self::Taken => Self::Taken,
        }
    }

    /// How many bytes are stored; `None`: there are none, or they are no longer to be had.
    pub(super) fn stored_length(&self) -> Option<u64> {
        match self {
            Self::Memory(bytes) => Some(bytes.len() as u64),
            Self::Stored { length, .. } => Some(*length),
            Self::None | Self::Streamed(_) | Self::Taken => None,
        }
    }

    /// Stored bytes from a position on, at most `bytes_max`, none past the end.
    pub(super) async fn piece(&self, from: u64, bytes_max: usize) -> Result<Bytes, HandlerError> {
        let length = self.stored_length().unwrap_or(0);
        if from >= length {
            return Ok(Bytes::new());
        }
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(bytes_max).min(bytes.len());
                Ok(bytes.slice(start..end))
            }
            Self::Stored { store, path, .. } => {
                let before = from % PAYLOAD_CHUNK_BYTES as u64;
                let chunks = read(&**store, path, from - before).await?;
                let mut piece = Vec::with_capacity(bytes_max);
                let mut before = usize::try_from(before).unwrap_or(usize::MAX);
                for chunk in chunks.iter().rev() {
                    let start = before.min(chunk.len());
                    let end = chunk.len().min(start + bytes_max - piece.len());
                    piece.extend_from_slice(&chunk[start..end]);
                    before -= start;
                }
                Ok(Bytes::from(piece))
            }
            Self::None | Self::Streamed(_) | Self::Taken => Ok(Bytes::new()),
        }
    }
}

impl PayloadReader {
    pub(super) const fn new(source: Source) -> Self {
        Self {
            source,
            position: 0,
            ahead: Vec::new(),
        }
    }

    /// The next bytes; `None` after the last. Return the error: it makes the node ask for the payload
    /// again where that can help.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HandlerError> {
        let chunk = match &mut self.source {
            Source::None => None,
            Source::Memory(bytes) => {
                let bytes = std::mem::take(bytes);
                (!bytes.is_empty()).then_some(bytes)
            }
            Source::Stored {
                store,
                path,
                length,
            } => {
                if self.ahead.is_empty() && self.position < *length {
                    self.ahead = read(&**store, path, self.position).await?;
                }
                self.ahead.pop()
            }
            Source::Streamed(stream) => receive(stream, self.position).await?,
            Source::Taken => {
                return Err(HandlerError::permanent(
                    "a streamed payload can be read once in an attempt",
                ));
            }
        };
        self.position += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }

    /// The whole payload at once: up to 8 MiB where it is stored, without a bound where it is streamed.
    pub async fn read_to_end(&mut self) -> Result<Bytes, HandlerError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(whole))
    }
}

/// The next few chunks of a stored payload, last first.
async fn read(
    store: &dyn Store,
    path: &ActorPath,
    position: u64,
) -> Result<Vec<Bytes>, HandlerError> {
    let mut range = path
        .prefix()
        .payload_chunks()
        .read(CHUNKS_PER_READ, Isolation::Snapshot);
    let first = operation::payload_chunk(path, position);
    range.begin = std::ops::Bound::Included(Bytes::from(first));
    let rows = store.begin().range(range).await?;
    if rows.is_empty() {
        // Cleared with the end of the operation: this attempt is a late one.
        return Err(HandlerError::new(
            "lost",
            "the payload is gone",
            Cause::Lost,
        ));
    }
    Ok(rows.into_iter().rev().map(|(_, chunk)| chunk).collect())
}

async fn receive(stream: &mut Stream, position: u64) -> Result<Option<Bytes>, HandlerError> {
    let received = stream.chunks.recv().await.transpose();
    let total = |chunk: &Option<Bytes>| position + chunk.as_ref().map_or(0, |c| c.len() as u64);
    let broken = match received {
        Ok(chunk) => match stream.length {
            Some(length) if total(&chunk) > length || (chunk.is_none() && position < length) => {
                PayloadBroken(format!(
                    "{length} bytes were announced, {} came",
                    total(&chunk)
                ))
            }
            Some(_) | None => return Ok(chunk),
        },
        Err(broken) => broken,
    };
    let message = broken.to_string();
    Err(HandlerError::new(
        "payload_broken",
        message,
        Cause::PayloadMissing,
    ))
}
