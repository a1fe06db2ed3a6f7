//! Bytes from outside: never a panic, never memory beyond the bound, always an answer. (G9)

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use selvedge_protocol::codec::{self, Error};
use selvedge_protocol::frame::{ClientFrame, ServerFrame};
use selvedge_protocol::limits::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_LIST_LEN_MAX};

use crate::allocation::allocated_by;
use crate::any::{Any, all_ordinals};
use crate::samples::samples;
use crate::strategies::any_frame;

/// The most that decoding may allocate: a small list element takes some forty bytes for two on the wire,
/// and a list that grows to it allocates as much again in smaller steps; the rest is an error's text.
fn allocation_max(input: usize) -> usize {
    96 * input.min(2 * FRAME_LIST_LEN_MAX) + 3 * input + 8 * 1_024
}

fn framed(ordinal: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 2).unwrap();
    [&length.to_be_bytes(), &[1, ordinal][..], body].concat()
}

fn decode_within_bounds(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (decoded, allocated) = allocated_by(|| Any::decode(bytes));
    prop_assert!(
        allocated <= allocation_max(bytes.len()),
        "{allocated} bytes allocated for {} of input",
        bytes.len()
    );
    // What is accepted means one thing only: it encodes to something that decodes to the same.
    if let Ok(frame) = decoded {
        prop_assert_eq!(Any::decode(&frame.encode()), Ok(frame));
    }
    Ok(())
}

fn ordinal() -> impl Strategy<Value = u8> {
    select(all_ordinals()).prop_map(|(ordinal, _)| ordinal)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn garbage_is_answered(bytes in vec(any::<u8>(), 0..200)) {
        decode_within_bounds(&bytes)?;
    }

    #[test]
    fn garbage_bodies_are_answered(ordinal in ordinal(), body in vec(any::<u8>(), 0..400)) {
        decode_within_bounds(&framed(ordinal, &body))?;
    }

    #[test]
    fn small_numbers_as_bodies_are_answered(ordinal in ordinal(), body in vec(0..4_u8, 0..200)) {
        decode_within_bounds(&framed(ordinal, &body))?;
    }

    #[test]
    fn mutated_frames_are_answered(
        frame in any_frame(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = frame.encode();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        decode_within_bounds(&bytes)?;
    }

    #[test]
    fn cut_bodies_are_refused(frame in any_frame(), cut in any::<prop::sample::Index>()) {
        let bytes = frame.encode();
        let body = &bytes[FRAME_HEADER_BYTES..];
        if !body.is_empty() {
            let short = framed(bytes[5], &body[..cut.index(body.len())]);
            prop_assert!(Any::decode(&short).is_err());
        }
    }
}

#[test]
fn announced_lengths_allocate_nothing() {
    // Each number on the wire in turn becomes the greatest there is: a length, wherever it is one.
    for (name, frame) in samples() {
        let bytes = frame.encode();
        for at in FRAME_HEADER_BYTES..bytes.len() {
            for huge in [
                &[0xfd, 255, 255, 255, 255, 255, 255, 255, 127][..],
                &[0xfc, 0, 0, 0, 64],
            ] {
                let body = [&bytes[FRAME_HEADER_BYTES..at], huge, &bytes[at + 1..]].concat();
                let hostile = framed(bytes[5], &body);
                let (_, allocated) = allocated_by(|| Any::decode(&hostile));
                let most = allocation_max(hostile.len());
                assert!(
                    allocated <= most,
                    "{name} at {at}: {allocated} bytes, at most {most}"
                );
            }
        }
    }
}

#[test]
fn the_smallest_elements_cost_no_more_than_the_list_may_hold() {
    // A Hello of nothing but empty extensions, as many as its body takes.
    let count = u16::try_from(FRAME_BODY_BYTES_MAX / 2 - 16).unwrap();
    let mut body = vec![0, 0, 0, 0, 0, 0xfb];
    body.extend_from_slice(&count.to_le_bytes());
    body.resize(body.len() + 2 * usize::from(count), 0);
    let hostile = framed(1, &body);
    let (decoded, allocated) = allocated_by(|| Any::decode(&hostile));
    let Err(Error::Body { reason, .. }) = decoded else {
        panic!("refused, not {decoded:?}");
    };
    assert!(reason.starts_with("ext has"), "{reason}");
    // The copy into the input buffer is the only thing that grows with the input.
    assert!(allocated <= hostile.len() + 4_096, "{allocated} bytes");
}

#[test]
fn a_header_that_announces_too_much_is_refused_at_once() {
    let too_long = u32::try_from(FRAME_BODY_BYTES_MAX + 3).unwrap();
    let mut input = BytesMut::from(&too_long.to_be_bytes()[..]);
    let refused = codec::decode::<ClientFrame>(&mut input);
    assert_eq!(
        refused,
        Err(Error::TooLarge {
            length: FRAME_BODY_BYTES_MAX + 1,
            limit: FRAME_BODY_BYTES_MAX
        })
    );
}

#[test]
fn a_length_shorter_than_its_header_is_refused() {
    for length in 0..2_u8 {
        let mut input = BytesMut::from(&[0, 0, 0, length][..]);
        let refused = codec::decode::<ClientFrame>(&mut input);
        assert_eq!(refused, Err(Error::TooShort(usize::from(length))));
    }
}

#[test]
fn a_version_not_spoken_is_refused_before_the_body_is_there() {
    for version in [0, 2, 255] {
        let mut input = BytesMut::from(&[0, 0, 1, 0, version][..]);
        let refused = codec::decode::<ServerFrame>(&mut input);
        assert_eq!(refused, Err(Error::Version(version)));
    }
}

#[test]
fn an_ordinal_of_the_other_direction_is_refused_before_the_body_is_there() {
    for (ordinal, _) in all_ordinals() {
        let header = BytesMut::from(&[0, 0, 1, 0, 1, ordinal][..]);
        let as_client = codec::decode::<ClientFrame>(&mut header.clone());
        let as_server = codec::decode::<ServerFrame>(&mut header.clone());
        let refused = Error::Ordinal(ordinal);
        if ordinal < 128 {
            assert_eq!((as_client, as_server), (Ok(None), Err(refused)));
        } else {
            assert_eq!((as_client, as_server), (Err(refused), Ok(None)));
        }
    }
}

#[test]
fn a_datagram_is_exactly_one_frame() {
    let (_, ping) = samples()
        .into_iter()
        .find(|(name, _)| name == "ping.u8")
        .unwrap();
    let bytes = ping.encode();
    let twice = bytes.repeat(2);
    let short = &bytes[..bytes.len() - 1];
    let whole = |bytes: &[u8]| codec::decode_whole::<ClientFrame>(BytesMut::from(bytes));
    assert!(whole(&bytes).is_ok());
    for wrong in [&twice[..], short, &[]] {
        let refused = whole(wrong).unwrap_err().to_string();
        assert!(
            refused.ends_with("a datagram is exactly one frame"),
            "{refused}"
        );
    }
}

#[test]
fn bytes_left_over_in_a_body_are_refused() {
    for (name, frame) in samples() {
        let bytes = frame.encode();
        let longer = [&bytes[FRAME_HEADER_BYTES..], &[0]].concat();
        let refused = Any::decode(&framed(bytes[5], &longer));
        let Err(Error::Body { reason, .. }) = refused else {
            panic!("{name}: refused, not {refused:?}");
        };
        assert_eq!(reason, "1 bytes left over", "{name}");
    }
}
