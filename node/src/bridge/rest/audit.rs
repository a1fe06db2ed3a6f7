//! `/v1/audit`: the audit trail of the caller's tenant, or of the cluster for its administrators; read and verified.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use bytes::Bytes;
use selvedge_protocol::Target;
use selvedge_protocol::frame::{Consistency, Success};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::Call;
use crate::gateway::QueryCall;

/// The body of `verify`.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyAudit {
    /// `tenant`, or `cluster` for an administrator of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    /// Where the part before ended: its `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<KnownRecord>,
    /// A record that is known from elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<KnownRecord>,
}

/// A record and its hash, in hexadecimal digits.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownRecord {
    number: u64,
    hash: String,
}

pub(crate) async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let texts = ["chain", "since", "until", "principal", "action", "cursor"];
    let known = [&texts[..], &["from", "limit"]].concat();
    let parameters = call.parameters(&known)?;
    let mut body = Map::new();
    for name in texts {
        if let Some(text) = parameters.text(name) {
            body.insert(name.to_owned(), text.into());
        }
    }
    if let Some(from) = parameters.of::<u64>("from")? {
        body.insert("from".to_owned(), from.into());
    }
    body.insert("limit".to_owned(), parameters.limit()?.into());
    let page = ask(&call, "audit.page", &Value::Object(body)).await?;
    let cursor: Cursor = serde_json::from_slice(&page.body).map_err(|_| answer::unreadable())?;
    let next = cursor.cursor.map(|cursor| parameters.with_cursor(&cursor));
    Ok(answer::page(&call, page.body, next.as_deref()))
}

pub(crate) async fn verify(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let body: Option<VerifyAudit> = call.optional(payload).await?;
    let success = ask(&call, "audit.verify", &json!(body.unwrap_or_default())).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

/// What is looked at of a page.
#[derive(Debug, Deserialize)]
struct Cursor {
    cursor: Option<String>,
}

async fn ask(call: &Call, name: &str, body: &Value) -> Result<Success, Problem> {
    let query = QueryCall {
        target: Target::Cluster,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        consistency: Consistency::Linearizable,
        deadline: call.deadline(),
    };
    Ok(call.inside.query(&call.caller, query).await?)
}
