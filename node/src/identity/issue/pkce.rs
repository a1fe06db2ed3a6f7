//! What binds a code to the client that has asked for it (RFC 7636): the hash of something that only that client knows. `S256`
//! alone; a challenge that is its own verifier is none. Pure.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The SHA-256 of a verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge(pub(super) [u8; 32]);

impl Challenge {
    /// That of a `code_challenge`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// That of a `code_verifier`, if it has the form of one (4.1).
    pub(super) fn of_verifier(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_one = VERIFIER_BYTES.contains(&text.len()) && text.bytes().all(is_plain);
        is_one.then(|| {
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
            Self(hash)
        })
    }
}

/// What the standard has: 256 random bits in text, and three times as much.
const VERIFIER_BYTES: std::ops::RangeInclusive<usize> = 43..=128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_the_hash_of_its_verifier() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let parsed = Challenge::parse(challenge).unwrap();
        assert_eq!(Challenge::of_verifier(verifier), Some(parsed));
        assert_ne!(Challenge::of_verifier(challenge), Some(parsed));
    }

    #[test]
    fn other_texts_are_neither() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        for text in [
            "",
            "short",
            &challenge[1..],
            &format!("{challenge}A"),
            &format!("{challenge}="),
            &challenge.replace('-', "+"),
            // Bits that no byte takes.
            &format!("{}N", &challenge[..42]),
        ] {
            assert!(Challenge::parse(text).is_none(), "{text}");
        }
        for text in [
            String::new(),
            "a".repeat(42),
            "a".repeat(129),
            format!("{} ", "a".repeat(43)),
            format!("{}\n", "a".repeat(43)),
            "ä".repeat(43),
        ] {
            assert!(Challenge::of_verifier(&text).is_none(), "{text:?}");
        }
        assert!(Challenge::of_verifier(&"a".repeat(43)).is_some());
        assert!(Challenge::of_verifier(&"~".repeat(128)).is_some());
    }
}
