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
    /// What `why` tells of the times before. A record of before it was kept has none.
    #[serde(default)]
    pub(super) past: Past,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paused {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// Not known of a pause from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since_ms: Option<u64>,
}

/// The last of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Past {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) submitted: Option<Submitted>,
    /// Ended with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<Finished>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<MissedTimes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) skipped: Option<SkippedTime>,
}

/// The operation that was submitted last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Submitted {
    pub(super) operation: OperationId,
    pub(super) planned_ms: u64,
    pub(super) submitted_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Finished>,
}

/// Times that one look at the clock found too late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MissedTimes {
    pub(super) count: u64,
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
    pub(super) found_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SkippedTime {
    pub(super) planned_ms: u64,
    pub(super) reason: String,
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
