//! Writes a copy into an empty store, and reads it back. Until that is done, a mark in the store keeps nodes away.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;

use super::format::Reader;
use super::read::{Walk, everything};
use super::tally::Tally;
use super::{BackupError, Contents, FamilyTotal};
use crate::Clock;
use crate::store::keys::Family;
use crate::store::migration::restoring;
use crate::store::{self, Isolation, Range, Store, Transaction, run_repeatable};

/// Restores a copy. A store that has anything is refused, unless that is what an earlier restore has left behind.
/// `progress` hears how many keys were written so far.
pub async fn restore(
    store: &dyn Store,
    clock: &Clock,
    input: impl Read,
    progress: &mut dyn FnMut(u64),
) -> Result<Contents, BackupError> {
    let mut reader = Reader::open(input)?;
    clear(store, clock).await?;
    let mut batch = Batch::default();
    let mut keys = 0;
    while let Some(pairs) = reader.next()? {
        keys += pairs.len() as u64;
        for (key, value) in pairs {
            batch.add(store, key, value).await?;
        }
        progress(keys);
    }
    let contents = reader.contents()?;
    batch.flush(store).await?;
    compare(&stored(store).await?, &contents.families)?;
    surely(store, |transaction| transaction.clear(&restoring())).await?;
    Ok(contents)
}

/// What was done with a copy of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysRestored {
    pub contents: Contents,
    /// How many of them were not there. The others stay as they are: erased, or of later.
    pub restored: u64,
}

/// Restores the keys of subjects that are not in a store. What is there is never changed: a subject that was erased
/// stays so. To be done before nodes start on what was restored.
pub async fn restore_keys(
    store: &dyn Store,
    clock: &Clock,
    input: impl Read,
    progress: &mut dyn FnMut(u64),
) -> Result<KeysRestored, BackupError> {
    let mut reader = Reader::open(input)?;
    let (mut keys, mut restored) = (0, 0);
    while let Some(pairs) = reader.next()? {
        let foreign = |(key, _): &(Bytes, Bytes)| Family::of(key) != Some(Family::SubjectKey);
        if pairs.iter().any(foreign) {
            return Err(BackupError::NoKeys);
        }
        let pairs = &pairs;
        let (added, _) = run_repeatable(store, clock, |mut transaction| async move {
            let mut added = 0;
            for (key, value) in pairs {
                if transaction
                    .get(key, Isolation::Serializable)
                    .await?
                    .is_none()
                {
                    transaction.set(key, value);
                    added += 1;
                }
            }
            Ok((transaction, added))
        })
        .await?;
        restored += added;
        keys += pairs.len() as u64;
        progress(keys);
    }
    Ok(KeysRestored {
        contents: reader.contents()?,
        restored,
    })
}

/// Makes sure that there is nothing but the mark: looks and clears at once, so that nobody's store is cleared.
async fn clear(store: &dyn Store, clock: &Clock) -> Result<(), BackupError> {
    let (is_free, _) = run_repeatable(store, clock, |mut transaction| async move {
        let first = Range {
            limit: 1,
            isolation: Isolation::Serializable,
            ..everything()
        };
        let is_free = transaction.range(first).await?.is_empty()
            || transaction
                .get(&restoring(), Isolation::Serializable)
                .await?
                .is_some();
        if is_free {
            transaction.clear_range(&[], &[u8::MAX; 4]);
            transaction.set(&restoring(), &[]);
        }
        Ok((transaction, is_free))
    })
    .await?;
    match is_free {
        true => Ok(()),
        false => Err(BackupError::Occupied),
    }
}

/// Pairs that are written together.
#[derive(Debug, Default)]
struct Batch {
    pairs: Vec<(Bytes, Bytes)>,
    bytes: usize,
}

impl Batch {
    async fn add(
        &mut self,
        store: &dyn Store,
        key: Bytes,
        value: Bytes,
    ) -> Result<(), store::Error> {
        self.bytes += key.len() + value.len();
        self.pairs.push((key, value));
        match self.bytes >= BATCH_BYTES {
            true => self.flush(store).await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self, store: &dyn Store) -> Result<(), store::Error> {
        surely(store, |transaction| {
            for (key, value) in &self.pairs {
                transaction.set(key, value);
            }
        })
        .await?;
        *self = Self::default();
        Ok(())
    }
}

/// Commits writes that do the same when they are done again, as often as it takes to know that they are done.
async fn surely(
    store: &dyn Store,
    write: impl Fn(&mut dyn Transaction),
) -> Result<(), store::Error> {
    let mut attempts = 1;
    loop {
        let mut transaction = store.begin();
        write(&mut *transaction);
        match transaction.commit().await {
            Ok(_) => return Ok(()),
            Err(error) => {
                let may_pass =
                    error.may_be_retried() || matches!(error, store::Error::CommitUnknown);
                if !may_pass || attempts == ATTEMPTS_MAX {
                    return Err(error);
                }
            }
        }
        attempts += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the store has, the mark left out.
async fn stored(store: &dyn Store) -> Result<Vec<FamilyTotal>, store::Error> {
    let mut tally = Tally::default();
    let mark = restoring();
    let mut walk = Walk::over(everything());
    while let Some(pairs) = walk.next(store).await? {
        for (key, value) in pairs.iter().filter(|(key, _)| **key != mark) {
            tally.add(key, value);
        }
    }
    Ok(tally.totals())
}

fn compare(found: &[FamilyTotal], expected: &[FamilyTotal]) -> Result<(), BackupError> {
    let say = |total: Option<&FamilyTotal>| match total {
        Some(total) => format!("{} keys, checksum {:016x}", total.keys, total.checksum),
        None => "nothing".to_owned(),
    };
    let of = |totals: &[FamilyTotal], ordinal| {
        totals
            .iter()
            .find(|total| total.ordinal == ordinal)
            .copied()
    };
    for total in found.iter().chain(expected) {
        let (found, expected) = (of(found, total.ordinal), of(expected, total.ordinal));
        if found != expected {
            return Err(BackupError::Different {
                family: total.name(),
                found: say(found.as_ref()),
                expected: say(expected.as_ref()),
            });
        }
    }
    Ok(())
}

/// Half of what FoundationDB advises a transaction to have at most.
const BATCH_BYTES: usize = 512 * 1024;
/// With the pause some ten seconds.
const ATTEMPTS_MAX: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);
