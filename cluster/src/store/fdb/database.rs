//! A store that is a FoundationDB database: opens it, follows how it is, and begins transactions on it.
//!
//! While the database does not answer, requests fail at once instead of waiting in line: their callers shed load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use selvedge_protocol::limits::STORE_STATUS_MS;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::super::watch::Watches;
use super::super::{Error, Store, Transaction, Version};
use super::config::FdbConfig;
use super::native::{self, NativeDatabase, NetworkError};
use super::transaction::FdbTransaction;
use super::{failure, status};
use crate::metrics;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Network(NetworkError),
    /// FoundationDB's client refuses the cluster file, or an option.
    #[error("FoundationDB's client does not take {file}: {reason}")]
    Refused { file: String, reason: String },
    /// No answer yet.
    #[error("the FoundationDB database of {file} does not answer: {reason}")]
    Silent { file: String, reason: String },
}

/// The store of a FoundationDB database.
#[derive(Debug)]
pub struct Fdb {
    shared: Arc<Shared>,
    watches: Watches,
    follower: AbortHandle,
}

/// What a store and its transactions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) database: NativeDatabase,
    pub(super) config: FdbConfig,
    /// The first key behind all that begin with the prefix.
    pub(super) end: Vec<u8>,
    /// Why commits cannot succeed, if they cannot.
    failure: watch::Sender<Option<Error>>,
    /// The latest version that was heard of.
    seen: AtomicU64,
}

impl Fdb {
    /// Starts the client if need be, and waits until the database has answered once. After that it comes and goes,
    /// which is told by [`Store::health`].
    pub async fn open(config: FdbConfig) -> Result<Self, OpenError> {
        native::start(&config.network).map_err(OpenError::Network)?;
        let file = config.cluster_file.path().display().to_string();
        let database = NativeDatabase::open(&config).map_err(|code| OpenError::Refused {
            file: file.clone(),
            reason: code.to_string(),
        })?;
        let patience = config.patience;
        let unasked = Error::Unavailable("it has not answered yet".to_owned());
        let shared = Arc::new(Shared {
            database,
            end: behind(&config.prefix),
            config,
            failure: watch::Sender::new(Some(unasked)),
            seen: AtomicU64::new(0),
        });
        let mut state = shared.failure.subscribe();
        let follower = tokio::spawn(follow(Arc::clone(&shared))).abort_handle();
        let store = Self {
            shared,
            watches: Watches::new(),
            follower,
        };
        let answered = state.wait_for(Option::is_none);
        match tokio::time::timeout(patience, answered).await {
            Ok(_) => Ok(store),
            Err(_elapsed) => Err(OpenError::Silent {
                file,
                reason: match store.shared.failure() {
                    Some(Error::Unavailable(reason)) => reason,
                    Some(other) => other.to_string(),
                    None => String::new(),
                },
            }),
        }
    }

    /// Whatever is asked later is refused.
    pub fn close(&self) {
        self.follower.abort();
        let closed = Error::Unavailable("it was closed".to_owned());
        self.shared.failure.send_replace(Some(closed));
    }

    fn transaction(&self, version: Option<Version>) -> Box<dyn Transaction> {
        Box::new(FdbTransaction::new(Arc::clone(&self.shared), version))
    }
}

impl Drop for Fdb {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Store for Fdb {
    fn begin(&self) -> Box<dyn Transaction> {
        self.transaction(None)
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.transaction(Some(version))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        let key = match self.shared.full(key) {
            Ok(key) => key,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        // Whatever happens from here on has a later version than this.
        let since = self.shared.seen();
        self.watches
            .begin(super::watch::watch(Arc::clone(&self.shared), key, since))
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn is_spread(&self) -> bool {
        true
    }

    fn health(&self) -> Result<(), Error> {
        self.shared.failure().map_or(Ok(()), Err)
    }
}

impl Shared {
    /// Why it is of no use to ask the database, if it is not.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure.borrow().clone()
    }

    /// Completes when the database answers.
    pub(super) async fn answers(&self) {
        // The sender is here.
        let _ = self.failure.subscribe().wait_for(Option::is_none).await;
    }

    /// Notes a version that the database has had.
    pub(super) fn saw(&self, version: Version) {
        self.seen.fetch_max(version, Ordering::AcqRel);
    }

    fn seen(&self) -> Version {
        self.seen.load(Ordering::Acquire)
    }
}

/// Keeps the state true: asks for a version from time to time, as every transaction does that reads, and if there is no
/// answer, why.
async fn follow(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(Duration::from_millis(STORE_STATUS_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let begun = shared.config.clock.monotonic();
        let failure = match tokio::time::timeout(SILENCE_MAX, version(&shared)).await {
            Ok(Ok(version)) => {
                shared.saw(version);
                let elapsed = shared
                    .config
                    .clock
                    .monotonic()
                    .saturating_duration_since(begun);
                metrics::fdb_answered(elapsed);
                None
            }
            Ok(Err(error)) => Some(error),
            Err(_elapsed) => Some(Error::Unavailable(explain(&shared).await)),
        };
        metrics::fdb_available(failure.is_none());
        shared.failure.send_if_modified(|state| {
            let is_other = state.as_ref().map(ToString::to_string)
                != failure.as_ref().map(ToString::to_string);
            match (&failure, is_other) {
                (Some(error), true) => tracing::warn!(%error, "FoundationDB is not available"),
                (None, true) => tracing::info!("FoundationDB is available"),
                (_, false) => {}
            }
            *state = failure;
            is_other
        });
    }
}

async fn version(shared: &Shared) -> Result<Version, Error> {
    let asked = async { shared.database.begin_unbounded()?.read_version().await };
    let version = asked.await.map_err(failure::read)?;
    Ok(Version::try_from(version).unwrap_or_default())
}

/// Why the database does not answer, as its client knows it.
async fn explain(shared: &Shared) -> String {
    let asked = async {
        let transaction = shared.database.begin_unbounded()?;
        transaction.get(STATUS_KEY, true).await
    };
    let status = match tokio::time::timeout(SILENCE_MAX, asked).await {
        Ok(Ok(Some(status))) => status,
        Ok(Ok(None) | Err(_)) | Err(_) => bytes::Bytes::new(),
    };
    status::reason(&status, shared.config.cluster_file.coordinators())
}

/// The first key behind all that begin with a prefix.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.pop_if(|byte| *byte == u8::MAX).is_some() {}
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    assert!(!end.is_empty(), "the prefix {prefix:?} has no end");
    end
}

/// So long without an answer, the database is not available. One that is only busy is given the time: commits take
/// longer then, and are not lost.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Where FoundationDB's client has a description of the database.
const STATUS_KEY: &[u8] = b"\xff\xff/status/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_behind_all_that_begin_so() {
        assert_eq!(behind(b"a"), b"b");
        assert_eq!(behind(b"a\xff\xff"), b"b");
        assert_eq!(behind(b"\x02selvedge\0"), b"\x02selvedge\x01");
    }
}
