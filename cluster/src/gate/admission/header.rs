//! What the header of a datagram tells without keys (RFC 8999; RFC 9000, 17.2). The filter reads it; bytes that are no
//! header are told from those that are, never believed.

/// The header of a datagram's first packet: others behind it are of the same connection (RFC 9000, 12.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header<'a> {
    /// Of a connection that has begun, or so short that it costs nothing: nothing begins with it.
    Other,
    /// What connections begin with.
    Initial {
        destination: &'a [u8],
        token: &'a [u8],
    },
    /// Of a version of QUIC that is not spoken here, which is answered with those that are.
    Unspoken,
    /// None of these.
    Malformed,
}

/// Whether it is of the form that connections begin with.
pub(crate) const fn is_long(datagram: &[u8]) -> bool {
    matches!(datagram, [first, ..] if *first & LONG != 0)
}

/// The id that this end goes by in a handshake, where a datagram that it sends is part of one. Refusals name an id as
/// well; what comes to it is decided about as any other.
pub(crate) fn begun(datagram: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(datagram);
    let first = *reader.take(1)?.first()?;
    let version = reader.take(4)?;
    if first & LONG == 0 || !is_spoken(version) || first & TYPE != INITIAL {
        return None;
    }
    reader.id()?;
    reader.id()
}

impl<'a> Header<'a> {
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        match is_long(datagram) {
            true => Self::long(datagram).unwrap_or(Self::Malformed),
            false => Self::Other,
        }
    }

    fn long(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(datagram);
        let first = *reader.take(1)?.first()?;
        let version = reader.take(4)?;
        if version == NEGOTIATION {
            return Some(Self::Other);
        }
        if !is_spoken(version) {
            return Some(Self::Unspoken);
        }
        let destination = reader.id()?;
        reader.id()?;
        if first & TYPE != INITIAL {
            return Some(Self::Other);
        }
        let length = reader.number()?;
        let token = reader.take(length)?;
        Some(Self::Initial { destination, token })
    }
}

/// What is left of a datagram.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn id(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.take(1)?.first()?);
        (length <= ID_BYTES_MAX).then(|| self.take(length))?
    }

    /// A number of RFC 9000, 16: the first two bits say how many bytes it has.
    fn number(&mut self) -> Option<usize> {
        let first = *self.0.first()?;
        let bytes = self.take(1 << (first >> 6))?;
        let mut bytes = bytes.iter();
        let first = usize::from(*bytes.next()? & 0x3f);
        bytes.try_fold(first, |number, byte| {
            Some(number.checked_mul(256)? | usize::from(*byte))
        })
    }
}

/// Version 1, and the drafts that QUIC takes for it.
const fn is_spoken(version: &[u8]) -> bool {
    matches!(version, [0, 0, 0, 1] | [0xff, 0, 0, 0x1d..=0x22])
}

/// The version of an answer to a version that is not spoken.
const NEGOTIATION: &[u8] = &[0; 4];
const LONG: u8 = 0x80;
const TYPE: u8 = 0x30;
const INITIAL: u8 = 0;
const ID_BYTES_MAX: usize = 20;
/// A datagram with a first packet has no fewer (RFC 9000, 14.1).
pub(super) const INITIAL_BYTES_MIN: usize = 1_200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gate::admission::tests::initial;

    #[test]
    fn headers_are_told_from_each_other() {
        let first = initial(&[7; 8], b"token");
        let (destination, token) = (&[7; 8][..], &b"token"[..]);
        assert_eq!(Header::of(&first), Header::Initial { destination, token });
        assert_eq!(begun(&first), Some(&[9; 4][..]));
        assert_eq!(begun(&first[..19]), Some(&[9; 4][..]));
        let with = |at: usize, byte| {
            let mut changed = first.clone();
            changed[at] = byte;
            changed
        };
        for (at, byte, expected) in [
            (0, 0x43, Header::Other),
            // 0-RTT, Handshake, Retry.
            (0, 0xd3, Header::Other),
            (0, 0xe3, Header::Other),
            (0, 0xf3, Header::Other),
            (4, 0, Header::Other),
            (4, 2, Header::Unspoken),
            (5, 21, Header::Malformed),
        ] {
            assert_eq!(Header::of(&with(at, byte)), expected, "{at} {byte:#x}");
        }
        assert_eq!(begun(&with(0, 0xe3)), None);
        assert_eq!(begun(&with(0, 0x43)), None);
        for draft in [[0xff, 0, 0, 0x1d], [0xff, 0, 0, 0x22]] {
            let mut changed = first.clone();
            changed[1..5].copy_from_slice(&draft);
            assert!(matches!(Header::of(&changed), Header::Initial { .. }));
        }
        for length in 0..26 {
            let header = Header::of(&first[..length]);
            let expected = match length {
                0 => Header::Other,
                _ => Header::Malformed,
            };
            assert_eq!(header, expected, "{length}");
        }
        let longer = initial(&[7; 8], &[5; 64]);
        assert!(matches!(Header::of(&longer), Header::Initial { token, .. } if token == [5; 64]));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..1_300)) {
            Header::of(&bytes);
            begun(&bytes);
            let mut long = bytes;
            if let [first, v1, v2, v3, v4, ..] = &mut long[..] {
                *first |= LONG;
                [*v1, *v2, *v3, *v4] = [0, 0, 0, 1];
            }
            Header::of(&long);
            begun(&long);
        }
    }
}
