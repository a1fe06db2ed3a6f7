//! The end of a user: what goes with it, whether it is removed or erased as the subject that it is. Called by whoever
//! does either, which has been authorised to.

use selvedge_cluster::privacy::{Erased, Erasure, destroy, note};
use selvedge_cluster::store::keys::{KeyRange, TenantFamily};
use selvedge_cluster::store::record;
use selvedge_cluster::store::{self, Isolation, Transaction};
use selvedge_protocol::limits::API_KEYS_MAX;
use selvedge_protocol::{Failure, Tenant};
use serde_json::json;
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::directory::Directory;
use crate::identity::directory::api_keys::KeyRecord;
use crate::identity::directory::seal::scoped;
use crate::identity::directory::user::{User, principal_of};
use crate::identity::directory::users::{Decision, leave, may_touch, read, user_key};
use crate::identity::{ApiKey, Principal, Scope};
use crate::notice::Notice;

impl Directory {
    /// Erases a user as the subject that it is: the key of the subject is destroyed, and the user, its logins, its API
    /// keys and the row of its name are gone, in one commit. A repeat clears what a restored backup has brought back.
    ///
    /// # Errors
    /// Of somebody who may not do it to this user; and those of the store.
    pub(crate) async fn erase_user(&self, by: &Principal, id: Uuid) -> Result<Erased, Failure> {
        let of = scoped(&by.tenant, id);
        let notice = Notice::Subject {
            tenant: of.tenant.clone(),
            subject: of.subject.clone(),
        };
        let erasure = Erasure {
            of: &of,
            principal: &by.name,
            notice: &record::encode(&notice),
        };
        let now_ms = self.clock().wall_ms();
        let done =
            store::run_repeatable(self.store(), self.clock(), |mut transaction| async move {
                let erased = self
                    .erase(&mut *transaction, by, (id, erasure), now_ms)
                    .await?;
                Ok((transaction, erased))
            });
        let (erased, _) = done.await.map_err(|error| failure::store(&error))?;
        if let Some(keys) = self.store().subject_keys() {
            keys.forget(&of);
        }
        erased
    }

    async fn erase(
        &self,
        transaction: &mut dyn Transaction,
        by: &Principal,
        (id, erasure): (Uuid, Erasure<'_>),
        now_ms: u64,
    ) -> Decision<Erased> {
        let user = read(transaction, &by.tenant, id, Isolation::Serializable).await?;
        if let Some(user) = &user {
            if let Err(refused) = may_touch(transaction, by, user).await? {
                return Ok(Err(refused));
            }
            let detail = json!({ "id": user.id });
            leave(transaction, by, "user.remove", user, detail, now_ms).await?;
        }
        self.clear_user(transaction, &by.tenant, (id, user.as_ref()))
            .await?;
        Ok(Ok(match destroy(transaction, now_ms, erasure).await? {
            // It was in the clear.
            Erased::Nothing if user.is_some() => {
                note(transaction, now_ms, erasure).await?;
                Erased::Now
            }
            erased => erased,
        }))
    }

    /// Clears all that a user has. `user`: as it can still be read, if it can be.
    pub(super) async fn clear_user(
        &self,
        transaction: &mut dyn Transaction,
        tenant: &Tenant,
        (id, user): (Uuid, Option<&User>),
    ) -> Result<(), store::Error> {
        transaction.clear(&user_key(tenant, id));
        if let Some(user) = user {
            self.names()
                .clear(transaction, tenant, &user.username)
                .await?;
        }
        let families = KeyRange::token_families(tenant, &id.to_string());
        transaction.clear_range(&families.begin, &families.end);
        // What it made is found by looking through all: there are few, and users seldom go.
        let keys = KeyRange::of_tenant(TenantFamily::ApiKey, tenant);
        let keys = transaction.range(keys.read(API_KEYS_MAX, Isolation::Serializable));
        let maker = principal_of(id);
        for (key, row) in keys.await? {
            if record::decode::<KeyRecord>(&key, &row)?.created_by == maker {
                transaction.clear(&key);
            }
        }
        Ok(())
    }

    /// Destroys the key of a user that is removed, if nothing else lies under it: so no backup tells who it was. Whether
    /// it was destroyed.
    pub(super) async fn destroy_if_alone(
        &self,
        transaction: &mut dyn Transaction,
        by: &Principal,
        id: Uuid,
        now_ms: u64,
    ) -> Result<(), store::Error> {
        if self.store().subject_keys().is_none() {
            return Ok(());
        }
        let of = scoped(&by.tenant, id);
        let actors = KeyRange::subject_actors(&of.tenant, of.subject.as_str());
        let actors = transaction.range(actors.read(1, Isolation::Serializable));
        if !actors.await?.is_empty() {
            return Ok(());
        }
        let notice = Notice::Subject {
            tenant: of.tenant.clone(),
            subject: of.subject.clone(),
        };
        let erasure = Erasure {
            of: &of,
            principal: &by.name,
            notice: &record::encode(&notice),
        };
        destroy(transaction, now_ms, erasure).await.map(drop)
    }

    /// The API keys that a user has made.
    pub(crate) async fn api_keys_of(
        &self,
        tenant: &Tenant,
        user: &User,
    ) -> Result<Vec<ApiKey>, Failure> {
        let itself = Principal::new(user.principal(), tenant.clone(), []);
        self.api_keys(&itself, Scope::Own).await
    }
}

#[cfg(test)]
mod tests;
