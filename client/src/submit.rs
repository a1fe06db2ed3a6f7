//! Operations over a session: submit, get, list, watch, wait, why, and the verbs that steer them.

use std::collections::BTreeMap;

use selvedge_protocol::frame::Since;
use selvedge_protocol::{ErrorCode, Failure, OperationId, OperationType, Target, time};
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::call::{Answer, Body};
use crate::error::CallError;
use crate::events::{EventItem, Events};
use crate::operation::{
    ListQuery, Operation, OperationCount, OperationEvent, OperationPage, OperationStatus,
    SubmitBody, Why,
};
use crate::payload::PayloadSource;
use crate::session::Session;

/// A durable job to be done.
#[derive(Debug, Clone)]
pub struct Submit {
    /// Submitting the same id and input again is harmless: it gives the operation as it is. Without
    /// an id a UUIDv7 is made.
    pub id: Option<OperationId>,
    pub operation_type: OperationType,
    pub input: Option<Box<RawValue>>,
    pub metadata: Option<Box<RawValue>>,
    pub labels: BTreeMap<String, String>,
    /// Higher goes first.
    pub priority: i32,
    /// RFC 3339, UTC: not before.
    pub run_at: Option<String>,
    /// RFC 3339, UTC: not after.
    pub deadline: Option<String>,
    pub payload: PayloadSource,
}

impl Submit {
    /// A job of a type, with nothing else said.
    pub const fn new(operation_type: OperationType) -> Self {
        Self {
            id: None,
            operation_type,
            input: None,
            metadata: None,
            labels: BTreeMap::new(),
            priority: 0,
            run_at: None,
            deadline: None,
            payload: PayloadSource::None,
        }
    }

    /// With an id of the caller's choice.
    #[must_use]
    pub fn id(mut self, id: OperationId) -> Self {
        self.id = Some(id);
        self
    }

    /// With an input that serde can write.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Result<Self, CallError> {
        self.input = Some(to_raw_value(input)?);
        Ok(self)
    }

    /// With bytes beside the input.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<PayloadSource>) -> Self {
        self.payload = payload.into();
        self
    }
}

impl Session {
    /// Submits an operation and waits until it is accepted, which means durable. A payload over 8 MiB
    /// is accepted when it has been handed over to the handler.
    pub async fn submit(&self, submit: Submit) -> Result<Operation, CallError> {
        self.start_submit(submit).await?.json().await
    }

    /// Submits an operation without waiting for its acceptance: the answer is an [`Operation`].
    pub async fn start_submit(&self, submit: Submit) -> Result<Answer, CallError> {
        let id = submit.id.map_or_else(new_id, Ok)?;
        let body = SubmitBody {
            operation_type: submit.operation_type,
            input: submit.input,
            metadata: submit.metadata,
            labels: submit.labels,
            priority: submit.priority,
            run_at: submit.run_at,
            deadline: submit.deadline,
        };
        self.command(Target::Operation(id), "submit", Body::json(&body))
            .payload(submit.payload)
            .start()
            .await
    }

    /// The operation as it is now.
    pub async fn operation(&self, id: &OperationId) -> Result<Operation, CallError> {
        self.query(Target::Operation(id.clone()), "get", ())
            .json()
            .await
    }

    /// A page of the tenant's operations.
    pub async fn list(&self, query: &ListQuery) -> Result<OperationPage, CallError> {
        self.query(Target::Operations, "list", Body::json(query))
            .json()
            .await
    }

    /// Asks an operation to stop: what it is then.
    pub async fn cancel(&self, id: &OperationId) -> Result<Operation, CallError> {
        self.command(Target::Operation(id.clone()), "cancel", ())
            .json()
            .await
    }

    /// How many operations a list would have.
    pub async fn count(&self, query: &ListQuery) -> Result<OperationCount, CallError> {
        self.query(Target::Operations, "count", Body::json(query))
            .json()
            .await
    }

    /// Asks an operation to halt: the step at work finishes, no other begins.
    pub async fn pause(&self, id: &OperationId) -> Result<Operation, CallError> {
        self.verb(id, "pause", ().into()).await
    }

    /// Lets a paused operation go on.
    pub async fn resume(&self, id: &OperationId) -> Result<Operation, CallError> {
        self.verb(id, "resume", ().into()).await
    }

    /// Tells an operation something: whoever of its steps waits for the signal goes on. One that comes
    /// before it is waited for is kept.
    pub async fn signal<T: Serialize + ?Sized>(
        &self,
        id: &OperationId,
        name: &str,
        data: &T,
    ) -> Result<Operation, CallError> {
        let body = json!({ "name": name, "data": serde_json::to_value(data)? });
        self.verb(id, "signal", body.into()).await
    }

    /// Runs an operation again that has failed or was cancelled: from the step `from` on, or from the first
    /// that has not finished. One that waits for its next attempt begins it at once.
    pub async fn retry(
        &self,
        id: &OperationId,
        from: Option<&str>,
    ) -> Result<Operation, CallError> {
        self.verb(id, "retry", json!({ "from": from }).into()).await
    }

    /// What an operation waits for, since when, and who has it.
    pub async fn why(&self, id: &OperationId) -> Result<Why, CallError> {
        self.query(Target::Operation(id.clone()), "why", ())
            .json()
            .await
    }

    async fn verb(&self, id: &OperationId, name: &str, body: Body) -> Result<Operation, CallError> {
        self.command(Target::Operation(id.clone()), name, body)
            .json()
            .await
    }

    /// The events of an operation from a position on, up to its final one.
    pub async fn watch(&self, id: &OperationId, since: Since) -> Result<Watch, CallError> {
        let events = self.subscribe(Target::Operation(id.clone()), since).await?;
        Ok(Watch {
            events,
            is_over: false,
        })
    }

    /// Waits until an operation is final: what it is then.
    pub async fn wait(&self, id: &OperationId) -> Result<Operation, CallError> {
        loop {
            // Answered when it is final, or after a while with what it is then.
            let operation: Operation = self
                .query(Target::Operation(id.clone()), "wait", ())
                .json()
                .await?;
            if operation.status.is_final() {
                return Ok(operation);
            }
        }
    }

    /// Submits an operation and waits until it is final: what it is then.
    pub async fn submit_and_wait(&self, mut submit: Submit) -> Result<Operation, CallError> {
        let id = submit.id.take().map_or_else(new_id, Ok)?;
        let submitted = self.start_submit(submit.id(id.clone())).await?;
        // Right behind the submit, which saves a round trip. One that overtakes it, as it may where a
        // payload takes a stream of its own, finds nothing, and is asked again below.
        let waiting = self
            .query(Target::Operation(id.clone()), "wait", ())
            .start()
            .await?;
        let operation: Operation = submitted.json().await?;
        if operation.status.is_final() {
            return Ok(operation);
        }
        match waiting.json::<Operation>().await {
            Ok(operation) if operation.status.is_final() => Ok(operation),
            Ok(_) | Err(_) => self.wait(&id).await,
        }
    }
}

/// Ids sort by the time they were made.
fn new_id() -> Result<OperationId, CallError> {
    Ok(OperationId::new(Uuid::now_v7().to_string())?)
}

/// The events of one operation, in order, without gap or repeat. Ends after the final one.
#[derive(Debug)]
pub struct Watch {
    events: Events,
    is_over: bool,
}

impl Watch {
    /// The next event; `None` after the final one.
    pub async fn next(&mut self) -> Option<Result<OperationEvent, CallError>> {
        while !self.is_over {
            let event = match self.events.next().await? {
                Ok(EventItem::Event {
                    seq,
                    kind,
                    time_ms,
                    data,
                }) => operation_event(seq, kind, time_ms, &data),
                Ok(EventItem::Gap { seq, snapshot, .. }) => snapshot_event(seq, &snapshot),
                Ok(EventItem::Ephemeral { .. }) => continue,
                Err(error) => Err(error),
            };
            self.is_over = match &event {
                Ok(event) => event.final_status().is_some(),
                Err(_) => true,
            };
            return Some(event);
        }
        None
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl futures::Stream<Item = Result<OperationEvent, CallError>> {
        futures::stream::unfold(self, async |mut watch| {
            let event = watch.next().await?;
            Some((event, watch))
        })
    }
}

fn operation_event(
    seq: u64,
    event_type: String,
    time_ms: u64,
    data: &[u8],
) -> Result<OperationEvent, CallError> {
    Ok(OperationEvent {
        seq,
        event_type,
        time: time::format(time_ms),
        data: serde_json::from_slice(if data.is_empty() { b"null" } else { data })?,
    })
}

/// Events that are no longer stored are told by the state after them: its status stands for the type.
fn snapshot_event(seq: u64, snapshot: &[u8]) -> Result<OperationEvent, CallError> {
    let operation: Option<Operation> = serde_json::from_slice(snapshot)?;
    let Some(operation) = operation else {
        let message = "the operation was kept as long as its retention says, and is no more";
        return Err(Failure::new(ErrorCode::NotFound, message).into());
    };
    let status: OperationStatus = operation.status;
    Ok(OperationEvent {
        seq,
        event_type: status.name().to_owned(),
        time: operation.updated_at,
        data: serde_json::from_slice(snapshot)?,
    })
}
