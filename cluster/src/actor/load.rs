//! Loads an actor: its fence unless that was proven lately, its record, and one range read if there are
//! other parts. Called at activation.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use selvedge_protocol::{ActorKind, ErrorCode, Failure};

use crate::actor::core::Core;
use crate::actor::hosted::AnyKind;
use crate::actor::machine::{Loaded, LookUp, Memory, Name, Write};
use crate::actor::record::{ActorRecord, Fence, Stored, StoredState};
use crate::slot::Proof;
use crate::store::keys::{Key, Part};
use crate::store::{self, Isolation};

/// Rows of an actor read at activation: 105 chunks of the largest state, and sessions and outcomes for
/// all actors but the busiest, which look up what is missing.
const ROWS_MAX: usize = 256;

/// Why an actor cannot be activated.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The slot, taken at this epoch, has another owner.
    Lost(u64),
    /// What is stored cannot be read or understood: it stays so.
    Undecodable(String),
    /// The store did not answer.
    Store(store::Error),
}

impl From<store::Error> for Failed {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Record { key, reason } => Self::Undecodable(format!("{key}: {reason}")),
            damage if damage.is_damage() => Self::Undecodable(damage.to_string()),
            other => Self::Store(other),
        }
    }
}

/// How often a load is begun anew because it took longer than the store lets a transaction read.
pub(crate) const ATTEMPTS_MAX: usize = 3;

/// The actor as it is in the store.
pub(crate) async fn load(
    core: &Core,
    name: &Arc<Name>,
    kind: &dyn AnyKind,
) -> Result<Loaded, Failed> {
    for _ in 1..ATTEMPTS_MAX {
        match try_load(core, name, kind).await {
            Err(Failed::Store(error)) if error.may_be_retried() => {}
            result => return result,
        }
    }
    try_load(core, name, kind).await
}

async fn try_load(core: &Core, name: &Arc<Name>, kind: &dyn AnyKind) -> Result<Loaded, Failed> {
    let slot = &core.slots[usize::from(name.slot)];
    let (now, ours) = (core.clock.monotonic(), slot.epoch());
    // Before the transaction: what this proves holds for whatever the transaction sees.
    let proven = slot.proven(now);
    let mut transaction = core.store.begin();
    let base = match proven {
        Some(version) => version,
        None => {
            let fence = transaction
                .get(&slot.fence_key, Isolation::Snapshot)
                .await?;
            if epoch(fence.as_ref())? != ours {
                return Err(Failed::Lost(ours));
            }
            let version = transaction.read_version().await?;
            slot.prove(Proof {
                version,
                epoch: ours,
                at: now,
            });
            version
        }
    };
    // Each commit writes the record, so without one there is nothing, and it says whether there is more: to
    // get one key costs a store far less than to open a range.
    let key = name.prefix.record();
    let record = transaction.get(&key, Isolation::Snapshot).await?;
    let rows = match record {
        None => Vec::new(),
        Some(value) if ActorRecord::decode(&value)?.has_parts => {
            let range = name.prefix.parts().read(ROWS_MAX, Isolation::Snapshot);
            transaction.range(range).await?
        }
        Some(value) => vec![(Bytes::from(key), value)],
    };
    let parts = sort(core.clock.wall_ms(), rows)?;
    let state = match &parts.record {
        None => kind.fresh(),
        Some(record) => {
            let bytes = match &record.state {
                StoredState::Here(bytes) => bytes.clone(),
                StoredState::Chunks(_) => parts.state.freeze(),
            };
            kind.decode(record.state_format, &bytes)
                .map_err(|reason| Failed::Undecodable(format!("state: {reason}")))?
        }
    };
    Ok(Loaded {
        name: Arc::clone(name),
        state,
        record: parts.record,
        memory: parts.memory,
        expired: parts.expired,
        retention: kind.retention(),
        base,
    })
}

/// What is told of an actor whose kind has no code here.
pub(crate) fn unknown(kind: &ActorKind) -> Failure {
    let message = format!("no actor kind {kind:?} is registered");
    Failure::new(ErrorCode::UnknownKind, message)
}

/// What is told of an actor that is [undecodable](Failed::Undecodable).
pub(crate) fn unreadable() -> Failure {
    Failure::new(
        ErrorCode::Internal,
        "the actor's stored state cannot be read; see the node's log",
    )
}

/// The epoch in a fence; none is 0.
pub(crate) fn epoch(fence: Option<&Bytes>) -> Result<u64, store::Error> {
    fence.map_or(Ok(0), |value| Ok(Fence::decode(value)?.epoch))
}

/// The value that the machine asked for.
pub(crate) async fn look_up(
    core: &Core,
    name: &Name,
    look_up: &LookUp,
) -> Result<Option<Bytes>, store::Error> {
    let key = look_up.key(&name.prefix);
    core.store.begin().get(&key, Isolation::Snapshot).await
}

struct Parts {
    record: Option<ActorRecord>,
    state: BytesMut,
    memory: Memory,
    expired: Vec<Write>,
}

fn sort(now_ms: u64, rows: Vec<(Bytes, Bytes)>) -> Result<Parts, Failed> {
    let mut parts = Parts {
        record: None,
        state: BytesMut::new(),
        memory: Memory::default(),
        expired: Vec::new(),
    };
    let is_all = rows.len() < ROWS_MAX;
    let mut ends_in_sessions = true;
    for (key, value) in rows {
        let decoded = Key::decode(&key).map_err(|error| Failed::Undecodable(error.to_string()))?;
        let Key::Actor { part, .. } = decoded else {
            return Err(Failed::Undecodable(format!("{decoded:?} is not a part")));
        };
        let is_kept = match part {
            Part::Record => {
                parts.record = Some(ActorRecord::decode(&value)?);
                true
            }
            Part::State { .. } => {
                parts.state.extend_from_slice(&value);
                true
            }
            Part::Session { session } => parts.memory.load_session(now_ms, session, &value)?,
            Part::CommandOutcome { command } => {
                ends_in_sessions = false;
                parts.memory.load_outcome(now_ms, command, &value)?
            }
        };
        if !is_kept {
            parts.expired.push(Write {
                key: key.to_vec(),
                value: None,
            });
        }
    }
    let inline = parts.record.as_mut().and_then(|it| it.session.take());
    if let Some((session, record)) = inline {
        parts.memory.load_inline(now_ms, session, record);
    }
    if !is_all {
        parts.memory.load_was_partial(ends_in_sessions);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_block_stays_unreadable() {
        let damage = store::Error::Unreadable {
            path: "/data/store".to_owned(),
            reason: "a checksum".to_owned(),
        };
        assert!(matches!(damage.into(), Failed::Undecodable(reason) if reason.contains("/data")));
        assert!(matches!(store::Error::TooOld.into(), Failed::Store(_)));
    }
}
