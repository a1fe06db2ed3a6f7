//! The keys outside of the store, under which those of subjects are wrapped.
//!
//! [`WrappingKeys`] has them from a text, which a file or the environment holds. An application whose keys are kept by
//! a service implements [`KeyWrapper`] with two calls of that service, and gives it to the application's builder.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use selvedge_protocol::limits::WRAPPING_KEYS_MAX;
use zeroize::{Zeroize, Zeroizing};

/// A key in the clear. Its bytes are overwritten when it is dropped.
pub type SecretKey = Zeroizing<[u8; 32]>;

/// Wraps and unwraps keys of subjects.
#[async_trait]
pub trait KeyWrapper: Send + Sync + fmt::Debug + 'static {
    /// The name of the key that wraps at present: what is wrapped under another one can be wrapped anew.
    fn current(&self) -> String;

    /// Wraps a key under the current one. `bound` is to be authenticated with it, so that a wrapped key is of no use
    /// in another place.
    async fn wrap_key(&self, key: &SecretKey, bound: &[u8]) -> Result<Wrapped, WrapError>;

    /// The key again.
    async fn unwrap_key(&self, wrapped: &Wrapped, bound: &[u8]) -> Result<SecretKey, WrapError>;
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The name of the key that it is wrapped under.
    pub by: String,
    pub bytes: Vec<u8>,
}

/// Why a key was not wrapped or unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// It is wrapped under a key that is not here.
    #[error("wrapping key {0} is not known to this node; add it to its privacy.key_file")]
    Unknown(String),
    /// It does not open.
    #[error("a key wrapped by {0} does not open; another key has this name, or the key is damaged")]
    Damaged(String),
    /// Whoever has the keys does not answer at the moment.
    #[error("who keeps the wrapping keys does not answer: {0}")]
    Away(String),
}

/// Wrapping keys by name; the first wraps, all unwrap.
pub struct WrappingKeys(Vec<Named>);

struct Named {
    name: String,
    key: LessSafeKey,
}

/// Why a text has no wrapping keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongKeys {
    #[error("it has no key; write NAME:KEY, where KEY is 64 hexadecimal digits")]
    None,
    /// Its line is named, never what is in it.
    #[error(
        "entry {0} is wrong; write NAME:KEY with a name of a-z, 0-9 and '-', and 64 hexadecimal digits"
    )]
    Entry(usize),
    #[error("two keys have the name {0}; give each another")]
    Twice(String),
    #[error("it has more than {WRAPPING_KEYS_MAX} keys; take those out that wrap nothing any more")]
    TooMany,
}

impl WrappingKeys {
    /// The keys of a text: `NAME:KEY` each, separated by commas or ends of lines; `#` begins a comment.
    ///
    /// # Errors
    /// Names what is wrong, never a key.
    pub fn parse(text: &str) -> Result<Self, WrongKeys> {
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default());
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim);
        let mut keys: Vec<Named> = Vec::new();
        for (at, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
            let named = Named::parse(entry).ok_or(WrongKeys::Entry(at + 1))?;
            if keys.iter().any(|known| known.name == named.name) {
                return Err(WrongKeys::Twice(named.name));
            }
            keys.push(named);
        }
        match keys.len() {
            0 => Err(WrongKeys::None),
            1..=WRAPPING_KEYS_MAX => Ok(Self(keys)),
            _ => Err(WrongKeys::TooMany),
        }
    }

    /// The text of a new key.
    ///
    /// # Panics
    /// If the system gives no randomness.
    pub fn generate(name: &str) -> Zeroizing<String> {
        let key = random_key();
        let mut text = Zeroizing::new(String::with_capacity(name.len() + 2 + 64));
        text.push_str(name);
        text.push(':');
        for byte in key.iter() {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text.push('\n');
        text
    }

    fn first(&self) -> &Named {
        // There is at least one.
        &self.0[0]
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const NONCE_BYTES: usize = 12;
const NAME_BYTES_MAX: usize = 64;

/// A new key.
pub(super) fn random_key() -> SecretKey {
    let mut key = Zeroizing::new([0; 32]);
    let filled = rand::fill(key.as_mut_slice());
    assert!(filled.is_ok(), "the system gives no random bytes");
    key
}

/// A key as it seals and opens. Its own memory is overwritten when it is dropped, by the library that it is of.
pub(super) fn usable(key: &SecretKey) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM_SIV, key.as_slice()) {
        Ok(key) => LessSafeKey::new(key),
        Err(error) => panic!("32 bytes are a key of this length: {error}"),
    }
}

impl Named {
    fn parse(entry: &str) -> Option<Self> {
        let (name, digits) = entry.split_once(':')?;
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let mut key = Zeroizing::new([0; 32]);
        let digits = digits.trim().as_bytes();
        if !is_name || digits.len() != 2 * key.len() {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let value = digit(pair[0])? << 4 | digit(pair[1])?;
            *byte = u8::try_from(value).ok()?;
        }
        Some(Self {
            name: name.to_owned(),
            key: usable(&key),
        })
    }
}

#[async_trait]
impl KeyWrapper for WrappingKeys {
    fn current(&self) -> String {
        self.first().name.clone()
    }

    async fn wrap_key(&self, key: &SecretKey, bound: &[u8]) -> Result<Wrapped, WrapError> {
        let Named { name, key: by } = self.first();
        let mut nonce = [0; NONCE_BYTES];
        let filled = rand::fill(&mut nonce);
        assert!(filled.is_ok(), "the system gives no random bytes");
        let mut bytes = Vec::with_capacity(NONCE_BYTES + key.len() + 16);
        bytes.extend_from_slice(&nonce);
        let mut text = key.clone();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = by
            .seal_in_place_separate_tag(nonce, Aad::from(bound), text.as_mut_slice())
            .map_err(|_| WrapError::Damaged(name.clone()))?;
        bytes.extend_from_slice(text.as_slice());
        bytes.extend_from_slice(tag.as_ref());
        Ok(Wrapped {
            by: name.clone(),
            bytes,
        })
    }

    async fn unwrap_key(&self, wrapped: &Wrapped, bound: &[u8]) -> Result<SecretKey, WrapError> {
        let named = self.0.iter().find(|named| named.name == wrapped.by);
        let named = named.ok_or_else(|| WrapError::Unknown(wrapped.by.clone()))?;
        let damaged = || WrapError::Damaged(wrapped.by.clone());
        let (nonce, text) = wrapped
            .bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = named.key.open_in_place(nonce, Aad::from(bound), &mut text);
        let opened = opened.map_err(|_| damaged())?;
        let mut key = Zeroizing::new([0; 32]);
        if opened.len() != key.len() {
            return Err(damaged());
        }
        key.copy_from_slice(opened);
        opened.zeroize();
        Ok(key)
    }
}

impl fmt::Debug for WrappingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|named| &named.name);
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_key_wraps_and_all_unwrap() {
        let (old, new) = (WrappingKeys::generate("old"), WrappingKeys::generate("new"));
        let one = WrappingKeys::parse(&old).unwrap();
        let both = WrappingKeys::parse(&format!("# keys\n{}{}", *new, *old)).unwrap();
        let secret = random_key();
        let wrapped = one.wrap_key(&secret, b"here").await.unwrap();
        assert_eq!(both.unwrap_key(&wrapped, b"here").await.unwrap(), secret);
        assert_eq!((&*wrapped.by, &*both.current()), ("old", "new"));
        let elsewhere = both.unwrap_key(&wrapped, b"there").await;
        assert_eq!(elsewhere, Err(WrapError::Damaged("old".to_owned())));
        let wrapped = both.wrap_key(&secret, b"here").await.unwrap();
        let unknown = one.unwrap_key(&wrapped, b"here").await;
        assert_eq!(unknown, Err(WrapError::Unknown("new".to_owned())));
        for at in 0..wrapped.bytes.len() {
            let mut changed = wrapped.clone();
            changed.bytes[at] ^= 1;
            assert!(both.unwrap_key(&changed, b"here").await.is_err());
            changed.bytes.truncate(at);
            assert!(both.unwrap_key(&changed, b"here").await.is_err());
        }
    }

    #[test]
    fn a_text_that_has_no_keys_says_why_and_never_what() {
        let key = "ab".repeat(32);
        for (text, wrong) in [
            (String::new(), WrongKeys::None),
            ("# nothing".to_owned(), WrongKeys::None),
            (key.clone(), WrongKeys::Entry(1)),
            (format!("a:{key},B:{key}"), WrongKeys::Entry(2)),
            (format!("a:{}", &key[1..]), WrongKeys::Entry(1)),
            (format!("a:{}g", &key[1..]), WrongKeys::Entry(1)),
            (
                format!("a:{key}\na:{key}"),
                WrongKeys::Twice("a".to_owned()),
            ),
        ] {
            let refused = WrappingKeys::parse(&text).unwrap_err();
            assert_eq!(refused, wrong, "{text}");
            assert!(!refused.to_string().contains(&key[2..]));
        }
        let many: String = (0..=WRAPPING_KEYS_MAX)
            .map(|n| format!("k{n}:{key},"))
            .collect();
        assert_eq!(WrappingKeys::parse(&many).unwrap_err(), WrongKeys::TooMany);
        let shown = format!("{:?}", WrappingKeys::parse(&format!("a:{key}")).unwrap());
        assert_eq!(shown, r#"{"a"}"#);
    }
}
