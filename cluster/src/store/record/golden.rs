//! Golden files of records, for tests of this crate and of those that build on it.
//!
//! `NAME.v1.hex`, `NAME.v2.hex` and so on hold one record of each format that was ever written. Set
//! `SELVEDGE_WRITE_GOLDEN=1` to write the file of a new format; files of old ones are never changed.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use super::{Record, decode, encode};

/// Checks that `record` is encoded as its file says and that files of all older formats still
/// decode; answers what those decode to, by format.
///
/// # Panics
/// If a file is missing or says otherwise: this is an assertion.
pub fn check<R: Record + PartialEq + Debug>(
    directory: &Path,
    name: &str,
    record: &R,
) -> Vec<(u8, R)> {
    let file = |format: u8| directory.join(format!("{name}.v{format}.hex"));
    let encoded = encode(record);
    let current = file(R::FORMAT);
    if std::env::var_os("SELVEDGE_WRITE_GOLDEN").is_some() && !current.exists() {
        let written = fs::create_dir_all(directory)
            .and_then(|()| fs::write(&current, format!("{}\n", to_hex(&encoded))));
        assert!(written.is_ok(), "{}: {written:?}", current.display());
    }
    assert_eq!(
        read(&current).as_deref(),
        Some(&*encoded),
        "{} is not what is written now; a changed type needs a new format",
        current.display()
    );
    let decoded = decode::<R>(name.as_bytes(), &encoded);
    assert_eq!(decoded.as_ref().ok(), Some(record), "{decoded:?}");
    let older = (0..R::FORMAT).filter_map(|format| Some((format, read(&file(format))?)));
    let older = older.map(|(format, bytes)| match decode(name.as_bytes(), &bytes) {
        Ok(record) => (format, record),
        Err(error) => panic!("{} no longer decodes: {error}", file(format).display()),
    });
    older.collect()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.chunks(2).map(byte).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
