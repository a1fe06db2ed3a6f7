//! Stored records: a format version, then the body; old versions are upcast when they are read.
//!
//! Every module with records of its own implements [`Record`] for them and keeps golden files with
//! [`golden`]. A format that was released is never written again and never decoded differently.

pub mod golden;

use bytes::Bytes;
use selvedge_protocol::codec::{self, decode_record, encode_record};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;

/// A type that is stored under a key.
pub trait Record: Serialize + DeserializeOwned {
    /// The format that is written. Raise it with every change of the type's shape.
    const FORMAT: u8;

    /// Reads the body of an older format; `None` for formats that never were.
    fn upcast(format: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        let _ = (format, body);
        None
    }
}

/// The record as bytes.
pub fn encode<R: Record>(record: &R) -> Bytes {
    encode_record(R::FORMAT, record)
}

/// The record that was stored under `key`. Never panics, whatever the bytes.
pub fn decode<R: Record>(key: &[u8], bytes: &[u8]) -> Result<R, Error> {
    let failed = |reason: String| Error::Record {
        key: key.escape_ascii().to_string(),
        reason,
    };
    let Some((&format, body)) = bytes.split_first() else {
        return Err(failed("it is empty".to_owned()));
    };
    let record = match R::upcast(format, body) {
        _ if format == R::FORMAT => decode_record(body),
        Some(record) => record,
        None => {
            return Err(failed(format!(
                "it has format {format}, this binary reads up to {}; run a newer selvedge",
                R::FORMAT
            )));
        }
    };
    record.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Second {
        name: String,
        count: u64,
    }

    #[derive(Serialize, Deserialize)]
    struct First {
        name: String,
    }

    impl Record for Second {
        const FORMAT: u8 = 2;

        fn upcast(format: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
            (format == 1).then(|| decode_record(body).map(|First { name }| Self { name, count: 1 }))
        }
    }

    fn second() -> Second {
        Second {
            name: "a".to_owned(),
            count: 7,
        }
    }

    #[test]
    fn old_formats_are_upcast_and_golden_files_hold() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let older = golden::check(&directory, "record-example", &second());
        let upcast = Second {
            name: "a".to_owned(),
            count: 1,
        };
        assert_eq!(older, [(1, upcast)]);
    }

    #[test]
    fn what_does_not_decode_says_why() {
        let reason = |bytes: &[u8]| match decode::<Second>(b"k\0", bytes) {
            Err(Error::Record { key, reason }) => {
                assert_eq!(key, "k\\x00");
                reason
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(b""), "it is empty");
        assert!(reason(&[3, 1]).contains("format 3"));
        assert!(reason(&[0, 1]).contains("format 0"));
        assert!(reason(&[2, 1]).contains("does not decode"));
        let mut long = encode(&second()).to_vec();
        long.push(0);
        assert!(reason(&long).contains("left over"));
        assert!(reason(&[2, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).len() > 1);
    }
}
