//! Queries and commands about users and their logins: their bodies and answers, see `wire.md`. What they do is
//! [`Directory`]'s; all of it is about the caller's tenant. Who has the permission for what is its own alone is answered
//! about itself: it sees itself and its logins, ends those and changes its address of mail, and nothing else.

use selvedge_protocol::limits::{OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX};
use selvedge_protocol::{ErrorCode, Failure, time};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gateway::directory::{Answer, any, json, parse};
use crate::gateway::failure;
use crate::identity::{
    Directory, Email, Kept, LoginShown, NewUser, Password, Principal, Scope, User, UserAt,
    UserChange, UserState, Username, no_such_user, user_of,
};

#[derive(Debug)]
pub(super) enum Query {
    List(Page),
    Get(Which),
    Logins(Which),
}

#[derive(Debug)]
pub(super) enum Command {
    Create(Create),
    Set(Set),
    SetPassword(SetPassword),
    Remove(Which),
    EndLogin(EndLogin),
}

impl Query {
    /// `None`: it is about something else.
    pub(super) fn parse(name: &str, body: &[u8]) -> Option<Result<Self, Failure>> {
        Some(match name {
            "user.list" => parse(body).map(Self::List),
            "user.get" => parse(body).map(Self::Get),
            "login.list" => parse(body).map(Self::Logins),
            _ => return None,
        })
    }

    pub(super) async fn answer(
        self,
        directory: &Directory,
        by: &Principal,
        scope: Scope,
    ) -> Answer {
        match self {
            Self::List(page) => match scope {
                Scope::Any => page.answer(directory, by).await,
                Scope::Own => {
                    let itself = itself(directory, by).await?;
                    let items: Vec<_> = itself.iter().map(user_shown).collect();
                    json(&json!({ "items": items, "cursor": null }), 0)
                }
            },
            Self::Get(Which { id }) => {
                let user = find(directory, (by, scope), &id).await?;
                json(&user_shown(&user), user.version)
            }
            Self::Logins(Which { id }) => {
                let user = find(directory, (by, scope), &id).await?;
                let logins = directory.logins(&by.tenant, &user).await?;
                let items: Vec<_> = logins.iter().map(login_shown).collect();
                // All are on one page.
                json(&json!({ "items": items, "cursor": null }), 0)
            }
        }
    }
}

impl Command {
    /// `None`: it is about something else.
    pub(super) fn parse(name: &str, body: &[u8]) -> Option<Result<Self, Failure>> {
        Some(match name {
            "user.create" => parse(body).map(Self::Create),
            "user.set" => parse(body).map(Self::Set),
            "user.set-password" => parse(body).map(Self::SetPassword),
            "user.remove" => parse(body).map(Self::Remove),
            "login.end" => parse(body).map(Self::EndLogin),
            _ => return None,
        })
    }

    pub(super) async fn answer(
        self,
        directory: &Directory,
        (by, scope): (&Principal, Scope),
        if_version: Option<u64>,
    ) -> Answer {
        let at = |user: &User| UserAt {
            id: user.id,
            version: if_version,
        };
        match self {
            Self::Create(create) => {
                any(scope)?;
                let user = directory
                    .create_user(by, create.checked(directory).await?)
                    .await?;
                json(&user_shown(&user), user.version)
            }
            Self::Set(set) => {
                let user = find(directory, (by, scope), &set.id).await?;
                set.check(scope)?;
                let changed = directory.change_user(by, at(&user), set.checked()?).await?;
                json(&user_shown(&changed), changed.version)
            }
            Self::SetPassword(SetPassword { id, password }) => {
                any(scope).map_err(|refused| Failure {
                    message: ASK_FOR_PRESENT.to_owned(),
                    ..refused
                })?;
                let password = Password::new(password)?;
                let user = find(directory, (by, scope), &id).await?;
                let kept = keep(directory, password, &user.username, user.email.as_ref()).await?;
                let changed = directory.set_password(by, at(&user), kept).await?;
                json(&user_shown(&changed), changed.version)
            }
            Self::Remove(Which { id }) => {
                any(scope)?;
                let user = find(directory, (by, scope), &id).await?;
                directory.remove_user(by, at(&user)).await?;
                json(&json!({ "id": user.id, "removed": true }), 0)
            }
            Self::EndLogin(EndLogin { id, login }) => {
                let user = find(directory, (by, scope), &id).await?;
                directory.end_login(by, &user, &login).await?;
                json(&json!({ "id": login, "ended": true }), 0)
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// The id of a user, or its name.
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The `cursor` of the page before.
    cursor: Option<Uuid>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    username: String,
    email: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    password: Option<String>,
}

/// What is left out stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    id: String,
    /// `null`: none.
    #[serde(default, deserialize_with = "said")]
    email: Option<Option<String>>,
    roles: Option<Vec<String>>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetPassword {
    id: String,
    password: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLogin {
    id: String,
    login: String,
}

impl Page {
    async fn answer(self, directory: &Directory, by: &Principal) -> Answer {
        let limit = self.limit.unwrap_or(OPERATION_PAGE_DEFAULT);
        let limit = limit.clamp(1, OPERATION_PAGE_MAX).min(PAGE_USERS_MAX);
        let users = directory.users(&by.tenant, self.cursor, limit).await;
        let users = users.map_err(|error| failure::store(&error))?;
        let last = users.last().filter(|_| users.len() == limit);
        let cursor = last.map(|user| user.id);
        let items: Vec<_> = users.iter().map(user_shown).collect();
        json(&json!({ "items": items, "cursor": cursor }), 0)
    }
}

impl Create {
    async fn checked(self, directory: &Directory) -> Result<NewUser, Failure> {
        let password = self.password.map(Password::new).transpose()?;
        let username = Username::new(&self.username)?;
        if Uuid::try_parse(username.as_str()).is_ok() {
            let message = "a username has not the form of an id, for users are named by either";
            return Err(Failure::field(ErrorCode::Invalid, "username", message));
        }
        let email = self.email.as_deref().map(Email::new).transpose()?;
        let password = match password {
            Some(password) => Some(keep(directory, password, &username, email.as_ref()).await?),
            None => None,
        };
        Ok(NewUser {
            username,
            email,
            roles: self.roles,
            password,
        })
    }
}

impl Set {
    /// That who may change itself alone changes nothing that others decide about.
    fn check(&self, scope: Scope) -> Result<(), Failure> {
        let field = match (scope, &self.roles, self.enabled) {
            (Scope::Any, _, _) | (Scope::Own, None, None) => return Ok(()),
            (Scope::Own, Some(_), _) => "roles",
            (Scope::Own, None, Some(_)) => "enabled",
        };
        let message = "nobody decides this about themselves; ask somebody who has user:write";
        Err(Failure::field(ErrorCode::PermissionDenied, field, message))
    }

    fn checked(self) -> Result<UserChange, Failure> {
        let email = match self.email {
            None => None,
            Some(None) => Some(None),
            Some(Some(text)) => Some(Some(Email::new(&text)?)),
        };
        let state = self.enabled.map(|enabled| match enabled {
            true => UserState::Enabled,
            false => UserState::Disabled,
        });
        Ok(UserChange {
            email,
            roles: self.roles,
            state,
        })
    }
}

// A derived one would print passwords.
impl std::fmt::Debug for Create {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Create(…)")
    }
}

impl std::fmt::Debug for SetPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SetPassword(…)")
    }
}

/// A member that is there, `null` or not.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

async fn keep(
    directory: &Directory,
    password: Password,
    username: &Username,
    email: Option<&Email>,
) -> Result<Kept, Failure> {
    let names = [username.as_str(), email.map_or("", Email::as_str)];
    directory.keep(password, &names).await
}

/// The user that somebody is, if it is one.
async fn itself(directory: &Directory, by: &Principal) -> Result<Option<User>, Failure> {
    let Some(id) = user_of(&by.name) else {
        return Ok(None);
    };
    let found = directory.user(&by.tenant, id).await;
    found.map_err(|error| failure::store(&error))
}

/// The user of an id or a name. To who may see itself alone, nobody else is there.
async fn find(
    directory: &Directory,
    (by, scope): (&Principal, Scope),
    id: &str,
) -> Result<User, Failure> {
    if scope == Scope::Own {
        let itself = itself(directory, by).await?;
        let is_named = |user: &User| {
            let by_name = Username::new(id).is_ok_and(|name| name == user.username);
            by_name || Uuid::try_parse(id).is_ok_and(|id| id == user.id)
        };
        return itself.filter(is_named).ok_or_else(no_such_user);
    }
    let found = match (Uuid::try_parse(id), Username::new(id)) {
        (Ok(id), _) => directory.user(&by.tenant, id).await,
        (Err(_), Ok(name)) => directory.user_named(&by.tenant, &name).await,
        (Err(_), Err(_)) => Ok(None),
    };
    let found = found.map_err(|error| failure::store(&error))?;
    found.ok_or_else(no_such_user)
}

pub(super) fn user_shown(user: &User) -> Value {
    json!({
        "id": user.id,
        "createdAt": time::format(user.created_ms),
        "updatedAt": time::format(user.updated_ms),
        "username": user.username.as_str(),
        "email": user.email.as_ref().map(Email::as_str),
        "roles": user.roles,
        "enabled": user.is_enabled(),
        "passwordChangedAt": user.password_changed_ms.map(time::format),
        "version": user.version,
    })
}

pub(super) fn login_shown(login: &LoginShown) -> Value {
    json!({
        "id": login.id,
        "client": login.client,
        "createdAt": time::format(login.created_ms),
        "usedAt": time::format(login.used_ms),
        "expiresAt": time::format(login.ends_ms),
        "endedAt": login.ended_ms.map(time::format),
        "reason": login.reason,
    })
}

/// A credential that was stolen does not make its holder the owner of what it is of.
const ASK_FOR_PRESENT: &str =
    "another password for oneself needs the present one: send both to POST /v1/password";

/// Users on one page: with the longest names, addresses and thirty-two roles each they fit into an answer.
const PAGE_USERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_may_set_is_refused_by_its_name() {
        for (name, body) in [
            ("user.create", r#"{"username":"a","id":"1"}"#),
            ("user.create", r#"{"username":"a","version":9}"#),
            ("user.create", r#"{"username":"a","tenant":"other"}"#),
            ("user.set", r#"{"id":"a","password":"x"}"#),
            ("user.set", r#"{"id":"a","username":"root"}"#),
            (
                "user.set",
                r#"{"id":"a","createdAt":"2020-01-01T00:00:00Z"}"#,
            ),
            (
                "user.set-password",
                r#"{"id":"a","password":"x","roles":["admin"]}"#,
            ),
        ] {
            let refused = Command::parse(name, body.as_bytes()).unwrap().unwrap_err();
            assert!(
                refused.message.contains("unknown field"),
                "{}",
                refused.message
            );
        }
    }

    #[test]
    fn what_is_left_out_is_not_what_is_none() {
        let set = |body: &str| match Command::parse("user.set", body.as_bytes()) {
            Some(Ok(Command::Set(set))) => set.checked().unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(set(r#"{"id":"a"}"#).email.is_none());
        assert_eq!(set(r#"{"id":"a","email":null}"#).email, Some(None));
    }

    #[test]
    fn no_password_is_printed() {
        let body = r#"{"username":"a","password":"vier Pferde kauen Heu"}"#;
        let command = Command::parse("user.create", body.as_bytes());
        assert!(!format!("{command:?}").contains("Pferde"));
        let body = r#"{"id":"a","password":"vier Pferde kauen Heu"}"#;
        let command = Command::parse("user.set-password", body.as_bytes());
        assert!(!format!("{command:?}").contains("Pferde"));
    }
}
