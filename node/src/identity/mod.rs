//! Who acts, and what they may: authentication of principals, roles and the table of permissions, authorisation, and
//! resume tokens.
//!
//! Sessions and requests ask here before anything of a client reaches the inside. Nothing here knows a transport,
//! and no secret is ever part of a log or an error.

mod authenticator;
mod authorize;
mod directory;
pub mod jwt;
mod permission;
mod principal;
mod resume;
mod role;
mod secret;
mod standing;
mod tokens;

pub use authenticator::{Authenticator, DevelopmentToken};
pub use authorize::{authorize, scope};
pub use directory::Directory;
pub use permission::{Action, Entry, Holder, Owner, Permission, Request, Resource, TABLE};
pub use principal::Principal;
pub(crate) use principal::Term;
pub use resume::{ResumeClaims, ResumeKey};
pub use role::{BUILT_IN, Role, Rule, Scope};
pub use secret::Secret;
pub use standing::{Basis, Standing, Standings};
pub use tokens::Tokens;
