//! What is stored of a schedule: its definition, how far it is, and what runs.

use std::collections::VecDeque;

use selvedge_protocol::{ActorAddress, OperationId};
use serde::{Deserialize, Serialize};

use crate::operation::schedule::definition::Definition;

/// A schedule that is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Its own: operations tell it of their end.
    pub(super) address: ActorAddress,
    pub(super) incarnation: u64,
    pub(super) definition: Definition,
    pub(super) created_by: String,
    pub(super) created_ms: u64,
    pub(super) updated_ms: u64,
    /// All times until here are decided, and never are again.
    pub(super) cursor_ms: u64,
    /// The time to be decided next. `None`: paused or ended.
    pub(super) next_ms: Option<u64>,
    /// When the host's timer is set to.
    pub(super) timer_ms: Option<u64>,
    pub(super) paused: Option<Paused>,
    /// Runs by the clock, those that wait included: what `maxRuns` bounds.
    pub(super) planned_runs: u64,
    pub(super) running: Vec<Run>,
    /// Times that wait for what runs to end, oldest first.
    pub(super) buffered: VecDeque<u64>,
    pub(super) counts: Counts,
    pub(super) last: Option<Finished>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Paused {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// An operation that has not told its end yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) operation: OperationId,
    pub(super) planned_ms: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Operations submitted.
    pub(super) runs: u64,
    /// Times that were too late to run.
    pub(super) missed: u64,
    /// Times that the overlap policy or a bound kept from running.
    pub(super) skipped: u64,
    /// Operations that ended as failed or compensated.
    pub(super) failed: u64,
}

/// The operation that ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finished {
    pub(super) operation: OperationId,
    pub(super) status: String,
    pub(super) planned_ms: u64,
    pub(super) finished_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}
