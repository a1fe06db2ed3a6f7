//! Serves one subscription: its items, each as a frame, on a stream that the node opens. Flow control
//! of that stream is the backpressure: a client that does not read keeps only its own feed waiting.

use futures::{FutureExt, StreamExt};
use quinn::{Connection, SendStream};
use selvedge_cluster::actor::SubscriptionItem;
use selvedge_protocol::frame::{EphemeralEvent, Event, Gap, ServerFrame};
use selvedge_protocol::limits::INLINE_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure, codec};

use crate::edge::close;
use crate::gateway::Feed;
use crate::session::{Opening, SessionReporter};

/// Opens the feed, tells the session how that went, and sends what comes until either end has enough.
pub(super) async fn serve(connection: Connection, opening: Opening, session: SessionReporter) {
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
    }
    .run(feed)
    .await;
    if let Some(failure) = &ended {
        let _ = stream.reset(close::code(failure.code));
    }
    session.subscription_ended(id, ended);
}

struct Sending<'a> {
    connection: &'a Connection,
    subscription: u64,
    stream: &'a mut SendStream,
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
            let mut next = item;
            // What is ready by now goes out in one write.
            let failure = loop {
                match next {
                    None => break Some(ended()),
                    Some(Err(failure)) => break Some(failure),
                    Some(Ok(item)) => {
                        if let Err(failure) = self.encode(item, &mut bytes) {
                            break Some(failure);
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
            if self.stream.write_all(&bytes).await.is_err() {
                return None;
            }
            if failure.is_some() {
                return failure;
            }
        }
    }

    fn encode(&self, item: SubscriptionItem, out: &mut Vec<u8>) -> Result<(), Failure> {
        let subscription = self.subscription;
        match item {
            SubscriptionItem::Event(event) => {
                check("event", event.data.len())?;
                let event = ServerFrame::Event(Event {
                    subscription,
                    seq: event.seq,
                    kind: event.kind.as_ref().to_owned(),
                    time_ms: event.time_ms,
                    data: event.data,
                });
                codec::encode(&event, out);
            }
            SubscriptionItem::Gap {
                after,
                seq,
                snapshot,
            } => {
                check("snapshot", snapshot.len())?;
                let gap = ServerFrame::Gap(Gap {
                    subscription,
                    after,
                    seq,
                    snapshot,
                });
                codec::encode(&gap, out);
            }
            SubscriptionItem::Ephemeral { from, name, data } => {
                if data.len() <= INLINE_BYTES_MAX {
                    let mut datagram = Vec::new();
                    let event = EphemeralEvent {
                        subscription,
                        from,
                        name,
                        data,
                    };
                    codec::encode(&ServerFrame::Ephemeral(event), &mut datagram);
                    // Lossy: too large for the path, or not wanted by the client.
                    let _ = self.connection.send_datagram(datagram.into());
                }
            }
        }
        Ok(())
    }
}

/// About what one write to the socket carries.
const WRITE_BYTES: usize = 64 * 1024;

fn check(what: &str, bytes: usize) -> Result<(), Failure> {
    if bytes <= INLINE_BYTES_MAX {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::TooLarge,
        format!("the {what} of {bytes} bytes is over the limit of a frame, {INLINE_BYTES_MAX}"),
    ))
}

fn ended() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the events have ended; subscribe again from the last position",
    )
}
