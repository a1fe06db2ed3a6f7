//! What can be asked.

use async_graphql::{
    Context, Error, ID, InputObject, Interface, Json, Object, PathSegment, SimpleObject,
};
use bytes::Bytes;
use futures::future::join_all;
use selvedge_client::operation::{ListQuery, OperationPage};
use selvedge_protocol::limits::{
    GRAPHQL_ACTOR_PAGE_MAX, GRAPHQL_NODES_MAX, OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX,
};
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, ErrorCode, OperationType, Target};
use serde::{Deserialize, Serialize};

use crate::bridge::graphql::call::{Call, decode, encode};
use crate::bridge::graphql::error::Refusal;
use crate::bridge::graphql::schema::actor::{Actor, Answer};
use crate::bridge::graphql::schema::cluster::{Cluster, ClusterNode};
use crate::bridge::graphql::schema::connection::Page;
use crate::bridge::graphql::schema::identity::{self, Cursor, GlobalId};
use crate::bridge::graphql::schema::operation::{Operation, Status};
use crate::bridge::graphql::schema::scalar::AnyJson;

/// What can be asked.
#[derive(Debug)]
pub(in crate::bridge::graphql) struct Query;

/// What has an id over all types.
#[derive(Debug, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Names it over all types."))]
pub(super) enum Node {
    Operation(Operation),
    Actor(Actor),
    ClusterNode(ClusterNode),
}

#[Object(name = "Query")]
#[allow(
    clippy::unused_async,
    reason = "what makes fields of these takes async functions alone"
)]
impl Query {
    /// What runs here.
    async fn about(&self, context: &Context<'_>) -> Result<About, Refusal> {
        let about = &Call::of(context)?.inside().about;
        Ok(About {
            node: about.node.clone(),
            version: about.version.clone(),
            protocol: about.protocol.clone(),
            schema: about.schema,
            api: about.api.iter().map(|&it| it.to_owned()).collect(),
        })
    }

    /// What has this id, as the field `id` of an operation, an actor or a node of the cluster has it.
    #[graphql(complexity = "10 + child_complexity")]
    async fn node(&self, context: &Context<'_>, id: ID) -> Result<Option<Node>, Refusal> {
        node(Call::of(context)?, "id", &id).await
    }

    /// What has these ids, in their order. What cannot be read is null, with an error of its own.
    #[graphql(complexity = "10 + ids.len() * (10 + child_complexity)")]
    async fn nodes(
        &self,
        context: &Context<'_>,
        ids: Vec<ID>,
    ) -> Result<Option<Vec<Option<Node>>>, Refusal> {
        if ids.len() > GRAPHQL_NODES_MAX {
            return Err(Refusal::invalid(
                "ids",
                format!("use at most {GRAPHQL_NODES_MAX} ids"),
            ));
        }
        let call = Call::of(context)?;
        let found = join_all(ids.iter().map(|id| node(call, "ids", id))).await;
        let found = found.into_iter().enumerate().map(|(at, found)| {
            found.unwrap_or_else(|refusal| {
                let error = Error::from(refusal).into_server_error(context.item.pos);
                let mut error = context.set_error_path(error);
                error.path.push(PathSegment::Index(at));
                context.add_error(error);
                None
            })
        });
        Ok(Some(found.collect()))
    }

    /// The operation of this id, its own or the one over all types.
    #[graphql(complexity = "10 + child_complexity")]
    async fn operation(&self, context: &Context<'_>, id: ID) -> Result<Option<Operation>, Refusal> {
        let id = identity::operation("id", &id)?;
        found(Operation::load(Call::of(context)?, &id).await)
    }

    /// The tenant's operations, newest first. A page may be shorter than asked for and have a next one.
    #[graphql(complexity = "10 + cost(first, OPERATION_PAGE_DEFAULT) * child_complexity")]
    async fn operations(
        &self,
        context: &Context<'_>,
        filter: Option<OperationFilter>,
        #[graphql(desc = "1 to 500; 50 if it is not given.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the edge before, or the endCursor of the page before.")]
        after: Option<String>,
    ) -> Result<Option<Page<Operation>>, Refusal> {
        let first = page(first, OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX)?;
        let after = after.as_deref().map(Cursor::parse).transpose()?;
        let query = filter.unwrap_or_default().list(first, after)?;
        let call = Call::of(context)?;
        let read = call.query(Target::Operations, "list", encode(&query)?);
        let read = read
            .await
            .map_err(|refusal| renamed(refusal, "cursor", "after"));
        let listed: OperationPage = decode(&read?.body)?;
        let items = listed.items.into_iter().map(|item| {
            let cursor = Cursor::of_operation(&item);
            (cursor, Operation(item.into()))
        });
        Ok(Some(Page {
            items: items.collect(),
            has_previous: query.cursor.is_some(),
            next: listed.cursor.map(Cursor),
        }))
    }

    /// The actor of this kind and key. There is one for each key, if only in its first state.
    async fn actor(&self, kind: String, key: String) -> Result<Option<Actor>, Refusal> {
        identity::actor(&kind, &key).map(Actor).map(Some)
    }

    /// The tenant's actors of a kind that have committed anything, by their keys.
    #[graphql(complexity = "10 + cost(first, OPERATION_PAGE_DEFAULT) * child_complexity")]
    async fn actors(
        &self,
        context: &Context<'_>,
        kind: String,
        #[graphql(desc = "1 to 100; 50 if it is not given.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the edge before, or the endCursor of the page before.")]
        after: Option<String>,
    ) -> Result<Option<Page<Actor>>, Refusal> {
        let limit = page(first, OPERATION_PAGE_DEFAULT, GRAPHQL_ACTOR_PAGE_MAX)?;
        let after = after.as_deref().map(Cursor::parse).transpose()?;
        let kind = identity::actor_kind(&kind)?;
        let has_previous = after.is_some();
        let body = encode(&ListActors {
            kind: &kind,
            after: after.map(|Cursor(key)| key),
            limit,
        })?;
        let call = Call::of(context)?;
        let listed = call.query(Target::Actors, "list", body).await?;
        let ActorKeys { keys } = decode(&listed.body)?;
        let next = keys.last().filter(|_| keys.len() >= limit);
        let next = next.map(|key| Cursor(key.to_string()));
        let items = keys.into_iter().map(|key| {
            let cursor = Cursor(key.to_string());
            let kind = kind.clone();
            (cursor, Actor(ActorAddress { kind, key }))
        });
        Ok(Some(Page {
            items: items.collect(),
            has_previous,
            next,
        }))
    }

    /// What an actor answers to one of its queries.
    #[graphql(complexity = "10 + child_complexity")]
    async fn actor_query(
        &self,
        context: &Context<'_>,
        kind: String,
        key: String,
        name: String,
        body: Option<AnyJson>,
    ) -> Result<Option<Answer>, Refusal> {
        let actor = identity::actor(&kind, &key)?;
        let body = body_of(body)?;
        let target = Target::Actor(actor.clone());
        let success = Call::of(context)?.query(target, &name, body).await?;
        Ok(Some(Answer { actor, success }))
    }

    /// The cluster, for who may see it.
    #[graphql(complexity = "10 + child_complexity")]
    async fn cluster(&self, context: &Context<'_>) -> Result<Option<Cluster>, Refusal> {
        Cluster::load(Call::of(context)?).await.map(Some)
    }
}

/// What runs here.
#[derive(Debug, SimpleObject)]
struct About {
    node: String,
    /// The version of the binary.
    version: String,
    /// Versions of the session protocol, best first.
    protocol: Vec<u8>,
    /// The version of the store's schema.
    schema: u32,
    /// Versions of the HTTP interface, best first.
    api: Vec<String>,
}

/// Every one that is set must match.
#[derive(Debug, Default, InputObject)]
struct OperationFilter {
    status: Option<Status>,
    #[graphql(name = "type")]
    operation_type: Option<String>,
    /// KEY=VALUE
    label: Option<String>,
}

impl OperationFilter {
    fn list(self, first: usize, after: Option<Cursor>) -> Result<ListQuery, Refusal> {
        let operation_type = self.operation_type.map(OperationType::new).transpose();
        Ok(ListQuery {
            status: self.status.map(Into::into),
            operation_type: operation_type
                .map_err(|error| Refusal::invalid("filter.type", error.to_string()))?,
            label: self.label,
            cursor: after.map(|Cursor(cursor)| cursor),
            limit: Some(u32::try_from(first).unwrap_or(u32::MAX)),
            ..ListQuery::default()
        })
    }
}

/// The body of the query `list` of actors.
#[derive(Debug, Serialize)]
struct ListActors<'a> {
    kind: &'a ActorKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    limit: usize,
}

/// Its answer.
#[derive(Debug, Deserialize)]
struct ActorKeys {
    keys: Vec<ActorKey>,
}

async fn node(call: &Call, field: &str, id: &str) -> Result<Option<Node>, Refusal> {
    match GlobalId::parse(field, id)? {
        GlobalId::Operation(id) => {
            let operation = found(Operation::load(call, &id).await)?;
            Ok(operation.map(Node::Operation))
        }
        GlobalId::Actor(address) => Ok(Some(Node::Actor(Actor(address)))),
        GlobalId::ClusterNode(name) => {
            let node = Cluster::node(call, &name).await?;
            Ok(node.map(Node::ClusterNode))
        }
    }
}

/// What is not there is null.
fn found<T>(read: Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(Refusal(failure)) if failure.code == ErrorCode::NotFound => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// A refusal under the name that the argument has here.
fn renamed(Refusal(mut failure): Refusal, inside: &str, here: &str) -> Refusal {
    if failure.field.as_deref() == Some(inside) {
        failure.field = Some(here.to_owned());
    }
    Refusal(failure)
}

/// The items of a page.
fn page(first: Option<i32>, default: usize, most: usize) -> Result<usize, Refusal> {
    let Some(first) = first else {
        return Ok(default);
    };
    match usize::try_from(first) {
        Ok(first) if (1..=most).contains(&first) => Ok(first),
        Ok(_) | Err(_) => Err(Refusal::invalid("first", format!("use 1 to {most}"))),
    }
}

/// How often what is asked of an item is asked.
fn cost(first: Option<i32>, default: usize) -> usize {
    let first = first.map_or(default, |first| usize::try_from(first).unwrap_or(1));
    // More is refused.
    first.min(OPERATION_PAGE_MAX)
}

/// The body of a command or query of an actor: without one, no fields.
pub(super) fn body_of(body: Option<AnyJson>) -> Result<Bytes, Refusal> {
    match body {
        None => Ok(Bytes::from_static(b"{}")),
        Some(Json(body)) => encode(&body),
    }
}
