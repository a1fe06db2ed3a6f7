//! The file: blocks, each with its length before it and its checksum behind it. Nothing here knows of a store.
//!
//! ```text
//! "SELVBKUP" format
//! length(4) kind(1) body xxh3(8)          repeated; all numbers little-endian
//!
//! kind 1   header: created ms (8), version of what made it (text), first
//! kind 2   pairs: key length (4), value length (4), key, value; repeated, ascending over the whole file
//! kind 3   trailer: ordinal (2), keys (8), bytes (8), checksum (8); repeated for each family, last
//! ```

use std::io::{ErrorKind, Read, Write};

use bytes::{Buf, BufMut, Bytes};
use selvedge_protocol::limits::{STORE_KEY_BYTES_MAX, STORE_VALUE_BYTES_MAX};
use xxhash_rust::xxh3::xxh3_64;

use super::tally::Tally;
use super::{BackupError, Contents, FamilyTotal};

/// Writes a file in one go.
pub(super) struct Writer<W> {
    out: W,
    pairs: Vec<u8>,
    tally: Tally,
    created_ms: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(mut out: W, created_ms: u64) -> Result<Self, BackupError> {
        out.write_all(MAGIC)?;
        out.write_all(&[FORMAT])?;
        let mut header = created_ms.to_le_bytes().to_vec();
        header.extend_from_slice(VERSION.as_bytes());
        write_block(&mut out, HEADER, &header)?;
        Ok(Self {
            out,
            pairs: Vec::with_capacity(PAIRS_BYTES + PAIR_BYTES_MAX),
            tally: Tally::default(),
            created_ms,
        })
    }

    /// Pairs come in ascending order.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackupError> {
        self.tally.add(key, value);
        self.pairs
            .put_u32_le(u32::try_from(key.len()).unwrap_or(u32::MAX));
        self.pairs
            .put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.pairs.extend_from_slice(key);
        self.pairs.extend_from_slice(value);
        if self.pairs.len() >= PAIRS_BYTES {
            write_block(&mut self.out, PAIRS, &self.pairs)?;
            self.pairs.clear();
        }
        Ok(())
    }

    pub(super) fn keys(&self) -> u64 {
        self.tally.keys()
    }

    pub(super) fn finish(mut self) -> Result<Contents, BackupError> {
        if !self.pairs.is_empty() {
            write_block(&mut self.out, PAIRS, &self.pairs)?;
        }
        let families = self.tally.totals();
        let mut trailer = Vec::new();
        for total in &families {
            trailer.put_u16_le(total.ordinal);
            trailer.put_u64_le(total.keys);
            trailer.put_u64_le(total.bytes);
            trailer.put_u64_le(total.checksum);
        }
        write_block(&mut self.out, TRAILER, &trailer)?;
        self.out.flush()?;
        Ok(Contents {
            created_ms: self.created_ms,
            by: VERSION.to_owned(),
            families,
        })
    }
}

fn write_block(out: &mut impl Write, kind: u8, body: &[u8]) -> Result<(), BackupError> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut head = length.to_le_bytes().to_vec();
    head.push(kind);
    out.write_all(&head)?;
    out.write_all(body)?;
    out.write_all(&checksum(kind, body).to_le_bytes())?;
    Ok(())
}

/// Reads a file from its beginning to its end, and counts again.
pub(super) struct Reader<R> {
    input: R,
    tally: Tally,
    created_ms: u64,
    by: String,
    last: Bytes,
    /// Read, once it is.
    trailer: Option<Vec<FamilyTotal>>,
}

impl<R: Read> Reader<R> {
    pub(super) fn open(mut input: R) -> Result<Self, BackupError> {
        let mut start = [0; MAGIC.len() + 1];
        match input.read_exact(&mut start) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(BackupError::Foreign);
            }
            Err(error) => return Err(error.into()),
        }
        let [magic @ .., format] = start;
        if magic != *MAGIC || format == 0 {
            return Err(BackupError::Foreign);
        }
        if format > FORMAT {
            return Err(BackupError::Newer {
                found: format,
                known: FORMAT,
            });
        }
        let mut reader = Self {
            input,
            tally: Tally::default(),
            created_ms: 0,
            by: String::new(),
            last: Bytes::new(),
            trailer: None,
        };
        let (kind, mut header) = reader.block()?;
        if kind != HEADER || header.len() < size_of::<u64>() {
            return Err(reader.damaged("it has no header"));
        }
        reader.created_ms = header.get_u64_le();
        reader.by = String::from_utf8_lossy(&header).into_owned();
        Ok(reader)
    }

    /// The next pairs, in ascending order; `None`: these were all, and they are what the trailer says.
    pub(super) fn next(&mut self) -> Result<Option<Vec<(Bytes, Bytes)>>, BackupError> {
        let (kind, body) = self.block()?;
        match kind {
            PAIRS => self.pairs(body).map(Some),
            TRAILER => {
                let totals =
                    totals(body).ok_or_else(|| self.damaged("its trailer is cut short"))?;
                if totals != self.tally.totals() {
                    return Err(self.damaged("it has other keys than its trailer says"));
                }
                self.trailer = Some(totals);
                Ok(None)
            }
            _ => Err(self.damaged("it has a block of an unknown kind")),
        }
    }

    /// What was in it, after its end.
    pub(super) fn contents(self) -> Result<Contents, BackupError> {
        match self.trailer {
            Some(families) => Ok(Contents {
                created_ms: self.created_ms,
                by: self.by,
                families,
            }),
            None => Err(BackupError::Damaged {
                keys: self.tally.keys(),
                reason: "it was not read to its end".to_owned(),
            }),
        }
    }

    fn pairs(&mut self, mut body: Bytes) -> Result<Vec<(Bytes, Bytes)>, BackupError> {
        let mut pairs = Vec::new();
        while !body.is_empty() {
            let pair = pair(&mut body).ok_or_else(|| self.damaged("a pair is cut short"))?;
            let (key, value) = &pair;
            if key.len() > STORE_KEY_BYTES_MAX || value.len() > STORE_VALUE_BYTES_MAX {
                return Err(self.damaged("a pair is too large"));
            }
            if self.tally.keys() > 0 && *key <= self.last {
                return Err(self.damaged("its keys are out of order"));
            }
            self.last = key.clone();
            self.tally.add(key, value);
            pairs.push(pair);
        }
        Ok(pairs)
    }

    fn block(&mut self) -> Result<(u8, Bytes), BackupError> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [length @ .., kind] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > BLOCK_BYTES_MAX {
            return Err(self.damaged("a block is too long"));
        }
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        let mut sum = [0; 8];
        self.fill(&mut sum)?;
        if u64::from_le_bytes(sum) != checksum(kind, &body) {
            return Err(self.damaged("a checksum is wrong"));
        }
        Ok((kind, body.into()))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        match self.input.read_exact(bytes) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.damaged("its end is missing"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn damaged(&self, reason: &str) -> BackupError {
        BackupError::Damaged {
            keys: self.tally.keys(),
            reason: reason.to_owned(),
        }
    }
}

fn pair(body: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let key = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
    let value = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
    if body.len() < key.checked_add(value)? {
        return None;
    }
    Some((body.split_to(key), body.split_to(value)))
}

fn totals(mut body: Bytes) -> Option<Vec<FamilyTotal>> {
    let mut totals = Vec::new();
    while !body.is_empty() {
        totals.push(FamilyTotal {
            ordinal: body.try_get_u16_le().ok()?,
            keys: body.try_get_u64_le().ok()?,
            bytes: body.try_get_u64_le().ok()?,
            checksum: body.try_get_u64_le().ok()?,
        });
    }
    Some(totals)
}

fn checksum(kind: u8, body: &[u8]) -> u64 {
    xxh3_64(body) ^ u64::from(kind)
}

const MAGIC: &[u8; 8] = b"SELVBKUP";
const FORMAT: u8 = 1;
const VERSION: &str = env!("CARGO_PKG_VERSION");
const HEADER: u8 = 1;
const PAIRS: u8 = 2;
const TRAILER: u8 = 3;
/// A block of pairs ends with the one that makes it so long.
const PAIRS_BYTES: usize = 256 * 1024;
/// A pair, and the lengths before it.
const PAIR_BYTES_MAX: usize = 8 + STORE_KEY_BYTES_MAX + STORE_VALUE_BYTES_MAX;
const BLOCK_BYTES_MAX: usize = PAIRS_BYTES + PAIR_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::super::verify;
    use super::*;
    use crate::store::keys::Key;

    fn file(count: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::begin(&mut out, 7).unwrap();
        for number in 0..count {
            let key = Key::Migration { number }.encode();
            writer.add(&key, &vec![1; number as usize % 1_000]).unwrap();
        }
        writer.add(b"\xfe", b"what nobody knows").unwrap();
        writer.finish().unwrap();
        out
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 3_000] {
            let mut heard = 0;
            let contents = verify(&*file(count), &mut |keys| heard = keys).unwrap();
            assert_eq!((contents.created_ms, contents.by.as_str()), (7, VERSION));
            assert_eq!(contents.keys(), u64::from(count) + 1);
            assert_eq!(heard, contents.keys());
            let unknown = contents.families[0];
            assert_eq!(
                (unknown.name(), unknown.keys, unknown.bytes),
                ("unknown", 1, 18)
            );
            if count > 0 {
                assert_eq!(contents.families[1].name(), "migration");
            }
        }
    }

    #[test]
    fn each_changed_byte_and_each_cut_is_found() {
        let whole = file(3);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(verify(&*changed, &mut |_| {}).is_err(), "byte {at}");
            assert!(verify(&whole[..at], &mut |_| {}).is_err(), "cut at {at}");
        }
        assert!(matches!(
            verify(&b""[..], &mut |_| {}),
            Err(BackupError::Foreign)
        ));
        let newer = [MAGIC.as_slice(), &[FORMAT + 1]].concat();
        let newer = verify(&*newer, &mut |_| {}).unwrap_err();
        assert!(matches!(newer, BackupError::Newer { .. }), "{newer}");
    }

    #[test]
    fn hostile_lengths_take_no_memory() {
        let mut hostile = [MAGIC.as_slice(), &[FORMAT]].concat();
        hostile.extend_from_slice(&[u8::MAX; 5]);
        let error = verify(&*hostile, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
