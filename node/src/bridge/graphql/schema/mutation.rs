//! What can be told. Each field is one command of the service that sessions use: success is committed and durable.
//! Each may be null, so that one that fails takes nothing from what is known of those before it.

use async_graphql::{Context, ID, InputObject, Json, Object, SimpleObject};
use bytes::Bytes;
use selvedge_client::operation::SubmitBody;
use selvedge_protocol::{OperationId, OperationType, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::bridge::graphql::call::{Call, decode, encode};
use crate::bridge::graphql::error::Refusal;
use crate::bridge::graphql::schema::actor::Answer;
use crate::bridge::graphql::schema::cluster::{ClusterNode, RemovedNode};
use crate::bridge::graphql::schema::identity;
use crate::bridge::graphql::schema::operation::Operation;
use crate::bridge::graphql::schema::query::body_of;
use crate::bridge::graphql::schema::scalar::{AnyJson, DateTime};

/// What can be told.
#[derive(Debug)]
pub(in crate::bridge::graphql) struct Mutation;

#[Object(name = "Mutation")]
impl Mutation {
    /// Submits an operation. The same id and input again is harmless: it gives the operation as it is.
    async fn submit_operation(
        &self,
        context: &Context<'_>,
        input: SubmitOperationInput,
    ) -> Result<Option<SubmitOperationPayload>, Refusal> {
        let call = Call::of(context)?;
        let (id, body) = input.submit(call)?;
        let target = Target::Operation(id);
        let success = call.command(target, "submit", encode(&body)?, None).await?;
        let Submitted { created } = decode(&success.body)?;
        Ok(Some(SubmitOperationPayload {
            operation: Operation::read(&success.body)?,
            created,
        }))
    }

    /// Asks an operation to stop.
    async fn cancel_operation(
        &self,
        context: &Context<'_>,
        id: ID,
    ) -> Result<Option<Operation>, Refusal> {
        verb(context, &id, "cancel", Bytes::new(), None).await
    }

    /// Asks an operation to halt: the step at work finishes, no other begins.
    async fn pause_operation(
        &self,
        context: &Context<'_>,
        id: ID,
        #[graphql(desc = "Makes a repeat of this command harmless.")] command_id: Option<String>,
    ) -> Result<Option<Operation>, Refusal> {
        verb(context, &id, "pause", Bytes::new(), command_id).await
    }

    /// Lets a paused operation go on.
    async fn resume_operation(
        &self,
        context: &Context<'_>,
        id: ID,
        #[graphql(desc = "Makes a repeat of this command harmless.")] command_id: Option<String>,
    ) -> Result<Option<Operation>, Refusal> {
        verb(context, &id, "resume", Bytes::new(), command_id).await
    }

    /// Runs an operation again that has failed or was cancelled.
    async fn retry_operation(
        &self,
        context: &Context<'_>,
        id: ID,
        #[graphql(
            desc = "The first step to run again; without it the first that is not finished."
        )]
        from: Option<String>,
        #[graphql(desc = "Makes a repeat of this command harmless.")] command_id: Option<String>,
    ) -> Result<Option<Operation>, Refusal> {
        let body = encode(&Retry { from })?;
        verb(context, &id, "retry", body, command_id).await
    }

    /// Tells an operation something: whoever of its steps waits for the signal goes on.
    async fn signal_operation(
        &self,
        context: &Context<'_>,
        id: ID,
        name: String,
        data: Option<AnyJson>,
        #[graphql(desc = "Makes a repeat of this command harmless.")] command_id: Option<String>,
    ) -> Result<Option<Operation>, Refusal> {
        let data = data.map(|Json(data)| data);
        let body = encode(&Signal { name, data })?;
        verb(context, &id, "signal", body, command_id).await
    }

    /// Sends a command to an actor.
    async fn send_command(
        &self,
        context: &Context<'_>,
        kind: String,
        key: String,
        command: String,
        body: Option<AnyJson>,
        #[graphql(desc = "Makes a repeat of this command harmless: it gets the stored answer.")]
        command_id: Option<String>,
    ) -> Result<Option<Answer>, Refusal> {
        let actor = identity::actor(&kind, &key)?;
        let body = body_of(body)?;
        let target = Target::Actor(actor.clone());
        let id = command_id.as_deref();
        let success = Call::of(context)?
            .command(target, &command, body, id)
            .await?;
        Ok(Some(Answer { actor, success }))
    }

    /// Tells a node of the cluster to hand over what it owns.
    async fn drain_node(
        &self,
        context: &Context<'_>,
        node: String,
        #[graphql(default, desc = "Also if nobody is left to own anything.")] force: bool,
    ) -> Result<Option<ClusterNode>, Refusal> {
        tell(context, "drain", &Drain { node, force }).await
    }

    /// Lets a node of the cluster take its share again.
    async fn undrain_node(
        &self,
        context: &Context<'_>,
        node: String,
    ) -> Result<Option<ClusterNode>, Refusal> {
        tell(context, "undrain", &Named { node }).await
    }

    /// Forgets a node of the cluster that has left or is dead.
    async fn remove_node(
        &self,
        context: &Context<'_>,
        node: String,
    ) -> Result<Option<RemovedNode>, Refusal> {
        tell(context, "remove", &Named { node }).await
    }
}

/// A durable job to be done.
#[derive(Debug, InputObject)]
struct SubmitOperationInput {
    /// Without one a UUIDv7 is made, and a repeat is another operation.
    id: Option<ID>,
    #[graphql(name = "type")]
    operation_type: String,
    input: Option<AnyJson>,
    /// Whatever is to be kept with it.
    metadata: Option<AnyJson>,
    #[graphql(default)]
    labels: Vec<LabelInput>,
    /// Higher goes first.
    #[graphql(default)]
    priority: i32,
    /// Not before.
    run_at: Option<DateTime>,
    /// Not after.
    deadline: Option<DateTime>,
}

#[derive(Debug, InputObject)]
struct LabelInput {
    key: String,
    value: String,
}

#[derive(Debug, SimpleObject)]
struct SubmitOperationPayload {
    operation: Operation,
    /// Whether this submit created it.
    created: bool,
}

impl SubmitOperationInput {
    fn submit(self, call: &Call) -> Result<(OperationId, SubmitBody), Refusal> {
        let id = match self.id {
            Some(ID(id)) => id,
            None => call.new_id().to_string(),
        };
        let id = identity::operation("input.id", &id)?;
        let operation_type = OperationType::new(self.operation_type)
            .map_err(|error| Refusal::invalid("input.type", error.to_string()))?;
        let labels = self.labels.into_iter();
        let body = SubmitBody {
            operation_type,
            input: text("input.input", self.input)?,
            metadata: text("input.metadata", self.metadata)?,
            labels: labels.map(|label| (label.key, label.value)).collect(),
            priority: self.priority,
            run_at: self.run_at.map(|DateTime(time)| time),
            deadline: self.deadline.map(|DateTime(time)| time),
        };
        Ok((id, body))
    }
}

/// What the answer to a submit has besides the operation.
#[derive(Debug, Deserialize)]
struct Submitted {
    created: bool,
}

#[derive(Debug, Serialize)]
struct Retry {
    from: Option<String>,
}

#[derive(Debug, Serialize)]
struct Signal {
    name: String,
    data: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Drain {
    node: String,
    force: bool,
}

#[derive(Debug, Serialize)]
struct Named {
    node: String,
}

async fn verb(
    context: &Context<'_>,
    id: &str,
    name: &str,
    body: Bytes,
    command_id: Option<String>,
) -> Result<Option<Operation>, Refusal> {
    // No fields is an object without any, which every verb reads.
    let body = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    let target = Target::Operation(identity::operation("id", id)?);
    let call = Call::of(context)?;
    let success = call
        .command(target, name, body, command_id.as_deref())
        .await?;
    Operation::read(&success.body).map(Some)
}

async fn tell<T: for<'de> Deserialize<'de>>(
    context: &Context<'_>,
    name: &str,
    body: &impl Serialize,
) -> Result<Option<T>, Refusal> {
    let call = Call::of(context)?;
    let success = call
        .command(Target::Cluster, name, encode(body)?, None)
        .await?;
    decode(&success.body).map(Some)
}

fn text(field: &str, value: Option<AnyJson>) -> Result<Option<Box<RawValue>>, Refusal> {
    let Some(Json(value)) = value else {
        return Ok(None);
    };
    let text = to_raw_value(&value);
    text.map(Some)
        .map_err(|error| Refusal::invalid(field, error.to_string()))
}
