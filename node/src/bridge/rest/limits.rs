//! `/v1/limits`: rates of tenants and principals, shown and set, and whom they refuse. Each is a query or command to the
//! cluster, as sessions have it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use bytes::Bytes;
use selvedge_cluster::actor::Identity;
use selvedge_protocol::Target;
use selvedge_protocol::frame::Consistency;
use selvedge_protocol::limits::LIMIT_RATE_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::Required;

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::doc::{Doc, chars, number, one_of};
use crate::bridge::rest::identity;
use crate::gateway::{CommandCall, CommandPayload, QueryCall};
use crate::limit::LimitName;

/// The body of a PUT.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LimitRate)]
pub(crate) struct Rate {
    /// `50/s`, `600/min`, `10/h`.
    rate: String,
    /// What may come at once [default: what comes in a second, at least 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    burst: Option<u64>,
}

pub(crate) async fn list(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    ask(&call, "limit.list", &json!({})).await
}

pub(crate) async fn get(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    ask(&call, "limit.get", &named(&call)?).await
}

pub(crate) async fn top(call: Call) -> Result<HttpResponse, Problem> {
    let limit = call.parameters(&["limit"])?.limit()?;
    ask(&call, "limit.top", &json!({ "limit": limit })).await
}

pub(crate) async fn set(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let rate: Rate = call.body(payload).await?;
    let mut body = named(&call)?;
    body["rate"] = json!(rate.rate);
    body["burst"] = json!(rate.burst);
    let set = tell(&call, "limit.set", &body).await?;
    Ok(answer::text(StatusCode::OK, set))
}

pub(crate) async fn delete(call: Call) -> Result<HttpResponse, Problem> {
    let body = named(&call)?;
    tell(&call, "limit.delete", &body).await?;
    Ok(HttpResponse::build(StatusCode::NO_CONTENT).finish())
}

/// The limit that the path names.
fn named(call: &Call) -> Result<Value, Problem> {
    Ok(json!({ "scope": call.part("scope")?, "limit": call.part("name")? }))
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

async fn tell(call: &Call, name: &str, body: &Value) -> Result<Bytes, Problem> {
    call.parameters(&[])?;
    let command = CommandCall {
        identity: Identity::Id(identity::random(call)),
        target: Target::Cluster,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        payload: CommandPayload::None,
        if_version: None,
        deadline: call.deadline(),
    };
    Ok(call.inside.command(&call.caller, command).await?.body)
}

const LIMITS: &str = "limits";

pub(crate) fn of_list() -> Doc {
    Doc::api(
        "listLimits",
        LIMITS,
        "The limits of the tenant and of its principals; to who administers the cluster, all.",
    )
    .answers::<Limits>(200, "All of them.", json!({ "items": [a_limit()] }))
}

pub(crate) fn of_get() -> Doc {
    named_in_path(Doc::api("getLimit", LIMITS, "A limit that is set."))
        .answers::<Limit>(200, "As it is.", a_limit())
        .refuses(&[404])
}

pub(crate) fn of_set() -> Doc {
    let api = Doc::api(
        "setLimit",
        LIMITS,
        "Sets a limit, in force on every node within a second.",
    );
    named_in_path(api)
        .body::<Rate>(Required::True, json!({ "rate": "50/s", "burst": 100 }))
        .answers::<Limit>(200, "As it is now.", a_limit())
        .refuses(&[409])
}

pub(crate) fn of_delete() -> Doc {
    let api = Doc::api("deleteLimit", LIMITS, "Takes a limit away.");
    named_in_path(api).says(204, "There is none now.")
}

pub(crate) fn of_top() -> Doc {
    let example = json!({ "items": [{
        "tenant": "default", "principal": "ann", "limit": "commands", "scope": "tenant", "refused": 450,
    }] });
    Doc::api(
        "topLimited",
        LIMITS,
        "Whom this node refused most in the last minute.",
    )
    .query("limit", number(1, 500), "How many of them.")
    .answers::<TopLimited>(200, "The most refused first.", example)
}

fn named_in_path(api: Doc) -> Doc {
    let names = LimitName::ALL.map(LimitName::name);
    api.path(
        "scope",
        chars(1, 300),
        "`tenant:NAME`, `tenant:*`, `principal:NAME` or `principal:*`.",
    )
    .path("name", one_of(&names), "What is limited.")
}

fn a_limit() -> Value {
    json!({
        "tenant": "default", "scope": "tenant:default", "limit": "commands", "rate": "50/s", "burst": 50, "batch": 5,
        "changedBy": "admin", "changedAt": "2026-01-01T00:00:00Z",
    })
}

/// All limits that somebody may see.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used, as below")]
struct Limits {
    items: Vec<Limit>,
}

/// A rate that is set.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the gateway makes it")]
struct Limit {
    /// `null`: it is of every tenant.
    #[schema(required = true)]
    tenant: Option<String>,
    scope: String,
    limit: String,
    rate: String,
    #[schema(maximum = 1_000_000_000)]
    burst: u64,
    /// What each node may be ahead of all others.
    batch: u64,
    changed_by: String,
    #[schema(format = DateTime)]
    changed_at: String,
}

/// Who is refused most.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the gateway makes it")]
struct TopLimited {
    items: Vec<Refused>,
}

/// Somebody who was refused.
#[derive(ToSchema)]
#[schema(as = RefusedShown)]
#[expect(dead_code, reason = "the gateway makes it")]
struct Refused {
    tenant: String,
    principal: String,
    limit: String,
    /// Whose limit it is: `connection`, `node`, `principal` or `tenant`.
    scope: String,
    refused: u64,
}

const _: () = assert!(LIMIT_RATE_MAX == 1_000_000_000, "as described");
