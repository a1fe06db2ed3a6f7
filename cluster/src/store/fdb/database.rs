//! A store that is a FoundationDB database: opens it, follows how it is, and begins transactions on it.
//!
//! While the database does not answer, requests fail at once instead of waiting in line: their callers shed load.

use std::pin::pin;
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

    /// Notes how the database is, and says so if that is new.
    fn tell(&self, failure: Option<Error>) {
        metrics::fdb_available(failure.is_none());
        self.failure.send_if_modified(|state| {
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

    /// Notes at once that the database does not answer, unless a reason is known: whoever asks is not to wait for it.
    fn is_silent(&self) {
        if self.failure().is_none() {
            let why = format!("it has not answered for {SILENCE_MAX:?}");
            self.tell(Some(Error::Unavailable(why)));
        }
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
        let mut asked = pin!(version(&shared));
        let answered = match tokio::time::timeout(SILENCE_MAX, &mut asked).await {
            Ok(answered) => answered,
            Err(_elapsed) => {
                shared.is_silent();
                // An answer is taken whenever it comes, for the reason can take longer than the trouble.
                tokio::select! {
                    biased;
                    answered = &mut asked => answered,
                    reason = explain(&shared) => Err(Error::Unavailable(reason)),
                }
            }
        };
        shared.tell(match answered {
            Ok(version) => {
                shared.saw(version);
                let now = shared.config.clock.monotonic();
                metrics::fdb_answered(now.saturating_duration_since(begun));
                None
            }
            Err(error) => Some(error),
        });
    }
}

async fn version(shared: &Shared) -> Result<Version, Error> {
    let asked = async { shared.database.begin_unbounded()?.read_version().await };
    let version = asked.await.map_err(failure::read)?;
    Ok(Version::try_from(version).unwrap_or_default())
}

/// Why the database does not answer, as far as it says so.
async fn explain(shared: &Shared) -> String {
    // Known at once, while a status takes long where nothing works: it tries all that it tells of.
    let health = described(shared, HEALTH_KEY, SILENCE_MAX).await;
    if status::admits_nothing(&health) {
        return status::FULL.to_owned();
    }
    let status = described(shared, STATUS_KEY, REASON_MAX).await;
    status::reason(&status, shared.config.cluster_file.coordinators())
}

/// A description of the database; empty if there is none in time.
async fn described(shared: &Shared, key: &[u8], patience: Duration) -> bytes::Bytes {
    let asked = async {
        let transaction = shared.database.begin_unbounded()?;
        transaction.get(key, true).await
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok(Some(description))) => description,
        Ok(Ok(None) | Err(_)) | Err(_) => bytes::Bytes::new(),
    }
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
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Most reasons are known to FoundationDB within a few seconds.
pub(super) const REASON_MAX: Duration = Duration::from_secs(10);
/// Where FoundationDB's client has what limits the database.
const HEALTH_KEY: &[u8] = b"\xff\xff/metrics/health/aggregate";
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
