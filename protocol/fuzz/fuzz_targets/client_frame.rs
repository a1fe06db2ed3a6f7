//! Any bytes as the body of each frame of a client: never a panic, and what is accepted means one thing.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use selvedge_protocol::codec::{self, Frame};
use selvedge_protocol::frame::ClientFrame;

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    let ordinals = ClientFrame::ORDINALS;
    let (ordinal, _) = ordinals[usize::from(choice) % ordinals.len()];
    let Ok(frame) = ClientFrame::decode_body(ordinal, body) else {
        return;
    };
    let mut bytes = Vec::new();
    assert_eq!(codec::encode(&frame, &mut bytes), Ok(()));
    let again = codec::decode_whole::<ClientFrame>(BytesMut::from(&bytes[..]));
    assert_eq!(again, Ok(frame));
});
