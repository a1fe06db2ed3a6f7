//! Limits as they are stored: a row each, changed together with its audit record and the notice by which all nodes hear
//! of it. They are read whole: people set them, so there are few.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::store::keys::{AdminKey, Family, Key, KeyRange, TenantFamily};
use selvedge_cluster::store::record::{self, Record};
use selvedge_cluster::store::{self, Isolation, Store, Transaction};
use selvedge_cluster::{Clock, audit};
use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{LIMITS_MAX, LIMITS_OF_TENANT_MAX};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limit::name::{LimitId, Scope};
use crate::limit::rate::Rate;
use crate::notice::Notice;

/// A limit that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub id: LimitId,
    pub rate: Rate,
    /// By whom it was set so.
    pub changed_by: String,
    /// Unix milliseconds.
    pub changed_ms: u64,
}

/// A change by somebody.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) id: LimitId,
    /// `None`: it is taken away.
    pub(super) rate: Option<Rate>,
    pub(super) principal: Arc<str>,
}

/// Why a limit was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There are as many as may be.
    #[error(
        "tenant {0} has {LIMITS_OF_TENANT_MAX} limits, as many as may be; delete some, or set one for principal:*"
    )]
    Full(Tenant),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    /// As people write it.
    rate: String,
    burst: u64,
    changed_by: String,
    changed_ms: u64,
}

impl Record for Stored {
    const FORMAT: u8 = 1;
}

/// All that are set, in the order of their tenants, scopes and names. A row that does not read is left out and told of:
/// the others are in force all the same.
pub(super) async fn all(store: &dyn Store) -> Result<Vec<Limit>, store::Error> {
    let mut range = KeyRange::family(Family::Limit);
    let mut limits = Vec::new();
    loop {
        let read = range.read(ROWS_PER_READ, Isolation::Snapshot);
        let rows = store.begin().range(read).await?;
        for (key, value) in &rows {
            match limit(key, value) {
                Ok(limit) => limits.push(limit),
                Err(reason) => {
                    let key = key.escape_ascii().to_string();
                    tracing::error!(
                        key,
                        reason,
                        "a stored limit does not read and is not in force"
                    );
                }
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS_PER_READ && limits.len() < LIMITS_MAX => {
                // The first key after it.
                let mut next = Vec::from(&key[..]);
                next.push(0);
                range.begin = Bytes::from(next);
            }
            Some(_) | None => return Ok(limits),
        }
    }
}

/// One of them.
pub(super) async fn one(store: &dyn Store, id: &LimitId) -> Result<Option<Limit>, store::Error> {
    let key = key(id);
    let row = store.begin().get(&key, Isolation::Serializable).await?;
    row.map(|value| read(&key, &value, id)).transpose()
}

/// The rates of all.
pub(super) fn rates(limits: Vec<Limit>) -> HashMap<LimitId, Rate> {
    limits.into_iter().map(|it| (it.id, it.rate)).collect()
}

/// Makes a change and answers what was there before. A repeat changes nothing and is recorded once.
pub(super) async fn change(
    store: &dyn Store,
    clock: &Clock,
    change: &Change,
) -> Result<Option<Limit>, SetError> {
    let ran = store::run_repeatable(store, clock, |mut transaction| async move {
        let made = make(&mut *transaction, clock.wall_ms(), change).await?;
        Ok((transaction, made))
    });
    let (made, _) = ran.await?;
    made
}

async fn make(
    transaction: &mut dyn Transaction,
    now_ms: u64,
    change: &Change,
) -> Result<Result<Option<Limit>, SetError>, store::Error> {
    let Change {
        id,
        rate,
        principal,
    } = change;
    let (key, tenant) = (key(id), tenant(id));
    let row = transaction.get(&key, Isolation::Serializable).await?;
    let before = row.map(|value| read(&key, &value, id)).transpose()?;
    let present = before.as_ref().map(|it| it.rate);
    if present == *rate {
        return Ok(Ok(before));
    }
    match rate {
        None => transaction.clear(&key),
        Some(rate) => {
            if present.is_none() && is_full(transaction, &tenant).await? {
                return Ok(Err(SetError::Full(tenant)));
            }
            let stored = Stored {
                rate: rate.to_string(),
                burst: rate.burst(),
                changed_by: principal.to_string(),
                changed_ms: now_ms,
            };
            transaction.set(&key, &record::encode(&stored));
        }
    }
    let shown = |rate: Option<Rate>| {
        rate.map(|rate| json!({ "rate": rate.to_string(), "burst": rate.burst() }))
    };
    let entry = audit::Entry {
        at_ms: now_ms,
        principal: principal.to_string(),
        action: match rate {
            Some(_) => "limit.set".to_owned(),
            None => "limit.delete".to_owned(),
        },
        target: id.to_string(),
        outcome: audit::Outcome::Done,
        detail: json!({ "before": shown(present), "after": shown(*rate) }).to_string(),
    };
    audit::append(transaction, &tenant, entry).await?;
    notice(id).announce(transaction, now_ms).await?;
    Ok(Ok(before))
}

async fn is_full(transaction: &mut dyn Transaction, tenant: &Tenant) -> Result<bool, store::Error> {
    let range = KeyRange::of_tenant(TenantFamily::Limit, tenant);
    let read = range.read(LIMITS_OF_TENANT_MAX, Isolation::Snapshot);
    Ok(transaction.range(read).await?.len() >= LIMITS_OF_TENANT_MAX)
}

/// Where a limit and its audit records are: what holds for all tenants is in the default one.
fn tenant(id: &LimitId) -> Tenant {
    id.scope
        .tenant()
        .cloned()
        .unwrap_or_else(Tenant::default_tenant)
}

/// By which all nodes hear of a change.
fn notice(id: &LimitId) -> Notice {
    Notice::Limit {
        tenant: tenant(id),
        scope: id.scope.to_string(),
        name: id.name.to_string(),
    }
}

fn key(id: &LimitId) -> Vec<u8> {
    let limit = AdminKey::Limit {
        tenant: tenant(id),
        scope: id.scope.to_string(),
        name: id.name.to_string(),
    };
    Key::from(limit).encode()
}

/// The limit of a row, or what is wrong with it.
fn limit(key: &[u8], value: &[u8]) -> Result<Limit, String> {
    let decoded = Key::decode(key).map_err(|error| error.to_string())?;
    let Key::Admin(AdminKey::Limit {
        tenant,
        scope,
        name,
    }) = decoded
    else {
        return Err("it is no limit".to_owned());
    };
    let scope = Scope::parse(&scope, &tenant).map_err(|error| error.to_string())?;
    let name = name
        .parse()
        .map_err(|error: super::WrongName| error.to_string())?;
    read(key, value, &LimitId { scope, name }).map_err(|error| error.to_string())
}

fn read(key: &[u8], value: &[u8], id: &LimitId) -> Result<Limit, store::Error> {
    let Stored {
        rate,
        burst,
        changed_by,
        changed_ms,
    } = record::decode(key, value)?;
    let rate = rate
        .parse()
        .and_then(|rate: Rate| rate.with_burst(burst))
        .map_err(|error| store::Error::Record {
            key: key.escape_ascii().to_string(),
            reason: error.to_string(),
        })?;
    Ok(Limit {
        id: id.clone(),
        rate,
        changed_by,
        changed_ms,
    })
}

/// About what one answer of a store carries.
const ROWS_PER_READ: usize = 256;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use selvedge_cluster::bulletin;
    use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
    use selvedge_cluster::store::record::golden;

    use super::*;
    use crate::limit::name::LimitName;

    #[test]
    fn what_is_stored_stays_readable() {
        let stored = Stored {
            rate: "50/s".to_owned(),
            burst: 100,
            changed_by: "ann".to_owned(),
            changed_ms: 1_700_000_000_000,
        };
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        golden::check(&directory, "limit", &stored);
    }

    #[tokio::test]
    async fn each_change_is_audited_and_announced_once() {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(EmbeddedConfig::new(directory.path())).unwrap());
        let clock = Clock::manual(7, 1);
        let mut follower = bulletin::Follower::begin(Arc::clone(&store), clock.clone())
            .await
            .unwrap();
        let tenant = Tenant::new("acme").unwrap();
        let id = LimitId {
            scope: Scope::Tenant(tenant.clone()),
            name: LimitName::Commands,
        };
        let to = |rate: Option<&str>| Change {
            id: id.clone(),
            rate: rate.map(|rate| rate.parse().unwrap()),
            principal: "ann".into(),
        };
        for rate in [Some("50/s"), Some("50/s"), Some("10/min"), None, None] {
            change(&*store, &clock, &to(rate)).await.unwrap();
            let found = one(&*store, &id).await.unwrap();
            assert_eq!(found.map(|it| it.rate.to_string()).as_deref(), rate);
            let listed = all(&*store).await.unwrap();
            assert_eq!(listed.len(), usize::from(rate.is_some()));
        }
        let mut transaction = store.begin();
        let chain = (&tenant).into();
        let records = audit::page(&mut *transaction, &chain, None, store::Order::Ascending, 10);
        let records = records.await.unwrap();
        let told: Vec<_> = records
            .iter()
            .map(|it| (&*it.entry.action, &*it.entry.target, &*it.entry.detail))
            .collect();
        let target = "tenant:acme commands";
        assert_eq!(
            told,
            [
                (
                    "limit.set",
                    target,
                    r#"{"after":{"burst":50,"rate":"50/s"},"before":null}"#
                ),
                (
                    "limit.set",
                    target,
                    r#"{"after":{"burst":1,"rate":"10/min"},"before":{"burst":50,"rate":"50/s"}}"#
                ),
                (
                    "limit.delete",
                    target,
                    r#"{"after":null,"before":{"burst":1,"rate":"10/min"}}"#
                ),
            ]
        );
        let bulletin::News::Notices(notices) = follower.next().await else {
            panic!("some were lost");
        };
        let told = notices.iter().map(|it| record::decode(b"", it).unwrap());
        assert_eq!(told.collect::<Vec<Notice>>(), vec![notice(&id); 3]);
    }
}
