//! `selvedge subject`: the persons that data is about. Asked of a node page by page, so that it goes on where it was.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use selvedge_client::Client;
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, SubjectId, Target};
use serde_json::{Value, json};

use crate::gateway::SUBJECT;
use crate::operate::cli::{ClientFlags, Consent, ConsentOf, Subject};
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

/// Stands for all subjects of the tenant.
const ALL: &str = "*";

pub(crate) async fn run(printer: Printer, command: Subject) -> Result<(), CommandFailure> {
    match command {
        Subject::List {
            limit,
            cursor,
            client,
        } => list(printer, &client, json!({ "limit": limit, "after": cursor })).await,
        Subject::Export {
            subject,
            to,
            client,
        } => export(printer, &client, &subject, to).await,
        Subject::Erase(named) => erase(printer, &named.client, &named.subject).await,
        Subject::Rewrap { client } => rewrap(printer, &client).await,
        Subject::Consent(Consent::Grant(of)) => consent(printer, of, true).await,
        Subject::Consent(Consent::Withdraw(of)) => consent(printer, of, false).await,
        Subject::Consent(Consent::List(named)) => {
            let client = connect(&named.client).await?;
            let shown = ask(&client, named.subject.as_str(), "get", json!({})).await?;
            client.close().await;
            printer.result(&shown["consents"], |consents| {
                rows(
                    consents,
                    &[
                        ("PURPOSE", "purpose"),
                        ("GRANTED", "granted"),
                        ("AT", "at"),
                        ("BY", "by"),
                        ("NOTE", "note"),
                    ],
                )
            });
            Ok(())
        }
    }
}

async fn list(printer: Printer, flags: &ClientFlags, body: Value) -> Result<(), CommandFailure> {
    let client = connect(flags).await?;
    let page = ask(&client, ALL, "list", body).await?;
    client.close().await;
    printer.result(&page, |page| {
        let mut text = rows(
            &page["items"],
            &[
                ("SUBJECT", "subject"),
                ("STATE", "state"),
                ("CREATED", "createdAt"),
                ("ERASED", "erasedAt"),
                ("WRAPPED BY", "wrappedBy"),
            ],
        );
        if let Some(cursor) = page["cursor"].as_str() {
            text.push_str(&format!("\nmore: --cursor {cursor}"));
        }
        text
    });
    Ok(())
}

async fn erase(
    printer: Printer,
    flags: &ClientFlags,
    subject: &SubjectId,
) -> Result<(), CommandFailure> {
    let client = connect(flags).await?;
    let mut counter = printer.counter("actors cleared");
    let (mut actors, mut after, mut first) = (0, Value::Null, None);
    loop {
        let page = tell(
            &client,
            subject.as_str(),
            "erase",
            json!({ "after": after }),
        )
        .await?;
        actors += page["actors"].as_u64().unwrap_or(0);
        counter.at(actors);
        first.get_or_insert_with(|| page["erased"].clone());
        after = page["cursor"].clone();
        if after.is_null() {
            break;
        }
    }
    counter.finish();
    client.close().await;
    let told = json!({ "subject": subject, "erased": first, "actors": actors });
    printer.result(&told, |told| match told["erased"] == "now" {
        true => {
            format!("{subject} is erased: its key is destroyed, and {actors} actors are cleared")
        }
        false => format!("{subject} was erased before; {actors} actors that were left are cleared"),
    });
    Ok(())
}

async fn rewrap(printer: Printer, flags: &ClientFlags) -> Result<(), CommandFailure> {
    let client = connect(flags).await?;
    let mut counter = printer.counter("keys looked at");
    let (mut keys, mut looked, mut users, mut after) = (0, 0, 0, Value::Null);
    loop {
        let page = tell(&client, ALL, "rewrap", json!({ "after": after })).await?;
        keys += page["rewrapped"].as_u64().unwrap_or(0);
        looked += page["looked"].as_u64().unwrap_or(0);
        users += page["sealedUsers"].as_u64().unwrap_or(0);
        counter.at(looked);
        after = page["cursor"].clone();
        if after.is_null() {
            break;
        }
    }
    counter.finish();
    client.close().await;
    let told = json!({ "rewrapped": keys, "looked": looked, "sealedUsers": users });
    printer.result(&told, |_| {
        let keys = format!("{keys} of {looked} keys are wrapped anew");
        match users {
            0 => keys,
            users => format!("{keys}; {users} users that were in the clear are sealed"),
        }
    });
    Ok(())
}

async fn consent(printer: Printer, of: ConsentOf, granted: bool) -> Result<(), CommandFailure> {
    let client = connect(&of.client).await?;
    let body = json!({ "purpose": of.purpose, "granted": granted, "note": of.note });
    let told = tell(&client, of.subject.as_str(), "consent", body).await?;
    client.close().await;
    printer.result(&told, |_| match granted {
        true => format!("{} consents to {}", of.subject, of.purpose),
        false => format!("{} does not consent to {}", of.subject, of.purpose),
    });
    Ok(())
}

async fn export(
    printer: Printer,
    flags: &ClientFlags,
    subject: &SubjectId,
    to: Option<PathBuf>,
) -> Result<(), CommandFailure> {
    let client = connect(flags).await?;
    let Some(file) = to else {
        let mut counter = printer.counter("things exported");
        let mut items = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let page = ask(
                &client,
                subject.as_str(),
                "export",
                json!({ "cursor": cursor }),
            )
            .await?;
            items.extend(page["items"].as_array().into_iter().flatten().cloned());
            counter.at(items.len() as u64);
            cursor = page["cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        counter.finish();
        client.close().await;
        let whole = json!({ "subject": subject, "items": items });
        printer.result(&whole, |whole| format!("{whole:#}"));
        return Ok(());
    };
    let failed = |error: &io::Error| CommandFailure::file(&file, error);
    let mut part = file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let items = write(&client, printer, subject, &part, &failed).await?;
    std::fs::rename(&part, &file).map_err(|error| failed(&error))?;
    client.close().await;
    let told = json!({ "subject": subject, "file": file, "items": items });
    printer.result(&told, |_| {
        format!("{}: {items} things about {subject}", file.display())
    });
    Ok(())
}

/// Writes the document in bounded memory; it has its name once it is whole.
async fn write(
    client: &Client,
    printer: Printer,
    subject: &SubjectId,
    part: &Path,
    failed: &impl Fn(&io::Error) -> CommandFailure,
) -> Result<u64, CommandFailure> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let out = options.open(part).map_err(|error| failed(&error))?;
    let mut out = BufWriter::new(out);
    let mut counter = printer.counter("things exported");
    let head = format!("{{\"subject\":{},\"items\":[", json!(subject));
    out.write_all(head.as_bytes())
        .map_err(|error| failed(&error))?;
    let (mut items, mut cursor) = (0_u64, Value::Null);
    loop {
        let page = ask(
            client,
            subject.as_str(),
            "export",
            json!({ "cursor": cursor }),
        )
        .await?;
        for item in page["items"].as_array().into_iter().flatten() {
            let comma = if items == 0 { "\n" } else { ",\n" };
            write!(out, "{comma}{item}").map_err(|error| failed(&error))?;
            items += 1;
        }
        counter.at(items);
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    counter.finish();
    out.write_all(b"\n]}\n").map_err(|error| failed(&error))?;
    let out = out.into_inner().map_err(|error| failed(error.error()))?;
    out.sync_all().map_err(|error| failed(&error))?;
    Ok(items)
}

async fn ask(client: &Client, key: &str, name: &str, body: Value) -> Result<Value, CommandFailure> {
    let session = client.session();
    Ok(session.query(target(key)?, name, body).json().await?)
}

async fn tell(
    client: &Client,
    key: &str,
    name: &str,
    body: Value,
) -> Result<Value, CommandFailure> {
    let session = client.session();
    let call = session.command(target(key)?, name.to_owned(), Bytes::from(body.to_string()));
    let success = call.send().await?;
    serde_json::from_slice(&success.body)
        .map_err(|error| CommandFailure::failed(format!("the node sent no JSON: {error}")))
}

fn target(key: &str) -> Result<Target, CommandFailure> {
    let wrong = |error: selvedge_protocol::IdError| CommandFailure::usage(error.to_string());
    Ok(Target::Actor(ActorAddress {
        kind: ActorKind::new(SUBJECT).map_err(wrong)?,
        key: ActorKey::new(key).map_err(wrong)?,
    }))
}

/// A table of some fields of each, under their headings.
fn rows(items: &Value, fields: &[(&str, &str)]) -> String {
    let word = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let heading = fields.iter().map(|(heading, _)| (*heading).to_owned());
    let heading = heading.collect();
    let items = items.as_array().into_iter().flatten();
    let rows = items.map(|item| {
        fields
            .iter()
            .map(|(_, field)| word(&item[*field]))
            .collect()
    });
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    table(&rows)
}
