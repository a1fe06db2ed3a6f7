//! Values that are larger than the store takes under one key, cut into chunks.
//!
//! Used for states and payloads. The chunks of a value lie under consecutive numbers from 0; whoever
//! writes a value anew says how many there were, so that no range has to be cleared or read for it.

use bytes::{Bytes, BytesMut};
use selvedge_protocol::limits::STATE_BYTES_MAX;

use super::keys::KeyRange;
use super::{Error, Isolation, Transaction};

/// Writes a value in place of one that had `before` chunks (0 if there was none), and answers how
/// many it has now.
pub fn replace(
    transaction: &mut dyn Transaction,
    key: impl Fn(u32) -> Vec<u8>,
    value: &[u8],
    before: u32,
) -> Result<u32, Error> {
    if value.len() > STATE_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "stored value",
            bytes: value.len(),
            limit: STATE_BYTES_MAX,
        });
    }
    // An empty value has one chunk, so that it differs from none.
    transaction.set(&key(0), &value[..value.len().min(CHUNK_BYTES)]);
    let mut chunks = 1;
    for chunk in value.chunks(CHUNK_BYTES).skip(1) {
        transaction.set(&key(chunks), chunk);
        chunks += 1;
    }
    for chunk in chunks..before {
        transaction.clear(&key(chunk));
    }
    Ok(chunks)
}

/// A value and the number of its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    pub value: Bytes,
    pub chunks: u32,
}

/// Reads a value back whole from the range of its chunks; `None` if there is none.
pub async fn read(
    transaction: &mut dyn Transaction,
    range: &KeyRange,
    isolation: Isolation,
) -> Result<Option<Whole>, Error> {
    // One more than there can be, so that too many are noticed.
    let pairs = transaction
        .range(range.read(CHUNKS_MAX + 1, isolation))
        .await?;
    if pairs.len() > CHUNKS_MAX {
        return Err(Error::Record {
            key: range.begin.escape_ascii().to_string(),
            reason: format!("it has more than {CHUNKS_MAX} chunks"),
        });
    }
    let chunks = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
    let mut pairs = pairs.into_iter();
    let value = match (pairs.len(), pairs.next()) {
        (_, None) => return Ok(None),
        (1, Some((_, only))) => only,
        (_, Some((_, first))) => {
            let mut value = BytesMut::from(first);
            for (_, chunk) in pairs {
                value.extend_from_slice(&chunk);
            }
            value.freeze()
        }
    };
    Ok(Some(Whole { value, chunks }))
}

/// Below FoundationDB's 100 kB, with room for what a caller adds around a value.
pub const CHUNK_BYTES: usize = 90_000;
/// The chunks of the largest value.
const CHUNKS_MAX: usize = STATE_BYTES_MAX.div_ceil(CHUNK_BYTES);
