//! The demo application: a counter, a room, the digest of bytes and an import in five steps. It ships with
//! the binary and shows how an application is written.

mod counter;
mod digest;
mod import;
mod log;
mod room;

pub use counter::{Count, Counter};
pub use digest::DigestHandler;
pub use import::ImportHandler;
pub use room::{Message, Messages, Room};

use crate::app::{Application, BuildError};
use crate::demo_app::log::StepLog;
use crate::processing::Policy;

/// The demo application. With the variable `SELVEDGE_DIGEST_LOG`, each execution of the step of `digest`
/// appends its operation's id to that file; with `SELVEDGE_IMPORT_LOG`, each step and compensation of `import`
/// its idempotency key.
pub fn application() -> Result<Application, BuildError> {
    let log = |variable| match std::env::var_os(variable) {
        None => Ok(StepLog::default()),
        Some(path) => StepLog::open(path.as_ref()),
    };
    let digest = DigestHandler::new(log("SELVEDGE_DIGEST_LOG")?);
    let import = ImportHandler::new(log("SELVEDGE_IMPORT_LOG")?);
    Application::builder()
        .kind(Counter)
        .kind(Room)
        .operation("digest", digest, Policy::default())
        .operation("import", import, Policy::default())
        .build()
}
