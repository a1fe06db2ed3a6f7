//! `selvedge verify`: clients write to actors and submit operations, subscribers listen, faults happen, and what all
//! of them saw is held against what the node promises.
//!
//! `check` judges and knows of no node; the other files make what it judges. The decisions of a run follow from
//! its seed; the order in which a node meets them does not, so a seed repeats the work and not each race.

pub(crate) mod check;
mod form;
mod gather;
mod own_node;
mod process;
#[cfg(test)]
mod relay;
mod report;
mod run;
mod submitter;
mod subscriber;

use std::sync::Arc;

use selvedge_client::{Client, ClientBuilder};
use selvedge_cluster::Clock;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::operate::cli::Verify;
use crate::operate::commands::serve::wait_for_stop;
use crate::operate::failure::CommandFailure;
use crate::operate::origin::flag_or_variable;
use crate::operate::output::{Printer, Progress};
use crate::operate::profile;
use crate::operate::verify::check::actor::ActorKind;
use crate::operate::verify::check::{Violation, actor, operations};
use crate::operate::verify::form::Subject;
use crate::operate::verify::gather::{Everybody, Seen};
use crate::operate::verify::own_node::OwnNode;
use crate::operate::verify::report::{Fault, FaultKind, Report, Verdict, describe};
use crate::operate::verify::run::{Beginning, Choices, Run};

/// Runs the workload, judges it and prints the result.
pub(crate) async fn run(printer: Printer, flags: Verify) -> Result<(), CommandFailure> {
    let seed = flags.seed.unwrap_or_else(|| Clock::system().random() >> 32);
    check_flags(&flags)?;
    // From here on: a signal ends this command, and with it what it has started.
    let mut stop = std::pin::pin!(wait_for_stop());
    let interrupted = || {
        let message = format!("interrupted; nothing is verified (the seed was {seed})");
        CommandFailure::failed(message)
    };
    let mut target = tokio::select! {
        opened = Target::open(&flags) => opened?,
        () = &mut stop => return Err(interrupted()),
    };
    let judged = tokio::select! {
        judged = verify(printer, &flags, seed, &mut target) => judged,
        () = &mut stop => Err(interrupted()),
    };
    let is_kept = matches!(&judged, Ok(report) if report.result == Verdict::Fail);
    if let Some(dir) = target.close(is_kept).await {
        printer.warn(&format!(
            "the node's data and log are kept in {}",
            dir.display()
        ));
    }
    let report = judged?;
    printer.result(&report, describe);
    match report.result {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(CommandFailure::failed(format!(
            "{} violations with seed {seed}",
            report.violations.len()
        ))),
    }
}

fn check_flags(flags: &Verify) -> Result<(), CommandFailure> {
    let Some(kills) = flags.kill else {
        return Ok(());
    };
    if kills > flags.seconds {
        return Err(CommandFailure::usage(format!(
            "--kill {kills}: at most one in each of the {} seconds of --seconds",
            flags.seconds
        )));
    }
    match &flags.client.server {
        Some(server) if flag_or_variable("server", server).starts_with("--") => {
            Err(CommandFailure::usage(
                "--kill starts a node of its own, and kills no other: leave --server out",
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// Where the run goes.
enum Target {
    Live(ClientBuilder),
    Own(Box<OwnNode>),
}

impl Target {
    async fn open(flags: &Verify) -> Result<Self, CommandFailure> {
        match flags.kill {
            None => Ok(Self::Live(profile::builder(&flags.client)?)),
            Some(_) => Ok(Self::Own(Box::new(OwnNode::start().await?))),
        }
    }

    fn builder(&self, flags: &Verify) -> ClientBuilder {
        match (self, &flags.client.tenant) {
            (Self::Live(builder), _) => builder.clone(),
            (Self::Own(node), None) => node.builder(),
            (Self::Own(node), Some(tenant)) => node.builder().tenant(tenant),
        }
    }

    async fn close(self, is_kept: bool) -> Option<std::path::PathBuf> {
        match self {
            Self::Live(_) => None,
            Self::Own(node) => node.stop(is_kept).await,
        }
    }
}

/// The whole of a run.
async fn verify(
    printer: Printer,
    flags: &Verify,
    seed: u64,
    target: &mut Target,
) -> Result<Report, CommandFailure> {
    let builder = target.builder(flags);
    let client = builder.clone().connect().await?;
    let (stop, stopped) = watch::channel(false);
    let run = Arc::new(begin(flags, seed, builder, &client, stopped)?);
    gather::probe(&run).await?;
    printer.warn(&format!("verifying with seed {seed}"));
    let everybody = Everybody::begin(&run, flags.clients).await?;
    let mut progress = printer.progress(flags.seconds.into(), "verifying, seconds");
    let faults = pass_time(flags, &run, target, &mut progress).await?;
    progress.finish();
    stop.send_replace(true);
    let seconds = run.began.elapsed().as_secs_f64();
    if run.is_full() {
        printer.warn("ended early: these are as many changes as are checked at a time");
    }
    let seen = everybody.finish(&run).await?;
    client.close().await;
    let (operations, unknown) = (seen.operations(), seen.unknown());
    let violations = judge(printer, seen).await?;
    Ok(Report {
        result: match violations.is_empty() {
            true => Verdict::Pass,
            false => Verdict::Fail,
        },
        seed,
        operations,
        unknown,
        clients: flags.clients,
        actors: flags.actors,
        seconds: (seconds * 1_000.0).round() / 1_000.0,
        faults,
        violations,
    })
}

fn begin(
    flags: &Verify,
    seed: u64,
    builder: ClientBuilder,
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
        builder,
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
    target: &mut Target,
    progress: &mut Progress,
) -> Result<Vec<Fault>, CommandFailure> {
    let end = run.began + Duration::from_secs(flags.seconds.into());
    let mut kills = moments(flags, run).into_iter().peekable();
    let mut faults = Vec::new();
    let mut tick = interval_at(run.began + SECOND, SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let next = kills.peek().copied();
        tokio::select! {
            biased;
            _ = tick.tick() => {
                progress.advance();
                if run.is_full() {
                    return Ok(faults);
                }
            }
            () = sleep_until(end) => return Ok(faults),
            () = sleep_until(next.unwrap_or(end)), if next.is_some() => {
                kills.next();
                if let Target::Own(node) = target {
                    let begun = run.now_us();
                    node.kill_and_restart().await?;
                    let (at_ms, until_ms) = (begun / 1_000, run.now_us() / 1_000);
                    progress.event(&format!("killed at {at_ms} ms, back at {until_ms} ms"));
                    let lasted_ms = until_ms - at_ms;
                    faults.push(Fault { kind: FaultKind::Kill, at_ms, lasted_ms });
                }
            }
            failure = gone(target) => return Err(failure),
        }
    }
}

/// When the node is killed: once in each of equal parts of the run, at a moment of chance.
fn moments(flags: &Verify, run: &Run) -> Vec<Instant> {
    let kills = flags.kill.unwrap_or(0);
    let choices = Choices::new(run.seed, FAULTS);
    let part = SECOND * flags.seconds / kills.max(1);
    let moment = |number| {
        let part_us = u64::try_from(part.as_micros()).unwrap_or(u64::MAX);
        run.began + part * number + Duration::from_micros(choices.below(part_us))
    };
    (0..kills).map(moment).collect()
}

async fn gone(target: &mut Target) -> CommandFailure {
    match target {
        Target::Live(_) => std::future::pending().await,
        Target::Own(node) => node.ended().await,
    }
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
/// Keeps the decisions about faults apart from those of who takes part.
const FAULTS: u64 = 1 << 40;
/// More than anybody reads, and no more than a document should hold.
const VIOLATIONS_MAX: usize = 100;
