//! Limits as clients ask for them and set them: queries and commands to the cluster, see `wire.md`. What they do is
//! [`Limits`]'s; who may is decided here, as it depends on whose limit it is.

use selvedge_cluster::actor::ReplyTo;
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::{ErrorCode, Failure, Target, Tenant, time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::gateway::{Caller, Gateway, failure};
use crate::identity::{Action, Directory, Permission, Principal, Resource, authorize};
use crate::limit::{Limit, LimitId, Limits, Rate, Refused, Scope, SetError};

/// What is asked about limits.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Without its beginning, which says that it is about limits.
    name: &'a str,
    body: &'a [u8],
}

impl<'a> Asked<'a> {
    /// `None`: it is not about limits.
    pub(super) fn of(target: &Target, name: &'a str, body: &'a [u8]) -> Option<Self> {
        let name = name.strip_prefix(PREFIX)?;
        (*target == Target::Cluster).then_some(Self { name, body })
    }
}

#[derive(Debug)]
enum Query {
    List,
    Get(LimitId),
    Top { limit: usize },
}

/// Answers a query. Never waits.
pub(super) fn query(gateway: &Gateway, caller: &Caller, asked: &Asked<'_>, reply: ReplyTo) {
    let principal = caller.principal.clone();
    match parse_query(gateway, caller, asked) {
        Err(failure) => reply.answer(Outcome::Failure(failure)),
        Ok(query) => {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                reply.answer(outcome(answer(query, &gateway, &principal).await));
            });
        }
    }
}

/// Executes a command. Never waits.
pub(super) fn command(gateway: &Gateway, caller: &Caller, asked: &Asked<'_>, reply: ReplyTo) {
    let principal = caller.principal.clone();
    match parse_command(gateway, caller, asked) {
        Err(failure) => reply.answer(Outcome::Failure(failure)),
        Ok((id, rate)) => {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                let changed = match named(&gateway.directory, id).await {
                    Ok(id) => change(&gateway.limits, id, rate, &principal).await,
                    Err(refused) => Err(refused),
                };
                reply.answer(outcome(changed));
            });
        }
    }
}

fn parse_query(gateway: &Gateway, caller: &Caller, asked: &Asked<'_>) -> Result<Query, Failure> {
    gateway.authorize(caller, Permission::new(Resource::Limit, Action::Read))?;
    let principal = &caller.principal;
    match asked.name {
        "list" => parse::<Nothing>(asked.body).map(|_| Query::List),
        "get" => {
            let id = parse::<Named>(asked.body)?.id(principal)?;
            let is_visible = id
                .scope
                .tenant()
                .is_none_or(|tenant| principal.reaches(tenant));
            match is_visible {
                true => Ok(Query::Get(id)),
                false => Err(unset(&id)),
            }
        }
        "top" => {
            let Some(limit) = parse::<Page>(asked.body)?.limit else {
                return Ok(Query::Top { limit: TOP_DEFAULT });
            };
            match (1..=TOP_MAX).contains(&limit) {
                true => Ok(Query::Top { limit }),
                false => {
                    let text = format!("use 1 to {TOP_MAX}");
                    Err(Failure::field(ErrorCode::Invalid, "limit", text))
                }
            }
        }
        name => Err(unknown(name)),
    }
}

fn parse_command(
    gateway: &Gateway,
    caller: &Caller,
    asked: &Asked<'_>,
) -> Result<(LimitId, Option<Rate>), Failure> {
    let principal = &caller.principal;
    let (id, rate) = match asked.name {
        "set" => {
            let Set {
                scope,
                limit,
                rate,
                burst,
            } = permitted(gateway, caller, asked.body)?;
            let id = Named { scope, limit }.id(principal)?;
            (id, Some(read_rate(&rate, burst)?))
        }
        "delete" => {
            let named: Named = permitted(gateway, caller, asked.body)?;
            (named.id(principal)?, None)
        }
        name => {
            may_write(gateway, caller)?;
            return Err(unknown(name));
        }
    };
    gateway.authorize(caller, needed(&id.scope))?;
    Ok((id, rate))
}

/// What a body says, of somebody who may change some limits at least: to others not even a wrong body is told from a
/// right one.
fn permitted<T: DeserializeOwned>(
    gateway: &Gateway,
    caller: &Caller,
    body: &[u8],
) -> Result<T, Failure> {
    may_write(gateway, caller)?;
    parse(body)
}

fn may_write(gateway: &Gateway, caller: &Caller) -> Result<(), Failure> {
    let write = Permission::new(Resource::Limit, Action::Write);
    let administer = Permission::new(Resource::Limit, Action::Administer);
    // Whoever may one of both is not refused.
    authorize(&caller.principal, administer).or_else(|_| gateway.authorize(caller, write))
}

/// A tenant must not raise its own.
const fn needed(scope: &Scope) -> Permission {
    match scope.is_of_tenants() {
        true => Permission::new(Resource::Limit, Action::Administer),
        false => Permission::new(Resource::Limit, Action::Write),
    }
}

fn read_rate(text: &str, burst: Option<u64>) -> Result<Rate, Failure> {
    let invalid = |field: &str, error: String| Failure::field(ErrorCode::Invalid, field, error);
    let rate: Rate = text
        .parse()
        .map_err(|error: crate::limit::WrongRate| invalid("rate", error.to_string()))?;
    match burst {
        None => Ok(rate),
        Some(burst) => rate
            .with_burst(burst)
            .map_err(|error| invalid("burst", error.to_string())),
    }
}

/// The limit with its principal named as it is everywhere: a user by its id.
async fn named(directory: &Directory, id: LimitId) -> Result<LimitId, Failure> {
    let Scope::Principal(tenant, principal) = &id.scope else {
        return Ok(id);
    };
    let named = directory.principal_named(tenant, principal).await;
    let named = named.map_err(|error| failure::store(&error))?;
    let named = named.ok_or_else(|| failure::no_such_principal("scope"))?;
    Ok(LimitId {
        scope: Scope::Principal(tenant.clone(), named.into()),
        ..id
    })
}

async fn answer(
    query: Query,
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Vec<u8>, Failure> {
    let limits = &gateway.limits;
    match query {
        Query::List => {
            let all = limits
                .list()
                .await
                .map_err(|error| failure::store(&error))?;
            let visible = all.iter().filter(|limit| {
                let tenant = limit.id.scope.tenant();
                tenant.is_none_or(|tenant| principal.reaches(tenant))
            });
            json(&Listed {
                items: visible.map(Shown::of).collect(),
            })
        }
        Query::Get(id) => {
            let id = named(&gateway.directory, id).await?;
            let found = limits
                .get(&id)
                .await
                .map_err(|error| failure::store(&error))?;
            json(&Shown::of(&found.ok_or_else(|| unset(&id))?))
        }
        Query::Top { limit } => {
            let mut top = limits.top(|who| principal.reaches(&who.tenant));
            top.truncate(limit);
            let items = top.iter().map(|(who, count)| RefusedShown::of(who, *count));
            json(&Listed {
                items: items.collect(),
            })
        }
    }
}

async fn change(
    limits: &Limits,
    id: LimitId,
    rate: Option<Rate>,
    principal: &Principal,
) -> Result<Vec<u8>, Failure> {
    tracing::info!(principal = &*principal.name, limit = %id, ?rate, "a limit is changed");
    let changed = limits.change(id.clone(), rate, &principal.name).await;
    let before = changed.map_err(|error| match error {
        SetError::Store(error) => failure::store(&error),
        SetError::Full(_) => Failure::new(ErrorCode::Conflict, error.to_string()),
    })?;
    if rate.is_none() {
        let deleted = before.is_some();
        return json(&Deleted { deleted });
    }
    let found = limits
        .get(&id)
        .await
        .map_err(|error| failure::store(&error))?;
    json(&Shown::of(&found.ok_or_else(|| unset(&id))?))
}

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    scope: String,
    limit: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    scope: String,
    limit: String,
    rate: String,
    burst: Option<u64>,
}

impl Named {
    /// What it names to somebody.
    fn id(&self, principal: &Principal) -> Result<LimitId, Failure> {
        let invalid = |field: &str, error: &crate::limit::WrongName| {
            Failure::field(ErrorCode::Invalid, field, error.to_string())
        };
        Ok(LimitId {
            scope: Scope::parse(&self.scope, &principal.tenant)
                .map_err(|error| invalid("scope", &error))?,
            name: self
                .limit
                .parse()
                .map_err(|error| invalid("limit", &error))?,
        })
    }
}

#[derive(Debug, Serialize)]
struct Listed<T> {
    items: Vec<T>,
}

#[derive(Debug, Serialize)]
struct Deleted {
    deleted: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    /// `null`: it is of all tenants.
    tenant: Option<&'a Tenant>,
    scope: String,
    limit: &'static str,
    rate: String,
    burst: u64,
    /// What each node may be ahead.
    batch: u64,
    changed_by: &'a str,
    changed_at: String,
}

impl<'a> Shown<'a> {
    fn of(limit: &'a Limit) -> Self {
        Self {
            tenant: limit.id.scope.tenant(),
            scope: limit.id.scope.to_string(),
            limit: limit.id.name.name(),
            rate: limit.rate.to_string(),
            burst: limit.rate.burst(),
            batch: limit.rate.batch(),
            changed_by: &limit.changed_by,
            changed_at: time::format(limit.changed_ms),
        }
    }
}

#[derive(Debug, Serialize)]
struct RefusedShown<'a> {
    tenant: &'a Tenant,
    principal: &'a str,
    limit: &'static str,
    /// Whose limit it is that refuses.
    scope: &'static str,
    refused: u64,
}

impl<'a> RefusedShown<'a> {
    fn of(who: &'a Refused, refused: u64) -> Self {
        Self {
            tenant: &who.tenant,
            principal: &who.principal,
            limit: who.name.name(),
            scope: who.level.name(),
            refused,
        }
    }
}

fn unset(id: &LimitId) -> Failure {
    let message = format!("no limit is set for {id}; set one, or see `selvedge limit list`");
    Failure::field(ErrorCode::NotFound, "scope", message)
}

fn unknown(name: &str) -> Failure {
    failure::no_such(&Target::Cluster, &format!("{PREFIX}{name}"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Nothing is as good as no fields.
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| failure::body(&error))
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(answer).map_err(|error| {
        tracing::error!(%error, "an answer about limits is no JSON");
        Failure::new(
            ErrorCode::Internal,
            "the answer cannot be made; the node's log says more",
        )
    })
}

/// Nothing of this has a seq or a version.
fn outcome(answer: Result<Vec<u8>, Failure>) -> Outcome {
    match answer {
        Ok(body) => Outcome::Success(Success {
            body: body.into(),
            seq: 0,
            version: 0,
        }),
        Err(failure) => Outcome::Failure(failure),
    }
}

/// What the names of queries and commands about limits begin with.
const PREFIX: &str = "limit.";

/// Who is refused most, by default and at most.
const TOP_DEFAULT: usize = 20;
const TOP_MAX: usize = 500;
