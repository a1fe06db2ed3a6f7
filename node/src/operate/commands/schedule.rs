//! `selvedge schedule`: operations submitted by the clock.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};
use selvedge_client::{Body, CallError, Client, Session};
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, ErrorCode, OperationType, Target};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::operate::cli::{ClientFlags, OpSubmit, Schedule, ScheduleDefine, ScheduleName};
use crate::operate::commands::actor::{Page, watch};
use crate::operate::commands::op::read_input;
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

pub(crate) async fn run(printer: Printer, command: Schedule) -> Result<(), CommandFailure> {
    match command {
        Schedule::Create(define) => self::define(printer, "create", *define).await,
        Schedule::Update(define) => self::define(printer, "update", *define).await,
        Schedule::Get(schedule) => get(printer, schedule).await,
        Schedule::List {
            limit,
            cursor,
            client,
        } => list(printer, &client, limit, cursor).await,
        Schedule::Pause { schedule, note } => {
            show(printer, schedule, "pause", json!({ "note": note })).await
        }
        Schedule::Resume(schedule) => show(printer, schedule, "resume", "{}").await,
        Schedule::Trigger(schedule) => trigger(printer, schedule).await,
        Schedule::Delete(schedule) => show(printer, schedule, "delete", "{}").await,
        Schedule::Why(schedule) => why(printer, schedule).await,
        Schedule::Watch { schedule, after } => {
            let client = connect(&schedule.client).await?;
            let target = target(&schedule.id)?;
            // One that is not there has no events yet, and may never have any.
            let _: Value = ask(client.session(), target.clone(), "get").await?;
            watch(printer, &client, target, after).await
        }
    }
}

/// `op submit --schedule`: a schedule with the defaults of everything else.
pub(crate) async fn submit(
    printer: Printer,
    arguments: OpSubmit,
    cron: String,
) -> Result<(), CommandFailure> {
    let Some(id) = arguments.id else {
        return Err(CommandFailure::usage(
            "--schedule: give the schedule an --id",
        ));
    };
    let id = ActorKey::new(id.as_str())
        .map_err(|error| CommandFailure::usage(format!("--id: {error}")))?;
    let definition = Definition {
        cron: Some(cron),
        time_zone: arguments.time_zone,
        ..Definition::new(Template {
            operation_type: arguments.operation_type,
            input: read_input(&arguments.input)?,
            labels: arguments.labels.into_iter().collect(),
            priority: None,
        })
    };
    let name = ScheduleName {
        id,
        client: arguments.client,
    };
    show(printer, name, "create", text_of(&definition)?).await
}

async fn define(
    printer: Printer,
    verb: &str,
    arguments: ScheduleDefine,
) -> Result<(), CommandFailure> {
    let definition = Definition {
        cron: arguments.times.cron,
        every_ms: arguments.times.every,
        time_zone: arguments.time_zone,
        overlap: arguments.overlap,
        catch_up_ms: arguments.catch_up,
        jitter_ms: arguments.jitter,
        start_at: arguments.start_at,
        end_at: arguments.end_at,
        max_runs: arguments.max_runs,
        note: arguments.note,
        ..Definition::new(Template {
            operation_type: arguments.operation_type,
            input: read_input(&arguments.input)?,
            labels: arguments.labels.into_iter().collect(),
            priority: arguments.priority,
        })
    };
    let name = ScheduleName {
        id: arguments.id,
        client: arguments.client,
    };
    show(printer, name, verb, text_of(&definition)?).await
}

/// The body of `create` and `update`. What was not said is left to the node's defaults.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_up_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    operation: Template,
}

#[derive(Serialize)]
struct Template {
    #[serde(rename = "type")]
    operation_type: OperationType,
    /// As it was given: numbers and order are the handler's.
    input: Box<RawValue>,
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
}

impl Definition {
    const fn new(operation: Template) -> Self {
        Self {
            cron: None,
            every_ms: None,
            time_zone: None,
            overlap: None,
            catch_up_ms: None,
            jitter_ms: None,
            start_at: None,
            end_at: None,
            max_runs: None,
            note: None,
            operation,
        }
    }
}

fn text_of(definition: &Definition) -> Result<Body, CommandFailure> {
    let text = serde_json::to_string(definition);
    let text = text.map_err(|error| CommandFailure::failed(error.to_string()))?;
    Ok(Body::from(Bytes::from(text)))
}

async fn get(printer: Printer, schedule: ScheduleName) -> Result<(), CommandFailure> {
    let client = connect(&schedule.client).await?;
    let found: Value = ask(client.session(), target(&schedule.id)?, "get").await?;
    printer.result(&found, describe);
    client.close().await;
    Ok(())
}

/// What a schedule waits for, and what came of the times before.
pub(crate) async fn why(printer: Printer, schedule: ScheduleName) -> Result<(), CommandFailure> {
    let client = connect(&schedule.client).await?;
    let why: Value = ask(client.session(), target(&schedule.id)?, "why").await?;
    printer.result(&why, describe_why);
    client.close().await;
    Ok(())
}

/// Sends a command that answers with the schedule, and prints it.
async fn show(
    printer: Printer,
    schedule: ScheduleName,
    verb: &str,
    body: impl Into<Body>,
) -> Result<(), CommandFailure> {
    let client = connect(&schedule.client).await?;
    let found = send(&client, &schedule.id, verb, body).await?;
    printer.result(&found, describe);
    client.close().await;
    Ok(())
}

async fn trigger(printer: Printer, schedule: ScheduleName) -> Result<(), CommandFailure> {
    let client = connect(&schedule.client).await?;
    let answer = send(&client, &schedule.id, "trigger", "{}").await?;
    client.close().await;
    printer.result(&answer, |answer| match answer["operation"].as_str() {
        Some(operation) => format!("submitted {operation}"),
        None => "not triggered".to_owned(),
    });
    match answer["reason"].as_str() {
        None => Ok(()),
        Some(reason) => Err(CommandFailure::failed(format!("not triggered: {reason}"))),
    }
}

/// Prints schedules in the order of their ids: as many pages of keys as it takes.
async fn list(
    printer: Printer,
    client: &ClientFlags,
    limit: u32,
    mut cursor: Option<String>,
) -> Result<(), CommandFailure> {
    let client = connect(client).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut is_more = true;
    // Deleted ones keep their keys: a page may hold less than it has.
    for _ in 0..PAGES_MAX {
        let wanted = limit - items.len();
        if wanted == 0 || !is_more {
            break;
        }
        let body = json!({ "kind": KIND, "limit": wanted, "after": cursor });
        let page: Page = client
            .session()
            .query(Target::Actors, "list", body)
            .json()
            .await?;
        is_more = page.keys.last().is_some();
        cursor = page.keys.last().cloned().or(cursor);
        let asked = stream::iter(page.keys).map(|key| found(client.session(), key));
        let mut asked = asked.buffered(CONCURRENCY);
        while let Some(found) = asked.next().await {
            items.extend(found?);
        }
    }
    let cursor = cursor.filter(|_| is_more);
    let document = json!({ "items": items, "cursor": cursor });
    printer.result(&document, |_| list_table(&items, cursor.as_deref()));
    client.close().await;
    Ok(())
}

/// A schedule; `None` of one that was deleted.
async fn found(session: &Session, key: String) -> Result<Option<Value>, CommandFailure> {
    let Ok(key) = ActorKey::new(key) else {
        return Ok(None);
    };
    match ask(session, target(&key)?, "get").await {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Failure(failure)) if failure.code == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn ask(session: &Session, target: Target, query: &str) -> Result<Value, CallError> {
    session.query(target, query, "{}").json().await
}

async fn send(
    client: &Client,
    id: &ActorKey,
    verb: &str,
    body: impl Into<Body>,
) -> Result<Value, CommandFailure> {
    let call = client.session().command(target(id)?, verb, body);
    call.json().await.map_err(CommandFailure::of_flags)
}

fn target(id: &ActorKey) -> Result<Target, CommandFailure> {
    let kind = ActorKind::new(KIND).map_err(|error| CommandFailure::failed(error.to_string()))?;
    let key = id.clone();
    Ok(Target::Actor(ActorAddress { kind, key }))
}

fn list_table(items: &[Value], cursor: Option<&str>) -> String {
    let heading = ["ID", "STATUS", "WHEN", "TYPE", "NEXT", "RUNS", "LAST"];
    let rows = items.iter().map(|item| {
        vec![
            text(&item["id"]),
            text(&item["status"]),
            when(&item["definition"]),
            text(&item["definition"]["operation"]["type"]),
            text(&item["next"][0]),
            text(&item["counts"]["runs"]),
            text(&item["last"]["status"]),
        ]
    });
    let heading = heading.map(str::to_owned).to_vec();
    let mut shown = table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    if let Some(cursor) = cursor {
        shown.push_str("\nmore with --cursor ");
        shown.push_str(cursor);
    }
    shown
}

/// A schedule for a person.
fn describe(schedule: &Value) -> String {
    let definition = &schedule["definition"];
    let mut rows = vec![
        ("id", text(&schedule["id"])),
        ("status", text(&schedule["status"])),
        ("when", when(definition)),
        ("type", text(&definition["operation"]["type"])),
        ("overlap", text(&definition["overlap"])),
    ];
    let counts = &schedule["counts"];
    for name in ["runs", "missed", "skipped", "failed"] {
        rows.push((name, text(&counts[name])));
    }
    for next in schedule["next"].as_array().into_iter().flatten() {
        rows.push(("next", text(next)));
    }
    for running in schedule["running"].as_array().into_iter().flatten() {
        rows.push(("running", text(&running["operation"])));
    }
    let last = &schedule["last"];
    for (name, value) in [
        ("last", &last["operation"]),
        ("ended", &last["status"]),
        ("error", &last["error"]),
        ("note", &definition["note"]),
        ("paused for", &schedule["pauseNote"]),
    ] {
        if !value.is_null() {
            rows.push((name, text(value)));
        }
    }
    let row = |(name, value): (&str, String)| vec![name.to_owned(), value];
    table(&rows.into_iter().map(row).collect::<Vec<_>>())
}

/// What a schedule waits for, for a person.
fn describe_why(why: &Value) -> String {
    let mut rows = vec![
        ("id", text(&why["id"])),
        ("status", text(&why["status"])),
        ("why", text(&why["summary"])),
    ];
    for wait in why["waits"].as_array().into_iter().flatten() {
        let mut detail = text(&wait["detail"]);
        for word in ["since", "until"] {
            if let Some(time) = wait[word].as_str() {
                detail.push_str(&format!(" ({word} {time})"));
            }
        }
        rows.push(("waits for", detail));
    }
    for running in why["running"].as_array().into_iter().flatten() {
        rows.push(("running", text(&running["operation"])));
    }
    let (last, error) = (&why["lastSubmitted"], &why["lastError"]);
    let (missed, skipped) = (&why["lastMissed"], &why["lastSkipped"]);
    if last.is_object() {
        let status = last["status"].as_str().unwrap_or("not ended");
        rows.push(("last", format!("{}: {status}", text(&last["operation"]))));
    }
    if error.is_object() {
        let (operation, said) = (text(&error["operation"]), text(&error["error"]));
        rows.push(("last error", format!("{operation}: {said}")));
    }
    if missed.is_object() {
        let (count, until) = (text(&missed["count"]), text(&missed["lastPlannedAt"]));
        rows.push(("missed", format!("{count}, the last of {until}")));
    }
    if skipped.is_object() {
        let (planned, reason) = (text(&skipped["plannedAt"]), text(&skipped["reason"]));
        rows.push(("skipped", format!("{planned}, for its {reason}")));
    }
    let row = |(name, value): (&str, String)| vec![name.to_owned(), value];
    table(&rows.into_iter().map(row).collect::<Vec<_>>())
}

fn when(definition: &Value) -> String {
    match (definition["cron"].as_str(), definition["everyMs"].as_u64()) {
        (Some(cron), _) => format!("{cron} ({})", text(&definition["timeZone"])),
        (None, Some(ms)) if ms.is_multiple_of(1_000) => format!("every {} s", ms / 1_000),
        (None, Some(ms)) => format!("every {ms} ms"),
        (None, None) => String::new(),
    }
}

/// A value for a person; one that is not there is nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The kind of the actors that schedules are.
const KIND: &str = "schedule";
/// Schedules asked for at a time.
const CONCURRENCY: usize = 16;
/// Pages of keys that one listing reads: past them, it ends early with a cursor.
const PAGES_MAX: usize = 20;
