//! Measures what is before the handshake: what a handshake costs a node that is accepted, asked for a proof, refused,
//! filtered, or turned away as a full node does it, and what is left of the rate of an established session while 10,000 first packets a second arrive that
//! nobody means.
//!
//! `cargo run --release -p selvedge-benches --example admission_figures`. Nodes and the sender of junk are processes of
//! their own, started by this one with arguments, so that what they use can be told apart. With an argument one part alone is
//! measured: `costs`, `crowd` or `flooded`. With `flood ADDRESS SECONDS` it is that sender alone.

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

mod client;
mod junk;
mod node;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use self::client::{Client, Sort};
use self::junk::Junk;

type Failed = Box<dyn Error + Send + Sync>;

/// What is measured, in this order.
const PARTS: [&str; 3] = ["costs", "crowd", "flooded"];
/// Handshakes that are accepted, and first packets that are not.
const ACCEPTED: usize = 2_000;
const TURNED_AWAY: usize = 40_000;
/// Clients of one load generator that come at once.
const CROWD: usize = 10_000;
/// Long enough to be past start-up, short enough to repeat.
const SECONDS: u64 = 5;
/// Of which those of junk take some more: the first, in which handshakes are still accepted, and one at the end.
const MORE_SECONDS: u64 = 2;
const ROUNDS: usize = 3;
/// The goal of DESIGN 16.
const JUNK_PER_SECOND: usize = 10_000;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => measure(&PARTS).await,
        [part] if PARTS.contains(part) => measure(&[part]).await,
        ["node", what, directory] => node::serve(what, Path::new(directory)).await,
        ["flood", address, seconds] => {
            let sent = Junk::make(JUNK_PER_SECOND * 2)
                .await?
                .flood(address.parse()?, JUNK_PER_SECOND, seconds.parse()?)
                .await?;
            println!("{sent}");
            Ok(())
        }
        _ => Err("no arguments; one of costs, crowd, flooded; or: flood ADDRESS SECONDS".into()),
    }
}

async fn measure(parts: &[&str]) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let client = Client::new(directory.path())?;
    if parts.contains(&"costs") {
        costs(directory.path(), &client).await?;
    }
    if parts.contains(&"crowd") {
        crowd(directory.path(), &client).await?;
    }
    if parts.contains(&"flooded") {
        for sort in [Sort::Command, Sort::Query] {
            flooded(directory.path(), &client, sort).await?;
        }
    }
    Ok(())
}

/// What each outcome costs the node.
async fn costs(directory: &Path, client: &Client) -> Result<(), Failed> {
    let node = Node::start("accept", directory)?;
    // What is done once is done before.
    client.handshakes(node.address, ACCEPTED / 10).await?;
    let before = node.cpu_ms()?;
    client.handshakes(node.address, ACCEPTED).await?;
    let accepted = each_us(node.cpu_ms()? - before, ACCEPTED);
    println!("accepted: {accepted:.1} us of processor for a handshake and its end");
    drop(node);
    let junk = Junk::make(JUNK_PER_SECOND).await?;
    for what in ["retry", "refuse", "full", "filter"] {
        let node = Node::start(what, directory)?;
        junk.send(node.address, TURNED_AWAY / 10).await?;
        let before = node.cpu_ms()?;
        let answers = junk.send(node.address, TURNED_AWAY).await?;
        let cost = each_us(node.cpu_ms()? - before, TURNED_AWAY);
        println!(
            "{what}: {cost:.1} us for a first packet, 1/{:.0} of an accepted handshake; {answers} of {TURNED_AWAY} \
             answered",
            accepted / cost.max(0.1)
        );
    }
    Ok(())
}

/// How long it takes until each of many that come at once has its session.
async fn crowd(directory: &Path, client: &Client) -> Result<(), Failed> {
    let node = Node::start("default", directory)?;
    let begun = Instant::now();
    let sessions = client.sessions(node.address, CROWD).await?;
    println!(
        "{} clients of one address at once: all have their sessions within {} ms",
        sessions.len(),
        begun.elapsed().as_millis()
    );
    Ok(())
}

/// The rate of one session, with and without junk, in turns.
async fn flooded(directory: &Path, client: &Client, sort: Sort) -> Result<(), Failed> {
    let node = Node::start("default", directory)?;
    let mut session = client.session(node.address).await?;
    // What is done once is done before.
    session.rate(sort, 1).await?;
    for _ in 0..ROUNDS {
        let before = node.cpu_ms()?;
        let calm = session.rate(sort, SECONDS).await?;
        let calm_cpu = node.cpu_ms()? - before;
        let mut sender = Sender::start(node.address, SECONDS + MORE_SECONDS)?;
        // The first second passes.
        session.rate(sort, 1).await?;
        let before = node.cpu_ms()?;
        let under = session.rate(sort, SECONDS).await?;
        let under_cpu = node.cpu_ms()? - before;
        let sent = sender.sent()?;
        println!(
            "{}: {calm}/s alone ({calm_cpu} ms of processor), {under}/s ({under_cpu} ms) while {} junk packets/s \
             arrive: {}%",
            sort.name(),
            sent / (SECONDS + MORE_SECONDS),
            under * 100 / calm.max(1)
        );
    }
    Ok(())
}

fn each_us(cpu_ms: u64, count: usize) -> f64 {
    Duration::from_millis(cpu_ms).as_secs_f64() * 1e6 / count as f64
}

/// A node in a process of its own.
struct Node {
    process: Child,
    address: SocketAddr,
}

impl Node {
    fn start(what: &str, directory: &Path) -> Result<Self, Failed> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["node", what])
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()?;
        let address = line(&mut process)?.parse()?;
        Ok(Self { process, address })
    }

    /// Processor time that it has used.
    fn cpu_ms(&self) -> Result<u64, Failed> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // Fields 14 and 15 of proc(5), in ticks of 10 ms, counted after the name in parentheses.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: Result<Vec<u64>, _> = ticks.map(str::parse).collect();
        Ok(ticks?.iter().sum::<u64>() * 10)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has no state to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A sender of junk in a process of its own, which has begun.
struct Sender(Child);

impl Sender {
    fn start(address: SocketAddr, seconds: u64) -> Result<Self, Failed> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["flood", &address.to_string(), &seconds.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut reader = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut begun = String::new();
        reader.read_line(&mut begun)?;
        process.stdout = Some(reader.into_inner());
        Ok(Self(process))
    }

    /// How many it has sent, once it has done.
    fn sent(&mut self) -> Result<u64, Failed> {
        Ok(line(&mut self.0)?.parse()?)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn line(process: &mut Child) -> Result<String, Failed> {
    let mut line = String::new();
    let stdout = process.stdout.take().ok_or("no output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Until when something goes on.
fn end(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}
