//! A transaction on a storage node: writes gather in a buffer, reads and the commit take it along.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use selvedge_protocol::limits::{STORE_COMMIT_MS_MAX, STORE_TRANSACTION_MS_MAX};
use selvedge_protocol::peer::store as wire;
use selvedge_protocol::peer::store::{StoreAnswer, StoreRequest};
use tokio::sync::OwnedSemaphorePermit;

use super::super::{Committed, Error, Isolation, Order, Range, Transaction, Version, size};
use super::client::Shared;
use super::exchange::{Exchange, opening, put, surprised, unavailable};
use super::failure::heard;
use crate::peer::StreamError;

pub(super) struct RemoteTransaction {
    shared: Arc<Shared>,
    /// Given, or learnt with the first answer.
    version: Option<Version>,
    /// Said, but not handed over yet; begins with the opening of the stream.
    out: Vec<u8>,
    open: Option<Open>,
    /// What was said and counts towards the transaction's limit.
    bytes: usize,
    has_writes: bool,
    /// The first write over a limit; the commit answers with it.
    refused: Option<Error>,
    /// A read was given up halfway or failed for good: answers would no longer fit questions.
    broken: Option<Error>,
}

/// A transaction that the storage node knows.
#[derive(Debug)]
struct Open {
    exchange: Exchange,
    /// Given back with the stream.
    _place: OwnedSemaphorePermit,
}

impl RemoteTransaction {
    pub(super) fn new(shared: Arc<Shared>, version: Option<Version>) -> Self {
        let mut out = opening();
        put(&StoreRequest::Begin(wire::Begin { version }), &mut out);
        Self {
            shared,
            version,
            out,
            open: None,
            bytes: 0,
            has_writes: false,
            refused: None,
            broken: None,
        }
    }

    /// Notes what a write takes of the limits; false if it is over one.
    fn admit(&mut self, key: usize, value: usize) -> bool {
        self.bytes = self.bytes.saturating_add(key).saturating_add(value);
        let admitted =
            size::check_write(key, value).and_then(|()| size::check_transaction(self.bytes));
        match admitted {
            Ok(()) => true,
            Err(error) => {
                self.refused.get_or_insert(error);
                // It will not be committed: what was gathered need not be kept.
                self.out = Vec::new();
                false
            }
        }
    }

    fn write(&mut self, request: &StoreRequest) {
        if self.refused.is_none() {
            put(request, &mut self.out);
            self.has_writes = true;
        }
    }

    /// Hands over what was said, and a question with it.
    async fn flush(&mut self, question: Option<StoreRequest>) -> Result<(), Error> {
        if let Some(question) = question {
            put(&question, &mut self.out);
        }
        self.open().await?;
        let said = match &mut self.open {
            Some(open) => open.exchange.say(&self.out).await,
            None => return Err(surprised()),
        };
        self.out.clear();
        match said {
            // Who wants no more has said why before.
            Ok(()) | Err(StreamError::Ended(_)) => Ok(()),
            Err(error @ (StreamError::Lost(_) | StreamError::Cut | StreamError::Malformed(_))) => {
                Err(unavailable(&error))
            }
        }
    }

    /// Opens the stream, when it is this transaction's turn.
    async fn open(&mut self) -> Result<(), Error> {
        if self.open.is_some() {
            return Ok(());
        }
        let connection = self.shared.connection().await?;
        let places = Arc::clone(&self.shared.transactions);
        let Ok(place) = places.acquire_owned().await else {
            return Err(surprised());
        };
        self.open = Some(Open {
            exchange: Exchange::open(&connection).await?,
            _place: place,
        });
        Ok(())
    }

    /// The next answer to a question.
    async fn answer(&mut self) -> Result<StoreAnswer, Error> {
        loop {
            let Some(open) = &mut self.open else {
                return Err(surprised());
            };
            let answer = open.exchange.answer().await;
            match answer.map_err(|error| unavailable(&error))? {
                StoreAnswer::Begun(begun) => self.begun(begun.version),
                answer => return Ok(answer),
            }
        }
    }

    fn begun(&mut self, version: Version) {
        self.version = Some(version);
        self.shared.saw(version);
    }

    /// Runs a read to its end or the transaction's. One that was given up halfway is the transaction's end:
    /// later answers would be taken for those to other questions.
    async fn reading<T>(
        &mut self,
        read: impl AsyncFnOnce(&mut Self) -> Result<Result<T, Error>, Error>,
    ) -> Result<T, Error> {
        if let Some(error) = self.refused.as_ref().or(self.broken.as_ref()) {
            return Err(error.clone());
        }
        self.broken = Some(Error::Unavailable("a read was given up".to_owned()));
        let ended = tokio::time::timeout(TRANSACTION_MAX, read(self)).await;
        match ended.unwrap_or_else(|_elapsed| Err(timed_out())) {
            // What is too old for this read is for all that follow, and the other end may have let go of it.
            Err(error) | Ok(Err(error @ Error::TooOld)) => {
                self.open = None;
                self.broken = Some(error.clone());
                Err(error)
            }
            Ok(result) => {
                self.broken = None;
                result
            }
        }
    }

    async fn value(&mut self, key: Bytes, isolation: Isolation) -> Result<Option<Bytes>, Error> {
        size::check_key(key.len())?;
        let isolation = self::isolation(isolation);
        let question = StoreRequest::Get(wire::Get { key, isolation });
        self.reading(async |this| {
            this.flush(Some(question)).await?;
            match this.answer().await? {
                StoreAnswer::Value(value) => Ok(Ok(value.value)),
                StoreAnswer::Failed(failure) => Ok(Err(heard(failure))),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }

    async fn pairs(&mut self, range: Range) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let limit = range.limit;
        let question = StoreRequest::Range(question(range)?);
        self.reading(async |this| {
            this.flush(Some(question)).await?;
            let mut pairs = Vec::new();
            loop {
                match this.answer().await? {
                    StoreAnswer::Pairs(page) => {
                        let found = page.pairs.into_iter();
                        pairs.extend(found.map(|pair| (pair.key, pair.value)));
                        if pairs.len() > limit {
                            return Err(surprised());
                        }
                        if page.is_last {
                            return Ok(Ok(pairs));
                        }
                    }
                    StoreAnswer::Failed(failure) => return Ok(Err(heard(failure))),
                    other => return Err(unexpected(&other)),
                }
            }
        })
        .await
    }

    async fn learn_version(&mut self) -> Result<Version, Error> {
        if let Some(version) = self.version {
            return Ok(version);
        }
        self.reading(async |this| {
            this.flush(None).await?;
            let Some(open) = &mut this.open else {
                return Err(surprised());
            };
            let answer = open.exchange.answer().await;
            match answer.map_err(|error| unavailable(&error))? {
                StoreAnswer::Begun(begun) => {
                    this.begun(begun.version);
                    Ok(Ok(begun.version))
                }
                StoreAnswer::Failed(failure) => Ok(Err(heard(failure))),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }

    async fn finish(mut self) -> Result<Committed, Error> {
        if let Some(error) = self.refused.take().or_else(|| self.broken.take()) {
            return Err(error);
        }
        if !self.has_writes {
            // What was read stood at the read version: there is nothing to decide.
            return Ok(Committed {
                version: self.learn_version().await?,
                versionstamp: [0; 10],
            });
        }
        let commit = StoreRequest::Commit(wire::Commit {});
        // Cut short, the commit was not said: it is the last of what is handed over.
        let said = tokio::time::timeout(TRANSACTION_MAX, self.flush(Some(commit))).await;
        said.unwrap_or_else(|_elapsed| Err(timed_out()))?;
        let Some(mut open) = self.open.take() else {
            return Err(surprised());
        };
        open.exchange.finish();
        let answered = async {
            loop {
                match open.exchange.answer().await {
                    Ok(StoreAnswer::Begun(_)) => {}
                    Ok(StoreAnswer::Committed(committed)) => return Ok(committed),
                    Ok(StoreAnswer::Failed(failure)) => return Err(heard(failure)),
                    Ok(
                        StoreAnswer::Value(_)
                        | StoreAnswer::Pairs(_)
                        | StoreAnswer::Changed(_)
                        | StoreAnswer::Status(_),
                    )
                    | Err(_) => return Err(Error::CommitUnknown),
                }
            }
        };
        let committed = tokio::time::timeout(COMMIT_MAX, answered)
            .await
            .unwrap_or(Err(Error::CommitUnknown))?;
        open.exchange.end();
        self.shared.saw(committed.version);
        Ok(Committed {
            version: committed.version,
            versionstamp: committed.versionstamp,
        })
    }
}

impl Transaction for RemoteTransaction {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(self.value(key_bytes(key), isolation))
    }

    fn range<'a>(&'a mut self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, Error>> {
        Box::pin(self.pairs(range))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        if self.admit(key.len(), value.len()) {
            self.write(&StoreRequest::Set(wire::Set {
                key: key_bytes(key),
                value: Bytes::copy_from_slice(value),
            }));
        }
    }

    fn clear(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            let key = key_bytes(key);
            self.write(&StoreRequest::Clear(wire::Clear { key }));
        }
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        if self.admit(begin.len(), 0) && self.admit(end.len(), 0) && begin < end {
            let (begin, end) = (key_bytes(begin), key_bytes(end));
            self.write(&StoreRequest::ClearRange(wire::ClearRange { begin, end }));
        }
    }

    fn add(&mut self, key: &[u8], by: i64) {
        if self.admit(key.len(), size_of::<i64>()) {
            let key = key_bytes(key);
            self.write(&StoreRequest::Add(wire::Add { key, by }));
        }
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        if self.admit(
            prefix.len() + VERSIONSTAMP_BYTES + suffix.len(),
            value.len(),
        ) {
            self.write(&StoreRequest::SetVersionstamped(wire::SetVersionstamped {
                prefix: key_bytes(prefix),
                suffix: key_bytes(suffix),
                value: Bytes::copy_from_slice(value),
            }));
        }
    }

    fn add_read_conflict(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) && self.refused.is_none() {
            let key = key_bytes(key);
            put(
                &StoreRequest::ReadConflict(wire::ReadConflict { key }),
                &mut self.out,
            );
        }
    }

    fn add_write_conflict(&mut self, key: &[u8]) {
        if self.admit(key.len(), 0) {
            let key = key_bytes(key);
            self.write(&StoreRequest::WriteConflict(wire::WriteConflict { key }));
        }
    }

    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, Error>> {
        match self.version {
            Some(version) => Box::pin(ready(Ok(version))),
            None => Box::pin(self.learn_version()),
        }
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, Error>> {
        Box::pin((*self).finish())
    }
}

impl fmt::Debug for RemoteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTransaction")
            .field("version", &self.version)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

pub(super) fn key_bytes(key: &[u8]) -> Bytes {
    Bytes::copy_from_slice(key)
}

/// A range as it is asked for: from a key on, up to another one or to the end.
fn question(range: Range) -> Result<wire::Range, Error> {
    for bound in [&range.begin, &range.end] {
        if let Bound::Included(key) | Bound::Excluded(key) = bound {
            size::check_key(key.len())?;
        }
    }
    Ok(wire::Range {
        begin: match range.begin {
            Bound::Included(key) => key,
            Bound::Excluded(key) => after(&key),
            Bound::Unbounded => Bytes::new(),
        },
        end: match range.end {
            Bound::Included(key) => Some(after(&key)),
            Bound::Excluded(key) => Some(key),
            Bound::Unbounded => None,
        },
        order: match range.order {
            Order::Ascending => wire::Order::Ascending,
            Order::Descending => wire::Order::Descending,
        },
        limit: range.limit as u64,
        isolation: isolation(range.isolation),
    })
}

const fn isolation(isolation: Isolation) -> wire::Isolation {
    match isolation {
        Isolation::Serializable => wire::Isolation::Serializable,
        Isolation::Snapshot => wire::Isolation::Snapshot,
    }
}

/// The first key after `key`.
fn after(key: &[u8]) -> Bytes {
    Bytes::from([key, &[0]].concat())
}

/// An answer that does not fit the question, or an old one that does and failed.
fn unexpected(answer: &StoreAnswer) -> Error {
    tracing::warn!(?answer, "the storage node has answered something else");
    surprised()
}

fn timed_out() -> Error {
    Error::Unavailable("the storage node did not answer in time".to_owned())
}

const VERSIONSTAMP_BYTES: usize = 10;
/// How long a question, or the way to its answer, may take.
const TRANSACTION_MAX: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX);
const COMMIT_MAX: Duration = Duration::from_millis(STORE_COMMIT_MS_MAX);
