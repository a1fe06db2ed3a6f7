//! Measures commands over actors whose store is FoundationDB beside a bare client that commits as many keys and bytes
//! at the same concurrency, in one run, and says how many transactions a command takes.
//!
//! `SELVEDGE_BENCH_FDB_CLUSTER_FILE=FILE cargo run --release -p selvedge-benches --features fdb --example fdb_figures`

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use foundationdb::Database;
use futures::future::BoxFuture;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Context, Effects, Host, HostConfig, Identity, Incoming, Kind,
    Kinds, NewEvent, Origin, Refusal, ReplyTo, ScopedAddress,
};
use selvedge_cluster::ownership::OwnershipConfig;
use selvedge_cluster::store::fdb::{self, ClusterFile, Fdb, FdbConfig};
use selvedge_cluster::store::{self, Committed, Isolation, Range, Store, Transaction, Version};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{SessionId, Tenant};
use tokio::sync::oneshot;
use tokio::time::Instant;

type Failed = Box<dyn Error + Send + Sync>;

const SECONDS: u64 = 5;
const ACTORS: usize = 1_000;
/// Commands in flight, beside a lone one.
const DEPTHS: [usize; 2] = [1, 512];
const ROUNDS: usize = 3;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure_all());
    drop(runtime);
    fdb::stop();
    measured
}

async fn measure_all() -> Result<(), Failed> {
    let file = std::env::var_os("SELVEDGE_BENCH_FDB_CLUSTER_FILE")
        .ok_or("set SELVEDGE_BENCH_FDB_CLUSTER_FILE to the path of an fdb.cluster")?;
    let file = PathBuf::from(file);
    let clock = Clock::system();
    let config = FdbConfig::new(ClusterFile::read(&file)?, "figures", clock.clone());
    let store: Arc<dyn Store> = Arc::new(Fdb::open(config).await?);
    clear(&*store).await?;
    let counted = Arc::new(Counts::default());
    let counting: Arc<dyn Store> = Arc::new(Counted {
        inner: Arc::clone(&store),
        counts: Arc::clone(&counted),
    });
    let host = HostConfig {
        node: "figures".to_owned(),
        idle_ms: 600_000,
        slots: 1_024,
    };
    let host = Host::start(host, counting, clock, Kinds::default().with(Counter)).await?;
    let database = Arc::new(Database::from_path(&file.display().to_string())?);
    // Every actor is loaded, and has a record.
    commands(&host, ACTORS, 0, Some(1)).await?;
    let looking = tokio::spawn(look(host.clone()));
    for round in 1..=ROUNDS {
        println!("round {round}");
        for depth in DEPTHS {
            let before = counted.now();
            let ours = commands(&host, depth, round, None).await?;
            let taken = counted.now().since(&before);
            let shape = taken.shape();
            let bare = bare(&database, depth, shape).await?;
            report("bare commits", depth, &bare);
            report("commands", depth, &ours);
            let ratio = |of: f64, to: f64| of / to;
            println!(
                "{:>16}  rate {:.2} of bare, p50 {:.2} x bare; {:.3} transactions a command, {} conflicts, \
                 {} keys of {} bytes a transaction",
                "",
                ratio(ours.len() as f64, bare.len() as f64),
                ratio(at(&ours, 50).as_secs_f64(), at(&bare, 50).as_secs_f64()),
                ratio(taken.commits as f64, ours.len() as f64),
                taken.failed,
                shape.keys,
                shape.bytes,
            );
        }
    }
    looking.abort();
    host.stop().await;
    clear(&*store).await
}

/// Looks whether the slots are still here, as a node of a cluster does all the time.
async fn look(host: Host) {
    let mut every = tokio::time::interval(OwnershipConfig::default().check);
    loop {
        every.tick().await;
        if let Err(error) = host.check().await {
            println!("a look failed: {error}");
        }
    }
}

async fn clear(store: &dyn Store) -> Result<(), Failed> {
    let mut transaction = store.begin();
    transaction.clear_range(&[], &[u8::MAX]);
    transaction.commit().await?;
    Ok(())
}

/// Latencies of commands, with so many at a time, each of a session of its own, over all actors in turn.
async fn commands(
    host: &Host,
    depth: usize,
    round: usize,
    each: Option<u64>,
) -> Result<Vec<Duration>, Failed> {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let tasks = (0..depth).map(|task| {
        let host = host.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            // Its name is never one of an earlier round.
            let session =
                SessionId::from_u128(((depth * 100 + round) as u128) << 64 | task as u128);
            let mut actor = task;
            for number in 1.. {
                if Instant::now() >= end || each.is_some_and(|each| number > each) {
                    break;
                }
                actor = (actor + depth) % ACTORS;
                let start = Instant::now();
                command(&host, actor, session, number).await?;
                latencies.push(start.elapsed());
            }
            Ok::<_, Failed>(latencies)
        })
    });
    gathered(tasks.collect::<Vec<_>>()).await
}

async fn command(host: &Host, actor: usize, session: SessionId, number: u64) -> Result<(), Failed> {
    let (sender, receiver) = oneshot::channel();
    let sink = Once(parking(sender));
    let request = CommandRequest {
        actor: ScopedAddress {
            tenant: Tenant::default_tenant(),
            address: format!("counter/{actor}").parse()?,
        },
        principal: Arc::from("figures"),
        origin: Origin::Client(None),
        identity: Identity::Session {
            session,
            number,
            acknowledged: number - 1,
        },
        name: "add".to_owned(),
        body: Bytes::from_static(br#"{"by":1}"#),
        payload: None,
        deadline: None,
    };
    host.command(request, ReplyTo::new(Arc::new(sink), 0));
    match receiver.await? {
        Outcome::Success(_) => Ok(()),
        Outcome::Failure(failure) => Err(failure.to_string().into()),
    }
}

type Parked = std::sync::Mutex<Option<oneshot::Sender<Outcome>>>;

const fn parking(sender: oneshot::Sender<Outcome>) -> Parked {
    std::sync::Mutex::new(Some(sender))
}

/// Hands an answer on.
struct Once(Parked);

impl AnswerSink for Once {
    fn answer(&self, _token: u64, outcome: Outcome) {
        let sender = self.0.lock().ok().and_then(|mut sender| sender.take());
        if let Some(sender) = sender {
            // Whoever asked may be gone.
            let _ = sender.send(outcome);
        }
    }
}

/// Latencies of blind commits through the crate, of as many keys and bytes, each task at keys of its own.
async fn bare(
    database: &Arc<Database>,
    depth: usize,
    shape: Shape,
) -> Result<Vec<Duration>, Failed> {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let tasks = (0..depth).map(|task| {
        let database = Arc::clone(database);
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let per_key = shape.bytes / shape.keys.max(1);
            while Instant::now() < end {
                let start = Instant::now();
                let transaction = database.create_trx()?;
                for number in 0..shape.keys {
                    let key = format!("bare/{task:04}/{number:02}/{:>24}", "");
                    let value = vec![7; per_key.saturating_sub(key.len())];
                    transaction.set(key.as_bytes(), &value);
                }
                transaction.commit().await.map_err(|error| *error)?;
                latencies.push(start.elapsed());
            }
            Ok::<_, Failed>(latencies)
        })
    });
    gathered(tasks.collect::<Vec<_>>()).await
}

async fn gathered(
    tasks: Vec<tokio::task::JoinHandle<Result<Vec<Duration>, Failed>>>,
) -> Result<Vec<Duration>, Failed> {
    let mut all = Vec::new();
    for latencies in futures::future::try_join_all(tasks).await? {
        all.extend(latencies?);
    }
    all.sort_unstable();
    Ok(all)
}

fn at(latencies: &[Duration], percent: usize) -> Duration {
    let found = latencies.get(latencies.len() * percent / 100);
    found.copied().unwrap_or_default()
}

fn report(what: &str, depth: usize, latencies: &[Duration]) {
    println!(
        "{what:>16}, {depth:>3} in flight: {:>7}/s  p50 {:>6} us  p99 {:>6} us",
        latencies.len() as u64 / SECONDS,
        at(latencies, 50).as_micros(),
        at(latencies, 99).as_micros()
    );
}

/// As the counter of the demo application: a number, and an event for each addition.
struct Counter;

impl Kind for Counter {
    type State = u64;
    const NAME: &'static str = "counter";

    fn apply(
        &self,
        state: &mut u64,
        _context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        *state += 1;
        Ok(Effects {
            reply: Bytes::from(state.to_string()),
            events: vec![NewEvent {
                kind: "added".into(),
                data: Bytes::copy_from_slice(command.body),
            }],
            ..Effects::default()
        })
    }

    fn query(&self, state: &u64, _name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        Ok(Bytes::from(state.to_string()))
    }

    fn view(&self, state: &u64) -> Bytes {
        Bytes::from(state.to_string())
    }

    fn encode(&self, state: &u64) -> Bytes {
        Bytes::copy_from_slice(&state.to_le_bytes())
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<u64, String> {
        let bytes = bytes.try_into().map_err(|_| "not eight bytes".to_owned())?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// What went to the store.
#[derive(Debug, Default)]
struct Counts {
    commits: AtomicU64,
    failed: AtomicU64,
    keys: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    commits: u64,
    failed: u64,
    keys: u64,
    bytes: u64,
}

/// What a transaction writes.
#[derive(Debug, Clone, Copy)]
struct Shape {
    keys: usize,
    /// Of keys and values.
    bytes: usize,
}

impl Counts {
    fn now(&self) -> Taken {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Taken {
            commits: of(&self.commits),
            failed: of(&self.failed),
            keys: of(&self.keys),
            bytes: of(&self.bytes),
        }
    }
}

impl Taken {
    const fn since(&self, before: &Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            failed: self.failed - before.failed,
            keys: self.keys - before.keys,
            bytes: self.bytes - before.bytes,
        }
    }

    /// Rounded up: the bare client is not to have less to do.
    fn shape(&self) -> Shape {
        let each = |count: u64| usize::try_from(count.div_ceil(self.commits.max(1))).unwrap_or(0);
        Shape {
            keys: each(self.keys),
            bytes: each(self.bytes),
        }
    }
}

/// A store that counts what is committed to it.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn Store>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct CountedTransaction {
    inner: Box<dyn Transaction>,
    counts: Arc<Counts>,
    keys: u64,
    bytes: u64,
}

impl Counted {
    fn transaction(&self, inner: Box<dyn Transaction>) -> Box<dyn Transaction> {
        Box::new(CountedTransaction {
            inner,
            counts: Arc::clone(&self.counts),
            keys: 0,
            bytes: 0,
        })
    }
}

impl Store for Counted {
    fn begin(&self) -> Box<dyn Transaction> {
        self.transaction(self.inner.begin())
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.transaction(self.inner.begin_at(version))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), store::Error>> {
        self.inner.watch(key)
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    fn health(&self) -> Result<(), store::Error> {
        self.inner.health()
    }
}

impl CountedTransaction {
    const fn wrote(&mut self, bytes: usize) {
        self.keys += 1;
        self.bytes += bytes as u64;
    }
}

impl Transaction for CountedTransaction {
    fn get<'a>(
        &'a mut self,
        key: &'a [u8],
        isolation: Isolation,
    ) -> BoxFuture<'a, Result<Option<Bytes>, store::Error>> {
        self.inner.get(key, isolation)
    }

    fn range<'a>(
        &'a mut self,
        range: Range,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, store::Error>> {
        self.inner.range(range)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.wrote(key.len() + value.len());
        self.inner.set(key, value);
    }

    fn clear(&mut self, key: &[u8]) {
        self.wrote(key.len());
        self.inner.clear(key);
    }

    fn clear_range(&mut self, begin: &[u8], end: &[u8]) {
        self.wrote(begin.len() + end.len());
        self.inner.clear_range(begin, end);
    }

    fn add(&mut self, key: &[u8], by: i64) {
        self.wrote(key.len() + size_of::<i64>());
        self.inner.add(key, by);
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        self.wrote(prefix.len() + suffix.len() + value.len());
        self.inner.set_versionstamped_key(prefix, suffix, value);
    }

    fn add_read_conflict(&mut self, key: &[u8]) {
        self.inner.add_read_conflict(key);
    }

    fn add_write_conflict(&mut self, key: &[u8]) {
        self.inner.add_write_conflict(key);
    }

    fn read_version(&mut self) -> BoxFuture<'_, Result<Version, store::Error>> {
        self.inner.read_version()
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<Committed, store::Error>> {
        let Self {
            inner,
            counts,
            keys,
            bytes,
        } = *self;
        let committing = inner.commit();
        Box::pin(async move {
            let result = committing.await;
            let count = |of: &AtomicU64, by| of.fetch_add(by, Ordering::Relaxed);
            match (&result, keys) {
                // It only read.
                (_, 0) => {}
                (Ok(_), _) => {
                    count(&counts.commits, 1);
                    count(&counts.keys, keys);
                    count(&counts.bytes, bytes);
                }
                (Err(_), _) => drop(count(&counts.failed, 1)),
            }
            result
        })
    }
}
