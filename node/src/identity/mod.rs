//! Who acts: authentication of principals, authorisation of what they do, and resume tokens.
//!
//! Sessions ask here before anything of a client reaches the inside. Nothing here knows a transport,
//! and no secret is ever part of a log or an error.

mod authenticator;
mod authorize;
pub mod jwt;
mod resume;
mod secret;

pub use authenticator::{Authenticator, DevelopmentToken, Principal};
pub use authorize::{Action, authorize};
pub use resume::{ResumeClaims, ResumeKey};
pub use secret::Secret;
