//! What holds for every request, whatever it asks for: who may ask from where, in which version of the API, under
//! which id it is logged; and what every answer says. The server puts it around all routes.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_SECURITY_POLICY, CROSS_ORIGIN_OPENER_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, HOST,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, PERMISSIONS_POLICY, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use selvedge_cluster::Clock;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::watch;
use url::Url;

use crate::bridge::origin::is_loopback;
use crate::bridge::own_origin::OwnOrigin;
use crate::bridge::problem::Problem;
use crate::bridge::rate_headers;
use crate::bridge::version;
use crate::bridge::{BridgeConfig, Inside};
use crate::edge::is_at;
use crate::limit::Allowance;
use crate::metrics;

/// What every request is held to.
#[derive(Debug)]
pub(super) struct Common {
    config: BridgeConfig,
    own: OwnOrigin,
    /// Whether the port is for this machine alone.
    is_private: bool,
}

/// Whether the bridge is about to end, for what would go on as long as it does. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Draining(watch::Receiver<bool>);

impl Draining {
    /// It is told by the sender.
    pub(super) fn told() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it has begun.
    pub(super) fn is_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes when it begins.
    pub(super) async fn begun(&mut self) {
        // Without a sender the server has ended.
        let _ = self.0.wait_for(|is_begun| *is_begun).await;
    }
}

/// By what the log has a request: of its trace, if it is part of one.
#[derive(Debug, Clone)]
struct RequestId(String);

impl Common {
    pub(super) const fn new(config: BridgeConfig, own: OwnOrigin, is_private: bool) -> Self {
        Self {
            config,
            own,
            is_private,
        }
    }

    /// Under which origin browsers reach the bridge.
    pub(super) const fn own(&self) -> &OwnOrigin {
        &self.own
    }

    /// Bytes of a request's body.
    pub(super) const fn body_bytes_max(&self) -> usize {
        self.config.body_bytes_max
    }

    /// Why a request is not served, whatever it asks for.
    fn refuses(&self, request: &HttpRequest, inside: &Inside) -> Option<Problem> {
        let host = host(request);
        if self.is_private && !is_loopback(host) {
            return Some(Problem::from(Failure::field(
                ErrorCode::PermissionDenied,
                "Host",
                "this port serves this machine alone: ask for it by localhost or its loopback address",
            )));
        }
        let origin = text(request, &ORIGIN);
        if !self.allows(origin, host, inside) && !is_of_client(request, inside) {
            return Some(Problem::from(Failure::field(
                ErrorCode::PermissionDenied,
                "Origin",
                "pages of this origin may not use this node: list it in `origins` of its `[bridge]`",
            )));
        }
        let asked = text(request, &version::HEADER)?;
        version::refuses(asked).map(Problem::from)
    }

    /// Whether pages of this origin may use the bridge: its own, those of the cluster's other bridges, whose consoles go
    /// on here when theirs is away, and those that the configuration lists.
    fn allows(&self, origin: Option<&str>, host: Option<&str>, inside: &Inside) -> bool {
        self.config.origins.allows(origin, host)
            || origin.is_some_and(|origin| of_cluster(origin, inside))
    }

    /// The origin of another site whose pages may use this one.
    fn foreign(&self, request: &HttpRequest, inside: &Inside) -> Option<HeaderValue> {
        let origin = request.headers().get(ORIGIN)?;
        let text = origin.to_str().ok()?;
        let may = self.config.origins.lists(text)
            || of_cluster(text, inside)
            || is_of_client(request, inside);
        may.then(|| origin.clone())
    }
}

/// Whom a request asks.
pub(super) fn host(request: &HttpRequest) -> Option<&str> {
    // HTTP/2 has the host in its address.
    let authority = request.uri().authority().map(|it| it.as_str());
    text(request, &HOST).or(authority)
}

/// Whether it comes from a page of a client that users log in with, for what such a page needs and nothing else.
fn is_of_client(request: &HttpRequest, inside: &Inside) -> bool {
    let origin = text(request, &ORIGIN);
    FOR_CLIENTS.contains(&request.path())
        && origin.is_some_and(|origin| inside.logins.clients().has_page_of(origin))
}

/// Whether it is of a page of another bridge.
fn of_cluster(origin: &str, inside: &Inside) -> bool {
    let Ok(origin) = Url::parse(origin) else {
        return false;
    };
    let bridges = inside.bridges.borrow();
    bridges.iter().any(|bridge| is_at(&origin, bridge))
}

/// Holds a request to what it is held to, and lets it be answered.
pub(super) async fn held<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let (Some(common), Some(inside)) = (
        request.app_data::<Data<Common>>().cloned(),
        request.app_data::<Data<Inside>>().cloned(),
    ) else {
        return next
            .call(request)
            .await
            .map(ServiceResponse::map_into_left_body);
    };
    let clock = &inside.clock;
    let began = clock.monotonic();
    let id = RequestId::of(request.request(), clock);
    request.extensions_mut().insert(id.clone());
    let origin = common.foreign(request.request(), &inside);
    let method = request.method().clone();
    let mut response = match common.refuses(request.request(), &inside) {
        Some(problem) => whole(request, problem.of_request(&id.0).error_response()),
        None => match preflight(request.request(), origin.as_ref()) {
            Some(answer) => whole(request, answer),
            None => named(next.call(request).await?, &id),
        },
    };
    let standings = {
        let extensions = response.request().extensions();
        let allowance = extensions.get::<Allowance>();
        allowance.map_or_else(Vec::new, Allowance::standings)
    };
    let (route, status) = (response.request().match_pattern(), response.status());
    let headers = response.headers_mut();
    says(headers, &id, origin);
    rate_headers::say(headers, &standings);
    let elapsed = began.elapsed();
    let route = route.as_deref().unwrap_or("none");
    metrics::http_answered(method.as_str(), route, status.as_u16(), elapsed);
    tracing::debug!(request = id.0, %method, route, status = status.as_u16(), ?elapsed, "request answered");
    Ok(response)
}

/// What every answer says.
fn says(headers: &mut HeaderMap, id: &RequestId, origin: Option<HeaderValue>) {
    headers.reserve(SAID);
    for (name, value) in &SAFE {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    version::says(headers);
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, id);
    }
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        // Never with credentials: a page says by its token who it is, and has it from its user.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
}

fn whole<B>(request: ServiceRequest, answer: HttpResponse) -> ServiceResponse<EitherBody<B>> {
    request.into_response(answer.map_into_right_body())
}

/// The answer, a problem with the id of its request.
fn named<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    id: &RequestId,
) -> ServiceResponse<EitherBody<B>> {
    let problem = response
        .response()
        .error()
        .and_then(|error| error.as_error::<Problem>())
        .map(|problem| problem.clone().of_request(&id.0).error_response());
    match problem {
        None => response.map_into_left_body(),
        Some(answer) => {
            let answer: HttpResponse<BoxBody> = answer;
            response.into_response(answer.map_into_right_body())
        }
    }
}

/// The answer to a browser that asks whether a page of another site may send a request.
fn preflight(request: &HttpRequest, origin: Option<&HeaderValue>) -> Option<HttpResponse> {
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    origin.filter(|_| is_preflight)?;
    Some(
        HttpResponse::NoContent()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED))
            .insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS))
            .finish(),
    )
}

impl RequestId {
    /// The trace of a `traceparent` (W3C Trace Context), or an id that nobody has.
    fn of(request: &HttpRequest, clock: &Clock) -> Self {
        let given = text(request, &TRACEPARENT).and_then(trace);
        let id = given.map_or_else(
            || {
                let (one, two) = (clock.random(), clock.random());
                format!("{one:016x}{two:016x}")
            },
            ToOwned::to_owned,
        );
        Self(id)
    }
}

/// The trace id of a `traceparent`: `VERSION-TRACE-PARENT-FLAGS`, lower case hexadecimal.
fn trace(text: &str) -> Option<&str> {
    let mut parts = text.split('-');
    let lengths = [2, 32, 16, 2];
    let parts: [&str; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let is_hex = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_whole = parts
        .iter()
        .zip(lengths)
        .all(|(part, length)| part.len() == length && is_hex(part));
    let is_nothing = parts[1].bytes().all(|byte| byte == b'0');
    (is_whole && !is_nothing && parts[0] != "ff").then_some(parts[1])
}

fn text<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    let value = request.headers().get(name)?;
    Some(value.to_str().unwrap_or("?"))
}

/// Of every answer: a page of ours loads from here alone, is framed by nobody and is what it says it is.
static SAFE: [(HeaderName, HeaderValue); 7] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; connect-src 'self' ws: wss: http: https:; img-src 'self' data:; object-src 'none'; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CROSS_ORIGIN_OPENER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        CROSS_ORIGIN_RESOURCE_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        PERMISSIONS_POLICY,
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ),
];

/// What pages of clients ask for: their tokens, and what they verify them with.
const FOR_CLIENTS: [&str; 5] = [
    "/oauth/token",
    "/oauth/revoke",
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// How many headers an answer has beside its own, about.
const SAID: usize = 16;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static("selvedge-request-id");

/// What pages of other sites may send and read.
const ALLOWED: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, \
     Selvedge-Tenant, Selvedge-Version, Traceparent";
const EXPOSED: &str = "ETag, Link, Location, Content-Location, Retry-After, RateLimit, RateLimit-Policy, Allow, Deprecation, Sunset, \
     Selvedge-Version, Selvedge-Request-Id";

/// How long a browser may remember it: what is allowed changes with a restart of the node.
const PREFLIGHT_SECONDS: u32 = 600;

#[cfg(test)]
mod tests {
    use super::trace;

    #[test]
    fn a_trace_is_taken_only_whole() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let whole = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(trace(&whole), Some(id));
        for wrong in [
            "",
            "00-4bf9-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\r-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace(wrong), None, "{wrong:?}");
        }
    }
}
