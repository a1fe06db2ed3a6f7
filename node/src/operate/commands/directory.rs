//! `selvedge role`, `selvedge key` and `selvedge session`: what the tenant's roles and API keys are, asked of any node.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use selvedge_client::{CallError, Client};
use selvedge_cluster::Clock;
use selvedge_protocol::{ErrorCode, Target, time};
use serde_json::{Value, json};

use crate::operate::cli::{ClientFlags, Key, Role, Session};
use crate::operate::failure::{CommandFailure, Exit};
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

pub(crate) async fn role(printer: Printer, role: Role) -> Result<(), CommandFailure> {
    match role {
        Role::Set {
            name,
            rules,
            client,
        } => {
            let body = json!({ "name": name, "rules": rules });
            let role = tell(&client, "role.set", body).await?;
            printer.result(&role, |role| roles(std::slice::from_ref(role)));
        }
        Role::Get { name, client } => {
            let role = ask(&client, "role.get", json!({ "name": name })).await?;
            printer.result(&role, |role| roles(std::slice::from_ref(role)));
        }
        Role::List { client } => {
            let items = all(&client, "role.list").await?;
            printer.result(&json!({ "items": items }), |_| roles(&items));
        }
        Role::Remove { name, client } => {
            let removed = tell(&client, "role.remove", json!({ "name": name })).await?;
            printer.result(&removed, |_| format!("{name} is removed"));
        }
    }
    Ok(())
}

pub(crate) async fn key(printer: Printer, key: Key) -> Result<(), CommandFailure> {
    match key {
        Key::Create {
            name,
            roles,
            expires,
            out,
            client,
        } => {
            let expires = expires.map(|ms| Clock::system().wall_ms().saturating_add(ms));
            let expires = expires.map(time::format);
            let body = json!({ "name": name, "roles": roles, "expiresAt": expires });
            create(printer, &client, body, out.as_deref()).await?;
        }
        Key::Get { id, client } => {
            let key = ask(&client, "api-key.get", json!({ "id": id })).await?;
            printer.result(&key, |key| keys(std::slice::from_ref(key)));
        }
        Key::List { client } => {
            let mut items = all(&client, "api-key.list").await?;
            items.sort_by(|one, other| one["createdAt"].as_str().cmp(&other["createdAt"].as_str()));
            printer.result(&json!({ "items": items }), |_| keys(&items));
        }
        Key::Revoke { id, client } => {
            let key = tell(&client, "api-key.revoke", json!({ "id": id })).await?;
            printer.result(&key, |_| format!("{id} is revoked"));
        }
        Key::Remove { id, client } => {
            let removed = tell(&client, "api-key.remove", json!({ "id": id })).await?;
            printer.result(&removed, |_| format!("{id} is removed"));
        }
        Key::Rotate { now, client } => {
            let rotated = tell(&client, "signing-key.rotate", json!({ "now": now })).await?;
            printer.result(&rotated, |rotated| {
                let (id, from) = (word(&rotated["id"]), word(&rotated["signsFrom"]));
                match now {
                    true => format!("{id} signs; what other keys have signed is nobody's"),
                    false => format!("{id} signs from {from} on"),
                }
            });
        }
    }
    Ok(())
}

pub(crate) async fn session(printer: Printer, session: Session) -> Result<(), CommandFailure> {
    let Session::Close { principal, client } = session;
    let body = json!({ "principal": principal });
    let closed = tell(&client, "session.close-all", body).await?;
    printer.result(&closed, |_| {
        format!("the sessions of {principal} end on all nodes within a second")
    });
    Ok(())
}

/// Makes a key and shows it, or puts it where it is wanted.
async fn create(
    printer: Printer,
    client: &ClientFlags,
    body: Value,
    out: Option<&Path>,
) -> Result<(), CommandFailure> {
    // Opened first: a key that cannot be kept is not made.
    let file = out.map(|path| Ok((path, open_new(path)?)));
    let file = file.transpose().map_err(|(path, error): (&Path, _)| {
        CommandFailure::named("--out", path, &error, "give a file that is not there yet")
    })?;
    let made = tell(client, "api-key.create", body).await;
    let Some((path, mut file)) = file else {
        printer.result(&made?, |made| {
            let rows = keys(std::slice::from_ref(made));
            format!("{rows}\n\n{}\n\nIt is not shown again.", word(&made["key"]))
        });
        return Ok(());
    };
    let mut made = match made {
        Ok(made) => made,
        Err(failure) => {
            // Made just now, and empty.
            let _ = std::fs::remove_file(path);
            return Err(failure);
        }
    };
    let key = made["key"].take();
    let written = file
        .write_all(word(&key).as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        let id = word(&made["id"]);
        let remedy = format!("`selvedge key remove {id}`, and make another");
        CommandFailure::named("--out", path, &error, &remedy)
    })?;
    if let Some(made) = made.as_object_mut() {
        made.remove("key");
        made.insert("keyFile".to_owned(), json!(path));
    }
    printer.result(&made, |made| {
        let rows = keys(std::slice::from_ref(made));
        format!("{rows}\n\nThe key is in {}.", path.display())
    });
    Ok(())
}

/// A file that nobody else reads.
fn open_new(path: &Path) -> Result<File, (&Path, io::Error)> {
    let mut options = File::options();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| (path, error))
}

fn roles(roles: &[Value]) -> String {
    let heading = ["NAME", "RULES", "CHANGED"].map(str::to_owned).to_vec();
    let rows = roles.iter().map(|role| {
        let changed = match role["builtIn"] == true {
            true => "built in".to_owned(),
            false => word(&role["updatedAt"]),
        };
        vec![word(&role["name"]), words(&role["rules"]), changed]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

fn keys(keys: &[Value]) -> String {
    let heading = [
        "ID", "NAME", "ROLES", "BY", "CREATED", "EXPIRES", "USED", "REVOKED",
    ];
    let rows = keys.iter().map(|key| {
        vec![
            word(&key["id"]),
            word(&key["name"]),
            words(&key["roles"]),
            word(&key["createdBy"]),
            word(&key["createdAt"]),
            word(&key["expiresAt"]),
            word(&key["lastUsedAt"]),
            word(&key["revokedAt"]),
        ]
    });
    let heading = heading.map(str::to_owned).to_vec();
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

/// Text without its quotes; nothing is a dash.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn words(value: &Value) -> String {
    let words: Vec<_> = value.as_array().into_iter().flatten().map(word).collect();
    match words.is_empty() {
        true => "-".to_owned(),
        false => words.join(" "),
    }
}

/// All pages of a list.
pub(super) async fn all(client: &ClientFlags, query: &str) -> Result<Vec<Value>, CommandFailure> {
    let client = connect(client).await?;
    let mut items = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let mut page = look(&client, query, json!({ "cursor": cursor })).await?;
        if let Value::Array(more) = page["items"].take() {
            items.extend(more);
        }
        cursor = page["cursor"].take();
        if cursor.is_null() {
            break;
        }
    }
    client.close().await;
    Ok(items)
}

pub(super) async fn ask(
    client: &ClientFlags,
    query: &str,
    body: Value,
) -> Result<Value, CommandFailure> {
    let client = connect(client).await?;
    let answer = look(&client, query, body).await?;
    client.close().await;
    Ok(answer)
}

async fn look(client: &Client, query: &str, body: Value) -> Result<Value, CommandFailure> {
    let session = client.session();
    let answer = session.query(Target::Cluster, query, body).json().await;
    answer.map_err(failed)
}

pub(super) async fn tell(
    client: &ClientFlags,
    command: &str,
    body: Value,
) -> Result<Value, CommandFailure> {
    let client = connect(client).await?;
    let told = {
        let session = client.session();
        session.command(Target::Cluster, command, body).json().await
    };
    let told = told.map_err(failed)?;
    client.close().await;
    Ok(told)
}

fn failed(error: CallError) -> CommandFailure {
    match error.failure() {
        Some(failure) if failure.code == ErrorCode::Conflict => {
            CommandFailure::new(Exit::Refused, failure.message.clone())
        }
        Some(failure) if failure.code == ErrorCode::NotFound => {
            CommandFailure::new(Exit::NotFound, failure.message.clone())
        }
        Some(_) | None => CommandFailure::from(error),
    }
}
