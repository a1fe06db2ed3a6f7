//! A look at fjall's journals before fjall opens them.
//!
//! fjall cuts a journal off where it stops making sense, which is right for a torn tail and wrong for
//! a flipped byte in the middle: commits that were answered would silently be gone. Each group is
//! durable before the next one is written, so an intact batch after a damaged one can only mean
//! damage. Called when a directory is opened. Changes nothing but a torn tail.
//!
//! A batch in a journal, integers little-endian:
//! ```text
//! start  1, items u32, seqno u64
//! item   2, type u8, compression u8, keyspace u64, key length u16, value length u32, stored length u32, key, value
//! end    3, XXH3 of the items u64, "FJL" 3
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// Checks that no journal is missing between others and that none is damaged, and cuts off what a
/// crash has left unfinished at the end of the last one.
pub(super) fn mend(database: &Path) -> Result<(), String> {
    let journals = journals(database).map_err(|error| error.to_string())?;
    let Some(&(active, _)) = journals.last() else {
        return Err("its journal is missing".to_owned());
    };
    for pair in journals.windows(2) {
        if pair[0].0 + 1 != pair[1].0 {
            return Err(format!("its journal {}.jnl is missing", pair[0].0 + 1));
        }
    }
    for (number, path) in &journals {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        // At most some hundred megabytes: fjall rotates a journal at every flush past 64 MB.
        let bytes = fs::read(path).map_err(failed)?;
        let bytes = without_zeros(&bytes);
        let end = intact_bytes(bytes);
        if end == bytes.len() {
            continue;
        }
        if *number != active || !is_torn(bytes, end) {
            return Err(format!("its journal {number}.jnl is damaged at byte {end}"));
        }
        tracing::info!(journal = number, end, "an unfinished commit was cut off");
        let file = File::options().write(true).open(path).map_err(failed)?;
        let length = u64::try_from(end).unwrap_or(u64::MAX);
        let cut = file.set_len(length).and_then(|()| file.sync_all());
        cut.map_err(failed)?;
    }
    Ok(())
}

/// Whether what follows `end` is a batch that a crash interrupted, and not one that was damaged later.
fn is_torn(bytes: &[u8], end: usize) -> bool {
    if contains_batch(&bytes[end..]) {
        return false;
    }
    // After a loss of power, sectors may be missing before others that were written.
    let is_hole = |sector: &[u8]| sector == [0; SECTOR];
    let first = end - end % SECTOR;
    !bytes.ends_with(TRAILER) || bytes[first..].chunks(SECTOR).any(is_hole)
}

/// Whether nothing was ever committed to the journals, as after a creation that was killed.
pub(super) fn check_untouched(database: &Path) -> Result<(), String> {
    let journals = journals(database).map_err(|error| error.to_string())?;
    for (number, path) in &journals {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        if !without_zeros(&bytes).is_empty() {
            return Err(format!("its journal {number}.jnl is in use"));
        }
    }
    Ok(())
}

fn journals(database: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

/// The bytes up to some zeros at their end: fjall allocates journals ahead.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    // By pages, because a journal has some megabytes of them.
    let is_used = |page: &[u8]| page != &[0; PAGE][..page.len()];
    let pages = bytes.chunks(PAGE).rposition(is_used).map_or(0, |at| at + 1);
    let bytes = &bytes[..bytes.len().min(pages * PAGE)];
    let used = bytes.iter().rposition(|byte| *byte != 0);
    &bytes[..used.map_or(0, |at| at + 1)]
}

/// The length of the intact batches at the front.
fn intact_bytes(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some(length) = batch_bytes(rest) {
        rest = &rest[length..];
    }
    bytes.len() - rest.len()
}

/// Whether a whole batch starts anywhere in these bytes.
fn contains_batch(bytes: &[u8]) -> bool {
    // The first item is looked for with the start, so that hardly any place is parsed further.
    (0..bytes.len()).any(|at| {
        bytes[at] == START
            && bytes.get(at + START_BYTES) == Some(&ITEM)
            && batch_bytes(&bytes[at..]).is_some()
    })
}

/// The length of the intact batch that these bytes start with.
fn batch_bytes(bytes: &[u8]) -> Option<usize> {
    let mut rest = Rest(bytes);
    if rest.byte()? != START {
        return None;
    }
    let items = u32::from_le_bytes(rest.array()?);
    rest.take(8)?;
    let body = rest.0;
    for _ in 0..items {
        match rest.byte()? {
            ITEM => {
                rest.take(ITEM_FIXED_BYTES)?;
                let key = u16::from_le_bytes(rest.array()?);
                rest.take(4)?;
                let stored = u32::from_le_bytes(rest.array()?);
                rest.take(usize::from(key))?;
                rest.take(usize::try_from(stored).ok()?)?;
            }
            CLEAR => {
                rest.take(8)?;
            }
            _ => return None,
        }
    }
    let body = &body[..body.len() - rest.0.len()];
    if rest.byte()? != END || u64::from_le_bytes(rest.array()?) != xxh3_64(body) {
        return None;
    }
    if rest.take(TRAILER.len())? != TRAILER {
        return None;
    }
    Some(bytes.len() - rest.0.len())
}

/// Bytes that are taken off the front as long as there are enough.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
}

// fjall 3's tags and trailer.
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Any size that makes comparing fast.
const PAGE: usize = 4_096;
/// Tag, number of items and seqno.
const START_BYTES: usize = 13;
/// Type, compression and keyspace.
const ITEM_FIXED_BYTES: usize = 10;
