//! `/v1/operations`: submit, list, look, steer. Each is one command or query of the operation's.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LOCATION, HeaderValue, LOCATION};
use actix_web::web::Payload;
use base64::Engine;
use base64::engine::general_purpose::GeneralPurpose;
use base64::{alphabet, engine};
use bytes::Bytes;
use selvedge_client::operation::{ListQuery, Operation, OperationStatus, SubmitBody};
use selvedge_cluster::actor::Identity;
use selvedge_protocol::frame::{Consistency, Success};
use selvedge_protocol::limits::{
    INLINE_BYTES_MAX, OPERATION_LABEL_BYTES_MAX, OPERATION_LABELS_MAX, PAYLOAD_BYTES_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, OperationId, OperationType, Target};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::{Call, wrong};
use crate::bridge::rest::condition;
use crate::bridge::rest::doc::chars;
use crate::bridge::rest::identity;
use crate::bridge::rest::parameters::invalid;
use crate::gateway::{CommandCall, CommandPayload, QueryCall};

/// A submission: the body of [`SubmitBody`] with its id, and the bytes beside the input.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Submission {
    /// Unique within the tenant. Without one it is made of the `Idempotency-Key`, or new.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$")]
    id: Option<String>,
    /// Which handler runs it.
    #[schema(pattern = "^[a-z][a-z0-9_.-]{0,63}$")]
    r#type: String,
    /// For the handler: at most 64 KiB of JSON, all arguments together.
    #[serde(default)]
    #[schema(value_type = Value, required = false)]
    input: Option<Box<RawValue>>,
    /// Whatever is to be kept with it.
    #[serde(default)]
    #[schema(value_type = Value, required = false)]
    metadata: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(schema_with = labels)]
    labels: BTreeMap<String, String>,
    /// Higher goes first.
    #[serde(default)]
    #[schema(minimum = -2147483648, maximum = 2147483647)]
    priority: i32,
    /// Not before.
    #[serde(default)]
    #[schema(format = DateTime)]
    run_at: Option<String>,
    /// It fails unless it is final by then.
    #[serde(default)]
    #[schema(format = DateTime)]
    deadline: Option<String>,
    /// Bytes beside the input, base64: at most 8 MiB.
    #[serde(default)]
    #[schema(pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")]
    payload: Option<String>,
}

fn labels() -> Object {
    let text = || chars(1, OPERATION_LABEL_BYTES_MAX);
    let key = text().pattern(Some("^[^=]+$")).build();
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "At most 16, by which operations are listed; keys have no `=`.",
        ))
        .property_names(Some(key))
        .additional_properties(Some(text()))
        .max_properties(Some(OPERATION_LABELS_MAX))
        .build()
}

/// The body of `retry`.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// The first step to run again; without one, the first that is not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// The body of `signal`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signal {
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    data: Option<Box<RawValue>>,
}

/// The body of verbs that take nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(crate) async fn submit(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let submission: Submission = call.body(payload).await?;
    let key = identity::key(&call)?;
    let id = match &submission.id {
        Some(id) => OperationId::new(id).map_err(|error| wrong("id", &error))?,
        None => chosen_id(&call, key.as_deref())?,
    };
    let payload = stored(submission.payload.as_deref())?;
    let operation_type =
        OperationType::new(&submission.r#type).map_err(|error| wrong("type", &error))?;
    let body = answer::encode(&SubmitBody {
        operation_type,
        input: submission.input,
        metadata: submission.metadata,
        labels: submission.labels,
        priority: submission.priority,
        run_at: submission.run_at,
        deadline: submission.deadline,
    })?;
    within("input", &body)?;
    let command = CommandCall {
        target: Target::Operation(id.clone()),
        // The id of the operation makes repeats harmless.
        identity: Identity::Natural,
        name: "submit".to_owned(),
        body,
        payload,
        if_version: None,
        deadline: call.deadline(),
    };
    let success = call.inside.command(&call.caller, command).await?;
    let Submitted { created } = parsed(&success.body)?;
    let status = match created {
        true => StatusCode::ACCEPTED,
        false => StatusCode::OK,
    };
    let mut response = answer::text(status, operation(&success)?);
    // Ids need no escapes.
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/operations/{id}")) {
        let name = if created { LOCATION } else { CONTENT_LOCATION };
        response.headers_mut().insert(name, location);
    }
    Ok(response)
}

pub(crate) async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let parameters = call.parameters(&[
        "status",
        "type",
        "label",
        "createdBy",
        "createdAfter",
        "createdBefore",
        "cursor",
        "limit",
    ])?;
    let text = |name: &str| parameters.text(name).map(ToOwned::to_owned);
    let query = ListQuery {
        status: parameters.of::<OperationStatus>("status")?,
        operation_type: parameters.of::<OperationType>("type")?,
        label: text("label"),
        created_by: text("createdBy"),
        created_after: text("createdAfter"),
        created_before: text("createdBefore"),
        cursor: text("cursor"),
        limit: Some(u32::try_from(parameters.limit()?).unwrap_or(u32::MAX)),
    };
    let query = QueryCall {
        target: Target::Operations,
        name: "list".to_owned(),
        body: answer::encode(&query)?,
        consistency: Consistency::Linearizable,
        deadline: call.deadline(),
    };
    let success = call.inside.query(&call.caller, query).await?;
    let Paged { cursor } = parsed(&success.body)?;
    let next = cursor.map(|cursor| parameters.with_cursor(&cursor));
    Ok(answer::page(&call, success.body, next.as_deref()))
}

pub(crate) async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let consistency = consistency(&call)?;
    let success = look(&call, "get", consistency).await?;
    Ok(answer::tagged(&call, success.version, success.body))
}

pub(crate) async fn why(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let success = look(&call, "why", Consistency::Linearizable).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

pub(crate) async fn cancel(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    plain(&call, payload, "cancel").await
}

pub(crate) async fn pause(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    plain(&call, payload, "pause").await
}

pub(crate) async fn resume(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    plain(&call, payload, "resume").await
}

pub(crate) async fn retry(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let body: Option<Retry> = call.optional(payload).await?;
    verb(&call, "retry", answer::encode(&body.unwrap_or_default())?).await
}

pub(crate) async fn signal(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let body: Signal = call.body(payload).await?;
    verb(&call, "signal", answer::encode(&body)?).await
}

/// A verb that takes nothing.
async fn plain(call: &Call, payload: Payload, name: &str) -> Result<HttpResponse, Problem> {
    let _: Option<Nothing> = call.optional(payload).await?;
    verb(call, name, Bytes::new()).await
}

/// Tells an operation something; answers with what it is then.
async fn verb(call: &Call, name: &str, body: Bytes) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    within("data", &body)?;
    let target = Target::Operation(call.operation()?);
    let command = CommandCall {
        identity: identity::command(call, &target)?,
        target,
        name: name.to_owned(),
        body,
        payload: CommandPayload::None,
        if_version: condition::version(call, None)?,
        deadline: call.deadline(),
    };
    let answer = call.inside.command(&call.caller, command).await;
    let success = answer.map_err(condition::refused)?;
    Ok(answer::text(StatusCode::OK, success.body))
}

/// Asks an operation something.
async fn look(call: &Call, name: &str, consistency: Consistency) -> Result<Success, Problem> {
    let query = QueryCall {
        target: Target::Operation(call.operation()?),
        name: name.to_owned(),
        body: Bytes::new(),
        consistency,
        deadline: call.deadline(),
    };
    Ok(call.inside.query(&call.caller, query).await?)
}

/// How fresh the answer is to be, by the one parameter of reads.
pub(crate) fn consistency(call: &Call) -> Result<Consistency, Problem> {
    let parameters = call.parameters(&["consistency"])?;
    match parameters.text("consistency") {
        None | Some("linearizable") => Ok(Consistency::Linearizable),
        Some("eventual") => Ok(Consistency::Eventual),
        Some(_) => Err(invalid("consistency", "use linearizable or eventual")),
    }
}

/// Arguments are as large as they may be over any way.
pub(crate) fn within(field: &str, body: &Bytes) -> Result<(), Problem> {
    if body.len() <= INLINE_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "arguments have at most {INLINE_BYTES_MAX} bytes of JSON; this has {}",
        body.len()
    );
    Err(Failure::field(ErrorCode::TooLarge, field, message).into())
}

/// The id of one that the client gave none: by its `Idempotency-Key`, so that a repeat is the same operation.
fn chosen_id(call: &Call, key: Option<&str>) -> Result<OperationId, Problem> {
    let scope = call.scope(&Target::Operations);
    let id = match key {
        Some(key) => identity::of_key(key, &scope),
        None => identity::random(call),
    };
    OperationId::new(id.to_string()).map_err(|error| wrong("id", &error))
}

fn stored(payload: Option<&str>) -> Result<CommandPayload, Problem> {
    let Some(text) = payload else {
        return Ok(CommandPayload::None);
    };
    let bytes = BASE64.decode(text).map_err(|error| {
        invalid(
            "payload",
            format!("the payload is no base64 (RFC 4648, 4): {error}"),
        )
    })?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        let message = format!(
            "a payload of {} bytes is over the {PAYLOAD_BYTES_MAX} that are stored; stream it over QUIC",
            bytes.len()
        );
        return Err(Failure::field(ErrorCode::TooLarge, "payload", message).into());
    }
    Ok(CommandPayload::Whole(bytes.into()))
}

/// The operation of an answer to a submit, without what that says beside.
fn operation(success: &Success) -> Result<Bytes, Problem> {
    let operation: Operation = parsed(&success.body)?;
    answer::encode(&operation)
}

/// Whatever the bits are that no byte is made of: encoders differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// What an answer to a submit says beside the operation.
#[derive(Deserialize)]
struct Submitted {
    created: bool,
}

/// What of a page is looked at.
#[derive(Deserialize)]
struct Paged {
    cursor: Option<String>,
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        tracing::error!(%error, "an answer about operations does not read");
        answer::unreadable()
    })
}
