//! Where a user is found by its name: rows that tell the name to nobody. Called by whoever reads, makes, changes or
//! removes users; decides nothing about them.
//!
//! The mark of a name is an HMAC under a key of the cluster. That key is in the store as well, so whoever has all of the
//! store can try names one by one, and finds none that was erased: its row is gone. Rows of an earlier version have the
//! name itself; they are read, and replaced when their user is written.

use std::fmt;

use aws_lc_rs::hmac;
use selvedge_cluster::store::keys::{AdminKey, Key};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::record::{self, Record};
use selvedge_cluster::store::{self, Isolation, Transaction};
use selvedge_protocol::Tenant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity::directory::user::Username;

/// What makes the marks of names.
pub(in crate::identity) struct Names(hmac::Key);

/// Whose a name is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Named(Uuid);

impl Record for Named {
    const FORMAT: u8 = 1;
}

impl Names {
    /// Those of the cluster with this key.
    pub(super) fn of_cluster(key: &SessionKey) -> Self {
        let own = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let made = hmac::sign(&own, b"selvedge names 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, made.as_ref()))
    }

    /// The id of the user of a name, if the name is anybody's.
    pub(super) async fn find(
        &self,
        transaction: &mut dyn Transaction,
        tenant: &Tenant,
        name: &Username,
        isolation: Isolation,
    ) -> Result<Option<Uuid>, store::Error> {
        for key in [self.row(tenant, name), clear_row(tenant, name)] {
            if let Some(found) = transaction.get(&key, isolation).await? {
                return Ok(Some(record::decode::<Named>(&key, &found)?.0));
            }
        }
        Ok(None)
    }

    /// The name is this user's from now on.
    pub(super) async fn set(
        &self,
        transaction: &mut dyn Transaction,
        tenant: &Tenant,
        (name, id): (&Username, Uuid),
    ) -> Result<(), store::Error> {
        transaction.set(&self.row(tenant, name), &record::encode(&Named(id)));
        clear_earlier(transaction, tenant, name).await
    }

    /// The name is nobody's from now on.
    pub(super) async fn clear(
        &self,
        transaction: &mut dyn Transaction,
        tenant: &Tenant,
        name: &Username,
    ) -> Result<(), store::Error> {
        transaction.clear(&self.row(tenant, name));
        clear_earlier(transaction, tenant, name).await
    }

    fn row(&self, tenant: &Tenant, name: &Username) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(tenant.as_str().as_bytes());
        // Ends the tenant: none contains it.
        context.update(&[0]);
        context.update(name.as_str().as_bytes());
        let tag = context.sign();
        // A hundred and twenty-eight bits: of a million names no two have the same.
        let mark = tag.as_ref().iter().take(MARK_BYTES);
        let mark = mark.map(|byte| format!("{byte:02x}")).collect();
        let tenant = tenant.clone();
        Key::from(AdminKey::UserByName { tenant, mark }).encode()
    }
}

const MARK_BYTES: usize = 16;

/// Clears the row of an earlier version, if there is one: a store writes down which keys it clears, and this one is a name.
async fn clear_earlier(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    name: &Username,
) -> Result<(), store::Error> {
    let row = clear_row(tenant, name);
    let stored = transaction.get(&row, Isolation::Serializable).await?;
    if stored.is_some() {
        transaction.clear(&row);
    }
    Ok(())
}

fn clear_row(tenant: &Tenant, name: &Username) -> Vec<u8> {
    let (tenant, name) = (tenant.clone(), name.as_str().to_owned());
    Key::from(AdminKey::Username { tenant, name }).encode()
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(…)")
    }
}

/// Writes the row of a name as an earlier version did.
#[cfg(test)]
pub(super) fn set_in_the_clear(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    (name, id): (&Username, Uuid),
) {
    transaction.set(&clear_row(tenant, name), &record::encode(&Named(id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_record_is_what_it_was() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let named = Named(Uuid::from_u128(7));
        assert_eq!(record::golden::check(&directory, "username", &named), []);
    }

    #[test]
    fn a_mark_is_of_the_name_the_tenant_and_the_cluster() {
        let names = Names::of_cluster(&SessionKey::new([1; 32]));
        let (acme, other) = (Tenant::new("acme").unwrap(), Tenant::new("acm").unwrap());
        let (ann, eann) = (
            Username::new("ann").unwrap(),
            Username::new("eann").unwrap(),
        );
        let row = names.row(&acme, &ann);
        // What is stored is held to: nobody would be found under another mark.
        let Ok(Key::Admin(AdminKey::UserByName { mark, .. })) = Key::decode(&row) else {
            panic!("{row:?}");
        };
        assert_eq!(mark, "6fd278df38e451552a9d1e2df1d8bf05");
        assert!(!row.windows(3).any(|it| it == b"ann"));
        assert_ne!(row, names.row(&other, &eann));
        assert_ne!(row, names.row(&acme, &eann));
        let cluster = Names::of_cluster(&SessionKey::new([2; 32]));
        assert_ne!(row, cluster.row(&acme, &ann));
        assert_eq!(format!("{names:?}"), "Names(…)");
    }
}
