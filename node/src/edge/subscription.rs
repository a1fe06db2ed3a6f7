//! Serves one subscription: its items, each as a frame, on a stream that the node opens. Flow control
//! of that stream is the backpressure: a client that does not read keeps only its own feed waiting.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use quinn::SendStream;
use selvedge_cluster::actor::SubscriptionItem;
use selvedge_protocol::frame::{EphemeralEvent, Event, Gap, LargeGap, ServerFrame};
use selvedge_protocol::limits::{INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Failure, codec};

use crate::edge::answer::{self, Unwritten};
use crate::edge::wire::Wire;
use crate::gateway::Feed;
use crate::session::{Opening, Room, SessionReporter, Taken};

/// Opens the feed, tells the session how that went, and sends what comes until either end has enough.
pub(super) async fn serve(wire: Wire, opening: Opening, session: SessionReporter, bounds: Bounds) {
    let id = opening.subscription;
    let feed = match opening.feed.await {
        Ok(feed) => feed,
        Err(failure) => return session.subscription_opened(id, Err(failure)),
    };
    session.subscription_opened(id, Ok(feed.position));
    // Waits while the client allows no more streams. It fails with the connection only.
    let Ok(mut stream) = wire.open_uni().await else {
        return;
    };
    let ended = Sending {
        wire: &wire,
        subscription: id,
        stream: &mut stream,
        bounds: &bounds,
    }
    .run(feed)
    .await;
    if let Some(failure) = &ended {
        let _ = stream.reset(wire.code(failure.code));
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
    wire: &'a Wire,
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
        let subscription = self.subscription;
        match item {
            SubscriptionItem::Event(event) => {
                check("event", event.data.len(), INLINE_BYTES_MAX)?;
                let event = ServerFrame::Event(Event {
                    subscription,
                    seq: event.seq,
                    kind: event.kind.as_ref().to_owned(),
                    time_ms: event.time_ms,
                    data: event.data,
                });
                append(&event, out)?;
            }
            SubscriptionItem::Gap {
                after,
                seq,
                snapshot,
            } => {
                if snapshot.len() > INLINE_BYTES_MAX {
                    check("snapshot", snapshot.len(), PAYLOAD_BYTES_MAX)?;
                    let room = self.bounds.room.take(snapshot.len())?;
                    let gap = LargeGap {
                        subscription,
                        after,
                        seq,
                        length: snapshot.len() as u64,
                    };
                    append(&ServerFrame::LargeGap(gap), out)?;
                    out.extend_from_slice(&snapshot);
                    return Ok(Some(room));
                }
                let gap = ServerFrame::Gap(Gap {
                    subscription,
                    after,
                    seq,
                    snapshot,
                });
                append(&gap, out)?;
            }
            SubscriptionItem::Ephemeral { from, name, data } => {
                if data.len() <= INLINE_BYTES_MAX {
                    let mut datagram = self.wire.datagram();
                    let event = EphemeralEvent {
                        subscription,
                        from,
                        name,
                        data,
                    };
                    // Lossy: too large for a frame.
                    if append(&ServerFrame::Ephemeral(event), &mut datagram).is_ok() {
                        self.wire.send_datagram(datagram);
                    }
                }
            }
        }
        Ok(None)
    }
}

/// About what one write to the socket carries.
const WRITE_BYTES: usize = 64 * 1024;

fn append(frame: &ServerFrame, out: &mut Vec<u8>) -> Result<(), Failure> {
    codec::encode(frame, out).map_err(|error| Failure::new(ErrorCode::TooLarge, error.to_string()))
}

fn check(what: &str, bytes: usize, limit: usize) -> Result<(), Failure> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::TooLarge,
        format!("the {what} of {bytes} bytes is over the limit of {limit}"),
    ))
}

fn unread() -> Failure {
    Failure::new(
        ErrorCode::Overloaded,
        "the events were not read for too long; subscribe again from the last position",
    )
}

fn ended() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the events have ended; subscribe again from the last position",
    )
}
