//! Any bytes as the body of each frame between nodes about processing: never a panic, and what is accepted means one thing.

#![no_main]

use std::fmt::Debug;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use selvedge_protocol::codec::{self, Frame};
use selvedge_protocol::peer::processing::{ProcessingAnswer, ProcessingRequest};

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    check::<ProcessingRequest>(choice, body);
    check::<ProcessingAnswer>(choice, body);
});

fn check<F: Frame + PartialEq + Debug>(choice: u8, body: &[u8]) {
    let ordinals = F::ORDINALS;
    let (ordinal, _) = ordinals[usize::from(choice) % ordinals.len()];
    let Ok(frame) = F::decode_body(ordinal, body) else {
        return;
    };
    let mut bytes = Vec::new();
    assert_eq!(codec::encode(&frame, &mut bytes), Ok(()));
    let again = codec::decode_whole::<F>(BytesMut::from(&bytes[..]));
    assert_eq!(again, Ok(frame));
}
