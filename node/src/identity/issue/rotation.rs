//! Another signing key by hand: published before it signs, as one that is made by itself, or at once where the present ones are
//! known to somebody else. The gateway calls it for administrators of the cluster.

use selvedge_cluster::store::{Isolation, Transaction, record};
use selvedge_protocol::limits::{SIGNING_KEY_AHEAD_MS, SIGNING_KEYS_MAX, TOKEN_SKEW_MS};
use selvedge_protocol::{ErrorCode, Failure};

use crate::identity::Principal;
use crate::identity::directory::Decided;
use crate::identity::issue::keys::{leave, signing_key_row, stored};
use crate::identity::issue::logins::Logins;
use crate::identity::issue::ring::signing;
use crate::identity::issue::secrets::Secrets;
use crate::identity::issue::signing_key::SigningKey;

/// How the next key follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Once everybody has had the time to hear of it. What the present one has signed is good to its end.
    Ahead,
    /// At once. All others are removed, and what they have signed is nobody's.
    Now,
}

/// The key that signs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    pub id: String,
    pub signs_from_ms: u64,
    /// Those that are good for nothing any more.
    pub removed: Vec<String>,
}

impl Logins {
    /// Has another key sign.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where there are too many.
    pub async fn rotate_keys(&self, by: &Principal, how: Rotation) -> Result<Rotated, Failure> {
        let parts = self.parts();
        let secrets = &parts.secrets;
        let now_ms = parts.directory.clock().wall_ms();
        parts
            .directory
            .transact(|transaction| rotate(transaction, secrets, (&*by.name, how), now_ms))
            .await
    }
}

async fn rotate(
    mut transaction: Box<dyn Transaction>,
    secrets: &Secrets,
    (by, how): (&str, Rotation),
    now_ms: u64,
) -> Decided<Rotated> {
    let keys = stored(&mut *transaction, Isolation::Serializable).await?;
    let decided = match how {
        Rotation::Ahead => ahead(&mut *transaction, secrets, &keys, now_ms),
        Rotation::Now => now(&mut *transaction, secrets, &keys, now_ms),
    };
    if let Ok(rotated) = &decided {
        for id in &rotated.removed {
            leave(&mut *transaction, (by, "signing-key.remove"), id, now_ms).await?;
        }
        let id = &rotated.id;
        leave(&mut *transaction, (by, "signing-key.rotate"), id, now_ms).await?;
    }
    Ok((transaction, decided))
}

fn ahead(
    transaction: &mut dyn Transaction,
    secrets: &Secrets,
    keys: &[SigningKey],
    now_ms: u64,
) -> Result<Rotated, Failure> {
    let Some(present) = signing(keys, now_ms) else {
        // Nobody has logged in yet, or for long: there is nobody who would have to hear of it.
        return now(transaction, secrets, &[], now_ms);
    };
    if let Some(next) = keys.iter().find(|key| key.signs_from_ms > now_ms) {
        // It is on its way already; twice is no sooner.
        return Ok(rotated(next, Vec::new()));
    }
    if keys.len() >= SIGNING_KEYS_MAX {
        let message = format!(
            "there are {SIGNING_KEYS_MAX} signing keys, whose tokens have not all expired; come again in an hour"
        );
        return Err(Failure::new(ErrorCode::Conflict, message));
    }
    let from_ms = now_ms.saturating_add(SIGNING_KEY_AHEAD_MS);
    let Some(next) = SigningKey::make(secrets, now_ms, from_ms) else {
        return Err(unmade());
    };
    let mut present = present.clone();
    present.signs_until_ms = from_ms.min(present.signs_until_ms);
    for key in [&present, &next] {
        transaction.set(&signing_key_row(&key.id), &record::encode(key));
    }
    Ok(rotated(&next, Vec::new()))
}

fn now(
    transaction: &mut dyn Transaction,
    secrets: &Secrets,
    keys: &[SigningKey],
    now_ms: u64,
) -> Result<Rotated, Failure> {
    // Nodes whose clocks are behind take it as well.
    let from_ms = now_ms.saturating_sub(TOKEN_SKEW_MS);
    let Some(next) = SigningKey::make(secrets, now_ms, from_ms) else {
        return Err(unmade());
    };
    for key in keys {
        transaction.clear(&signing_key_row(&key.id));
    }
    transaction.set(&signing_key_row(&next.id), &record::encode(&next));
    let removed = keys.iter().map(|key| key.id.clone()).collect();
    Ok(rotated(&next, removed))
}

fn rotated(key: &SigningKey, removed: Vec<String>) -> Rotated {
    Rotated {
        id: key.id.clone(),
        signs_from_ms: key.signs_from_ms,
        removed,
    }
}

fn unmade() -> Failure {
    Failure::new(
        ErrorCode::Internal,
        "the system makes no keys; its log says more",
    )
}
