//! The paths that somebody comes to who is nobody yet: logging in, another password for oneself, and the tokens that go on
//! with a login, as OAuth 2 has them (RFC 6749, 7009, 7662). Nothing that is shown here is logged.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use selvedge_protocol::limits::TOKEN_BYTES_MAX;
use selvedge_protocol::{Failure, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::bridge::Inside;
use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::body;
use crate::bridge::rest::call::{Call, wrong};
use crate::identity::{
    Action, ClientName, Grant, Login, NotRefreshed, Password, Permission, Resource, authorize,
};

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// `default`, if it is left out.
    tenant: Option<String>,
    username: String,
    password: String,
    /// What the login is for; only the same one goes on with it. `first-party`, if it is left out.
    client: Option<String>,
}

/// Who wants to have another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PasswordChange {
    /// `default`, if it is left out.
    tenant: Option<String>,
    username: String,
    password: String,
    #[schema(min_length = 15, max_length = 128)]
    new_password: String,
}

/// What somebody gets who has logged in.
#[derive(Serialize, ToSchema)]
#[schema(as = LoggedIn)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoggedIn<'a> {
    /// To be sent as `Authorization: Bearer …`.
    access_token: &'a str,
    /// `Bearer`.
    token_type: &'a str,
    /// Seconds.
    expires_in: u64,
    /// For `/oauth/token`, once.
    refresh_token: &'a str,
    /// The user's id.
    user: String,
    /// What the login is listed by.
    login: String,
}

/// Logs a user in.
pub(crate) async fn log_in(
    request: HttpRequest,
    inside: Data<Inside>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let Credentials {
        tenant,
        username,
        password,
        client,
    } = body::required(&request, payload, LOGIN_BYTES_MAX).await?;
    let client = client.as_deref().unwrap_or(FIRST_PARTY);
    let login = Login {
        tenant: self::tenant(tenant)?,
        username,
        password: Password::new(password)?,
        client: ClientName::new(client)?,
        address: address(&request),
    };
    let granted = inside.log_in(login).await?;
    let answered = LoggedIn {
        access_token: granted.access.reveal(),
        token_type: BEARER,
        expires_in: granted.expires_in_s,
        refresh_token: granted.refresh.reveal(),
        user: granted.user.to_string(),
        login: granted.login.to_string(),
    };
    Ok(answer::json(StatusCode::OK, answered))
}

/// Gives a user who knows its password another one.
pub(crate) async fn change_password(
    request: HttpRequest,
    inside: Data<Inside>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let PasswordChange {
        tenant,
        username,
        password,
        new_password,
    } = body::required(&request, payload, LOGIN_BYTES_MAX).await?;
    let login = Login {
        tenant: self::tenant(tenant)?,
        username,
        password: Password::new(password)?,
        client: ClientName::new(FIRST_PARTY)?,
        address: address(&request),
    };
    inside
        .change_password(login, Password::new(new_password)?)
        .await?;
    Ok(HttpResponse::NoContent()
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish())
}

/// The token endpoint (RFC 6749, 3.2): goes on with a login.
pub(crate) async fn token(
    request: HttpRequest,
    inside: Data<Inside>,
    payload: Payload,
) -> HttpResponse {
    match refreshed(&request, &inside, payload).await {
        Ok(granted) => answer::json(
            StatusCode::OK,
            json!({
                "access_token": granted.access.reveal(),
                "token_type": BEARER,
                "expires_in": granted.expires_in_s,
                "refresh_token": granted.refresh.reveal(),
            }),
        ),
        Err(refused) => refused.answer(),
    }
}

async fn refreshed(
    request: &HttpRequest,
    inside: &Inside,
    payload: Payload,
) -> Result<Grant, OAuthError> {
    let form = Form::read(request, payload).await?;
    match form.needs("grant_type")? {
        "refresh_token" => {}
        _ => {
            return Err(OAuthError::of(
                "unsupported_grant_type",
                "use refresh_token",
            ));
        }
    }
    let client = form.text("client_id").unwrap_or(FIRST_PARTY);
    let client = ClientName::new(client)
        .map_err(|failure| OAuthError::of("invalid_client", failure.message))?;
    let token = form.needs("refresh_token")?.to_owned();
    match inside.refresh(token, client).await {
        Ok(granted) => Ok(granted),
        Err(NotRefreshed::Refused) => Err(OAuthError::of(
            "invalid_grant",
            "the refresh token is not good, or not any more; log in again",
        )),
        Err(NotRefreshed::Failed(failure)) => Err(failure.into()),
    }
}

/// Revocation (RFC 7009): ends the login that a refresh token is of. What is none is revoked already.
pub(crate) async fn revoke(
    request: HttpRequest,
    inside: Data<Inside>,
    payload: Payload,
) -> HttpResponse {
    let revoked = async {
        let form = Form::read(&request, payload).await?;
        let token = form.needs("token")?.to_owned();
        inside.log_out(token).await.map_err(OAuthError::from)
    };
    match revoked.await {
        Ok(()) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish(),
        Err(refused) => refused.answer(),
    }
}

/// Introspection (RFC 7662), for who may see users: what a token is to this node now. One of another tenant is not active.
pub(crate) async fn introspect(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let principal = &call.caller.principal;
    authorize(principal, Permission::new(Resource::User, Action::Read))?;
    let form = match Form::read(call.request(), payload).await {
        Ok(form) => form,
        Err(refused) => return Ok(refused.answer()),
    };
    let token = match form.needs("token") {
        Ok(token) => token.to_owned(),
        Err(refused) => return Ok(refused.answer()),
    };
    let found = call.inside.authenticate(token, None).await;
    let active = match found {
        Ok(found) if found.tenant == principal.tenant && !found.sees_all_tenants() => {
            let username = call.inside.username(&found).await?;
            let roles: Vec<_> = found.roles().iter().map(|role| role.name()).collect();
            json!({
                "active": true,
                "token_type": BEARER,
                "username": username.as_deref().unwrap_or(&found.name),
                "sub": &*found.name,
                "tenant": found.tenant.as_str(),
                "scope": roles.join(" "),
                "exp": found.expires_ms().map(|ms| ms / 1_000),
            })
        }
        Err(failure) if failure.code.may_be_retried() => return Err(failure.into()),
        Ok(_) | Err(_) => json!({ "active": false }),
    };
    Ok(answer::json(StatusCode::OK, active))
}

/// The keys that the cluster's tokens are verified with (RFC 7517).
pub(crate) async fn keys(inside: Data<Inside>) -> Result<HttpResponse, Problem> {
    let keys = inside.published_keys().await?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(keys))
}

/// A body of `application/x-www-form-urlencoded`: each member once, as RFC 6749, 3.2 has it.
struct Form(Vec<(String, String)>);

impl Form {
    async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, OAuthError> {
        let given = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|it| it.to_str().ok());
        let essence = given.map(|it| it.split(';').next().unwrap_or_default().trim());
        if !essence.is_some_and(|it| it.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
            let what = "send application/x-www-form-urlencoded";
            return Err(OAuthError::of("invalid_request", what));
        }
        let bytes = body::bytes(request, payload, FORM_BYTES_MAX).await;
        let bytes =
            bytes.map_err(|problem| OAuthError::of("invalid_request", problem.to_string()))?;
        let mut members: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(&bytes) {
            if members.iter().any(|(known, _)| *known == name) {
                return Err(OAuthError::of("invalid_request", "a member is given twice"));
            }
            members.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(members))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        // One without a value was not given (3.2).
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn needs(&self, name: &str) -> Result<&str, OAuthError> {
        let missing = || OAuthError::of("invalid_request", format!("{name} is missing"));
        self.text(name).ok_or_else(missing)
    }
}

/// A refusal (RFC 6749, 5.2).
struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    retry_after_ms: Option<u32>,
}

impl OAuthError {
    fn of(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
            retry_after_ms: None,
        }
    }

    fn answer(self) -> HttpResponse {
        let told = json!({ "error": self.error, "error_description": self.description });
        let mut response = answer::json(self.status, told);
        if let Some(ms) = self.retry_after_ms {
            response
                .headers_mut()
                .insert(RETRY_AFTER, ms.div_ceil(1_000).max(1).into());
        }
        response
    }
}

impl From<Failure> for OAuthError {
    fn from(failure: Failure) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description: failure.message,
            retry_after_ms: Some(failure.retry_after_ms.unwrap_or(1_000)),
        }
    }
}

fn tenant(text: Option<String>) -> Result<Tenant, Problem> {
    match text {
        None => Ok(Tenant::default_tenant()),
        Some(text) => Tenant::new(text).map_err(|error| wrong("tenant", &error)),
    }
}

/// Where a request comes from: the other end of its connection. What a header says of it anybody can say, so behind a proxy
/// all come from there.
fn address(request: &HttpRequest) -> IpAddr {
    let peer = request.peer_addr();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

const BEARER: &str = "Bearer";
/// The client of who names none.
const FIRST_PARTY: &str = "first-party";
/// Names and passwords.
const LOGIN_BYTES_MAX: usize = 8 * 1024;
/// A token, percent-encoded at the worst, and some names.
const FORM_BYTES_MAX: usize = 3 * TOKEN_BYTES_MAX + 4 * 1024;
