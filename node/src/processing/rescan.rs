//! Finds in the store what did not fit into the pools: runs when a pool has room again and knows that
//! something is missing.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::actor::{CommandRequest, Identity, Origin, ScopedAddress};
use selvedge_cluster::store::keys::{Family, Key, KeyRange};
use selvedge_cluster::store::{self, Isolation};

use crate::operation::{NUDGE, is_operation};
use crate::processing::Pools;

/// Rows of one read: each becomes one message to an operation.
const ROWS_PER_READ: usize = 256;

/// The pause between two looks: a pool of 10,000 operations a second does not run dry in it.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks through the store whenever that is due, until the node ends.
pub(super) async fn run(pools: Pools) {
    // Where the last look stopped, for want of room.
    let mut cursor = None;
    loop {
        pools.runner_ended().await;
        if !pools.has_room() || (cursor.is_none() && !pools.take_incomplete()) {
            continue;
        }
        cursor = match look(&pools, cursor.take()).await {
            Ok(cursor) => cursor,
            Err(error) => {
                tracing::warn!(%error, "looking for runnable operations failed");
                pools.look_again();
                None
            }
        };
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks awake operations to offer themselves, from `cursor` on, until a pool is full or all were asked.
async fn look(pools: &Pools, cursor: Option<Bytes>) -> Result<Option<Bytes>, store::Error> {
    let family = KeyRange::family(Family::Awake);
    let mut begin = cursor.map_or_else(|| Bound::Included(family.begin.clone()), Bound::Excluded);
    loop {
        let mut range = family.read(ROWS_PER_READ, Isolation::Snapshot);
        range.begin = begin;
        let rows = pools.store().begin().range(range).await?;
        for (key, _) in &rows {
            let Ok(Key::Awake { actor }) = Key::decode(key) else {
                continue;
            };
            if is_operation(&actor.address) {
                // One after the other: a look never fills mailboxes, however much it finds.
                pools
                    .ask(nudge(ScopedAddress {
                        tenant: actor.tenant,
                        address: actor.address,
                    }))
                    .await;
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS_PER_READ => {
                if !pools.has_room() {
                    return Ok(Some(key.clone()));
                }
                begin = Bound::Excluded(key.clone());
            }
            Some(_) | None => return Ok(None),
        }
    }
}

fn nudge(actor: ScopedAddress) -> CommandRequest {
    CommandRequest {
        actor,
        principal: Arc::from("node"),
        origin: Origin::Node,
        identity: Identity::Natural,
        name: NUDGE.to_owned(),
        body: Bytes::from_static(b"null"),
        payload: None,
        deadline: None,
    }
}
