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
use utoipa::ToSchema;

use crate::bridge::hold::Draining;
use crate::bridge::rest::Doc;
use crate::bridge::{Inside, scrape};

/// What runs here.
#[derive(Debug, Clone, Serialize, ToSchema)]
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
    /// How browsers reach the same sessions over QUIC. Null where this node has no port for it.
    pub web_transport: Option<WebTransport>,
}

/// What a page gives to `new WebTransport("https://HOST:PORT/PATH", …)`; the host is the one that it has asked.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebTransport {
    pub port: u16,
    pub path: &'static str,
    /// SHA-256 of the certificate, in base64, for `serverCertificateHashes`. Empty: an authority that browsers know has
    /// signed it.
    pub certificate_hashes: Vec<String>,
}

/// A part of the node, and what is the matter with it: sentences, each with what helps. None where it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub reasons: Vec<String>,
}

/// Whether the node serves what it is there for.
#[derive(Clone)]
pub struct Health(Arc<dyn Fn() -> Vec<Part> + Send + Sync>);

impl Health {
    /// `look` tells how each part is now.
    pub fn new(look: impl Fn() -> Vec<Part> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    /// How each part is.
    pub fn parts(&self) -> Vec<Part> {
        (self.0)()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.parts()).finish()
    }
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Ready<'a> {
    status: &'static str,
    node: &'a str,
    reasons: Vec<String>,
}

/// The answer of `/healthz`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Healthy<'a> {
    status: &'static str,
    node: &'a str,
    version: &'a str,
    sessions: usize,
    parts: Vec<Shown>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: &'static str,
    status: &'static str,
    reasons: Vec<String>,
}

/// The answer of `/livez`.
#[derive(Debug, Serialize, ToSchema)]
struct Lives {
    status: &'static str,
}

pub(super) fn livez_doc() -> Doc {
    let lives = serde_json::json!({ "status": "ok" });
    Doc::open("livez", "node", "Whether the process lives.")
        .answers::<Lives>(200, "It does.", lives)
}

pub(super) fn readyz_doc() -> Doc {
    let ready = serde_json::json!({ "status": "ready", "node": "node-1", "reasons": [] });
    let not = serde_json::json!({
        "status": "not ready", "node": "node-1", "reasons": ["the node drains; ask another, or again when it is back"],
    });
    Doc::open("readyz", "node", "Whether clients are to be sent here.")
        .answers::<Ready<'_>>(200, "They are.", ready)
        .answers::<Ready<'_>>(503, "They are not, for these reasons.", not)
}

pub(super) fn healthz_doc() -> Doc {
    let part = serde_json::json!({ "name": "store", "status": "ok", "reasons": [] });
    let healthy = serde_json::json!({
        "status": "ok", "node": "node-1", "version": "0.1.0", "sessions": 0, "parts": [part],
    });
    Doc::open("healthz", "node", "How each part of the node is.")
        .answers::<Healthy<'_>>(200, "All serve.", healthy.clone())
        .answers::<Healthy<'_>>(503, "Some do not.", healthy)
}

pub(super) fn version_doc() -> Doc {
    let about = serde_json::json!({
        "node": "node-1", "version": "0.1.0", "protocol": [1], "schema": 1, "api": ["v1"],
        "webTransport": { "port": 7400, "path": "/session", "certificateHashes": [] },
    });
    Doc::open("version", "node", "What runs here.").answers::<About>(200, "Versions.", about)
}

pub(super) fn metrics_doc() -> Doc {
    Doc::open("metrics", "node", "What was counted.").text(
        200,
        "Prometheus' text format 0.0.4.",
        "text/plain",
    )
}

/// The process lives and its threads turn.
pub(super) async fn livez() -> HttpResponse {
    fresh(StatusCode::OK).json(Lives { status: "ok" })
}

/// Whether clients are to be sent here.
pub(super) async fn readyz(inside: Data<Inside>, draining: Data<Draining>) -> HttpResponse {
    let parts = parts(&inside, &draining);
    let reasons: Vec<_> = parts.into_iter().flat_map(|part| part.reasons).collect();
    let (code, status) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    fresh(code).json(Ready {
        status,
        node: &inside.about.node,
        reasons,
    })
}

/// The same, part by part.
pub(super) async fn healthz(inside: Data<Inside>, draining: Data<Draining>) -> HttpResponse {
    let parts = parts(&inside, &draining);
    let is_well = parts.iter().all(|part| part.reasons.is_empty());
    let (code, status) = match is_well {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    let shown = parts.into_iter().map(|Part { name, reasons }| Shown {
        name,
        status: if reasons.is_empty() { "ok" } else { "failing" },
        reasons,
    });
    fresh(code).json(Healthy {
        status,
        node: &inside.about.node,
        version: &inside.about.version,
        sessions: inside.sessions.len(),
        parts: shown.collect(),
    })
}

/// The parts of the node, and the bridge itself.
fn parts(inside: &Inside, draining: &Draining) -> Vec<Part> {
    let mut parts = inside.health.parts();
    let reasons = match draining.is_begun() {
        true => vec!["the node drains; ask another, or again when it is back".to_owned()],
        false => Vec::new(),
    };
    parts.push(Part {
        name: "bridge",
        reasons,
    });
    parts
}

pub(super) async fn version(inside: Data<Inside>) -> HttpResponse {
    fresh(StatusCode::OK).json(&*inside.about)
}

/// For Prometheus, text format 0.0.4.
pub(super) async fn metrics(inside: Data<Inside>) -> HttpResponse {
    scrape::look(&inside);
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
