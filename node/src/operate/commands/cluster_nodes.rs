//! `selvedge cluster status|plan|drain|undrain|remove|why`: the nodes of a cluster, asked of any one of them.

use selvedge_client::{CallError, Client};
use selvedge_protocol::{ErrorCode, Target};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Duration, interval};

use crate::operate::cli::{ClientFlags, Drain};
use crate::operate::failure::{CommandFailure, Exit};
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

/// The answer of `status`. Fields that a later node adds are printed as they are.
#[derive(Debug, Deserialize)]
struct Status {
    plan: u64,
    slots: u64,
    owned: u64,
    moving: u64,
    nodes: Vec<Node>,
}

/// A node in it.
#[derive(Debug, Deserialize)]
struct Node {
    node: String,
    state: String,
    drained: bool,
    controller: bool,
    roles: Vec<String>,
    weight: u64,
    slots: u64,
    planned: u64,
    quic: Option<String>,
    http: Option<String>,
    peer: Option<String>,
    versions: Versions,
}

#[derive(Debug, Deserialize)]
struct Versions {
    binary: String,
}

/// The answer of `plan`.
#[derive(Debug, Deserialize)]
struct Plan {
    plan: u64,
    slots: u64,
    nodes: Vec<OfNode>,
    nobody: Vec<(u16, u16)>,
    moves: Vec<Move>,
}

#[derive(Debug, Deserialize)]
struct OfNode {
    node: String,
    count: u64,
    slots: Vec<(u16, u16)>,
}

#[derive(Debug, Deserialize)]
struct Move {
    from: Option<String>,
    to: Option<String>,
    count: u64,
    slots: Vec<(u16, u16)>,
}

/// The answer of `why`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Why {
    at_rest: bool,
    reasons: Vec<Reason>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    message: String,
}

pub(super) async fn status(printer: Printer, client: &ClientFlags) -> Result<(), CommandFailure> {
    let client = connect(client).await?;
    let answer = ask(&client, "status", json!({})).await?;
    client.close().await;
    let status: Status = read(&answer)?;
    printer.result(&answer, |_| status.describe());
    Ok(())
}

pub(super) async fn plan(printer: Printer, client: &ClientFlags) -> Result<(), CommandFailure> {
    let client = connect(client).await?;
    let answer = ask(&client, "plan", json!({})).await?;
    client.close().await;
    let plan: Plan = read(&answer)?;
    printer.result(&answer, |_| plan.describe());
    Ok(())
}

pub(super) async fn why(
    printer: Printer,
    client: &ClientFlags,
    node: Option<String>,
) -> Result<(), CommandFailure> {
    let client = connect(client).await?;
    let answer = ask(&client, "why", json!({ "node": node })).await?;
    client.close().await;
    let why: Why = read(&answer)?;
    printer.result(&answer, |_| {
        let mut lines: Vec<_> = why.reasons.into_iter().map(|it| it.message).collect();
        if why.at_rest {
            lines.push("all is well".to_owned());
        }
        lines.join("\n")
    });
    Ok(())
}

pub(super) async fn drain(printer: Printer, drain: Drain) -> Result<(), CommandFailure> {
    let client = connect(&drain.client).await?;
    let body = json!({ "node": drain.node, "force": drain.force });
    let mut answer = tell(&client, "drain", body).await?;
    if drain.wait {
        answer = until_drained(printer, &client, answer).await?;
    }
    client.close().await;
    let node: Node = read(&answer)?;
    printer.result(&answer, |_| match (node.state.as_str(), node.slots) {
        ("drained", _) => format!("{} is drained: it owns nothing", node.node),
        (_, 0) => format!(
            "{} is {}: it will own nothing when it serves again",
            node.node, node.state
        ),
        (_, slots) => format!(
            "{} hands over {slots} slots: `selvedge cluster status` shows how far it is",
            node.node
        ),
    });
    Ok(())
}

pub(super) async fn undrain(
    printer: Printer,
    client: &ClientFlags,
    node: String,
) -> Result<(), CommandFailure> {
    let client = connect(client).await?;
    let answer = tell(&client, "undrain", json!({ "node": node })).await?;
    client.close().await;
    let node: Node = read(&answer)?;
    printer.result(&answer, |_| {
        format!("{} is {} and takes its share", node.node, node.state)
    });
    Ok(())
}

pub(super) async fn remove(
    printer: Printer,
    client: &ClientFlags,
    node: String,
) -> Result<(), CommandFailure> {
    let client = connect(client).await?;
    let answer = tell(&client, "remove", json!({ "node": node })).await?;
    client.close().await;
    printer.result(&answer, |answer| match answer["before"] == true {
        true => format!("{node} was removed before: there is nothing to do"),
        false => format!("{node} is removed"),
    });
    Ok(())
}

/// The node once it owns nothing, or is not there any more.
async fn until_drained(
    printer: Printer,
    client: &Client,
    told: Value,
) -> Result<Value, CommandFailure> {
    let mut node: Node = read(&told)?;
    let mut answer = told;
    let mut progress = printer.progress(node.slots, "slots handed over");
    let mut looks = interval(LOOK_EVERY);
    while node.state == "draining" {
        looks.tick().await;
        let status = ask(client, "status", json!({})).await?;
        let rows = status["nodes"].as_array().cloned().unwrap_or_default();
        let Some(row) = rows.into_iter().find(|row| row["node"] == *node.node) else {
            return Err(CommandFailure::new(
                Exit::NotFound,
                format!("{} was removed meanwhile", node.node),
            ));
        };
        let now: Node = read(&row)?;
        if !now.drained {
            return Err(CommandFailure::failed(format!(
                "{} was undrained meanwhile",
                node.node
            )));
        }
        (now.slots..node.slots).for_each(|_| progress.advance());
        (node, answer) = (now, row);
    }
    progress.finish();
    Ok(answer)
}

async fn ask(client: &Client, query: &str, body: Value) -> Result<Value, CommandFailure> {
    let session = client.session();
    let answer = session.query(Target::Cluster, query, body).json().await;
    answer.map_err(failed)
}

async fn tell(client: &Client, command: &str, body: Value) -> Result<Value, CommandFailure> {
    let session = client.session();
    let told = session.command(Target::Cluster, command, body).send().await;
    let success = told.map_err(failed)?;
    serde_json::from_slice(&success.body)
        .map_err(|error| CommandFailure::failed(format!("the node sent no JSON: {error}")))
}

/// What the cluster does not do for its own good is refused, and the message says what to do first.
fn failed(error: CallError) -> CommandFailure {
    match error.failure() {
        Some(failure) if failure.code == ErrorCode::Conflict => {
            CommandFailure::new(Exit::Refused, failure.message.clone())
        }
        Some(failure) if failure.code == ErrorCode::NotFound => {
            CommandFailure::new(Exit::NotFound, failure.message.clone())
        }
        Some(_) | None => error.into(),
    }
}

fn read<T: for<'de> Deserialize<'de>>(answer: &Value) -> Result<T, CommandFailure> {
    T::deserialize(answer).map_err(|error| {
        CommandFailure::failed(format!(
            "the node's answer is not understood ({error}): use a selvedge of its version"
        ))
    })
}

impl Status {
    fn describe(&self) -> String {
        let heading = [
            "NODE", "STATE", "ROLES", "SLOTS", "WEIGHT", "QUIC", "HTTP", "PEER", "VERSION",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(self.nodes.iter().map(Node::row));
        let moving = match self.moving {
            0 => String::new(),
            moving => format!(", {moving} on their way (`selvedge cluster why`)"),
        };
        let controller = match self.nodes.iter().any(|node| node.controller) {
            true => "; * decides of deaths and plans",
            false => "",
        };
        format!(
            "{}\n{} of {} slots owned, plan {}{moving}{controller}",
            table(&rows),
            self.owned,
            self.slots,
            self.plan
        )
    }
}

impl Node {
    fn row(&self) -> Vec<String> {
        let mark = if self.controller { " *" } else { "" };
        let is_told = matches!(self.state.as_str(), "draining" | "drained");
        let drained = match self.drained && !is_told {
            true => ", drained",
            false => "",
        };
        vec![
            format!("{}{mark}", self.node),
            format!("{}{drained}", self.state),
            self.roles.join(","),
            format!("{}/{}", self.slots, self.planned),
            self.weight.to_string(),
            self.quic.clone().unwrap_or_else(|| "-".to_owned()),
            self.http.clone().unwrap_or_else(|| "-".to_owned()),
            self.peer.clone().unwrap_or_else(|| "-".to_owned()),
            self.versions.binary.clone(),
        ]
    }
}

impl Plan {
    fn describe(&self) -> String {
        let heading = ["NODE", "COUNT", "SLOTS"].map(str::to_owned);
        let mut rows = vec![heading.to_vec()];
        for node in &self.nodes {
            rows.push(vec![
                node.node.clone(),
                node.count.to_string(),
                shortened(&node.slots),
            ]);
        }
        if !self.nobody.is_empty() {
            rows.push(vec![
                "(nobody)".to_owned(),
                String::new(),
                shortened(&self.nobody),
            ]);
        }
        let mut text = format!(
            "plan {} of {} slots\n{}",
            self.plan,
            self.slots,
            table(&rows)
        );
        for it in &self.moves {
            let from = it.from.as_deref().unwrap_or("nobody");
            let to = it.to.as_deref().unwrap_or("nobody");
            text.push_str(&format!(
                "\non their way from {from} to {to}: {} slots ({})",
                it.count,
                shortened(&it.slots)
            ));
        }
        text
    }
}

/// As many runs of slots as fit a line; JSON has all.
fn shortened(runs: &[(u16, u16)]) -> String {
    let words = runs
        .iter()
        .take(RUNS_MAX)
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}..{last}"),
        });
    let mut text = words.collect::<Vec<_>>().join(" ");
    if runs.len() > RUNS_MAX {
        text.push_str(&format!(" and {} more runs", runs.len() - RUNS_MAX));
    }
    text
}

/// About as many as fit a line.
const RUNS_MAX: usize = 8;
/// A slot takes some milliseconds to hand over; one look costs a read of all of them.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_say_who_has_what_and_what_is_on_its_way() {
        let node = |name: &str, state: &str, drained: bool| {
            json!({
                "node": name, "state": state, "drained": drained, "controller": name == "node-1",
                "incarnation": 1, "roles": ["edge", "core"], "weight": 100, "slots": 3, "planned": 4,
                "quic": null, "peer": "127.0.0.1:7410", "operations": [],
                "versions": { "binary": "0.1.0", "protocol": 1, "schema": 1 },
            })
        };
        let status = json!({
            "plan": 7, "slots": 8, "owned": 6, "moving": 2, "controller": "node-1",
            "nodes": [node("node-1", "serving", false), node("node-2", "dead", true)],
        });
        let status: Status = read(&status).unwrap();
        let told = status.describe();
        for part in [
            "node-1 *",
            "edge,core",
            "3/4",
            "dead, drained",
            "6 of 8 slots owned, plan 7, 2 on their way",
        ] {
            assert!(told.contains(part), "{told}");
        }

        let runs: Vec<_> = (0..20).step_by(2).map(|slot| (slot, slot)).collect();
        let plan = json!({
            "plan": 7, "slots": 20, "nobody": [[1, 3]],
            "nodes": [{ "node": "node-1", "count": 10, "slots": runs }],
            "moves": [{ "from": null, "to": "node-1", "count": 2, "slots": [[4, 5]] }],
        });
        let plan: Plan = read(&plan).unwrap();
        let told = plan.describe();
        for part in [
            "0 2 4 6 8 10 12 14 and 2 more runs",
            "(nobody)",
            "from nobody to node-1: 2 slots (4..5)",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
