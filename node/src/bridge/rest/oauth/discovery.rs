//! The document by which clients find the endpoints (RFC 8414; OpenID Connect Discovery 1.0, 3). It says what is true of this
//! node and no more.

use actix_web::http::header::{CACHE_CONTROL, VARY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use selvedge_protocol::{ErrorCode, Failure};
use serde_json::{Value, json};

use crate::bridge::Inside;
use crate::bridge::hold::{Common, host};
use crate::bridge::problem::Problem;
use crate::bridge::rest::oauth::asked::OPENID;

pub(super) async fn document(
    request: HttpRequest,
    inside: Data<Inside>,
    common: Data<Common>,
) -> Result<HttpResponse, Problem> {
    let origin = common.own().of(host(&request)).ok_or_else(|| {
        let message = "the request names no host; send one, or set public_url in [bridge]";
        Failure::field(ErrorCode::Invalid, "Host", message)
    })?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .insert_header((VARY, "Host"))
        .json(described(&origin, inside.logins.issuer())))
}

fn described(origin: &str, issuer: &str) -> Value {
    let at = |path: &str| format!("{origin}{path}");
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth/authorize"),
        "token_endpoint": at("/oauth/token"),
        "revocation_endpoint": at("/oauth/revoke"),
        "introspection_endpoint": at("/oauth/introspect"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "service_documentation": at("/docs"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "scopes_supported": [OPENID],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "tenant"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    })
}
