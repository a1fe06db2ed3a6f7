//! Any bytes as a stored record with a field of each shape.

#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use selvedge_protocol::codec;
use selvedge_protocol::{Failure, SessionId, Target};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    text: String,
    bytes: Bytes,
    list: Vec<(u64, Option<String>)>,
    map: BTreeMap<String, u32>,
    id: SessionId,
    target: Target,
    failure: Option<Failure>,
}

fuzz_target!(|body: &[u8]| {
    let Ok(record) = codec::decode_record::<Record>(body) else {
        return;
    };
    let bytes = codec::encode_record(1, &record);
    assert_eq!(codec::decode_record(&bytes[1..]), Ok(record));
});
