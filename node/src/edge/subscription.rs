//! Serves one subscription: its items, each as a frame, on a stream that the node opens. Flow control
//! of that stream is the backpressure: a client that does not read keeps only its own feed waiting.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use quinn::{Connection, SendStream};
use selvedge_cluster::actor::SubscriptionItem;
use selvedge_protocol::frame::ServerFrame;
use selvedge_protocol::{ErrorCode, Failure, codec};

use crate::edge::answer::{self, Unwritten};
use crate::edge::close;
use crate::gateway::Feed;
use crate::session::{Opening, Room, SessionReporter, Taken, Told, ended, told};

/// Opens the feed, tells the session how that went, and sends what comes until either end has enough.
pub(super) async fn serve(
    connection: Connection,
    opening: Opening,
    session: SessionReporter,
    bounds: Bounds,
) {
    let id = opening.subscription;
    let feed = match opening.feed.await {
        Ok(feed) => feed,
        Err(failure) => return session.subscription_opened(id, Err(failure)),
    };
    session.subscription_opened(id, Ok(feed.position));
    // Waits while the client allows no more streams. It fails with the connection only.
    let Ok(mut stream) = connection.open_uni().await else {
        return;
    };
    let ended = Sending {
        connection: &connection,
        subscription: id,
        stream: &mut stream,
        bounds: &bounds,
    }
    .run(feed)
    .await;
    if let Some(failure) = &ended {
        let _ = stream.reset(close::code(failure.code));
    }
    session.subscription_ended(id, ended);
}

/// What holds for large snapshots.
pub(super) struct Bounds {
    pub(super) room: Room,
    /// How long one may stand still.
    pub(super) stall: Duration,
}

struct Sending<'a> {
    connection: &'a Connection,
    subscription: u64,
    stream: &'a mut SendStream,
    bounds: &'a Bounds,
}

impl Sending<'_> {
    /// `None` when the client does not want more.
    async fn run(self, mut feed: Feed) -> Option<Failure> {
        let stopped = self.stream.stopped();
        tokio::pin!(stopped);
        loop {
            let item = tokio::select! {
                item = feed.items.next() => item,
                _ = &mut stopped => return None,
            };
            let mut bytes = Vec::new();
            let mut room = None;
            let mut next = item;
            // What is ready by now goes out in one write.
            let failure = loop {
                match next {
                    None => break Some(ended()),
                    Some(Err(failure)) => break Some(failure),
                    Some(Ok(item)) => {
                        match self.encode(item, &mut bytes) {
                            Ok(None) => {}
                            // So large that it ends the batch below.
                            Ok(taken) => room = taken,
                            Err(failure) => break Some(failure),
                        }
                    }
                }
                if bytes.len() >= WRITE_BYTES {
                    break None;
                }
                match feed.items.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => break None,
                }
            };
            let mut chunks = [Bytes::from(bytes)];
            let written = match &room {
                Some(_) => answer::write(self.stream, &mut chunks, self.bounds.stall).await,
                // Nobody else waits for the room of small items.
                None => {
                    let written = self.stream.write_all_chunks(&mut chunks).await;
                    written.map_err(|_| Unwritten::Lost)
                }
            };
            match written {
                Ok(()) => {}
                Err(Unwritten::Lost) => return None,
                Err(Unwritten::Stalled) => return Some(unread()),
            }
            if failure.is_some() {
                return failure;
            }
        }
    }

    /// Appends the item; a large one has taken room.
    fn encode(&self, item: SubscriptionItem, out: &mut Vec<u8>) -> Result<Option<Taken>, Failure> {
        match told(self.subscription, item, &self.bounds.room)? {
            None => Ok(None),
            Some(Told::Frame(frame)) => {
                append(&frame, out)?;
                Ok(None)
            }
            Some(Told::Lossy(frame)) => {
                let mut datagram = Vec::new();
                // Lossy: too large for a frame or the path, or not wanted by the client.
                if append(&frame, &mut datagram).is_ok() {
                    let _ = self.connection.send_datagram(datagram.into());
                }
                Ok(None)
            }
            Some(Told::Large {
                gap,
                snapshot,
                room,
            }) => {
                append(&ServerFrame::LargeGap(gap), out)?;
                out.extend_from_slice(&snapshot);
                Ok(Some(room))
            }
        }
    }
}

/// About what one write to the socket carries.
const WRITE_BYTES: usize = 64 * 1024;

fn append(frame: &ServerFrame, out: &mut Vec<u8>) -> Result<(), Failure> {
    codec::encode(frame, out).map_err(|error| Failure::new(ErrorCode::TooLarge, error.to_string()))
}

fn unread() -> Failure {
    Failure::new(
        ErrorCode::Overloaded,
        "the events were not read for too long; subscribe again from the last position",
    )
}
