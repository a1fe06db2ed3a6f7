//! GraphQL over HTTP, after the specification of that name: `POST /graphql` for everything, `GET` for queries,
//! streams of events, WebSockets and, for a person with a browser, the page.
//!
//! Requests whose content type a page of another site may send without asking are refused: only `application/json`
//! is taken.

use actix_web::body::BoxBody;
use actix_web::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, UPGRADE, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError};
use futures::future::join_all;
use selvedge_protocol::limits::{GRAPHQL_BODY_BYTES_MAX, GRAPHQL_BODY_MS_MAX};
use selvedge_protocol::{ErrorCode, Failure};
use serde::Serialize;
use tokio::time::{Duration, timeout};

use crate::bridge::credentials::Credentials;
use crate::bridge::graphql::engine::{Answer, Cause, Prepared};
use crate::bridge::graphql::error::server_error;
use crate::bridge::graphql::media::{Media, is_page_wanted};
use crate::bridge::graphql::request::{Parameters, Requests};
use crate::bridge::graphql::served::Served;
use crate::bridge::graphql::stream::Bounds;
use crate::bridge::graphql::{Introspection, page, socket, stream};
use crate::bridge::problem::{Problem, status};
use crate::gateway::Caller;

/// Answers `POST /graphql`.
pub(super) async fn post(request: HttpRequest, payload: Payload, served: Served) -> HttpResponse {
    let Some(media) = Media::wanted(accept(&request).as_deref()) else {
        return not_acceptable();
    };
    let answered = answer_post(&request, payload, media, served);
    answered
        .await
        .unwrap_or_else(|refused| refused.response(media))
}

/// Answers `GET /graphql`.
pub(super) async fn get(request: HttpRequest, payload: Payload, served: Served) -> HttpResponse {
    let upgrade = header(&request, UPGRADE);
    if upgrade.is_some_and(|to| to.eq_ignore_ascii_case("websocket")) {
        return socket::open(&request, payload, served);
    }
    let accept = accept(&request);
    let accept = accept.as_deref();
    if served.engine.introspection() == Introspection::On && is_page_wanted(accept) {
        return page::html();
    }
    let Some(media) = Media::wanted(accept) else {
        return not_acceptable();
    };
    let answered = answer_get(&request, media, served);
    answered
        .await
        .unwrap_or_else(|refused| refused.response(media))
}

/// Answers other methods.
pub(super) async fn no_such_method(request: HttpRequest) -> HttpResponse {
    let refused = Refused::method(request.method(), "GET, POST", "use GET or POST");
    refused.response(Media::Json)
}

/// A request that is refused before it is looked at as one of GraphQL.
struct Refused {
    failure: Failure,
    status: StatusCode,
    /// A header that belongs to it.
    header: Option<(HeaderName, &'static str)>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            status: status(failure.code),
            failure,
            header: None,
        }
    }
}

impl Refused {
    fn method(method: &Method, allowed: &'static str, message: &str) -> Self {
        Self {
            failure: Failure::field(ErrorCode::Invalid, "method", format!("{method}: {message}")),
            status: StatusCode::METHOD_NOT_ALLOWED,
            header: Some((ALLOW, allowed)),
        }
    }

    /// As clients of GraphQL read it, with the headers of any refusal.
    fn response(self, media: Media) -> HttpResponse {
        let body = Answer::Refused(vec![server_error(self.failure.clone())], Cause::Malformed);
        let mut response = Problem::with_status(self.failure, self.status).error_response();
        let headers = response.headers_mut();
        let media = match media {
            Media::GraphqlResponse | Media::Json => media,
            Media::EventStream => Media::Json,
        };
        mark(headers, media);
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response.set_body(BoxBody::new(json(&body)))
    }
}

async fn answer_post(
    request: &HttpRequest,
    payload: Payload,
    media: Media,
    served: Served,
) -> Result<HttpResponse, Refused> {
    of_json(request)?;
    let caller = Credentials::of(request.headers())?
        .caller(&served.inside)
        .await?;
    request.extensions_mut().insert(caller.allowance.clone());
    let body = body(payload).await?;
    match (Requests::from_body(&body)?, media) {
        (Requests::One(parameters), Media::GraphqlResponse | Media::Json) => {
            let answer = executed(served.engine.prepare(parameters), caller, &served).await;
            Ok(response(answer.status(media), media, json(&answer)))
        }
        (Requests::One(parameters), Media::EventStream) => {
            streamed(served.engine.prepare(parameters), caller, served)
        }
        (Requests::Batch(batch), Media::GraphqlResponse | Media::Json) => {
            let answers = batch.into_iter().map(async |parameters| {
                let prepared = served.engine.prepare(parameters);
                executed(prepared, caller.clone(), &served).await
            });
            let answers = join_all(answers).await;
            Ok(response(StatusCode::OK, media, json(&answers)))
        }
        (Requests::Batch(_), Media::EventStream) => Err(Refused::from(Failure::field(
            ErrorCode::Malformed,
            "body",
            "a batch cannot be answered as a stream of events; send one request",
        ))),
    }
}

async fn answer_get(
    request: &HttpRequest,
    media: Media,
    served: Served,
) -> Result<HttpResponse, Refused> {
    let caller = Credentials::of(request.headers())?
        .caller(&served.inside)
        .await?;
    request.extensions_mut().insert(caller.allowance.clone());
    let parameters = Parameters::from_address(request.query_string())?;
    let prepared = served.engine.prepare(parameters);
    if prepared.as_ref().is_ok_and(Prepared::is_mutation) {
        return Err(Refused::method(
            request.method(),
            "POST",
            "an address is read again by whoever has it, so it tells nothing; send mutations with POST",
        ));
    }
    match media {
        Media::EventStream => streamed(prepared, caller, served),
        Media::GraphqlResponse | Media::Json => {
            let answer = executed(prepared, caller, &served).await;
            Ok(response(answer.status(media), media, json(&answer)))
        }
    }
}

/// The one answer of a query or a mutation.
async fn executed(prepared: Result<Prepared, Answer>, caller: Caller, served: &Served) -> Answer {
    match prepared {
        Ok(prepared) => {
            let executing = served.engine.execute(prepared, &served.inside, caller);
            executing.await
        }
        Err(answer) => answer,
    }
}

fn streamed(
    prepared: Result<Prepared, Answer>,
    caller: Caller,
    served: Served,
) -> Result<HttpResponse, Refused> {
    let bounds = Bounds {
        _place: served.streams.take(&caller.principal)?,
        draining: served.draining,
        term: served.inside.term(&caller),
    };
    let (inside, engine) = (served.inside, served.engine);
    let answers = match prepared {
        Ok(prepared) => engine.stream(prepared, inside, caller),
        Err(answer) => stream::one(answer),
    };
    Ok(stream::response(answers, bounds))
}

/// Whether it has JSON to say, in UTF-8.
fn of_json(request: &HttpRequest) -> Result<(), Refused> {
    let content_type = header(request, CONTENT_TYPE).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts
        .filter_map(|part| part.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| charset.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    match is_json && is_utf8 {
        true => Ok(()),
        false => Err(Refused {
            failure: Failure::field(
                ErrorCode::Malformed,
                "Content-Type",
                "use application/json, in UTF-8",
            ),
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            header: None,
        }),
    }
}

async fn body(payload: Payload) -> Result<Bytes, Refused> {
    let reading = payload.to_bytes_limited(GRAPHQL_BODY_BYTES_MAX);
    match timeout(Duration::from_millis(GRAPHQL_BODY_MS_MAX), reading).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => Err(Refused::from(Failure::field(
            ErrorCode::Malformed,
            "body",
            "it broke off; send it again",
        ))),
        Ok(Err(_)) => Err(Refused::from(Failure::field(
            ErrorCode::TooLarge,
            "body",
            format!(
                "use at most {GRAPHQL_BODY_BYTES_MAX} bytes; submit larger inputs by /v1/operations"
            ),
        ))),
        Err(_) => Err(Refused {
            failure: Failure::field(
                ErrorCode::DeadlineExceeded,
                "body",
                format!(
                    "it took longer than {GRAPHQL_BODY_MS_MAX} ms to come; send less at a time"
                ),
            ),
            status: StatusCode::REQUEST_TIMEOUT,
            header: None,
        }),
    }
}

fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    let value = request.headers().get(name)?;
    // What is no text names nothing that is known.
    Some(value.to_str().unwrap_or("?"))
}

/// What the client takes, which may be said in several lines.
fn accept(request: &HttpRequest) -> Option<String> {
    let lines = request.headers().get_all(ACCEPT);
    let lines: Vec<_> = lines.map(|line| line.to_str().unwrap_or("?")).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

fn not_acceptable() -> HttpResponse {
    let failure = Failure::field(
        ErrorCode::Invalid,
        "Accept",
        "use application/graphql-response+json, application/json or text/event-stream; a page for browsers is \
         where the node tells its schema (`graphql_introspection` in its `[bridge]`)",
    );
    Problem::with_status(failure, StatusCode::NOT_ACCEPTABLE).error_response()
}

fn response(status: StatusCode, media: Media, body: String) -> HttpResponse {
    let mut response = HttpResponse::new(status);
    mark(response.headers_mut(), media);
    response.set_body(BoxBody::new(body))
}

/// The headers that every answer has.
pub(super) fn mark(headers: &mut HeaderMap, media: Media) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
}

/// Answers are made of text, numbers and lists, which JSON has.
pub(super) fn json(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer is no JSON");
        r#"{"errors":[{"message":"the answer cannot be written","extensions":{"code":"internal"}}]}"#.to_owned()
    })
}
