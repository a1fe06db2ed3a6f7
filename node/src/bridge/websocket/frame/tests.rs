//! What is read and refused, however it is cut on its way.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A frame of a client.
fn frame(first: u8, data: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut out = Vec::new();
    begin(first & 0x0f, false, data.len(), &mut out);
    out[0] = first;
    out[1] |= MASKED;
    out.extend_from_slice(&mask);
    out.extend(data.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

fn read(is_deflating: bool, bytes: &[u8]) -> Result<Vec<Received>, Violation> {
    let mut reader = Reader::new(is_deflating);
    let mut input = BytesMut::from(bytes);
    let mut all = Vec::new();
    while let Some(received) = reader.next(&mut input)? {
        all.push(received);
    }
    Ok(all)
}

fn text(text: &str) -> Received {
    Received::Text(BytesMut::from(text))
}

proptest! {
    #[test]
    fn messages_come_whole_however_they_are_cut(
        parts in vec(vec(any::<u8>(), 0..300), 1..4),
        ping in any::<bool>(),
        cut in 1..40_usize,
    ) {
        let mut bytes = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let opcode = if at == 0 { BINARY } else { CONTINUATION };
            let fin = if at + 1 == parts.len() { FIN } else { 0 };
            bytes.extend(frame(opcode | fin, part));
            if ping && fin == 0 {
                bytes.extend(frame(PING | FIN, b"between"));
            }
        }
        let mut reader = Reader::new(false);
        let mut input = BytesMut::new();
        let mut all = Vec::new();
        for piece in bytes.chunks(cut) {
            input.extend_from_slice(piece);
            while let Some(received) = reader.next(&mut input).unwrap() {
                all.push(received);
            }
        }
        prop_assert!(input.is_empty());
        let whole = parts.concat();
        prop_assert_eq!(all.pop(), Some(Received::Binary(BytesMut::from(&whole[..]))));
        let pings = if ping { parts.len() - 1 } else { 0 };
        prop_assert_eq!(all, (0..pings).map(|_| Received::Ping(BytesMut::from(&b"between"[..]))).collect::<Vec<_>>());
    }

    #[test]
    fn garbage_is_answered(bytes in vec(any::<u8>(), 0..200), is_deflating in any::<bool>()) {
        // Only that it returns.
        let _outcome = read(is_deflating, &bytes);
    }

    #[test]
    fn what_is_deflated_is_inflated(data in vec(0..4_u8, 0..5_000)) {
        let mut deflated = Vec::new();
        deflate::deflate(&data, &mut deflated);
        let bytes = frame(FIN | RESERVED_1 | BINARY, &deflated);
        prop_assert_eq!(read(true, &bytes), Ok(vec![Received::Binary(BytesMut::from(&data[..]))]));
    }

    #[test]
    fn a_stored_head_before_a_deflated_tail_is_one_message(
        head in vec(any::<u8>(), 0..200), tail in vec(0..4_u8, 0..3_000),
    ) {
        let mut message = Vec::new();
        deflate::store(&head, &mut message);
        deflate::deflate(&tail, &mut message);
        let whole = [head, tail].concat();
        let bytes = frame(FIN | RESERVED_1 | BINARY, &message);
        prop_assert_eq!(read(true, &bytes), Ok(vec![Received::Binary(BytesMut::from(&whole[..]))]));
    }
}

#[test]
fn what_the_rfc_does_not_allow_is_refused() {
    let unmasked = |first: u8| {
        let mut bytes = frame(first, b"");
        bytes[1] &= !MASKED;
        bytes
    };
    let long = |second: u8, length: &[u8]| [&[FIN | TEXT, second][..], length].concat();
    for (bytes, why) in [
        (unmasked(FIN | TEXT), "masked"),
        (frame(FIN | 0x20 | TEXT, b""), "reserved"),
        (frame(FIN | RESERVED_1 | TEXT, b""), "reserved"),
        (frame(FIN | 3, b""), "opcode"),
        (frame(FIN | 11, b""), "opcode"),
        (frame(FIN | CONTINUATION, b""), "continues no message"),
        (
            [frame(TEXT, b""), frame(FIN | TEXT, b"")].concat(),
            "within another",
        ),
        (frame(PING, b""), "fragmented"),
        (frame(FIN | PING, &[0; 126]), "too long"),
        (frame(FIN | CLOSE, b"1"), "two bytes"),
        (frame(FIN | CLOSE, &1005_u16.to_be_bytes()), "not valid"),
        (frame(FIN | CLOSE, &[0x03, 0xe8, 0xff]), "not valid"),
        (long(MASKED | 126, &[0, 125]), "shorter form"),
        (
            long(MASKED | 127, &[0, 0, 0, 0, 0, 0, 255, 255]),
            "shorter form",
        ),
    ] {
        let Err(Violation::Protocol(reason)) = read(false, &bytes) else {
            panic!("{why}: {:?}", read(false, &bytes));
        };
        assert!(reason.contains(why), "{reason}, not {why}");
    }
}

#[test]
fn too_much_is_refused_on_sight_of_the_header() {
    let announced = [&[FIN | TEXT, MASKED | 127][..], &[0, 0, 0, 0, 0, 3, 0, 1]].concat();
    assert_eq!(read(false, &announced), Err(Violation::TooLarge));
    let huge = [&[FIN | TEXT, MASKED | 127][..], &[0xff; 8]].concat();
    assert_eq!(read(false, &huge), Err(Violation::TooLarge));
    let half = vec![b'x'; WEBSOCKET_MESSAGE_BYTES_MAX / 2 + 1];
    let fragments = [frame(TEXT, &half), frame(FIN | CONTINUATION, &half)].concat();
    assert_eq!(read(false, &fragments), Err(Violation::TooLarge));
    let most = vec![b'x'; WEBSOCKET_MESSAGE_BYTES_MAX];
    assert_eq!(read(false, &frame(FIN | TEXT, &most)).unwrap().len(), 1);
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    for (bytes, outcome) in [
        (WEBSOCKET_MESSAGE_BYTES_MAX, Ok(1)),
        (WEBSOCKET_MESSAGE_BYTES_MAX + 1, Err(Violation::TooLarge)),
        (20_000_000, Err(Violation::TooLarge)),
    ] {
        let mut deflated = Vec::new();
        deflate::deflate(&vec![0; bytes], &mut deflated);
        assert!(deflated.len() < WEBSOCKET_MESSAGE_BYTES_MAX);
        let read = read(true, &frame(FIN | RESERVED_1 | TEXT, &deflated));
        assert_eq!(read.map(|all| all.len()), outcome);
    }
    let garbage = frame(FIN | RESERVED_1 | TEXT, &[0xff; 20]);
    assert!(matches!(read(true, &garbage), Err(Violation::Protocol(_))));
}

#[test]
fn each_message_is_deflated_by_itself() {
    // A message after another one, and a last block (RFC 7692, 7.2.3.4): the state of one is not that of the next.
    let mut deflated = Vec::new();
    deflate::deflate(b"Hello", &mut deflated);
    let first = frame(FIN | RESERVED_1 | TEXT, &deflated);
    let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let second = frame(FIN | RESERVED_1 | TEXT, &last_block);
    let plain = frame(FIN | TEXT, b"Hello");
    let all = read(true, &[first.clone(), second, plain, first].concat());
    assert_eq!(all, Ok((0..4).map(|_| text("Hello")).collect()));
}
