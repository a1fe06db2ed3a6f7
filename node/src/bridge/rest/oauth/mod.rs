//! OAuth 2 and OpenID Connect, as far as a cluster that logs its own users in needs them: the page at which they do, the
//! endpoints of clients, and the document by which clients find these. Nothing that is shown here is logged.
//!
//! `authorize` is the page (`page` its HTML, `asked` what a client wants, pure), `token` what clients exchange, revoke and ask
//! about, `discovery` the document, `form` how all of them are asked and refuse, `doc` their descriptions.

mod asked;
mod authorize;
mod discovery;
pub(super) mod doc;
mod form;
mod page;
mod token;

use crate::bridge::rest::table::Table;

pub(super) fn of_oauth(table: Table) -> Table {
    let authorize = "/oauth/authorize";
    table
        .get(authorize, authorize::page, doc::authorize)
        .post(authorize, authorize::log_in, doc::authorize_log_in)
        .post("/oauth/token", token::token, doc::token)
        .post("/oauth/revoke", token::revoke, doc::revoke)
        .post("/oauth/introspect", token::introspect, doc::introspect)
        .get("/.well-known/jwks.json", token::keys, doc::keys)
        .get(
            "/.well-known/openid-configuration",
            discovery::document,
            doc::discovery,
        )
        .get(
            "/.well-known/oauth-authorization-server",
            discovery::document,
            doc::discovery_of_oauth,
        )
}
