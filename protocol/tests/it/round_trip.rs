//! What is encoded decodes to the same, however it is cut on its way.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use selvedge_protocol::codec::{self, Frame};
use selvedge_protocol::frame::{ClientFrame, ServerFrame};
use serde::{Deserialize, Serialize};

use crate::any::Any;
use crate::strategies::{any_frame, client_frame, server_frame};

/// Feeds the pieces to a buffer as a connection would, and takes each frame as soon as it is whole.
fn decode_pieces<'a, F: Frame>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<F> {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = codec::decode(&mut buffer).expect("whole frames decode") {
            frames.push(frame);
        }
    }
    assert!(buffer.is_empty(), "{} bytes left over", buffer.len());
    frames
}

fn encode_all<F: Frame>(frames: &[F]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        codec::encode(frame, &mut bytes).unwrap();
    }
    bytes
}

proptest! {
    #[test]
    fn every_frame_comes_back(frame in any_frame()) {
        prop_assert_eq!(Any::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn header_says_length_version_and_ordinal(frame in any_frame()) {
        let bytes = frame.encode();
        let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        prop_assert_eq!(usize::try_from(length).unwrap(), bytes.len() - 4);
        prop_assert_eq!(bytes[4], 1);
        prop_assert_eq!(bytes[5], frame.ordinal());
    }

    #[test]
    fn a_truncated_frame_is_not_there_yet(frame in server_frame()) {
        let bytes = encode_all(std::slice::from_ref(&frame));
        for end in 0..bytes.len() {
            let mut part = BytesMut::from(&bytes[..end]);
            prop_assert_eq!(codec::decode::<ServerFrame>(&mut part), Ok(None));
            prop_assert_eq!(part.len(), end, "nothing is taken before the frame is whole");
        }
    }

    #[test]
    fn two_frames_split_anywhere_come_out_as_two(first in client_frame(), second in client_frame()) {
        let frames = vec![first, second];
        let bytes = encode_all(&frames);
        for at in 0..=bytes.len() {
            prop_assert_eq!(&decode_pieces::<ClientFrame>([&bytes[..at], &bytes[at..]]), &frames);
        }
    }

    #[test]
    fn byte_by_byte_is_the_same_as_whole(frames in vec(server_frame(), 0..5)) {
        let bytes = encode_all(&frames);
        prop_assert_eq!(decode_pieces::<ServerFrame>(bytes.chunks(1)), frames);
    }

    #[test]
    fn records_come_back(format in any::<u8>(), record in record()) {
        let bytes = codec::encode_record(format, &record);
        prop_assert_eq!(bytes[0], format);
        prop_assert_eq!(codec::decode_record::<Record>(&bytes[1..]), Ok(record));
    }

    #[test]
    fn a_changed_record_never_panics(bytes in vec(any::<u8>(), 0..300)) {
        // Only that it returns: most of these are refused, a few happen to be records.
        let _outcome = codec::decode_record::<Record>(&bytes);
    }
}

/// A record with a field of each shape that the stores keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    text: String,
    bytes: bytes::Bytes,
    list: Vec<(u64, Option<String>)>,
    id: selvedge_protocol::SessionId,
}

fn record() -> impl Strategy<Value = Record> {
    (
        ".{0,100}",
        vec(any::<u8>(), 0..200),
        vec((any::<u64>(), proptest::option::of(".{0,9}")), 0..9),
        any::<u128>(),
    )
        .prop_map(|(text, bytes, list, id)| Record {
            text,
            bytes: bytes.into(),
            list,
            id: selvedge_protocol::SessionId::from_u128(id),
        })
}
