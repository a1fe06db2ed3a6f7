//! The embedded store's raw commits: each reads one key and writes two, and is durable when answered.
//!
//! Not a statistics bench but a comparison within one run: the same disk's write plus fdatasync, the
//! store with one committer, and the store with many. `cargo bench -p selvedge-benches --bench store`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench prints what it measured, and stops at the first error"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{Isolation, Store};

fn main() {
    let seconds = std::env::var("SELVEDGE_BENCH_SECONDS").ok();
    let time = Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(5));
    let parent = std::env::var("SELVEDGE_BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let directory = tempfile::tempdir_in(parent).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let fsync = fsyncs(directory.path(), time / 2);
    report("write + fdatasync", &fsync, None);
    let counts =
        std::env::var("SELVEDGE_BENCH_COMMITTERS").unwrap_or_else(|_| "1 16 128".to_owned());
    for committers in counts.split(' ').map(|count| count.parse().unwrap()) {
        let path = directory.path().join(format!("{committers}"));
        let store: Arc<dyn Store> = Arc::new(Embedded::open(EmbeddedConfig::new(path)).unwrap());
        let commits = runtime.block_on(commits(store, committers, time));
        report(&format!("{committers} committers"), &commits, Some(&fsync));
    }
    let fsync = fsyncs(directory.path(), time / 2);
    report("write + fdatasync", &fsync, None);
}

struct Measured {
    elapsed: Duration,
    cpu: Duration,
    latencies: Vec<Duration>,
}

/// What a transaction costs that has a disk for itself: as many bytes as a lone commit writes.
fn fsyncs(directory: &Path, time: Duration) -> Measured {
    let mut file = File::create(directory.join("fsync")).unwrap();
    // As a journal: the length is there, the blocks are not.
    file.set_len(64 * 1024 * 1024).unwrap();
    file.sync_all().unwrap();
    measured(|start, latencies| {
        while start.elapsed() < time {
            let one = Instant::now();
            file.write_all(&[7; 350]).unwrap();
            file.sync_data().unwrap();
            latencies.push(one.elapsed());
        }
    })
}

async fn commits(store: Arc<dyn Store>, committers: usize, time: Duration) -> Measured {
    let cpu = cpu();
    let start = Instant::now();
    let tasks: Vec<_> = (0..committers)
        .map(|committer| tokio::spawn(commit_for(Arc::clone(&store), committer, start, time)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    Measured {
        elapsed: start.elapsed(),
        cpu: self::cpu() - cpu,
        latencies,
    }
}

async fn commit_for(
    store: Arc<dyn Store>,
    committer: usize,
    start: Instant,
    time: Duration,
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for number in 0u64.. {
        if start.elapsed() >= time {
            break;
        }
        let one = Instant::now();
        let state = format!("actor/{committer:04}/{:04}/state", number % 1_000);
        let event = format!(
            "actor/{committer:04}/{:04}/event/{number:012}",
            number % 1_000
        );
        let mut transaction = store.begin();
        transaction
            .get(state.as_bytes(), Isolation::Serializable)
            .await
            .unwrap();
        transaction.set(state.as_bytes(), &[7; 100]);
        transaction.set(event.as_bytes(), &[7; 60]);
        transaction.commit().await.unwrap();
        latencies.push(one.elapsed());
    }
    latencies
}

fn measured(body: impl FnOnce(Instant, &mut Vec<Duration>)) -> Measured {
    let mut latencies = Vec::new();
    let (cpu, start) = (cpu(), Instant::now());
    body(start, &mut latencies);
    Measured {
        elapsed: start.elapsed(),
        cpu: self::cpu() - cpu,
        latencies,
    }
}

fn report(what: &str, measured: &Measured, baseline: Option<&Measured>) {
    let mut sorted = measured.latencies.clone();
    sorted.sort_unstable();
    let at = |per_mille: usize| sorted[(sorted.len() - 1) * per_mille / 1_000].as_micros();
    let rate = |of: &Measured| of.latencies.len() as f64 / of.elapsed.as_secs_f64();
    let cpu = measured.cpu.as_secs_f64() * 1e6 / sorted.len() as f64;
    let ratio = baseline.map(|baseline| rate(measured) / rate(baseline));
    println!(
        "{what:>18}: {:>9.0}/s  p50 {:>6} us  p99 {:>6} us  max {:>7} us  cpu {cpu:>6.1} us each  {}",
        rate(measured),
        at(500),
        at(990),
        at(1_000),
        ratio
            .map(|ratio| format!("{ratio:.2} x fdatasync"))
            .unwrap_or_default(),
    );
}

/// The processor time of this process so far.
fn cpu() -> Duration {
    // Fields 14 and 15 of stat, in hundredths of a second, counted behind the name's bracket.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
