//! A look at the manifests of fjall's trees before fjall opens them.
//!
//! A manifest lists a tree's tables; its checksum is stored beside it, but fjall does not compare the
//! two, and a flipped byte could hide tables. Called when a directory is opened. Changes nothing.
//!
//! ```text
//! data/keyspaces/N/current   number of the manifest u64, its XXH3 u128, type of checksum u8 = 0
//! data/keyspaces/N/vNUMBER   the manifest
//! ```

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// Checks every tree's manifest against its checksum.
pub(super) fn check(database: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("its keyspaces: {error}");
    for entry in fs::read_dir(database.join("keyspaces")).map_err(failed)? {
        let tree = entry.map_err(failed)?.path();
        if tree.is_dir() {
            check_tree(&tree).map_err(|reason| format!("{}: {reason}", tree.display()))?;
        }
    }
    Ok(())
}

fn check_tree(tree: &Path) -> Result<(), String> {
    let current = match fs::read(tree.join("current")) {
        Ok(current) => current,
        // A tree whose creation was interrupted; if it is one that had data, fjall or the floor says so.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("current: {error}")),
    };
    let Ok(current) = <[u8; CURRENT_BYTES]>::try_from(current) else {
        return Err("current has a wrong length".to_owned());
    };
    let (number, checksum) = current.split_at(8);
    let name = format!("v{}", little_endian(number));
    let manifest = fs::read(tree.join(&name)).map_err(|error| format!("{name}: {error}"))?;
    if current[CURRENT_BYTES - 1] != 0 || xxh3_128(&manifest) != little_endian(&checksum[..16]) {
        return Err(format!("{name} does not have its checksum"));
    }
    Ok(())
}

fn little_endian(bytes: &[u8]) -> u128 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

const CURRENT_BYTES: usize = 25;
