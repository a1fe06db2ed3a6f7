//! Any bytes as a whole datagram, header included, in both directions.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use selvedge_protocol::codec::{self, Frame};
use selvedge_protocol::frame::{ClientFrame, ServerFrame};

fn check<F: Frame + PartialEq + std::fmt::Debug>(input: &[u8]) {
    let Ok(frame) = codec::decode_whole::<F>(BytesMut::from(input)) else {
        return;
    };
    let mut bytes = Vec::new();
    assert_eq!(codec::encode(&frame, &mut bytes), Ok(()));
    assert_eq!(codec::decode_whole::<F>(BytesMut::from(&bytes[..])), Ok(frame));
}

fuzz_target!(|input: &[u8]| {
    check::<ClientFrame>(input);
    check::<ServerFrame>(input);
});
