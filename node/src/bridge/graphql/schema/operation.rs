//! Operations in the schema: the entity, its parts and what it waits for.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use bytes::Bytes;
use selvedge_client::operation::{
    self as client, OperationError, OperationStatus, OperationStep, StepStatus,
};
use selvedge_protocol::{OperationId, Target};

use crate::bridge::graphql::call::{Call, decode};
use crate::bridge::graphql::error::Refusal;
use crate::bridge::graphql::schema::identity::operation_id;
use crate::bridge::graphql::schema::scalar::{AnyJson, DateTime, UInt64, raw};

/// A durable job.
#[derive(Debug, Clone)]
pub(super) struct Operation(pub(super) Arc<client::Operation>);

impl Operation {
    pub(super) fn read(text: &[u8]) -> Result<Self, Refusal> {
        decode(text).map(|it| Self(Arc::new(it)))
    }

    /// The operation as it is now.
    pub(super) async fn load(call: &Call, id: &OperationId) -> Result<Self, Refusal> {
        let target = Target::Operation(id.clone());
        Self::read(&call.query(target, "get", Bytes::new()).await?.body)
    }

    /// With what pages and answers leave out of operations that are large.
    async fn whole(&self, context: &Context<'_>) -> Result<Arc<client::Operation>, Refusal> {
        match self.0.input {
            Some(_) => Ok(Arc::clone(&self.0)),
            None => Ok(Self::load(Call::of(context)?, &self.0.id).await?.0),
        }
    }
}

#[Object(name = "Operation")]
impl Operation {
    /// Names it over all types.
    pub(super) async fn id(&self) -> ID {
        operation_id(&self.0.id)
    }

    /// Names it among operations, as its submitter chose.
    async fn operation_id(&self) -> &str {
        self.0.id.as_str()
    }

    #[graphql(name = "type")]
    async fn operation_type(&self) -> &str {
        self.0.operation_type.as_str()
    }

    async fn status(&self) -> Status {
        Status::from(self.0.status)
    }

    /// Whatever its submitter wanted to be kept with it.
    async fn metadata(&self, context: &Context<'_>) -> Result<Option<AnyJson>, Refusal> {
        raw(self.whole(context).await?.metadata.as_deref())
    }

    async fn input(&self, context: &Context<'_>) -> Result<Option<AnyJson>, Refusal> {
        raw(self.whole(context).await?.input.as_deref())
    }

    /// Set when it has succeeded.
    async fn result(&self, context: &Context<'_>) -> Result<Option<AnyJson>, Refusal> {
        raw(self.whole(context).await?.result.as_deref())
    }

    /// Set when it has failed, or while it waits for another attempt.
    async fn error(&self) -> Option<Fault> {
        self.0.error.clone().map(Fault::from)
    }

    /// What it waits for, while its status is WAITING.
    async fn waiting_for(&self) -> Option<&str> {
        self.0.waiting_for.as_deref()
    }

    async fn tenant(&self) -> &str {
        &self.0.tenant
    }

    /// The principal that submitted it.
    async fn created_by(&self) -> &str {
        &self.0.created_by
    }

    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at.clone())
    }

    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at.clone())
    }

    /// Raised by one with each commit.
    async fn version(&self) -> UInt64 {
        UInt64(self.0.version)
    }

    /// Counts the attempts from 1; 0 before the first.
    async fn attempt(&self) -> u32 {
        self.0.attempt
    }

    async fn progress(&self, context: &Context<'_>) -> Result<Option<AnyJson>, Refusal> {
        Ok(self.whole(context).await?.progress.clone().map(Json))
    }

    /// Its finished steps.
    #[graphql(complexity = "1 + STEPS_GUESSED * child_complexity")]
    async fn steps(&self, context: &Context<'_>) -> Result<Option<Vec<Step>>, Refusal> {
        let steps = &self.whole(context).await?.steps;
        let steps: Result<_, _> = steps.iter().map(Step::read).collect();
        steps.map(Some)
    }

    /// It fails unless it is final by then.
    async fn deadline(&self) -> Option<DateTime> {
        self.0.deadline.clone().map(DateTime)
    }

    /// It does not start before.
    async fn run_at(&self) -> Option<DateTime> {
        self.0.run_at.clone().map(DateTime)
    }

    /// Higher goes first.
    async fn priority(&self) -> i32 {
        self.0.priority
    }

    async fn labels(&self) -> Vec<Label> {
        let labels = self.0.labels.iter();
        labels
            .map(|(key, value)| Label {
                key: key.clone(),
                value: value.clone(),
            })
            .collect()
    }

    /// What it waits for, since when, what ends it, and who has it.
    #[graphql(complexity = "10 + child_complexity")]
    async fn why(&self, context: &Context<'_>) -> Result<Option<Why>, Refusal> {
        let target = Target::Operation(self.0.id.clone());
        let answer = Call::of(context)?
            .query(target, "why", Bytes::new())
            .await?;
        let why = decode::<client::Why>(&answer.body)?;
        Ok(Some(Why::from(why)))
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "OperationStatus", remote = "OperationStatus")]
pub(super) enum Status {
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

/// A named unit of an operation, with its stored result.
#[derive(Debug, SimpleObject)]
#[graphql(name = "OperationStep")]
pub(super) struct Step {
    name: String,
    status: StepState,
    /// The tries that it took.
    attempt: u32,
    result: Option<AnyJson>,
    error: Option<Fault>,
    finished_at: Option<DateTime>,
}

impl Step {
    fn read(step: &OperationStep) -> Result<Self, Refusal> {
        Ok(Self {
            name: step.name.clone(),
            status: StepState::from(step.status),
            attempt: step.attempt,
            result: raw(step.result.as_deref())?,
            error: step.error.clone().map(Fault::from),
            finished_at: step.finished_at.clone().map(DateTime),
        })
    }
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "StepStatus", remote = "StepStatus")]
pub(super) enum StepState {
    Running,
    Succeeded,
    Failed,
}

/// Why an operation or a step failed.
#[derive(Debug, SimpleObject)]
#[graphql(name = "OperationError")]
pub(super) struct Fault {
    /// A stable code: one of the protocol's, or one of the handler's own.
    code: String,
    message: String,
    /// The step that failed, where one did.
    step: Option<String>,
}

impl From<OperationError> for Fault {
    fn from(
        OperationError {
            code,
            message,
            step,
        }: OperationError,
    ) -> Self {
        Self {
            code,
            message,
            step,
        }
    }
}

#[derive(Debug, SimpleObject)]
pub(super) struct Label {
    key: String,
    value: String,
}

/// What an operation waits for and who has it.
#[derive(Debug, SimpleObject)]
#[graphql(name = "OperationWhy")]
pub(super) struct Why {
    /// One sentence for a person.
    summary: String,
    /// Everything that has to happen, or one of which has to where a step says so.
    waits: Vec<Wait>,
    next_attempt_at: Option<DateTime>,
    last_error: Option<Fault>,
    /// The step that finished last.
    last_step: Option<String>,
    /// What will be undone if it fails or is cancelled, in the order in which it will be.
    compensations: Vec<String>,
    owner: Owner,
}

impl From<client::Why> for Why {
    fn from(why: client::Why) -> Self {
        Self {
            summary: why.summary,
            waits: why.waits.into_iter().map(Wait::from).collect(),
            next_attempt_at: why.next_attempt_at.map(DateTime),
            last_error: why.last_error.map(Fault::from),
            last_step: why.last_step,
            compensations: why.compensations,
            owner: Owner {
                node: why.owner.node,
                slot: why.owner.slot,
            },
        }
    }
}

/// Something that an operation waits for.
#[derive(Debug, SimpleObject)]
#[graphql(name = "OperationWait")]
pub(super) struct Wait {
    /// A word for programs: time, retry, payload, handler, worker, timer, signal, operation, resume, queue, runner,
    /// breaker, rate or concurrency.
    reason: String,
    /// What it is in words, and what helps.
    detail: String,
    since: Option<DateTime>,
    /// When it is over by itself.
    until: Option<DateTime>,
    /// The step that waits.
    step: Option<String>,
}

impl From<client::WhyWait> for Wait {
    fn from(wait: client::WhyWait) -> Self {
        Self {
            reason: wait.reason,
            detail: wait.detail,
            since: wait.since.map(DateTime),
            until: wait.until.map(DateTime),
            step: wait.step,
        }
    }
}

/// The node that decides about an operation, and the slot it lies in.
#[derive(Debug, SimpleObject)]
#[graphql(name = "OperationOwner")]
pub(super) struct Owner {
    node: String,
    slot: u16,
}

/// Most operations have fewer steps; those that have more pay with the bytes that they bring.
const STEPS_GUESSED: usize = 10;
