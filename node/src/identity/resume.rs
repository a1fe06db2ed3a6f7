//! Resume tokens: what a client shows to go on with its session on any node of the cluster.
//!
//! ```text
//! +---------+--------------+----------------+------------+--------+---------------+-----------+------+
//! | version | session (16) | issued at (8)  | length (1) | tenant | length (2)    | principal | MAC  |
//! +---------+--------------+----------------+------------+--------+---------------+-----------+------+
//! ```
//!
//! Numbers are big endian, times Unix milliseconds; the MAC is HMAC-SHA256 over all that is before it,
//! under the cluster's key. Nothing is kept: a token is valid by itself, until it expires.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use bytes::{Buf, BufMut, Bytes};
use selvedge_protocol::limits::SESSION_RESUME_MS_MAX;
use selvedge_protocol::{ErrorCode, Failure, SessionId, Tenant};

use crate::identity::Principal;

/// The cluster's key for resume tokens.
#[derive(Clone)]
pub struct ResumeKey(hmac::Key);

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeClaims {
    pub session: SessionId,
    /// The tenant that the session is in, and the name of the principal whose it is. What that one may is no part of
    /// it: its present credential says so.
    pub tenant: Tenant,
    pub name: Arc<str>,
    /// Unix milliseconds.
    pub issued_ms: u64,
}

impl ResumeClaims {
    /// Whether the session is this principal's.
    pub fn is_of(&self, principal: &Principal) -> bool {
        self.name == principal.name && self.tenant == principal.tenant
    }
}

impl ResumeKey {
    /// The key of a cluster: 32 random bytes that all its nodes share.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A token that says this.
    pub fn seal(&self, claims: &ResumeClaims) -> Bytes {
        let tenant = claims.tenant.as_str().as_bytes();
        let name = claims.name.as_bytes();
        let mut token = Vec::with_capacity(64 + MAC_BYTES + tenant.len() + name.len());
        token.put_u8(VERSION);
        token.put_slice(claims.session.as_bytes());
        token.put_u64(claims.issued_ms);
        // Tenants have at most 63 bytes and names come from checked credentials of at most 8 KiB; one
        // that did not fit would make a token that nobody accepts, and no other harm.
        token.put_u8(u8::try_from(tenant.len()).unwrap_or(u8::MAX));
        token.put_slice(tenant);
        token.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
        token.put_slice(name);
        let mac = hmac::sign(&self.0, &token);
        token.put_slice(mac.as_ref());
        Bytes::from(token)
    }

    /// What a token says, if it is one of this cluster and no older than the retention of outcomes.
    pub fn open(&self, token: &[u8], now_ms: u64) -> Result<ResumeClaims, Failure> {
        let claims = self.verified(token).ok_or_else(expired)?;
        if now_ms.saturating_sub(claims.issued_ms) > SESSION_RESUME_MS_MAX {
            return Err(expired());
        }
        Ok(claims)
    }

    fn verified(&self, token: &[u8]) -> Option<ResumeClaims> {
        let (sealed, mac) = token.split_at_checked(token.len().checked_sub(MAC_BYTES)?)?;
        hmac::verify(&self.0, sealed, mac).ok()?;
        let mut rest = sealed;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let session = SessionId::from_u128(rest.try_get_u128().ok()?);
        let issued_ms = rest.try_get_u64().ok()?;
        let tenant_length = usize::from(rest.try_get_u8().ok()?);
        let (tenant, mut rest) = rest.split_at_checked(tenant_length)?;
        let name_length = usize::from(rest.try_get_u16().ok()?);
        let (name, rest) = rest.split_at_checked(name_length)?;
        if !rest.is_empty() {
            return None;
        }
        Some(ResumeClaims {
            session,
            tenant: Tenant::new(std::str::from_utf8(tenant).ok()?).ok()?,
            name: std::str::from_utf8(name).ok()?.into(),
            issued_ms,
        })
    }
}

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeKey(…)")
    }
}

fn expired() -> Failure {
    Failure::field(
        ErrorCode::SessionExpired,
        "resume",
        "the resume token is not valid or too old; start a new session",
    )
}

/// The layout above.
const VERSION: u8 = 1;
/// SHA-256.
const MAC_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims() -> ResumeClaims {
        ResumeClaims {
            session: SessionId::from_u128(7),
            tenant: Tenant::default_tenant(),
            name: "somebody".into(),
            issued_ms: 1_000_000,
        }
    }

    #[test]
    fn a_token_says_what_was_sealed_until_it_expires() {
        let key = ResumeKey::new(&[1; 32]);
        let token = key.seal(&claims());
        let last = 1_000_000 + SESSION_RESUME_MS_MAX;
        assert_eq!(key.open(&token, last).unwrap(), claims());
        assert_eq!(
            key.open(&token, last + 1).unwrap_err().code,
            ErrorCode::SessionExpired
        );
        // A node whose clock is behind the one that issued the token accepts it.
        assert!(key.open(&token, 0).is_ok());
    }

    #[test]
    fn another_cluster_s_token_is_refused() {
        let token = ResumeKey::new(&[1; 32]).seal(&claims());
        assert!(ResumeKey::new(&[2; 32]).open(&token, 0).is_err());
    }

    #[test]
    fn no_changed_or_cut_token_is_accepted() {
        let key = ResumeKey::new(&[1; 32]);
        let token = key.seal(&claims());
        for position in 0..token.len() {
            let mut changed = token.to_vec();
            changed[position] ^= 1;
            assert!(key.open(&changed, 0).is_err(), "byte {position}");
            assert!(key.open(&token[..position], 0).is_err(), "cut {position}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(ResumeKey::new(&[1; 32]).open(&bytes, 0).is_err());
        }
    }
}
