//! The one file that names the crate, and so libfdb_c: its thread, databases and transactions, in our types. What they
//! mean is decided elsewhere.

use std::fmt;
use std::ops::Deref;
use std::path::Path;

use bytes::Bytes;
use foundationdb::api::{FdbApiBuilder, NetworkAutoStop, NetworkBuilder, get_max_api_version};
use foundationdb::options::{
    ConflictRangeType, DatabaseOption, MutationType, NetworkOption, StreamingMode,
    TransactionOption,
};
use foundationdb::{Database, FdbError, FdbResult, KeySelector, RangeOption, Transaction};
use parking_lot::Mutex;

use super::config::{FdbConfig, NetworkConfig, Priority};

/// An error as FoundationDB numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) number: i32,
    pub(super) text: &'static str,
}

impl From<FdbError> for Code {
    fn from(error: FdbError) -> Self {
        Self {
            number: error.code(),
            text: error.message(),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (FoundationDB's error {})", self.text, self.number)
    }
}

/// Why there is no client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetworkError {
    #[error(
        "libfdb_c at hand knows the client API up to {found}, this binary needs {needed}; install FoundationDB's client \
         package of version {}, or build with the feature of the one you have", version(*.needed)
    )]
    Library { found: i32, needed: i32 },
    #[error("FoundationDB's client was told {option} and refuses it: {reason}")]
    Option {
        option: &'static str,
        reason: String,
    },
    #[error("FoundationDB's client does not start: {reason}")]
    Start { reason: String },
    #[error("another store of this process has set other options of FoundationDB's client")]
    Other,
    #[error("FoundationDB's client was stopped, and cannot be started again in this process")]
    Stopped,
}

/// `7.3` of `730`.
fn version(api: i32) -> String {
    format!("{}.{}", api / 100, api / 10 % 10)
}

/// The client's thread: one a process, once.
enum Network {
    Unstarted,
    Running {
        config: NetworkConfig,
        /// Ends the thread when it is dropped.
        _thread: NetworkAutoStop,
    },
    Failed(NetworkError),
}

static NETWORK: Mutex<Network> = Mutex::new(Network::Unstarted);

/// Starts the client, unless it runs.
pub(super) fn start(config: &NetworkConfig) -> Result<(), NetworkError> {
    let mut network = NETWORK.lock();
    match &*network {
        Network::Running {
            config: running, ..
        } if running == config => Ok(()),
        Network::Running { .. } => Err(NetworkError::Other),
        Network::Failed(error) => Err(error.clone()),
        Network::Unstarted => match boot(config) {
            Ok(thread) => {
                *network = Network::Running {
                    config: config.clone(),
                    _thread: thread,
                };
                Ok(())
            }
            Err(error) => {
                *network = Network::Failed(error.clone());
                Err(error)
            }
        },
    }
}

/// Ends the client's thread, if it runs. Called last by a process that has opened a store on FoundationDB, when no store
/// is used any more; waits for the thread.
pub fn stop() {
    let before = std::mem::replace(&mut *NETWORK.lock(), Network::Failed(NetworkError::Stopped));
    drop(before);
}

fn boot(config: &NetworkConfig) -> Result<NetworkAutoStop, NetworkError> {
    let api = FdbApiBuilder::default();
    let (found, needed) = (get_max_api_version(), api.runtime_version());
    if found < needed {
        return Err(NetworkError::Library { found, needed });
    }
    let failed = |error: FdbError| NetworkError::Start {
        reason: Code::from(error).to_string(),
    };
    let network = configured(api.build().map_err(failed)?, config)?;
    #[expect(
        unsafe_code,
        reason = "the crate asks that the thread be stopped before the process ends; main calls `stop`"
    )]
    let running = unsafe { network.boot() };
    running.map_err(failed)
}

fn configured(
    mut network: NetworkBuilder,
    config: &NetworkConfig,
) -> Result<NetworkBuilder, NetworkError> {
    let text = |path: &Path| path.display().to_string();
    let mut options = Vec::new();
    if let Some(tls) = &config.tls {
        options.extend([
            (
                "tls.certificate",
                NetworkOption::TLSCertPath(text(&tls.certificate)),
            ),
            ("tls.key", NetworkOption::TLSKeyPath(text(&tls.key))),
            ("tls.ca", NetworkOption::TLSCaPath(text(&tls.ca))),
        ]);
    }
    if let Some(path) = &config.external_clients {
        let option = NetworkOption::ExternalClientDirectory(text(path));
        options.push(("external-clients", option));
    }
    if let Some(path) = &config.trace {
        options.extend([
            ("trace", NetworkOption::TraceEnable(text(path))),
            ("trace", NetworkOption::TraceFormat("json".to_owned())),
        ]);
    }
    for (option, value) in options {
        network = network
            .set_option(value)
            .map_err(|error| NetworkError::Option {
                option,
                reason: Code::from(error).to_string(),
            })?;
    }
    Ok(network)
}

/// A database. The connection to it comes and goes by itself.
pub(super) struct NativeDatabase {
    database: Database,
    tag: Option<String>,
    priority: Priority,
}

impl NativeDatabase {
    /// Asks nobody yet.
    pub(super) fn open(config: &FdbConfig) -> Result<Self, Code> {
        let path = config.cluster_file.path().display().to_string();
        let database = Database::from_path(&path)?;
        let bounded = |number: u128| i32::try_from(number).unwrap_or(i32::MAX);
        let watches = selvedge_protocol::limits::STORE_WATCHES_MAX;
        for option in [
            DatabaseOption::TransactionTimeout(bounded(config.timeout.as_millis())),
            DatabaseOption::TransactionSizeLimit(bounded(config.size_max as u128)),
            // Half of them may be on their way out while the other half begins.
            DatabaseOption::MaxWatches(bounded(2 * watches as u128)),
        ] {
            database.set_option(option)?;
        }
        Ok(Self {
            database,
            tag: config.tag.clone(),
            priority: config.priority,
        })
    }

    pub(super) fn begin(&self) -> Result<Native, Code> {
        let transaction = self.database.create_trx()?;
        if let Some(tag) = &self.tag {
            transaction.set_option(TransactionOption::AutoThrottleTag(tag.clone()))?;
        }
        match self.priority {
            Priority::Default => {}
            Priority::Batch => transaction.set_option(TransactionOption::PriorityBatch)?,
        }
        Ok(Native(transaction))
    }

    /// One that is not bound to a time: for watches, and for what says how the database is.
    pub(super) fn begin_unbounded(&self) -> Result<Native, Code> {
        let transaction = self.database.create_trx()?;
        transaction.set_option(TransactionOption::Timeout(0))?;
        Ok(Native(transaction))
    }
}

impl fmt::Debug for NativeDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeDatabase")
    }
}

/// A transaction.
pub(super) struct Native(Transaction);

/// The keys between two, and how many of them.
#[derive(Debug)]
pub(super) struct Span<'a> {
    pub(super) begin: &'a [u8],
    pub(super) end: &'a [u8],
    /// Never 0.
    pub(super) limit: usize,
    pub(super) is_reverse: bool,
    pub(super) is_snapshot: bool,
}

/// What a transaction conflicts on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conflict {
    Read,
    Write,
}

impl Native {
    pub(super) fn set_read_version(&self, version: i64) {
        self.0.set_read_version(version);
    }

    pub(super) async fn read_version(&self) -> Result<i64, Code> {
        Ok(self.0.get_read_version().await?)
    }

    pub(super) async fn get(&self, key: &[u8], is_snapshot: bool) -> Result<Option<Bytes>, Code> {
        let value = self.0.get(key, is_snapshot).await?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.deref())))
    }

    /// The pairs of a span; of each key the first `cut` bytes are left out.
    pub(super) async fn range(
        &self,
        span: &Span<'_>,
        cut: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Code> {
        let mut next = Some(RangeOption {
            // FoundationDB counts in 32 bits, and nobody asks for more than fits into memory.
            limit: Some(span.limit.min(RANGE_PAIRS_MAX)),
            mode: StreamingMode::WantAll,
            reverse: span.is_reverse,
            ..RangeOption::from((
                KeySelector::first_greater_or_equal(span.begin),
                KeySelector::first_greater_or_equal(span.end),
            ))
        });
        let mut pairs = Vec::new();
        let mut iteration = 1;
        while let Some(part) = next {
            let found = self.0.get_range(&part, iteration, span.is_snapshot).await?;
            pairs.extend(found.iter().map(|pair| {
                let key = pair.key().get(cut..).unwrap_or_default();
                (
                    Bytes::copy_from_slice(key),
                    Bytes::copy_from_slice(pair.value()),
                )
            }));
            next = part.next_range(&found);
            iteration += 1;
        }
        Ok(pairs)
    }

    pub(super) fn set(&self, key: &[u8], value: &[u8]) {
        self.0.set(key, value);
    }

    pub(super) fn clear(&self, key: &[u8]) {
        self.0.clear(key);
    }

    pub(super) fn clear_range(&self, begin: &[u8], end: &[u8]) {
        self.0.clear_range(begin, end);
    }

    pub(super) fn add(&self, key: &[u8], by: i64) {
        self.0.atomic_op(key, &by.to_le_bytes(), MutationType::Add);
    }

    /// `key` has room for the versionstamp, and after its end four bytes that say where.
    pub(super) fn set_versionstamped_key(&self, key: &[u8], value: &[u8]) {
        self.0
            .atomic_op(key, value, MutationType::SetVersionstampedKey);
    }

    pub(super) fn conflict(&self, begin: &[u8], end: &[u8], kind: Conflict) -> Result<(), Code> {
        let kind = match kind {
            Conflict::Read => ConflictRangeType::Read,
            Conflict::Write => ConflictRangeType::Write,
        };
        Ok(self.0.add_conflict_range(begin, end, kind)?)
    }

    /// Completes when the value is another one than this transaction sees, once that is committed.
    pub(super) fn watch(
        &self,
        key: &[u8],
    ) -> impl Future<Output = Result<(), Code>> + Send + use<> {
        let changed = self.0.watch(key);
        async move { Ok(changed.await?) }
    }

    /// The version of the commit, which is negative if it had nothing to write, and its versionstamp if it `has_stamp`:
    /// to ask for one costs as much as to ask for the commit.
    pub(super) fn commit(
        self,
        has_stamp: bool,
    ) -> impl Future<Output = Result<(i64, [u8; 10]), Code>> + Send + use<> {
        let stamp = has_stamp.then(|| self.0.get_versionstamp());
        let committing = self.0.commit();
        async move {
            let committed = committing.await.map_err(|error| Code::from(*error))?;
            let version = committed.committed_version()?;
            let stamp = match stamp {
                Some(stamp) => stamp_of(version, stamp.await),
                None => [0; 10],
            };
            Ok((version, stamp))
        }
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Native")
    }
}

fn stamp_of(version: i64, found: FdbResult<impl Deref<Target = [u8]>>) -> [u8; 10] {
    let found = found
        .ok()
        .and_then(|stamp| <[u8; 10]>::try_from(&*stamp).ok());
    // It has no more place among the commits of its version than its version says.
    found.unwrap_or_else(|| {
        let mut stamp = [0; 10];
        stamp[..8].copy_from_slice(&version.to_be_bytes());
        stamp
    })
}

/// More pairs than that do not fit into a transaction's five seconds.
const RANGE_PAIRS_MAX: usize = 10_000_000;
