//! Answers: JSON with what caches and conditional requests need (RFC 9110, 13). Handlers build theirs here.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH, LINK, VARY};
use bytes::Bytes;
use selvedge_protocol::frame::Success;
use selvedge_protocol::{ErrorCode, Failure};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::bridge::problem::Problem;
use crate::bridge::rest::call::Call;

/// An answer of this moment.
pub(crate) fn json(status: StatusCode, body: impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body)
}

/// The same, of JSON text that is at hand.
pub(crate) fn text(status: StatusCode, body: Bytes) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(body)
}

/// A page, with where the next one is.
pub(crate) fn page(call: &Call, body: Bytes, next: Option<&str>) -> HttpResponse {
    let mut answer = text(StatusCode::OK, body);
    if let Some(next) = next {
        let link = format!("<{}?{next}>; rel=\"next\"", call.request().path());
        if let Ok(link) = HeaderValue::from_str(&link) {
            answer.headers_mut().insert(LINK, link);
        }
    }
    answer
}

/// What is there, or that it is what the client has. Its tag is strong: the version, by which a write may be
/// conditional, and a hash of the bytes, since what is shown beside what is stored has no version.
pub(crate) fn tagged(call: &Call, version: u64, body: Bytes) -> HttpResponse {
    let hash = blake3::hash(&body);
    let hash = u64::from_le_bytes(std::array::from_fn(|at| hash.as_bytes()[at]));
    let tag = format!("\"{version}-{hash:016x}\"");
    let known = call.request().headers().get_all(IF_NONE_MATCH);
    let is_known = known.filter_map(|it| it.to_str().ok()).any(|known| {
        let mut tags = known.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    });
    let mut response = match is_known {
        true => HttpResponse::build(StatusCode::NOT_MODIFIED),
        false => HttpResponse::build(StatusCode::OK),
    };
    response
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "private, no-cache"))
        .insert_header((VARY, "Authorization, Selvedge-Tenant, Accept"));
    match is_known {
        true => response.finish(),
        false => response.content_type("application/json").body(body),
    }
}

/// The body of a success, which is JSON text; one that says nothing is `null`.
pub(crate) fn raw(success: &Success) -> Result<&RawValue, Problem> {
    if success.body.is_empty() {
        return Ok(RawValue::NULL);
    }
    serde_json::from_slice(&success.body).map_err(|error| {
        tracing::error!(%error, "an answer of the node is no JSON");
        unreadable()
    })
}

/// JSON text of a value.
pub(crate) fn encode(value: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        unreadable()
    })
}

pub(crate) fn unreadable() -> Problem {
    Failure::new(
        ErrorCode::Internal,
        "the answer cannot be made; the node's log says more",
    )
    .into()
}
