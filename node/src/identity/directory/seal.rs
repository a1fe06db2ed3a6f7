//! How users are stored: sealed under the key of the subject that each is, where the store has such keys, and in the
//! clear elsewhere. Called by all that writes a user; reading needs nothing, for the store unseals.

use std::ops::Bound;

use selvedge_cluster::privacy::ScopedSubject;
use selvedge_cluster::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use selvedge_cluster::store::{self, Isolation, Transaction, record};
use selvedge_protocol::limits::REWRAP_PAGE_MAX;
use selvedge_protocol::{Failure, Tenant};
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::directory::Directory;
use crate::identity::directory::user::{User, subject_of};
use crate::identity::directory::users::{read, user_key};

/// What was done to users that were in the clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SealedUsers {
    pub(crate) sealed: usize,
    /// After whom to go on; `None`: there are no more.
    pub(crate) next: Option<Uuid>,
}

impl Directory {
    /// Writes a user as it is now, and the row that it is found by.
    pub(in crate::identity) async fn write_user(
        &self,
        transaction: &mut dyn Transaction,
        tenant: &Tenant,
        user: &User,
    ) -> Result<(), store::Error> {
        self.names()
            .set(transaction, tenant, (&user.username, user.id))
            .await?;
        let (row, value) = (user_key(tenant, user.id), record::encode(user));
        let value = match self.store().subject_keys() {
            None => value,
            Some(keys) => {
                let (of, now_ms) = (scoped(tenant, user.id), self.clock().wall_ms());
                keys.seal(transaction, &of, (&row, &value), now_ms).await?
            }
        };
        transaction.set(&row, &value);
        Ok(())
    }

    /// Seals those of some users, after one, that are in the clear: stored by an earlier version, or when there was no key.
    pub(crate) async fn seal_users(
        &self,
        tenant: &Tenant,
        after: Option<Uuid>,
    ) -> Result<SealedUsers, Failure> {
        let failed = |error: store::Error| failure::store(&error);
        let Some(keys) = self.store().subject_keys() else {
            return Ok(SealedUsers::default());
        };
        let all = KeyRange::of_tenant(TenantFamily::User, tenant);
        let mut range = all.read(REWRAP_PAGE_MAX, Isolation::Snapshot);
        if let Some(after) = after {
            range.begin = Bound::Excluded(user_key(tenant, after).into());
        }
        let (clear, last) = keys.in_the_clear(range).await.map_err(failed)?;
        for key in &clear {
            let id = id_in(key).map_err(failed)?;
            self.transact(|mut transaction| async move {
                let user = read(&mut *transaction, tenant, id, Isolation::Serializable).await?;
                if let Some(user) = &user {
                    self.write_user(&mut *transaction, tenant, user).await?;
                }
                Ok((transaction, Ok(())))
            })
            .await?;
        }
        Ok(SealedUsers {
            sealed: clear.len(),
            next: last.as_deref().map(id_in).transpose().map_err(failed)?,
        })
    }
}

/// The user that a row is of.
fn id_in(key: &[u8]) -> Result<Uuid, store::Error> {
    let id = match Key::decode(key) {
        Ok(Key::Admin(AdminKey::User { id, .. })) => Uuid::try_parse(&id).ok(),
        Ok(_) | Err(_) => None,
    };
    id.ok_or_else(|| store::Error::Record {
        key: key.escape_ascii().to_string(),
        reason: "it is not the key of a user".to_owned(),
    })
}

/// The subject that a user of a tenant is.
pub(super) fn scoped(tenant: &Tenant, id: Uuid) -> ScopedSubject {
    ScopedSubject {
        tenant: tenant.clone(),
        subject: subject_of(id),
    }
}
