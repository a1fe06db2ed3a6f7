//! The cluster in the schema: its nodes, who has which slots, and what is under way. Its bodies and answers are those
//! of the gateway, whose field names these structures have.

use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use bytes::Bytes;
use selvedge_protocol::Target;
use serde::{Deserialize, Serialize};

use crate::bridge::graphql::call::{Call, decode, encode};
use crate::bridge::graphql::error::Refusal;
use crate::bridge::graphql::schema::identity::node_id;
use crate::bridge::graphql::schema::scalar::UInt64;

/// The nodes that act as one.
#[derive(Debug, Deserialize, SimpleObject)]
#[graphql(complex)]
pub(super) struct Cluster {
    /// The number of the plan of slots.
    #[serde(rename = "plan")]
    plan_number: UInt64,
    slots: u32,
    /// Slots that have an owner.
    owned: u32,
    /// Slots on their way from one owner to another.
    moving: u32,
    /// The node that decides of deaths and plans.
    controller: Option<String>,
    #[graphql(complexity = "NODES_GUESSED * child_complexity")]
    nodes: Vec<ClusterNode>,
}

impl Cluster {
    pub(super) async fn load(call: &Call) -> Result<Self, Refusal> {
        ask(call, "status", Bytes::new()).await
    }

    /// One of its nodes.
    pub(super) async fn node(call: &Call, name: &str) -> Result<Option<ClusterNode>, Refusal> {
        let nodes = Self::load(call).await?.nodes;
        Ok(nodes.into_iter().find(|node| node.node == name))
    }
}

#[ComplexObject]
impl Cluster {
    /// Who is to have which slots, and which are on their way.
    #[graphql(complexity = "10 + child_complexity")]
    async fn plan(&self, context: &Context<'_>) -> Result<Option<ClusterPlan>, Refusal> {
        ask(Call::of(context)?, "plan", Bytes::new())
            .await
            .map(Some)
    }

    /// What the cluster is busy with, or one of its nodes.
    #[graphql(complexity = "10 + child_complexity")]
    async fn why(
        &self,
        context: &Context<'_>,
        node: Option<String>,
    ) -> Result<Option<ClusterWhy>, Refusal> {
        let body = encode(&AboutNode { node })?;
        ask(Call::of(context)?, "why", body).await.map(Some)
    }
}

/// A node of the cluster.
#[derive(Debug, Clone, Deserialize, SimpleObject)]
#[graphql(complex)]
pub(super) struct ClusterNode {
    /// Its name.
    node: String,
    /// serving, draining, drained, isolated, leaving, left or dead.
    state: String,
    /// Whether it is told to own nothing.
    drained: bool,
    /// Whether it decides of deaths and plans.
    controller: bool,
    /// Counts its starts.
    incarnation: UInt64,
    roles: Vec<String>,
    /// Its share of the slots is in proportion to it.
    weight: u32,
    /// Slots that it owns.
    slots: u32,
    /// Slots that it is to own.
    planned: u32,
    /// Where clients reach it.
    quic: Option<String>,
    /// Where other nodes reach it.
    peer: Option<String>,
    /// The types of operations that it runs.
    operations: Vec<String>,
    versions: Versions,
}

#[ComplexObject]
impl ClusterNode {
    /// Names it over all types.
    pub(super) async fn id(&self) -> ID {
        node_id(&self.node)
    }
}

/// What a node understands.
#[derive(Debug, Clone, Deserialize, SimpleObject)]
pub(super) struct Versions {
    binary: String,
    protocol: u32,
    schema: u32,
}

/// Who is to have which slots.
#[derive(Debug, Deserialize, SimpleObject)]
pub(super) struct ClusterPlan {
    #[serde(rename = "plan")]
    number: UInt64,
    slots: u32,
    #[graphql(complexity = "NODES_GUESSED * child_complexity")]
    nodes: Vec<SlotsOfNode>,
    /// Slots that nobody is to have.
    nobody: Vec<SlotRun>,
    #[graphql(complexity = "NODES_GUESSED * child_complexity")]
    moves: Vec<SlotMove>,
}

/// What one node is to have.
#[derive(Debug, Deserialize, SimpleObject)]
pub(super) struct SlotsOfNode {
    node: String,
    count: u32,
    #[graphql(complexity = "RUNS_GUESSED * child_complexity")]
    slots: Vec<SlotRun>,
}

/// Slots on their way.
#[derive(Debug, Deserialize, SimpleObject)]
pub(super) struct SlotMove {
    /// `null`: nobody has them.
    from: Option<String>,
    /// `null`: nobody is to have them.
    to: Option<String>,
    count: u32,
    #[graphql(complexity = "RUNS_GUESSED * child_complexity")]
    slots: Vec<SlotRun>,
}

/// Slots that follow each other, both ends included.
#[derive(Debug, Deserialize, SimpleObject)]
#[serde(from = "(u16, u16)")]
pub(super) struct SlotRun {
    first: u16,
    last: u16,
}

impl From<(u16, u16)> for SlotRun {
    fn from((first, last): (u16, u16)) -> Self {
        Self { first, last }
    }
}

/// What the cluster is busy with.
#[derive(Debug, Deserialize, SimpleObject)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterWhy {
    /// Nothing is under way.
    at_rest: bool,
    reasons: Vec<Reason>,
}

/// Why it is not at rest.
#[derive(Debug, Deserialize, SimpleObject)]
#[graphql(name = "ClusterReason")]
pub(super) struct Reason {
    /// A word for programs.
    code: String,
    node: Option<String>,
    /// What it is, and what helps.
    message: String,
}

/// A node that is no longer part of the cluster.
#[derive(Debug, Deserialize, SimpleObject)]
pub(super) struct RemovedNode {
    node: String,
    /// It was removed before.
    before: bool,
}

/// The body of `why`.
#[derive(Debug, Serialize)]
struct AboutNode {
    node: Option<String>,
}

async fn ask<T: for<'de> Deserialize<'de>>(
    call: &Call,
    name: &str,
    body: Bytes,
) -> Result<T, Refusal> {
    decode(&call.query(Target::Cluster, name, body).await?.body)
}

/// Clusters have from three to a hundred.
const NODES_GUESSED: usize = 10;
/// Slots are spread by hash, so most follow no other.
const RUNS_GUESSED: usize = 10;
