//! Measures what the shards of an index are for and what they cost: how the writes of one tenant's index are shared among
//! FoundationDB's storage servers, and how long a page takes on FoundationDB and on the embedded store, with one shard
//! and with those of a spread store, in one run.
//!
//! `SELVEDGE_BENCH_FDB_CLUSTER_FILE=FILE cargo run --release -p selvedge-benches --features fdb --example index_figures --
//! DIR [RATE] [SECONDS]`: DIR is for the embedded store; RATE is index entries a second, SECONDS how long they are
//! written before it is looked where they go.

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foundationdb::Database;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{AnswerSink, HostConfig, Identity, ReplyTo};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::fdb::{self, ClusterFile, Fdb, FdbConfig};
use selvedge_cluster::store::keys::{ActorPath, Entry, Index, Key, Part, Shards, cluster_prefix};
use selvedge_cluster::store::{Isolation, Store, migration};
use selvedge_node::app::{Application, Place, Running};
use selvedge_node::operation::{OperationCommand, OperationPayload};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{OperationId, Tenant};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};

type Failed = Box<dyn Error + Send + Sync>;

/// How long it is looked where the writes go.
const LOOK: Duration = Duration::from_secs(20);
/// Between two looks at the newest entries.
const PAUSE: Duration = Duration::from_millis(500);
/// The name in the database under which entries are written.
const WRITES: &str = "figures of writes";
/// Entries that are written together.
const BATCH: u64 = 20;
/// Operations of the lists that are read.
const OPERATIONS: u64 = 5_000;
/// Submits on their way at a time.
const IN_FLIGHT: usize = 64;
/// Pages, and point reads, of which a median is made.
const TIMES: usize = 300;
const PAGE: usize = 50;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("give a directory")?;
    let rate = arguments.next().map_or(Ok(1_000), |rate| rate.parse())?;
    let seconds = arguments.next().map_or(Ok(60), |text| text.parse())?;
    for shards in [Shards::ONE, Shards::SPREAD] {
        let name = format!("{} shard(s)", shards.count());
        let store = database(&file, &format!("figures {}", shards.count())).await?;
        pages(&format!("FoundationDB, {name}"), store, shards).await?;
        let directory = Path::new(&directory).join(shards.count().to_string());
        let store = Embedded::open(EmbeddedConfig::new(directory))?;
        pages(&format!("embedded, {name}"), Arc::new(store), shards).await?;
    }
    for shards in [Shards::ONE, Shards::SPREAD] {
        writes(&file, shards, rate, Duration::from_secs(seconds)).await?;
    }
    Ok(())
}

/// An empty store in the database.
async fn database(file: &Path, name: &str) -> Result<Arc<dyn Store>, Failed> {
    let config = FdbConfig::new(ClusterFile::read(file)?, name, Clock::system());
    let store: Arc<dyn Store> = Arc::new(Fdb::open(config).await?);
    clear(&*store).await?;
    Ok(store)
}

async fn clear(store: &dyn Store) -> Result<(), Failed> {
    let mut transaction = store.begin();
    transaction.clear_range(&[], &[u8::MAX]);
    transaction.commit().await?;
    Ok(())
}

/// Keys that were written together last.
type Newest = Arc<std::sync::Mutex<Vec<Vec<u8>>>>;

/// Writes new entries of one tenant's index by time at a steady rate, nothing else, and says which storage servers have
/// them. Mutations are more than that: what the database writes for itself, and twice while a range moves.
async fn writes(file: &Path, shards: Shards, rate: u64, warm: Duration) -> Result<(), Failed> {
    let store = database(file, WRITES).await?;
    let reader = Database::from_path(&file.display().to_string())?;
    let newest = Newest::default();
    let writer = tokio::spawn(write_entries(
        Arc::clone(&store),
        shards,
        rate,
        Arc::clone(&newest),
    ));
    let mut looks = tokio::time::interval_at(Instant::now() + warm, PAUSE);
    looks.tick().await;
    let before = mutations(&reader).await?;
    let begun = Instant::now();
    let (mut held, mut busiest) = (BTreeMap::new(), Vec::new());
    while begun.elapsed() < LOOK {
        let keys = newest.lock().map(|keys| keys.clone()).unwrap_or_default();
        let mut now: BTreeMap<String, u32> = BTreeMap::new();
        for key in keys {
            *now.entry(holder(&reader, &key).await?).or_default() += 1;
        }
        let all: u32 = now.values().sum();
        let most = now.values().max().copied().unwrap_or_default();
        busiest.push(f64::from(most) / f64::from(all.max(1)));
        for (server, count) in now {
            *held.entry(server).or_insert(0.0) += f64::from(count);
        }
        looks.tick().await;
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let after = mutations(&reader).await?;
    let is_over = writer.is_finished();
    writer.abort();
    if is_over {
        return Err("the writer has failed".into());
    }
    let since = |(server, count): (&String, &f64)| count - before.get(server).unwrap_or(&0.0);
    let taken: Vec<f64> = after.iter().map(since).collect();
    println!(
        "{} shard(s): of new entries the busiest storage server of the moment has {:.0} %; over all, the busiest first: \
         {}; of all {:.0} mutations/s: {}",
        shards.count(),
        100.0 * busiest.iter().sum::<f64>() / busiest.len().max(1) as f64,
        parts(held.into_values().collect()),
        taken.iter().sum::<f64>() / elapsed,
        parts(taken)
    );
    clear(&*store).await
}

/// In percent of all, the largest first.
fn parts(mut counts: Vec<f64>) -> String {
    counts.sort_by(|one, other| other.total_cmp(one));
    let all: f64 = counts.iter().sum();
    let percent = |count: &f64| format!("{:.0} %", 100.0 * count / all.max(1.0));
    counts.iter().map(percent).collect::<Vec<_>>().join(", ")
}

/// The storage server that has a key.
async fn holder(database: &Database, key: &[u8]) -> Result<String, Failed> {
    let key = [cluster_prefix(WRITES), key.to_vec()].concat();
    let transaction = database.create_trx()?;
    // Where keys lie is remembered until a read finds them elsewhere.
    transaction.get(&key, true).await?;
    let addresses = transaction.get_addresses_for_key(&key).await?;
    let first = addresses.first().ok_or("nobody has the key")?;
    Ok(first.to_string_lossy().into_owned())
}

async fn write_entries(
    store: Arc<dyn Store>,
    shards: Shards,
    rate: u64,
    newest: Newest,
) -> Result<(), Failed> {
    let mut tick = tokio::time::interval(
        Duration::from_secs(1) * u32::try_from(BATCH)? / u32::try_from(rate)?,
    );
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let clock = Clock::system();
    loop {
        tick.tick().await;
        let mut transaction = store.begin();
        let mut keys = Vec::new();
        for _ in 0..BATCH {
            let created_ms = clock.wall_ms();
            let id = format!("{created_ms:012x}-{:016x}", clock.random());
            let id = OperationId::new(id)?;
            let key = Key::Operation {
                tenant: Tenant::default_tenant(),
                index: Index::Time,
                shard: shards.of(&id),
                entry: Entry { created_ms, id },
            };
            let key = key.encode();
            transaction.set(&key, &[]);
            keys.push(key);
        }
        transaction.commit().await?;
        if let Ok(mut newest) = newest.lock() {
            *newest = keys;
        }
    }
}

/// How many mutations each storage server has had so far.
async fn mutations(database: &Database) -> Result<BTreeMap<String, f64>, Failed> {
    let transaction = database.create_trx()?;
    let status = transaction.get(b"\xff\xff/status/json", false).await?;
    let status: serde_json::Value = serde_json::from_slice(&status.ok_or("there is no status")?)?;
    let processes = status["cluster"]["processes"].as_object();
    let mut found = BTreeMap::new();
    for (process, said) in processes.into_iter().flatten() {
        for role in said["roles"].as_array().into_iter().flatten() {
            if role["role"] == "storage" {
                let count = role["mutations"]["counter"].as_f64();
                found.insert(process.clone(), count.unwrap_or_default());
            }
        }
    }
    Ok(found)
}

/// Measures the first page of a list by status beside a point read and the read of the index alone.
async fn pages(name: &str, store: Arc<dyn Store>, shards: Shards) -> Result<(), Failed> {
    let clock = Clock::system();
    let meta = migration::prepare(&*store, &clock).await?;
    let host = HostConfig {
        node: "figures".to_owned(),
        idle_ms: 600_000,
        slots: meta.slots,
    };
    let place = Place {
        host,
        index_shards: shards,
        store: Arc::clone(&store),
        key: meta.session_key.clone(),
        clock,
    };
    let node = Application::builder().build()?.start(place).await?;
    submit_all(&node).await?;
    let read = point_reads(&*store, meta.slots).await?;
    let index = index_reads(&*store, shards).await?;
    let mut found = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        page(&node).await?;
        found.push(begun.elapsed());
    }
    let page = median(found);
    let ratio = |of: Duration| of.as_secs_f64() / read.as_secs_f64();
    println!(
        "{name}: a point read {read:?}; the index rows of a page of {PAGE} by status {index:?} ({:.1} x); the page \
         {page:?} ({:.1} x)",
        ratio(index),
        ratio(page)
    );
    node.stop().await;
    Ok(())
}

/// Operations that wait for their time, which does not come.
async fn submit_all(node: &Running) -> Result<(), Failed> {
    let mut answers = futures::stream::FuturesUnordered::new();
    for number in 0..OPERATIONS {
        if answers.len() >= IN_FLIGHT {
            answered(&mut answers).await?;
        }
        let command = OperationCommand {
            tenant: Tenant::default_tenant(),
            principal: Arc::from("figures"),
            id: OperationId::new(format!("op-{number}"))?,
            identity: Identity::Natural,
            name: "submit".to_owned(),
            body: Bytes::from_static(br#"{"type":"later","runAt":"2999-01-01T00:00:00Z"}"#),
            payload: OperationPayload::None,
            if_version: None,
            deadline: None,
        };
        let (reply, answer) = reply();
        node.operations.command(command, reply);
        answers.push(answer);
    }
    while !answers.is_empty() {
        answered(&mut answers).await?;
    }
    Ok(())
}

async fn answered(
    answers: &mut futures::stream::FuturesUnordered<oneshot::Receiver<Outcome>>,
) -> Result<(), Failed> {
    use futures::StreamExt;
    match answers.next().await {
        None | Some(Ok(Outcome::Success(_))) => Ok(()),
        Some(Ok(Outcome::Failure(failure))) => Err(failure.to_string().into()),
        Some(Err(gone)) => Err(gone.into()),
    }
}

async fn point_reads(store: &dyn Store, slots: u16) -> Result<Duration, Failed> {
    let mut found = Vec::new();
    for number in 0..TIMES {
        let tenant = Tenant::default_tenant();
        let address: selvedge_protocol::ActorAddress = format!("operation/op-{number}").parse()?;
        let actor = ActorPath {
            slot: address.slot(&tenant, slots),
            tenant,
            address,
        };
        let part = Part::Record;
        let key = Key::Actor { actor, part }.encode();
        let begun = Instant::now();
        let value = store.begin().get(&key, Isolation::Snapshot).await?;
        found.push(begun.elapsed());
        value.ok_or("an operation is missing")?;
    }
    Ok(median(found))
}

/// What a page reads of the index: of one shard all, of several some of each.
async fn index_reads(store: &dyn Store, shards: Shards) -> Result<Duration, Failed> {
    use selvedge_cluster::store::Order;
    use selvedge_cluster::store::keys::KeyRange;

    /// As persisted.
    const WAITING: u8 = 2;
    let index = Index::Status(WAITING);
    let each = match shards.count() {
        1 => PAGE,
        count => 2 * PAGE.div_ceil(usize::from(count)) + 2,
    };
    let range = |shard| {
        let range = KeyRange::operations(&Tenant::default_tenant(), &index, shard);
        let mut range = range.read(each, Isolation::Snapshot);
        range.order = Order::Descending;
        range
    };
    let mut found = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let rows = store
            .begin()
            .ranges(shards.all().map(range).collect())
            .await?;
        found.push(begun.elapsed());
        if rows.iter().map(Vec::len).sum::<usize>() < PAGE {
            return Err("index rows are missing".into());
        }
    }
    Ok(median(found))
}

async fn page(node: &Running) -> Result<(), Failed> {
    let (reply, answer) = reply();
    let body = format!(r#"{{"status":"waiting","limit":{PAGE}}}"#);
    let tenant = Tenant::default_tenant();
    node.operations.list(tenant, "list", body.as_bytes(), reply);
    match answer.await? {
        Outcome::Success(_) => Ok(()),
        Outcome::Failure(failure) => Err(failure.to_string().into()),
    }
}

fn median(mut found: Vec<Duration>) -> Duration {
    found.sort_unstable();
    found.get(found.len() / 2).copied().unwrap_or_default()
}

struct Once(std::sync::Mutex<Option<oneshot::Sender<Outcome>>>);

impl AnswerSink for Once {
    fn answer(&self, _token: u64, outcome: Outcome) {
        if let Ok(mut sender) = self.0.lock()
            && let Some(sender) = sender.take()
        {
            drop(sender.send(outcome));
        }
    }
}

fn reply() -> (ReplyTo, oneshot::Receiver<Outcome>) {
    let (sender, receiver) = oneshot::channel();
    let once = Once(std::sync::Mutex::new(Some(sender)));
    (ReplyTo::new(Arc::new(once), 0), receiver)
}
