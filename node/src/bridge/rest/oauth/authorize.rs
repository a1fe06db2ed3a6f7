//! `/oauth/authorize`: the page at which a user logs in for a client, and what becomes of the password that comes from it.
//!
//! There are no sessions of browsers here: each time a client asks, the password is shown. So that no other site logs its visitor
//! in as somebody else, what comes back is taken from the node's own page alone, for the request that it was made for.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, LOCATION, ORIGIN, REFERRER_POLICY,
    RETRY_AFTER,
};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use selvedge_protocol::limits::PASSWORD_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::Inside;
use crate::bridge::hold::{Common, host};
use crate::bridge::rest::login::address;
use crate::bridge::rest::oauth::asked::{Asked, Known, NotAsked};
use crate::bridge::rest::oauth::form::{self, Members};
use crate::bridge::rest::oauth::page::{LoginPage, policy, refusal};
use crate::identity::{ClientName, Login, PageWrong, Password, form_action};

/// Shows the page.
pub(super) async fn page(
    request: HttpRequest,
    inside: Data<Inside>,
    common: Data<Common>,
) -> HttpResponse {
    let members = Members::parse(request.query_string().as_bytes());
    match asked(&request, &inside, &common, &members) {
        Ok(asked) => shown(&inside, &asked, &Shown::first()),
        Err(wrong) => not_asked(&inside, &wrong),
    }
}

/// Takes what was typed into it.
pub(super) async fn log_in(
    request: HttpRequest,
    inside: Data<Inside>,
    common: Data<Common>,
    payload: Payload,
) -> HttpResponse {
    if !is_of_own_page(&request, &common) {
        return refused(
            StatusCode::FORBIDDEN,
            "Only the page of this node sends passwords here. Go back to where you came from, and log in from there.",
        );
    }
    let members = match form::members(&request, payload).await {
        Ok(members) => members,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.description),
    };
    let asked = match asked(&request, &inside, &common, &members) {
        Ok(asked) => asked,
        Err(wrong) => return not_asked(&inside, &wrong),
    };
    let typed = |name| members.text(name).unwrap_or_default();
    let username = typed("username");
    match inside.logins.check_page(typed(PAGE), &asked.whole()) {
        Ok(()) => {}
        Err(PageWrong::Late) => {
            return shown(
                &inside,
                &asked,
                &Shown {
                    status: StatusCode::BAD_REQUEST,
                    alert: Some("This page was open for too long. Log in now."),
                    username,
                    retry_after_s: None,
                },
            );
        }
        Err(PageWrong::Other) => {
            return refused(
                StatusCode::BAD_REQUEST,
                "This does not come from a page of this cluster. Go back to where you came from, and log in from there.",
            );
        }
    }
    match let_in(&request, &inside, &asked, (username, typed("password"))).await {
        Ok(location) => sent(&location),
        Err(failure) => again(&inside, &asked, username, &failure),
    }
}

/// Where the user is sent with the code.
async fn let_in(
    request: &HttpRequest,
    inside: &Inside,
    asked: &Asked,
    (username, password): (&str, &str),
) -> Result<String, Failure> {
    let login = Login {
        tenant: asked.tenant.clone(),
        username: username.to_owned(),
        password: Password::new(password.to_owned())?,
        client: ClientName::new(&asked.client)?,
        address: address(request),
    };
    let code = inside.authorize(login, asked.code()).await?;
    let issuer = inside.logins.issuer();
    Ok(asked.back().with_code(code.reveal(), issuer))
}

/// What the request asks for.
fn asked(
    request: &HttpRequest,
    inside: &Inside,
    common: &Common,
    members: &Members,
) -> Result<Asked, NotAsked> {
    let host = host(request);
    let is_console = |uri: &str| {
        let origin = uri.strip_suffix('/');
        origin.is_some_and(|origin| common.own().is(origin, host))
    };
    let known = Known {
        clients: inside.logins.clients(),
        is_console,
    };
    Asked::parse(members, &known)
}

/// The answer to a request that asks for nothing that there is.
fn not_asked(inside: &Inside, wrong: &NotAsked) -> HttpResponse {
    match wrong {
        NotAsked::Nowhere(message) => refused(StatusCode::BAD_REQUEST, message),
        NotAsked::Back(back, error, what) => {
            sent(&back.with_error(error, what, inside.logins.issuer()))
        }
    }
}

/// Whether a form comes from a page of the node, as far as whoever sends it tells: browsers do.
fn is_of_own_page(request: &HttpRequest, common: &Common) -> bool {
    let headers = request.headers();
    let is_page_of = |origin: &str| common.own().is_page(origin, host(request));
    let from = headers.get(ORIGIN).map(|it| it.to_str().unwrap_or("null"));
    let site = headers.get(FETCH_SITE).map(|it| it.to_str().unwrap_or(""));
    from.is_none_or(is_page_of) && site.is_none_or(|site| site == "same-origin")
}

/// How the page is shown.
struct Shown<'a> {
    status: StatusCode,
    alert: Option<&'a str>,
    username: &'a str,
    retry_after_s: Option<u32>,
}

impl Shown<'_> {
    /// To somebody who has typed nothing yet.
    const fn first() -> Self {
        Self {
            status: StatusCode::OK,
            alert: None,
            username: "",
            retry_after_s: None,
        }
    }
}

/// The page once more, with why.
fn again(inside: &Inside, asked: &Asked, username: &str, failure: &Failure) -> HttpResponse {
    let (status, alert) = match failure.code {
        ErrorCode::Unauthenticated => (
            StatusCode::FORBIDDEN,
            "The username or the password is wrong, or the user may not log in.".to_owned(),
        ),
        ErrorCode::LimitExceeded => (
            StatusCode::TOO_MANY_REQUESTS,
            format!("Not now: {}.", failure.message),
        ),
        ErrorCode::Invalid | ErrorCode::TooLarge => (
            StatusCode::BAD_REQUEST,
            format!("No password has over {PASSWORD_BYTES_MAX} bytes."),
        ),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "This cannot be checked at the moment. Try again.".to_owned(),
        ),
    };
    let shown = Shown {
        status,
        alert: Some(&alert),
        username,
        retry_after_s: failure.retry_after_ms.map(|ms| ms.div_ceil(1_000).max(1)),
    };
    self::shown(inside, asked, &shown)
}

fn shown(inside: &Inside, asked: &Asked, shown: &Shown<'_>) -> HttpResponse {
    let carried = inside.logins.page_for(&asked.whole());
    let given = asked.given.iter().map(|(name, value)| (*name, &**value));
    let hidden: Vec<_> = given.chain([(PAGE, &*carried)]).collect();
    let page = LoginPage {
        client: &asked.title,
        tenant: asked
            .given
            .iter()
            .find_map(|(name, value)| (*name == "tenant").then_some(&**value)),
        username: shown.username,
        alert: shown.alert,
        hidden: &hidden,
    };
    let place = form_action(&asked.back().redirect_uri);
    let mut answer = html(shown.status, policy(place.as_deref()), page.html());
    // With none at all a browser would not say where its form is from.
    let headers = answer.headers_mut();
    headers.insert(
        REFERRER_POLICY,
        actix_web::http::header::HeaderValue::from_static("same-origin"),
    );
    if let Some(seconds) = shown.retry_after_s {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    answer
}

fn refused(status: StatusCode, message: &str) -> HttpResponse {
    html(status, policy(None), refusal(message))
}

fn html(status: StatusCode, policy: String, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .content_type("text/html; charset=utf-8")
        .body(text)
}

/// By GET, whatever was sent: the password stays here.
fn sent(location: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, location))
        .finish()
}

/// The member of the form by which a page is known again.
const PAGE: &str = "page";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
