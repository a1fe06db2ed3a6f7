//! `selvedge user`: who logs in with a password, asked of any node. Passwords come from files, never from the command line,
//! which others see.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::operate::cli::{Named, User};
use crate::operate::commands::directory::{all, ask, tell, word, words};
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};

pub(crate) async fn user(printer: Printer, user: User) -> Result<(), CommandFailure> {
    match user {
        User::Add {
            name,
            email,
            roles,
            password_file,
            client,
        } => {
            let mut body = Map::from_iter([
                ("username".to_owned(), json!(name)),
                ("roles".to_owned(), json!(roles)),
            ]);
            if let Some(email) = email {
                body.insert("email".to_owned(), json!(email));
            }
            if let Some(path) = password_file {
                body.insert("password".to_owned(), json!(*password(&path)?));
            }
            let made = tell(&client, "user.create", body.into()).await?;
            printer.result(&made, |made| users(std::slice::from_ref(made)));
        }
        User::Get(Named { user, client }) => {
            let found = ask(&client, "user.get", json!({ "id": user })).await?;
            printer.result(&found, |found| users(std::slice::from_ref(found)));
        }
        User::List { client } => {
            let items = all(&client, "user.list").await?;
            printer.result(&json!({ "items": items }), |_| users(&items));
        }
        User::Logins(Named { user, client }) => {
            let listed = ask(&client, "login.list", json!({ "id": user })).await?;
            printer.result(&listed, logins);
        }
        User::Logout {
            user,
            login,
            client,
        } => {
            let body = json!({ "id": user, "login": login });
            let ended = tell(&client, "login.end", body).await?;
            printer.result(&ended, |_| format!("the login {login} of {user} has ended"));
        }
        change @ (User::Set { .. }
        | User::Enable(_)
        | User::Disable(_)
        | User::Password { .. }
        | User::Remove(_)) => self::change(printer, change).await?,
    }
    Ok(())
}

/// Changes a user that there is.
async fn change(printer: Printer, change: User) -> Result<(), CommandFailure> {
    match change {
        User::Set {
            user,
            email,
            roles,
            no_roles,
            client,
        } => {
            let mut body = Map::from_iter([("id".to_owned(), json!(user))]);
            if let Some(email) = email {
                let email = (!email.is_empty()).then_some(email);
                body.insert("email".to_owned(), json!(email));
            }
            if no_roles || !roles.is_empty() {
                body.insert("roles".to_owned(), json!(roles));
            }
            let changed = tell(&client, "user.set", body.into()).await?;
            printer.result(&changed, |user| users(std::slice::from_ref(user)));
        }
        User::Enable(named) => enable(printer, named, true).await?,
        User::Disable(named) => enable(printer, named, false).await?,
        User::Password {
            user,
            password_file,
            client,
        } => {
            let body = json!({ "id": user, "password": *password(&password_file)? });
            let changed = tell(&client, "user.set-password", body).await?;
            printer.result(&changed, |_| {
                format!("{user} has another password; its logins have ended")
            });
        }
        User::Remove(Named { user, client }) => {
            let removed = tell(&client, "user.remove", json!({ "id": user })).await?;
            printer.result(&removed, |_| format!("{user} is removed"));
        }
        // These change nobody that there is.
        User::Add { .. }
        | User::Get(_)
        | User::List { .. }
        | User::Logins(_)
        | User::Logout { .. } => {}
    }
    Ok(())
}

async fn enable(printer: Printer, named: Named, enabled: bool) -> Result<(), CommandFailure> {
    let Named { user, client } = named;
    let body = json!({ "id": user, "enabled": enabled });
    let changed = tell(&client, "user.set", body).await?;
    printer.result(&changed, |user| users(std::slice::from_ref(user)));
    Ok(())
}

/// The one line of a file, or of standard input.
fn password(path: &Path) -> Result<Zeroizing<String>, CommandFailure> {
    secret("--password-file", "password", path)
}

/// The same of another secret, in the file that this flag names.
pub(super) fn secret(
    flag: &str,
    what: &str,
    path: &Path,
) -> Result<Zeroizing<String>, CommandFailure> {
    let mut text = Zeroizing::new(String::new());
    let read = match path == Path::new("-") {
        true => std::io::stdin()
            .lock()
            .take(BYTES_MAX)
            .read_to_string(&mut text),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)),
    };
    read.map_err(|error| {
        let remedy = format!("give a file with the {what} on one line, or - for standard input");
        CommandFailure::named(flag, path, &error, &remedy)
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Zeroizing::new(line.to_owned()))
}

fn users(users: &[Value]) -> String {
    let heading = [
        "NAME",
        "ID",
        "EMAIL",
        "ROLES",
        "ENABLED",
        "CREATED",
        "PASSWORD OF",
    ];
    let rows = users.iter().map(|user| {
        vec![
            word(&user["username"]),
            word(&user["id"]),
            word(&user["email"]),
            words(&user["roles"]),
            word(&user["enabled"]),
            word(&user["createdAt"]),
            word(&user["passwordChangedAt"]),
        ]
    });
    let heading = heading.map(str::to_owned).to_vec();
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

fn logins(listed: &Value) -> String {
    let heading = [
        "ID", "CLIENT", "BEGUN", "USED", "EXPIRES", "ENDED", "REASON",
    ];
    let rows = listed["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|login| {
            let columns = [
                "id",
                "client",
                "createdAt",
                "usedAt",
                "expiresAt",
                "endedAt",
                "reason",
            ];
            columns.map(|name| word(&login[name])).to_vec()
        });
    let heading = heading.map(str::to_owned).to_vec();
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

/// Far more than any password has.
const BYTES_MAX: u64 = 16 * 1_024;
