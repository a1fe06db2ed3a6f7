//! `/v1/actors`: command, look, ask, list.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use selvedge_protocol::frame::{Consistency, Success};
use selvedge_protocol::limits::NAME_BYTES_MAX;
use selvedge_protocol::{ActorKind, Target};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::{Call, wrong};
use crate::bridge::rest::condition;
use crate::bridge::rest::identity;
use crate::bridge::rest::operations::{consistency, within};
use crate::bridge::rest::parameters::{Parameters, invalid};
use crate::gateway::{ACTOR_PAGE_MAX, CommandCall, CommandPayload, QueryCall};

/// A command.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Command {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    command: String,
    /// Its arguments, as the kind of the actor has them: at most 64 KiB of JSON.
    #[serde(default)]
    #[schema(value_type = Value, required = false)]
    body: Option<Box<RawValue>>,
    /// It is refused unless the actor has this version; 0: it was never committed. The same as `If-Match`.
    #[serde(default)]
    if_version: Option<u64>,
}

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Query {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    query: String,
    /// Its arguments, as the kind of the actor has them: at most 64 KiB of JSON.
    #[serde(default)]
    #[schema(value_type = Value, required = false)]
    body: Option<Box<RawValue>>,
}

/// An answer under its name, and as of when it is.
#[derive(Debug, Serialize)]
struct Reply<'a> {
    reply: &'a RawValue,
    seq: u64,
    version: u64,
}

#[derive(Debug, Serialize)]
struct State<'a> {
    state: &'a RawValue,
    seq: u64,
    version: u64,
}

pub(crate) async fn command(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let target = Target::Actor(call.actor()?);
    let body: Command = call.body(payload).await?;
    named("command", &body.command)?;
    let arguments = arguments(body.body)?;
    let command = CommandCall {
        identity: identity::command(&call, &target)?,
        target,
        name: body.command,
        body: arguments,
        payload: CommandPayload::None,
        if_version: condition::version(&call, body.if_version)?,
        deadline: call.deadline(),
    };
    let answer = call.inside.command(&call.caller, command).await;
    reply(&answer.map_err(condition::refused)?)
}

pub(crate) async fn query(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let consistency = consistency(&call)?;
    let target = Target::Actor(call.actor()?);
    let body: Query = call.body(payload).await?;
    named("query", &body.query)?;
    let query = QueryCall {
        target,
        name: body.query,
        body: arguments(body.body)?,
        consistency,
        deadline: call.deadline(),
    };
    let success = call.inside.query(&call.caller, query).await?;
    reply(&success)
}

pub(crate) async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let consistency = consistency(&call)?;
    let query = QueryCall {
        target: Target::Actor(call.actor()?),
        name: "state".to_owned(),
        body: Bytes::from_static(b"{}"),
        consistency,
        deadline: call.deadline(),
    };
    let success = call.inside.query(&call.caller, query).await?;
    let body = answer::encode(&State {
        state: answer::raw(&success)?,
        seq: success.seq,
        version: success.version,
    })?;
    Ok(answer::tagged(&call, success.version, body))
}

pub(crate) async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let parameters = call.parameters(&["kind", "cursor", "limit"])?;
    let Some(kind) = parameters.text("kind") else {
        return Err(invalid("kind", "name the kind of actors to list"));
    };
    let kind = ActorKind::new(kind).map_err(|error| wrong("kind", &error))?;
    let limit = parameters.limit()?.min(ACTOR_PAGE_MAX);
    let after = after(&parameters)?;
    let query = QueryCall {
        target: Target::Actors,
        name: "list".to_owned(),
        body: answer::encode(&json!({ "kind": kind.as_str(), "after": after, "limit": limit }))?,
        consistency: Consistency::Linearizable,
        deadline: call.deadline(),
    };
    let success = call.inside.query(&call.caller, query).await?;
    let page: Keys = serde_json::from_slice(&success.body).map_err(|error| {
        tracing::error!(%error, "a list of actors does not read");
        answer::unreadable()
    })?;
    let is_full = page.keys.len() == limit;
    let cursor = page.keys.last().filter(|_| is_full);
    let cursor = cursor.map(|key| URL_SAFE_NO_PAD.encode(key));
    let items: Vec<_> = page
        .keys
        .iter()
        .map(|key| json!({ "kind": kind.as_str(), "key": key }))
        .collect();
    let next = cursor
        .as_deref()
        .map(|cursor| parameters.with_cursor(cursor));
    let body = answer::encode(&json!({ "items": items, "cursor": cursor }))?;
    Ok(answer::page(&call, body, next.as_deref()))
}

/// The answer to the query `list`.
#[derive(Debug, Deserialize)]
struct Keys {
    keys: Vec<String>,
}

/// The key after which a page begins.
fn after(parameters: &Parameters) -> Result<Option<String>, Problem> {
    let Some(cursor) = parameters.text("cursor") else {
        return Ok(None);
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(invalid("cursor", "use the cursor of the page before")),
    }
}

fn reply(success: &Success) -> Result<HttpResponse, Problem> {
    Ok(answer::json(
        StatusCode::OK,
        Reply {
            reply: answer::raw(success)?,
            seq: success.seq,
            version: success.version,
        },
    ))
}

/// A name as the protocol lets commands and queries have.
fn named(field: &str, name: &str) -> Result<(), Problem> {
    match (1..=NAME_BYTES_MAX).contains(&name.len()) {
        true => Ok(()),
        false => Err(invalid(
            field,
            format!("a name has 1 to {NAME_BYTES_MAX} bytes"),
        )),
    }
}

fn arguments(body: Option<Box<RawValue>>) -> Result<Bytes, Problem> {
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.get().to_owned()));
    within("body", &body)?;
    Ok(body)
}
