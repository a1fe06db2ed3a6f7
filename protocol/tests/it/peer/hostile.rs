//! Bytes from another node: never a panic, never memory beyond the bound, always an answer. (G9)

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use selvedge_protocol::limits::FRAME_HEADER_BYTES;

use super::*;
use crate::allocation::allocated_by;

/// Refused or decoded in bounded memory, and what was decoded is what it is encoded to.
fn check_as<F: Frame + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (decoded_to, allocated) = allocated_by(|| decoded::<F>(bytes));
    // The input, a list of pairs for one byte each, and the texts of errors.
    let allowed = 128 * bytes.len() + 8 * 1_024;
    prop_assert!(
        allocated <= allowed,
        "{allocated} bytes allocated for {}: {decoded_to:?}",
        bytes.len()
    );
    if let Ok(frame) = decoded_to {
        prop_assert_eq!(decoded(&encoded(&frame)), Ok(frame));
    }
    Ok(())
}

/// The same as a frame of each service in both directions.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    check_as::<StoreRequest>(bytes)?;
    check_as::<StoreAnswer>(bytes)?;
    check_as::<ActorRequest>(bytes)?;
    check_as::<ActorAnswer>(bytes)?;
    check_as::<ProcessingRequest>(bytes)?;
    check_as::<ProcessingAnswer>(bytes)
}

fn framed(ordinal: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 2).unwrap();
    [&length.to_be_bytes()[..], &[1, ordinal], body].concat()
}

/// A frame, and whether its service refuses bytes as one.
type Sample = (Vec<u8>, fn(&[u8]) -> bool);

/// One of each frame and more.
fn samples() -> Vec<Sample> {
    fn of<F: Frame>(frames: &[F]) -> impl Iterator<Item = Sample> {
        let is_refused: fn(&[u8]) -> bool = |bytes| decoded::<F>(bytes).is_err();
        let frames: Vec<_> = frames.iter().map(encoded).collect();
        frames.into_iter().map(move |bytes| (bytes, is_refused))
    }
    of(&requests())
        .chain(of(&answers()))
        .chain(of(&actor_requests()))
        .chain(of(&actor_answers()))
        .chain(of(&processing_requests()))
        .chain(of(&processing_answers()))
        .collect()
}

fn ordinals() -> Vec<u8> {
    let mut ordinals: Vec<u8> = samples().iter().map(|(bytes, _)| bytes[5]).collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    ordinals
}

/// What becomes of bytes on their way, or is made of them.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    /// Some of another frame's body.
    Splice(Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    // What lengths, ordinals and options are made of, and anything else.
    let byte = || prop_oneof![0..4_u8, 0xfb..=255_u8, any::<u8>()];
    let bodies: Vec<_> = samples()
        .into_iter()
        .map(|(bytes, _)| bytes[FRAME_HEADER_BYTES..].to_vec())
        .collect();
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), select(bodies)).prop_map(|(at, part)| Change::Splice(at, part)),
    ]
}

fn changed(mut body: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        let len = body.len();
        match change {
            Change::Insert(at, byte) => body.insert(at.index(len + 1), byte),
            Change::Splice(at, part) => {
                let at = at.index(len + 1);
                body.splice(at..at, part);
            }
            Change::Set(at, byte) if len > 0 => body[at.index(len)] = byte,
            Change::Remove(at) if len > 0 => {
                body.remove(at.index(len));
            }
            Change::Set(..) | Change::Remove(_) => {}
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn garbage_between_nodes_is_answered(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes)?;
    }

    #[test]
    fn garbage_bodies_between_nodes_are_answered(ordinal in 0_u8..140, body in vec(any::<u8>(), 0..400)) {
        check(&framed(ordinal, &body))?;
    }

    #[test]
    fn small_numbers_between_nodes_are_answered(ordinal in select(ordinals()), body in vec(0..4_u8, 0..200)) {
        check(&framed(ordinal, &body))?;
    }

    #[test]
    fn changed_frames_between_nodes_are_answered(
        (frame, _) in select(samples()),
        changes in vec(change(), 1..6),
    ) {
        check(&framed(frame[5], &changed(frame[FRAME_HEADER_BYTES..].to_vec(), changes)))?;
    }
}

#[test]
fn lengths_announced_between_nodes_allocate_nothing() {
    for (frame, _) in samples() {
        for at in FRAME_HEADER_BYTES..frame.len() {
            for huge in [
                &[0xfd, 255, 255, 255, 255, 255, 255, 255, 127][..],
                &[0xfc, 0, 0, 0, 64],
                &[0xfc, 0, 0, 1, 0],
            ] {
                let (before, after) = (&frame[FRAME_HEADER_BYTES..at], &frame[at + 1..]);
                let hostile = framed(frame[5], &[before, huge, after].concat());
                check(&hostile).unwrap();
            }
        }
    }
}

#[test]
fn frames_between_nodes_that_are_cut_or_too_long_are_refused() {
    for (frame, is_refused) in samples() {
        let body = &frame[FRAME_HEADER_BYTES..];
        for end in 0..body.len() {
            let short = framed(frame[5], &body[..end]);
            assert!(is_refused(&short), "{frame:?} cut at {end}");
        }
        let longer = framed(frame[5], &[body, &[0]].concat());
        assert!(is_refused(&longer), "{frame:?}");
    }
}
