//! Payloads that are handed through: a client's bytes on their way to the handler, chunk by chunk.
//!
//! A stream is registered before its submit is sent to the operation, which admits it or turns it away; then
//! a runner takes it. One that comes from another node is registered here before its submit comes from there,
//! so numbers are unlike those of any other node. Dropped where nobody wants it, its sender sees a closed channel. Nothing here stores a
//! byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use selvedge_cluster::actor::ScopedAddress;
use tokio::sync::mpsc::Receiver;

/// How long a stream is kept for an operation that runs on another one: longer than a node takes to notice
/// that a client has gone, and as long as the edge waits for a client that sends nothing.
const PARKED_MAX: Duration = Duration::from_secs(30);

/// The sender of a stream is gone before its end: the connection broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload's stream broke: {0}")]
pub struct PayloadBroken(pub String);

/// A payload that is being sent.
#[derive(Debug)]
pub(crate) struct Stream {
    /// What the client announced. Fewer bytes are a broken stream, as more are.
    pub(crate) length: Option<u64>,
    pub(crate) chunks: Receiver<Result<Bytes, PayloadBroken>>,
}

/// The streams that wait for a decision or for their runner. Bounded by the streams that sessions may have open.
#[derive(Debug, Clone)]
pub(crate) struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Those whose submits are not decided yet: one that is refused must not touch what waits.
    arrived: DashMap<u64, Stream>,
    waiting: DashMap<ScopedAddress, Waiting>,
    /// Numbers given so far.
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    stream: Stream,
    /// Set while the operation runs on another stream, which may be dead without anybody knowing yet.
    parked: Option<u64>,
}

impl Streams {
    /// None yet. `random` tells its numbers from those of other nodes and of earlier runs of this one.
    pub(crate) fn new(random: u64) -> Self {
        Self(Arc::new(Inner {
            arrived: DashMap::new(),
            waiting: DashMap::new(),
            // Below 2^63, so that counting never comes round.
            numbers: AtomicU64::new(random >> 1),
        }))
    }

    /// Registers a stream that comes with a submit, under the number that is answered.
    pub(crate) fn arrive(&self, stream: Stream) -> u64 {
        let number = self.next_number();
        self.0.arrived.insert(number, stream);
        number
    }

    /// Its submit was accepted: it waits for its runner, in place of an older one for the same operation.
    pub(crate) fn admit(&self, actor: &ScopedAddress, number: u64) {
        if let Some((_, stream)) = self.0.arrived.remove(&number) {
            let waiting = Waiting {
                number,
                stream,
                parked: None,
            };
            self.0.waiting.insert(actor.clone(), waiting);
        }
    }

    /// Its submit was refused, or is not heard of again, or nobody needs it.
    pub(crate) fn turn_away(&self, actor: &ScopedAddress, number: u64) {
        self.0.arrived.remove(&number);
        // It may have been admitted by a decision that was never committed.
        let is_it = |_: &_, waiting: &Waiting| waiting.number == number;
        self.0.waiting.remove_if(actor, is_it);
    }

    /// The node that it comes from is gone. Answers whether its submit was not decided yet.
    pub(crate) fn turn_away_undecided(&self, number: u64) -> bool {
        self.0.arrived.remove(&number).is_some()
    }

    /// Keeps a stream for the moment when the operation asks for one, and drops it if that does not come
    /// soon. Called within a runtime.
    pub(crate) fn park(&self, actor: &ScopedAddress) {
        let number = self.next_number();
        match self.0.waiting.get_mut(actor) {
            Some(mut waiting) => waiting.parked = Some(number),
            None => return,
        }
        let (streams, actor) = (self.clone(), actor.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PARKED_MAX).await;
            let is_parked = |_: &_, waiting: &Waiting| waiting.parked == Some(number);
            streams.0.waiting.remove_if(&actor, is_parked);
        });
    }

    /// Whether there is a stream for an operation that is about to be offered. It is kept for its runner
    /// then, however long that takes.
    pub(crate) fn claim(&self, actor: &ScopedAddress) -> bool {
        let waiting = self.0.waiting.get_mut(actor);
        waiting.map(|mut it| it.parked = None).is_some()
    }

    pub(crate) fn remove(&self, actor: &ScopedAddress) -> Option<Stream> {
        self.0.waiting.remove(actor).map(|(_, it)| it.stream)
    }

    fn next_number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use selvedge_protocol::Tenant;
    use tokio::sync::mpsc;

    use super::*;

    fn actor() -> ScopedAddress {
        ScopedAddress {
            tenant: Tenant::new("one").unwrap(),
            address: "operation/one".parse().unwrap(),
        }
    }

    fn arrive(streams: &Streams) -> (mpsc::Sender<Result<Bytes, PayloadBroken>>, u64) {
        let (sender, chunks) = mpsc::channel(1);
        let length = None;
        (sender, streams.arrive(Stream { length, chunks }))
    }

    fn insert(streams: &Streams) -> mpsc::Sender<Result<Bytes, PayloadBroken>> {
        let (sender, number) = arrive(streams);
        streams.admit(&actor(), number);
        sender
    }

    #[test]
    fn one_that_is_turned_away_leaves_the_other_alone() {
        let streams = Streams::new(7);
        let kept = insert(&streams);
        let (refused, number) = arrive(&streams);
        streams.turn_away(&actor(), number);
        assert!(refused.is_closed() && !kept.is_closed());
        // Decided in its favour, but not for good.
        let (undone, number) = arrive(&streams);
        streams.admit(&actor(), number);
        streams.turn_away(&actor(), number);
        assert!(undone.is_closed() && kept.is_closed());
        assert!(!streams.claim(&actor()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_parked_stream_is_kept_for_a_while_only() {
        let streams = Streams::new(7);
        let sender = insert(&streams);
        streams.park(&actor());
        sender.closed().await;
        assert!(!streams.claim(&actor()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claimed_stream_is_kept() {
        let streams = Streams::new(7);
        let former = insert(&streams);
        streams.park(&actor());
        let sender = insert(&streams);
        assert!(former.is_closed());
        streams.park(&actor());
        assert!(streams.claim(&actor()));
        let kept = tokio::time::timeout(2 * PARKED_MAX, sender.closed()).await;
        assert!(kept.is_err());
        assert!(streams.remove(&actor()).is_some());
    }
}
