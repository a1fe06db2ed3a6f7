//! A request to the API as its handlers have it: who asks, in which tenant, for what. The one extractor of all of them;
//! a request that is not of the API, or not of anybody known, gets no further than here.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, HeaderName};
use actix_web::web::{self, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use percent_encoding::percent_decode_str;
use selvedge_protocol::{
    ActorAddress, ActorKey, ActorKind, ErrorCode, Failure, IdError, OperationId, Target,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::bridge::Inside;
use crate::bridge::credentials::{Credentials, one};
use crate::bridge::hold::Common;
use crate::bridge::problem::Problem;
use crate::bridge::rest::accept::accepts;
use crate::bridge::rest::body;
use crate::bridge::rest::parameters::{Parameters, invalid};
use crate::gateway::Caller;

/// A request of somebody.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) inside: Data<Inside>,
    request: HttpRequest,
    body_bytes_max: usize,
}

impl FromRequest for Call {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move { Self::of(request).await }.boxed_local()
    }
}

impl Call {
    async fn of(request: HttpRequest) -> Result<Self, Problem> {
        let inside = request.app_data::<Data<Inside>>().cloned();
        let common = request.app_data::<Data<Common>>();
        let (Some(inside), Some(common)) = (inside, common) else {
            let failure = Failure::new(ErrorCode::Internal, "the server has no node behind it");
            return Err(failure.into());
        };
        let body_bytes_max = common.body_bytes_max();
        let caller = Credentials::of(request.headers())?.caller(&inside).await?;
        // Its answer says how its limits stand.
        request.extensions_mut().insert(caller.allowance.clone());
        produces(&request)?;
        Ok(Self {
            caller,
            inside,
            request,
            body_bytes_max,
        })
    }

    pub(crate) const fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<Option<String>, Problem> {
        header(&self.request, name)
    }

    /// The query parameters, which are among `known`.
    pub(crate) fn parameters(&self, known: &[&str]) -> Result<Parameters, Problem> {
        Parameters::parse(self.request.query_string(), known)
    }

    /// The body, if there is one.
    pub(crate) async fn optional<T: DeserializeOwned>(
        &self,
        payload: web::Payload,
    ) -> Result<Option<T>, Problem> {
        body::json(&self.request, payload, self.body_bytes_max).await
    }

    /// The body.
    pub(crate) async fn body<T: DeserializeOwned>(
        &self,
        payload: web::Payload,
    ) -> Result<T, Problem> {
        body::required(&self.request, payload, self.body_bytes_max).await
    }

    /// A part of the path that its template names. Decoded strictly, from what came: a slash that is encoded is a part
    /// of its segment, and bytes that are no text are refused.
    pub(crate) fn part(&self, name: &str) -> Result<String, Problem> {
        let template = self.request.match_pattern().unwrap_or_default();
        let wanted = |segment: &str| {
            let inner = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            inner == Some(name)
        };
        let mut pairs = template
            .split('/')
            .zip(self.request.uri().path().split('/'));
        let found = pairs.find(|(segment, _)| wanted(segment));
        let text = found.map_or("", |(_, text)| text);
        match percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(invalid(
                name,
                "its percent-encoding is no UTF-8; encode the bytes of UTF-8",
            )),
        }
    }

    /// The actor that the path names.
    pub(crate) fn actor(&self) -> Result<ActorAddress, Problem> {
        let kind = self.part("kind")?;
        let key = self.part("key")?;
        Ok(ActorAddress {
            kind: ActorKind::new(kind).map_err(|error| wrong("kind", &error))?,
            key: ActorKey::new(key).map_err(|error| wrong("key", &error))?,
        })
    }

    /// The operation that the path names.
    pub(crate) fn operation(&self) -> Result<OperationId, Problem> {
        OperationId::new(self.part("id")?).map_err(|error| wrong("id", &error))
    }

    /// When an answer comes too late.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(self.inside.clock.monotonic() + ANSWER_TIME_MAX)
    }

    /// What names this caller, its tenant and a target in one text, none of which contains the byte between them.
    pub(crate) fn scope(&self, target: &Target) -> String {
        let principal = &self.caller.principal;
        format!("{}\0{}\0{target}", principal.name, principal.tenant)
    }
}

/// An id that is none.
pub(crate) fn wrong(field: &str, error: &IdError) -> Problem {
    invalid(field, error.to_string())
}

/// Whether the client takes what the path gives.
fn produces(request: &HttpRequest) -> Result<(), Problem> {
    let pattern = request.match_pattern().unwrap_or_default();
    let given = match pattern.ends_with("/events") {
        true => "text/event-stream",
        false => "application/json",
    };
    let Some(accept) = header(request, &ACCEPT)? else {
        return Ok(());
    };
    if accepts(&accept, given) {
        return Ok(());
    }
    let message = format!("this path answers with {given}; accept it");
    let failure = Failure::field(ErrorCode::Invalid, "Accept", message);
    Err(Problem::with_status(failure, StatusCode::NOT_ACCEPTABLE))
}

/// The one value of a header; `Accept` may come in several lines.
fn header(request: &HttpRequest, name: &HeaderName) -> Result<Option<String>, Problem> {
    if *name != ACCEPT {
        let value = one(request.headers(), name)?;
        return Ok(value.map(str::to_owned));
    }
    let mut lines = Vec::new();
    for line in request.headers().get_all(name) {
        let line = line.to_str();
        lines.push(line.map_err(|_| invalid(name.as_str(), "the header is no ASCII"))?);
    }
    Ok((!lines.is_empty()).then(|| lines.join(",")))
}

/// How long a request may wait for its answer: clients and proxies give up about then.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
