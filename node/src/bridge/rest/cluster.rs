//! `/v1/cluster`: how the nodes are, and what an administrator tells them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use bytes::Bytes;
use selvedge_protocol::Target;
use selvedge_protocol::frame::Consistency;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::identity;
use crate::gateway::{CommandCall, CommandPayload, QueryCall};

/// The body of `drain`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drain {
    /// Also the last one that owns anything.
    #[serde(default)]
    force: bool,
}

/// The body of `undrain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(crate) async fn status(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    ask(&call, "status", &json!({})).await
}

pub(crate) async fn plan(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    ask(&call, "plan", &json!({})).await
}

pub(crate) async fn why(call: Call) -> Result<HttpResponse, Problem> {
    let parameters = call.parameters(&["node"])?;
    let body = match parameters.text("node") {
        Some(node) => json!({ "node": node }),
        None => json!({}),
    };
    ask(&call, "why", &body).await
}

pub(crate) async fn drain(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let body: Option<Drain> = call.optional(payload).await?;
    let Drain { force } = body.unwrap_or_default();
    let body = json!({ "node": call.part("node")?, "force": force });
    tell(&call, "drain", &body).await
}

pub(crate) async fn undrain(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let _: Option<Nothing> = call.optional(payload).await?;
    let body = json!({ "node": call.part("node")? });
    tell(&call, "undrain", &body).await
}

pub(crate) async fn remove(call: Call) -> Result<HttpResponse, Problem> {
    let body = json!({ "node": call.part("node")? });
    tell(&call, "remove", &body).await
}

async fn ask(call: &Call, name: &str, body: &Value) -> Result<HttpResponse, Problem> {
    let query = QueryCall {
        target: Target::Cluster,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        consistency: Consistency::Linearizable,
        deadline: call.deadline(),
    };
    let success = call.inside.query(&call.caller, query).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

async fn tell(call: &Call, name: &str, body: &Value) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let command = CommandCall {
        identity: identity::command(call, &Target::Cluster)?,
        target: Target::Cluster,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        payload: CommandPayload::None,
        if_version: None,
        deadline: call.deadline(),
    };
    let success = call.inside.command(&call.caller, command).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}
