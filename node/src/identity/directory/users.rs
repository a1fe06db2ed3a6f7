//! The users of a tenant: read, listed, made, changed and removed.
//!
//! Who calls has been authorised to. What is checked here is what only the rows can say: that nobody makes, changes or
//! becomes somebody who may more than they do.

use std::ops::Bound;

use selvedge_cluster::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use selvedge_cluster::store::record::{self, Record};
use selvedge_cluster::store::{self, Isolation, Transaction};
use selvedge_protocol::limits::{PRINCIPAL_ROLES_MAX, USERS_TENANT_MAX};
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::Principal;
use crate::identity::directory::roles::{check_name, may_grant, present};
use crate::identity::directory::user::{NewUser, User, UserChange, Username};
use crate::identity::directory::{Change, Directory, check_version, invalid};
use crate::identity::password::Kept;
use crate::notice::Notice;

/// Which user is to be changed, and which version of it.
#[derive(Debug, Clone)]
pub struct UserAt {
    pub id: Uuid,
    /// `None`: whatever it is.
    pub version: Option<u64>,
}

/// What is done to one.
#[derive(Debug, Clone)]
enum Deed {
    Change(UserChange),
    SetPassword(Kept),
    Remove,
}

/// What comes of deciding: of refusals nothing is written.
type Decision<T> = Result<Result<T, Failure>, store::Error>;

impl Directory {
    /// A user of a tenant.
    pub async fn user(&self, tenant: &Tenant, id: Uuid) -> Result<Option<User>, store::Error> {
        read(&mut *self.store().begin(), tenant, id, Isolation::Snapshot).await
    }

    /// The user of a name.
    pub async fn user_named(
        &self,
        tenant: &Tenant,
        name: &Username,
    ) -> Result<Option<User>, store::Error> {
        let mut transaction = self.store().begin();
        let key = name_key(tenant, name);
        let Some(id) = transaction.get(&key, Isolation::Snapshot).await? else {
            return Ok(None);
        };
        let id = record::decode::<Named>(&key, &id)?.0;
        read(&mut *transaction, tenant, id, Isolation::Snapshot).await
    }

    /// Users in the order in which they were made, after one of them.
    pub async fn users(
        &self,
        tenant: &Tenant,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<User>, store::Error> {
        let all = KeyRange::of_tenant(TenantFamily::User, tenant);
        let mut range = all.read(limit, Isolation::Snapshot);
        if let Some(after) = after {
            range.begin = Bound::Excluded(user_key(tenant, after).into());
        }
        let rows = self.store().begin().range(range).await?;
        let users = rows.iter().map(|(key, row)| record::decode(key, row));
        users.collect()
    }

    /// Makes a user in the tenant of who does it.
    pub async fn create_user(&self, by: &Principal, new: NewUser) -> Result<User, Failure> {
        let now_ms = self.clock().wall_ms();
        let id = self.new_id(now_ms);
        let made = store::run_repeatable(self.store(), self.clock(), |mut transaction| {
            let user = User::new(id, new.clone(), now_ms);
            async move {
                let made = create(&mut *transaction, by, user).await?;
                Ok((transaction, made))
            }
        });
        let (made, _) = made.await.map_err(|error| failure::store(&error))?;
        made
    }

    /// Changes a user, and answers what it is now.
    pub async fn change_user(
        &self,
        by: &Principal,
        at: UserAt,
        change: UserChange,
    ) -> Result<User, Failure> {
        self.do_to_user(by, at, Deed::Change(change)).await
    }

    /// Gives a user another password; its logins end.
    pub async fn set_password(
        &self,
        by: &Principal,
        at: UserAt,
        password: Kept,
    ) -> Result<User, Failure> {
        self.do_to_user(by, at, Deed::SetPassword(password)).await
    }

    /// Removes a user with all that it has.
    pub async fn remove_user(&self, by: &Principal, at: UserAt) -> Result<(), Failure> {
        self.do_to_user(by, at, Deed::Remove).await.map(drop)
    }

    async fn do_to_user(&self, by: &Principal, at: UserAt, deed: Deed) -> Result<User, Failure> {
        let now_ms = self.clock().wall_ms();
        let done = store::run(self.store(), self.clock(), |mut transaction| {
            let (at, deed) = (at.clone(), deed.clone());
            async move {
                let done = act(&mut *transaction, by, &at, deed, now_ms).await?;
                Ok((transaction, done))
            }
        });
        let (done, _) = done.await.map_err(|error| failure::store(&error))?;
        done
    }
}

async fn create(transaction: &mut dyn Transaction, by: &Principal, user: User) -> Decision<User> {
    let tenant = &by.tenant;
    if let Err(refused) = may_give(transaction, by, &user.roles).await? {
        return Ok(Err(refused));
    }
    let key = name_key(tenant, &user.username);
    if let Some(taken) = transaction.get(&key, Isolation::Serializable).await? {
        if record::decode::<Named>(&key, &taken)?.0 == user.id {
            // The commit before this one happened, and nobody heard of it.
            return Ok(Ok(user));
        }
        let name = user.username.as_str();
        let message = format!("there is a user {name} already; take another name");
        return Ok(Err(Failure::field(
            ErrorCode::Conflict,
            "username",
            message,
        )));
    }
    // Who makes many at once may get some more than these.
    let all = KeyRange::of_tenant(TenantFamily::Username, tenant);
    let counted = transaction.range(all.read(USERS_TENANT_MAX, Isolation::Snapshot));
    if counted.await?.len() >= USERS_TENANT_MAX {
        let message = format!("a tenant has up to {USERS_TENANT_MAX} users; remove some");
        return Ok(Err(Failure::new(ErrorCode::LimitExceeded, message)));
    }
    transaction.set(&key, &record::encode(&Named(user.id)));
    write(transaction, tenant, &user);
    let detail = json!({ "id": user.id, "roles": user.roles });
    leave(
        transaction,
        by,
        "user.create",
        &user,
        detail,
        user.created_ms,
    )
    .await?;
    Ok(Ok(user))
}

async fn act(
    transaction: &mut dyn Transaction,
    by: &Principal,
    at: &UserAt,
    deed: Deed,
    now_ms: u64,
) -> Decision<User> {
    let tenant = &by.tenant;
    let Some(before) = read(transaction, tenant, at.id, Isolation::Serializable).await? else {
        return Ok(Err(unknown()));
    };
    if let Err(refused) = check_version(at.version, before.version) {
        return Ok(Err(refused));
    }
    if let Err(refused) = may_touch(transaction, by, &before).await? {
        return Ok(Err(refused));
    }
    let mut user = before.clone();
    let (action, detail) = match deed {
        Deed::Change(change) => {
            if let Some(roles) = &change.roles
                && let Err(refused) = may_give(transaction, by, roles).await?
            {
                return Ok(Err(refused));
            }
            if !user.change(change, now_ms) {
                return Ok(Ok(user));
            }
            write(transaction, tenant, &user);
            let detail = json!({ "id": user.id, "before": told(&before), "after": told(&user) });
            ("user.change", detail)
        }
        Deed::SetPassword(password) => {
            user.set_password(password, now_ms);
            write(transaction, tenant, &user);
            ("user.set-password", json!({ "id": user.id }))
        }
        Deed::Remove => {
            transaction.clear(&user_key(tenant, user.id));
            transaction.clear(&name_key(tenant, &user.username));
            let families = KeyRange::token_families(tenant, &user.id.to_string());
            transaction.clear_range(&families.begin, &families.end);
            (
                "user.remove",
                json!({ "id": user.id, "before": told(&before) }),
            )
        }
    };
    leave(transaction, by, action, &user, detail, now_ms).await?;
    Ok(Ok(user))
}

/// What the audit trail has of a user. Addresses of mail are the person's own and not repeated there.
fn told(user: &User) -> Value {
    json!({ "roles": user.roles, "enabled": user.is_enabled() })
}

async fn leave(
    transaction: &mut dyn Transaction,
    by: &Principal,
    action: &'static str,
    user: &User,
    detail: Value,
    now_ms: u64,
) -> Result<(), store::Error> {
    let change = Change {
        tenant: &by.tenant,
        principal: &by.name,
        action,
        target: user.username.as_str(),
        detail,
        notice: Some(Notice::User {
            tenant: by.tenant.clone(),
            id: user.id.to_string(),
        }),
    };
    change.leave(transaction, now_ms).await
}

pub(in crate::identity) async fn read(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    id: Uuid,
    isolation: Isolation,
) -> Result<Option<User>, store::Error> {
    let key = user_key(tenant, id);
    let stored = transaction.get(&key, isolation).await?;
    stored.map(|row| record::decode(&key, &row)).transpose()
}

pub(in crate::identity) fn write(transaction: &mut dyn Transaction, tenant: &Tenant, user: &User) {
    transaction.set(&user_key(tenant, user.id), &record::encode(user));
}

/// Those of another tenant are not there, as if they were nowhere.
pub(crate) fn unknown() -> Failure {
    Failure::field(ErrorCode::NotFound, "id", "there is no such user")
}

fn user_key(tenant: &Tenant, id: Uuid) -> Vec<u8> {
    let (tenant, id) = (tenant.clone(), id.to_string());
    Key::from(AdminKey::User { tenant, id }).encode()
}

fn name_key(tenant: &Tenant, name: &Username) -> Vec<u8> {
    let (tenant, name) = (tenant.clone(), name.as_str().to_owned());
    Key::from(AdminKey::Username { tenant, name }).encode()
}

/// Whether somebody may make others of these roles: there are such, and they give nothing that they have not themselves.
async fn may_give(
    transaction: &mut dyn Transaction,
    by: &Principal,
    names: &[String],
) -> Result<Result<(), Failure>, store::Error> {
    if names.len() > PRINCIPAL_ROLES_MAX {
        let message = format!("a user has up to {PRINCIPAL_ROLES_MAX} roles");
        return Ok(Err(invalid("roles", message)));
    }
    if let Some(wrong) = names.iter().find_map(|name| check_name(name).err()) {
        return Ok(Err(invalid("roles", wrong.message)));
    }
    let roles = present(transaction, &by.tenant, names).await?;
    let missing = names
        .iter()
        .find(|name| !roles.iter().any(|role| role.name() == *name));
    Ok(match missing {
        Some(name) => Err(invalid("roles", format!("there is no role {name}"))),
        None => may_grant(by, &roles, "roles"),
    })
}

/// Whether somebody may change, take over by a password, or remove this user: it may nothing that they may not.
async fn may_touch(
    transaction: &mut dyn Transaction,
    by: &Principal,
    user: &User,
) -> Result<Result<(), Failure>, store::Error> {
    let roles = present(transaction, &by.tenant, &user.roles).await?;
    Ok(may_grant(by, &roles, "id"))
}

/// Whose a username is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Named(Uuid);

impl Record for Named {
    const FORMAT: u8 = 1;
}

#[cfg(test)]
mod tests;
