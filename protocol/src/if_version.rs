//! A condition on a command: that its actor has still the version on which the decision to send it rests.
//!
//! A Command says it in extension 4: the version, 8 bytes, big endian; 0 is an actor that was never committed. It is
//! compared in the very commit that the command would be part of. Where it does not hold the command is refused with
//! `conflict` and the field [`FIELD`], and has no effect. The repeat of a command that has had its effect gets the
//! outcome of that, whatever the version is by then.

use bytes::Bytes;

use crate::error::{ErrorCode, Failure};
use crate::frame::Extensions;

/// The extension of a Command.
pub const EXTENSION: u16 = 4;

/// What a refusal names.
pub const FIELD: &str = "ifVersion";

/// Lets a command be refused unless its actor has this version.
pub fn announce(ext: &mut Extensions, version: u64) {
    ext.push((EXTENSION, Bytes::copy_from_slice(&version.to_be_bytes())));
}

/// The version that a command needs its actor to have, if it does.
pub fn wanted(ext: &Extensions) -> Result<Option<u64>, Failure> {
    let Some((_, value)) = ext.iter().find(|(number, _)| *number == EXTENSION) else {
        return Ok(None);
    };
    match <[u8; 8]>::try_from(&value[..]) {
        Ok(value) => Ok(Some(u64::from_be_bytes(value))),
        Err(_) => Err(Failure::field(
            ErrorCode::Invalid,
            FIELD,
            "extension 4 of a command is a version: 8 bytes, big endian",
        )),
    }
}

/// The refusal of a command whose actor has another version.
pub fn refused(wanted: u64, version: u64) -> Failure {
    Failure::field(
        ErrorCode::Conflict,
        FIELD,
        format!("the version is {version}, not {wanted}: read what is there, and decide anew"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_was_announced_is_wanted() {
        let mut ext = vec![(9, Bytes::from_static(b"kept"))];
        assert_eq!(wanted(&ext), Ok(None));
        announce(&mut ext, 1 << 40);
        assert_eq!(wanted(&ext), Ok(Some(1 << 40)));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for value in [&b""[..], &[0; 7], &[0; 9]] {
            let ext = vec![(EXTENSION, Bytes::copy_from_slice(value))];
            let failure = wanted(&ext).unwrap_err();
            assert_eq!(failure.field.as_deref(), Some(FIELD));
        }
    }
}
