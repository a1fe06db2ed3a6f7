//! Who asks: what a request says of that in its headers, or in the first message of a WebSocket. The one way to a caller for
//! all that stands alone; sessions have their own, the Hello.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use selvedge_protocol::limits::TOKEN_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure, Tenant};

use crate::bridge::Inside;
use crate::gateway::Caller;
use crate::limit::Bearer;

/// The tenant to act in.
pub(super) const TENANT: HeaderName = HeaderName::from_static("selvedge-tenant");

/// What a client says of itself, each with the name that it said it under.
#[derive(Debug)]
pub(super) struct Credentials<'a> {
    /// `Bearer TOKEN`.
    pub(super) authorization: (&'a str, Option<&'a str>),
    pub(super) tenant: (&'a str, Option<&'a str>),
}

impl<'a> Credentials<'a> {
    /// Those of a request.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Failure> {
        Ok(Self {
            authorization: ("Authorization", one(headers, &AUTHORIZATION)?),
            tenant: ("Selvedge-Tenant", one(headers, &TENANT)?),
        })
    }

    /// Who has them.
    pub(super) async fn caller(&self, inside: &Inside) -> Result<Caller, Failure> {
        let (field, authorization) = self.authorization;
        let unknown = |message: &str| Failure::field(ErrorCode::Unauthenticated, field, message);
        let token = authorization
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| !token.is_empty())
            .ok_or_else(|| unknown("send `Bearer TOKEN`; nothing else is understood"))?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(unknown("the token is longer than any of this node's"));
        }
        let (field, tenant) = self.tenant;
        let tenant = tenant.map(Tenant::new).transpose();
        let tenant =
            tenant.map_err(|error| Failure::field(ErrorCode::Invalid, field, error.to_string()))?;
        let principal = inside.authenticate(token.to_owned(), tenant).await?;
        let allowance = inside.service.allowance(&principal, Bearer::Request)?;
        Ok(Caller {
            principal,
            session: None,
            allowance,
        })
    }
}

/// The one value of a header: what is given twice is of two minds.
pub(super) fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Failure> {
    let wrong = |message: &str| Failure::field(ErrorCode::Invalid, name.as_str(), message);
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("the header is given twice; give it once"));
    }
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(wrong("the header is no UTF-8")),
    }
}
