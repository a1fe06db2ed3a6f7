//! `selvedge bench`: an open-loop load generator. With `--rate`, requests start on schedule and latency
//! counts from the intended start, so that a stalled server cannot hide its stall ("coordinated
//! omission", Gil Tene); without, as many requests as allowed are always in flight.
//!
//! Each workload is measured against a baseline of the same run on the same machine.

mod baseline;
mod workload;

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use selvedge_client::{Client, ClientBuilder};
use selvedge_cluster::Clock;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::app::Application;
use crate::operate::cli::{self, NodeFlags, Workload};
use crate::operate::commands::serve::{Development, start_development};
use crate::operate::failure::CommandFailure;
use crate::operate::output::Printer;
use crate::operate::profile;

/// What a run saw. Rates are per second.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    workload: String,
    in_flight: u32,
    seconds: f64,
    completed: u64,
    errors: u64,
    rate: f64,
    latency_us: LatencyUs,
    baseline: Option<Baseline>,
    /// rate / baseline.rate
    ratio: Option<f64>,
}

/// The physical or peer limit that a workload is held against.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Baseline {
    what: &'static str,
    rate: f64,
    p50_us: u64,
}

/// Quantiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct LatencyUs {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl LatencyUs {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// A histogram that takes 1 µs to an hour at three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 3_600_000_000, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds are valid: {error}"),
    }
}

pub(crate) fn microseconds(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) async fn run(
    printer: Printer,
    application: Application,
    bench: cli::Bench,
) -> Result<(), CommandFailure> {
    if bench.workload != Workload::Commits && profile::is_known(&bench.client) {
        // Found wrong now, not when the baseline is measured.
        drop(profile::builder(&bench.client)?);
    }
    let load = Load {
        in_flight: bench.in_flight,
        duration: Duration::from_secs(bench.seconds.into()),
        rate: bench.rate,
    };
    // A third of the time is enough for the baseline: it has no warm-up to get over.
    let short = Load {
        duration: load.duration / 3 + Duration::from_secs(1),
        rate: None,
        ..load
    };
    let baseline = match bench.baseline {
        true => Some(baseline::measure(bench.workload, &short).await?),
        false => None,
    };
    let measured = if bench.workload == Workload::Commits {
        baseline::raw_commits(&load).await?
    } else {
        let target = Target::open(printer, application, &bench).await?;
        let log = bench.log.as_ref().map(|path| {
            File::create(path)
                .map(|f| Arc::new(Mutex::new(f)))
                .map_err(|e| {
                    let remedy = "give a file in a directory that is there";
                    CommandFailure::named("--log", path, &e, remedy)
                })
        });
        let log = log.transpose()?;
        let measured = workload::run(&target, &bench, &load, log).await?;
        target.close().await;
        measured
    };
    let report = measured.report(&bench, baseline);
    printer.result(&report, describe);
    if report.completed == 0 {
        return Err(CommandFailure::failed("nothing was completed"));
    }
    Ok(())
}

/// The node that is measured: a running one, or one of our own in a temporary directory.
struct Target {
    client: Client,
    /// Makes further clients of the same node.
    builder: ClientBuilder,
    own: Option<(Development, tempfile::TempDir)>,
}

impl Target {
    async fn open(
        printer: Printer,
        application: Application,
        bench: &cli::Bench,
    ) -> Result<Self, CommandFailure> {
        if profile::is_known(&bench.client) {
            let builder = profile::builder(&bench.client)?;
            return Ok(Self {
                client: builder.clone().connect().await?,
                builder,
                own: None,
            });
        }
        printer.warn("no --server and no profile: measuring a node of its own, in this directory");
        let dir = scratch()?;
        let flags = NodeFlags {
            data_dir: Some(dir.path().to_owned()),
            quic: Some("127.0.0.1:0".to_owned()),
            http: Some("127.0.0.1:0".to_owned()),
            ..NodeFlags::default()
        };
        let development = start_development(&flags, application).await?;
        Ok(Self {
            client: development.client.clone(),
            builder: development.profile.builder(),
            own: Some((development, dir)),
        })
    }

    async fn close(self) {
        match self.own {
            Some((development, _dir)) => development.stop().await,
            None => self.client.close().await,
        }
    }
}

/// A directory on the disk of the working directory, so that its fsync is the one that counts.
fn scratch() -> Result<tempfile::TempDir, CommandFailure> {
    tempfile::Builder::new()
        .prefix(".selvedge-bench-")
        .tempdir_in(".")
        .map_err(|error| CommandFailure::file(".".as_ref(), &error))
}

/// How requests are offered.
#[derive(Debug, Clone, Copy)]
struct Load {
    in_flight: u32,
    duration: Duration,
    /// Requests a second, on schedule; `None` is as fast as answers come.
    rate: Option<u32>,
}

/// What was seen.
#[derive(Debug)]
struct Measured {
    completed: u64,
    errors: u64,
    elapsed: Duration,
    latencies: Histogram<u64>,
}

impl Load {
    /// Offers requests for the duration. `request` is given the number of the request, from 0.
    async fn offer<F, R>(&self, request: F) -> Measured
    where
        F: Fn(u64) -> R + Clone + Send + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        let clock = Clock::system();
        let began = clock.monotonic();
        let until = began + self.duration;
        let next = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..self.in_flight)
            .map(|_| {
                tokio::spawn(Self::slot(
                    self.rate,
                    began,
                    until,
                    next.clone(),
                    request.clone(),
                ))
            })
            .collect();
        let mut measured = Measured {
            completed: 0,
            errors: 0,
            elapsed: Duration::ZERO,
            latencies: histogram(),
        };
        for task in tasks {
            if let Ok((latencies, errors)) = task.await {
                measured.completed += latencies.len();
                measured.errors += errors;
                // Both have the same bounds, so adding cannot fail.
                let _ = measured.latencies.add(latencies);
            }
        }
        measured.elapsed = clock.monotonic().duration_since(began);
        measured
    }

    /// One place in flight: request after request until the time is over.
    async fn slot<F, R>(
        rate: Option<u32>,
        began: Instant,
        until: Instant,
        next: Arc<AtomicU64>,
        request: F,
    ) -> (Histogram<u64>, u64)
    where
        F: Fn(u64) -> R,
        R: Future<Output = bool>,
    {
        let mut latencies = histogram();
        let mut errors = 0;
        let mut free_since = Instant::now();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let intended = match rate {
                None => free_since,
                Some(rate) => {
                    let due = Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
                    let due = began + due;
                    if due < until {
                        sleep_until(due).await;
                    }
                    due
                }
            };
            if intended >= until {
                return (latencies, errors);
            }
            let is_answered = request(number).await;
            free_since = Instant::now();
            if is_answered {
                latencies.saturating_record(microseconds(free_since - intended));
            } else {
                errors += 1;
            }
        }
    }
}

impl Measured {
    fn rate(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate needs no more than 52 bits"
        )]
        let completed = self.completed as f64;
        completed / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn baseline(&self, what: &'static str) -> Baseline {
        Baseline {
            what,
            rate: round(self.rate()),
            p50_us: self.latencies.value_at_quantile(0.5),
        }
    }

    fn report(&self, bench: &cli::Bench, baseline: Option<Baseline>) -> Report {
        let rate = self.rate();
        Report {
            workload: format!("{:?}", bench.workload).to_lowercase(),
            in_flight: bench.in_flight,
            seconds: round(self.elapsed.as_secs_f64()),
            completed: self.completed,
            errors: self.errors,
            rate: round(rate),
            latency_us: LatencyUs::of(&self.latencies),
            ratio: baseline
                .as_ref()
                .map(|b| round(rate / b.rate.max(f64::MIN_POSITIVE))),
            baseline,
        }
    }
}

/// Three digits after the point: more would only look exact.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn describe(report: &Report) -> String {
    let latency = report.latency_us;
    let mut text = format!(
        "{}: {} completed in {:.1} s = {:.0}/s, {} errors, {} in flight\n\
         latency µs: p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
        report.workload,
        report.completed,
        report.seconds,
        report.rate,
        report.errors,
        report.in_flight,
        latency.p50,
        latency.p90,
        latency.p99,
        latency.p999,
        latency.max,
    );
    if let (Some(baseline), Some(ratio)) = (&report.baseline, report.ratio) {
        text.push_str(&format!(
            "\nbaseline: {} {:.0}/s, p50 {} µs; ratio {ratio:.2}",
            baseline.what, baseline.rate, baseline.p50_us
        ));
    }
    text
}

/// A line for the log of acknowledged work, on disk before the next request starts.
fn log_line(log: &Mutex<File>, text: &str) {
    let mut line = text.to_owned();
    line.push('\n');
    if let Err(error) = log.lock().write_all(line.as_bytes()) {
        tracing::warn!(%error, "the log of acknowledged work cannot be written");
    }
}
