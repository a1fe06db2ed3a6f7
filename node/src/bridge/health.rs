//! What tells how the node is: for orchestrators, for Prometheus, and for whoever wants to know what runs here.
//!
//! These need no credentials and say nothing of what the node holds.

use std::fmt;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::Data;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use crate::bridge::Inside;

/// What runs here.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    pub node: String,
    /// The version of the binary.
    pub version: String,
    /// Versions of the session protocol, best first.
    pub protocol: Vec<u8>,
    /// The version of the store's schema.
    pub schema: u32,
    /// Versions of the HTTP interface, best first.
    pub api: Vec<&'static str>,
}

/// Whether the node serves what it is there for.
#[derive(Clone)]
pub struct Health(Arc<dyn Fn() -> Vec<String> + Send + Sync>);

impl Health {
    /// `waits_for` names what the node waits for, as sentences; nothing where it serves.
    pub fn new(waits_for: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(waits_for))
    }

    /// What it waits for.
    pub fn waits_for(&self) -> Vec<String> {
        (self.0)()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.waits_for()).finish()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    status: &'static str,
    node: &'a str,
    reasons: Vec<String>,
}

/// The process lives and its threads turn.
pub(super) async fn livez() -> HttpResponse {
    fresh(StatusCode::OK).json(serde_json::json!({ "status": "ok" }))
}

/// Whether clients are to be sent here.
pub(super) async fn readyz(inside: Data<Inside>) -> HttpResponse {
    let reasons = inside.health.waits_for();
    let (code, status) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    fresh(code).json(State {
        status,
        node: &inside.about.node,
        reasons,
    })
}

pub(super) async fn version(inside: Data<Inside>) -> HttpResponse {
    fresh(StatusCode::OK).json(&*inside.about)
}

/// For Prometheus, text format 0.0.4.
pub(super) async fn metrics(inside: Data<Inside>) -> HttpResponse {
    fresh(StatusCode::OK)
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(inside.metrics.render())
}

/// An answer of this moment.
fn fresh(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}
