//! The audit trail: chains of numbered records, one a tenant and one of the cluster, each record with the hash of the one
//! before, written in the commit of what it tells of.
//!
//! ```text
//! head      first, hash before it · last, hash of the last
//! record n  number, time, who, what, to what, how it ended, detail, hash of record n - 1
//! ```
//!
//! The hash of a record is the SHA-256 of its stored bytes, so a changed, missing, added or moved byte shows at the next
//! record or at the head. Who can write all of the store can write a new chain: against that, keep the head that
//! [`verify`] answers somewhere else, and have it compared. Nothing here decides what is audited.

mod hash;
mod trail;
mod verify;

use selvedge_protocol::limits::{AUDIT_DETAIL_BYTES_MAX, AUDIT_PAGE_MAX, AUDIT_TEXT_BYTES_MAX};
use serde::{Deserialize, Serialize};

pub use crate::store::keys::Chain;
use crate::store::keys::{Family, Key, KeyRange};
use crate::store::record::{self, Record};
use crate::store::{self, Isolation, Order, Transaction};
use bytes::Bytes;
pub use hash::{Hash, hash, hash_text, parse_hash};
pub use trail::{Found, Retention, Search, Trail};
pub use verify::{Anchor, Damage, Part, Verification, Verified, VerifyError, verify};

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Who did it, or tried to.
    pub principal: String,
    /// A resource and what was done to it: `user.create`.
    pub action: String,
    /// To what: a name or an id.
    pub target: String,
    pub outcome: Outcome,
    /// More, JSON text: before and after, never a secret. Empty is nothing.
    pub detail: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    /// With the stable name of the error.
    Refused {
        code: String,
    },
}

/// A record of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub number: u64,
    pub entry: Entry,
    /// Of the record before.
    pub previous: Hash,
    /// Of this one.
    pub hash: Hash,
    /// As it is stored: what the hash is made of.
    pub stored: Bytes,
}

/// Appends to a chain and answers the record's number. Texts that are too long are cut, so that nothing that
/// happened is left out for its size. All that append to one chain conflict with each other.
///
/// # Errors
/// Those of the store.
pub async fn append(
    transaction: &mut dyn Transaction,
    chain: impl Into<Chain>,
    entry: Entry,
) -> Result<u64, store::Error> {
    let chain = &chain.into();
    let head = head(transaction, chain, Isolation::Serializable).await?;
    let number = head.last + 1;
    let Entry {
        at_ms,
        principal,
        action,
        target,
        outcome,
        detail,
    } = entry;
    let stored = Stored {
        number,
        at_ms,
        principal: cut(principal, AUDIT_TEXT_BYTES_MAX),
        action: cut(action, AUDIT_TEXT_BYTES_MAX),
        target: cut(target, AUDIT_TEXT_BYTES_MAX),
        outcome,
        detail: cut_detail(detail),
        previous: head.last_hash,
    };
    let bytes = record::encode(&stored);
    transaction.set(&record_key(chain, number), &bytes);
    let head = Head {
        last: number,
        last_hash: hash(&bytes),
        ..head
    };
    transaction.set(&head_key(chain), &record::encode(&head));
    Ok(number)
}

/// Up to `limit` records (at most [`AUDIT_PAGE_MAX`]) after a number, or before it in descending order.
///
/// # Errors
/// Those of the store. A record that does not decode is one of them: [`verify`] says more.
pub async fn page(
    transaction: &mut dyn Transaction,
    chain: &Chain,
    from: Option<u64>,
    order: Order,
    limit: usize,
) -> Result<Vec<AuditRecord>, store::Error> {
    let mut range = KeyRange::audit(chain).read(limit.min(AUDIT_PAGE_MAX), Isolation::Snapshot);
    range.order = order;
    if let Some(from) = from {
        let from = std::ops::Bound::Excluded(record_key(chain, from).into());
        match order {
            Order::Ascending => range.begin = from,
            Order::Descending => range.end = from,
        }
    }
    let rows = transaction.range(range).await?;
    let records = rows.into_iter().map(|(key, value)| read(&key, value));
    records.collect()
}

/// Clears the records before `first`, which becomes the first. They leave the chain whole: the head keeps the hash
/// before it. Answers how many were cleared; at most [`AUDIT_PAGE_MAX`], so that a transaction has room for them.
///
/// # Errors
/// Those of the store.
pub async fn trim(
    transaction: &mut dyn Transaction,
    chain: &Chain,
    first: u64,
) -> Result<u64, store::Error> {
    let head = head(transaction, chain, Isolation::Serializable).await?;
    // The last one stays, so that the chain has a hash to go on from that a record shows.
    let page = u64::try_from(AUDIT_PAGE_MAX).unwrap_or(u64::MAX);
    let first = first.min(head.last).min(head.first.saturating_add(page));
    if first <= head.first {
        return Ok(0);
    }
    let key = record_key(chain, first);
    let Some(value) = transaction.get(&key, Isolation::Serializable).await? else {
        return Err(unlike(&key, "it is missing".to_owned()));
    };
    let kept = read(&key, value)?;
    transaction.clear_range(&record_key(chain, head.first), &key);
    let cleared = first - head.first;
    let head = Head {
        first,
        first_previous: kept.previous,
        ..head
    };
    transaction.set(&head_key(chain), &record::encode(&head));
    Ok(cleared)
}

async fn head(
    transaction: &mut dyn Transaction,
    chain: &Chain,
    isolation: Isolation,
) -> Result<Head, store::Error> {
    let key = head_key(chain);
    match transaction.get(&key, isolation).await? {
        Some(head) => record::decode(&key, &head),
        None => Ok(Head::of_nothing(chain)),
    }
}

/// The record of stored bytes that come from elsewhere, an export for example.
///
/// # Errors
/// That they are none.
pub fn decode(stored: Bytes) -> Result<AuditRecord, store::Error> {
    read(b"(given)", stored)
}

/// Chains that have records, in the order of their keys: up to so many, after one or from the first on.
///
/// # Errors
/// Those of the store.
pub async fn chains(
    transaction: &mut dyn Transaction,
    after: Option<&Chain>,
    limit: usize,
) -> Result<Vec<Chain>, store::Error> {
    let mut range = KeyRange::family(Family::AuditHead).read(limit, Isolation::Snapshot);
    if let Some(after) = after {
        range.begin = std::ops::Bound::Excluded(head_key(after).into());
    }
    let rows = transaction.range(range).await?;
    let chains = rows.into_iter().map(|(key, _)| match Key::decode(&key) {
        Ok(Key::AuditHead { chain }) => Ok(chain),
        Ok(other) => Err(unlike(&key, format!("it is {other:?}"))),
        Err(error) => Err(unlike(&key, error.to_string())),
    });
    chains.collect()
}

fn unlike(key: &[u8], reason: String) -> store::Error {
    let key = key.escape_ascii().to_string();
    store::Error::Record { key, reason }
}

fn read(key: &[u8], value: Bytes) -> Result<AuditRecord, store::Error> {
    let Stored {
        number,
        at_ms,
        principal,
        action,
        target,
        outcome,
        detail,
        previous,
    } = record::decode(key, &value)?;
    Ok(AuditRecord {
        number,
        entry: Entry {
            at_ms,
            principal,
            action,
            target,
            outcome,
            detail,
        },
        previous,
        hash: hash(&value),
        stored: value,
    })
}

/// What a text begins with, up to so many bytes, at the boundary of a character.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

/// JSON that was cut is none, so what is too long is said to be.
fn cut_detail(detail: String) -> String {
    if detail.len() <= AUDIT_DETAIL_BYTES_MAX {
        return detail;
    }
    format!("{{\"omittedBytes\":{}}}", detail.len())
}

fn record_key(chain: &Chain, number: u64) -> Vec<u8> {
    let chain = chain.clone();
    Key::Audit { chain, number }.encode()
}

fn head_key(chain: &Chain) -> Vec<u8> {
    let chain = chain.clone();
    Key::AuditHead { chain }.encode()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    number: u64,
    at_ms: u64,
    principal: String,
    action: String,
    target: String,
    outcome: Outcome,
    detail: String,
    previous: Hash,
}

impl Record for Stored {
    const FORMAT: u8 = 1;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    first: u64,
    /// The hash that the first one has for the record before it.
    first_previous: Hash,
    /// 0: there is none.
    last: u64,
    last_hash: Hash,
}

impl Head {
    /// Two chains have nothing in common, not even what they begin with.
    fn of_nothing(chain: &Chain) -> Self {
        let seed = hash(format!("selvedge audit {chain}").as_bytes());
        Self {
            first: 1,
            first_previous: seed,
            last: 0,
            last_hash: seed,
        }
    }
}

impl Record for Head {
    const FORMAT: u8 = 1;
}

#[cfg(test)]
mod tests;
