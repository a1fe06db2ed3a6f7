//! Tokens that the cluster issues itself: access tokens for some minutes, and the refresh tokens of logins that go on.
//!
//! Access tokens are JWTs, verified like those of others (`jwt`), under keys of the cluster's own (`signing_key`, and `ring`
//! for which of them signs). A login is a `family` of refresh tokens (`refresh`); where a client has sent its user, it begins with
//! a code (`codes`, bound to the client by `pkce`), for which the user logs in at a `page`. Access tokens of API keys are in
//! `key_grant`, those that were revoked one by one in `revoked`.

mod codes;
mod config;
mod family;
mod key_grant;
mod keys;
mod logins;
mod page;
mod pkce;
mod refresh;
mod revoked;
mod ring;
mod rotation;
mod rows;
mod secrets;
mod signing_key;
mod who;

pub use codes::{CodeAsked, CodeShown, IdToken};
pub(crate) use config::check_origin;
pub use config::{IssueConfig, TokensTable, WrongTokens};
pub use key_grant::{KeyGrant, KeyNotGranted};
pub use logins::{ClientName, Grant, Login, Logins, NotRefreshed};
pub use page::PageWrong;
pub use pkce::Challenge;
pub use revoked::NotRevoked;
pub use rotation::{Rotated, Rotation};
pub use rows::LoginShown;
