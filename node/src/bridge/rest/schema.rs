//! What answers are made of, for the description: the node's own types are those of its client and of its parts, which
//! know nothing of OpenAPI. A test holds each of these to an answer of the other.

#![expect(dead_code, reason = "only the descriptions of these are used")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A durable job.
#[derive(ToSchema)]
#[schema(as = Operation)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationShown {
    pub id: String,
    pub r#type: String,
    #[schema(inline)]
    pub status: Status,
    /// Whatever the submitter wants to be kept with it.
    #[schema(required = false)]
    pub metadata: Value,
    #[schema(required = false)]
    pub input: Value,
    /// Set when it has succeeded.
    #[schema(required = false)]
    pub result: Value,
    /// Set when it has failed, or while it waits for another attempt.
    pub error: Option<OperationErrorShown>,
    /// What it waits for, while its status is `waiting`.
    pub waiting_for: Option<String>,
    pub tenant: String,
    /// The principal that submitted it.
    pub created_by: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Raised by one with each commit.
    pub version: u64,
    /// Counts the attempts from 1; 0 before the first.
    pub attempt: u32,
    #[schema(required = false)]
    pub progress: Value,
    pub steps: Vec<StepShown>,
    /// It fails unless it is final by then.
    #[schema(format = DateTime)]
    pub deadline: Option<String>,
    /// It does not start before.
    #[schema(format = DateTime)]
    pub run_at: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    pub labels: BTreeMap<String, String>,
}

/// How far an operation is.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    Pending,
    Running,
    Waiting,
    Paused,
    Succeeded,
    Failed,
    Cancelling,
    Cancelled,
    Compensating,
    Compensated,
}

/// Why an operation or a step failed.
#[derive(ToSchema)]
#[schema(as = OperationError)]
pub(crate) struct OperationErrorShown {
    pub code: String,
    pub message: String,
    pub step: Option<String>,
}

/// A named unit of an operation, with its stored result.
#[derive(ToSchema)]
#[schema(as = OperationStep)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepShown {
    pub name: String,
    /// `running`, `succeeded` or `failed`.
    pub status: String,
    pub attempt: u32,
    #[schema(required = false)]
    pub result: Value,
    pub error: Option<OperationErrorShown>,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
}

/// A page of operations, the newest first. One that is too large is listed without what makes it so.
#[derive(ToSchema)]
pub(crate) struct OperationPage {
    pub items: Vec<OperationShown>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    pub cursor: Option<String>,
}

/// What an operation waits for, and who has it.
#[derive(ToSchema)]
#[schema(as = Why)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhyShown {
    pub id: String,
    pub r#type: String,
    #[schema(inline)]
    pub status: Status,
    /// One sentence for a person.
    pub summary: String,
    pub waits: Vec<WaitShown>,
    pub attempt: u32,
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    pub last_error: Option<OperationErrorShown>,
    pub last_step: Option<String>,
    #[schema(required = false)]
    pub compensations: Vec<String>,
    pub owner: OwnerShown,
}

/// Something that is waited for.
#[derive(ToSchema)]
#[schema(as = Wait)]
pub(crate) struct WaitShown {
    pub reason: String,
    /// What it is in words, and what helps.
    pub detail: String,
    #[schema(format = DateTime)]
    pub since: Option<String>,
    #[schema(format = DateTime)]
    pub until: Option<String>,
    pub step: Option<String>,
}

/// Who has an operation.
#[derive(ToSchema)]
#[schema(as = Owner)]
pub(crate) struct OwnerShown {
    pub node: String,
    pub slot: u16,
}

/// The answer to a command or a query: what the actor said, and as of when.
#[derive(ToSchema)]
pub(crate) struct Reply {
    pub reply: Value,
    /// The last event of the actor.
    pub seq: u64,
    /// Raised by one with each commit.
    pub version: u64,
}

/// The state of an actor, and as of when.
#[derive(ToSchema)]
pub(crate) struct ActorState {
    pub state: Value,
    /// The last event of the actor.
    pub seq: u64,
    /// Raised by one with each commit; 0 before the first.
    pub version: u64,
}

/// A page of actors, in the order of their keys.
#[derive(ToSchema)]
pub(crate) struct ActorPage {
    pub items: Vec<ActorName>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    pub cursor: Option<String>,
}

/// The name of an actor.
#[derive(ToSchema)]
pub(crate) struct ActorName {
    pub kind: String,
    pub key: String,
}

/// How the nodes of a cluster are.
#[derive(ToSchema)]
pub(crate) struct ClusterStatus {
    /// The number of the plan.
    pub plan: u64,
    pub slots: u64,
    pub owned: u64,
    pub moving: u64,
    #[schema(required = true)]
    pub controller: Option<String>,
    pub nodes: Vec<ClusterNode>,
}

/// A node as others see it.
#[derive(ToSchema)]
pub(crate) struct ClusterNode {
    pub node: String,
    /// `serving`, `draining`, `drained`, `isolated`, `leaving`, `left` or `dead`.
    pub state: String,
    pub drained: bool,
    pub controller: bool,
    pub incarnation: u64,
    pub roles: Vec<String>,
    pub weight: u32,
    pub slots: u64,
    pub planned: u64,
    #[schema(required = true)]
    pub quic: Option<String>,
    #[schema(required = true)]
    pub peer: Option<String>,
    pub operations: Vec<String>,
    pub versions: Value,
}

/// Which node is to own which slots.
#[derive(ToSchema)]
pub(crate) struct ClusterPlan {
    pub plan: u64,
    pub slots: u64,
    pub nodes: Vec<SlotsOfNode>,
    /// Slots of nobody: pairs of the first and the last.
    pub nobody: Vec<Vec<u16>>,
    pub moves: Vec<SlotsMoved>,
}

/// The slots of a node.
#[derive(ToSchema)]
pub(crate) struct SlotsOfNode {
    pub node: String,
    pub count: u64,
    /// Pairs of the first and the last.
    pub slots: Vec<Vec<u16>>,
}

/// Slots on their way.
#[derive(ToSchema)]
pub(crate) struct SlotsMoved {
    #[schema(required = true)]
    pub from: Option<String>,
    #[schema(required = true)]
    pub to: Option<String>,
    pub count: u64,
    pub slots: Vec<Vec<u16>>,
}

/// What a cluster waits for.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterWhy {
    pub at_rest: bool,
    pub reasons: Vec<ClusterReason>,
}

/// Why a cluster is not at rest.
#[derive(ToSchema)]
pub(crate) struct ClusterReason {
    pub code: String,
    #[schema(required = true)]
    pub node: Option<String>,
    pub message: String,
}

/// A node that was removed.
#[derive(ToSchema)]
pub(crate) struct Removed {
    pub node: String,
    pub removed: bool,
    /// It was removed already.
    pub before: bool,
}

/// A body that says nothing.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// With what the node was started.
#[derive(ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct Config(Value);

/// A page of the audit trail.
#[derive(ToSchema)]
pub(crate) struct AuditPage {
    pub items: Vec<AuditShown>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    pub cursor: Option<String>,
}

/// A record of the audit trail.
#[derive(ToSchema)]
#[schema(as = AuditRecord)]
pub(crate) struct AuditShown {
    /// From 1, without gaps.
    pub number: u64,
    #[schema(format = DateTime)]
    pub time: String,
    pub principal: String,
    /// A resource and what was done to it.
    pub action: String,
    /// To what.
    pub target: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// Why it was refused.
    pub code: Option<String>,
    #[schema(required = false)]
    pub detail: Value,
    /// The hash of the record before, SHA-256 in hexadecimal digits.
    pub previous: String,
    /// Of this one.
    pub hash: String,
}

/// What verifying came to.
#[derive(ToSchema)]
pub(crate) struct AuditVerified {
    /// `whole`, `partial` or `damaged`.
    pub result: String,
    pub records: Option<u64>,
    /// The first that is kept.
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Of a whole chain: its last record. Keep it elsewhere.
    pub head: Option<crate::bridge::rest::audit::KnownRecord>,
    /// How far a part came.
    pub at: Option<crate::bridge::rest::audit::KnownRecord>,
    /// Which record is damaged.
    pub number: Option<u64>,
    pub message: Option<String>,
}

/// A person that data is about.
#[derive(ToSchema)]
#[schema(as = SubjectEntry)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubjectEntry {
    pub subject: String,
    /// `present`, or `erased`.
    pub state: String,
    #[schema(format = DateTime)]
    pub created_at: Option<String>,
    #[schema(format = DateTime)]
    pub erased_at: Option<String>,
    /// The name of the key that wraps that of the person.
    pub wrapped_by: Option<String>,
}

/// A page of persons, by id.
#[derive(ToSchema)]
pub(crate) struct SubjectPage {
    pub items: Vec<SubjectEntry>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    pub cursor: Option<String>,
}

/// What a person has consented to.
#[derive(ToSchema)]
#[schema(as = Subject)]
pub(crate) struct SubjectShown {
    pub subject: String,
    pub consents: Vec<ConsentShown>,
}

/// What a person has said last to a use of the data.
#[derive(ToSchema)]
#[schema(as = Consent)]
pub(crate) struct ConsentShown {
    pub purpose: String,
    pub granted: bool,
    #[schema(format = DateTime)]
    pub at: String,
    /// Who recorded it.
    pub by: String,
    pub note: String,
}

/// Everything that is stored about a person.
#[derive(ToSchema)]
pub(crate) struct SubjectExport {
    pub subject: String,
    pub tenant: String,
    #[schema(required = true)]
    pub items: Vec<Value>,
}

/// What came of an erasure.
#[derive(ToSchema)]
pub(crate) struct SubjectErased {
    pub subject: String,
    /// `now`, or `before` if it had been erased.
    pub erased: String,
    /// How many actors were gone through.
    pub actors: u64,
}
