//! `/v1/users`: who logs in with a password of this cluster, and their logins. Each is one query or command about who is
//! known; a user is named by its id or its name, and looked for in the caller's tenant alone.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::web::Payload;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::directory::{ask, list, read, tell};

/// A user to be made.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// Letters are folded to small ones.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$")]
    username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Names of roles; whoever makes the user may do all that they give.
    #[serde(default)]
    #[schema(max_items = 32)]
    roles: Vec<String>,
    /// Without one the user cannot log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 15, max_length = 128)]
    password: Option<String>,
}

/// What of a user is to be changed; what is left out stays as it is.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedUser {
    /// `null`: none.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    email: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    roles: Option<Vec<String>>,
    /// One that is not cannot log in, and its logins end.
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

/// A password to be set.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    #[schema(min_length = 15, max_length = 128)]
    password: String,
}

/// What a user is found by.
#[derive(Debug, Deserialize)]
struct Made {
    id: String,
}

pub(crate) async fn users(call: Call) -> Result<HttpResponse, Problem> {
    list(&call, "user.list").await
}

pub(crate) async fn create(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let new: NewUser = call.body(payload).await?;
    let success = tell(&call, "user.create", &new).await?;
    let Made { id } = read(&success.body)?;
    let mut response = answer::text(StatusCode::CREATED, success.body);
    // Ids need no escapes.
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/users/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

pub(crate) async fn user(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let success = ask(&call, "user.get", &Value::Object(id(&call)?)).await?;
    Ok(answer::tagged(&call, success.version, success.body))
}

pub(crate) async fn change(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let changed: ChangedUser = call.body(payload).await?;
    told(&call, "user.set", &changed).await
}

pub(crate) async fn set_password(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let new: NewPassword = call.body(payload).await?;
    told(&call, "user.set-password", &new).await
}

pub(crate) async fn remove(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    tell(&call, "user.remove", &id(&call)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn logins(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let success = ask(&call, "login.list", &Value::Object(id(&call)?)).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

pub(crate) async fn end_login(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let mut body = id(&call)?;
    body.insert("login".to_owned(), json!(call.part("login")?));
    tell(&call, "login.end", &body).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Tells the user of the path something, and answers what it is then.
async fn told(call: &Call, name: &str, body: &impl Serialize) -> Result<HttpResponse, Problem> {
    let mut told = id(call)?;
    if let Ok(Value::Object(members)) = serde_json::to_value(body) {
        told.extend(members);
    }
    let success = tell(call, name, &told).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

fn id(call: &Call) -> Result<Map<String, Value>, Problem> {
    Ok(Map::from_iter([("id".to_owned(), json!(call.part("id")?))]))
}

/// A member that is there: text, or `null`.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Ok(Some(Option::<String>::deserialize(from)?.into()))
}
