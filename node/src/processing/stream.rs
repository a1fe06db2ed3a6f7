//! Payloads that are handed through: a client's bytes on their way to the handler, chunk by chunk.
//!
//! A stream is registered before its submit is sent to the operation, taken by the runner, and dropped
//! where nobody wants it, which the sender sees as a closed channel. Nothing here stores a byte.

use bytes::Bytes;
use dashmap::DashMap;
use selvedge_cluster::actor::ScopedAddress;
use tokio::sync::mpsc::Receiver;

/// The sender of a stream is gone before its end: the connection broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload's stream broke: {0}")]
pub struct PayloadBroken(pub String);

/// A payload that is being sent.
#[derive(Debug)]
pub(crate) struct Stream {
    /// What the client announced. Fewer bytes are a broken stream, as more are.
    pub(crate) length: Option<u64>,
    pub(crate) chunks: Receiver<Result<Bytes, PayloadBroken>>,
}

/// The streams that wait for their runner. Bounded by the streams that sessions may have open.
#[derive(Debug, Default)]
pub(crate) struct Streams(DashMap<ScopedAddress, Stream>);

impl Streams {
    /// Registers a stream, in place of an older one for the same operation.
    pub(crate) fn insert(&self, actor: ScopedAddress, stream: Stream) {
        self.0.insert(actor, stream);
    }

    pub(crate) fn contains(&self, actor: &ScopedAddress) -> bool {
        self.0.contains_key(actor)
    }

    pub(crate) fn remove(&self, actor: &ScopedAddress) -> Option<Stream> {
        self.0.remove(actor).map(|(_, stream)| stream)
    }
}
