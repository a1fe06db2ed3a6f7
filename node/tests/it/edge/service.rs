//! What answers the edge in these tests: one counter with its events, in memory, with the promises that
//! actors give (a repeat gets the stored outcome), and commands that misbehave on demand.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, future, stream};
use parking_lot::Mutex;
use selvedge_cluster::actor::{Identity, ReplyTo, StoredEvent, SubscriptionItem};
use selvedge_node::gateway::{Act, Caller, CommandCall, CommandPayload, Feed, QueryCall, Service};
use selvedge_node::identity::{Permission, Principal};
use selvedge_protocol::frame::{Outcome, Since, Success};
use selvedge_protocol::{ErrorCode, Failure, SessionId, Target};
use tokio::sync::{Semaphore, broadcast, watch};

/// The stand-in.
#[derive(Debug)]
pub(crate) struct Inner {
    state: Mutex<State>,
    /// The event that was told last.
    last: Mutex<Option<StoredEvent>>,
    /// How many events there are.
    seq: watch::Sender<u64>,
    ephemeral: broadcast::Sender<(SessionId, String, Bytes)>,
    /// One permit per command `hold` that was received.
    pub(crate) held: Semaphore,
    /// One permit per piece of a streamed payload that was received.
    pub(crate) received: Semaphore,
    /// One permit per streamed payload that ended with an error.
    pub(crate) broken: Semaphore,
    /// Bytes of each event's data; a few, unless a test sets it.
    pub(crate) event_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    outcomes: HashMap<(SessionId, u64), Outcome>,
    waiting: Vec<(Option<(SessionId, u64)>, ReplyTo)>,
}

impl Inner {
    /// The event with this number: the same for all who hear it in a row, as an actor's is.
    fn event(&self, seq: u64) -> StoredEvent {
        let mut last = self.last.lock();
        if let Some(event) = last.as_ref()
            && event.seq == seq
        {
            return event.clone();
        }
        let spaces = self.event_bytes.load(Ordering::Relaxed) - 2;
        let event = StoredEvent {
            seq,
            kind: Arc::from("added"),
            time_ms: 0,
            data: Bytes::from(format!("{{{}}}", " ".repeat(spaces))),
        };
        *last = Some(event.clone());
        event
    }
}

/// A cheap handle on it.
#[derive(Debug, Clone)]
pub(crate) struct Stand(pub(crate) Arc<Inner>);

impl Stand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            last: Mutex::default(),
            seq: watch::Sender::new(0),
            ephemeral: broadcast::Sender::new(64),
            held: Semaphore::new(0),
            received: Semaphore::new(0),
            broken: Semaphore::new(0),
            event_bytes: AtomicUsize::new(2),
        }))
    }

    /// How often anything was added.
    pub(crate) fn count(&self) -> u64 {
        *self.0.seq.borrow()
    }

    /// Answers all commands that are held, each adding one.
    pub(crate) fn release(&self) {
        let waiting = std::mem::take(&mut self.0.state.lock().waiting);
        for (id, reply) in waiting {
            reply.answer(self.add(id));
        }
    }

    /// Answers with the number of bytes that came, or with the error that ended them.
    fn measure(&self, payload: CommandPayload, reply: ReplyTo) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let bytes = match payload {
                CommandPayload::None => 0,
                CommandPayload::Whole(bytes) => bytes.len(),
                CommandPayload::Streamed { mut chunks, .. } => {
                    let mut count = 0;
                    while let Some(chunk) = chunks.recv().await {
                        match chunk {
                            Ok(bytes) => count += bytes.len(),
                            Err(broken) => {
                                inner.broken.add_permits(1);
                                let failure = Failure::new(ErrorCode::Invalid, broken.to_string());
                                return reply.answer(Outcome::Failure(failure));
                            }
                        }
                        inner.received.add_permits(1);
                    }
                    count
                }
            };
            reply.answer(success(0, Bytes::from(bytes.to_string())));
        });
    }

    pub(crate) fn add(&self, id: Option<(SessionId, u64)>) -> Outcome {
        let mut state = self.0.state.lock();
        if let Some(id) = id
            && let Some(outcome) = state.outcomes.get(&id)
        {
            return outcome.clone();
        }
        self.0.seq.send_modify(|seq| *seq += 1);
        let outcome = success(self.count(), Bytes::from(self.count().to_string()));
        if let Some(id) = id {
            state.outcomes.insert(id, outcome.clone());
        }
        outcome
    }
}

impl Service for Stand {
    fn denied(&self, _: &Principal, _: Permission) {}

    fn ended(&self, _: &Principal, _: &Failure) {}

    fn record(&self, _: &Caller, _: Act) -> BoxFuture<'static, Result<(), Failure>> {
        future::ready(Ok(())).boxed()
    }

    fn command(&self, _: &Caller, call: CommandCall, reply: ReplyTo) {
        let id = match call.identity {
            Identity::Session {
                session, number, ..
            } => Some((session, number)),
            Identity::Id(_) | Identity::Natural => None,
        };
        match call.name.as_str() {
            "add" => reply.answer(self.add(id)),
            "hold" => {
                self.0.state.lock().waiting.push((id, reply));
                self.0.held.add_permits(1);
            }
            "lose" => drop(reply),
            "measure" => self.measure(call.payload, reply),
            "crash" => panic!("a crash that a test asked for"),
            other => reply.answer(unknown(other)),
        }
    }

    fn query(&self, _: &Caller, call: QueryCall, reply: ReplyTo) {
        match call.name.as_str() {
            "echo" => reply.answer(success(self.count(), call.body)),
            "large" => reply.answer(success(0, Bytes::from(vec![b' '; 60_000]))),
            // As many bytes as the body says.
            "bytes" => {
                let count: usize = std::str::from_utf8(&call.body).unwrap().parse().unwrap();
                reply.answer(success(0, Bytes::from(vec![b' '; count])));
            }
            other => reply.answer(unknown(other)),
        }
    }

    fn subscribe(
        &self,
        _: &Caller,
        target: Target,
        since: Since,
    ) -> BoxFuture<'static, Result<Feed, Failure>> {
        if target == Target::Actors {
            return async { Err(Failure::new(ErrorCode::UnknownCommand, "no events")) }.boxed();
        }
        if target == Target::Operations {
            return async { Ok(large_gap()) }.boxed();
        }
        let position = match since {
            Since::After(seq) => seq,
            Since::Latest => self.count(),
        };
        let events = stream::unfold(
            (position, self.0.seq.subscribe(), Arc::clone(&self.0)),
            |(position, mut seq, inner)| async move {
                seq.wait_for(|seq| *seq > position).await.ok()?;
                let event = SubscriptionItem::Event(inner.event(position + 1));
                Some((Ok(event), (position + 1, seq, inner)))
            },
        );
        let told = stream::unfold(self.0.ephemeral.subscribe(), |mut told| async move {
            let (from, name, data) = told.recv().await.ok()?;
            let item = SubscriptionItem::Ephemeral { from, name, data };
            Some((Ok(item), told))
        });
        let items = stream::select(events, told).boxed();
        async move { Ok(Feed { position, items }) }.boxed()
    }

    fn tell(&self, caller: &Caller, _: &Target, name: &str, data: &Bytes) {
        if let Some(session) = caller.session {
            let told = (session, name.to_owned(), data.clone());
            let _ = self.0.ephemeral.send(told);
        }
    }
}

/// A snapshot of a megabyte, then an event.
fn large_gap() -> Feed {
    let gap = SubscriptionItem::Gap {
        after: 0,
        seq: 9,
        snapshot: Bytes::from(vec![b'x'; 1 << 20]),
    };
    let event = SubscriptionItem::Event(StoredEvent {
        seq: 10,
        kind: Arc::from("added"),
        time_ms: 0,
        data: Bytes::from_static(b"{}"),
    });
    let items = stream::iter([Ok(gap), Ok(event)]).chain(stream::pending());
    Feed {
        position: 0,
        items: items.boxed(),
    }
}

fn success(seq: u64, body: Bytes) -> Outcome {
    Outcome::Success(Success {
        body,
        seq,
        version: seq,
    })
}

fn unknown(name: &str) -> Outcome {
    Outcome::Failure(Failure::new(
        ErrorCode::UnknownCommand,
        format!("the counter has no {name:?}"),
    ))
}
