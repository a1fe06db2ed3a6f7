//! `selvedge op`: submit, inspect and control operations.

use std::io::Read;

use selvedge_client::{ListQuery, Operation, OperationStatus, PayloadSource, Since, Submit};
use serde_json::json;
use serde_json::value::RawValue;

use crate::operate::cli::{Op, OpList, OpSubmit};
use crate::operate::commands::actor::json_text;
use crate::operate::commands::schedule;
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

pub(crate) async fn run(printer: Printer, command: Op) -> Result<(), CommandFailure> {
    match command {
        Op::Submit(mut submit) => match submit.schedule.take() {
            Some(cron) => schedule::submit(printer, submit, cron).await,
            None => self::submit(printer, submit).await,
        },
        Op::Get { id, client } => {
            let client = connect(&client).await?;
            let operation = client.session().operation(&id).await?;
            printer.result(&operation, describe);
            client.close().await;
            Ok(())
        }
        Op::List(query) => list(printer, query).await,
        Op::Watch { id, after, client } => {
            let client = connect(&client).await?;
            // One that is not there has no events yet, and may never have any.
            client.session().operation(&id).await?;
            let mut events = client.session().watch(&id, Since::After(after)).await?;
            while let Some(event) = events.next().await {
                printer.result(&event?, |e| {
                    format!("{}  {}  {}  {}", e.seq, e.time, e.event_type, e.data)
                });
            }
            client.close().await;
            Ok(())
        }
        Op::Cancel { id, client } => {
            let client = connect(&client).await?;
            let operation = client.session().cancel(&id).await?;
            printer.result(&operation, describe);
            client.close().await;
            Ok(())
        }
    }
}

async fn submit(printer: Printer, arguments: OpSubmit) -> Result<(), CommandFailure> {
    let input = read_input(&arguments.input)?;
    let payload = match arguments.payload {
        None => PayloadSource::None,
        Some(path) => {
            if let Err(error) = std::fs::File::open(&path) {
                return Err(CommandFailure::file(&path, &error));
            }
            PayloadSource::File(path)
        }
    };
    let submit = Submit {
        id: arguments.id,
        labels: arguments.labels.into_iter().collect(),
        payload,
        input: Some(input),
        ..Submit::new(arguments.operation_type)
    };
    let client = connect(&arguments.client).await?;
    let session = client.session();
    let mut operation = session.submit(submit).await?;
    if arguments.wait && !operation.status.is_final() {
        operation = session.wait(&operation.id).await?;
    }
    printer.result(&operation, describe);
    client.close().await;
    if arguments.wait && operation.status != OperationStatus::Succeeded {
        let error = operation
            .error
            .as_ref()
            .map_or_else(String::new, |e| format!(": {}", e.message));
        return Err(CommandFailure::failed(format!(
            "{} {}{error}",
            operation.id, operation.status
        )));
    }
    Ok(())
}

async fn list(printer: Printer, query: OpList) -> Result<(), CommandFailure> {
    let status = match query.status.as_deref() {
        None => None,
        Some(text) => Some(
            text.parse::<OperationStatus>()
                .map_err(|error| CommandFailure::usage(format!("--status: {error}")))?,
        ),
    };
    let client = connect(&query.client).await?;
    let page = client
        .session()
        .list(&ListQuery {
            status,
            operation_type: query.operation_type,
            label: query.label.map(|(name, value)| format!("{name}={value}")),
            cursor: query.cursor,
            limit: Some(query.limit),
        })
        .await?;
    let document = json!({ "items": page.items, "cursor": page.cursor });
    printer.result(&document, |_| {
        let heading = ["ID", "TYPE", "STATUS", "ATTEMPT", "CREATED"]
            .map(str::to_owned)
            .to_vec();
        let rows = page.items.iter().map(|o| {
            vec![
                o.id.to_string(),
                o.operation_type.to_string(),
                o.status.to_string(),
                o.attempt.to_string(),
                o.created_at.clone(),
            ]
        });
        let mut text = table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
        if let Some(cursor) = &page.cursor {
            text.push_str("\nmore with --cursor ");
            text.push_str(cursor);
        }
        text
    });
    client.close().await;
    Ok(())
}

/// An operation for a person.
fn describe(operation: &Operation) -> String {
    let mut rows = vec![
        vec!["id".to_owned(), operation.id.to_string()],
        vec!["type".to_owned(), operation.operation_type.to_string()],
        vec!["status".to_owned(), operation.status.to_string()],
        vec!["created".to_owned(), operation.created_at.clone()],
        vec!["updated".to_owned(), operation.updated_at.clone()],
        vec!["attempt".to_owned(), operation.attempt.to_string()],
    ];
    let optional = [
        ("result", operation.result.as_ref().map(ToString::to_string)),
        (
            "error",
            operation
                .error
                .as_ref()
                .map(|e| format!("{}: {}", e.code, e.message)),
        ),
        ("waiting for", operation.waiting_for.clone()),
        (
            "progress",
            operation.progress.as_ref().map(ToString::to_string),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            rows.push(vec![name.to_owned(), value]);
        }
    }
    table(&rows)
}

/// `--input`: JSON text, `@FILE`, or `@-` for standard input.
pub(crate) fn read_input(argument: &str) -> Result<Box<RawValue>, CommandFailure> {
    let text = match argument.strip_prefix('@') {
        None => argument.to_owned(),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| CommandFailure::failed(format!("standard input: {error}")))?;
            text
        }
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| CommandFailure::file(path.as_ref(), &error))?,
    };
    let text = json_text("--input", text.trim())?;
    RawValue::from_string(text).map_err(|error| CommandFailure::usage(format!("--input: {error}")))
}
