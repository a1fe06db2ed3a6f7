//! What the paths of OAuth take and answer: one function a route, beside which the table has it.

use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::bridge::rest::description::any;
use crate::bridge::rest::doc::{Doc, one_of, text};

const TOKENS: &str = "tokens";

/// Tokens, as RFC 6749, 5.1 has them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct Tokens {
    access_token: String,
    token_type: String,
    expires_in: u64,
    /// Not for an API key.
    #[schema(required = false)]
    refresh_token: Option<String>,
    /// Where a code was exchanged that was asked for with `openid`.
    #[schema(required = false)]
    id_token: Option<String>,
    /// All that it may: the names of its roles.
    #[schema(required = false)]
    scope: Option<String>,
}

/// A refusal, as RFC 6749, 5.2 has it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct TokenError {
    error: String,
    error_description: String,
}

/// What a token is, as RFC 7662, 2.2 has it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct TokenState {
    active: bool,
    #[schema(required = false)]
    token_type: Option<String>,
    #[schema(required = false)]
    username: Option<String>,
    #[schema(required = false)]
    sub: Option<String>,
    #[schema(required = false)]
    tenant: Option<String>,
    #[schema(required = false)]
    scope: Option<String>,
    /// Seconds since 1970.
    #[schema(required = false)]
    exp: Option<u64>,
}

/// A set of keys (RFC 7517).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct KeySet {
    keys: Vec<Value>,
}

/// Where everything is (RFC 8414).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    service_documentation: String,
    response_types_supported: Vec<String>,
    response_modes_supported: Vec<String>,
    grant_types_supported: Vec<String>,
    code_challenge_methods_supported: Vec<String>,
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Vec<String>,
    revocation_endpoint_auth_methods_supported: Vec<String>,
    introspection_endpoint_auth_methods_supported: Vec<String>,
    scopes_supported: Vec<String>,
    subject_types_supported: Vec<String>,
    id_token_signing_alg_values_supported: Vec<String>,
    claims_supported: Vec<String>,
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
}

const HTML: &str = "text/html";

pub(super) fn authorize() -> Doc {
    let api = Doc::open(
        "authorize",
        TOKENS,
        "The page at which a user logs in for a client (RFC 6749, 4.1, with RFC 7636).",
    );
    api.needs(
        "client_id",
        any(),
        "A client that is configured, or `console`.",
    )
    .needs(
        "redirect_uri",
        any(),
        "One of the client's, as it is written there.",
    )
    .needs("response_type", one_of(&["code"]), "What comes back.")
    .needs(
        "code_challenge",
        text("^[A-Za-z0-9_-]{43}$"),
        "The SHA-256 of the verifier, in base64url.",
    )
    .needs(
        "code_challenge_method",
        one_of(&["S256"]),
        "How it was made.",
    )
    .query("state", any(), "Comes back as it is.")
    .query(
        "scope",
        any(),
        "`openid` for an id token; other words mean nothing here.",
    )
    .query("nonce", any(), "Is in the id token as it is.")
    .query(
        "tenant",
        text("^[a-z0-9-]{1,63}$"),
        "The tenant that the user is of; `default`, if it is left out.",
    )
    .text(200, "The page.", HTML)
    .says(303, "To `redirect_uri`, with `error`.")
    .text(400, "There is no such client, or it is not there.", HTML)
}

pub(super) fn authorize_log_in() -> Doc {
    let needed = [
        (
            "client_id",
            "As the page has it, and so are the others of the request.",
        ),
        ("redirect_uri", "As the page has it."),
        ("response_type", "As the page has it."),
        ("code_challenge", "As the page has it."),
        ("code_challenge_method", "As the page has it."),
        ("page", "What the page carries."),
        ("username", "What was typed."),
        ("password", "What was typed."),
    ];
    let api = Doc::open(
        "authorizeLogIn",
        TOKENS,
        "Takes what was typed into the page, from the page alone.",
    );
    api.form_of(&needed, &[])
        .says(303, "To `redirect_uri`, with `code` or `error`.")
        .text(
            400,
            "It does not come from the page, or the page was open too long.",
            HTML,
        )
        .text(
            403,
            "The username or password is wrong; the page again.",
            HTML,
        )
        .text(
            429,
            "Too much was wrong; come back after `Retry-After`.",
            HTML,
        )
        .text(503, "It cannot be said now; the page again.", HTML)
}

pub(super) fn token() -> Doc {
    let answer = json!({
        "access_token": "eyJ…", "token_type": "Bearer", "expires_in": 300, "refresh_token": "selvr_default.…",
    });
    let needed = [(
        "grant_type",
        "`authorization_code`, `refresh_token`, or `client_credentials` for an API key.",
    )];
    let optional = [
        (
            "client_id",
            "What the login was begun with, if it was not left out then; the id of an API key.",
        ),
        ("code", "What came back to `redirect_uri`."),
        ("redirect_uri", "Where that was."),
        ("code_verifier", "What the challenge was made of."),
        ("refresh_token", "The last one that was given."),
        (
            "client_secret",
            "The text of an API key, if it is not in `Authorization: Basic`.",
        ),
    ];
    let api = Doc::open(
        "token",
        TOKENS,
        "Begins and goes on with a login (RFC 6749).",
    )
    .form_of(&needed, &optional)
    .answers::<Tokens>(200, "The tokens.", answer)
    .fails::<TokenError>(401, "It is no API key that is good.", an_error());
    refuses(api)
}

pub(super) fn revoke() -> Doc {
    let needed = [("token", "A refresh token or an access token.")];
    let api = Doc::open(
        "revoke",
        TOKENS,
        "Ends the login that a refresh token is of, or an access token alone (RFC 7009).",
    );
    let hint = [("token_type_hint", "Is not needed.")];
    refuses(
        api.form_of(&needed, &hint)
            .says(200, "It is good for nothing any more."),
    )
}

pub(super) fn introspect() -> Doc {
    let fields = [("token", "An access token or API key.")];
    let api = Doc::api("introspect", TOKENS, "What a token is here now (RFC 7662).");
    let answer = json!({ "active": false });
    api.form_of(&fields, &[])
        .answers::<TokenState>(200, "What it is.", answer)
        .fails::<TokenError>(400, "No token is shown.", an_error())
}

pub(super) fn keys() -> Doc {
    let api = Doc::open(
        "keys",
        TOKENS,
        "The keys that the cluster's access tokens are verified with (RFC 7517).",
    );
    let answer = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "…", "kid": "…", "use": "sig", "alg": "EdDSA" }] });
    api.answers::<KeySet>(200, "All of them.", answer)
        .refuses(&[500, 503])
}

fn refuses(api: Doc) -> Doc {
    api.fails::<TokenError>(400, "It is refused.", an_error())
        .fails::<TokenError>(503, "It cannot be said now.", an_error())
}

fn an_error() -> Value {
    json!({ "error": "invalid_grant", "error_description": "the refresh token is not good, or not any more; log in again" })
}

pub(super) fn discovery() -> Doc {
    discovered(
        "openidConfiguration",
        "Where everything is (OpenID Connect Discovery 1.0).",
    )
}

pub(super) fn discovery_of_oauth() -> Doc {
    discovered("oauthMetadata", "Where everything is (RFC 8414).")
}

fn discovered(id: &str, what: &str) -> Doc {
    let example = json!({ "issuer": "https://node.example", "token_endpoint": "https://node.example/oauth/token" });
    Doc::open(id, TOKENS, what)
        .answers::<Discovery>(200, "All of it.", example)
        .refuses(&[422])
}
