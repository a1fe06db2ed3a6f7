//! The way from a session to its connection: a queue that is pushed to without waiting and taken from
//! whole, so that all that is ready goes out in one write.
//!
//! It is bounded by construction. At most one reply per request in flight, one frame per frame that
//! was read, and one item per subscription can be in it, and connections read nothing while they
//! cannot write; a session that is over the bound all the same loses its connection, not its answers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use selvedge_client::end_of_line;
use selvedge_protocol::frame::{Outcome, Reply, ServerFrame};
use selvedge_protocol::limits::SESSION_OUTBOUND_MAX;
use selvedge_protocol::{ErrorCode, Failure, attachment};
use tokio::sync::Notify;

use crate::gateway::Feed;
use crate::session::room::{Room, Taken};

/// Something for the connection to do.
pub enum Outgoing {
    /// Send it.
    Frame(ServerFrame),
    /// Send it and its body on a stream of their own.
    Attached(Box<Attached>),
    /// Open the feed and send its items, on a stream of their own.
    Subscribe(Box<Opening>),
    /// End that stream.
    Unsubscribe(u64),
}

/// An answer that no frame holds.
#[derive(Debug)]
pub struct Attached {
    /// Without its body.
    pub reply: Reply,
    pub body: Bytes,
    pub room: Taken,
}

/// A subscription to be served by the connection.
pub struct Opening {
    pub subscription: u64,
    pub feed: BoxFuture<'static, Result<Feed, Failure>>,
}

/// All that is ready.
#[derive(Debug)]
pub struct Ready {
    pub items: Vec<Outgoing>,
    /// Set when nothing will follow: why the connection is to be ended.
    pub end: Option<End>,
}

/// Why a session has no more use for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All is said.
    Done,
    /// All is said here; the client goes on at this address of another node, `host:port`, if it can.
    Elsewhere(String),
    Failed(Failure),
}

/// Makes both ends. Large answers need `room`.
pub fn link(room: Room) -> (LinkSender, LinkReceiver) {
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue {
            items: Vec::new(),
            end: None,
        }),
        ready: Notify::new(),
    });
    let sender = LinkSender {
        shared: Arc::clone(&shared),
        room,
        transport: Transport::Quic,
    };
    (sender, LinkReceiver(shared))
}

/// The session's end. Dropped without [`LinkSender::end`], as in a crash, it tells the client to
/// connect again.
#[derive(Debug)]
pub struct LinkSender {
    shared: Arc<Shared>,
    room: Room,
    transport: Transport,
}

/// What a connection runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Quic,
    WebSocket,
    WebTransport,
}

impl Transport {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Quic, Self::WebSocket, Self::WebTransport];

    /// The name in lists and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::WebSocket => "websocket",
            Self::WebTransport => "webtransport",
        }
    }
}

/// The connection's end.
#[derive(Debug)]
pub struct LinkReceiver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Notify,
}

#[derive(Debug)]
struct Queue {
    items: Vec<Outgoing>,
    end: Option<End>,
}

impl LinkSender {
    /// The same for a connection over this instead of QUIC.
    #[must_use]
    pub const fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// What its connection runs over.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Queues all items, in order.
    pub fn push(&self, mut items: Vec<Outgoing>) {
        {
            let mut queue = self.shared.queue.lock();
            if queue.end.is_some() {
                return;
            }
            if queue.items.is_empty() {
                queue.items = items;
            } else {
                queue.items.append(&mut items);
            }
            if queue.items.len() > SESSION_OUTBOUND_MAX {
                queue.items = Vec::new();
                queue.end = Some(End::Failed(Failure::new(
                    ErrorCode::LimitExceeded,
                    "the client does not read what it asked for; connect again and resume",
                )));
            }
        }
        self.shared.ready.notify_one();
    }

    /// What to push for a reply: one that no frame holds, and that finds no room, becomes a refusal.
    pub fn reply(&self, mut reply: Reply) -> Outgoing {
        let Some(body) = attachment::detach(&mut reply) else {
            return Outgoing::Frame(ServerFrame::Reply(reply));
        };
        match self.room.take(body.len()) {
            Ok(room) => Outgoing::Attached(Box::new(Attached { reply, body, room })),
            Err(failure) => Outgoing::Frame(ServerFrame::Reply(Reply {
                request: reply.request,
                outcome: Outcome::Failure(failure),
                ext: Vec::new(),
            })),
        }
    }

    /// Says that nothing will follow. The first end stands.
    pub fn end(&self, end: End) {
        self.shared.queue.lock().end.get_or_insert(end);
        self.shared.ready.notify_one();
    }
}

impl Drop for LinkSender {
    fn drop(&mut self) {
        self.end(End::Failed(Failure::new(
            ErrorCode::Unavailable,
            "the session has stopped; connect again and resume",
        )));
    }
}

impl LinkReceiver {
    /// All that is ready, once anything is. Loses nothing when it is dropped while it waits.
    pub async fn next(&self) -> Ready {
        loop {
            if let Some(ready) = self.take() {
                return ready;
            }
            self.0.ready.notified().await;
            end_of_line().await;
        }
    }

    /// The end, once there is one: for a connection that cannot take more at the moment.
    pub async fn ended(&self) -> End {
        loop {
            let end = self.0.queue.lock().end.clone();
            if let Some(end) = end {
                return end;
            }
            self.0.ready.notified().await;
        }
    }

    fn take(&self) -> Option<Ready> {
        let mut queue = self.0.queue.lock();
        if queue.items.is_empty() && queue.end.is_none() {
            return None;
        }
        Some(Ready {
            items: std::mem::take(&mut queue.items),
            end: queue.end.clone(),
        })
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => f.debug_tuple("Frame").field(frame).finish(),
            Self::Attached(attached) => f.debug_tuple("Attached").field(&attached.reply).finish(),
            Self::Subscribe(opening) => write!(f, "Subscribe({})", opening.subscription),
            Self::Unsubscribe(id) => write!(f, "Unsubscribe({id})"),
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opening({})", self.subscription)
    }
}

#[cfg(test)]
mod tests {
    use selvedge_protocol::frame::Pong;

    use super::*;
    use crate::session::room::NodeRoom;

    fn link() -> (LinkSender, LinkReceiver) {
        super::link(NodeRoom::new(0).connection())
    }

    fn pong(nonce: u64) -> Outgoing {
        Outgoing::Frame(ServerFrame::Pong(Pong { nonce }))
    }

    #[tokio::test]
    async fn all_that_is_ready_comes_at_once() {
        let (sender, receiver) = link();
        sender.push(vec![pong(1), pong(2)]);
        sender.push(vec![pong(3)]);
        let ready = receiver.next().await;
        assert_eq!(ready.items.len(), 3);
        assert_eq!(ready.end, None);
    }

    #[tokio::test]
    async fn the_first_end_stands_and_what_was_queued_before_it_arrives() {
        let (sender, receiver) = link();
        sender.push(vec![pong(1)]);
        sender.end(End::Done);
        sender.push(vec![pong(2)]);
        drop(sender);
        let ready = receiver.next().await;
        assert_eq!(ready.items.len(), 1);
        assert_eq!(ready.end, Some(End::Done));
    }

    #[tokio::test]
    async fn a_session_that_vanishes_ends_its_connection() {
        let (sender, receiver) = link();
        drop(sender);
        let end = receiver.next().await.end;
        assert!(matches!(end, Some(End::Failed(f)) if f.code == ErrorCode::Unavailable));
    }

    #[tokio::test]
    async fn never_grows_past_its_bound() {
        let (sender, receiver) = link();
        for nonce in 0..10 * SESSION_OUTBOUND_MAX as u64 {
            sender.push(vec![pong(nonce)]);
        }
        let ready = receiver.next().await;
        assert!(ready.items.is_empty());
        assert!(matches!(ready.end, Some(End::Failed(f)) if f.code == ErrorCode::LimitExceeded));
    }
}
