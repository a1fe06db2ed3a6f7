//! Counts and checksums of families of keys, as pairs pass by in order. Pure.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use crate::store::keys::Family;

/// What a family of keys has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyTotal {
    /// Its persisted ordinal; 0 are keys that this binary does not know.
    pub ordinal: u16,
    pub keys: u64,
    /// Of keys and values.
    pub bytes: u64,
    /// xxh3 of all keys and values, each after its length, in order.
    pub checksum: u64,
}

impl FamilyTotal {
    pub fn name(&self) -> &'static str {
        Family::of_ordinal(self.ordinal).map_or("unknown", Family::name)
    }
}

/// Adds up.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<u16, Running>);

#[derive(Default)]
struct Running {
    keys: u64,
    bytes: u64,
    hash: Xxh3,
}

impl Tally {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let ordinal = Family::of(key).map_or(0, |family| family as u16);
        let running = self.0.entry(ordinal).or_default();
        running.keys += 1;
        running.bytes += (key.len() + value.len()) as u64;
        for part in [key, value] {
            running.hash.update(&(part.len() as u64).to_le_bytes());
            running.hash.update(part);
        }
    }

    pub(super) fn keys(&self) -> u64 {
        self.0.values().map(|running| running.keys).sum()
    }

    /// In the order of their ordinals.
    pub(super) fn totals(&self) -> Vec<FamilyTotal> {
        let totals = self.0.iter().map(|(ordinal, running)| FamilyTotal {
            ordinal: *ordinal,
            keys: running.keys,
            bytes: running.bytes,
            checksum: running.hash.digest(),
        });
        totals.collect()
    }
}
