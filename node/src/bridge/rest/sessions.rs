//! `/v1/sessions`: the live sessions of this node, listed and closed. Of the caller's tenant; of all, for who
//! administers the cluster.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use selvedge_protocol::{ErrorCode, Failure, SessionId, Tenant, time};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::{Call, wrong};
use crate::bridge::rest::parameters::invalid;
use crate::identity::{Action, Permission, Principal, Resource, Scope, scope};
use crate::session::{SessionFilter, SessionInfo};

/// A session as a list has it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Session {
    id: String,
    principal: String,
    tenant: String,
    node: String,
    connected: bool,
    /// Since when it is connected, or not.
    #[schema(format = DateTime)]
    since: String,
    /// `quic`, `websocket` or `webtransport`.
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    /// When it was opened first, on whatever node.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of sessions, in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPage)]
pub(crate) struct Sessions {
    items: Vec<Session>,
    /// Where the next page begins; `null` after the last.
    #[schema(required = true)]
    cursor: Option<String>,
}

pub(crate) async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let parameters = call.parameters(&["tenant", "cursor", "limit"])?;
    let limit = parameters.limit()?;
    let after = parameters.text("cursor").map(|text| id("cursor", text));
    let after = after.transpose()?;
    let asked = match parameters.text("tenant") {
        None => None,
        Some(text) => Some(Tenant::new(text).map_err(|error| wrong("tenant", &error))?),
    };
    let principal = &call.caller.principal;
    let read = scope(principal, Permission::new(Resource::Session, Action::Read))?;
    let tenant = match principal.sees_all_tenants() && read == Scope::Any {
        true => asked,
        false => Some(own(principal, asked)?),
    };
    let wanted = SessionFilter {
        tenant: tenant.as_ref(),
        principal: match read {
            Scope::Own => Some(&*principal.name),
            Scope::Any => None,
        },
    };
    let node = &call.inside.about.node;
    let listed = call.inside.sessions.list(wanted, after, limit);
    let is_full = listed.len() == limit;
    let items: Vec<_> = listed.into_iter().map(|info| shown(info, node)).collect();
    let cursor = items.last().filter(|_| is_full).map(|item| item.id.clone());
    let next = cursor
        .as_deref()
        .map(|cursor| parameters.with_cursor(cursor));
    let body = answer::encode(&Sessions { items, cursor })?;
    Ok(answer::page(&call, body, next.as_deref()))
}

pub(crate) async fn close(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let principal = &call.caller.principal;
    let write = scope(principal, Permission::new(Resource::Session, Action::Write))?;
    let session = id("id", &call.part("id")?)?;
    let found = call.inside.sessions.info(session);
    // Those that it may not close are not there.
    let is_visible = found.is_some_and(|SessionInfo { principal: of, .. }| match write {
        Scope::Any => principal.reaches(&of.tenant),
        Scope::Own => of.tenant == principal.tenant && of.name == principal.name,
    });
    if is_visible && call.inside.sessions.close(session) {
        tracing::info!(%session, principal = &*principal.name, "session closed");
        return Ok(HttpResponse::build(StatusCode::NO_CONTENT).finish());
    }
    let message = format!(
        "{} has no such session; each node lists its own",
        call.inside.about.node
    );
    Err(Failure::field(ErrorCode::NotFound, "id", message).into())
}

fn shown(info: SessionInfo, node: &str) -> Session {
    Session {
        id: info.session.to_string(),
        principal: info.principal.name.to_string(),
        tenant: info.principal.tenant.to_string(),
        node: node.to_owned(),
        connected: info.transport.is_some(),
        since: time::format(info.since_ms),
        transport: info.transport.map(|transport| transport.name()),
        created_at: time::format(info.session.created_ms()),
    }
}

/// The tenant of the caller, which is the only one that it may ask for.
fn own(principal: &Principal, asked: Option<Tenant>) -> Result<Tenant, Problem> {
    let own = principal.tenant.clone();
    if asked.is_some_and(|asked| asked != own) {
        let message = format!("you see the sessions of your tenant, {own}");
        return Err(Failure::field(ErrorCode::PermissionDenied, "tenant", message).into());
    }
    Ok(own)
}

fn id(field: &str, text: &str) -> Result<SessionId, Problem> {
    match Uuid::try_parse(text) {
        Ok(uuid) => Ok(SessionId::from_u128(uuid.as_u128())),
        Err(_) => Err(invalid(field, "use the id of a session, a UUID")),
    }
}
