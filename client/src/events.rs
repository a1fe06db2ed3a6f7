//! Events of an actor or operation: what a consumer reads, and the reader behind it.
//!
//! Each subscription has a stream of the server's, read by one small task that stays at most
//! [`EVENTS_AHEAD_MAX`] items ahead of its consumer; past that, QUIC flow control stops the server.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use quinn::RecvStream;
use selvedge_protocol::frame::{Gap, Reply, ServerFrame};
use selvedge_protocol::session::client::{Cursor, Verdict};
use selvedge_protocol::{Failure, SessionId};
use tokio::sync::mpsc;

use crate::error::CallError;
use crate::session::Session;
use crate::stream::{FrameStream, malformed};

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventItem {
    /// A fact that the actor committed.
    Event {
        /// Counts the events of the actor from 1, without gaps.
        seq: u64,
        /// The event's type.
        kind: String,
        /// When it was decided, Unix milliseconds.
        time_ms: u64,
        /// JSON text.
        data: Bytes,
    },
    /// Events up to `seq` are no longer stored: go on from this state.
    Gap {
        /// The position before the gap.
        after: u64,
        seq: u64,
        /// The state at `seq`, JSON text.
        snapshot: Bytes,
    },
    /// A message that was not stored and may get lost.
    Ephemeral {
        from: SessionId,
        name: String,
        /// As the sender gave it.
        data: Bytes,
    },
}

/// The events of one actor or operation: in order, without gap or repeat, across reconnects. Ends after
/// an error. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Result<EventItem, CallError>>,
    /// Keeps the session open for as long as somebody listens.
    _session: Session,
}

impl Events {
    pub(crate) fn new(session: Session) -> (Listener, Self) {
        let (sender, receiver) = mpsc::channel(EVENTS_AHEAD_MAX);
        let events = Self {
            receiver,
            _session: session,
        };
        (Listener(sender), events)
    }

    /// The next item; `None` after the end.
    pub async fn next(&mut self) -> Option<Result<EventItem, CallError>> {
        self.receiver.recv().await
    }
}

impl Stream for Events {
    type Item = Result<EventItem, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

/// The driver's end of an [`Events`].
#[derive(Debug, Clone)]
pub(crate) struct Listener(mpsc::Sender<Result<EventItem, CallError>>);

impl Listener {
    /// Whether nobody listens any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    /// Ends the subscription with an error, after what was delivered.
    pub(crate) fn end(self, error: CallError) {
        if let Err(mpsc::error::TrySendError::Full(error)) = self.0.try_send(Err(error)) {
            // A slow consumer: wait for it apart, everybody else goes on.
            tokio::spawn(async move { self.0.send(error).await });
        }
    }

    /// Delivers an ephemeral message, or loses it if the consumer is behind.
    pub(crate) fn tell(&self, from: SessionId, name: String, data: Bytes) {
        let _ = self
            .0
            .try_send(Ok(EventItem::Ephemeral { from, name, data }));
    }
}

/// A stream of events, and the first of them.
#[derive(Debug)]
pub(crate) struct EventStream {
    stream: FrameStream,
    first: Option<ServerFrame>,
}

/// How the reading of an event stream went.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Its first frame has come: this is whose events they are.
    Identified {
        subscription: u64,
        stream: EventStream,
    },
    /// It was an answer with a stream of its own.
    Answered(Reply),
    /// The stream is over, or the connection is.
    Ended { subscription: Option<u64> },
    /// The consumer has gone.
    Left,
    /// The server does not keep to the protocol.
    Violated(Failure),
}

/// Reads up to the first frame of a stream that the server opened, and an answer to its end.
pub(crate) async fn identify(receive: RecvStream) -> Reading {
    let mut stream = FrameStream::new(receive);
    let frame = match stream.next().await {
        Ok(Some(ServerFrame::Reply(reply))) => {
            return match stream.answer(reply).await {
                Ok(reply) => Reading::Answered(reply),
                Err(failure) => Reading::Violated(failure),
            };
        }
        Ok(Some(frame)) => frame,
        Ok(None) => return Reading::Ended { subscription: None },
        Err(failure) => return Reading::Violated(failure),
    };
    let Some(subscription) = subscription_of(&frame) else {
        return violated("a stream of the server begins with neither an event nor an answer");
    };
    Reading::Identified {
        subscription,
        stream: EventStream {
            stream,
            first: Some(frame),
        },
    }
}

/// Hands the events of a stream to their consumer until one of both ends.
pub(crate) async fn deliver(
    subscription: u64,
    mut stream: EventStream,
    cursor: Cursor,
    listener: Listener,
) -> Reading {
    let sender = listener.0;
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = sender.closed() => {
                stream.stream.stop();
                return Reading::Left;
            }
        };
        let frame = match next {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                return Reading::Ended {
                    subscription: Some(subscription),
                };
            }
            Err(reading) => return reading,
        };
        if subscription_of(&frame) != Some(subscription) {
            return violated("a stream carries another subscription than it began with");
        }
        // Room first, then judgement and delivery in one go: a reader that is ended in between must
        // not leave a position behind that was never delivered.
        let Ok(room) = sender.reserve().await else {
            return Reading::Left;
        };
        let verdict = match frame {
            ServerFrame::Event(event) => cursor.event(event.seq, || {
                room.send(Ok(EventItem::Event {
                    seq: event.seq,
                    kind: event.kind,
                    time_ms: event.time_ms,
                    data: event.data,
                }));
            }),
            ServerFrame::Gap(gap) => cursor.gap(gap.after, gap.seq, || {
                room.send(Ok(EventItem::Gap {
                    after: gap.after,
                    seq: gap.seq,
                    snapshot: gap.snapshot,
                }));
            }),
            _ => return violated("a stream of events carries another frame"),
        };
        if let Verdict::Skip { position } = verdict {
            return violated(&format!("events after {position} are missing"));
        }
    }
}

impl EventStream {
    /// The next event or gap, with its snapshot.
    async fn next(&mut self) -> Result<Option<ServerFrame>, Reading> {
        let next = match self.first.take() {
            Some(frame) => Ok(Some(frame)),
            None => self.stream.next().await,
        };
        let gap = match next.map_err(Reading::Violated)? {
            Some(ServerFrame::LargeGap(gap)) => gap,
            other => return Ok(other),
        };
        let snapshot = self.stream.bytes(gap.length).await;
        Ok(snapshot.map_err(Reading::Violated)?.map(|snapshot| {
            ServerFrame::Gap(Gap {
                subscription: gap.subscription,
                after: gap.after,
                seq: gap.seq,
                snapshot,
            })
        }))
    }
}

const fn subscription_of(frame: &ServerFrame) -> Option<u64> {
    match frame {
        ServerFrame::Event(event) => Some(event.subscription),
        ServerFrame::Gap(gap) => Some(gap.subscription),
        ServerFrame::LargeGap(gap) => Some(gap.subscription),
        ServerFrame::Welcome(_)
        | ServerFrame::Reply(_)
        | ServerFrame::Task(_)
        | ServerFrame::Notice(_)
        | ServerFrame::Redirect(_)
        | ServerFrame::Goodbye(_)
        | ServerFrame::Pong(_)
        | ServerFrame::Ephemeral(_)
        | ServerFrame::Chunk(_)
        | ServerFrame::Window(_) => None,
    }
}

fn violated(reason: &str) -> Reading {
    Reading::Violated(malformed(&reason))
}

/// Items ready for a consumer: enough that it need not wait for each, little enough that a slow one
/// holds no more than 2 MiB here, snapshots of large actors apart.
const EVENTS_AHEAD_MAX: usize = 32;
