//! Who asks: from the headers of a request, or from the first message of a WebSocket.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use selvedge_protocol::limits::TOKEN_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure, Tenant};

use crate::bridge::Inside;
use crate::gateway::Caller;

/// The tenant that a client acts in.
const TENANT: &str = "Selvedge-Tenant";

/// Who makes a request with these headers.
pub(super) async fn from_headers(inside: &Inside, headers: &HeaderMap) -> Result<Caller, Failure> {
    let text = |name: &str| {
        let value = headers.get(name);
        value.map(|value| value.to_str().unwrap_or_default())
    };
    let named = Credentials {
        authorization: ("Authorization", text(AUTHORIZATION.as_str())),
        tenant: (TENANT, text(TENANT)),
    };
    named.caller(inside).await
}

/// What a client says of itself, each with the name that it said it under.
#[derive(Debug)]
pub(super) struct Credentials<'a> {
    pub(super) authorization: (&'a str, Option<&'a str>),
    pub(super) tenant: (&'a str, Option<&'a str>),
}

impl Credentials<'_> {
    pub(super) async fn caller(&self, inside: &Inside) -> Result<Caller, Failure> {
        let (field, authorization) = self.authorization;
        let unauthenticated =
            |message: &str| Failure::field(ErrorCode::Unauthenticated, field, message);
        let token = authorization
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unauthenticated("send Bearer and a token of this node"))?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(unauthenticated("no token is that long"));
        }
        let tenant =
            match self.tenant {
                (_, None) => None,
                (field, Some(name)) => Some(Tenant::new(name).map_err(|error| {
                    Failure::field(ErrorCode::Invalid, field, error.to_string())
                })?),
            };
        let principal = inside.authenticate(token.to_owned(), tenant).await?;
        Ok(Caller {
            principal,
            session: None,
        })
    }
}
