//! What clients exchange and give back: `/oauth/token` (RFC 6749, 3.2), revocation (RFC 7009), introspection (RFC 7662) and the
//! keys that tokens are verified with (RFC 7517).

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::bridge::Inside;
use crate::bridge::credentials::one;
use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::login::{BEARER, FIRST_PARTY};
use crate::bridge::rest::oauth::asked::OPENID;
use crate::bridge::rest::oauth::form::{Form, OAuthError};
use crate::identity::{
    Action, CONSOLE, ClientName, CodeShown, Grant, KeyNotGranted, NotRefreshed, NotRevoked,
    Permission, Resource, Secret, authorize,
};

/// Gives tokens for what a client shows.
pub(super) async fn token(
    request: HttpRequest,
    inside: Data<Inside>,
    payload: Payload,
) -> HttpResponse {
    match granted(&request, &inside, payload).await {
        Ok(tokens) => answer::json(StatusCode::OK, tokens),
        Err(refused) => refused.answer(),
    }
}

async fn granted(
    request: &HttpRequest,
    inside: &Inside,
    payload: Payload,
) -> Result<Value, OAuthError> {
    let form = Form::read(request, payload).await?;
    let grant = form.needs("grant_type")?;
    if grant == "client_credentials" {
        return of_key(request, inside, &form).await;
    }
    if request.headers().contains_key(AUTHORIZATION) {
        return Err(OAuthError::invalid_client(
            "clients of users have no secret; leave out the header Authorization",
        ));
    }
    match grant {
        "authorization_code" => of_code(inside, &form).await,
        "refresh_token" => refreshed(inside, &form).await,
        _ => Err(OAuthError::of(
            "unsupported_grant_type",
            "use authorization_code, refresh_token or client_credentials",
        )),
    }
}

/// For the code of a login, its first tokens.
async fn of_code(inside: &Inside, form: &Form) -> Result<Value, OAuthError> {
    let client = form.needs("client_id")?;
    if client != CONSOLE && inside.logins.clients().find(client).is_none() {
        return Err(OAuthError::of(
            "invalid_client",
            "no such client is known here",
        ));
    }
    let shown = CodeShown {
        client: self::client(client)?,
        code: form.needs("code")?.to_owned(),
        verifier: form.needs("code_verifier")?.to_owned(),
        redirect_uri: form.needs("redirect_uri")?.to_owned(),
    };
    let granted = inside.redeem(shown).await.map_err(|refused| {
        not_granted(
            refused,
            "the code is not good, not any more, or not for this client, redirect_uri and code_verifier; log in again",
        )
    })?;
    let mut tokens = tokens(&granted);
    let mut scope: Vec<_> = granted.roles.iter().map(String::as_str).collect();
    if let Some(id_token) = &granted.id_token {
        tokens["id_token"] = json!(id_token.reveal());
        scope.insert(0, OPENID);
    }
    // All that the user may, whatever was asked for.
    tokens["scope"] = json!(scope.join(" "));
    Ok(tokens)
}

/// For a refresh token, the next ones.
async fn refreshed(inside: &Inside, form: &Form) -> Result<Value, OAuthError> {
    let client = client(form.text("client_id").unwrap_or(FIRST_PARTY))?;
    let token = form.needs("refresh_token")?.to_owned();
    let granted = inside.refresh(token, client).await.map_err(|refused| {
        not_granted(
            refused,
            "the refresh token is not good, or not any more; log in again",
        )
    })?;
    Ok(tokens(&granted))
}

/// For an API key, a token of its own.
async fn of_key(request: &HttpRequest, inside: &Inside, form: &Form) -> Result<Value, OAuthError> {
    let in_form = form.text("client_id").zip(form.text("client_secret"));
    let in_form = in_form.map(|(id, secret)| (id.to_owned(), Secret::new(secret)));
    let (id, secret) = match (basic(request)?, in_form) {
        (Some(_), Some(_)) => {
            return Err(OAuthError::invalid(
                "the client shows itself twice; once is enough",
            ));
        }
        (Some(shown), None) | (None, Some(shown)) => shown,
        (None, None) => {
            return Err(OAuthError::invalid_client(
                "send the id of an API key as client_id, and its text as client_secret",
            ));
        }
    };
    let granted = inside.grant_to_key(id, secret).await;
    let granted = granted.map_err(|refused| match refused {
        KeyNotGranted::Refused => OAuthError::invalid_client(
            "the API key is not valid here: there is none, or it has expired or was revoked",
        ),
        KeyNotGranted::Failed(failure) => failure.into(),
    })?;
    Ok(json!({
        "access_token": granted.access.reveal(),
        "token_type": BEARER,
        "expires_in": granted.expires_in_s,
        "scope": granted.roles.join(" "),
    }))
}

/// What a client shows in the header `Authorization` (2.3.1).
fn basic(request: &HttpRequest) -> Result<Option<(String, Secret)>, OAuthError> {
    let wrong = || {
        OAuthError::invalid_client(
            "the header Authorization must be Basic, with client_id and client_secret",
        )
    };
    let Some(text) = one(request.headers(), &AUTHORIZATION).map_err(|_| wrong())? else {
        return Ok(None);
    };
    let (scheme, encoded) = text.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
    let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
    let (id, secret) = decoded.split_once(':').ok_or_else(wrong)?;
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8();
        decoded.map(|it| it.into_owned()).map_err(|_| wrong())
    };
    Ok(Some((plain(id)?, Secret::new(plain(secret)?))))
}

fn client(text: &str) -> Result<ClientName, OAuthError> {
    let wrong =
        |failure: selvedge_protocol::Failure| OAuthError::of("invalid_client", failure.message);
    ClientName::new(text).map_err(wrong)
}

fn tokens(granted: &Grant) -> Value {
    json!({
        "access_token": granted.access.reveal(),
        "token_type": BEARER,
        "expires_in": granted.expires_in_s,
        "refresh_token": granted.refresh.reveal(),
    })
}

fn not_granted(refused: NotRefreshed, what: &str) -> OAuthError {
    match refused {
        NotRefreshed::Refused => OAuthError::of("invalid_grant", what),
        NotRefreshed::Failed(failure) => failure.into(),
    }
}

/// Ends the login that a refresh token is of, or an access token alone. What is none is revoked already.
pub(super) async fn revoke(
    request: HttpRequest,
    inside: Data<Inside>,
    payload: Payload,
) -> HttpResponse {
    let revoked = async {
        let form = Form::read(&request, payload).await?;
        let token = form.needs("token")?.to_owned();
        inside.revoke(token).await.map_err(|refused| match refused {
            NotRevoked::Unsupported(what) => OAuthError::of("unsupported_token_type", what),
            NotRevoked::Failed(failure) => failure.into(),
        })
    };
    match revoked.await {
        Ok(()) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish(),
        Err(refused) => refused.answer(),
    }
}

/// Introspection (RFC 7662), for who may see users: what a token is to this node now. One of another tenant is not active.
pub(super) async fn introspect(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
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
pub(super) async fn keys(inside: Data<Inside>) -> Result<HttpResponse, Problem> {
    let keys = inside.published_keys().await?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(keys))
}
