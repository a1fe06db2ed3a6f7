//! Copies of a store in a file, to move it to another store or to have it again: made from any backend, restored into
//! any, and compared by the count and checksum of each family of keys.
//!
//! A copy is of one moment. It takes longer than any transaction may, so nobody may write meanwhile: the nodes have to
//! be stopped, and a store that they could share is fenced first, which ends whatever of them is still on its way. If
//! anything has changed when all was read, there is no copy.

mod error;
mod format;
mod quiet;
mod read;
mod restore;
mod tally;

pub use error::BackupError;
pub use read::{create, create_keys};
pub use restore::{KeysRestored, restore, restore_keys};
pub use tally::FamilyTotal;

use std::io::Read;

/// What a copy has in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// When it was made, milliseconds of Unix time.
    pub created_ms: u64,
    /// The version of what made it.
    pub by: String,
    pub families: Vec<FamilyTotal>,
}

impl Contents {
    pub fn keys(&self) -> u64 {
        self.families.iter().map(|family| family.keys).sum()
    }

    /// Of keys and values.
    pub fn bytes(&self) -> u64 {
        self.families.iter().map(|family| family.bytes).sum()
    }
}

/// Reads a copy to its end: whatever is damaged in it is found. `progress` hears how many keys were read so far.
pub fn verify(input: impl Read, progress: &mut dyn FnMut(u64)) -> Result<Contents, BackupError> {
    let mut reader = format::Reader::open(input)?;
    let mut keys = 0;
    while let Some(pairs) = reader.next()? {
        keys += pairs.len() as u64;
        progress(keys);
    }
    reader.contents()
}
