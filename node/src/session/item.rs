//! What a subscription hears as what its client is sent, whatever carries it.

use bytes::Bytes;
use selvedge_cluster::actor::{StoredEvent, SubscriptionItem};
use selvedge_protocol::frame::{EphemeralEvent, Event, Gap, LargeGap, ServerFrame};
use selvedge_protocol::limits::{INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Failure};

use crate::session::room::{Room, Taken};

/// What is to be sent for an item.
#[derive(Debug)]
pub(crate) enum Told {
    Frame(ServerFrame),
    /// An ephemeral message: lost where there is no room for it.
    Lossy(ServerFrame),
    /// A frame, and the snapshot that follows it.
    Large {
        gap: LargeGap,
        snapshot: Bytes,
        room: Taken,
    },
}

/// A large snapshot takes `room`; `None` for what cannot be told and may be lost.
pub(crate) fn told(
    subscription: u64,
    item: SubscriptionItem,
    room: &Room,
) -> Result<Option<Told>, Failure> {
    match item {
        SubscriptionItem::Event(stored) => {
            let event = ServerFrame::Event(event(subscription, &stored)?);
            Ok(Some(Told::Frame(event)))
        }
        SubscriptionItem::Gap {
            after,
            seq,
            snapshot,
        } if snapshot.len() <= INLINE_BYTES_MAX => Ok(Some(Told::Frame(ServerFrame::Gap(Gap {
            subscription,
            after,
            seq,
            snapshot,
        })))),
        SubscriptionItem::Gap {
            after,
            seq,
            snapshot,
        } => {
            check("snapshot", snapshot.len(), PAYLOAD_BYTES_MAX)?;
            Ok(Some(Told::Large {
                room: room.take(snapshot.len())?,
                gap: LargeGap {
                    subscription,
                    after,
                    seq,
                    length: snapshot.len() as u64,
                },
                snapshot,
            }))
        }
        SubscriptionItem::Ephemeral { data, .. } if data.len() > INLINE_BYTES_MAX => Ok(None),
        SubscriptionItem::Ephemeral { from, name, data } => {
            let event = EphemeralEvent {
                subscription,
                from,
                name,
                data,
            };
            Ok(Some(Told::Lossy(ServerFrame::Ephemeral(event))))
        }
    }
}

/// An event as it is told.
pub(crate) fn event(subscription: u64, stored: &StoredEvent) -> Result<Event, Failure> {
    check("event", stored.data.len(), INLINE_BYTES_MAX)?;
    Ok(Event {
        subscription,
        seq: stored.seq,
        kind: stored.kind.as_ref().to_owned(),
        time_ms: stored.time_ms,
        data: stored.data.clone(),
    })
}

/// The feed is over, which a feed never is by itself.
pub(crate) fn ended() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the events have ended; subscribe again from the last position",
    )
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
