//! The form of a sealed value, and how one is sealed and opened. Called by commits and by the store that unseals.
//!
//! ```text
//! magic (16) · version (1) · id of the key (16) · nonce (12) · length of the subject (1) · subject · cipher text · tag (16)
//! magic (16) · 0 · a plain value that begins like a sealed one
//! ```
//!
//! AES-256-GCM-SIV (RFC 8452) with a random nonce, and the row's key as what is authenticated besides: a value that is
//! moved to another row does not open. Several nodes seal under one key without counting, which is why it is this
//! mode: should a nonce ever come twice, it tells whether two values of one row are equal, and nothing more. So a key
//! lasts for as many values as a store can take.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use aws_lc_rs::rand;
use bytes::{BufMut, Bytes, BytesMut};
use selvedge_protocol::SubjectId;

use crate::store::keys::Family;

/// What a value begins with that is not as somebody else wrote it. No record has a format of its first byte.
const MAGIC: [u8; 16] = *b"\xf5selvedge-sealed";
const ESCAPED: u8 = 0;
const SEALED: u8 = 1;
const ID_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The id of a subject's key: random, so that each key of a subject has another one.
pub(super) type KeyId = [u8; ID_BYTES];

/// What a stored value is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// It is as it was written.
    Plain,
    /// It was written as what follows after so many bytes.
    Escaped(usize),
    Sealed(Sealed<'a>),
    /// It begins like a sealed value and is none.
    Damaged,
}

/// The parts of a sealed value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sealed<'a> {
    pub(super) key: KeyId,
    pub(super) subject: SubjectId,
    nonce: [u8; NONCE_BYTES],
    /// With its tag.
    text: &'a [u8],
}

impl<'a> Form<'a> {
    pub(super) fn of(value: &'a [u8]) -> Self {
        let Some(rest) = value.strip_prefix(MAGIC.as_slice()) else {
            return Self::Plain;
        };
        match rest.split_first() {
            Some((&ESCAPED, _)) => Self::Escaped(MAGIC.len() + 1),
            Some((&SEALED, rest)) => Sealed::of(rest).map_or(Self::Damaged, Self::Sealed),
            Some(_) | None => Self::Damaged,
        }
    }
}

impl<'a> Sealed<'a> {
    fn of(rest: &'a [u8]) -> Option<Self> {
        let (key, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (length, rest) = rest.split_first()?;
        let (subject, text) = rest.split_at_checked(usize::from(*length))?;
        let subject = SubjectId::new(std::str::from_utf8(subject).ok()?).ok()?;
        (text.len() >= TAG_BYTES).then_some(Self {
            key: *key,
            subject,
            nonce: *nonce,
            text,
        })
    }

    /// The value; `None`: it was not sealed for this row under this key.
    pub(super) fn open(&self, key: &LessSafeKey, row: &[u8]) -> Option<Bytes> {
        let mut text = BytesMut::from(self.text);
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let length = key
            .open_in_place(nonce, aad(row, &self.key, &self.subject), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text.freeze())
    }
}

/// Seals the value of a row.
///
/// # Panics
/// If the system gives no randomness.
pub(super) fn seal(
    key: &LessSafeKey,
    (id, subject): (&KeyId, &SubjectId),
    row: &[u8],
    value: &[u8],
) -> Bytes {
    let mut nonce = [0; NONCE_BYTES];
    let filled = rand::fill(&mut nonce);
    assert!(filled.is_ok(), "the system gives no random bytes");
    let name = subject.as_str().as_bytes();
    let head = MAGIC.len() + 1 + ID_BYTES + NONCE_BYTES + 1 + name.len();
    let mut out = BytesMut::with_capacity(head + value.len() + TAG_BYTES);
    out.put_slice(&MAGIC);
    out.put_u8(SEALED);
    out.put_slice(id);
    out.put_slice(&nonce);
    // Subjects are at most 128 bytes long.
    out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.put_slice(name);
    out.put_slice(value);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let sealed = key.seal_in_place_separate_tag(nonce, aad(row, id, subject), &mut out[head..]);
    match sealed {
        Ok(tag) => out.put_slice(tag.as_ref()),
        Err(error) => panic!("{} bytes cannot be sealed: {error}", value.len()),
    }
    out.freeze()
}

/// A value of a row that is not sealed, as it is to be written: `None`, as it is.
pub(crate) fn escaped(value: &[u8]) -> Option<Bytes> {
    if !value.starts_with(&MAGIC) {
        return None;
    }
    let mut out = BytesMut::with_capacity(MAGIC.len() + 1 + value.len());
    out.put_slice(&MAGIC);
    out.put_u8(ESCAPED);
    out.put_slice(value);
    Some(out.freeze())
}

/// Whether rows of a family hold what actors are told: those are sealed.
pub(crate) const fn is_sealed_family(family: Family) -> bool {
    matches!(
        family,
        Family::Actor | Family::Event | Family::Timer | Family::Outbox | Family::Payload
    )
}

/// All of the head is authenticated, so that no byte of a value can be changed without notice.
fn aad(row: &[u8], key: &KeyId, subject: &SubjectId) -> Aad<Vec<u8>> {
    let subject = subject.as_str().as_bytes();
    let mut out = Vec::with_capacity(ID_BYTES + 1 + subject.len() + row.len());
    out.extend_from_slice(key);
    // Ends the subject: none contains it.
    out.extend_from_slice(subject);
    out.push(0);
    out.extend_from_slice(row);
    Aad::from(out)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM_SIV, UnboundKey};
    use proptest::prelude::*;

    use super::*;

    const ID: KeyId = [7; ID_BYTES];

    fn key(byte: u8) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &[byte; 32]).unwrap())
    }

    fn ann() -> SubjectId {
        SubjectId::new("ann").unwrap()
    }

    fn open(under: &LessSafeKey, row: &[u8], value: &[u8]) -> Option<Bytes> {
        match Form::of(value) {
            Form::Sealed(sealed) => sealed.open(under, row),
            Form::Plain | Form::Escaped(_) | Form::Damaged => None,
        }
    }

    #[test]
    fn a_value_opens_in_its_row_under_its_key_and_nowhere_else() {
        let sealed = seal(&key(1), (&ID, &ann()), b"row", b"value");
        assert_eq!(
            open(&key(1), b"row", &sealed).as_deref(),
            Some(&b"value"[..])
        );
        assert_eq!(open(&key(1), b"other row", &sealed), None);
        assert_eq!(open(&key(2), b"row", &sealed), None);
        let again = seal(&key(1), (&ID, &ann()), b"row", b"value");
        assert_ne!(sealed, again);
    }

    #[test]
    fn every_bit_and_the_length_of_a_value_count() {
        let sealed = seal(&key(1), (&ID, &ann()), b"row", b"value");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1 << bit;
                assert_eq!(
                    open(&key(1), b"row", &changed),
                    None,
                    "byte {at}, bit {bit}"
                );
            }
            assert_eq!(open(&key(1), b"row", &sealed[..at]), None, "{at} bytes");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_comes_back(value: Vec<u8>, row: Vec<u8>) {
            let sealed = seal(&key(1), (&ID, &ann()), &row, &value);
            let opened = open(&key(1), &row, &sealed);
            prop_assert_eq!(opened.as_deref(), Some(value.as_slice()));
        }

        #[test]
        fn any_bytes_are_something(rest: Vec<u8>) {
            let _ = Form::of(&rest);
            let like_sealed = [MAGIC.as_slice(), &rest].concat();
            prop_assert_ne!(Form::of(&like_sealed), Form::Plain);
            let written = escaped(&like_sealed).unwrap();
            prop_assert_eq!(Form::of(&written), Form::Escaped(written.len() - like_sealed.len()));
        }
    }
}
