//! Tokens that the cluster issues itself: access tokens for some minutes, and the refresh tokens of logins that go on.
//!
//! Access tokens are JWTs, verified like those of others (`jwt`), under keys of the cluster's own (`signing_key`, and `ring`
//! for which of them signs). A login is a `family` of refresh tokens (`refresh`).

mod family;
mod keys;
mod logins;
mod refresh;
mod ring;
mod rows;
mod secrets;
mod signing_key;
mod who;

pub use logins::{ClientName, Grant, Login, Logins, NotRefreshed};
pub use rows::LoginShown;
