//! `selvedge limit`: rates of tenants and principals, shown and set. Queries and commands to the cluster.

use std::time::Duration;

use selvedge_client::Client;
use selvedge_protocol::Target;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::operate::cli::{Limit, LimitNamed};
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

pub(crate) async fn run(printer: Printer, command: Limit) -> Result<(), CommandFailure> {
    match command {
        Limit::Set {
            named,
            rate,
            burst,
            client,
        } => {
            let client = connect(&client).await?;
            let mut body = body(&named);
            body["rate"] = json!(rate);
            body["burst"] = json!(burst);
            let limit = tell(&client, "limit.set", body).await?;
            client.close().await;
            printer.result(&limit, |limit| listed(std::slice::from_ref(limit)));
        }
        Limit::Get { named, client } => {
            let client = connect(&client).await?;
            let limit = ask(&client, "limit.get", body(&named)).await?;
            client.close().await;
            printer.result(&limit, |limit| listed(std::slice::from_ref(limit)));
        }
        Limit::List { client } => {
            let client = connect(&client).await?;
            let all = ask(&client, "limit.list", json!({})).await?;
            client.close().await;
            printer.result(&all, |all| listed(items(all)));
        }
        Limit::Delete { named, client } => {
            let client = connect(&client).await?;
            let answer = tell(&client, "limit.delete", body(&named)).await?;
            client.close().await;
            printer.result(&answer, |answer| match answer["deleted"] == true {
                true => format!("{} {} is not limited any more", named.scope, named.limit),
                false => format!("no limit was set for {} {}", named.scope, named.limit),
            });
        }
        Limit::Watch { client } => {
            let client = connect(&client).await?;
            watch(printer, &client).await?;
            client.close().await;
        }
        Limit::Top { limit, client } => {
            let client = connect(&client).await?;
            let top = ask(&client, "limit.top", json!({ "limit": limit })).await?;
            client.close().await;
            printer.result(&top, |top| ranked(items(top)));
        }
    }
    Ok(())
}

/// Prints what is set, then what changes, until it is interrupted.
async fn watch(printer: Printer, client: &Client) -> Result<(), CommandFailure> {
    let mut known: Vec<Value> = Vec::new();
    let mut ticks = interval(LOOK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            interrupted = tokio::signal::ctrl_c() => {
                return interrupted.map_err(|error| CommandFailure::failed(error.to_string()));
            }
        }
        let all = ask(client, "limit.list", json!({})).await?;
        let present = items(&all);
        for limit in present.iter().filter(|limit| !known.contains(limit)) {
            printer.result(limit, line);
        }
        let is_gone = |limit: &&Value| !present.iter().any(|other| is_same(limit, other));
        for limit in known.iter().filter(is_gone) {
            let mut gone = limit.clone();
            gone["rate"] = Value::Null;
            printer.result(&gone, line);
        }
        known = present.to_vec();
    }
}

fn is_same(limit: &Value, other: &Value) -> bool {
    ["tenant", "scope", "limit"]
        .iter()
        .all(|field| limit[field] == other[field])
}

fn line(limit: &Value) -> String {
    let words = ["tenant", "scope", "limit", "rate", "burst", "changedBy"];
    words.map(|field| word(&limit[field])).join(" ")
}

fn listed(limits: &[Value]) -> String {
    let fields = [
        "tenant",
        "scope",
        "limit",
        "rate",
        "burst",
        "changedAt",
        "changedBy",
    ];
    let heading = ["TENANT", "SCOPE", "LIMIT", "RATE", "BURST", "CHANGED", "BY"];
    rows(&heading, &fields, limits)
}

fn ranked(refused: &[Value]) -> String {
    let heading = ["TENANT", "PRINCIPAL", "LIMIT", "BY", "REFUSED"];
    let fields = ["tenant", "principal", "limit", "scope", "refused"];
    rows(&heading, &fields, refused)
}

fn rows(heading: &[&str], fields: &[&str], items: &[Value]) -> String {
    let heading = heading.iter().map(|it| (*it).to_owned()).collect();
    let row = |item: &Value| fields.iter().map(|field| word(&item[field])).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading)
        .chain(items.iter().map(row))
        .collect();
    table(&rows)
}

fn body(named: &LimitNamed) -> Value {
    json!({ "scope": named.scope, "limit": named.limit })
}

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map_or(&[], Vec::as_slice)
}

async fn ask(client: &Client, name: &str, body: Value) -> Result<Value, CommandFailure> {
    let session = client.session();
    Ok(session.query(Target::Cluster, name, body).json().await?)
}

async fn tell(client: &Client, name: &str, body: Value) -> Result<Value, CommandFailure> {
    let session = client.session();
    let call = session.command(Target::Cluster, name, body);
    let success = call.send().await?;
    serde_json::from_slice(&success.body)
        .map_err(|error| CommandFailure::failed(format!("the node sent no JSON: {error}")))
}

/// Text without its quotes; nothing is a dash.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// People notice a change within a second.
const LOOK: Duration = Duration::from_millis(500);
