//! Any bytes as a stream, cut at any point: the frames are those of the whole, and so is the error.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use selvedge_protocol::codec::{self, Error};
use selvedge_protocol::frame::ClientFrame;

/// All frames of the pieces, until one is wrong.
fn read(pieces: [&[u8]; 2]) -> (Vec<ClientFrame>, Option<Error>) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec::decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|input: (u16, &[u8])| {
    let (at, bytes) = input;
    let at = usize::from(at).min(bytes.len());
    let whole = read([bytes, &[]]);
    let cut = read([&bytes[..at], &bytes[at..]]);
    assert_eq!(whole, cut);
});
