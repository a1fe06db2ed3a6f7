//! Access tokens of foreign issuers, and of the cluster itself: signed JWTs, verified as the resource server of OAuth 2 does it.
//!
//! `issuers` is what the node asks. It has the token taken apart (`token`, `json`), looks for the key that its
//! issuer has published (`keys`, a pure machine over a `key_set` of `key`s, fed by a `source`: a file, or HTTPS
//! with or without discovery), and has its `claims` checked. `table` is the configuration, `refused` why not.
//!
//! By RFC 7515, 7517, 7519, 8725 and 9068. The algorithm is the key's and never the token's; nothing that a
//! token names is fetched; no token is written to a log.

mod claims;
mod issuers;
mod json;
mod key;
mod key_set;
mod keys;
mod own;
mod refused;
mod source;
mod table;
mod token;

#[cfg(test)]
mod tests;

pub use claims::Claims;
pub use issuers::Issuers;
pub use own::OwnIssuer;
pub use refused::{Fault, Refused};
pub use table::{ClaimPath, IssuerConfig, IssuerTable, WrongIssuer};
