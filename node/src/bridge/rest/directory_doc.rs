//! What the paths of roles and API keys take and answer: one function a route, beside which the table has it.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::Required;

use crate::bridge::rest::description::{LINK, any, conditional, keyed, paged, tagged};
use crate::bridge::rest::directory::{NewApiKey, Rules};
use crate::bridge::rest::doc::{Doc, text};
use crate::bridge::rest::schema::Nothing;

const ROLES: &str = "roles";
const API_KEYS: &str = "api-keys";

/// What principals of a tenant may, by a name.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct Role {
    name: String,
    /// `RESOURCE:ACTION` or `RESOURCE:ACTION:own`.
    rules: Vec<String>,
    /// Every tenant has it, as it is.
    built_in: bool,
    /// Raised by one with each change; 0: it is built in.
    version: u64,
    #[schema(required = true, format = DateTime)]
    created_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    updated_at: Option<String>,
}

/// A page of roles, in the order of their names.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct RolePage {
    items: Vec<Role>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    cursor: Option<String>,
}

/// An API key, without its secret.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct ApiKey {
    id: String,
    name: String,
    /// Names; those that are no roles any more give nothing.
    roles: Vec<String>,
    /// The principal that made it.
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// To the hour.
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    revoked_at: Option<String>,
    /// Raised by one with each change.
    version: u64,
}

/// An API key that was made just now.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct MadeApiKey {
    /// The credential itself. It is shown here and never again.
    key: String,
    id: String,
    name: String,
    roles: Vec<String>,
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    revoked_at: Option<String>,
    version: u64,
}

/// A page of API keys, in the order of their ids.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct ApiKeyPage {
    items: Vec<ApiKey>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    cursor: Option<String>,
}

pub(super) fn roles() -> Doc {
    let api = Doc::api("listRoles", ROLES, "Lists the roles of the tenant by name.");
    let page = json!({ "items": [a_role()], "cursor": null });
    paged(api).answers_with::<RolePage>(200, "A page.", page, &LINK)
}

pub(super) fn role() -> Doc {
    let api = named(Doc::api("getRole", ROLES, "A role as it is."));
    tagged::<Role>(api, a_role()).refuses(&[404])
}

pub(super) fn set_role() -> Doc {
    let api = Doc::api("setRole", ROLES, "Makes a role, or gives it other rules.");
    conditional(keyed(named(api)))
        .body::<Rules>(
            Required::True,
            json!({ "rules": ["actor:read", "actor:tell"] }),
        )
        .answers::<Role>(200, "The role as it is now.", a_role())
        .refuses(&[409])
}

pub(super) fn remove_role() -> Doc {
    let api = Doc::api(
        "removeRole",
        ROLES,
        "Removes a role; who has it has less then.",
    );
    conditional(keyed(named(api)))
        .says(204, "It is gone.")
        .refuses(&[404, 409])
}

pub(super) fn api_keys() -> Doc {
    let api = Doc::api("listApiKeys", API_KEYS, "Lists the API keys of the tenant.");
    let page = json!({ "items": [a_key()], "cursor": null });
    paged(api).answers_with::<ApiKeyPage>(200, "A page.", page, &LINK)
}

pub(super) fn api_key() -> Doc {
    let api = with_id(Doc::api("getApiKey", API_KEYS, "An API key as it is."));
    tagged::<ApiKey>(api, a_key()).refuses(&[404])
}

pub(super) fn make_api_key() -> Doc {
    let mut made = a_key();
    made["key"] = Value::from("selv_default.0123456789abcdef0123456789abcdef.…");
    let headers = [("Location", "Where the key is.")];
    keyed(Doc::api("makeApiKey", API_KEYS, "Makes an API key, and shows it once."))
        .body::<NewApiKey>(
            Required::True,
            json!({ "name": "build server", "roles": ["developer"], "expiresAt": "2100-01-01T00:00:00Z" }),
        )
        .answers_with::<MadeApiKey>(201, "It is made.", made, &headers)
        .refuses(&[404, 409])
}

pub(super) fn revoke_api_key() -> Doc {
    let api = Doc::api(
        "revokeApiKey",
        API_KEYS,
        "Revokes an API key: whoever came with it is let go.",
    );
    conditional(keyed(with_id(api)))
        .body::<Nothing>(Required::False, json!({}))
        .answers::<ApiKey>(200, "The key as it is now.", a_key())
        .refuses(&[404, 409])
}

pub(super) fn remove_api_key() -> Doc {
    let api = Doc::api(
        "removeApiKey",
        API_KEYS,
        "Revokes an API key and forgets it.",
    );
    conditional(keyed(with_id(api)))
        .says(204, "It is gone.")
        .refuses(&[404, 409])
}

pub(super) fn close_sessions() -> Doc {
    Doc::api(
        "closeSessions",
        "sessions",
        "Closes all sessions of a principal, on whichever nodes they are.",
    )
    .needs("principal", any(), "The name of the principal.")
    .says(204, "All nodes are told, within a second.")
    .refuses(&[404, 409])
}

fn named(api: Doc) -> Doc {
    let name = text("^[a-z][a-z0-9_.-]{0,63}$");
    api.path("name", name, "The name of the role.")
}

fn with_id(api: Doc) -> Doc {
    api.path("id", text("^[0-9a-f]{32}$"), "The id of the key.")
}

fn a_role() -> Value {
    json!({
        "name": "teller", "rules": ["actor:read", "actor:tell"], "builtIn": false, "version": 1,
        "createdAt": "2026-01-31T12:00:00Z", "updatedAt": "2026-01-31T12:00:00Z",
    })
}

fn a_key() -> Value {
    json!({
        "id": "0123456789abcdef0123456789abcdef", "name": "build server", "roles": ["developer"], "createdBy": "admin",
        "createdAt": "2026-01-31T12:00:00Z", "expiresAt": null, "lastUsedAt": null, "revokedAt": null, "version": 1,
    })
}
