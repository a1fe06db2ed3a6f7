//! `selvedge actor`: commands, states, events and lists of actors.

use bytes::Bytes;
use selvedge_client::{Client, EventItem, rfc3339};
use selvedge_protocol::frame::{Since, Success};
use selvedge_protocol::{ActorKind, CommandId, Target};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::operate::cli::{Actor, Consistency};
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

pub(crate) async fn run(printer: Printer, command: Actor) -> Result<(), CommandFailure> {
    match command {
        Actor::Send {
            actor,
            command,
            body,
            command_id,
            client,
        } => {
            let body = json_text("arguments", &body)?;
            let client = connect(&client).await?;
            let mut call =
                client
                    .session()
                    .command(Target::Actor(actor), command, Bytes::from(body));
            if let Some(id) = command_id {
                call = call.id(CommandId::from_text(&id));
            }
            let success = call.send().await?;
            print_success(printer, "reply", &success)?;
            client.close().await;
        }
        Actor::Get {
            actor,
            consistency,
            client,
        } => {
            let client = connect(&client).await?;
            let query = client.session().query(Target::Actor(actor), "state", "{}");
            let query = match consistency {
                Consistency::Linearizable => query,
                Consistency::Eventual => query.eventual(),
            };
            let success = query.send().await?;
            print_success(printer, "state", &success)?;
            client.close().await;
        }
        Actor::Watch {
            actor,
            after,
            client,
        } => {
            let client = connect(&client).await?;
            watch(printer, &client, Target::Actor(actor), after).await?;
        }
        Actor::List {
            kind,
            limit,
            after,
            client,
        } => {
            let client = connect(&client).await?;
            list(printer, &client, &kind, limit, after).await?;
            client.close().await;
        }
    }
    Ok(())
}

/// One page of what the node knows.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
}

/// Prints keys in order: as many pages as it takes.
async fn list(
    printer: Printer,
    client: &Client,
    kind: &ActorKind,
    limit: u32,
    mut after: Option<String>,
) -> Result<(), CommandFailure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut keys = Vec::new();
    while keys.len() < limit {
        let wanted = limit - keys.len();
        let body = json!({ "kind": kind.as_str(), "limit": wanted, "after": after });
        let page: Page = client
            .session()
            .query(Target::Actors, "list", body)
            .json()
            .await?;
        let Some(last) = page.keys.last() else { break };
        after = Some(last.clone());
        keys.extend(page.keys);
    }
    let items: Vec<_> = keys
        .iter()
        .map(|key| json!({ "kind": kind.as_str(), "key": key }))
        .collect();
    printer.result(&json!({ "items": items }), |_| {
        let heading = vec!["KIND".to_owned(), "KEY".to_owned()];
        let rows = keys.iter().map(|key| vec![kind.to_string(), key.clone()]);
        table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
    });
    Ok(())
}

/// Prints events until interrupted.
pub(crate) async fn watch(
    printer: Printer,
    client: &Client,
    target: Target,
    after: Option<u64>,
) -> Result<(), CommandFailure> {
    let since = after.map_or(Since::Latest, Since::After);
    let mut events = client.session().subscribe(target, since).await?;
    while let Some(item) = events.next().await {
        match item? {
            EventItem::Event {
                seq,
                kind,
                time_ms,
                data,
            } => {
                let data = raw(&data)?;
                let document =
                    json!({ "seq": seq, "type": kind, "time": rfc3339(time_ms), "data": data });
                printer.result(&document, |_| {
                    format!("{seq}  {}  {kind}  {data}", rfc3339(time_ms))
                });
            }
            EventItem::Gap {
                after,
                seq,
                snapshot,
            } => {
                let state = raw(&snapshot)?;
                let document = json!({ "gap": { "after": after, "seq": seq, "state": state } });
                printer.result(&document, |_| {
                    format!(
                        "events {} to {seq} are no longer stored; state then: {state}",
                        after + 1
                    )
                });
            }
            EventItem::Ephemeral { from, name, data } => {
                let data = raw(&data)?;
                let document = json!({ "ephemeral": { "from": from.to_string(), "type": name, "data": data } });
                printer.result(&document, |_| format!("~  {name}  {data}"));
            }
        }
    }
    Ok(())
}

/// The form that scripts rely on: the body under its name, with seq and version.
fn print_success(printer: Printer, name: &str, success: &Success) -> Result<(), CommandFailure> {
    let body = raw(&success.body)?;
    let document = json!({ name: body, "seq": success.seq, "version": success.version });
    printer.result(&document, |_| {
        format!("{body}\nseq {}  version {}", success.seq, success.version)
    });
    Ok(())
}

/// A body of JSON text; one that says nothing is `null`.
fn raw(bytes: &[u8]) -> Result<serde_json::Value, CommandFailure> {
    if bytes.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_slice(bytes)
        .map_err(|error| CommandFailure::failed(format!("the node sent no JSON: {error}")))
}

/// Text that must be JSON, checked before it is sent.
pub(crate) fn json_text(what: &str, text: &str) -> Result<String, CommandFailure> {
    serde_json::from_str::<&RawValue>(text)
        .map(|_| text.to_owned())
        .map_err(|error| CommandFailure::usage(format!("{what}: not JSON: {error}")))
}
