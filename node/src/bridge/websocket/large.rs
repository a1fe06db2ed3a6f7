//! A large answer or snapshot on its way to a client, in Chunks. A connection owns it until the last.

use bytes::Bytes;
use selvedge_protocol::frame::{Chunk, Request};
use tokio::sync::oneshot;

use crate::session::Taken;

/// What is left of the bytes that follow a frame.
#[derive(Debug)]
pub(super) struct Large {
    request: Request,
    bytes: Bytes,
    /// Given back with the last.
    _room: Taken,
    /// Told after the last, if somebody waits for it.
    written: Option<oneshot::Sender<()>>,
}

impl Large {
    pub(super) const fn new(
        request: Request,
        bytes: Bytes,
        room: Taken,
        written: Option<oneshot::Sender<()>>,
    ) -> Self {
        Self {
            request,
            bytes,
            _room: room,
            written,
        }
    }

    /// Whether it is the snapshot of this subscription.
    pub(super) fn is_of(&self, subscription: u64) -> bool {
        self.request == Request::Subscription(subscription)
    }

    /// The next chunk, and the rest if there is some.
    pub(super) fn chunk(mut self) -> (Chunk, Option<Self>) {
        let data = self.bytes.split_to(CHUNK_BYTES.min(self.bytes.len()));
        let last = self.bytes.is_empty();
        let chunk = Chunk {
            request: self.request,
            data,
            last,
        };
        if !last {
            return (chunk, Some(self));
        }
        if let Some(written) = self.written {
            // A subscription that has ended meanwhile does not wait.
            let _ = written.send(());
        }
        (chunk, None)
    }
}

/// Bytes of one chunk: so much may go before what is small.
const CHUNK_BYTES: usize = 32 * 1024;
