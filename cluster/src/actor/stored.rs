//! Reads the committed state of an actor without activating it: for lists, which show many actors and
//! change none. What an activation has decided and not committed is not in it.

use bytes::{Bytes, BytesMut};

use crate::actor::record::{ActorRecord, Stored, StoredState as Place};
use crate::store::keys::ActorPath;
use crate::store::{self, Isolation, Transaction};

/// A state as its kind has encoded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// The format version that the kind wrote it with.
    pub format: u8,
    pub bytes: Bytes,
    /// The version of the actor, raised with each commit.
    pub version: u64,
}

/// The state of an actor in the snapshot of `transaction`; `None` before its first commit.
pub async fn stored_state(
    transaction: &mut dyn Transaction,
    actor: &ActorPath,
) -> Result<Option<StoredState>, store::Error> {
    let prefix = actor.prefix();
    let record = transaction
        .get(&prefix.record(), Isolation::Snapshot)
        .await?;
    let Some(record) = record else {
        return Ok(None);
    };
    let record = ActorRecord::decode(&record)?;
    let bytes = match record.state {
        Place::Here(bytes) => bytes,
        Place::Chunks(count) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let chunks = prefix.state_chunks().read(count, Isolation::Snapshot);
            let mut whole = BytesMut::new();
            for (_, chunk) in transaction.range(chunks).await? {
                whole.extend_from_slice(&chunk);
            }
            whole.freeze()
        }
    };
    Ok(Some(StoredState {
        format: record.state_format,
        bytes,
        version: record.version,
    }))
}
