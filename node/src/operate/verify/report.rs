//! What `selvedge verify` prints: the result, what was done to get it, and what is wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::operate::verify::check::Violation;
use crate::operate::verify::recovery::Recovery;
use crate::operate::verify::relay::Rule;
use crate::operate::verify::schedule::{From, Way};

/// The form that scripts rely on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) result: Verdict,
    pub(super) seed: u64,
    /// Of its own; `null` for a node that is running.
    pub(super) nodes: Option<usize>,
    /// Calls to actors and submitted operations.
    pub(super) operations: u64,
    /// Calls of which nobody knows whether they took effect.
    pub(super) unknown: u64,
    /// What those were told, and how many were told so.
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) clients: u32,
    pub(super) actors: u32,
    pub(super) seconds: f64,
    pub(super) faults: Vec<Fault>,
    /// How long actors had no success, because of the faults.
    pub(super) recovery_ms: Option<Recovery>,
    pub(super) violations: Vec<Violation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    Pass,
    Fail,
}

/// Something bad that was done on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fault {
    #[serde(flatten)]
    pub(super) kind: FaultKind,
    /// A node, or `all`.
    pub(super) whom: String,
    /// Since the run began.
    pub(super) at_ms: u64,
    /// Until it was over: the node serves again, the link is whole.
    pub(super) lasted_ms: u64,
    /// The longest time from the fault, or from a success soon after it, to the next success of an actor.
    pub(super) recovery_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(super) enum FaultKind {
    /// SIGKILL, and a restart.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Stop,
    /// Links that lose everything.
    Partition { from: From, way: Way },
    /// SIGKILL of the storage node or of a server of FoundationDB, and a restart.
    StorageKill,
    /// SIGTERM, and a restart.
    Drain,
    /// Another node came, and left by SIGTERM.
    Join,
    /// All links lost datagrams.
    Loss { percent: u8 },
    /// All links took their time.
    Delay { ms: u64 },
    /// All links held datagrams back.
    Reorder { percent: u8 },
    /// All links repeated datagrams.
    Duplicate { percent: u8 },
}

impl FaultKind {
    /// Whether it is there all the time.
    pub(super) const fn is_lasting(self) -> bool {
        match self {
            Self::Loss { .. }
            | Self::Delay { .. }
            | Self::Reorder { .. }
            | Self::Duplicate { .. } => true,
            Self::Kill
            | Self::Stop
            | Self::Partition { .. }
            | Self::StorageKill
            | Self::Drain
            | Self::Join => false,
        }
    }

    /// Whether it is one that costs no call: nodes that come, and leave in order.
    pub(super) const fn is_orderly(self) -> bool {
        match self {
            Self::Drain | Self::Join => true,
            Self::Kill
            | Self::Stop
            | Self::Partition { .. }
            | Self::StorageKill
            | Self::Loss { .. }
            | Self::Delay { .. }
            | Self::Reorder { .. }
            | Self::Duplicate { .. } => false,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Kill => "killed".to_owned(),
            Self::Stop => "stopped".to_owned(),
            Self::Partition { from, way } => {
                let from = match from {
                    From::Store => "the store",
                    From::Peers => "its peers",
                    From::Clients => "clients",
                    From::All => "all others",
                    From::PeersAndClients => "its peers and clients",
                };
                let way = match way {
                    Way::Both => "",
                    Way::Inbound => ", heard but not hearing,",
                    Way::Outbound => ", hearing but not heard,",
                };
                format!("cut off from {from}{way}")
            }
            Self::StorageKill => "storage killed".to_owned(),
            Self::Drain => "drained".to_owned(),
            Self::Join => "joined".to_owned(),
            Self::Loss { percent } => format!("{percent} % of datagrams lost"),
            Self::Delay { ms } => format!("datagrams delayed by {ms} ms and more"),
            Self::Reorder { percent } => format!("{percent} % of datagrams reordered"),
            Self::Duplicate { percent } => format!("{percent} % of datagrams repeated"),
        }
    }
}

impl Fault {
    /// `span_ms` is its time since the run began.
    pub(super) const fn new(kind: FaultKind, whom: String, span_ms: Range<u64>) -> Self {
        Self {
            kind,
            whom,
            at_ms: span_ms.start,
            lasted_ms: span_ms.end.saturating_sub(span_ms.start),
            recovery_ms: None,
        }
    }

    /// What a network does all the time.
    pub(super) fn lasting(usual: &Rule, until_ms: u64) -> Vec<Self> {
        let percent = |percent: u8| (percent > 0).then_some(percent);
        let kinds = [
            percent(usual.loss_percent).map(|percent| FaultKind::Loss { percent }),
            percent(usual.reorder_percent).map(|percent| FaultKind::Reorder { percent }),
            percent(usual.duplicate_percent).map(|percent| FaultKind::Duplicate { percent }),
            u64::try_from(usual.delay.as_millis())
                .ok()
                .filter(|ms| *ms > 0)
                .map(|ms| FaultKind::Delay { ms }),
        ];
        let fault = |kind| Self::new(kind, "all".to_owned(), 0..until_ms);
        kinds.into_iter().flatten().map(fault).collect()
    }

    pub(super) const fn end_ms(&self) -> u64 {
        self.at_ms.saturating_add(self.lasted_ms)
    }

    pub(super) fn describe(&self) -> String {
        let mut text = format!(
            "{} at {} ms, over after {} ms ({})",
            self.kind.describe(),
            self.at_ms,
            self.lasted_ms,
            self.whom
        );
        if let Some(ms) = self.recovery_ms {
            text.push_str(&format!("; an actor had no success for {ms} ms"));
        }
        text
    }
}

/// For a person: what was run, then each violation with the part of the history that shows it.
pub(super) fn describe(report: &Report) -> String {
    let result = match report.result {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
    };
    let mut text = format!(
        "{result}  seed {}: {} operations by {} clients on {} actors in {:.1} s, {} with an unknown outcome",
        report.seed,
        report.operations,
        report.clients,
        report.actors,
        report.seconds,
        report.unknown,
    );
    for fault in &report.faults {
        text.push_str("\n  ");
        text.push_str(&fault.describe());
    }
    if let Some(Recovery { p50, p99, max }) = report.recovery_ms {
        let line = format!("\n  recovery of actors: p50 {p50} ms, p99 {p99} ms, max {max} ms");
        text.push_str(&line);
    }
    for (error, count) in &report.errors {
        text.push_str(&format!("\n  {count} × {error}"));
    }
    for violation in &report.violations {
        text.push_str(&format!("\n{}: {}", violation.of, violation.message));
        for line in &violation.part {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    text
}
