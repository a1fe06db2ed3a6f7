//! What operations cost by themselves, without client and network: steps, sleeping, waking, listing.
//!
//! `cargo run --release -p selvedge-benches --example operation_figures -- DIR [SLEEPERS]`: DIR is on the disk
//! that counts; 1,000,000 sleepers by default.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{AnswerSink, HostConfig, Identity, ReplyTo};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{Store, migration};
use selvedge_node::app::{Application, Place, Running};
use selvedge_node::operation::{OperationCommand, OperationPayload};
use selvedge_node::processing::{Handler, HandlerError, OperationContext, Policy};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{OperationId, Tenant};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

type Failed = Box<dyn Error + Send + Sync>;

/// Operations on their way at a time.
const IN_FLIGHT: usize = 128;
/// Operations that are measured for their rate.
const MEASURED: u64 = 40_000;
/// Sleepers that wake at once.
const WOKEN: u64 = 10_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs as many empty steps as its input says.
struct Steps;

impl Handler for Steps {
    async fn run(&self, context: OperationContext) -> Result<serde_json::Value, HandlerError> {
        let steps: u32 = context.input()?;
        for step in 0..steps {
            context.step(&step.to_string(), || async { Ok(()) }).await?;
        }
        Ok(serde_json::Value::Null)
    }
}

/// Tells how long after the time in its input (microseconds of this process) it starts.
struct Start(Arc<Starts>);

/// When handlers started.
struct Starts {
    began: Instant,
    waits_us: std::sync::Mutex<Vec<u64>>,
}

impl Starts {
    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The median since the last call, microseconds.
    fn median_us(&self) -> u64 {
        let mut waits = self
            .waits_us
            .lock()
            .map(|mut waits| std::mem::take(&mut *waits))
            .unwrap_or_default();
        waits.sort_unstable();
        waits.get(waits.len() / 2).copied().unwrap_or(0)
    }
}

impl Handler for Start {
    async fn run(&self, context: OperationContext) -> Result<serde_json::Value, HandlerError> {
        let submitted_us: u64 = context.input()?;
        let wait_us = self.0.now_us().saturating_sub(submitted_us);
        if let Ok(mut waits) = self.0.waits_us.lock() {
            waits.push(wait_us);
        }
        Ok(serde_json::Value::Null)
    }
}

/// Waits for something that never comes.
struct Slow;

impl Handler for Slow {
    async fn run(&self, _context: OperationContext) -> Result<serde_json::Value, HandlerError> {
        std::future::pending().await
    }
}

/// Sleeps for as many milliseconds as its input says, and counts who woke.
struct Sleeper(Arc<Semaphore>);

impl Handler for Sleeper {
    async fn run(&self, context: OperationContext) -> Result<serde_json::Value, HandlerError> {
        let until_ms: u64 = context.input()?;
        context.sleep_until("nap", until_ms).await?;
        self.0.add_permits(1);
        Ok(serde_json::Value::Null)
    }
}

/// Gives a place in flight back with each answer.
struct Places(Semaphore);

impl AnswerSink for Places {
    fn answer(&self, _token: u64, outcome: Outcome) {
        assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
        self.0.add_permits(1);
    }
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

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map(PathBuf::from);
    let directory = directory.ok_or("give a directory on the disk that counts")?;
    let sleepers: u64 = match arguments.next() {
        Some(number) => number.parse()?,
        None => 1_000_000,
    };
    let woken = Arc::new(Semaphore::new(0));
    let starts = Arc::new(Starts {
        began: Instant::now(),
        waits_us: std::sync::Mutex::default(),
    });
    let (node, clock) = start(&directory, Arc::clone(&woken), Arc::clone(&starts)).await?;
    beside_a_slow_type(&node, &starts).await?;
    one_step_against_ten(&node).await?;
    sleep(&node, &clock, &woken, sleepers).await?;
    list(&node).await?;
    node.stop().await;
    Ok(())
}

async fn start(
    directory: &std::path::Path,
    woken: Arc<Semaphore>,
    starts: Arc<Starts>,
) -> Result<(Running, Clock), Failed> {
    let store: Arc<dyn Store> = Arc::new(Embedded::open(EmbeddedConfig::new(directory))?);
    let clock = Clock::manual(1_700_000_000_000, 1);
    let meta = migration::prepare(&*store, &clock).await?;
    let place = Place {
        host: HostConfig {
            node: "node-1".to_owned(),
            idle_ms: 60_000,
            slots: meta.slots,
        },
        index_shards: meta.index_shards,
        store,
        key: meta.session_key,
        clock: clock.clone(),
    };
    let application = Application::builder()
        .operation("steps", Steps, Policy::default())
        .operation("start", Start(starts), Policy::default())
        .operation("slow", Slow, Policy::default())
        .operation("sleeper", Sleeper(woken), Policy::default())
        .build()?;
    Ok((application.start(place).await?, clock))
}

fn submit(
    node: &Running,
    id: String,
    operation_type: &str,
    input: u64,
    reply: ReplyTo,
) -> Result<(), Failed> {
    let command = OperationCommand {
        tenant: Tenant::default_tenant(),
        principal: Arc::from("bench"),
        id: OperationId::new(id)?,
        identity: Identity::Natural,
        name: "submit".to_owned(),
        body: Bytes::from(format!(r#"{{"type":"{operation_type}","input":{input}}}"#)),
        payload: OperationPayload::None,
        if_version: None,
        deadline: None,
    };
    node.operations.command(command, reply);
    Ok(())
}

/// Submits operations and waits for each one's end.
async fn run(
    node: &Running,
    run: &str,
    operation_type: &str,
    input: u64,
    count: u64,
) -> Result<Duration, Failed> {
    let places = Arc::new(Places(Semaphore::new(IN_FLIGHT)));
    let began = Instant::now();
    for number in 0..count {
        places.0.acquire().await?.forget();
        let id = format!("{run}-{number}");
        submit(node, id.clone(), operation_type, input, ReplyTo::nobody())?;
        let reply = ReplyTo::new(Arc::clone(&places) as Arc<dyn AnswerSink>, 0);
        let (tenant, name) = (Tenant::default_tenant(), "wait".to_owned());
        node.operations.query(
            tenant,
            &OperationId::new(id)?,
            name,
            Bytes::new(),
            None,
            reply,
        );
    }
    let all = u32::try_from(IN_FLIGHT)?;
    places.0.acquire_many(all).await?.forget();
    Ok(began.elapsed())
}

async fn one_step_against_ten(node: &Running) -> Result<(), Failed> {
    // One operation of a step is two commits, one of ten steps eleven.
    let mut per_second = [0.0; 2];
    for (at, (name, steps, commits)) in [("one", 1, 2.0), ("ten", 10, 11.0)].into_iter().enumerate()
    {
        let count = MEASURED / (steps + 1);
        run(node, &format!("warm-{name}"), "steps", steps, count / 10).await?;
        let (took, processor) = (run(node, name, "steps", steps, count), processor());
        let took = took.await?;
        let processor = self::processor() - processor;
        let rate = f64::from(u32::try_from(count)?) / took.as_secs_f64();
        per_second[at] = rate * commits;
        println!(
            "{name} step(s): {rate:.0} operations/s, {:.0} commits/s, {:.0} us of CPU each",
            per_second[at],
            processor.as_secs_f64() * 1e6 / f64::from(u32::try_from(count)?)
        );
    }
    println!(
        "rate of commits, ten steps to one: {:.2}",
        per_second[1] / per_second[0]
    );
    Ok(())
}

/// How long operations of one type wait for their start, alone and beside a type whose pool and queue are
/// full of slow ones.
async fn beside_a_slow_type(node: &Running, starts: &Starts) -> Result<(), Failed> {
    const ROUNDS: u64 = 10;
    const EACH: u64 = 2_000;
    // The pool's places and some thousands in its queue.
    const SLOW: u64 = 3_000;
    let mut medians = [Vec::new(), Vec::new()];
    for (beside, medians) in medians.iter_mut().enumerate() {
        if beside == 1 {
            for number in 0..SLOW {
                let id = format!("slow-{number}");
                submit(node, id, "slow", 0, ReplyTo::nobody())?;
            }
            while counted(node, r#"{"type":"slow"}"#).await? < SLOW {
                tokio::task::yield_now().await;
            }
        }
        for round in 0..ROUNDS {
            for number in 0..EACH {
                let id = format!("start-{beside}-{round}-{number}");
                submit(
                    node,
                    id.clone(),
                    "start",
                    starts.now_us(),
                    ReplyTo::nobody(),
                )?;
                ask(node, &id, "wait").await?;
            }
            medians.push(starts.median_us());
        }
        medians.sort_unstable();
    }
    println!(
        "from submit to start: {} us alone, {} us beside {SLOW} slow ones of another type \
         (medians of {ROUNDS} rounds, {:?} and {:?})",
        medians[0][medians[0].len() / 2],
        medians[1][medians[1].len() / 2],
        medians[0],
        medians[1]
    );
    for number in 0..SLOW {
        command(node, &format!("slow-{number}"), "cancel").await?;
    }
    Ok(())
}

async fn sleep(
    node: &Running,
    clock: &Clock,
    woken: &Semaphore,
    sleepers: u64,
) -> Result<(), Failed> {
    let (hour, before) = (3_600_000, memory());
    let spent = processor();
    let fresh = run(node, "fresh", "steps", 1, WOKEN).await?;
    let spent_fresh = processor() - spent;
    let places = Arc::new(Places(Semaphore::new(IN_FLIGHT)));
    let began = Instant::now();
    for number in 0..sleepers {
        places.0.acquire().await?.forget();
        // The first of them wake together, the others in a year.
        let until_ms = clock.wall_ms() + if number < WOKEN { hour } else { 8_760 * hour };
        let reply = ReplyTo::new(Arc::clone(&places) as Arc<dyn AnswerSink>, 0);
        submit(
            node,
            format!("sleeper-{number}"),
            "sleeper",
            until_ms,
            reply,
        )?;
    }
    asleep(node).await?;
    println!(
        "{sleepers} sleepers in {:.0} s: {} kB of memory above before",
        began.elapsed().as_secs_f64(),
        memory().saturating_sub(before)
    );
    let spent = processor();
    clock.advance(Duration::from_millis(hour + 1));
    let due = u32::try_from(WOKEN.min(sleepers))?;
    // A clock that jumps is noticed some time later, one that comes to the time is not.
    woken.acquire().await?.forget();
    let began = Instant::now();
    woken.acquire_many(due - 1).await?.forget();
    println!(
        "{WOKEN} woke within {:.2} s, {:.0} us of CPU each; as many fresh ones of a step take {:.2} s, {:.0} us of CPU",
        began.elapsed().as_secs_f64(),
        (processor() - spent).as_secs_f64() * 1e6 / f64::from(due),
        fresh.as_secs_f64(),
        spent_fresh.as_secs_f64() * 1e6 / f64::from(due),
    );
    Ok(())
}

/// Asks until no operation is pending or running any more: all of them wait.
async fn asleep(node: &Running) -> Result<(), Failed> {
    for status in ["pending", "running", "pending"] {
        loop {
            let filter = format!(r#"{{"status":"{status}"}}"#);
            if counted(node, &filter).await? == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

async fn counted(node: &Running, filter: &str) -> Result<u64, Failed> {
    let count = asked_for(node, "count", filter).await?;
    Ok(count["count"].as_u64().unwrap_or(0))
}

async fn listing(node: &Running, name: &str, status: &str) -> Result<serde_json::Value, Failed> {
    let filter = format!(r#"{{"status":"{status}","limit":10}}"#);
    asked_for(node, name, &filter).await
}

async fn asked_for(node: &Running, name: &str, body: &str) -> Result<serde_json::Value, Failed> {
    let (sender, answer) = oneshot::channel();
    let reply = ReplyTo::new(Arc::new(Once(std::sync::Mutex::new(Some(sender)))), 0);
    node.operations
        .list(Tenant::default_tenant(), name, body.as_bytes(), reply);
    read(answer.await?)
}

fn read(outcome: Outcome) -> Result<serde_json::Value, Failed> {
    match outcome {
        Outcome::Success(success) => Ok(serde_json::from_slice(&success.body)?),
        Outcome::Failure(failure) => Err(failure.to_string().into()),
    }
}

async fn command(node: &Running, id: &str, name: &str) -> Result<(), Failed> {
    let (sender, answer) = oneshot::channel();
    let reply = ReplyTo::new(Arc::new(Once(std::sync::Mutex::new(Some(sender)))), 0);
    let command = OperationCommand {
        tenant: Tenant::default_tenant(),
        principal: Arc::from("bench"),
        id: OperationId::new(id)?,
        identity: Identity::Natural,
        name: name.to_owned(),
        body: Bytes::from_static(b"{}"),
        payload: OperationPayload::None,
        if_version: None,
        deadline: None,
    };
    node.operations.command(command, reply);
    read(answer.await?).map(drop)
}

async fn ask(node: &Running, id: &str, name: &str) -> Result<serde_json::Value, Failed> {
    let (sender, answer) = oneshot::channel();
    let reply = ReplyTo::new(Arc::new(Once(std::sync::Mutex::new(Some(sender)))), 0);
    let (tenant, id) = (Tenant::default_tenant(), OperationId::new(id)?);
    node.operations
        .query(tenant, &id, name.to_owned(), Bytes::new(), None, reply);
    read(answer.await?)
}

/// The first page by status against one point read.
async fn list(node: &Running) -> Result<(), Failed> {
    const TIMES: u32 = 200;
    let began = Instant::now();
    for number in 0..TIMES {
        ask(node, &format!("sleeper-{}", u64::from(number) * 37), "get").await?;
    }
    let read = began.elapsed() / TIMES;
    let began = Instant::now();
    for _ in 0..TIMES {
        listing(node, "list", "waiting").await?;
    }
    let page = began.elapsed() / TIMES;
    println!("a page of ten by status: {page:?}, a read of one operation: {read:?}");
    Ok(())
}

/// Resident memory, kilobytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    kilobytes.unwrap_or(0)
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    // Hundredths of a second, user and system.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
