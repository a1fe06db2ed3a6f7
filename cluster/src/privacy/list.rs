//! Which subjects a tenant has, and which actors hold something about one.

use std::ops::Bound;

use selvedge_protocol::limits::SUBJECTS_PAGE_MAX;
use selvedge_protocol::{ActorAddress, SubjectId, Tenant};

use super::ScopedSubject;
use super::record::SubjectKey;
use crate::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use crate::store::record;
use crate::store::{self, Isolation, Store};

/// A subject as a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectShown {
    pub subject: SubjectId,
    pub key: KeyState,
}

/// How its key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    Present {
        created_ms: u64,
        /// The name of the wrapping key.
        wrapped_by: String,
    },
    Erased {
        at_ms: u64,
    },
}

/// The subjects of a tenant in order, after one, at most `limit`.
///
/// # Errors
/// Those of the store.
pub async fn subjects(
    store: &dyn Store,
    tenant: &Tenant,
    after: Option<&SubjectId>,
    limit: usize,
) -> Result<Vec<SubjectShown>, store::Error> {
    let range = KeyRange::of_tenant(TenantFamily::SubjectKey, tenant);
    let mut range = range.read(limit.min(SUBJECTS_PAGE_MAX), Isolation::Snapshot);
    if let Some(subject) = after {
        let of = ScopedSubject {
            tenant: tenant.clone(),
            subject: subject.clone(),
        };
        range.begin = Bound::Excluded(super::keys::row(&of).into());
    }
    let rows = store.begin().range(range).await?;
    let shown = rows.iter().map(|(key, value)| {
        let Ok(Key::Admin(AdminKey::SubjectKey { subject, .. })) = Key::decode(key) else {
            return Err(foreign(key));
        };
        let subject = SubjectId::new(subject).map_err(|_| foreign(key))?;
        let key = match record::decode::<SubjectKey>(key, value)? {
            SubjectKey::Present { by, created_ms, .. } => KeyState::Present {
                created_ms,
                wrapped_by: by,
            },
            SubjectKey::Erased { at_ms, .. } => KeyState::Erased { at_ms },
        };
        Ok(SubjectShown { subject, key })
    });
    shown.collect()
}

/// The actors that hold something about a subject, in order, after one, at most `limit`.
///
/// # Errors
/// Those of the store.
pub async fn actors_of(
    store: &dyn Store,
    of: &ScopedSubject,
    after: Option<&ActorAddress>,
    limit: usize,
) -> Result<Vec<ActorAddress>, store::Error> {
    let range = KeyRange::subject_actors(&of.tenant, of.subject.as_str());
    let mut range = range.read(limit, Isolation::Snapshot);
    if let Some(after) = after {
        range.begin = Bound::Excluded(actor_row(of, after).into());
    }
    let rows = store.begin().range(range).await?;
    let addresses = rows.iter().map(|(key, _)| match Key::decode(key) {
        Ok(Key::Admin(AdminKey::SubjectActor { address, .. })) => Ok(address),
        Ok(_) | Err(_) => Err(foreign(key)),
    });
    addresses.collect()
}

/// The row that says that an actor holds something about a subject.
pub(crate) fn actor_row(of: &ScopedSubject, address: &ActorAddress) -> Vec<u8> {
    let key = AdminKey::SubjectActor {
        tenant: of.tenant.clone(),
        subject: of.subject.as_str().to_owned(),
        address: address.clone(),
    };
    Key::from(key).encode()
}

pub(super) fn foreign(key: &[u8]) -> store::Error {
    store::Error::Record {
        key: key.escape_ascii().to_string(),
        reason: "it is no row of a subject".to_owned(),
    }
}
