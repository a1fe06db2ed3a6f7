//! `selvedge op`: submit, inspect and control operations.

use std::io::Read;

use selvedge_client::{
    self as client, CallError, ListQuery, Operation, OperationStatus, PayloadSource, Session,
    Since, Submit,
};
use selvedge_protocol::limits::PAYLOAD_BYTES_MAX;
use selvedge_protocol::{ActorKey, ErrorCode, IdError, OperationId};
use serde_json::json;
use serde_json::value::RawValue;

use crate::operate::cli::{ClientFlags, Op, OpList, OpSubmit, OpTarget, ScheduleName, Why};
use crate::operate::commands::actor::json_text;
use crate::operate::commands::schedule;
use crate::operate::failure::{CommandFailure, Exit};
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

pub(crate) async fn run(printer: Printer, command: Op) -> Result<(), CommandFailure> {
    match command {
        Op::Submit(mut submit) => match submit.schedule.take() {
            Some(cron) => schedule::submit(printer, *submit, cron).await,
            None => self::submit(printer, *submit).await,
        },
        Op::Get { id, client } => {
            let shown = show(printer, client, async |s| s.operation(&id).await).await;
            shown.map_err(|failure| unknown(&id, failure))
        }
        Op::List(query) => list(printer, query).await,
        Op::Watch { id, after, client } => watch(printer, id, after, client).await,
        Op::Cancel(OpTarget { id, client }) => {
            show(printer, client, async |s| s.cancel(&id).await).await
        }
        Op::Pause(OpTarget { id, client }) => {
            show(printer, client, async |s| s.pause(&id).await).await
        }
        Op::Resume(OpTarget { id, client }) => {
            show(printer, client, async |s| s.resume(&id).await).await
        }
        Op::Signal {
            id,
            name,
            data,
            client,
        } => {
            let data = raw_json("DATA", &data)?;
            show(printer, client, async |s| s.signal(&id, &name, &data).await).await
        }
        Op::Retry { id, from, client } => {
            let from = from.as_deref();
            show(printer, client, async |s| s.retry(&id, from).await).await
        }
        Op::Why(OpTarget { id, client }) => why(printer, id, client).await,
    }
}

/// `selvedge why`: the last word is the id, a first one says of what.
pub(crate) async fn explain(printer: Printer, arguments: Why) -> Result<(), CommandFailure> {
    let usage = "use: selvedge why operation ID, or selvedge why schedule ID";
    let (what, id) = match arguments.target.as_slice() {
        [id] => ("operation", id),
        [what, id] => (what.as_str(), id),
        _ => return Err(CommandFailure::usage(usage)),
    };
    let wrong = |error: IdError| CommandFailure::usage(format!("{id:?} is no id: {error}"));
    let client = arguments.client;
    match what {
        "operation" => {
            let id = OperationId::new(id.as_str()).map_err(wrong)?;
            why(printer, id, client).await
        }
        "schedule" => {
            let id = ActorKey::new(id.as_str()).map_err(wrong)?;
            schedule::why(printer, ScheduleName { id, client }).await
        }
        _ => Err(CommandFailure::usage(usage)),
    }
}

async fn why(printer: Printer, id: OperationId, client: ClientFlags) -> Result<(), CommandFailure> {
    let client = connect(&client).await?;
    let why = client.session().why(&id).await?;
    printer.result(&why, describe_why);
    client.close().await;
    Ok(())
}

/// Does something about an operation and prints what it is then.
async fn show(
    printer: Printer,
    client: ClientFlags,
    ask: impl AsyncFnOnce(&Session) -> Result<Operation, CallError>,
) -> Result<(), CommandFailure> {
    let client = connect(&client).await?;
    let operation = ask(client.session()).await?;
    printer.result(&operation, describe);
    client.close().await;
    Ok(())
}

/// Says which operation is not there, and where to look.
fn unknown(id: &OperationId, failure: CommandFailure) -> CommandFailure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    let code = ErrorCode::NotFound;
    CommandFailure::new(
        Exit::NotFound,
        format!("{code}: no operation has the id {id}; `selvedge op list` shows those there are"),
    )
}

async fn watch(
    printer: Printer,
    id: OperationId,
    after: u64,
    client: ClientFlags,
) -> Result<(), CommandFailure> {
    let client = connect(&client).await?;
    // One that is not there has no events yet, and may never have any.
    let found = client.session().operation(&id).await;
    found.map_err(|error| unknown(&id, error.into()))?;
    let mut events = client.session().watch(&id, Since::After(after)).await?;
    while let Some(event) = events.next().await {
        printer.result(&event?, |e| {
            format!("{}  {}  {}  {}", e.seq, e.time, e.event_type, e.data)
        });
    }
    client.close().await;
    Ok(())
}

async fn submit(printer: Printer, arguments: OpSubmit) -> Result<(), CommandFailure> {
    let input = read_input(&arguments.input)?;
    let payload = match arguments.payload {
        None => PayloadSource::None,
        Some(path) => {
            if let Err(error) = std::fs::File::open(&path) {
                let remedy = "give a file that can be read";
                return Err(CommandFailure::named("--payload", &path, &error, remedy));
            }
            PayloadSource::File(path)
        }
    };
    let metadata = match arguments.metadata.as_deref() {
        None => None,
        Some(text) => Some(raw_json("--metadata", text)?),
    };
    let submit = Submit {
        id: arguments.id,
        labels: arguments.labels.into_iter().collect(),
        payload,
        input: Some(input),
        metadata,
        priority: arguments.priority,
        run_at: arguments.run_at,
        deadline: arguments.deadline,
        ..Submit::new(arguments.operation_type)
    };
    let client = connect(&arguments.client).await?;
    let session = client.session();
    let is_streamed = matches!(&submit.payload, PayloadSource::File(path)
        if std::fs::metadata(path).is_ok_and(|file| file.len() > PAYLOAD_BYTES_MAX as u64));
    let submitted = session.submit(submit).await;
    let mut operation = submitted.map_err(CommandFailure::of_flags)?;
    if is_streamed && !arguments.wait {
        // The answer is of the time before the bytes were sent.
        operation = session.operation(&operation.id).await?;
    }
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
    let wanted = ListQuery {
        status,
        operation_type: query.operation_type,
        label: query.label.map(|(name, value)| format!("{name}={value}")),
        created_by: query.created_by,
        created_after: query.created_after,
        created_before: query.created_before,
        cursor: query.cursor,
        limit: Some(query.limit),
    };
    if query.count {
        let count = client.session().count(&wanted).await;
        let count = count.map_err(CommandFailure::of_flags)?;
        printer.result(&count, |count| match count.is_exact {
            true => count.count.to_string(),
            false => format!("{} or more", count.count),
        });
        client.close().await;
        return Ok(());
    }
    let page = client.session().list(&wanted).await;
    let page = page.map_err(CommandFailure::of_flags)?;
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

/// What an operation waits for, for a person.
fn describe_why(why: &client::Why) -> String {
    let mut rows = vec![
        vec!["id".to_owned(), why.id.to_string()],
        vec!["type".to_owned(), why.operation_type.to_string()],
        vec!["status".to_owned(), why.status.to_string()],
        vec!["why".to_owned(), why.summary.clone()],
    ];
    for wait in &why.waits {
        let mut text = wait.detail.clone();
        for (word, time) in [("since", &wait.since), ("until", &wait.until)] {
            if let Some(time) = time {
                text.push_str(&format!(" ({word} {time})"));
            }
        }
        rows.push(vec!["waits for".to_owned(), text]);
    }
    let error = why.last_error.as_ref();
    let optional = [
        ("attempt", Some(why.attempt.to_string())),
        ("next attempt", why.next_attempt_at.clone()),
        ("last step", why.last_step.clone()),
        (
            "last error",
            error.map(|error| format!("{}: {}", error.code, error.message)),
        ),
        (
            "would undo",
            (!why.compensations.is_empty()).then(|| why.compensations.join(", ")),
        ),
        (
            "owner",
            Some(format!("{}, slot {}", why.owner.node, why.owner.slot)),
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
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let remedy = "give JSON text, @FILE, or @- for standard input";
            CommandFailure::named("--input", path.as_ref(), &error, remedy)
        })?,
    };
    raw_json("--input", text.trim())
}

fn raw_json(flag: &str, text: &str) -> Result<Box<RawValue>, CommandFailure> {
    let text = json_text(flag, text)?;
    RawValue::from_string(text).map_err(|error| CommandFailure::usage(format!("{flag}: {error}")))
}
