//! The cluster's signing keys in the store, and the one that signs now.
//!
//! Whoever signs makes the keys that are due, in one transaction, so no node has to be the one that does it.

use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_cluster::store::keys::{AdminKey, Family, Key, KeyRange};
use selvedge_cluster::store::{self, Isolation, Transaction, record};
use selvedge_protocol::limits::SIGNING_KEYS_MAX;
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use serde_json::{Value, json};

use crate::gateway::failure;
use crate::identity::directory::{Change, Directory};
use crate::identity::issue::ring::{Plan, plan, signing};
use crate::identity::issue::secrets::Secrets;
use crate::identity::issue::signing_key::{Signer, SigningKey};
use crate::notice::Notice;

/// The key that signs, as it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Present(Mutex<Option<Looked>>);

#[derive(Debug)]
struct Looked {
    signer: Arc<Signer>,
    until_ms: u64,
    /// How many changes of keys had been heard of.
    changes: u64,
}

impl Present {
    /// The key that signs now.
    pub(super) async fn signer(
        &self,
        directory: &Directory,
        secrets: &Secrets,
    ) -> Result<Arc<Signer>, Failure> {
        let now_ms = directory.clock().wall_ms();
        // Before the look, so that nothing is missed between both.
        let changes = directory.standings().key_changes();
        let looked = self.0.lock().as_ref().and_then(|looked| {
            // Where the clock was set back by more, what was seen is of another time.
            let is_near = now_ms < looked.until_ms && looked.until_ms - now_ms <= LOOK_MS;
            let is_good = is_near && looked.changes == changes;
            is_good.then(|| Arc::clone(&looked.signer))
        });
        if let Some(signer) = looked {
            return Ok(signer);
        }
        let keys = directory.tended_keys(secrets, now_ms).await;
        let keys = keys.map_err(|error| failure::store(&error))?;
        let signer = signing(&keys, now_ms).and_then(|key| key.open(secrets));
        let Some(signer) = signer.map(Arc::new) else {
            tracing::error!(
                "no signing key of the cluster can be opened; remove those that there are"
            );
            let message = "no token can be signed; the node's log says more";
            return Err(Failure::new(ErrorCode::Internal, message));
        };
        *self.0.lock() = Some(Looked {
            signer: Arc::clone(&signer),
            until_ms: now_ms.saturating_add(LOOK_MS),
            changes,
        });
        Ok(signer)
    }
}

impl Directory {
    /// The keys that tokens of the cluster are verified with: a JWK set (RFC 7517).
    pub(in crate::identity) async fn published_keys(&self) -> Result<Value, store::Error> {
        let keys = stored(&mut *self.store().begin(), Isolation::Snapshot).await?;
        let now_ms = self.clock().wall_ms();
        let good = keys.iter().filter(|key| now_ms < key.ends_ms());
        Ok(json!({ "keys": good.map(SigningKey::jwk).collect::<Vec<_>>() }))
    }

    /// All keys, once those that are due are made and those that have ended are removed.
    async fn tended_keys(
        &self,
        secrets: &Secrets,
        now_ms: u64,
    ) -> Result<Vec<SigningKey>, store::Error> {
        let tended =
            store::run_repeatable(self.store(), self.clock(), |mut transaction| async move {
                let keys = tend(&mut *transaction, secrets, now_ms).await?;
                Ok((transaction, keys))
            });
        Ok(tended.await?.0)
    }
}

async fn tend(
    transaction: &mut dyn Transaction,
    secrets: &Secrets,
    now_ms: u64,
) -> Result<Vec<SigningKey>, store::Error> {
    let mut keys = stored(transaction, Isolation::Serializable).await?;
    let Plan {
        make_from_ms,
        ended,
    } = plan(&keys, now_ms);
    for id in &ended {
        transaction.clear(&signing_key_row(id));
        leave(transaction, (CLUSTER, "signing-key.remove"), id, now_ms).await?;
    }
    keys.retain(|key| !ended.contains(&key.id));
    let made = make_from_ms.and_then(|from_ms| SigningKey::make(secrets, now_ms, from_ms));
    if let Some(made) = made {
        transaction.set(&signing_key_row(&made.id), &record::encode(&made));
        leave(
            transaction,
            (CLUSTER, "signing-key.create"),
            &made.id,
            now_ms,
        )
        .await?;
        keys.push(made);
    }
    Ok(keys)
}

/// Keys are the whole cluster's: what becomes of them is told in the chain of the default tenant, which its operators read.
pub(super) async fn leave(
    transaction: &mut dyn Transaction,
    (principal, action): (&str, &'static str),
    id: &str,
    now_ms: u64,
) -> Result<(), store::Error> {
    let change = Change {
        tenant: &Tenant::default_tenant(),
        principal,
        action,
        target: id,
        detail: Value::Null,
        notice: Some(Notice::SigningKey { id: id.to_owned() }),
    };
    change.leave(transaction, now_ms).await
}

pub(super) async fn stored(
    transaction: &mut dyn Transaction,
    isolation: Isolation,
) -> Result<Vec<SigningKey>, store::Error> {
    let range = KeyRange::family(Family::SigningKey).read(2 * SIGNING_KEYS_MAX, isolation);
    let rows = transaction.range(range).await?;
    rows.iter()
        .map(|(key, row)| record::decode(key, row))
        .collect()
}

/// The key of the row of a signing key.
pub(super) fn signing_key_row(id: &str) -> Vec<u8> {
    let id = id.to_owned();
    Key::from(AdminKey::SigningKey { id }).encode()
}

/// Who makes and removes keys that are due.
const CLUSTER: &str = "cluster";

/// How long a node signs on without looking, milliseconds: a hundredth of the time for which the next key is published
/// before it signs.
const LOOK_MS: u64 = 60_000;
