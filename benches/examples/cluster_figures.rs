//! Measures a cluster of processes on this machine, its store included: what a command costs on one node and on
//! several, what it costs to be sent on to its owner, and a restart of one node after the other under load.
//!
//! `cargo build --release && cargo run --release -p selvedge-benches --example cluster_figures`, with one of
//! `growth`, `forwarded` and `restart` behind `--` for one of the three. Processor times are those of the kernel
//! (`/proc`), so it runs on Linux alone; a busy machine makes them larger.

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use selvedge_client::{Client, ClientBuilder};
use selvedge_protocol::{ActorAddress, Target, Tenant};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

type Failed = Box<dyn Error + Send + Sync>;

/// So many are addressed in turn.
const ACTORS: usize = 1_000;
const SECONDS: u64 = 10;
/// Commands a second of the same load on clusters of different size: what two cores carry at every size.
const RATE: u64 = 3_000;
const SIZES: [usize; 4] = [1, 3, 5, 9];
const ROUNDS: usize = 3;
/// In flight where a cluster is to show what it can.
const CROWD: u64 = 256;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            growth().await?;
            forwarded().await?;
            restart().await
        }
        ["growth"] => growth().await,
        ["forwarded"] => forwarded().await,
        ["restart"] => restart().await,
        _ => Err("give one of growth, forwarded and restart, or nothing".into()),
    }
}

/// The same load on clusters of several sizes, its clients spread over the nodes.
async fn growth() -> Result<(), Failed> {
    println!(
        "{RATE} commands/s over {ACTORS} actors, one client a node, {SECONDS} s; per command:"
    );
    for size in SIZES {
        let cluster = Cluster::start(size).await?;
        let clients = cluster.clients().await?;
        let actors = addresses(0..ACTORS)?;
        offer(&clients, &actors, Load::brief(RATE)).await?;
        let idle = cluster.used_while(async {
            sleep(Duration::from_secs(SECONDS)).await;
            Ok(())
        });
        let (idle, ()) = idle.await?;
        let mut all = Vec::new();
        for _ in 0..ROUNDS {
            let load = Load::paced(RATE);
            all.push(cluster.used_while(offer(&clients, &actors, load)).await?);
        }
        all.sort_by_key(|(used, _)| used.nodes);
        let (used, seen) = &all[ROUNDS / 2];
        println!(
            "{size} nodes: nodes {:>4} µs, of which idle {:>3} µs; store {:>3} µs; p50 {} µs, p99 {} µs, {} failed",
            used.nodes.as_micros() / u128::from(seen.done),
            idle.nodes.as_micros() / u128::from(RATE * SECONDS),
            used.store.as_micros() / u128::from(seen.done),
            seen.quantile(50),
            seen.quantile(99),
            seen.failed,
        );
        close(clients).await;
    }
    Ok(())
}

/// Commands for actors of the node that they enter, and for those of another one.
async fn forwarded() -> Result<(), Failed> {
    let cluster = Cluster::start(2).await?;
    let clients = vec![cluster.client(0).await?];
    let owners = owners(&clients[0]).await?;
    let mut local = Vec::new();
    let mut remote = Vec::new();
    for address in addresses(0..2 * ACTORS)? {
        match owners[&address.slot(&Tenant::default_tenant(), 1_024)] == cluster.names[0] {
            true => local.push(address),
            false => remote.push(address),
        }
    }
    println!(
        "commands that enter at node-1, for actors of node-1 (local) and of node-2 (forwarded):"
    );
    for (what, load) in [
        (
            "alone",
            Load {
                in_flight: 1,
                ..Load::crowded()
            },
        ),
        ("paced", Load::paced(RATE)),
        ("crowd", Load::crowded()),
    ] {
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let mut costs = Vec::new();
            for (which, actors) in [("local", &local), ("forwarded", &remote)] {
                offer(&clients, actors, Load::brief(RATE)).await?;
                let (used, seen) = cluster
                    .used_while(offer(&clients, actors, load.clone()))
                    .await?;
                let cost = used.nodes.as_nanos() / u128::from(seen.done);
                println!(
                    "{what}, {which:>9}: {:>6}/s, nodes {:>5.1} µs, store {:>5.1} µs a command; p50 {:>5} µs, p99 {:>6} µs, {} failed",
                    seen.done * 1_000 / u64::try_from(seen.elapsed.as_millis())?,
                    micros(used.nodes) / micros_of(seen.done),
                    micros(used.store) / micros_of(seen.done),
                    seen.quantile(50),
                    seen.quantile(99),
                    seen.failed,
                );
                costs.push(cost);
            }
            ratios.push(costs[1] * 100 / costs[0].max(1));
        }
        ratios.sort_unstable();
        println!(
            "{what}: forwarded costs {} % of local on the nodes",
            ratios[ROUNDS / 2]
        );
    }
    close(clients).await;
    Ok(())
}

/// Every node is restarted, one after the other, at half of what the cluster can.
async fn restart() -> Result<(), Failed> {
    let cluster = Cluster::start(3).await?;
    let clients = cluster.clients().await?;
    let actors = addresses(0..ACTORS)?;
    let crowd = offer(&clients, &actors, Load::crowded()).await?;
    let capacity = crowd.done * 1_000 / u64::try_from(crowd.elapsed.as_millis())?;
    let steady = offer(&clients, &actors, Load::paced(capacity / 2)).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let load = Load {
        until: Some(Arc::clone(&is_over)),
        ..Load::paced(capacity / 2)
    };
    let restarting = async {
        let restarted = cluster.restart_all(&clients[0]).await;
        is_over.store(true, Ordering::Relaxed);
        restarted
    };
    let (seen, took) = tokio::join!(offer(&clients, &actors, load), restarting);
    let (seen, took) = (seen?, took?);
    println!(
        "capacity {capacity}/s; at half of it: p50 {} µs, p99 {} µs at rest; three nodes restarted in {:.1} s: {} commands, \
         {} failed, p50 {} µs, p99 {} µs, max {} µs",
        steady.quantile(50),
        steady.quantile(99),
        took.as_secs_f64(),
        seen.done,
        seen.failed,
        seen.quantile(50),
        seen.quantile(99),
        seen.latencies_us.last().copied().unwrap_or(0),
    );
    close(clients).await;
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a mean needs no more than 52 bits"
)]
const fn micros_of(count: u64) -> f64 {
    count as f64
}

fn addresses(numbers: std::ops::Range<usize>) -> Result<Vec<ActorAddress>, Failed> {
    let all = numbers.map(|number| Ok(format!("counter/figure-{number}").parse()?));
    all.collect()
}

/// Of each slot.
async fn owners(client: &Client) -> Result<BTreeMap<u16, String>, Failed> {
    let answer = client
        .session()
        .query(Target::Cluster, "plan", "{}")
        .send()
        .await?;
    let plan: Value = serde_json::from_slice(&answer.body)?;
    let mut owners = BTreeMap::new();
    for node in plan["nodes"].as_array().ok_or("no nodes")? {
        let name = node["node"].as_str().ok_or("no name")?;
        for run in node["slots"].as_array().ok_or("no slots")? {
            let (first, last): (u16, u16) = serde_json::from_value(run.clone())?;
            owners.extend((first..=last).map(|slot| (slot, name.to_owned())));
        }
    }
    Ok(owners)
}

async fn close(clients: Vec<Client>) {
    for client in clients {
        client.close().await;
    }
}

/// How commands are offered.
#[derive(Clone)]
struct Load {
    in_flight: u64,
    /// Commands a second, on schedule; latency counts from there. Without one, as fast as answers come.
    rate: Option<u64>,
    seconds: u64,
    /// Goes on until then, instead.
    until: Option<Arc<AtomicBool>>,
}

impl Load {
    fn paced(rate: u64) -> Self {
        Self {
            in_flight: 4 * CROWD,
            rate: Some(rate),
            seconds: SECONDS,
            until: None,
        }
    }

    fn brief(rate: u64) -> Self {
        Self {
            seconds: 3,
            ..Self::paced(rate)
        }
    }

    fn crowded() -> Self {
        Self {
            in_flight: CROWD,
            rate: None,
            seconds: SECONDS,
            until: None,
        }
    }
}

/// What became of a load.
struct Seen {
    done: u64,
    failed: u64,
    elapsed: Duration,
    /// In order.
    latencies_us: Vec<u64>,
}

impl Seen {
    fn quantile(&self, percent: usize) -> u64 {
        let last = self.latencies_us.len().saturating_sub(1);
        self.latencies_us
            .get(last * percent / 100)
            .copied()
            .unwrap_or(0)
    }
}

async fn offer(clients: &[Client], actors: &[ActorAddress], load: Load) -> Result<Seen, Failed> {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let places = (0..load.in_flight).map(|place| {
        let client = &clients[usize::try_from(place).unwrap_or(0) % clients.len()];
        let session = client.session().clone();
        let (next, load, actors) = (Arc::clone(&next), load.clone(), actors.to_vec());
        tokio::spawn(async move {
            let (mut latencies_us, mut failed) = (Vec::new(), 0_u64);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let mut since = Instant::now();
                if let Some(rate) = load.rate {
                    since = begun + Duration::from_nanos(number * 1_000_000_000 / rate);
                    sleep_until(since).await;
                }
                let is_over = match &load.until {
                    Some(until) => until.load(Ordering::Relaxed),
                    None => begun.elapsed() >= Duration::from_secs(load.seconds),
                };
                if is_over {
                    return (latencies_us, failed);
                }
                let actor = &actors[usize::try_from(number).unwrap_or(0) % actors.len()];
                let target = Target::Actor(actor.clone());
                match session.command(target, "add", r#"{"by":1}"#).send().await {
                    Ok(_) => latencies_us
                        .push(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)),
                    Err(_) => failed += 1,
                }
            }
        })
    });
    let mut seen = Seen {
        done: 0,
        failed: 0,
        elapsed: Duration::ZERO,
        latencies_us: Vec::new(),
    };
    for (latencies_us, failed) in try_join_all(places).await? {
        seen.latencies_us.extend(latencies_us);
        seen.failed += failed;
    }
    seen.elapsed = begun.elapsed();
    seen.latencies_us.sort_unstable();
    seen.done = seen.latencies_us.len() as u64;
    match seen.done {
        0 => Err("nothing was done".into()),
        _ => Ok(seen),
    }
}

/// Processor time.
struct Used {
    nodes: Duration,
    store: Duration,
}

/// `selvedge dev --nodes N` with its processes; ends with this.
struct Cluster {
    command: Child,
    directory: tempfile::TempDir,
    names: Vec<String>,
}

impl Cluster {
    /// Of one node on the same store as the others there are two, of which one is drained: `dev --nodes 1` has an
    /// embedded store.
    async fn start(size: usize) -> Result<Self, Failed> {
        let started = size.max(2);
        let parent = std::env::var("SELVEDGE_BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
        let directory = tempfile::tempdir_in(parent)?;
        let command = Command::new(binary()?)
            .args([
                "dev",
                "--nodes",
                &started.to_string(),
                "--quic",
                "127.0.0.1:0",
            ])
            .args(["--peer", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .arg("--ready-file")
            .arg(directory.path().join("ready"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let names = (1..=size).map(|number| format!("node-{number}")).collect();
        let cluster = Self {
            command,
            directory,
            names,
        };
        cluster
            .ready(|ready| {
                ready["nodes"]
                    .as_array()
                    .is_some_and(|it| it.len() == started)
            })
            .await?;
        let client = cluster.client(0).await?;
        for number in size..started {
            let body = serde_json::json!({ "node": format!("node-{}", number + 1) });
            let drain = client.session().command(Target::Cluster, "drain", body);
            drain.send().await?;
        }
        cluster.spread(&client).await?;
        client.close().await;
        Ok(cluster)
    }

    /// Waits until each node has its share of the slots.
    async fn spread(&self, client: &Client) -> Result<(), Failed> {
        let begun = Instant::now();
        loop {
            let asked = client.session().query(Target::Cluster, "status", "{}");
            let status: Value = serde_json::from_slice(&asked.send().await?.body)?;
            let nodes = status["nodes"].as_array().ok_or("no nodes")?;
            let is_at_rest = nodes.iter().all(|node| node["slots"] == node["planned"]);
            let has_slots = |node: &&Value| node["slots"] != 0;
            if is_at_rest && nodes.iter().filter(has_slots).count() == self.names.len() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("the slots do not spread: {status}").into());
            }
            sleep(LOOK).await;
        }
    }

    /// The ready file, once it is as it shall be.
    async fn ready(&self, is_right: impl Fn(&Value) -> bool) -> Result<Value, Failed> {
        let begun = Instant::now();
        loop {
            let text = fs::read(self.directory.path().join("ready")).unwrap_or_default();
            if let Ok(ready) = serde_json::from_slice::<Value>(&text)
                && is_right(&ready)
            {
                return Ok(ready);
            }
            if begun.elapsed() > PATIENCE {
                return Err("the cluster is not ready".into());
            }
            sleep(LOOK).await;
        }
    }

    /// A client of one node, which knows the others as well.
    async fn client(&self, node: usize) -> Result<Client, Failed> {
        let ready = self.ready(|_| true).await?;
        let nodes = ready["nodes"].as_array().ok_or("no nodes")?;
        let builder: ClientBuilder = Client::builder()
            .server(nodes[node]["quic"].as_str().ok_or("no address")?)
            .ca_file(ready["caFile"].as_str().ok_or("no authority")?)
            .token(ready["token"].as_str().ok_or("no token")?);
        Ok(builder.connect().await?)
    }

    /// One of each node.
    async fn clients(&self) -> Result<Vec<Client>, Failed> {
        try_join_all((0..self.names.len()).map(|node| self.client(node))).await
    }

    async fn used_while<T>(
        &self,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<(Used, T), Failed> {
        let before = self.used().await?;
        let done = work.await?;
        let after = self.used().await?;
        let used = Used {
            nodes: after.nodes.saturating_sub(before.nodes),
            store: after.store.saturating_sub(before.store),
        };
        Ok((used, done))
    }

    async fn used(&self) -> Result<Used, Failed> {
        let ready = self.ready(|_| true).await?;
        let mut nodes = Duration::ZERO;
        let all = ready["nodes"].as_array().ok_or("no nodes")?;
        for node in &all[..self.names.len()] {
            nodes += processor_time(&node["pid"])?;
        }
        let store = processor_time(&ready["storage"]["pid"])?;
        Ok(Used { nodes, store })
    }

    /// Ends each node in order, and waits until it is back and has its share.
    async fn restart_all(&self, client: &Client) -> Result<Duration, Failed> {
        let begun = Instant::now();
        for (number, name) in self.names.iter().enumerate() {
            let ready = self.ready(|_| true).await?;
            let pid = ready["nodes"][number]["pid"].clone();
            let is_told = Command::new("kill")
                .arg(pid.to_string())
                .status()?
                .success();
            if !is_told {
                return Err(format!("{name} cannot be told to end").into());
            }
            self.ready(|ready| ready["nodes"][number]["pid"] != pid)
                .await?;
            self.spread(client).await?;
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its processes end with it.
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

/// The one that was built with this example.
fn binary() -> Result<PathBuf, Failed> {
    let example = std::env::current_exe()?;
    let built = example
        .parent()
        .and_then(std::path::Path::parent)
        .ok_or("no target directory")?;
    let binary = built.join("selvedge");
    match binary.exists() {
        true => Ok(binary),
        false => Err(format!("{} is not there: cargo build --release", binary.display()).into()),
    }
}

/// Of all threads of a process that there ever were.
fn processor_time(pid: &Value) -> Result<Duration, Failed> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no fields")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let user = times.next().ok_or("no user time")??;
    let system = times.next().ok_or("no system time")??;
    Ok(Duration::from_millis((user + system) * MS_PER_TICK))
}

/// Of the kernel's accounts: 100 a second, whatever it runs at.
const MS_PER_TICK: u64 = 10;
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);
