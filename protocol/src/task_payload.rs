//! The payload of a task: announced with the task, read by its worker in pieces.
//!
//! A Task whose operation has a stored payload says in extension 2 how long it is, 8 bytes, big endian. The
//! worker reads it with queries named [`QUERY`] to the operation, each with a [`Piece`] as its body. What
//! answers is the one answer that is not JSON text: the bytes from there on, as many as one piece has. No
//! bytes move here.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::frame::Task;
use crate::limits::PAYLOAD_BYTES_MAX;

/// The extension of a Task whose operation has a payload.
pub const EXTENSION: u16 = 2;

/// The query that reads a piece of it.
pub const QUERY: &str = "payload";

/// The body of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The lease of the task: whoever does not hold it gets nothing.
    pub lease: u64,
    /// Bytes before it.
    pub from: u64,
}

/// The extension is there, and is not eight bytes that hold the length of a stored payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task announces its payload in a wrong way")]
pub struct Malformed;

/// Says that the task's operation has a payload of so many bytes.
pub fn announce(task: &mut Task, length: u64) {
    let value = Bytes::copy_from_slice(&length.to_be_bytes());
    task.ext.push((EXTENSION, value));
}

/// How long the payload is; `None` if there is none.
pub fn length(task: &Task) -> Result<Option<u64>, Malformed> {
    let Some((_, value)) = task.ext.iter().find(|(number, _)| *number == EXTENSION) else {
        return Ok(None);
    };
    let value = <[u8; 8]>::try_from(&value[..]).map_err(|_| Malformed)?;
    let length = u64::from_be_bytes(value);
    match length <= PAYLOAD_BYTES_MAX as u64 {
        true => Ok(Some(length)),
        false => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    fn task() -> Task {
        Task {
            lease: 9,
            operation: Target::Operations,
            operation_type: "import".parse().unwrap(),
            step: "work".to_owned(),
            attempt: 1,
            input: Bytes::new(),
            lease_ms: 1_000,
            ext: vec![(9, Bytes::from_static(b"kept"))],
        }
    }

    #[test]
    fn a_length_that_was_announced_is_read() {
        assert_eq!(length(&task()), Ok(None));
        for bytes in [0, 1, PAYLOAD_BYTES_MAX as u64] {
            let mut task = task();
            announce(&mut task, bytes);
            assert_eq!(length(&task), Ok(Some(bytes)));
        }
    }

    #[test]
    fn wrong_announcements_are_refused() {
        let of = |value: &'static [u8]| {
            let mut task = task();
            task.ext.push((EXTENSION, Bytes::from_static(value)));
            length(&task)
        };
        assert_eq!(of(&[0; 7]), Err(Malformed));
        assert_eq!(of(&[0xff; 8]), Err(Malformed));
    }
}
