//! The demo application: a counter, a room, a register, a profile of a person, the digest of bytes, an import in five steps, outgoing
//! calls and sagas. It ships with the binary and shows how an application is written; `selvedge verify` writes
//! to its counters and registers.

mod counter;
mod digest;
mod import;
mod log;
mod profile;
mod register;
mod room;

pub use counter::{Count, Counter};
pub use digest::DigestHandler;
pub use import::ImportHandler;
pub use profile::{Fields, Profile};
pub(crate) use register::REGISTER_ITEMS_MAX;
pub use register::{Register, Registered};
pub use room::{Message, Messages, Room};

use std::env::VarError;

use crate::app::{Application, BuildError};
use crate::demo_app::log::StepLog;
use crate::processing::Policy;
use crate::processing::builtin::http::{Allowed, AllowedError, HttpConfig, HttpHandler};
use crate::processing::builtin::saga::SagaHandler;

/// The demo application. With the variable `SELVEDGE_DIGEST_LOG`, each execution of the step of `digest`
/// appends its operation's id to that file; with `SELVEDGE_IMPORT_LOG`, each step and compensation of `import`
/// its idempotency key. `SELVEDGE_HTTP_ALLOW` lists hosts and networks that `http` may call although they are
/// not public, separated by commas.
pub fn application() -> Result<Application, BuildError> {
    let log = |variable: &str| match std::env::var_os(variable) {
        None => Ok(StepLog::default()),
        Some(path) => StepLog::open(path.as_ref())
            .map_err(|error| wrong(variable, "give a file that can be written", error)),
    };
    let digest = DigestHandler::new(log("SELVEDGE_DIGEST_LOG")?);
    let import = ImportHandler::new(log("SELVEDGE_IMPORT_LOG")?);
    let http = HttpHandler::new(HttpConfig {
        allow: allowed()?,
        ..HttpConfig::default()
    });
    Application::builder()
        .kind(Counter)
        .kind(Room)
        .kind(Register)
        .kind(Profile)
        .operation("digest", digest, Policy::default())
        .operation("import", import, Policy::default())
        .operation("http", http, Policy::default())
        .operation("saga", SagaHandler, Policy::default())
        .build()
}

fn allowed() -> Result<Vec<Allowed>, BuildError> {
    const VARIABLE: &str = "SELVEDGE_HTTP_ALLOW";
    const REMEDY: &str = "list host names, addresses and networks, separated by commas";
    let texts = match std::env::var(VARIABLE) {
        Ok(texts) => texts,
        Err(VarError::NotPresent) => return Ok(Vec::new()),
        Err(error @ VarError::NotUnicode(_)) => return Err(wrong(VARIABLE, REMEDY, error)),
    };
    let texts = texts.split(',').map(str::trim);
    let named = texts.filter(|text| !text.is_empty());
    let allowed: Result<_, AllowedError> = named.map(str::parse).collect();
    allowed.map_err(|error| wrong(VARIABLE, REMEDY, error))
}

fn wrong(
    variable: &str,
    remedy: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BuildError {
    BuildError::Setting {
        name: variable.to_owned(),
        remedy,
        source: error.into(),
    }
}
