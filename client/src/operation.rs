//! Operations as they appear in JSON: the entity, the body of a submission, lists and events.
//!
//! The client reads them, the node writes them, so both use these types. Fields that a later version
//! adds are ignored by readers. Nothing here talks to a server: see [`crate::Session::submit`].

use std::collections::BTreeMap;
use std::fmt;

use selvedge_protocol::{OperationId, OperationType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A durable job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    pub id: OperationId,
    #[serde(rename = "type")]
    pub operation_type: OperationType,
    pub status: OperationStatus,
    /// Whatever the submitter wants to be kept with it; `{}` when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Set when it has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// Set when it has failed, or while it waits for another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// What it waits for, while its status is `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    pub tenant: String,
    /// The principal that submitted it.
    pub created_by: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// Raised by one with each commit.
    pub version: u64,
    /// Counts the attempts from 1; 0 before the first. Another follows a failure, the end of a node at
    /// work, or a retry that a client asks for; waiting for something does not count.
    #[serde(default)]
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Value>,
    #[serde(default)]
    pub steps: Vec<OperationStep>,
    /// RFC 3339, UTC: it fails unless it is final by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// RFC 3339, UTC: it does not start before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Operation {
    /// The result as a type of the caller's.
    pub fn result_as<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.result.as_ref().map_or("null", |result| result.get()))
    }
}

/// Why an operation or a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationError {
    /// A stable code: one of the protocol's, or one of the handler's own.
    pub code: String,
    /// What went wrong, for a person.
    pub message: String,
    /// The step that failed, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// A named unit of an operation, with its stored result.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationStep {
    pub name: String,
    pub status: StepStatus,
    /// The tries that it took.
    #[serde(default)]
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepStatus {
    Running,
    Succeeded,
    Failed,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperationStatus {
    /// Accepted, not started.
    Pending,
    Running,
    /// For a timer, a signal, a payload or a worker.
    Waiting,
    Paused,
    Succeeded,
    Failed,
    /// Asked to stop, not stopped.
    Cancelling,
    Cancelled,
    /// Undoing its finished steps.
    Compensating,
    Compensated,
}

impl OperationStatus {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelling,
        Self::Cancelled,
        Self::Compensating,
        Self::Compensated,
    ];

    /// The name in JSON, on the command line and in the events that announce it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
        }
    }

    /// Whether the operation never changes again.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Compensated => true,
            Self::Pending
            | Self::Running
            | Self::Waiting
            | Self::Paused
            | Self::Cancelling
            | Self::Compensating => false,
        }
    }
}

impl fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for OperationStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        let known = Self::ALL.into_iter().find(|status| status.name() == text);
        known.ok_or_else(|| UnknownStatus(text.chars().take(64).collect()))
    }
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no status: use pending, running, waiting, paused, succeeded, failed, cancelling, \
     cancelled, compensating or compensated"
)]
pub struct UnknownStatus(String);

/// The body of the command `submit`; the operation's id is the command's target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitBody {
    #[serde(rename = "type")]
    pub operation_type: OperationType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
}

/// The body of the query `list`: every filter that is set must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<OperationStatus>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub operation_type: Option<OperationType>,
    /// `name=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The principal that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// RFC 3339: not created before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<String>,
    /// RFC 3339: created before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<String>,
    /// The cursor of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The size of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// The answer to the query `list`. A page ends early where more would not fit into a frame. An item that
/// is too large by itself is listed without `input`, `result` and the results of its steps, and where that
/// is not enough without `metadata`, `progress` and `steps`: the query `get` has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationPage {
    pub items: Vec<Operation>,
    /// Where the next page begins; `None` after the last.
    pub cursor: Option<String>,
}

/// The answer to the query `count`, whose body is that of `list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationCount {
    pub count: u64,
    /// Whether it is all of them. Counting ends at a bound, so that it costs no more than a large list.
    pub is_exact: bool,
}

/// The answer to the query `why`: what an operation waits for and who has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    pub id: OperationId,
    #[serde(rename = "type")]
    pub operation_type: OperationType,
    pub status: OperationStatus,
    /// One sentence for a person.
    pub summary: String,
    /// Everything that has to happen, or one of which has to where a step says so.
    pub waits: Vec<WhyWait>,
    pub attempt: u32,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<OperationError>,
    /// The step that finished last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_step: Option<String>,
    /// What will be undone if it fails or is cancelled, in the order in which it will be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compensations: Vec<String>,
    /// The node that decides about it.
    pub owner: WhyOwner,
}

/// Something that an operation waits for, or a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyWait {
    /// `time`, `retry`, `payload`, `handler`, `worker`, `timer`, `signal`, `operation`, `resume`, `queue`,
    /// `runner`, or what a policy says: `breaker`, `rate`, `concurrency`. Of a schedule: `time`, `operation`,
    /// `resume`, `catch-up`.
    pub reason: String,
    /// What it is in words, and what helps.
    pub detail: String,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// RFC 3339, UTC: when it is over by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The step that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// Who has an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyOwner {
    pub node: String,
    pub slot: u16,
}

/// Something that happened to an operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationEvent {
    /// Counts the events of the operation from 1, without gaps.
    pub seq: u64,
    /// `submitted`, `started`, `step.finished`, …, or the name of a final status.
    #[serde(rename = "type")]
    pub event_type: String,
    /// RFC 3339, UTC.
    pub time: String,
    pub data: Box<RawValue>,
}

impl OperationEvent {
    /// The final status that this event announces, if it does: nothing comes after it.
    pub fn final_status(&self) -> Option<OperationStatus> {
        let status: OperationStatus = self.event_type.parse().ok()?;
        status.is_final().then_some(status)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_known_by_its_name() {
        for status in OperationStatus::ALL {
            assert_eq!(status.name().parse(), Ok(status));
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("\"{}\"", status.name()));
        }
        assert!("done".parse::<OperationStatus>().is_err());
    }

    #[test]
    fn an_operation_keeps_the_names_of_the_design_and_ignores_later_fields() {
        let text = r#"{"id":"a1","type":"digest","status":"succeeded","metadata":{"a":1},
            "input":{},"result":{"bytes":3},"tenant":"default","createdBy":"ann",
            "createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:01Z","version":2,
            "attempt":1,"steps":[{"name":"digest","status":"succeeded","attempt":1}],
            "priority":3,"labels":{"k":"v"},"later":true}"#;
        let operation: Operation = serde_json::from_str(text).unwrap();
        let result: Value = operation.result_as().unwrap();
        assert_eq!(result["bytes"], 3);
        let again = serde_json::to_value(&operation).unwrap();
        for name in [
            "id",
            "type",
            "createdBy",
            "createdAt",
            "updatedAt",
            "labels",
            "priority",
        ] {
            assert!(again.get(name).is_some(), "{name} is gone");
        }
    }

    #[test]
    fn a_submission_with_an_unknown_field_is_refused_by_name() {
        let refused = serde_json::from_str::<SubmitBody>(r#"{"type":"digest","prio":1}"#);
        assert!(refused.unwrap_err().to_string().contains("prio"));
    }
}
