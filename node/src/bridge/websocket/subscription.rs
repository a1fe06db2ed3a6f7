//! Serves one subscription: a task of the main runtime takes its items as they come and hands them to the actor of its
//! connection, batch by batch. The actor's mailbox is bounded, and this task waits for room in it: so a client that
//! does not read lets its events wait in the store.

use actix::{Addr, Message};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use selvedge_cluster::actor::{StoredEvent, SubscriptionItem};
use selvedge_protocol::Failure;
use selvedge_protocol::frame::{LargeGap, ServerFrame};
use tokio::sync::oneshot;

use crate::session::{Opening, Room, SessionReporter, Taken, Told, ended, told};

use super::connection::Connection;

/// Something for the client, from one of its subscriptions.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) subscription: u64,
    /// Which subscription of this number: one that was ended is not heard any more.
    pub(super) generation: u64,
    pub(super) items: Vec<Item>,
    /// Whether nothing follows.
    pub(super) is_last: bool,
}

impl Message for Items {
    type Result = ();
}

#[derive(Debug)]
pub(super) enum Item {
    Event(StoredEvent),
    Frame(ServerFrame),
    /// A large snapshot. What follows waits until it is written.
    Large {
        gap: LargeGap,
        snapshot: Bytes,
        room: Taken,
        written: oneshot::Sender<()>,
    },
}

/// Where the items go.
pub(super) struct Listener {
    pub(super) connection: Addr<Connection>,
    pub(super) session: SessionReporter,
    pub(super) room: Room,
    pub(super) generation: u64,
}

/// Opens the feed, tells the session how that went, and hands on what comes until either end has enough.
pub(super) async fn serve(opening: Opening, listener: Listener) {
    let subscription = opening.subscription;
    let session = listener.session.clone();
    let mut feed = match opening.feed.await {
        Ok(feed) => feed,
        Err(failure) => {
            session.subscription_opened(subscription, Err(failure));
            Batch::default()
                .hand_on(&listener, subscription, true)
                .await;
            return;
        }
    };
    session.subscription_opened(subscription, Ok(feed.position));
    loop {
        let mut batch = Batch::default();
        let mut next = feed.items.next().await;
        let failure = loop {
            match next {
                None => break Some(ended()),
                Some(Err(failure)) => break Some(failure),
                Some(Ok(item)) => {
                    if let Err(failure) = batch.push(subscription, item, &listener.room) {
                        break Some(failure);
                    }
                }
            }
            if batch.is_full() {
                break None;
            }
            match feed.items.next().now_or_never() {
                Some(ready) => next = ready,
                None => break None,
            }
        };
        let is_last = failure.is_some();
        if !batch.hand_on(&listener, subscription, is_last).await {
            return;
        }
        if is_last {
            return session.subscription_ended(subscription, failure);
        }
    }
}

/// What is ready by now.
#[derive(Debug, Default)]
struct Batch {
    items: Vec<Item>,
    bytes: usize,
    written: Option<oneshot::Receiver<()>>,
}

impl Batch {
    fn push(
        &mut self,
        subscription: u64,
        item: SubscriptionItem,
        room: &Room,
    ) -> Result<(), Failure> {
        self.bytes += ITEM_BYTES;
        match item {
            SubscriptionItem::Event(event) => {
                self.bytes += event.data.len();
                self.items.push(Item::Event(event));
            }
            other => match told(subscription, other, room)? {
                None => {}
                Some(Told::Frame(frame) | Told::Lossy(frame)) => {
                    self.bytes += BATCH_BYTES / 2;
                    self.items.push(Item::Frame(frame));
                }
                Some(Told::Large {
                    gap,
                    snapshot,
                    room,
                }) => {
                    let (written, is_written) = oneshot::channel();
                    self.written = Some(is_written);
                    self.items.push(Item::Large {
                        gap,
                        snapshot,
                        room,
                        written,
                    });
                }
            },
        }
        Ok(())
    }

    /// So large that it goes out now.
    const fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.written.is_some()
    }

    /// `false` if the connection has gone.
    async fn hand_on(self, listener: &Listener, subscription: u64, is_last: bool) -> bool {
        let Self { items, written, .. } = self;
        let items = Items {
            subscription,
            generation: listener.generation,
            items,
            is_last,
        };
        if listener.connection.send(items).await.is_err() {
            return false;
        }
        match written {
            Some(written) => written.await.is_ok(),
            None => true,
        }
    }
}

/// A batch of so many bytes is handed on: with what is in the outbox already it stays below what is kept for a client,
/// also where its bytes go in base64.
const BATCH_BYTES: usize = 32 * 1024;
/// What an item takes beside its bytes.
const ITEM_BYTES: usize = 64;
