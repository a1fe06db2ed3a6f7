//! `selvedge verify`: clients write to actors and submit operations, subscribers listen, faults happen, and what all
//! of them saw is held against what the node promises.
//!
//! `check` judges and knows of no node; the other files make what it judges. The decisions of a run follow from
//! its seed; the order in which a node meets them does not, so a seed repeats the work and not each race.

pub(crate) mod check;
mod child;
mod cluster;
mod form;
mod gather;
mod inject;
mod network;
mod process;
mod recovery;
mod relay;
mod report;
mod run;
mod schedule;
mod submitter;
mod subscriber;
mod target;

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use selvedge_client::{Client, ClientBuilder};
use selvedge_cluster::Clock;
use tokio::sync::watch;
use tokio::time::{Duration, MissedTickBehavior, interval, interval_at, sleep_until};

use crate::operate::cli::Verify;
use crate::operate::commands::serve::wait_for_stop;
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, Progress};
use crate::operate::verify::check::actor::ActorKind;
use crate::operate::verify::check::{Check, Violation, actor, operations};
use crate::operate::verify::cluster::Cluster;
use crate::operate::verify::form::Subject;
use crate::operate::verify::gather::{Everybody, Seen};
use crate::operate::verify::inject::{Injected, inject};
use crate::operate::verify::report::{Fault, Report, Verdict, describe};
use crate::operate::verify::run::{Beginning, Run};
use crate::operate::verify::target::Target;

/// Runs the workload, judges it and prints the result.
pub(crate) async fn run(printer: Printer, flags: Verify) -> Result<(), CommandFailure> {
    let seed = flags.seed.unwrap_or_else(|| Clock::system().random() >> 32);
    target::check_flags(&flags)?;
    let storage = target::storage(&flags)?;
    // From here on: a signal ends this command, and with it what it has started.
    let mut stop = std::pin::pin!(wait_for_stop());
    let interrupted = || {
        let message = format!("interrupted; nothing is verified (the seed was {seed})");
        CommandFailure::failed(message)
    };
    let target = tokio::select! {
        opened = Target::open(&flags, seed, storage) => opened?,
        () = &mut stop => return Err(interrupted()),
    };
    let judged = tokio::select! {
        judged = verify(printer, &flags, seed, &target) => judged,
        () = &mut stop => {
            target.close(false).await;
            return Err(interrupted());
        }
    };
    let is_kept = !matches!(&judged, Ok(report) if report.result == Verdict::Pass);
    if let Some(dir) = target.close(is_kept).await {
        printer.warn(&format!("data and logs are kept in {}", dir.display()));
    }
    let report = judged.map_err(|mut failure| {
        failure.message.push_str(&format!(" (the seed was {seed})"));
        failure
    })?;
    printer.result(&report, describe);
    match report.result {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(CommandFailure::failed(format!(
            "{} violations with seed {seed}",
            report.violations.len()
        ))),
    }
}

/// The whole of a run.
async fn verify(
    printer: Printer,
    flags: &Verify,
    seed: u64,
    target: &Target,
) -> Result<Report, CommandFailure> {
    let builders = target.builders(flags);
    let client = builders[0].clone().connect().await?;
    let (stop, stopped) = watch::channel(false);
    let run = Arc::new(begin(flags, seed, builders, &client, stopped)?);
    gather::probe(&run).await?;
    printer.warn(&format!("verifying with seed {seed}"));
    let mut everybody = Everybody::begin(&run, flags.clients).await?;
    let progress = printer.progress(flags.seconds.into(), "verifying, seconds");
    let injected = pass_time(flags, &run, target, progress).await?;
    let lasting = Fault::lasting(&target::usual(flags), run.now_us() / 1_000);
    if run.is_full() {
        printer.warn("ended early: these are as many changes as are checked at a time");
    }
    if let Some(cluster) = target.cluster() {
        cluster.heal().await?;
    }
    everybody.settle(&run).await?;
    stop.send_replace(true);
    let seconds = run.began.elapsed().as_secs_f64();
    let mut seen = everybody.finish(&run).await?;
    client.close().await;
    let mut faults = lasting;
    for injected in injected {
        faults.push(injected.fault);
        seen.violations.extend(injected.violation);
    }
    faults.sort_by_key(|fault| fault.at_ms);
    let recovery_ms = recovery::measure(&mut faults, seen.called());
    seen.violations.extend(departure(target, &faults, &seen));
    let (operations, unknown) = (seen.operations(), seen.unknown());
    let errors = std::mem::take(&mut seen.errors);
    let violations = judge(printer, seen).await?;
    Ok(Report {
        result: match violations.is_empty() {
            true => Verdict::Pass,
            false => Verdict::Fail,
        },
        seed,
        nodes: target.cluster().map(Cluster::nodes),
        operations,
        unknown,
        errors,
        clients: flags.clients,
        actors: flags.actors,
        seconds: (seconds * 1_000.0).round() / 1_000.0,
        faults,
        recovery_ms,
        violations,
    })
}

/// Nodes that leave in order while others are there cost no call.
fn departure(target: &Target, faults: &[Fault], seen: &Seen) -> Option<Violation> {
    let nodes = target.cluster().map_or(0, Cluster::nodes);
    let is_orderly = !faults.is_empty() && faults.iter().all(|it| it.kind.is_orderly());
    let unknown = seen.unknown();
    if nodes < 2 || !is_orderly || unknown == 0 {
        return None;
    }
    let message = format!("{unknown} calls failed though nodes only came, and left in order");
    let mut violation = Violation::new(Check::Departure, "the cluster", message);
    let lines = seen
        .errors
        .iter()
        .map(|(error, count)| format!("{count} × {error}"));
    violation.part = lines.collect();
    Some(violation)
}

fn begin(
    flags: &Verify,
    seed: u64,
    builders: Vec<ClientBuilder>,
    client: &Client,
    stopped: watch::Receiver<bool>,
) -> Result<Run, CommandFailure> {
    // Not of the seed: a live node may have seen that one before.
    let name = format!("verify-{:012x}", Clock::system().random() >> 16);
    let subject = |kind, key: String| {
        Subject::new(kind, &key).map_err(|error| CommandFailure::failed(error.to_string()))
    };
    let subjects = (0..flags.actors).map(|number| {
        // Registers have more that can go wrong.
        let kind = match number % 4 {
            3 => ActorKind::Counter,
            _ => ActorKind::Register,
        };
        subject(kind, format!("{name}-{number}"))
    });
    let subjects = subjects.collect::<Result<_, _>>()?;
    let sent = subject(ActorKind::Register, format!("{name}-sent"))?;
    Ok(Run::new(Beginning {
        seed,
        name,
        builders,
        other: client.session().clone(),
        subjects,
        sent,
        stopped,
    }))
}

/// Lets the time of the run pass, with its faults.
async fn pass_time(
    flags: &Verify,
    run: &Run,
    target: &Target,
    mut progress: Progress,
) -> Result<Vec<Injected>, CommandFailure> {
    let end = run.began + Duration::from_secs(flags.seconds.into());
    let planned = target::planned(flags, run.seed);
    let cluster = target.cluster();
    let faults = cluster.map(|cluster| planned.iter().map(|it| inject(cluster, run, it)));
    let mut faults: FuturesUnordered<_> = faults.into_iter().flatten().collect();
    let mut injected = Vec::with_capacity(planned.len());
    let mut tick = interval_at(run.began + SECOND, SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_over = false;
    while !(is_over && faults.is_empty()) {
        tokio::select! {
            biased;
            _ = tick.tick(), if !is_over => {
                progress.advance();
                if run.is_full() {
                    break;
                }
            }
            () = sleep_until(end), if !is_over => is_over = true,
            Some(fault) = faults.next() => {
                let fault = fault?;
                progress.event(&fault.fault.describe());
                injected.push(fault);
            }
            _ = look.tick() => {
                if let Some(failure) = cluster.and_then(Cluster::ended) {
                    return Err(failure);
                }
            }
        }
    }
    progress.finish();
    Ok(injected)
}

/// Holds what was seen against what is promised, off the threads that others need.
async fn judge(printer: Printer, seen: Seen) -> Result<Vec<Violation>, CommandFailure> {
    let mut violations = seen.violations;
    for job in &seen.jobs {
        violations.extend(operations::check(job));
    }
    let mut progress = printer.progress(seen.records.len() as u64, "checking, actors");
    for record in seen.records {
        let checked = tokio::task::spawn_blocking(move || actor::check(&record)).await;
        let found = checked.map_err(|error| {
            CommandFailure::failed(format!("the check was broken off: {error}"))
        })?;
        violations.extend(found);
        progress.advance();
    }
    progress.finish();
    violations.truncate(VIOLATIONS_MAX);
    Ok(violations)
}

const SECOND: Duration = Duration::from_secs(1);
/// How soon a node that ends by itself is noticed.
const LOOK: Duration = Duration::from_millis(250);
/// More than anybody reads, and no more than a document should hold.
const VIOLATIONS_MAX: usize = 100;
