//! How users are stored: sealed under the key of the subject that each is, where the store has such keys, and in the
//! clear elsewhere. Called by all that writes a user; reading needs nothing, for the store unseals.

use selvedge_cluster::privacy::ScopedSubject;
use selvedge_cluster::store::keys::{KeyRange, TenantFamily};
use selvedge_cluster::store::{self, Isolation, Transaction, record};
use selvedge_protocol::limits::REWRAP_PAGE_MAX;
use selvedge_protocol::{Failure, SubjectId, Tenant};
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::directory::Directory;
use crate::identity::directory::names::id_in;
use crate::identity::directory::user::{User, subject_of};
use crate::identity::directory::users::{read, user_key};

/// What was done to users of an earlier version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedUsers {
    pub(crate) sealed: usize,
    /// The last one, where there may be more.
    pub(crate) more: Option<SubjectId>,
}

impl Directory {
    /// Writes a user as it is now.
    pub(in crate::identity) async fn write_user(
        &self,
        transaction: &mut dyn Transaction,
        tenant: &Tenant,
        user: &User,
    ) -> Result<(), store::Error> {
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

    /// The same, and the row that it is found by.
    pub(super) async fn write_named_user(
        &self,
        transaction: &mut dyn Transaction,
        tenant: &Tenant,
        user: &User,
    ) -> Result<(), store::Error> {
        self.names()
            .set(transaction, tenant, (&user.username, user.id))
            .await?;
        self.write_user(transaction, tenant, user).await
    }

    /// Seals some of the users that an earlier version has stored, and hides their names. Those are the ones that are
    /// still found by a name in the clear.
    pub(crate) async fn seal_users(&self, tenant: &Tenant) -> Result<SealedUsers, Failure> {
        let clear = KeyRange::of_tenant(TenantFamily::Username, tenant);
        let page = clear.read(REWRAP_PAGE_MAX, Isolation::Snapshot);
        let rows = self.store().begin().range(page).await;
        let rows = rows.map_err(|error| failure::store(&error))?;
        let mut last = None;
        for (key, row) in &rows {
            let id = id_in(key, row).map_err(|error| failure::store(&error))?;
            self.transact(|mut transaction| async move {
                // Gone with a user that is not there any more, or set anew with one that is.
                transaction.clear(key);
                let user = read(&mut *transaction, tenant, id, Isolation::Serializable).await?;
                if let Some(user) = &user {
                    self.write_named_user(&mut *transaction, tenant, user)
                        .await?;
                }
                Ok((transaction, Ok(())))
            })
            .await?;
            last = Some(subject_of(id));
        }
        Ok(SealedUsers {
            sealed: rows.len(),
            more: last.filter(|_| rows.len() == REWRAP_PAGE_MAX),
        })
    }
}

/// The subject that a user of a tenant is.
pub(super) fn scoped(tenant: &Tenant, id: Uuid) -> ScopedSubject {
    ScopedSubject {
        tenant: tenant.clone(),
        subject: subject_of(id),
    }
}
