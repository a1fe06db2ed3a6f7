//! `selvedge policy`: how operations of a type are run, shown and changed. Policies are actors of the kind
//! `policy`; this sends them commands.

use bytes::Bytes;
use selvedge_client::Client;
use selvedge_protocol::{ActorAddress, Target};
use serde_json::{Value, json};

use crate::operate::cli::{Policy, parse_policy};
use crate::operate::commands::actor::json_text;
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

/// Keys of one page of the list of actors.
const PAGE_LEN: usize = 100;

pub(crate) async fn run(printer: Printer, command: Policy) -> Result<(), CommandFailure> {
    match command {
        Policy::Set {
            policy,
            patch,
            client,
        } => {
            let patch = json_text("JSON", &patch)?;
            let client = connect(&client).await?;
            change(printer, &client, policy, "set", patch).await?;
            client.close().await;
        }
        Policy::Reset { policy, client } => {
            let client = connect(&client).await?;
            change(printer, &client, policy, "reset", "{}".to_owned()).await?;
            client.close().await;
        }
        Policy::Get { policy, client } => {
            let client = connect(&client).await?;
            printer.result(&get(&client, policy).await?, describe);
            client.close().await;
        }
        Policy::List { client } => {
            let client = connect(&client).await?;
            list(printer, &client).await?;
            client.close().await;
        }
    }
    Ok(())
}

/// Sends a command to a policy, and prints what it is then.
async fn change(
    printer: Printer,
    client: &Client,
    policy: ActorAddress,
    command: &str,
    body: String,
) -> Result<(), CommandFailure> {
    let session = client.session();
    let target = Target::Actor(policy);
    let call = session.command(target, command.to_owned(), Bytes::from(body));
    let success = call.send().await?;
    let policy: Value = serde_json::from_slice(&success.body)
        .map_err(|error| CommandFailure::failed(format!("the node sent no JSON: {error}")))?;
    printer.result(&policy, describe);
    Ok(())
}

async fn get(client: &Client, policy: ActorAddress) -> Result<Value, CommandFailure> {
    let session = client.session();
    Ok(session
        .query(Target::Actor(policy), "get", "{}")
        .json()
        .await?)
}

/// Prints the policies that say something.
async fn list(printer: Printer, client: &Client) -> Result<(), CommandFailure> {
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let body = json!({ "kind": "policy", "limit": PAGE_LEN, "after": after });
        let session = client.session();
        let page: Value = session.query(Target::Actors, "list", body).json().await?;
        let keys = page["keys"].as_array().cloned().unwrap_or_default();
        let keys: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
        for key in &keys {
            let policy = parse_policy(key).map_err(CommandFailure::failed)?;
            let policy = get(client, policy).await?;
            // One that was reset stays an actor.
            if policy["patch"]
                .as_object()
                .is_some_and(|patch| !patch.is_empty())
            {
                items.push(policy);
            }
        }
        if keys.len() < PAGE_LEN {
            break;
        }
        after = keys.last().map(|key| (*key).to_owned());
    }
    printer.result(&json!({ "items": items }), |_| {
        let heading = ["TYPE", "PATCH", "BREAKER", "CHANGED", "BY"].map(str::to_owned);
        let rows = items.iter().map(|policy| {
            vec![
                word(&policy["type"]),
                policy["patch"].to_string(),
                word(&policy["breaker"]["state"]),
                word(&policy["changedAt"]),
                word(&policy["changedBy"]),
            ]
        });
        let rows: Vec<_> = std::iter::once(heading.to_vec()).chain(rows).collect();
        table(&rows)
    });
    Ok(())
}

/// A policy for a person: each field in force, and what is changed.
fn describe(policy: &Value) -> String {
    let mut rows = vec![
        vec!["type".to_owned(), word(&policy["type"])],
        vec!["changed".to_owned(), policy["patch"].to_string()],
    ];
    if policy["changedAt"].is_string() {
        let by = format!(
            "{} at {}",
            word(&policy["changedBy"]),
            word(&policy["changedAt"])
        );
        rows.push(vec!["by".to_owned(), by]);
    }
    for (name, value) in policy["effective"].as_object().into_iter().flatten() {
        rows.push(vec![name.clone(), value.to_string()]);
    }
    if policy["breaker"].is_object() {
        rows.push(vec![
            "breaker is".to_owned(),
            word(&policy["breaker"]["state"]),
        ]);
    }
    table(&rows)
}

/// Text without its quotes; nothing is a dash.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
