//! That nobody writes to a store: seen before a copy is begun, made sure by fences, and seen again when it is done.

use std::time::Duration;

use bytes::Bytes;

use super::BackupError;
use super::read::pairs;
use crate::Clock;
use crate::actor::record::{Fence, Stored};
use crate::store::keys::{ClusterKey, Family, Key, KeyRange};
use crate::store::{self, Isolation, Store, run_repeatable};

/// A store to which nobody writes, as far as can be seen.
pub(super) struct Quiet {
    beats: Vec<(Bytes, Bytes)>,
    /// As they were raised; empty where nobody else can have the store.
    fences: Vec<(Bytes, Bytes)>,
}

impl Quiet {
    /// Refuses a store whose nodes run, and ends what those that do not run any more had on its way.
    pub(super) async fn begin(store: &dyn Store, clock: &Clock) -> Result<Self, BackupError> {
        if store.is_exclusive() {
            return Ok(Self {
                beats: Vec::new(),
                fences: Vec::new(),
            });
        }
        let before = beats(store).await?;
        tokio::time::sleep(BEATS_SEEN).await;
        let beats = beats(store).await?;
        let nodes: Vec<String> = beats
            .iter()
            .filter(|beat| !before.contains(beat))
            .map(|(key, _)| name(key))
            .collect();
        if !nodes.is_empty() {
            return Err(BackupError::Alive { nodes });
        }
        raise_fences(store, clock).await?;
        Ok(Self {
            beats,
            fences: fences(store).await?,
        })
    }

    /// Whether it was quiet all the time.
    pub(super) async fn end(self, store: &dyn Store) -> Result<(), BackupError> {
        if store.is_exclusive() {
            return Ok(());
        }
        match fences(store).await? == self.fences && beats(store).await? == self.beats {
            true => Ok(()),
            false => Err(BackupError::Written),
        }
    }
}

async fn beats(store: &dyn Store) -> Result<Vec<(Bytes, Bytes)>, store::Error> {
    pairs(store, &KeyRange::family(Family::Beat)).await
}

async fn fences(store: &dyn Store) -> Result<Vec<(Bytes, Bytes)>, store::Error> {
    pairs(store, &KeyRange::family(Family::SlotFence)).await
}

/// Takes the slots that anybody has had, for nobody. Whoever takes one meanwhile conflicts with it.
async fn raise_fences(store: &dyn Store, clock: &Clock) -> Result<(), store::Error> {
    run_repeatable(store, clock, |mut transaction| async move {
        let range = KeyRange::family(Family::SlotFence).read(FENCES_MAX, Isolation::Serializable);
        for (key, fence) in transaction.range(range).await? {
            transaction.set(&key, &Fence::decode(&fence)?.given_up().encode());
        }
        Ok((transaction, ()))
    })
    .await
    .map(drop)
}

fn name(beat: &[u8]) -> String {
    match Key::decode(beat) {
        Ok(Key::Cluster(ClusterKey::Beat { name })) => name,
        Ok(_) | Err(_) => beat.escape_ascii().to_string(),
    }
}

/// A node that runs has beaten some times by then, also if it is busy.
const BEATS_SEEN: Duration = Duration::from_millis(1_500);
/// More slots than any cluster has.
const FENCES_MAX: usize = 1 << 16;
