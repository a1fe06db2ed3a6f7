//! One stream to a storage node: what was said is handed over, what is answered comes back. Transactions,
//! watches and the status each have one; it knows nothing of what they mean.

use quinn::Connection;
use selvedge_protocol::codec;
use selvedge_protocol::peer::store::{StoreAnswer, StoreRequest};
use selvedge_protocol::peer::{Service, close};

use super::super::Error;
use crate::peer::{PeerStream, StreamError};

/// A stream of the store's service. Dropped before it has ended, it is void for the other end.
#[derive(Debug)]
pub(super) struct Exchange {
    stream: PeerStream,
    is_over: bool,
}

impl Exchange {
    /// Opens a stream, with nothing said yet.
    pub(super) async fn open(connection: &Connection) -> Result<Self, Error> {
        let (send, receive) = connection
            .open_bi()
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self {
            stream: PeerStream::new(send, receive),
            is_over: false,
        })
    }

    /// Hands bytes over. After an error the last frame among them has not been said.
    pub(super) async fn say(&mut self, frames: &[u8]) -> Result<(), StreamError> {
        self.stream.write(frames).await
    }

    /// Nothing more will be said.
    pub(super) fn finish(&mut self) {
        self.stream.finish();
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> Result<StoreAnswer, StreamError> {
        self.stream.read().await?.ok_or(StreamError::Cut)
    }

    /// All was said and answered.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.stream.reset(close::DONE);
        }
    }
}

/// The first bytes of a stream of the store's service.
pub(super) fn opening() -> Vec<u8> {
    Service::Store.preface().to_vec()
}

/// Appends a request. Those of callers are within their limits by then.
pub(super) fn put(request: &StoreRequest, out: &mut Vec<u8>) {
    let encoded = codec::encode(request, out);
    assert!(encoded.is_ok(), "a request is over its limits: {encoded:?}");
}

/// What a broken stream means to a caller, as long as no commit was said.
pub(super) fn unavailable(error: &StreamError) -> Error {
    Error::Unavailable(selvedge_protocol::error::chain(error))
}

/// An answer that does not belong here: the other end is not what it should be.
pub(super) fn surprised() -> Error {
    Error::Unavailable("the storage node has answered something else".to_owned())
}
