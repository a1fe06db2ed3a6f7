//! Keys that are made of the cluster's own: what seals the keys it signs with, and what refresh tokens follow from.
//!
//! The cluster's key is in the store as well, so this keeps secrets out of single rows, exports and logs. Whoever has the
//! whole store, or a whole backup of it, has what opens them: those are to be kept as secrets themselves.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use selvedge_cluster::Clock;
use zeroize::Zeroizing;

/// 256 bits that somebody shows or that prove something. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bits(Zeroizing<[u8; 32]>);

impl Bits {
    pub(super) fn new(bits: [u8; 32]) -> Self {
        Self(Zeroizing::new(bits))
    }

    pub(super) fn random(clock: &Clock) -> Self {
        let mut bits = Self::new([0; 32]);
        for part in bits.0.chunks_exact_mut(8) {
            part.copy_from_slice(&clock.random().to_le_bytes());
        }
        bits
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bits(…)")
    }
}

/// All of them.
pub(super) struct Secrets {
    seal: RandomizedNonceKey,
    refresh: hmac::Key,
}

impl Secrets {
    /// Those of the cluster with this key.
    pub(super) fn of_cluster(key: &[u8; 32]) -> Self {
        let own = hmac::Key::new(hmac::HMAC_SHA256, key);
        let made = |of: &str| hmac::sign(&own, of.as_bytes());
        let seal = made("selvedge seal 1");
        Self {
            // Its length is that of the algorithm, and nothing else can be wrong with it.
            seal: match RandomizedNonceKey::new(&AES_256_GCM, seal.as_ref()) {
                Ok(seal) => seal,
                Err(_) => panic!("a SHA-256 is a key of AES-256"),
            },
            refresh: hmac::Key::new(hmac::HMAC_SHA256, made("selvedge refresh 1").as_ref()),
        }
    }

    /// Seals something for a purpose: the nonce, the cipher text, the tag.
    pub(super) fn seal(&self, purpose: &str, text: &[u8]) -> Vec<u8> {
        let mut sealed = text.to_vec();
        let nonce = self
            .seal
            .seal_in_place_append_tag(Aad::from(purpose), &mut sealed);
        let Ok(nonce) = nonce else {
            panic!("{} bytes cannot be sealed", text.len());
        };
        [nonce.as_ref().as_slice(), &sealed].concat()
    }

    /// What was sealed for this purpose, and nothing else.
    pub(super) fn open(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let opened = self
            .seal
            .open_in_place(nonce, Aad::from(purpose), &mut text);
        let length = opened.ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// A proof of some bytes, that nobody else can make.
    pub(super) fn proof(&self, of: &[&[u8]]) -> Bits {
        let mut context = hmac::Context::with_key(&self.refresh);
        for part in of {
            context.update(part);
        }
        let mut bits = Bits::new([0; 32]);
        bits.0.copy_from_slice(context.sign().as_ref());
        bits
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_purpose_alone() {
        let secrets = Secrets::of_cluster(&[1; 32]);
        let sealed = secrets.seal("a", b"text");
        assert_eq!(
            secrets.open("a", &sealed).as_deref(),
            Some(b"text".as_slice())
        );
        assert_eq!(secrets.open("b", &sealed), None);
        assert_eq!(Secrets::of_cluster(&[2; 32]).open("a", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(secrets.open("a", &changed), None, "byte {at}");
            assert_eq!(secrets.open("a", &sealed[..at]), None, "cut {at}");
        }
        assert_ne!(secrets.seal("a", b"text"), sealed);
        assert!(!format!("{secrets:?}{:?}", Bits::new([7; 32])).contains('7'));
    }
}
