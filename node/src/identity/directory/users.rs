//! The users of a tenant: read, listed, made, changed and removed.
//!
//! Who calls has been authorised to. What is checked here is what only the rows can say: that nobody makes, changes or
//! becomes somebody who may more than they do.

use std::ops::Bound;

use selvedge_cluster::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use selvedge_cluster::store::record;
use selvedge_cluster::store::{self, Isolation, Transaction};
use selvedge_protocol::limits::{PRINCIPAL_ROLES_MAX, USERS_TENANT_MAX};
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::Principal;
use crate::identity::directory::roles::{check_name, may_grant, present};
use crate::identity::directory::seal::scoped;
use crate::identity::directory::user::{
    NewUser, USER_PREFIX, User, UserChange, Username, principal_of, user_of,
};
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
pub(super) type Decision<T> = Result<Result<T, Failure>, store::Error>;

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
        let found = self
            .names()
            .find(&mut *transaction, tenant, name, Isolation::Snapshot);
        let Some(id) = found.await? else {
            return Ok(None);
        };
        read(&mut *transaction, tenant, id, Isolation::Snapshot).await
    }

    /// The name of a principal as it is everywhere: of a user that somebody names by its username, with the id in that
    /// one's place. `None`: there is no such user.
    pub async fn principal_named(
        &self,
        tenant: &Tenant,
        principal: &str,
    ) -> Result<Option<String>, store::Error> {
        let Some(name) = principal.strip_prefix(USER_PREFIX) else {
            return Ok(Some(principal.to_owned()));
        };
        match (Uuid::try_parse(name), Username::new(name)) {
            // Of one that is not there any more as well: what is about it may be looked for.
            (Ok(id), _) => Ok(Some(principal_of(id))),
            (Err(_), Ok(name)) => {
                let user = self.user_named(tenant, &name).await?;
                Ok(user.map(|user| user.principal()))
            }
            (Err(_), Err(_)) => Ok(None),
        }
    }

    /// The user that the name of a principal names, by its id or its username.
    pub(super) async fn id_of_principal(
        &self,
        tenant: &Tenant,
        principal: &str,
    ) -> Result<Option<Uuid>, store::Error> {
        let named = self.principal_named(tenant, principal).await?;
        Ok(named.as_deref().and_then(user_of))
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
                let made = self.create(&mut *transaction, by, user).await?;
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
        let of = scoped(&by.tenant, at.id);
        let removed = self.do_to_user(by, at, Deed::Remove).await;
        if let Some(keys) = self.store().subject_keys() {
            keys.forget(&of);
        }
        removed.map(drop)
    }

    async fn do_to_user(&self, by: &Principal, at: UserAt, deed: Deed) -> Result<User, Failure> {
        let now_ms = self.clock().wall_ms();
        let done = store::run(self.store(), self.clock(), |mut transaction| {
            let (at, deed) = (at.clone(), deed.clone());
            async move {
                let done = self.act(&mut *transaction, by, &at, deed, now_ms).await?;
                Ok((transaction, done))
            }
        });
        let (done, _) = done.await.map_err(|error| failure::store(&error))?;
        done
    }
}

impl Directory {
    async fn create(
        &self,
        transaction: &mut dyn Transaction,
        by: &Principal,
        user: User,
    ) -> Decision<User> {
        let tenant = &by.tenant;
        if let Err(refused) = may_give(transaction, by, &user.roles).await? {
            return Ok(Err(refused));
        }
        let serializable = Isolation::Serializable;
        let named = self
            .names()
            .find(transaction, tenant, &user.username, serializable);
        match named.await? {
            // The commit before this one happened, and nobody heard of it.
            Some(id) if id == user.id => return Ok(Ok(user)),
            // A restored backup may have the name of somebody who was erased since.
            Some(id) if read(transaction, tenant, id, serializable).await?.is_some() => {
                let name = user.username.as_str();
                let message = format!("there is a user {name} already; take another name");
                let taken = Failure::field(ErrorCode::Conflict, "username", message);
                return Ok(Err(taken));
            }
            Some(_) | None => {}
        }
        // Who makes many at once may get some more than these. Names are counted: they are small, and never sealed.
        let mut count = 0;
        for family in [TenantFamily::UserByName, TenantFamily::Username] {
            let all = KeyRange::of_tenant(family, tenant);
            let counted = transaction.range(all.read(USERS_TENANT_MAX, Isolation::Snapshot));
            count += counted.await?.len();
        }
        if count >= USERS_TENANT_MAX {
            let message = format!("a tenant has up to {USERS_TENANT_MAX} users; remove some");
            return Ok(Err(Failure::new(ErrorCode::LimitExceeded, message)));
        }
        self.write_user(transaction, tenant, &user).await?;
        let detail = json!({ "id": user.id, "roles": user.roles });
        let now_ms = user.created_ms;
        leave(transaction, by, "user.create", &user, detail, now_ms).await?;
        Ok(Ok(user))
    }

    async fn act(
        &self,
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
                self.write_user(transaction, tenant, &user).await?;
                let detail =
                    json!({ "id": user.id, "before": told(&before), "after": told(&user) });
                ("user.change", detail)
            }
            Deed::SetPassword(password) => {
                user.set_password(password, now_ms);
                self.write_user(transaction, tenant, &user).await?;
                ("user.set-password", json!({ "id": user.id }))
            }
            Deed::Remove => {
                self.clear_user(transaction, tenant, (user.id, Some(&user)))
                    .await?;
                self.destroy_if_alone(transaction, by, user.id, now_ms)
                    .await?;
                let detail = json!({ "id": user.id, "before": told(&before) });
                ("user.remove", detail)
            }
        };
        leave(transaction, by, action, &user, detail, now_ms).await?;
        Ok(Ok(user))
    }
}

/// What the audit trail has of a user. Addresses of mail are the person's own and not repeated there.
fn told(user: &User) -> Value {
    json!({ "roles": user.roles, "enabled": user.is_enabled() })
}

pub(super) async fn leave(
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
        target: &user.id.to_string(),
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

/// Those of another tenant are not there, as if they were nowhere.
pub(crate) fn unknown() -> Failure {
    Failure::field(ErrorCode::NotFound, "id", "there is no such user")
}

pub(super) fn user_key(tenant: &Tenant, id: Uuid) -> Vec<u8> {
    let (tenant, id) = (tenant.clone(), id.to_string());
    Key::from(AdminKey::User { tenant, id }).encode()
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
pub(super) async fn may_touch(
    transaction: &mut dyn Transaction,
    by: &Principal,
    user: &User,
) -> Result<Result<(), Failure>, store::Error> {
    let roles = present(transaction, &by.tenant, &user.roles).await?;
    Ok(may_grant(by, &roles, "id"))
}

#[cfg(test)]
mod tests;
