//! The roles that tenants make: which there are, and who may make which.
//!
//! Nobody gives what they do not have: whoever makes, changes or removes a role may do all that it gives, before and
//! after. A name that principals have and that is no role gives nothing, until somebody makes one.

use selvedge_cluster::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use selvedge_cluster::store::record::{self, Record};
use selvedge_cluster::store::{self, Isolation, Transaction};
use selvedge_protocol::limits::{ROLE_NAME_BYTES_MAX, ROLE_RULES_MAX, ROLES_MAX};
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gateway::failure;
use crate::identity::directory::{Change, Directory, check_version, invalid};
use crate::identity::role::{BUILT_IN, Role, Rule};
use crate::identity::{Principal, RuleError};
use crate::notice::Notice;

/// A role, and since when it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRole {
    pub name: String,
    /// In text: those that this binary does not know give nothing.
    pub rules: Vec<String>,
    /// `None`: it is built in.
    pub made: Option<Made>,
}

/// When a role was made and changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    pub created_ms: u64,
    pub updated_ms: u64,
    /// From 1, raised by one with each change.
    pub version: u64,
}

/// A role to be written.
#[derive(Debug, Clone)]
pub struct RoleWrite {
    pub name: String,
    pub rules: Vec<String>,
    /// The version that it must have; 0: there is none.
    pub if_version: Option<u64>,
}

/// The row of a role; its name is in its key.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct RoleRecord {
    rules: Vec<String>,
    created_ms: u64,
    updated_ms: u64,
    version: u64,
}

impl Record for RoleRecord {
    const FORMAT: u8 = 1;
}

impl Directory {
    /// The roles of a tenant, those that are built in first, then by name.
    pub async fn roles(&self, tenant: &Tenant) -> Result<Vec<StoredRole>, Failure> {
        let range = KeyRange::of_tenant(TenantFamily::Role, tenant);
        let read = range.read(ROLES_MAX, Isolation::Snapshot);
        let rows = self.store().begin().range(read).await;
        let rows = rows.map_err(|error| failure::store(&error))?;
        let mut roles: Vec<_> = BUILT_IN.iter().map(StoredRole::built_in).collect();
        for (key, value) in rows {
            let made = name_in(&key).and_then(|name| Ok((name, record::decode(&key, &value)?)));
            let (name, made) = made.map_err(|error| failure::store(&error))?;
            roles.push(StoredRole::made(name, made));
        }
        Ok(roles)
    }

    /// A role, if there is one of this name.
    pub async fn role(&self, tenant: &Tenant, name: &str) -> Result<Option<StoredRole>, Failure> {
        if let Some(role) = built_in(name) {
            return Ok(Some(StoredRole::built_in(role)));
        }
        let mut transaction = self.store().begin();
        let found = read(&mut *transaction, tenant, name, Isolation::Snapshot).await;
        let found = found.map_err(|error| failure::store(&error))?;
        Ok(found.map(|found| StoredRole::made(name.to_owned(), found)))
    }

    /// Makes a role or gives it other rules.
    pub async fn set_role(&self, by: &Principal, write: RoleWrite) -> Result<StoredRole, Failure> {
        let role = role_of(&write.name, &write.rules)?;
        may_grant(by, std::slice::from_ref(&role), "rules")?;
        let now_ms = self.clock().wall_ms();
        self.transact(|mut transaction| {
            let write = &write;
            async move {
                let before = {
                    let transaction = &mut *transaction;
                    read(
                        transaction,
                        &by.tenant,
                        &write.name,
                        Isolation::Serializable,
                    )
                    .await?
                };
                if let Err(refused) = may_change(by, write, before.as_ref()) {
                    return Ok((transaction, Err(refused)));
                }
                if before.is_none() && is_full(&mut *transaction, &by.tenant).await? {
                    return Ok((transaction, Err(full())));
                }
                let after = RoleRecord {
                    rules: write.rules.clone(),
                    created_ms: before.as_ref().map_or(now_ms, |it| it.created_ms),
                    updated_ms: now_ms,
                    version: before.as_ref().map_or(0, |it| it.version) + 1,
                };
                let key = role_key(&by.tenant, &write.name);
                transaction.set(&key, &record::encode(&after));
                let before = before.map(|it| it.rules);
                let detail = json!({ "before": before, "after": after.rules });
                change(by, "role.set", &write.name, detail)
                    .leave(&mut *transaction, now_ms)
                    .await?;
                Ok((transaction, Ok(StoredRole::made(write.name.clone(), after))))
            }
        })
        .await
    }

    /// Removes a role; who has it has less from then on.
    pub async fn remove_role(
        &self,
        by: &Principal,
        name: &str,
        if_version: Option<u64>,
    ) -> Result<(), Failure> {
        if built_in(name).is_some() {
            return Err(reserved(name));
        }
        let now_ms = self.clock().wall_ms();
        self.transact(|mut transaction| async move {
            let before = {
                let transaction = &mut *transaction;
                read(transaction, &by.tenant, name, Isolation::Serializable).await?
            };
            let Some(before) = before else {
                return Ok((transaction, Err(unknown(name))));
            };
            let allowed = check_version(if_version, before.version)
                .and_then(|()| may_grant(by, &[as_role(name, &before.rules)], "name"));
            if let Err(refused) = allowed {
                return Ok((transaction, Err(refused)));
            }
            transaction.clear(&role_key(&by.tenant, name));
            let detail = json!({ "before": before.rules });
            change(by, "role.remove", name, detail)
                .leave(&mut *transaction, now_ms)
                .await?;
            Ok((transaction, Ok(())))
        })
        .await
    }
}

impl StoredRole {
    fn built_in(role: &Role) -> Self {
        Self {
            name: role.name().to_owned(),
            rules: role.rules().iter().map(ToString::to_string).collect(),
            made: None,
        }
    }

    fn made(name: String, record: RoleRecord) -> Self {
        let RoleRecord {
            rules,
            created_ms,
            updated_ms,
            version,
        } = record;
        Self {
            name,
            rules,
            made: Some(Made {
                created_ms,
                updated_ms,
                version,
            }),
        }
    }
}

/// Those of these names that there are at present.
pub(in crate::identity) async fn present(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    names: &[String],
) -> Result<Vec<Role>, store::Error> {
    let mut roles = Vec::with_capacity(names.len());
    for name in names {
        if let Some(role) = built_in(name) {
            roles.push(role.clone());
        } else if let Some(found) = read(transaction, tenant, name, Isolation::Serializable).await?
        {
            roles.push(as_role(name, &found.rules));
        }
    }
    Ok(roles)
}

/// Whether a tenant may make a role of this name: others are always as they are.
pub(in crate::identity) fn is_made(name: &str) -> bool {
    built_in(name).is_none()
}

/// That somebody may do itself whatever these roles give.
pub(in crate::identity) fn may_grant(
    by: &Principal,
    roles: &[Role],
    field: &str,
) -> Result<(), Failure> {
    match by.covers(roles) {
        true => Ok(()),
        false => Err(Failure::field(
            ErrorCode::PermissionDenied,
            field,
            "nobody gives or takes what they do not have themselves; ask somebody who has all of it",
        )),
    }
}

fn may_change(
    by: &Principal,
    write: &RoleWrite,
    before: Option<&RoleRecord>,
) -> Result<(), Failure> {
    check_version(write.if_version, before.map_or(0, |it| it.version))?;
    match before {
        Some(before) => may_grant(by, &[as_role(&write.name, &before.rules)], "name"),
        None => Ok(()),
    }
}

/// A role that somebody wants to make.
fn role_of(name: &str, rules: &[String]) -> Result<Role, Failure> {
    if built_in(name).is_some() {
        return Err(reserved(name));
    }
    check_name(name)?;
    if rules.len() > ROLE_RULES_MAX {
        let message = format!("a role has up to {ROLE_RULES_MAX} rules");
        return Err(invalid("rules", message));
    }
    let parsed = rules.iter().enumerate().map(|(at, text)| {
        let wrong = |error: RuleError| invalid(&format!("rules[{at}]"), error.to_string());
        text.parse::<Rule>().map_err(wrong)
    });
    Ok(Role::new(name, parsed.collect::<Result<_, _>>()?))
}

/// A role that is stored. What this binary does not know, a newer one wrote: it gives nothing here.
fn as_role(name: &str, rules: &[String]) -> Role {
    let known = rules.iter().filter_map(|text| text.parse().ok());
    Role::new(name, known.collect())
}

fn built_in(name: &str) -> Option<&'static Role> {
    BUILT_IN.iter().find(|role| role.name() == name)
}

/// That a text can be the name of a role.
pub(in crate::identity) fn check_name(name: &str) -> Result<(), Failure> {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    let is_first = name
        .bytes()
        .next()
        .is_some_and(|it| it.is_ascii_lowercase());
    match is_first && name.bytes().all(is_inner) && name.len() <= ROLE_NAME_BYTES_MAX {
        true => Ok(()),
        false => Err(invalid(
            "name",
            format!(
                "the name of a role is [a-z][a-z0-9_.-]*, up to {ROLE_NAME_BYTES_MAX} characters"
            ),
        )),
    }
}

async fn read(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    name: &str,
    isolation: Isolation,
) -> Result<Option<RoleRecord>, store::Error> {
    let key = role_key(tenant, name);
    let value = transaction.get(&key, isolation).await?;
    value.map(|value| record::decode(&key, &value)).transpose()
}

async fn is_full(transaction: &mut dyn Transaction, tenant: &Tenant) -> Result<bool, store::Error> {
    let range = KeyRange::of_tenant(TenantFamily::Role, tenant);
    let rows = transaction.range(range.read(ROLES_MAX, Isolation::Serializable));
    Ok(rows.await?.len() >= ROLES_MAX)
}

fn change<'a>(by: &'a Principal, action: &'static str, name: &'a str, detail: Value) -> Change<'a> {
    Change {
        tenant: &by.tenant,
        principal: &by.name,
        action,
        target: name,
        detail,
        notice: Some(Notice::Role {
            tenant: by.tenant.clone(),
            name: name.to_owned(),
        }),
    }
}

fn full() -> Failure {
    let message = format!("a tenant has up to {ROLES_MAX} roles of its own; remove one first");
    Failure::new(ErrorCode::Conflict, message)
}

fn reserved(name: &str) -> Failure {
    invalid(
        "name",
        format!("the role {name} is built in and stays as it is; make one of another name"),
    )
}

pub(crate) fn unknown(name: &str) -> Failure {
    // What is no name is not repeated.
    let message = match check_name(name) {
        Ok(()) => format!("there is no role {name}"),
        Err(_) => "there is no such role".to_owned(),
    };
    Failure::field(ErrorCode::NotFound, "name", message)
}

fn role_key(tenant: &Tenant, name: &str) -> Vec<u8> {
    let tenant = tenant.clone();
    let name = name.to_owned();
    Key::from(AdminKey::Role { tenant, name }).encode()
}

fn name_in(key: &[u8]) -> Result<String, store::Error> {
    let wrong = |reason: String| store::Error::Record {
        key: key.escape_ascii().to_string(),
        reason,
    };
    match Key::decode(key) {
        Ok(Key::Admin(AdminKey::Role { name, .. })) => Ok(name),
        Ok(_) => Err(wrong("it is not the key of a role".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

#[cfg(test)]
pub(super) mod golden {
    use super::RoleRecord;

    pub(in crate::identity::directory) fn sample()
    -> impl selvedge_cluster::store::record::Record + PartialEq + std::fmt::Debug {
        RoleRecord {
            rules: vec!["operation:read".to_owned(), "session:write:own".to_owned()],
            created_ms: 1_700_000_000_000,
            updated_ms: 1_700_000_000_001,
            version: 2,
        }
    }
}
