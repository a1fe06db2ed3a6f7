//! API keys as their holders have them: a text that says whose it is, and a secret.
//!
//! ```text
//! selv_TENANT.ID.SECRET      ID: 32 hexadecimal digits · SECRET: 256 bits, base64url
//! ```
//!
//! The beginning is for those who look for secrets where none should be. Tenant and id are in the clear, so that one
//! read finds the key; of the secret the store has a hash. SHA-256 is enough for it: what makes a slow hash necessary
//! for passwords is that people choose them, and nobody guesses 256 bits.

use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use selvedge_protocol::Tenant;

use crate::identity::Secret;

/// An API key that somebody shows. It never prints its secret.
#[derive(Debug)]
pub(super) struct ShownKey<'a> {
    pub(super) tenant: Tenant,
    pub(super) id: &'a str,
    secret: Hidden<'a>,
}

struct Hidden<'a>(&'a str);

/// What the store keeps of a secret.
pub(super) type SecretHash = [u8; 32];

impl<'a> ShownKey<'a> {
    /// The key that a text is, if it has the form of one.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split('.');
        let (tenant, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none() && secret.len() == SECRET_CHARS;
        (is_whole && is_id(id)).then_some(())?;
        Some(Self {
            tenant: Tenant::new(tenant).ok()?,
            id,
            secret: Hidden(secret),
        })
    }

    /// Whether the secret is the one with this hash. Takes as long for each that is not.
    pub(super) fn is(&self, hash: &SecretHash) -> bool {
        constant_time::verify_slices_are_equal(&hash_of(self.secret.0), hash).is_ok()
    }

    /// What tokens of this key say of it.
    pub(super) fn mark(&self) -> String {
        mark(&hash_of(self.secret.0))
    }
}

/// A new key: its text, to be shown once, and what is kept of it.
pub(super) fn make(tenant: &Tenant, id: &str, random: &[u8; 32]) -> (Secret, SecretHash) {
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random);
    let hash = hash_of(&secret);
    (Secret::new(format!("{PREFIX}{tenant}.{id}.{secret}")), hash)
}

/// What tells a key from one that has been made anew under its id; of the hash, so that nobody learns that.
pub(super) fn mark(hash: &SecretHash) -> String {
    let marked = digest(&SHA256, &[b"mark".as_slice(), hash].concat());
    let bytes = marked.as_ref().iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text has the form of an id.
pub(super) fn is_id(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == ID_CHARS && text.bytes().all(is_hex)
}

fn hash_of(secret: &str) -> SecretHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}

impl std::fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

const PREFIX: &str = "selv_";
const ID_CHARS: usize = 32;
/// 32 bytes in base64 without padding.
const SECRET_CHARS: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_key_is_known_by_its_secret_alone() {
        let tenant = Tenant::new("acme-1").unwrap();
        let (text, hash) = make(&tenant, ID, &[7; 32]);
        let text = text.reveal();
        assert!(text.starts_with("selv_acme-1.0123"), "{text}");
        let shown = ShownKey::parse(text).unwrap();
        assert_eq!((&shown.tenant, shown.id), (&tenant, ID));
        assert!(shown.is(&hash));
        let (_, other) = make(&tenant, ID, &[8; 32]);
        assert!(!shown.is(&other));
        assert!(!format!("{shown:?}").contains(&text[text.len() - 43..]));
    }

    #[test]
    fn other_texts_are_no_keys() {
        let (text, _) = make(&Tenant::default_tenant(), ID, &[7; 32]);
        let text = text.reveal();
        let secret = &text[text.len() - 43..];
        for other in [
            String::new(),
            "selv_".to_owned(),
            text.to_uppercase(),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{text}A"),
            format!("{text}.a"),
            format!("selv_default.{}.{secret}", ID.to_uppercase()),
            format!("selv_default.{}.{secret}", &ID[1..]),
            format!("selv_.{ID}.{secret}"),
            format!("selv_DEFAULT.{ID}.{secret}"),
            format!("selv_default/../other.{ID}.{secret}"),
        ] {
            assert!(ShownKey::parse(&other).is_none(), "{other}");
        }
    }
}
