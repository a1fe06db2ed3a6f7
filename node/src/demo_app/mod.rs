//! The demo application: a counter, a room, the digest of bytes, outgoing calls and sagas. It ships with
//! the binary and shows how an application is written.

mod counter;
mod digest;
mod room;

pub use counter::{Count, Counter};
pub use digest::DigestHandler;
pub use room::{Message, Messages, Room};

use crate::app::{Application, BuildError};
use crate::processing::Policy;
use crate::processing::builtin::http::{Allowed, AllowedError, HttpConfig, HttpHandler};
use crate::processing::builtin::saga::SagaHandler;

/// The demo application. With the variable `SELVEDGE_DIGEST_LOG`, each execution of the step of `digest`
/// appends its operation's id to that file; `SELVEDGE_HTTP_ALLOW` lists hosts and networks that `http` may
/// call although they are not public, separated by commas.
pub fn application() -> Result<Application, BuildError> {
    let digest = match std::env::var_os("SELVEDGE_DIGEST_LOG") {
        None => DigestHandler::default(),
        Some(path) => DigestHandler::with_log(path.as_ref())?,
    };
    let allow = std::env::var("SELVEDGE_HTTP_ALLOW").unwrap_or_default();
    let http = HttpHandler::new(HttpConfig {
        allow: allowed(&allow)?,
        ..HttpConfig::default()
    });
    Application::builder()
        .kind(Counter)
        .kind(Room)
        .operation("digest", digest, Policy::default())
        .operation("http", http, Policy::default())
        .operation("saga", SagaHandler, Policy::default())
        .build()
}

fn allowed(texts: &str) -> Result<Vec<Allowed>, AllowedError> {
    let texts = texts.split(',').map(str::trim);
    let named = texts.filter(|text| !text.is_empty());
    named.map(str::parse).collect()
}
