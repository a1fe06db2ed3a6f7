//! The paths of ours that somebody comes to who is nobody yet: logging in, and another password for oneself. Those of OAuth are
//! in `oauth`. Nothing that is shown here is logged.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use selvedge_protocol::Tenant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::bridge::Inside;
use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::body;
use crate::bridge::rest::call::wrong;
use crate::identity::{ClientName, Login, Password};

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

fn tenant(text: Option<String>) -> Result<Tenant, Problem> {
    match text {
        None => Ok(Tenant::default_tenant()),
        Some(text) => Tenant::new(text).map_err(|error| wrong("tenant", &error)),
    }
}

/// Where a request comes from: the other end of its connection. What a header says of it anybody can say, so behind a proxy
/// all come from there.
pub(crate) fn address(request: &HttpRequest) -> IpAddr {
    let peer = request.peer_addr();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

pub(crate) const BEARER: &str = "Bearer";
/// The client of who names none.
pub(crate) const FIRST_PARTY: &str = "first-party";
/// Names and passwords.
const LOGIN_BYTES_MAX: usize = 8 * 1024;
