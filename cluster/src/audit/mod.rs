//! The audit trail: one chain of numbered records a tenant, each with the hash of the one before, written in the commit
//! of what it tells of.
//!
//! ```text
//! head      first, hash before it · last, hash of the last
//! record n  number, time, who, what, to what, how it ended, detail, hash of record n - 1
//! ```
//!
//! The hash of a record is the SHA-256 of its stored bytes, so a changed, missing, added or moved byte shows at the next
//! record or at the head. Who can write all of the store can write a new chain: against that, keep the head that
//! [`verify`] answers somewhere else, and have it compared. Nothing here decides what is audited.

mod verify;

use aws_lc_rs::digest::{SHA256, digest};
use selvedge_protocol::ids::Tenant;
use selvedge_protocol::limits::{AUDIT_DETAIL_BYTES_MAX, AUDIT_PAGE_MAX, AUDIT_TEXT_BYTES_MAX};
use serde::{Deserialize, Serialize};

use crate::store::keys::{Key, KeyRange};
use crate::store::record::{self, Record};
use crate::store::{self, Isolation, Order, Transaction};
pub use verify::{Anchor, Damage, Verified, VerifyError, verify};

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

/// The SHA-256 of a record.
pub type Hash = [u8; 32];

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
}

/// Appends to the tenant's chain and answers the record's number. Texts that are too long are cut, so that nothing that
/// happened is left out for its size. All that append to one chain conflict with each other.
///
/// # Errors
/// Those of the store.
pub async fn append(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    entry: Entry,
) -> Result<u64, store::Error> {
    let head = head(transaction, tenant, Isolation::Serializable).await?;
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
    transaction.set(&record_key(tenant, number), &bytes);
    let head = Head {
        last: number,
        last_hash: hash(&bytes),
        ..head
    };
    transaction.set(&head_key(tenant), &record::encode(&head));
    Ok(number)
}

/// Up to `limit` records (at most [`AUDIT_PAGE_MAX`]) after a number, or before it in descending order.
///
/// # Errors
/// Those of the store. A record that does not decode is one of them: [`verify`] says more.
pub async fn page(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    from: Option<u64>,
    order: Order,
    limit: usize,
) -> Result<Vec<AuditRecord>, store::Error> {
    let mut range = KeyRange::audit(tenant).read(limit.min(AUDIT_PAGE_MAX), Isolation::Snapshot);
    range.order = order;
    if let Some(from) = from {
        let from = std::ops::Bound::Excluded(record_key(tenant, from).into());
        match order {
            Order::Ascending => range.begin = from,
            Order::Descending => range.end = from,
        }
    }
    let rows = transaction.range(range).await?;
    let records = rows.iter().map(|(key, value)| read(key, value));
    records.collect()
}

/// Clears the records before `first`, which becomes the first. They leave the chain whole: the head keeps the hash
/// before it. Answers how many were cleared; at most [`AUDIT_PAGE_MAX`], so that a transaction has room for them.
///
/// # Errors
/// Those of the store.
pub async fn trim(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    first: u64,
) -> Result<u64, store::Error> {
    let head = head(transaction, tenant, Isolation::Serializable).await?;
    // The last one stays, so that the chain has a hash to go on from that a record shows.
    let page = u64::try_from(AUDIT_PAGE_MAX).unwrap_or(u64::MAX);
    let first = first.min(head.last).min(head.first.saturating_add(page));
    if first <= head.first {
        return Ok(0);
    }
    let key = record_key(tenant, first);
    let Some(value) = transaction.get(&key, Isolation::Serializable).await? else {
        return Err(missing(&key));
    };
    let kept = read(&key, &value)?;
    transaction.clear_range(&record_key(tenant, head.first), &key);
    let cleared = first - head.first;
    let head = Head {
        first,
        first_previous: kept.previous,
        ..head
    };
    transaction.set(&head_key(tenant), &record::encode(&head));
    Ok(cleared)
}

fn missing(key: &[u8]) -> store::Error {
    store::Error::Record {
        key: key.escape_ascii().to_string(),
        reason: "it is missing".to_owned(),
    }
}

async fn head(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    isolation: Isolation,
) -> Result<Head, store::Error> {
    let key = head_key(tenant);
    match transaction.get(&key, isolation).await? {
        Some(head) => record::decode(&key, &head),
        None => Ok(Head::of_nothing(tenant)),
    }
}

fn read(key: &[u8], value: &[u8]) -> Result<AuditRecord, store::Error> {
    let Stored {
        number,
        at_ms,
        principal,
        action,
        target,
        outcome,
        detail,
        previous,
    } = record::decode(key, value)?;
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
        hash: hash(value),
    })
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
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

fn record_key(tenant: &Tenant, number: u64) -> Vec<u8> {
    let tenant = tenant.clone();
    Key::Audit { tenant, number }.encode()
}

fn head_key(tenant: &Tenant) -> Vec<u8> {
    let tenant = tenant.clone();
    Key::AuditHead { tenant }.encode()
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
    /// The chains of two tenants have nothing in common, not even what they begin with.
    fn of_nothing(tenant: &Tenant) -> Self {
        let seed = hash(format!("selvedge audit {tenant}").as_bytes());
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
