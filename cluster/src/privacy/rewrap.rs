//! Wraps the keys of subjects anew, under the wrapping key that is the present one: so that an older one can be taken
//! out. What is stored under the subjects' keys stays as it is.

use std::ops::Bound;

use selvedge_protocol::limits::REWRAP_PAGE_MAX;
use selvedge_protocol::{SubjectId, Tenant};

use super::ScopedSubject;
use super::keys::{SubjectKeys, row};
use super::list::foreign;
use super::record::SubjectKey;
use crate::audit::{self, Entry, Outcome};
use crate::clock::Clock;
use crate::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use crate::store::record;
use crate::store::{self, Isolation, run_repeatable};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many keys were wrapped anew, of how many that were looked at.
    pub keys: usize,
    pub looked: usize,
    /// Where to go on; `None`: there are no more.
    pub next: Option<SubjectId>,
}

/// Wraps keys of a tenant anew that are under another wrapping key, of some subjects after one. Audited, if there
/// were any.
///
/// # Errors
/// Those of the store, and of who wraps.
pub async fn rewrap(
    keys: &SubjectKeys,
    clock: &Clock,
    (tenant, principal): (&Tenant, &str),
    after: Option<&SubjectId>,
) -> Result<Rewrapped, store::Error> {
    let range = KeyRange::of_tenant(TenantFamily::SubjectKey, tenant);
    let mut range = range.read(REWRAP_PAGE_MAX, Isolation::Snapshot);
    if let Some(subject) = after {
        range.begin = Bound::Excluded(row(&scoped(tenant, subject.clone())).into());
    }
    let rows = keys.store().begin().range(range).await?;
    let mut changes = Vec::new();
    let mut next = None;
    for (at, stored) in &rows {
        let Ok(Key::Admin(AdminKey::SubjectKey { subject, .. })) = Key::decode(at) else {
            return Err(foreign(at));
        };
        let subject = SubjectId::new(subject).map_err(|_| foreign(at))?;
        let of = scoped(tenant, subject);
        if let Some(anew) = anew(keys, &of, record::decode(at, stored)?).await? {
            changes.push((at, stored, record::encode(&anew)));
        }
        next = Some(of.subject);
    }
    if !changes.is_empty() {
        let (changes, count) = (&changes, changes.len());
        let entry = Entry {
            at_ms: clock.wall_ms(),
            principal: principal.to_owned(),
            action: "subject.rewrap".to_owned(),
            target: keys.wrapper().current(),
            outcome: Outcome::Done,
            detail: format!("{{\"keys\":{count}}}"),
        };
        let entry = &entry;
        run_repeatable(&**keys.store(), clock, |mut transaction| async move {
            let mut changed = 0;
            for (at, before, anew) in changes {
                let stored = transaction.get(at, Isolation::Serializable).await?;
                // Erased meanwhile, or wrapped by somebody else.
                if stored.as_ref() == Some(before) {
                    transaction.set(at, anew);
                    changed += 1;
                }
            }
            if changed > 0 {
                audit::append(&mut *transaction, tenant, entry.clone()).await?;
            }
            Ok((transaction, ()))
        })
        .await?;
    }
    Ok(Rewrapped {
        keys: changes.len(),
        looked: rows.len(),
        next: next.filter(|_| rows.len() == REWRAP_PAGE_MAX),
    })
}

async fn anew(
    keys: &SubjectKeys,
    of: &ScopedSubject,
    stored: SubjectKey,
) -> Result<Option<SubjectKey>, store::Error> {
    match stored {
        SubjectKey::Present {
            id,
            by,
            wrapped,
            created_ms,
        } if by != keys.wrapper().current() => {
            let secret = keys.secret(of, &id, (&by, &wrapped)).await?;
            let wrapped = keys.wrap(of, &id, &secret).await?;
            Ok(Some(SubjectKey::new(id, wrapped, created_ms)))
        }
        SubjectKey::Present { .. } | SubjectKey::Erased { .. } => Ok(None),
    }
}

fn scoped(tenant: &Tenant, subject: SubjectId) -> ScopedSubject {
    ScopedSubject {
        tenant: tenant.clone(),
        subject,
    }
}
