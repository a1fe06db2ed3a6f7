//! Keys with their hash, computed once by whoever makes them and used by every map of the committer.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use xxhash_rust::xxh3::xxh3_64;

use super::engine::Slice;

/// A kept key and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HashedKey {
    pub(super) hash: u64,
    pub(super) key: Slice,
}

impl HashedKey {
    pub(super) fn new(key: Slice) -> Self {
        Self {
            hash: xxh3_64(&key),
            key,
        }
    }
}

impl Hash for HashedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A map over what is a hash already.
pub(super) type HashedMap<K, V> = HashMap<K, V, BuildHasherDefault<Identity>>;

/// Takes a `u64` for its own hash.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only numbers are hashed here; anything else would still be hashed right.
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
