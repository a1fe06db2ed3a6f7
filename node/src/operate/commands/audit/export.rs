//! `selvedge audit export`: the stored records of a chain as JSON lines, whose fields are made here of the bytes that
//! are hashed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use selvedge_cluster::audit::{decode, hash_text};
use serde_json::{Map, Value, json};

use super::{PAGE_LEN, Remote, not_understood};
use crate::gateway::audit::shown;
use crate::operate::cli::AuditExport;
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Counter, Printer};

pub(super) async fn run(printer: Printer, flags: AuditExport) -> Result<(), CommandFailure> {
    let remote = Remote::of(&flags.of).await?;
    let Some(path) = &flags.file else {
        let mut to = |line: &Value| {
            printer.result(line, Value::to_string);
            Ok(())
        };
        lines(&remote, flags.from, None, &mut to).await?;
        remote.client.close().await;
        return Ok(());
    };
    let file = private(path).map_err(|error| CommandFailure::file(path, &error))?;
    let mut out = BufWriter::new(&file);
    let counter = printer.counter("records exported");
    let mut to = |line: &Value| {
        let written = writeln!(out, "{line}");
        written.map_err(|error| CommandFailure::file(path, &error))
    };
    let exported = lines(&remote, flags.from, Some(counter), &mut to).await;
    remote.client.close().await;
    let mut durable = || out.flush().and_then(|()| file.sync_all());
    let exported = exported.and_then(|exported| match durable() {
        Ok(()) => Ok(exported),
        Err(error) => Err(CommandFailure::file(path, &error)),
    });
    match exported {
        Ok(Exported { records, head }) => {
            let told = json!({ "file": path, "records": records, "head": head });
            printer.result(&told, |_| format!("{}: {records} records", path.display()));
            Ok(())
        }
        Err(failure) => {
            // What is there is no export.
            let _ = fs::remove_file(path);
            Err(failure)
        }
    }
}

struct Exported {
    records: u64,
    /// The last one.
    head: Option<Value>,
}

async fn lines(
    remote: &Remote,
    from: Option<u64>,
    mut counter: Option<Counter>,
    to: &mut (dyn FnMut(&Value) -> Result<(), CommandFailure> + Send),
) -> Result<Exported, CommandFailure> {
    let mut exported = Exported {
        records: 0,
        head: None,
    };
    let mut body = Map::from_iter([
        ("stored".to_owned(), true.into()),
        ("limit".to_owned(), PAGE_LEN.into()),
        ("from".to_owned(), from.unwrap_or(1).into()),
    ]);
    loop {
        let (items, cursor) = remote.page(body.clone()).await?;
        for item in items {
            let line = line(&item).ok_or_else(not_understood)?;
            to(&line)?;
            exported.records += 1;
            exported.head = Some(json!({ "number": line["number"], "hash": line["hash"] }));
        }
        if let Some(counter) = &mut counter {
            counter.at(exported.records);
        }
        match cursor {
            Some(cursor) => body.insert("cursor".to_owned(), cursor),
            None => break,
        };
    }
    if let Some(counter) = counter {
        counter.finish();
    }
    Ok(exported)
}

/// The line of a stored record; `None`: it is none.
fn line(item: &Value) -> Option<Value> {
    let stored = BASE64_STANDARD.decode(item["record"].as_str()?).ok()?;
    Some(line_of(stored))
}

/// The line of stored bytes. Those that are no record are exported as well: who verifies finds them.
pub(super) fn line_of(stored: Vec<u8>) -> Value {
    let text = BASE64_STANDARD.encode(&stored);
    let hash = selvedge_cluster::audit::hash(&stored);
    let mut line = match decode(stored.into()) {
        Ok(record) => shown(&record),
        Err(_) => json!({ "hash": hash_text(&hash) }),
    };
    line["record"] = text.into();
    line
}

/// A file that nobody else may read, and that was not there.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)
}
