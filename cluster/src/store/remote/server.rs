//! Serves a store to other nodes. The peer port hands it streams; each is a transaction, a watch or the
//! status, and holds nothing once it has ended, which a transaction does in time.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use selvedge_protocol::codec;
use selvedge_protocol::limits::{
    STORE_FRAME_BODY_BYTES_MAX, STORE_FRAME_PAIRS_MAX, STORE_PAGE_PAIRS_MAX, STORE_PAGES_MAX,
    STORE_PENDING_BYTES_MAX, STORE_STATUS_MS, STORE_TRANSACTION_MS_MAX, STORE_WRITE_BYTES,
};
use selvedge_protocol::peer::store as wire;
use selvedge_protocol::peer::store::{StoreAnswer, StoreRequest};
use selvedge_protocol::peer::{Service, close};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::{Error, Isolation, Order, Range, Store, Transaction};
use super::failure::told;
use crate::peer::{Inbound, PeerStream, Stopping, StreamError};

/// A store, as it is served to other nodes. A cheap handle.
#[derive(Debug, Clone)]
pub struct StoreServer {
    store: Arc<dyn Store>,
    /// Room for writes that are not committed, in KiB, of which a semaphore holds enough.
    pending_kib: Arc<Semaphore>,
    /// Ranges that are read at a time.
    pages: Arc<Semaphore>,
}

/// Why a stream ends before all is said.
enum Broken {
    Stream(StreamError),
    /// It says what has no place there.
    Order,
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl StoreServer {
    /// Serves this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            pending_kib: Arc::new(Semaphore::new(STORE_PENDING_BYTES_MAX / 1024)),
            pages: Arc::new(Semaphore::new(STORE_PAGES_MAX)),
        }
    }

    /// What a [`Listener`](crate::peer::Listener) runs for a node that serves its store and nothing else.
    pub fn alone(self) -> impl Fn(Inbound) -> BoxFuture<'static, ()> + Send + Sync + 'static {
        move |inbound| match inbound.service {
            Service::Store => Box::pin(self.clone().serve(inbound.stream, inbound.stopping)),
            Service::Actors | Service::Processing => Box::pin(async { inbound.unserved() }),
        }
    }

    /// Serves one stream to its end.
    async fn serve(self, mut stream: PeerStream, mut stopping: Stopping) {
        let served = match tokio::time::timeout(TRANSACTION_MAX, stream.read()).await {
            Err(_elapsed) => return stream.reset(close::BUSY),
            Ok(Err(error)) => Err(error.into()),
            // Opened and given up.
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(StoreRequest::Begin(begin)))) => self.transaction(begin, &mut stream).await,
            Ok(Ok(Some(StoreRequest::Watch(watch)))) => tokio::select! {
                watched = self.watch(watch, &mut stream) => watched,
                () = stopping.begun() => return stream.reset(close::STOPPING),
            },
            Ok(Ok(Some(StoreRequest::Follow(_)))) => tokio::select! {
                followed = self.status(&mut stream) => followed,
                () = stopping.begun() => return stream.reset(close::STOPPING),
            },
            Ok(Ok(Some(_))) => Err(Broken::Order),
        };
        match served {
            Ok(()) => stream.finish(),
            Err(Broken::Stream(StreamError::Malformed(error))) => {
                tracing::warn!(%error, "a node has sent what is no frame");
                stream.reset(close::MALFORMED);
            }
            Err(Broken::Order) => {
                tracing::warn!("a node has sent a frame that has no place where it came");
                stream.reset(close::MALFORMED);
            }
            // It gave up, or is gone.
            Err(Broken::Stream(_)) => stream.reset(close::DONE),
        }
    }

    /// A transaction, up to the end of its time; its commit may take longer.
    async fn transaction(&self, begin: wire::Begin, stream: &mut PeerStream) -> Result<(), Broken> {
        let mut serving = Serving {
            transaction: match begin.version {
                Some(version) => self.store.begin_at(version),
                None => self.store.begin(),
            },
            server: self,
            held: None,
            bytes: 0,
            refused: None,
            out: Vec::new(),
        };
        if begin.version.is_none() {
            match serving.transaction.read_version().await {
                Ok(version) => serving.put(&StoreAnswer::Begun(wire::Begun { version })),
                Err(error) => serving.put(&failed(error)),
            }
        }
        match tokio::time::timeout(TRANSACTION_MAX, serving.until_commit(stream)).await {
            Ok(Ok(End::Commit)) => {}
            Ok(Ok(End::Dropped)) => return Ok(()),
            Ok(Err(broken)) => return Err(broken),
            // Whoever still wants an answer hears that it comes too late.
            Err(_elapsed) => {
                serving.refused.get_or_insert(Error::TooOld);
            }
        }
        let answer = serving.commit().await;
        match tokio::time::timeout(TRANSACTION_MAX, stream.write(&answer)).await {
            Ok(written) => Ok(written?),
            Err(_elapsed) => Err(Broken::Stream(StreamError::Cut)),
        }
    }

    /// Answers once a value is, or may be, another one than the client has seen.
    async fn watch(&self, watch: wire::Watch, stream: &mut PeerStream) -> Result<(), Broken> {
        let changed = self.store.watch(&watch.key);
        let answer = match self.has_changed(&watch).await {
            Ok(true) => StoreAnswer::Changed(wire::Changed {}),
            Ok(false) => tokio::select! {
                changed = changed => match changed {
                    Ok(()) => StoreAnswer::Changed(wire::Changed {}),
                    Err(error) => failed(error),
                },
                () = stream.stopped() => return Ok(()),
            },
            Err(error) => failed(error),
        };
        Ok(stream.write(&encoded(&answer)).await?)
    }

    /// Whether the value is another one than at the version that the client knew: what was committed between
    /// that and now is not seen by a watch that begins now.
    async fn has_changed(&self, watch: &wire::Watch) -> Result<bool, Error> {
        let (mut then, mut now) = (self.store.begin_at(watch.since), self.store.begin());
        let then = match then.get(&watch.key, Isolation::Snapshot).await {
            Ok(value) => value,
            // By chance, then: it is read again, as of a version that is known.
            Err(Error::TooOld) => return Ok(true),
            Err(error) => return Err(error),
        };
        Ok(then != now.get(&watch.key, Isolation::Snapshot).await?)
    }

    /// Tells how the store is, from time to time.
    async fn status(&self, stream: &mut PeerStream) -> Result<(), Broken> {
        let mut tick = tokio::time::interval(Duration::from_millis(STORE_STATUS_MS));
        loop {
            tick.tick().await;
            let answer = match self.store.begin().read_version().await {
                Ok(version) => StoreAnswer::Status(wire::Status {
                    version,
                    failure: self.store.health().err().map(told),
                }),
                Err(error) => failed(error),
            };
            stream.write(&encoded(&answer)).await?;
        }
    }
}

/// How the client's part of a transaction ends.
enum End {
    Commit,
    Dropped,
}

/// A transaction that is served.
struct Serving<'a> {
    server: &'a StoreServer,
    transaction: Box<dyn Transaction>,
    /// Room for its writes.
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
    /// Why it cannot be committed.
    refused: Option<Error>,
    /// Answers that go with the next one.
    out: Vec<u8>,
}

impl Serving<'_> {
    async fn until_commit(&mut self, stream: &mut PeerStream) -> Result<End, Broken> {
        loop {
            if !stream.has_input() {
                // Nothing more comes before it, and it may be waited for.
                self.flush(stream).await?;
            }
            let Some(request) = stream.read().await? else {
                return Ok(End::Dropped);
            };
            match request {
                StoreRequest::Commit(_) => return Ok(End::Commit),
                StoreRequest::Get(get) => {
                    let isolation = isolation(get.isolation);
                    let answer = match self.transaction.get(&get.key, isolation).await {
                        Ok(value) => StoreAnswer::Value(wire::Value { value }),
                        Err(error) => failed(error),
                    };
                    self.put(&answer);
                    self.flush(stream).await?;
                }
                StoreRequest::Range(range) => self.range(range, stream).await?,
                StoreRequest::Begin(_) | StoreRequest::Watch(_) | StoreRequest::Follow(_) => {
                    return Err(Broken::Order);
                }
                write @ (StoreRequest::Set(_)
                | StoreRequest::Clear(_)
                | StoreRequest::ClearRange(_)
                | StoreRequest::Add(_)
                | StoreRequest::SetVersionstamped(_)
                | StoreRequest::ReadConflict(_)
                | StoreRequest::WriteConflict(_)) => self.write(write),
            }
        }
    }

    /// Reads a range page by page, so that no more of it is in memory than the client is taking.
    async fn range(&mut self, range: wire::Range, stream: &mut PeerStream) -> Result<(), Broken> {
        let mut left = usize::try_from(range.limit).unwrap_or(usize::MAX);
        let mut next = Range {
            begin: Bound::Included(range.begin),
            end: range.end.map_or(Bound::Unbounded, Bound::Excluded),
            order: match range.order {
                wire::Order::Ascending => Order::Ascending,
                wire::Order::Descending => Order::Descending,
            },
            limit: 0,
            isolation: isolation(range.isolation),
        };
        loop {
            let _page = self.server.pages.acquire().await;
            next.limit = left.min(STORE_PAGE_PAIRS_MAX);
            let pairs = match self.transaction.range(next.clone()).await {
                Ok(pairs) => pairs,
                Err(error) => {
                    self.put(&failed(error));
                    return Ok(self.flush(stream).await?);
                }
            };
            left -= pairs.len().min(left);
            let is_last = pairs.len() < next.limit || left == 0;
            if let Some((last, _)) = pairs.last() {
                match next.order {
                    Order::Ascending => next.begin = Bound::Excluded(last.clone()),
                    Order::Descending => next.end = Bound::Excluded(last.clone()),
                }
            }
            self.pairs(pairs, is_last, stream).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Sends a page, in as many frames as it takes.
    async fn pairs(
        &mut self,
        pairs: Vec<(Bytes, Bytes)>,
        is_last: bool,
        stream: &mut PeerStream,
    ) -> Result<(), StreamError> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        for (key, value) in pairs {
            let more = key.len() + value.len() + PAIR_OVERHEAD_BYTES;
            if bytes + more > PAIRS_BYTES_MAX || part.len() == STORE_FRAME_PAIRS_MAX {
                let pairs = std::mem::take(&mut part);
                let is_last = false;
                self.put(&StoreAnswer::Pairs(wire::Pairs { pairs, is_last }));
                self.flush(stream).await?;
                bytes = 0;
            }
            bytes += more;
            part.push(wire::Pair { key, value });
        }
        self.put(&StoreAnswer::Pairs(wire::Pairs {
            pairs: part,
            is_last,
        }));
        self.flush(stream).await
    }

    fn write(&mut self, request: StoreRequest) {
        if self.refused.is_some() {
            return;
        }
        if let Err(error) = self.hold(written(&request)) {
            self.refused = Some(error);
            return;
        }
        let to = &mut self.transaction;
        match request {
            StoreRequest::Set(it) => to.set(&it.key, &it.value),
            StoreRequest::Clear(it) => to.clear(&it.key),
            StoreRequest::ClearRange(it) => to.clear_range(&it.begin, &it.end),
            StoreRequest::Add(it) => to.add(&it.key, it.by),
            StoreRequest::SetVersionstamped(it) => {
                to.set_versionstamped_key(&it.prefix, &it.suffix, &it.value);
            }
            StoreRequest::ReadConflict(it) => to.add_read_conflict(&it.key),
            StoreRequest::WriteConflict(it) => to.add_write_conflict(&it.key),
            StoreRequest::Begin(_)
            | StoreRequest::Get(_)
            | StoreRequest::Range(_)
            | StoreRequest::Commit(_)
            | StoreRequest::Watch(_)
            | StoreRequest::Follow(_) => {}
        }
    }

    /// Takes room for a write. Never waits: who waits for room holds some.
    fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes + STORE_WRITE_BYTES;
        let held_kib = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more_kib = self.bytes.div_ceil(1024).saturating_sub(held_kib);
        let Ok(more_kib) = u32::try_from(more_kib) else {
            return Err(busy());
        };
        let room = Arc::clone(&self.server.pending_kib);
        let more = room.try_acquire_many_owned(more_kib).map_err(|_| busy())?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }

    /// Commits, whoever is still there, and says what came of it.
    async fn commit(self) -> Vec<u8> {
        let mut out = self.out;
        let result = match self.refused {
            Some(error) => Err(error),
            None => self.transaction.commit().await,
        };
        let answer = match result {
            Ok(committed) => StoreAnswer::Committed(wire::Committed {
                version: committed.version,
                versionstamp: committed.versionstamp,
            }),
            Err(error) => failed(error),
        };
        put(&answer, &mut out);
        out
    }

    fn put(&mut self, answer: &StoreAnswer) {
        put(answer, &mut self.out);
    }

    async fn flush(&mut self, stream: &mut PeerStream) -> Result<(), StreamError> {
        let out = std::mem::take(&mut self.out);
        match out.is_empty() {
            true => Ok(()),
            false => stream.write(&out).await,
        }
    }
}

/// What a write takes of a transaction's size.
fn written(request: &StoreRequest) -> usize {
    match request {
        StoreRequest::Set(it) => it.key.len() + it.value.len(),
        StoreRequest::Clear(it) => it.key.len(),
        StoreRequest::ClearRange(it) => it.begin.len() + it.end.len(),
        StoreRequest::Add(it) => it.key.len() + size_of::<i64>(),
        StoreRequest::SetVersionstamped(it) => it.prefix.len() + it.suffix.len() + it.value.len(),
        StoreRequest::ReadConflict(it) => it.key.len(),
        StoreRequest::WriteConflict(it) => it.key.len(),
        StoreRequest::Begin(_)
        | StoreRequest::Get(_)
        | StoreRequest::Range(_)
        | StoreRequest::Commit(_)
        | StoreRequest::Watch(_)
        | StoreRequest::Follow(_) => 0,
    }
}

fn busy() -> Error {
    Error::Unavailable("the storage node has no room for more writes at the moment".to_owned())
}

const fn isolation(isolation: wire::Isolation) -> Isolation {
    match isolation {
        wire::Isolation::Serializable => Isolation::Serializable,
        wire::Isolation::Snapshot => Isolation::Snapshot,
    }
}

fn failed(error: Error) -> StoreAnswer {
    StoreAnswer::Failed(told(error))
}

fn encoded(answer: &StoreAnswer) -> Vec<u8> {
    let mut out = Vec::new();
    put(answer, &mut out);
    out
}

/// Appends an answer; one over the limits of a frame, which no store within its own has, as a failure.
fn put(answer: &StoreAnswer, out: &mut Vec<u8>) {
    if let Err(error) = codec::encode(answer, out) {
        let reason = error.to_string();
        let failure = StoreAnswer::Failed(wire::StoreFailure::Unavailable { reason });
        // Short.
        let _ = codec::encode(&failure, out);
    }
}

/// A transaction lives so long from its first byte to its commit.
const TRANSACTION_MAX: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX);
/// What a pair takes in a frame beside its key and value: their lengths.
const PAIR_OVERHEAD_BYTES: usize = 10;
/// Pairs of one frame: the rest is for its other fields.
const PAIRS_BYTES_MAX: usize = STORE_FRAME_BODY_BYTES_MAX - 1024;
