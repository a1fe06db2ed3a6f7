//! What `selvedge verify` prints: the result, what was done to get it, and what is wrong.

use serde::Serialize;

use crate::operate::verify::check::Violation;

/// The form that scripts rely on.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) result: Verdict,
    pub(super) seed: u64,
    /// Calls to actors and submitted operations.
    pub(super) operations: u64,
    /// Calls of which nobody knows whether they took effect.
    pub(super) unknown: u64,
    pub(super) clients: u32,
    pub(super) actors: u32,
    pub(super) seconds: f64,
    pub(super) faults: Vec<Fault>,
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
    pub(super) kind: FaultKind,
    /// Since the run began.
    pub(super) at_ms: u64,
    /// Until it was over: the node serves again.
    pub(super) lasted_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum FaultKind {
    /// SIGKILL, and a restart.
    Kill,
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
        let kind = match fault.kind {
            FaultKind::Kill => "killed",
        };
        text.push_str(&format!(
            "\n  {kind} at {} ms, back after {} ms",
            fault.at_ms, fault.lasted_ms
        ));
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
