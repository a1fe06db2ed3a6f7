//! What the paths of users, logins and tokens take and answer: one function a route, beside which the table has it.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::Required;

use crate::bridge::rest::description::{LINK, any, conditional, keyed, paged, tagged};
use crate::bridge::rest::doc::Doc;
use crate::bridge::rest::login::{Credentials, LoggedIn, PasswordChange};
use crate::bridge::rest::users::{ChangedUser, NewPassword, NewUser};

const USERS: &str = "users";
const TOKENS: &str = "tokens";

/// Who logs in with a password of this cluster.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct User {
    id: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    username: String,
    #[schema(required = true)]
    email: Option<String>,
    /// Names; those that are no roles any more give nothing.
    roles: Vec<String>,
    enabled: bool,
    /// `null`: it has no password.
    #[schema(required = true, format = DateTime)]
    password_changed_at: Option<String>,
    /// Raised by one with each change.
    version: u64,
}

/// A page of users, in the order in which they were made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct UserPage {
    items: Vec<User>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    cursor: Option<String>,
}

/// That a user has logged in somewhere, and goes on there.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct LoginOfUser {
    id: String,
    client: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    used_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[schema(required = true, format = DateTime)]
    ended_at: Option<String>,
    /// Why it has ended before its time.
    #[schema(required = true)]
    reason: Option<String>,
}

/// The logins of a user.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct LoginPage {
    items: Vec<LoginOfUser>,
    /// `null`: all of them are here.
    #[schema(required = true)]
    cursor: Option<String>,
}

pub(super) fn users() -> Doc {
    let api = Doc::api("listUsers", USERS, "Lists the users of the tenant.");
    let page = json!({ "items": [a_user()], "cursor": null });
    paged(api).answers_with::<UserPage>(200, "A page.", page, &LINK)
}

pub(super) fn create() -> Doc {
    let headers = [("Location", "Where the user is.")];
    keyed(Doc::api("createUser", USERS, "Makes a user."))
        .body::<NewUser>(
            Required::True,
            json!({ "username": "ann", "roles": ["viewer"] }),
        )
        .answers_with::<User>(201, "It is made.", a_user(), &headers)
        .refuses(&[409, 429])
}

pub(super) fn user() -> Doc {
    let api = with_id(Doc::api("getUser", USERS, "A user as it is."));
    tagged::<User>(api, a_user()).refuses(&[404])
}

pub(super) fn change() -> Doc {
    let api = Doc::api("changeUser", USERS, "Changes some of a user.");
    conditional(keyed(with_id(api)))
        .body::<ChangedUser>(Required::True, json!({ "enabled": false }))
        .answers::<User>(200, "The user as it is now.", a_user())
        .refuses(&[404, 409])
}

pub(super) fn set_password() -> Doc {
    let api = Doc::api(
        "setPassword",
        USERS,
        "Gives a user another password; its logins end.",
    );
    conditional(keyed(with_id(api)))
        .body::<NewPassword>(Required::True, json!({ "password": "some words in a row" }))
        .answers::<User>(200, "The user as it is now.", a_user())
        .refuses(&[404, 409, 429])
}

pub(super) fn remove() -> Doc {
    let api = Doc::api("removeUser", USERS, "Removes a user; its logins end.");
    conditional(keyed(with_id(api)))
        .says(204, "It is gone.")
        .refuses(&[404, 409])
}

pub(super) fn logins() -> Doc {
    let login = json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "client": "first-party", "createdAt": "2026-01-31T12:00:00Z",
        "usedAt": "2026-01-31T12:00:00Z", "expiresAt": "2026-03-02T12:00:00Z", "endedAt": null, "reason": null,
    });
    let page = json!({ "items": [login], "cursor": null });
    let api = Doc::api("listLogins", USERS, "Lists the logins of a user.");
    with_id(api)
        .answers::<LoginPage>(200, "All of them.", page)
        .refuses(&[404])
}

pub(super) fn end_login() -> Doc {
    let api = Doc::api(
        "endLogin",
        USERS,
        "Ends a login: nobody goes on with what came of it.",
    );
    keyed(with_id(api))
        .path("login", any(), "The id of the login.")
        .says(204, "It has ended.")
        .refuses(&[404, 409])
}

pub(super) fn log_in() -> Doc {
    let api = Doc::open("logIn", TOKENS, "Logs a user in who has the password.");
    let example = json!({ "username": "ann", "password": "some words in a row" });
    let answer = json!({
        "accessToken": "eyJ…", "tokenType": "Bearer", "expiresIn": 300, "refreshToken": "selvr_default.…",
        "user": "01890a5d-ac96-774b-bcce-b302099a8057", "login": "01890a5d-ac96-774b-bcce-b302099a8058",
    });
    api.body::<Credentials>(Required::True, example)
        .answers::<LoggedIn<'_>>(200, "The tokens.", answer)
        .refuses(&[400, 401, 422, 429, 500, 503])
}

pub(super) fn change_password() -> Doc {
    let api = Doc::open(
        "changePassword",
        TOKENS,
        "Gives a user who has the password another one; its logins end.",
    );
    let example = json!({
        "username": "ann", "password": "some words in a row", "newPassword": "other words in a row",
    });
    api.body::<PasswordChange>(Required::True, example)
        .says(204, "It is the password now.")
        .refuses(&[400, 401, 409, 422, 429, 500, 503])
}

fn with_id(api: Doc) -> Doc {
    api.path("id", any(), "The id of the user, or its name.")
}

fn a_user() -> Value {
    json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "createdAt": "2026-01-31T12:00:00Z",
        "updatedAt": "2026-01-31T12:00:00Z", "username": "ann", "email": null, "roles": ["viewer"], "enabled": true,
        "passwordChangedAt": null, "version": 1,
    })
}
