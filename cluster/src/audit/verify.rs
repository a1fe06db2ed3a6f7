//! Reads a whole chain and looks whether it is one. Called for people who want to know.

use selvedge_protocol::ids::Tenant;
use selvedge_protocol::limits::AUDIT_PAGE_MAX;

use super::{AuditRecord, Hash, Head, head, read, record_key};
use crate::store::keys::KeyRange;
use crate::store::{self, Isolation, Store};

/// A record of which somebody knows the hash from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub number: u64,
    pub hash: Hash,
}

/// A chain that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub records: u64,
    /// The first that is kept; those before it were cleared by retention.
    pub first: u64,
    /// Where the chain ends. Keep it elsewhere, to verify against later. `None`: there is no record.
    pub head: Option<Anchor>,
}

/// Why a chain is not known to be whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the store could not be read")]
    Store(#[source] store::Error),
    /// What is stored is not what was written.
    #[error(
        "audit record {number}: {damage}; what is stored was changed, restore it from a backup"
    )]
    Damaged { number: u64, damage: Damage },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it does not decode: {0}")]
    Unreadable(String),
    #[error("it is missing")]
    Missing,
    #[error("its number is {0}")]
    Misplaced(u64),
    #[error("the record before it is not the one that it follows")]
    Broken,
    #[error("the head of the chain does not decode: {0}")]
    Head(String),
    #[error("it is not the one that the head of the chain names")]
    HeadBroken,
    #[error("it follows the last of the chain")]
    Beyond,
    #[error("its hash is another than the one it is to be verified against")]
    Anchor,
    #[error("retention has cleared it, so it cannot be compared; give a later one")]
    Cleared,
}

/// Verifies what there is at the call; what is appended or cleared meanwhile does no harm. `progress` hears how many
/// records are done. Costs the reading and hashing of each record.
///
/// # Errors
/// That the chain is not whole, or not readable.
pub async fn verify(
    store: &dyn Store,
    tenant: &Tenant,
    anchor: Option<Anchor>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Verified, VerifyError> {
    loop {
        let mut transaction = store.begin();
        let began = read_head(head(&mut *transaction, tenant, Isolation::Snapshot).await)?;
        drop(transaction);
        if let Some(verified) = chain(store, tenant, &began, anchor, progress).await? {
            return Ok(verified);
        }
        // Retention has cleared what was about to be read: from the new beginning on.
    }
}

/// `None`: the chain begins later by now.
async fn chain(
    store: &dyn Store,
    tenant: &Tenant,
    began: &Head,
    anchor: Option<Anchor>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Option<Verified>, VerifyError> {
    let Some(mut link) = Link::before(began) else {
        let reason = "it has no first record".to_owned();
        return Err(damaged(0, Damage::Head(reason)));
    };
    if let Some(anchor) = anchor {
        // Before the first it is known only as what the first one follows.
        match anchor.number.cmp(&link.number) {
            std::cmp::Ordering::Less => return Err(damaged(anchor.number, Damage::Cleared)),
            std::cmp::Ordering::Equal => link.hold_to(anchor)?,
            std::cmp::Ordering::Greater => {}
        }
    }
    while link.number < began.last {
        let mut transaction = store.begin();
        let present = read_head(head(&mut *transaction, tenant, Isolation::Snapshot).await)?;
        if present.first > link.number + 1 {
            return Ok(None);
        }
        let mut range = KeyRange::audit(tenant).read(AUDIT_PAGE_MAX, Isolation::Snapshot);
        let from = record_key(tenant, link.number);
        range.begin = std::ops::Bound::Excluded(from.into());
        let rows = transaction.range(range).await.map_err(VerifyError::Store)?;
        if rows.is_empty() {
            return Err(damaged(link.number + 1, Damage::Missing));
        }
        for (key, value) in rows {
            let expected = link.number + 1;
            if expected > began.last {
                break;
            }
            if key != record_key(tenant, expected) {
                return Err(damaged(expected, Damage::Missing));
            }
            link.follow(read(&key, &value))?;
            if let Some(anchor) = anchor.filter(|anchor| anchor.number == link.number) {
                link.hold_to(anchor)?;
            }
        }
        progress((link.number + 1).saturating_sub(began.first));
    }
    if link.hash != began.last_hash {
        return Err(damaged(began.last, Damage::HeadBroken));
    }
    if let Some(anchor) = anchor.filter(|anchor| anchor.number > began.last) {
        return Err(damaged(anchor.number, Damage::Missing));
    }
    beyond(store, tenant).await?;
    Ok(Some(Verified {
        records: (began.last + 1).saturating_sub(began.first),
        first: began.first,
        head: (began.last > 0).then_some(Anchor {
            number: began.last,
            hash: began.last_hash,
        }),
    }))
}

/// Nothing lies before the first or after the last, where nobody would look.
async fn beyond(store: &dyn Store, tenant: &Tenant) -> Result<(), VerifyError> {
    let mut transaction = store.begin();
    let head = read_head(head(&mut *transaction, tenant, Isolation::Snapshot).await)?;
    let all = KeyRange::audit(tenant);
    let outside = [
        (all.begin, record_key(tenant, head.first).into()),
        (record_key(tenant, head.last + 1).into(), all.end),
    ];
    for (begin, end) in outside {
        let range = KeyRange { begin, end }.read(1, Isolation::Snapshot);
        let rows = transaction.range(range).await.map_err(VerifyError::Store)?;
        if let Some((key, value)) = rows.first() {
            let number = read(key, value).map_or(head.last + 1, |found| found.number);
            return Err(damaged(number, Damage::Beyond));
        }
    }
    Ok(())
}

/// How far the chain was followed.
struct Link {
    number: u64,
    hash: Hash,
}

impl Link {
    /// `None`: records are numbered from 1.
    fn before(head: &Head) -> Option<Self> {
        Some(Self {
            number: head.first.checked_sub(1)?,
            hash: head.first_previous,
        })
    }

    fn follow(&mut self, record: Result<AuditRecord, store::Error>) -> Result<(), VerifyError> {
        let expected = self.number + 1;
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                return Err(damaged(expected, Damage::Unreadable(error.to_string())));
            }
        };
        if record.number != expected {
            return Err(damaged(expected, Damage::Misplaced(record.number)));
        }
        if record.previous != self.hash {
            return Err(damaged(expected, Damage::Broken));
        }
        self.number = expected;
        self.hash = record.hash;
        Ok(())
    }

    fn hold_to(&self, anchor: Anchor) -> Result<(), VerifyError> {
        match self.hash == anchor.hash {
            true => Ok(()),
            false => Err(damaged(anchor.number, Damage::Anchor)),
        }
    }
}

const fn damaged(number: u64, damage: Damage) -> VerifyError {
    VerifyError::Damaged { number, damage }
}

/// A head that does not decode is damage; a store that does not answer is not.
fn read_head(head: Result<Head, store::Error>) -> Result<Head, VerifyError> {
    head.map_err(|error| match error.is_damage() {
        true => damaged(0, Damage::Head(error.to_string())),
        false => VerifyError::Store(error),
    })
}
