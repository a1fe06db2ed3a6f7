//! Reads a whole chain and looks whether it is one. Called for people who want to know.

use selvedge_protocol::limits::AUDIT_PAGE_MAX;

use super::{AuditRecord, Chain, Hash, Head, head, read, record_key};
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

/// A part of a verification, so that none of it takes for ever.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Where the part before ended. `None`: from the beginning.
    pub from: Option<Anchor>,
    pub anchor: Option<Anchor>,
    /// How many records to read at most.
    pub records_max: u64,
}

/// What a part came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// The whole chain was read.
    Whole(Verified),
    /// It is whole up to here, and goes on.
    Until { at: Anchor, first: u64, last: u64 },
}

/// Verifies a part of what there is at the call; what is appended or cleared meanwhile does no harm. Costs the reading
/// and hashing of each record.
///
/// # Errors
/// That the chain is not whole, or not readable.
pub async fn verify(
    store: &dyn Store,
    chain: &Chain,
    part: Part,
) -> Result<Verification, VerifyError> {
    let mut part = part;
    loop {
        let mut transaction = store.begin();
        let began = read_head(head(&mut *transaction, chain, Isolation::Snapshot).await)?;
        drop(transaction);
        if let Some(verified) = follow(store, chain, &began, part).await? {
            return Ok(verified);
        }
        // Retention has cleared what was about to be read: from the new beginning on.
        part.from = None;
    }
}

/// `None`: the chain begins later by now.
async fn follow(
    store: &dyn Store,
    chain: &Chain,
    began: &Head,
    part: Part,
) -> Result<Option<Verification>, VerifyError> {
    let Some(mut link) = Link::at(part.from, began)? else {
        return Ok(None);
    };
    if let Some(anchor) = part.anchor {
        // Before the first it is known only as what the first one follows.
        match anchor.number.cmp(&link.number) {
            std::cmp::Ordering::Less if part.from.is_none() => {
                return Err(damaged(anchor.number, Damage::Cleared));
            }
            std::cmp::Ordering::Equal => link.hold_to(anchor)?,
            std::cmp::Ordering::Less | std::cmp::Ordering::Greater => {}
        }
    }
    let until = link.number.saturating_add(part.records_max).min(began.last);
    while link.number < until {
        let mut transaction = store.begin();
        let present = read_head(head(&mut *transaction, chain, Isolation::Snapshot).await)?;
        if present.first > link.number + 1 {
            return Ok(None);
        }
        let mut range = KeyRange::audit(chain).read(AUDIT_PAGE_MAX, Isolation::Snapshot);
        let from = record_key(chain, link.number);
        range.begin = std::ops::Bound::Excluded(from.into());
        let rows = transaction.range(range).await.map_err(VerifyError::Store)?;
        if rows.is_empty() {
            return Err(damaged(link.number + 1, Damage::Missing));
        }
        for (key, value) in rows {
            let expected = link.number + 1;
            if expected > until {
                break;
            }
            if key != record_key(chain, expected) {
                return Err(damaged(expected, Damage::Missing));
            }
            link.follow(read(&key, value))?;
            if let Some(anchor) = part.anchor.filter(|anchor| anchor.number == link.number) {
                link.hold_to(anchor)?;
            }
        }
    }
    if link.number < began.last {
        let Link { number, hash } = link;
        return Ok(Some(Verification::Until {
            at: Anchor { number, hash },
            first: began.first,
            last: began.last,
        }));
    }
    if link.hash != began.last_hash {
        return Err(damaged(began.last, Damage::HeadBroken));
    }
    if let Some(anchor) = part.anchor.filter(|anchor| anchor.number > began.last) {
        return Err(damaged(anchor.number, Damage::Missing));
    }
    beyond(store, chain).await?;
    Ok(Some(Verification::Whole(began.verified())))
}

/// Nothing lies before the first or after the last, where nobody would look.
async fn beyond(store: &dyn Store, chain: &Chain) -> Result<(), VerifyError> {
    let mut transaction = store.begin();
    let head = read_head(head(&mut *transaction, chain, Isolation::Snapshot).await)?;
    let all = KeyRange::audit(chain);
    let outside = [
        (all.begin, record_key(chain, head.first).into()),
        (record_key(chain, head.last + 1).into(), all.end),
    ];
    for (begin, end) in outside {
        let range = KeyRange { begin, end }.read(1, Isolation::Snapshot);
        let rows = transaction.range(range).await.map_err(VerifyError::Store)?;
        if let Some((key, value)) = rows.into_iter().next() {
            let number = read(&key, value).map_or(head.last + 1, |found| found.number);
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

impl Head {
    fn verified(&self) -> Verified {
        Verified {
            records: (self.last + 1).saturating_sub(self.first),
            first: self.first,
            head: (self.last > 0).then_some(Anchor {
                number: self.last,
                hash: self.last_hash,
            }),
        }
    }
}

impl Link {
    /// Where a part begins; `None`: that was cleared, begin anew.
    fn at(from: Option<Anchor>, head: &Head) -> Result<Option<Self>, VerifyError> {
        let Some(before) = head.first.checked_sub(1) else {
            let reason = "it has no first record".to_owned();
            return Err(damaged(0, Damage::Head(reason)));
        };
        match from {
            Some(from) if from.number < before => Ok(None),
            Some(from) if from.number > head.last => Err(damaged(from.number, Damage::Missing)),
            Some(Anchor { number, hash }) => Ok(Some(Self { number, hash })),
            None => Ok(Some(Self {
                number: before,
                hash: head.first_previous,
            })),
        }
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
