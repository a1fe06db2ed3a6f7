//! `/v1/roles`, `/v1/api-keys`, and the sessions of a principal: each one query or command about who is known. What is
//! named in a path is looked for in the caller's tenant alone.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use actix_web::web::Payload;
use bytes::Bytes;
use selvedge_protocol::Target;
use selvedge_protocol::frame::{Consistency, Success};
use selvedge_protocol::limits::ROLE_RULES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder};

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::condition;
use crate::bridge::rest::doc::one_of;
use crate::bridge::rest::identity;
use crate::bridge::rest::parameters::{Parameters, invalid};
use crate::gateway::{CommandCall, CommandPayload, QueryCall};
use crate::identity::every_rule;

/// The body of a role.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    #[schema(schema_with = rules)]
    rules: Vec<String>,
}

/// A key to be made.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewApiKey {
    /// For people: one line, without control characters.
    #[schema(
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]{1,128}$"
    )]
    name: String,
    /// Names of roles; whoever makes the key may do all that they give.
    #[schema(max_items = 32)]
    roles: Vec<String>,
    /// Not valid from then on; without it, until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Those that mean something.
fn rules() -> Array {
    let item = one_of(&every_rule().iter().map(String::as_str).collect::<Vec<_>>());
    ArrayBuilder::new()
        .items(item)
        .max_items(Some(ROLE_RULES_MAX))
        .description(Some(
            "`RESOURCE:ACTION`, either of them `*`; with `:own` behind, for what is the principal's own.",
        ))
        .build()
}

/// The body of `revoke`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Where the next page begins.
#[derive(Debug, Deserialize)]
struct Paged {
    cursor: Option<String>,
}

/// What a key is found by.
#[derive(Debug, Deserialize)]
struct Made {
    id: String,
}

pub(crate) async fn roles(call: Call) -> Result<HttpResponse, Problem> {
    list(&call, "role.list").await
}

pub(crate) async fn role(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let body = json!({ "name": call.part("name")? });
    let success = ask(&call, "role.get", &body).await?;
    Ok(answer::tagged(&call, success.version, success.body))
}

pub(crate) async fn set_role(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let Rules { rules } = call.body(payload).await?;
    let body = json!({ "name": call.part("name")?, "rules": rules });
    let success = tell(&call, "role.set", &body).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

pub(crate) async fn remove_role(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let body = json!({ "name": call.part("name")? });
    tell(&call, "role.remove", &body).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn api_keys(call: Call) -> Result<HttpResponse, Problem> {
    list(&call, "api-key.list").await
}

pub(crate) async fn api_key(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let success = ask(&call, "api-key.get", &id(&call)?).await?;
    Ok(answer::tagged(&call, success.version, success.body))
}

/// The one answer that has the key's text.
pub(crate) async fn make_api_key(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let new: NewApiKey = call.body(payload).await?;
    let success = tell(&call, "api-key.create", &new).await?;
    let Made { id } = read(&success.body)?;
    let mut response = answer::text(StatusCode::CREATED, success.body);
    // Ids need no escapes.
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/api-keys/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, never);
    Ok(response)
}

pub(crate) async fn revoke_api_key(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let _: Option<Nothing> = call.optional(payload).await?;
    let success = tell(&call, "api-key.revoke", &id(&call)?).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

pub(crate) async fn remove_api_key(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    tell(&call, "api-key.remove", &id(&call)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn close_sessions(call: Call) -> Result<HttpResponse, Problem> {
    let parameters = call.parameters(&["principal"])?;
    let Some(principal) = parameters.text("principal") else {
        let message = "name the principal whose sessions are to be closed";
        return Err(invalid("principal", message));
    };
    let body = json!({ "principal": principal });
    tell(&call, "session.close-all", &body).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn list(call: &Call, name: &str) -> Result<HttpResponse, Problem> {
    let parameters = call.parameters(&["cursor", "limit"])?;
    let success = ask(call, name, &page(&parameters)?).await?;
    let Paged { cursor } = read(&success.body)?;
    let next = cursor.map(|cursor| parameters.with_cursor(&cursor));
    Ok(answer::page(call, success.body, next.as_deref()))
}

fn page(parameters: &Parameters) -> Result<Value, Problem> {
    let limit = parameters.limit()?;
    Ok(json!({ "cursor": parameters.text("cursor"), "limit": limit }))
}

fn id(call: &Call) -> Result<Value, Problem> {
    Ok(json!({ "id": call.part("id")? }))
}

pub(super) async fn ask(call: &Call, name: &str, body: &Value) -> Result<Success, Problem> {
    let query = QueryCall {
        target: Target::Cluster,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        consistency: Consistency::Linearizable,
        deadline: call.deadline(),
    };
    Ok(call.inside.query(&call.caller, query).await?)
}

pub(super) async fn tell(
    call: &Call,
    name: &str,
    body: &impl Serialize,
) -> Result<Success, Problem> {
    let command = CommandCall {
        identity: identity::command(call, &Target::Cluster)?,
        target: Target::Cluster,
        name: name.to_owned(),
        body: answer::encode(body)?,
        payload: CommandPayload::None,
        if_version: condition::version(call, None)?,
        deadline: call.deadline(),
    };
    let done = call.inside.command(&call.caller, command).await;
    done.map_err(condition::refused)
}

pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        tracing::error!(%error, "an answer of the node is no JSON");
        answer::unreadable()
    })
}
