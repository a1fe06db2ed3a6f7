//! Measures commands over actors whose store is FoundationDB beside a bare client that commits as many keys and bytes
//! at the same concurrency, in one run, and says how many transactions a command takes.
//!
//! `SELVEDGE_BENCH_FDB_CLUSTER_FILE=FILE cargo run --release -p selvedge-benches --features fdb --example fdb_figures`

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foundationdb::Database;
use selvedge_benches::counted::{Asked, Counted};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Context, Effects, Host, HostConfig, Identity, Incoming, Kind,
    Kinds, NewEvent, Origin, Refusal, ReplyTo, ScopedAddress,
};
use selvedge_cluster::ownership::OwnershipConfig;
use selvedge_cluster::store::Store;
use selvedge_cluster::store::fdb::{self, ClusterFile, Fdb, FdbConfig};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{SessionId, Tenant};
use tokio::sync::oneshot;
use tokio::time::Instant;

type Failed = Box<dyn Error + Send + Sync>;

const SECONDS: u64 = 5;
const ACTORS: usize = 1_000;
/// Of each of many clients.
const ACTORS_EACH: usize = 8;
/// Of the commands of a session in a round, more than there are: those of the next come after them.
const NUMBERS: u64 = 1_000_000;
/// Commands in flight, beside a lone one.
const DEPTHS: [usize; 2] = [1, 512];
const ROUNDS: u64 = 3;

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
    let counted = Counted::new(Arc::clone(&store));
    let host = HostConfig {
        node: "figures".to_owned(),
        idle_ms: 600_000,
        slots: 1_024,
    };
    let host = Host::start(
        host,
        Arc::new(counted.clone()),
        clock,
        Kinds::default().with(Counter),
    )
    .await?;
    let database = Arc::new(Database::from_path(&file.display().to_string())?);
    // Every actor is loaded, and has a record.
    commands(&host, ACTORS, 0, Some(1)).await?;
    let looking = tokio::spawn(look(host.clone()));
    for round in 1..=ROUNDS {
        println!("round {round}");
        for depth in DEPTHS {
            let before = counted.asked();
            let ours = commands(&host, depth, round, None).await?;
            let asked = counted.asked().since(&before);
            let shape = Shape::of(&asked);
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
                ratio(asked.commits as f64, ours.len() as f64),
                asked.failed,
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

/// Latencies of commands, with so many at a time, each of a session of its own that has some actors: a lone one all of
/// them, so that most were quiet for seconds when their turn comes, many at once a few each.
async fn commands(
    host: &Host,
    depth: usize,
    round: u64,
    each: Option<u64>,
) -> Result<Vec<Duration>, Failed> {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let actors = (ACTORS / depth).max(ACTORS_EACH);
    let tasks = (0..depth).map(|task| {
        let host = host.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let session = SessionId::from_u128((depth as u128) << 64 | task as u128);
            let turns = (0..actors).cycle().zip(1..=each.unwrap_or(NUMBERS));
            for (turn, number) in turns {
                if Instant::now() >= end {
                    break;
                }
                let actor = (task + turn * (ACTORS / actors)) % ACTORS;
                let start = Instant::now();
                command(&host, actor, session, round * NUMBERS + number).await?;
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
        if_version: None,
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

/// What a transaction writes.
#[derive(Debug, Clone, Copy)]
struct Shape {
    keys: usize,
    /// Of keys and values.
    bytes: usize,
}

impl Shape {
    /// Rounded up: the bare client is not to have less to do.
    fn of(asked: &Asked) -> Self {
        let each = |count: u64| usize::try_from(count.div_ceil(asked.commits.max(1))).unwrap_or(0);
        Self {
            keys: each(asked.keys),
            bytes: each(asked.bytes),
        }
    }
}
