//! The demo application: a counter, a room and the digest of bytes. It ships with the binary and shows how
//! an application is written.

mod counter;
mod digest;
mod room;

pub use counter::Counter;
pub use digest::DigestHandler;
pub use room::Room;

use crate::app::{Application, BuildError};
use crate::processing::Policy;

/// The demo application.
pub fn application(digest: DigestHandler) -> Result<Application, BuildError> {
    Application::builder()
        .kind(Counter)
        .kind(Room)
        .operation("digest", digest, Policy::default())
        .build()
}
