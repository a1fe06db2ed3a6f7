//! Queries and commands about roles, API keys and the sessions of principals, and through `users` about users: their bodies and answers, see `wire.md`.
//! What they do is [`Directory`]'s; all of it is about the caller's tenant.

use selvedge_cluster::actor::{Identity, ReplyTo};
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::limits::{OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX};
use selvedge_protocol::{ErrorCode, Failure, Target, time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gateway::{Caller, CommandCall, QueryCall, failure, users};
use crate::identity::{
    ApiKey, Directory, KeyMaker, NewKey, Principal, RoleWrite, Scope, StoredRole,
};

/// An answer: JSON text, and the version of what it shows, 0 where that has none.
pub(super) type Answer = Result<(Vec<u8>, u64), Failure>;

#[derive(Debug)]
enum Query {
    Roles(Page),
    Role(Named),
    ApiKeys(Page),
    ApiKey(Id),
    OfUsers(users::Query),
}

#[derive(Debug)]
enum Command {
    SetRole(SetRole),
    RemoveRole(Named),
    MakeApiKey(MakeApiKey, Vec<u8>),
    RevokeApiKey(Id),
    RemoveApiKey(Id),
    CloseSessions(OfPrincipal),
    OfUsers(users::Command),
}

/// Answers a query of whoever may ask it of this. Never waits.
pub(super) fn query(
    directory: &Directory,
    caller: &Caller,
    scope: Result<Scope, Failure>,
    call: &QueryCall,
    reply: ReplyTo,
) {
    let asked = scope.and_then(|scope| Ok((scope, Query::parse(&call.name, &call.body)?)));
    let (scope, query) = match asked {
        Ok(asked) => asked,
        Err(failure) => return reply.answer(Outcome::Failure(failure)),
    };
    let (directory, by) = (directory.clone(), caller.principal.clone());
    tokio::spawn(async move {
        reply.answer(outcome(query.answer(&directory, &by, scope).await));
    });
}

/// Executes a command of whoever may do it to this. Never waits.
pub(super) fn command(
    directory: &Directory,
    caller: &Caller,
    scope: Result<Scope, Failure>,
    call: &CommandCall,
    reply: ReplyTo,
) {
    let told = scope.and_then(|scope| Ok((scope, Command::parse(call)?)));
    let (scope, command) = match told {
        Ok(told) => told,
        Err(failure) => return reply.answer(Outcome::Failure(failure)),
    };
    let (directory, by) = (directory.clone(), caller.principal.clone());
    let if_version = call.if_version;
    tracing::info!(principal = &*by.name, tenant = %by.tenant, command = &*call.name, "the directory is told");
    // On its own task: a caller that goes away does not leave it half done.
    tokio::spawn(async move {
        let answer = command.answer(&directory, &by, scope, if_version).await;
        reply.answer(outcome(answer));
    });
}

impl Query {
    fn parse(name: &str, body: &[u8]) -> Result<Self, Failure> {
        if let Some(query) = users::Query::parse(name, body) {
            return query.map(Self::OfUsers);
        }
        match name {
            "role.list" => parse(body).map(Self::Roles),
            "role.get" => parse(body).map(Self::Role),
            "api-key.list" => parse(body).map(Self::ApiKeys),
            "api-key.get" => parse(body).map(Self::ApiKey),
            name => Err(failure::no_such(&Target::Cluster, name)),
        }
    }

    async fn answer(self, directory: &Directory, by: &Principal, scope: Scope) -> Answer {
        match self {
            Self::Roles(page) => {
                any(scope)?;
                let mut roles = directory.roles(&by.tenant).await?;
                roles.sort_by(|one, other| one.name.cmp(&other.name));
                let items = roles.into_iter().map(|it| (it.name.clone(), role(&it)));
                page.of(items)
            }
            Self::Role(Named { name }) => {
                any(scope)?;
                let found = directory.role(&by.tenant, &name).await?;
                let found = found.ok_or_else(|| crate::identity::no_such_role(&name))?;
                json(&role(&found), found.made.map_or(0, |it| it.version))
            }
            Self::ApiKeys(page) => {
                let keys = directory.api_keys(by, scope).await?;
                page.of(keys.into_iter().map(|it| (it.id.clone(), api_key(&it))))
            }
            Self::ApiKey(Id { id }) => {
                let key = directory.api_key(by, scope, &id).await?;
                json(&api_key(&key), key.version)
            }
            Self::OfUsers(query) => query.answer(directory, by, scope).await,
        }
    }
}

impl Command {
    fn parse(call: &CommandCall) -> Result<Self, Failure> {
        let body = &call.body;
        if let Some(command) = users::Command::parse(&call.name, body) {
            return command.map(Self::OfUsers);
        }
        match &*call.name {
            "role.set" => parse(body).map(Self::SetRole),
            "role.remove" => parse(body).map(Self::RemoveRole),
            "api-key.create" => Ok(Self::MakeApiKey(parse(body)?, request(call.identity)?)),
            "api-key.revoke" => parse(body).map(Self::RevokeApiKey),
            "api-key.remove" => parse(body).map(Self::RemoveApiKey),
            "session.close-all" => parse(body).map(Self::CloseSessions),
            name => Err(failure::no_such(&Target::Cluster, name)),
        }
    }

    async fn answer(
        self,
        directory: &Directory,
        by: &Principal,
        scope: Scope,
        if_version: Option<u64>,
    ) -> Answer {
        match self {
            Self::SetRole(SetRole { name, rules }) => {
                any(scope)?;
                let write = RoleWrite {
                    name,
                    rules,
                    if_version,
                };
                let set = directory.set_role(by, write).await?;
                json(&role(&set), set.made.map_or(0, |it| it.version))
            }
            Self::RemoveRole(Named { name }) => {
                any(scope)?;
                directory.remove_role(by, &name, if_version).await?;
                json(&json!({ "name": name, "removed": true }), 0)
            }
            Self::MakeApiKey(new, request) => {
                let request = &request;
                let new = new.checked()?;
                let made = directory
                    .make_api_key(KeyMaker { by, request }, new)
                    .await?;
                let mut shown = api_key(&made.key);
                shown["key"] = Value::from(made.text.reveal());
                json(&shown, made.key.version)
            }
            Self::RevokeApiKey(Id { id }) => {
                let key = directory.revoke_api_key(by, scope, &id, if_version).await?;
                json(&api_key(&key), key.version)
            }
            Self::RemoveApiKey(Id { id }) => {
                directory.remove_api_key(by, scope, &id, if_version).await?;
                json(&json!({ "id": id, "removed": true }), 0)
            }
            Self::CloseSessions(OfPrincipal { principal }) => {
                let named = directory.principal_named(&by.tenant, &principal).await;
                let named = named.map_err(|error| failure::store(&error))?;
                if scope == Scope::Own && named.as_deref() != Some(&*by.name) {
                    any(scope)?;
                }
                let principal = named.ok_or_else(|| failure::no_such_principal("principal"))?;
                directory.close_sessions(by, &principal).await?;
                json(&json!({ "principal": principal, "closed": true }), 0)
            }
            Self::OfUsers(command) => command.answer(directory, (by, scope), if_version).await,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Id {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPrincipal {
    principal: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRole {
    name: String,
    rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MakeApiKey {
    name: String,
    roles: Vec<String>,
    /// RFC 3339.
    expires_at: Option<String>,
}

impl MakeApiKey {
    fn checked(self) -> Result<NewKey, Failure> {
        let wrong = || {
            let message = "give a time as RFC 3339 has it, for example 2030-01-31T12:00:00Z";
            Failure::field(ErrorCode::Invalid, "expiresAt", message)
        };
        let read = |text: &str| time::parse(text).ok_or_else(wrong);
        let expires_ms = self.expires_at.as_deref().map(read).transpose()?;
        Ok(NewKey {
            name: self.name,
            roles: self.roles,
            expires_ms,
        })
    }
}

/// A part of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The `cursor` of the page before.
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Paged {
    items: Vec<Value>,
    /// `null` after the last.
    cursor: Option<String>,
}

impl Page {
    /// What of these, in the order of their names, is on it.
    fn of(self, all: impl Iterator<Item = (String, Value)>) -> Answer {
        let limit = self.limit.unwrap_or(OPERATION_PAGE_DEFAULT);
        let limit = limit.clamp(1, OPERATION_PAGE_MAX);
        let after = self.cursor.unwrap_or_default();
        if after.len() > CURSOR_BYTES_MAX {
            let message = "give the cursor of the page before, or none";
            return Err(Failure::field(ErrorCode::Invalid, "cursor", message));
        }
        let mut all = all.skip_while(|(name, _)| *name <= after).peekable();
        let (mut items, mut cursor, mut bytes) = (Vec::new(), None, 0);
        while let Some((name, item)) = all.next() {
            bytes += item.to_string().len();
            items.push(item);
            if all.peek().is_some() && (items.len() == limit || bytes > PAGE_BYTES) {
                cursor = Some(name);
                break;
            }
        }
        json(&Paged { items, cursor }, 0)
    }
}

fn role(role: &StoredRole) -> Value {
    let StoredRole { name, rules, made } = role;
    json!({
        "name": name,
        "rules": rules,
        "builtIn": made.is_none(),
        "version": made.map_or(0, |it| it.version),
        "createdAt": made.map(|it| time::format(it.created_ms)),
        "updatedAt": made.map(|it| time::format(it.updated_ms)),
    })
}

pub(super) fn api_key(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "roles": key.roles,
        "createdBy": key.created_by,
        "createdAt": time::format(key.created_ms),
        "expiresAt": key.expires_ms.map(time::format),
        "lastUsedAt": key.last_used_ms.map(time::format),
        "revokedAt": key.revoked_ms.map(time::format),
        "version": key.version,
    })
}

/// What makes a repeat of a command the same one.
fn request(identity: Identity) -> Result<Vec<u8>, Failure> {
    match identity {
        Identity::Id(id) => Ok(id.as_bytes().to_vec()),
        Identity::Session {
            session, number, ..
        } => Ok([&session.as_bytes()[..], &number.to_be_bytes()].concat()),
        Identity::Natural => Err(Failure::new(
            ErrorCode::Invalid,
            "a key is made by a command that has an id",
        )),
    }
}

/// That it is given for all of the tenant: these have no owners.
pub(super) fn any(scope: Scope) -> Result<(), Failure> {
    match scope {
        Scope::Any => Ok(()),
        Scope::Own => Err(Failure::new(
            ErrorCode::PermissionDenied,
            "you may do this for what is your own alone",
        )),
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Nothing is as good as no fields.
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| failure::body(&error))
}

pub(super) fn json(answer: &impl Serialize, version: u64) -> Answer {
    match serde_json::to_vec(answer) {
        Ok(body) => Ok((body, version)),
        Err(error) => {
            tracing::error!(%error, "an answer about the directory is no JSON");
            Err(Failure::new(
                ErrorCode::Internal,
                "the answer cannot be made; the node's log says more",
            ))
        }
    }
}

pub(super) fn outcome(answer: Answer) -> Outcome {
    match answer {
        Ok((body, version)) => Outcome::Success(Success {
            body: body.into(),
            seq: 0,
            version,
        }),
        Err(failure) => Outcome::Failure(failure),
    }
}

/// What goes into an answer before the next page begins: with the largest item a role can be, 8 KiB, still within the
/// 64 KiB of a frame.
const PAGE_BYTES: usize = 40 * 1024;

/// What a cursor may have: it is the name or id of what a page ended with.
const CURSOR_BYTES_MAX: usize = 1_024;
