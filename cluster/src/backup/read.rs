//! Reads a whole store: in many transactions, as it takes longer than one may.

use std::io::Write;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use super::format::Writer;
use super::quiet::Quiet;
use super::{BackupError, Contents};
use crate::Clock;
use crate::store::keys::{Family, KeyRange};
use crate::store::{self, Isolation, Order, Range, Store};

/// Copies a store into a file, but for the keys of subjects: what is personal is cipher text in it, and goes with those
/// keys. The nodes that have used the store are stopped; see the module. `progress` hears how many keys were copied so
/// far.
pub async fn create(
    store: &dyn Store,
    clock: &Clock,
    out: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Contents, BackupError> {
    if pairs(store, &KeyRange::family(Family::Meta))
        .await?
        .is_empty()
    {
        return Err(BackupError::Nothing);
    }
    let quiet = Quiet::begin(store, clock).await?;
    let mut writer = Writer::begin(out, clock.wall_ms())?;
    let mut walk = Walk::over(everything());
    while let Some(pairs) = walk.next(store).await? {
        for (key, value) in pairs {
            if Family::of(&key) != Some(Family::SubjectKey) {
                writer.add(&key, &value)?;
            }
        }
        progress(writer.keys());
    }
    quiet.end(store).await?;
    writer.finish()
}

/// Copies the keys of subjects into a file of their own, as they are: wrapped. To be made again and again in place of
/// the one before, for a subject that is erased later is so in the copies of its data as well, once no older copy of
/// its key is left.
pub async fn create_keys(
    store: &dyn Store,
    clock: &Clock,
    out: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Contents, BackupError> {
    let mut writer = Writer::begin(out, clock.wall_ms())?;
    let keys = KeyRange::family(Family::SubjectKey);
    let mut walk = Walk::over(keys.read(PAIRS_MAX, Isolation::Snapshot));
    while let Some(pairs) = walk.next(store).await? {
        for (key, value) in pairs {
            writer.add(&key, &value)?;
        }
        progress(writer.keys());
    }
    writer.finish()
}

/// All pairs of a range that fits into memory.
pub(super) async fn pairs(
    store: &dyn Store,
    range: &KeyRange,
) -> Result<Vec<(Bytes, Bytes)>, store::Error> {
    let mut walk = Walk::over(range.read(PAIRS_MAX, Isolation::Snapshot));
    let mut all = Vec::new();
    while let Some(pairs) = walk.next(store).await? {
        all.extend(pairs);
    }
    Ok(all)
}

/// Every key that there is.
pub(super) const fn everything() -> Range {
    Range {
        begin: Bound::Unbounded,
        end: Bound::Unbounded,
        order: Order::Ascending,
        limit: PAIRS_MAX,
        isolation: Isolation::Snapshot,
    }
}

/// Goes through a range, some pairs in each transaction.
pub(super) struct Walk {
    range: Range,
    is_over: bool,
}

impl Walk {
    pub(super) const fn over(range: Range) -> Self {
        Self {
            range,
            is_over: false,
        }
    }

    /// The next pairs; `None`: there are no more.
    pub(super) async fn next(
        &mut self,
        store: &dyn Store,
    ) -> Result<Option<Vec<(Bytes, Bytes)>>, store::Error> {
        if self.is_over {
            return Ok(None);
        }
        let pairs = self.read(store).await?;
        self.is_over = pairs.len() < self.range.limit;
        if let Some((last, _)) = pairs.last() {
            self.range.begin = Bound::Excluded(last.clone());
        }
        Ok((!pairs.is_empty()).then_some(pairs))
    }

    async fn read(&self, store: &dyn Store) -> Result<Vec<(Bytes, Bytes)>, store::Error> {
        for _ in 1..ATTEMPTS_MAX {
            match store.begin().range(self.range.clone()).await {
                Err(error) if error.may_be_retried() => tokio::time::sleep(PAUSE).await,
                result => return result,
            }
        }
        store.begin().range(self.range.clone()).await
    }
}

/// In one transaction: 26 MB at the very most, and read in far less than the five seconds of a transaction.
const PAIRS_MAX: usize = 256;
/// With the pause some ten seconds: a store that is away for longer is looked after by a person.
const ATTEMPTS_MAX: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);
