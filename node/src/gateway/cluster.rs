//! Queries and commands to the cluster itself: their bodies and answers, see `wire.md`. What they do is
//! [`Admin`]'s.

use std::sync::Arc;

use selvedge_cluster::actor::ReplyTo;
use selvedge_cluster::membership::{
    Admin, Changed, Condition, Force, Move, NodeRecord, Refusal, Snapshot, Versions, Why, runs,
};
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::{ErrorCode, Failure, Target};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::gateway::failure;

/// What is asked of the cluster.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) body: &'a [u8],
    /// Who asks.
    pub(super) principal: &'a Arc<str>,
}

/// A query, or what is wrong with it.
#[derive(Debug)]
enum Query {
    Status,
    Plan,
    Why { node: Option<String> },
}

/// A command.
#[derive(Debug)]
enum Command {
    Drain { node: String, force: Force },
    Undrain { node: String },
    Remove { node: String },
}

/// Answers a query. Never waits.
pub(super) fn query(admin: &Admin, asked: &Asked<'_>, reply: ReplyTo) {
    match Query::parse(asked) {
        Err(failure) => reply.answer(Outcome::Failure(failure)),
        Ok(query) => {
            let admin = admin.clone();
            tokio::spawn(async move { reply.answer(outcome(query.answer(&admin).await)) });
        }
    }
}

/// Executes a command. Never waits.
pub(super) fn command(admin: &Admin, asked: &Asked<'_>, reply: ReplyTo) {
    match Command::parse(asked) {
        Err(failure) => reply.answer(Outcome::Failure(failure)),
        Ok(command) => {
            let admin = admin.clone();
            tracing::info!(
                principal = &**asked.principal,
                ?command,
                "the cluster is told"
            );
            let by = Arc::clone(asked.principal);
            tokio::spawn(async move { reply.answer(outcome(command.answer(&admin, &by).await)) });
        }
    }
}

impl Query {
    fn parse(asked: &Asked<'_>) -> Result<Self, Failure> {
        match asked.name {
            "status" => parse::<Nothing>(asked.body).map(|_| Self::Status),
            "plan" => parse::<Nothing>(asked.body).map(|_| Self::Plan),
            "why" => {
                let About { node } = parse(asked.body)?;
                let node = node.map(named).transpose()?;
                Ok(Self::Why { node })
            }
            name => Err(failure::no_such(&Target::Cluster, name)),
        }
    }

    async fn answer(self, admin: &Admin) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Status => json(&Status::of(&look(admin).await?)),
            Self::Plan => json(&PlanShown::of(&look(admin).await?)),
            Self::Why { node } => {
                let why = admin.why(node.as_deref()).await;
                json(&WhyShown::of(why.map_err(|refusal| refused(&refusal))?))
            }
        }
    }
}

impl Command {
    fn parse(asked: &Asked<'_>) -> Result<Self, Failure> {
        match asked.name {
            "drain" => {
                let Drain { node, force } = parse(asked.body)?;
                let force = match force {
                    true => Force::Yes,
                    false => Force::No,
                };
                let node = named(node)?;
                Ok(Self::Drain { node, force })
            }
            "undrain" => {
                let Named { node } = parse(asked.body)?;
                let node = named(node)?;
                Ok(Self::Undrain { node })
            }
            "remove" => {
                let Named { node } = parse(asked.body)?;
                let node = named(node)?;
                Ok(Self::Remove { node })
            }
            name => Err(failure::no_such(&Target::Cluster, name)),
        }
    }

    async fn answer(self, admin: &Admin, by: &str) -> Result<Vec<u8>, Failure> {
        let (node, changed) = match self {
            Self::Drain { node, force } => {
                let changed = admin.drain(by, &node, force).await;
                (node, changed)
            }
            Self::Undrain { node } => {
                let changed = admin.undrain(by, &node).await;
                (node, changed)
            }
            Self::Remove { node } => {
                let changed = admin.remove(by, &node).await;
                let changed = changed.map_err(|refusal| refused(&refusal))?;
                return json(&Removed {
                    node,
                    removed: true,
                    before: changed == Changed::Before,
                });
            }
        };
        changed.map_err(|refusal| refused(&refusal))?;
        let snapshot = look(admin).await?;
        json(&NodeShown::of(&snapshot, &node).ok_or_else(|| gone(&node))?)
    }
}

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    node: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    node: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    node: String,
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    plan: u64,
    slots: usize,
    owned: usize,
    moving: usize,
    controller: Option<&'a str>,
    nodes: Vec<NodeShown<'a>>,
}

impl<'a> Status<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let names = snapshot.members.keys();
        Self {
            plan: snapshot.plan.number,
            slots: snapshot.plan.len(),
            owned: snapshot.owned(),
            moving: snapshot.moves().iter().map(|it| it.slots.len()).sum(),
            controller: snapshot.controller(),
            nodes: names
                .filter_map(|name| NodeShown::of(snapshot, name))
                .collect(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeShown<'a> {
    node: &'a str,
    state: &'static str,
    drained: bool,
    controller: bool,
    incarnation: u64,
    roles: &'a [selvedge_cluster::membership::Role],
    weight: u32,
    slots: usize,
    planned: usize,
    quic: Option<&'a str>,
    http: Option<&'a str>,
    peer: Option<&'a str>,
    operations: &'a [String],
    versions: &'a Versions,
}

impl<'a> NodeShown<'a> {
    fn of(snapshot: &'a Snapshot, name: &str) -> Option<Self> {
        let (name, record) = snapshot.members.get_key_value(name)?;
        let NodeRecord {
            peer, quic, http, ..
        } = record;
        Some(Self {
            node: name,
            state: in_words(snapshot.condition(name)?),
            drained: record.is_drained,
            controller: snapshot.controller() == Some(name),
            incarnation: record.incarnation,
            roles: &record.roles,
            weight: record.weight,
            slots: snapshot.held(name),
            planned: snapshot.plan.slots_of(name).count(),
            quic: quic.as_deref(),
            http: http.as_deref(),
            peer: (!peer.is_empty()).then_some(peer),
            operations: &record.operations,
            versions: &record.versions,
        })
    }
}

const fn in_words(condition: Condition) -> &'static str {
    match condition {
        Condition::Serving => "serving",
        Condition::Draining => "draining",
        Condition::Drained => "drained",
        Condition::Isolated => "isolated",
        Condition::Leaving => "leaving",
        Condition::Left => "left",
        Condition::Dead => "dead",
    }
}

#[derive(Debug, Serialize)]
struct PlanShown<'a> {
    plan: u64,
    slots: usize,
    nodes: Vec<SlotsOfNode<'a>>,
    nobody: Vec<(u16, u16)>,
    moves: Vec<MoveShown>,
}

#[derive(Debug, Serialize)]
struct SlotsOfNode<'a> {
    node: &'a str,
    count: usize,
    slots: Vec<(u16, u16)>,
}

#[derive(Debug, Serialize)]
struct MoveShown {
    from: Option<String>,
    to: Option<String>,
    count: usize,
    slots: Vec<(u16, u16)>,
}

impl<'a> PlanShown<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let plan = &snapshot.plan;
        let nodes = plan.nodes().map(|node| SlotsOfNode {
            node,
            count: plan.slots_of(node).count(),
            slots: runs(plan.slots_of(node)),
        });
        let all = (0..).take(plan.len());
        let moves = snapshot.moves().into_iter();
        Self {
            plan: plan.number,
            slots: plan.len(),
            nodes: nodes.collect(),
            nobody: runs(all.filter(|slot| plan.owner(*slot).is_none())),
            moves: moves.map(MoveShown::from).collect(),
        }
    }
}

impl From<Move> for MoveShown {
    fn from(Move { from, to, slots }: Move) -> Self {
        Self {
            from,
            to,
            count: slots.len(),
            slots: runs(slots),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WhyShown {
    at_rest: bool,
    reasons: Vec<ReasonShown>,
}

#[derive(Debug, Serialize)]
struct ReasonShown {
    code: &'static str,
    node: Option<String>,
    message: String,
}

impl WhyShown {
    fn of(why: Why) -> Self {
        let at_rest = why.is_at_rest();
        let reasons = why.reasons.into_iter().map(|reason| ReasonShown {
            code: reason.code.name(),
            node: reason.node,
            message: reason.message,
        });
        Self {
            at_rest,
            reasons: reasons.collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Removed {
    node: String,
    removed: bool,
    /// It was removed already.
    before: bool,
}

async fn look(admin: &Admin) -> Result<Snapshot, Failure> {
    let snapshot = admin.snapshot().await;
    snapshot.map_err(|error| failure::store(&error))
}

fn refused(refusal: &Refusal) -> Failure {
    let code = match refusal {
        Refusal::Store(error) => return failure::store(error),
        Refusal::Unknown { .. } => {
            return Failure::field(ErrorCode::NotFound, "node", refusal.to_string());
        }
        Refusal::Alone { .. } | Refusal::LastOwner { .. } | Refusal::Alive { .. } => {
            ErrorCode::Conflict
        }
        Refusal::Planned { .. } => ErrorCode::Unavailable,
    };
    Failure::new(code, refusal.to_string())
}

/// It was removed in between.
fn gone(node: &str) -> Failure {
    let message = format!("{node} was removed meanwhile");
    Failure::field(ErrorCode::NotFound, "node", message)
}

/// A name that a node may have.
fn named(node: String) -> Result<String, Failure> {
    match (1..=NODE_NAME_BYTES_MAX).contains(&node.len()) {
        true => Ok(node),
        false => Err(Failure::field(
            ErrorCode::Invalid,
            "node",
            format!("a node's name has 1 to {NODE_NAME_BYTES_MAX} characters"),
        )),
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Nothing is as good as no fields.
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| failure::body(&error))
}

pub(super) fn json(answer: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(answer).map_err(|error| {
        tracing::error!(%error, "an answer about the cluster is no JSON");
        Failure::new(
            ErrorCode::Internal,
            "the answer cannot be made; the node's log says more",
        )
    })
}

/// Nothing of this has a seq or a version.
pub(super) fn outcome(answer: Result<Vec<u8>, Failure>) -> Outcome {
    match answer {
        Ok(body) => Outcome::Success(Success {
            body: body.into(),
            seq: 0,
            version: 0,
        }),
        Err(failure) => Outcome::Failure(failure),
    }
}

/// A label of a domain name, which a node's name is in its certificate.
const NODE_NAME_BYTES_MAX: usize = 63;
