//! The demo application: a counter, a room and the digest of bytes. It ships with the binary and shows how
//! an application is written.

mod counter;
mod digest;
mod room;

pub use counter::{Count, Counter};
pub use digest::DigestHandler;
pub use room::{Message, Messages, Room};

use crate::app::{Application, BuildError};
use crate::processing::Policy;

/// The demo application. With the variable `SELVEDGE_DIGEST_LOG`, each execution of the step of `digest`
/// appends its operation's id to that file.
pub fn application() -> Result<Application, BuildError> {
    let digest = match std::env::var_os("SELVEDGE_DIGEST_LOG") {
        None => DigestHandler::default(),
        Some(path) => DigestHandler::with_log(path.as_ref())?,
    };
    Application::builder()
        .kind(Counter)
        .kind(Room)
        .operation("digest", digest, Policy::default())
        .build()
}
