//! Refresh tokens as text: what a client shows to go on with a login.
//!
//! ```text
//! selvr_TENANT.  user (16) · family (16) · generation (8) · secret (32) · tag (16), in base64url
//! ```
//!
//! Nothing of a token is stored but the hash of its secret. The tag is a proof that the cluster has given it out, whatever
//! its age: so one that is old is told from one that somebody made up, who could otherwise end the logins of others. The
//! secret of the next token follows from this one's and a key of the cluster: so the same answer can be given again, and
//! neither who has old tokens nor who has the rows can tell what it is.
//!
//! The code of an authorization is the token before the first one, of generation 0, and begins with `selvc_`: neither passes
//! for the other.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selvedge_cluster::Clock;
use selvedge_protocol::Tenant;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::identity::issue::secrets::{Bits, Secrets};

/// A token that the cluster has given out.
#[derive(Clone)]
pub(super) struct RefreshToken {
    pub(super) tenant: Tenant,
    pub(super) user: Uuid,
    pub(super) family: Uuid,
    /// From 1; 0 is a code.
    pub(super) generation: u64,
    secret: Bits,
}

/// The SHA-256 of a secret of 256 random bits, of which nobody can guess one: nothing slower is needed.
pub(super) type SecretHash = [u8; 32];

impl RefreshToken {
    /// The first one of a family.
    pub(super) fn first(tenant: Tenant, user: Uuid, family: Uuid, clock: &Clock) -> Self {
        Self {
            tenant,
            user,
            family,
            generation: 1,
            secret: Bits::random(clock),
        }
    }

    /// The code of a family, from which its first one follows.
    pub(super) fn code(tenant: Tenant, user: Uuid, family: Uuid, clock: &Clock) -> Self {
        Self {
            generation: CODE,
            ..Self::first(tenant, user, family, clock)
        }
    }

    /// The one after this one: always the same.
    pub(super) fn next(&self, secrets: &Secrets) -> Self {
        let generation = self.generation.saturating_add(1);
        let about = self.about(generation);
        Self {
            secret: secrets.proof(&[b"next", self.secret.as_bytes(), &about]),
            tenant: self.tenant.clone(),
            generation,
            ..*self
        }
    }

    pub(super) fn hash(&self) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.secret.as_bytes()).as_ref());
        hash
    }

    /// What a client gets.
    pub(super) fn text(&self, secrets: &Secrets) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.about(self.generation));
        bytes.extend_from_slice(self.secret.as_bytes());
        bytes.extend_from_slice(&self.tag(secrets));
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*bytes));
        let prefix = match self.generation {
            CODE => CODE_PREFIX,
            _ => PREFIX,
        };
        Zeroizing::new(format!("{prefix}{}.{}", self.tenant, &*bytes))
    }

    /// The refresh token of a text, if the cluster has given it out.
    pub(super) fn read(text: &str, secrets: &Secrets) -> Option<Self> {
        let token = Self::of_text(text.strip_prefix(PREFIX)?, secrets)?;
        (token.generation != CODE).then_some(token)
    }

    /// The code of a text, if the cluster has given it out.
    pub(super) fn read_code(text: &str, secrets: &Secrets) -> Option<Self> {
        let code = Self::of_text(text.strip_prefix(CODE_PREFIX)?, secrets)?;
        (code.generation == CODE).then_some(code)
    }

    fn of_text(text: &str, secrets: &Secrets) -> Option<Self> {
        let (tenant, bytes) = text.split_once('.')?;
        let tenant = Tenant::new(tenant).ok()?;
        if bytes.len() > TEXT_BYTES_MAX {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(bytes).ok()?);
        let (user, rest) = bytes.split_first_chunk::<16>()?;
        let (family, rest) = rest.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (secret, tag) = rest.split_first_chunk::<32>()?;
        let token = Self {
            tenant,
            user: Uuid::from_bytes(*user),
            family: Uuid::from_bytes(*family),
            generation: u64::from_be_bytes(*generation),
            secret: Bits::new(*secret),
        };
        verify_slices_are_equal(&token.tag(secrets), tag).ok()?;
        Some(token)
    }

    fn about(&self, generation: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.extend_from_slice(self.family.as_bytes());
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes
    }

    fn tag(&self, secrets: &Secrets) -> [u8; TAG_BYTES] {
        let tenant = self.tenant.as_str().as_bytes();
        let about = self.about(self.generation);
        let proof = secrets.proof(&[b"tag", self.secret.as_bytes(), &about, tenant]);
        std::array::from_fn(|at| proof.as_bytes()[at])
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({}, {})", self.family, self.generation)
    }
}

/// What scanners for secrets find it by.
const PREFIX: &str = "selvr_";
const CODE_PREFIX: &str = "selvc_";
/// The generation of a code.
const CODE: u64 = 0;
const TAG_BYTES: usize = 16;
/// 88 bytes.
const TEXT_BYTES_MAX: usize = 118;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets() -> Secrets {
        Secrets::of_cluster(&[1; 32])
    }

    fn token() -> RefreshToken {
        let tenant = Tenant::new("acme").unwrap();
        let clock = Clock::manual(0, 1);
        RefreshToken::first(tenant, Uuid::from_u128(7), Uuid::from_u128(8), &clock)
    }

    #[test]
    fn a_text_is_the_token_that_was_given_out() {
        let token = token();
        let text = token.text(&secrets());
        let read = RefreshToken::read(&text, &secrets()).unwrap();
        assert_eq!(
            (read.user, read.family, read.generation),
            (token.user, token.family, 1)
        );
        assert_eq!((read.tenant.as_str(), read.hash()), ("acme", token.hash()));
        assert!(!format!("{token:?}").contains(&text[PREFIX.len()..]));
    }

    #[test]
    fn nobody_makes_one_up() {
        let text = token().text(&secrets());
        assert!(RefreshToken::read(&text, &Secrets::of_cluster(&[2; 32])).is_none());
        // Not of another tenant, and not with one character changed.
        assert!(RefreshToken::read(&text.replace("acme", "acmf"), &secrets()).is_none());
        for at in PREFIX.len()..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(RefreshToken::read(&changed, &secrets()).is_none(), "{at}");
            assert!(
                RefreshToken::read(&text[..at], &secrets()).is_none(),
                "{at}"
            );
        }
    }

    #[test]
    fn a_code_is_no_refresh_token_and_no_refresh_token_is_a_code() {
        let tenant = Tenant::new("acme").unwrap();
        let clock = Clock::manual(0, 1);
        let code = RefreshToken::code(tenant, Uuid::from_u128(7), Uuid::from_u128(8), &clock);
        let text = code.text(&secrets());
        let read = RefreshToken::read_code(&text, &secrets()).unwrap();
        assert_eq!((read.generation, read.hash()), (0, code.hash()));
        assert!(RefreshToken::read(&text, &secrets()).is_none());
        let passed_off = text.replace("selvc_", "selvr_");
        assert!(RefreshToken::read(&passed_off, &secrets()).is_none());
        let first = code.next(&secrets()).text(&secrets());
        assert!(RefreshToken::read(&first, &secrets()).is_some());
        let passed_off = first.replace("selvr_", "selvc_");
        assert!(RefreshToken::read_code(&passed_off, &secrets()).is_none());
    }

    #[test]
    fn the_next_one_follows_from_it_and_the_cluster_s_key() {
        let (token, next) = (token(), token().next(&secrets()));
        assert_eq!(next.generation, 2);
        assert_eq!(next.hash(), token.next(&secrets()).hash());
        assert_ne!(next.hash(), token.hash());
        assert_ne!(next.next(&secrets()).hash(), next.hash());
        assert_ne!(
            token.next(&Secrets::of_cluster(&[2; 32])).hash(),
            next.hash()
        );
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "(selvr_)?[a-z.]{0,20}\\PC{0,150}") {
            prop_assert!(RefreshToken::read(&text, &secrets()).is_none());
        }
    }
}
