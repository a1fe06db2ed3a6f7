//! Finds in the store what the pools do not have: what did not fit, or was lost with a crashed runner or
//! pool. Runs when a pool knows that something is missing and has room for it.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use selvedge_cluster::actor::{ScopedAddress, stored_state};
use selvedge_cluster::store::keys::{ActorPath, Family, Key, KeyRange, SlotFamily};
use selvedge_cluster::store::{self, Isolation};
use selvedge_protocol::OperationType;

use crate::operation::{Record, is_operation};
use crate::processing::Pools;
use crate::processing::pool::Pool;
use crate::processing::pools::PoolName;

/// Rows of one read: each becomes one message to an operation.
const ROWS_PER_READ: usize = 256;

/// Operations that are asked at a time to offer themselves: as many as share the commits of a store, so
/// that what a look finds is not slower than what comes in. So many may find no place in the end.
const ASKED_AT_ONCE: usize = 64;

/// The pause between two looks: a pool of 10,000 operations a second does not run dry in it.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks through the store whenever that is due, until the node ends.
pub(super) async fn run(pools: Pools) {
    // Where the last look for a type stopped, for want of room.
    let mut cursors = HashMap::new();
    loop {
        pools.look_wanted().await;
        for (name, pool) in pools.all() {
            if !pool.take_incomplete() {
                continue;
            }
            let from = cursors.remove(&name);
            let is_partial = from.is_some();
            match look(&pools, &name, &pool, from).await {
                Ok(Some(cursor)) => {
                    cursors.insert(name, cursor);
                    pool.look_later();
                }
                // What came before the place where this look began is next.
                Ok(None) if is_partial => pool.look_again(),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "looking for runnable operations failed");
                    pool.look_again();
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks awake operations of a pool in slots of this node to offer themselves, from `from` on, until the pool is full or all were
/// asked.
async fn look(
    pools: &Pools,
    name: &PoolName,
    pool: &Arc<Pool>,
    from: Option<Bytes>,
) -> Result<Option<Bytes>, store::Error> {
    let family = KeyRange::family(Family::Awake);
    let mut begin = from.map_or_else(|| Bound::Included(family.begin.clone()), Bound::Included);
    // The first that did not fit.
    let mut left = None;
    let mut asked = Vec::with_capacity(ASKED_AT_ONCE);
    let Some(slots) = pools.host().map(|host| host.owned()) else {
        return Ok(None);
    };
    loop {
        let mut range = family.read(ROWS_PER_READ, Isolation::Snapshot);
        range.begin = begin;
        let rows = pools.store().begin().range(range).await?;
        let mut passed = None;
        for (key, _) in &rows {
            let Ok(Key::Awake { actor: path }) = Key::decode(key) else {
                continue;
            };
            if let Err(next) = slots.binary_search(&path.slot) {
                // Another node's: on with the next that is this one's.
                let Some(next) = slots.get(next) else {
                    ask(pools, &mut asked).await;
                    return Ok(left);
                };
                passed = Some(KeyRange::slot(SlotFamily::Awake, *next).begin);
                break;
            }
            let actor = ScopedAddress {
                tenant: path.tenant.clone(),
                address: path.address.clone(),
            };
            if !is_operation(&actor.address) || !name.serves(&actor.tenant) {
                continue;
            }
            // Others may have room where this tenant has none.
            if pool.has_place() && !pool.has_place_for(&actor.tenant) {
                left.get_or_insert_with(|| key.clone());
                passed = Some(KeyRange::awake(path.slot, &actor.tenant).end);
                break;
            }
            if pools.active(&actor).is_some() || !is_of(pools, name.operation_type(), &path).await?
            {
                continue;
            }
            if !pool.has_place() {
                ask(pools, &mut asked).await;
                return Ok(Some(left.unwrap_or_else(|| key.clone())));
            }
            // Some at a time: a look never fills mailboxes, however much it finds.
            asked.push(actor);
            if asked.len() == ASKED_AT_ONCE {
                ask(pools, &mut asked).await;
            }
        }
        ask(pools, &mut asked).await;
        match (passed, rows.last()) {
            (Some(next), _) => begin = Bound::Included(next),
            (None, Some((key, _))) if rows.len() == ROWS_PER_READ => {
                begin = Bound::Excluded(key.clone());
            }
            (None, Some(_) | None) => return Ok(left),
        }
    }
}

/// Has these operations offer themselves; they have done so when this completes.
async fn ask(pools: &Pools, asked: &mut Vec<ScopedAddress>) {
    let asking = asked.iter().map(|actor| pools.ask_to_offer(actor));
    join_all(asking).await;
    asked.clear();
}

/// Whether an operation is of this type. Read beside its actor, which the wrong ones need not activate.
async fn is_of(
    pools: &Pools,
    name: &OperationType,
    path: &ActorPath,
) -> Result<bool, store::Error> {
    let stored = stored_state(&mut *pools.store().begin(), path).await?;
    let record = stored.and_then(|stored| Record::decode(&stored.bytes).ok());
    Ok(record.is_some_and(|record| record.operation_type == *name))
}
