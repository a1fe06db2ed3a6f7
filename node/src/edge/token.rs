//! Proofs of an address for the next time (RFC 9000, 8.1.3): every client is given one at the end of its handshake, and
//! whoever shows it passes the gate before those who come for the first time. QUIC makes, seals and opens them; here is
//! under which key, and which were used up. The endpoint's settings are made with it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hkdf;
use parking_lot::Mutex;
use quinn::{TokenLog, TokenReuseError, ValidationTokenConfig};
use selvedge_protocol::limits::{EDGE_TOKENS_USED_MAX, SESSION_RESUME_MS_MAX};

/// Seals proofs of addresses. Nodes that have it from the same secret take each other's, and those of their earlier
/// processes: who loses its node is no stranger to the next.
#[derive(Clone)]
pub struct TokenKey(Arc<hkdf::Prk>);

impl TokenKey {
    /// The key of a cluster, from a secret that stays.
    pub fn of_cluster(secret: &[u8]) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"selvedge proofs of addresses");
        Self(Arc::new(salt.extract(secret)))
    }

    pub(super) fn sealing(&self) -> Arc<hkdf::Prk> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// How proofs are given and taken.
pub(super) fn validation() -> ValidationTokenConfig {
    let mut config = ValidationTokenConfig::default();
    config
        // Who may still resume a session.
        .lifetime(Duration::from_millis(SESSION_RESUME_MS_MAX))
        // One is enough for the next connection, which gets another.
        .sent(1)
        .log(Arc::new(Used::default()));
    config
}

/// Which were used, so that none is taken twice by this process: two Bloom filters, for those that were made in one
/// lifetime and in the one before. A nonce is random and sealed, so its bits are hashes already.
#[derive(Debug, Default)]
struct Used(Mutex<Filters>);

#[derive(Debug, Default)]
struct Filters {
    /// The lifetime, counted from 1970, that the newer one is about.
    lifetime: u64,
    newer: Filter,
    older: Filter,
}

/// Without memory until it holds something.
#[derive(Debug, Default)]
struct Filter {
    words: Vec<u64>,
    len: usize,
}

impl TokenLog for Used {
    fn check_and_insert(
        &self,
        nonce: u128,
        issued: SystemTime,
        lifetime: Duration,
    ) -> Result<(), TokenReuseError> {
        let issued = issued.duration_since(UNIX_EPOCH).unwrap_or_default();
        let of = issued.as_secs() / lifetime.as_secs().max(1);
        match self.0.lock().insert(of, nonce) {
            true => Ok(()),
            false => Err(TokenReuseError),
        }
    }
}

impl Filters {
    /// Whether it is new, as far as can be told. Older ones than are remembered are not.
    fn insert(&mut self, lifetime: u64, nonce: u128) -> bool {
        if lifetime == self.lifetime + 1 {
            self.older = std::mem::take(&mut self.newer);
            self.lifetime = lifetime;
        } else if lifetime > self.lifetime {
            *self = Self {
                lifetime,
                ..Self::default()
            };
        }
        if lifetime == self.lifetime {
            self.newer.insert(nonce)
        } else if lifetime + 1 == self.lifetime {
            self.older.insert(nonce)
        } else {
            false
        }
    }
}

impl Filter {
    fn insert(&mut self, nonce: u128) -> bool {
        if self.len >= EDGE_TOKENS_USED_MAX {
            return false;
        }
        if self.words.is_empty() {
            self.words = vec![0; BITS / 64];
        }
        let mut is_new = false;
        for part in 0..HASHES {
            let hash = usize::try_from((nonce >> (32 * part)) & HASH_MASK).unwrap_or(0) % BITS;
            let (word, bit) = (&mut self.words[hash / 64], 1 << (hash % 64));
            is_new |= *word & bit == 0;
            *word |= bit;
        }
        self.len += usize::from(is_new);
        is_new
    }
}

/// Eight for each: one in forty is taken for a used one when it is full, one in ten thousand at a tenth of that.
const BITS: usize = EDGE_TOKENS_USED_MAX * 8;
/// Parts of 32 bits.
const HASHES: u32 = 4;
const HASH_MASK: u128 = 0xffff_ffff;

#[cfg(test)]
mod tests {
    use selvedge_cluster::Clock;

    use super::*;

    fn nonce(clock: &Clock) -> u128 {
        u128::from(clock.random()) << 64 | u128::from(clock.random())
    }

    #[test]
    fn a_proof_is_taken_once() {
        let clock = Clock::manual(0, 1);
        let mut filters = Filters::default();
        let nonces: Vec<_> = (0..10_000).map(|_| nonce(&clock)).collect();
        let new = nonces
            .iter()
            .filter(|nonce| filters.insert(20_000, **nonce));
        assert!(new.count() > 9_990, "few are taken for used ones");
        for lifetime in [20_000, 20_001] {
            let again = nonces.iter().any(|nonce| filters.insert(20_000, *nonce));
            assert!(!again);
            // The next day begins, and those of the last are still known.
            assert!(filters.insert(lifetime + 1, nonce(&clock)));
        }
        // Two days later they would be too old to be asked about.
        assert!(!filters.insert(20_000, nonce(&clock)));
    }

    #[test]
    fn a_full_filter_takes_no_more() {
        let clock = Clock::manual(0, 1);
        let mut filter = Filter::default();
        while filter.len < EDGE_TOKENS_USED_MAX {
            filter.insert(nonce(&clock));
        }
        assert!(!filter.insert(nonce(&clock)));
        assert_eq!(filter.words.len() * 8, 1024 * 1024, "a mebibyte");
    }

    #[test]
    fn proofs_of_the_same_secret_are_sealed_alike() {
        use quinn::crypto::HandshakeTokenKey;
        let [one, same, other] =
            [b"one", b"one", b"two"].map(|secret| TokenKey::of_cluster(secret).sealing());
        let mut sealed = b"an address".to_vec();
        one.aead_from_hkdf(b"n").seal(&mut sealed, b"").unwrap();
        let opens = |key: &hkdf::Prk| {
            let mut sealed = sealed.clone();
            key.aead_from_hkdf(b"n").open(&mut sealed, b"").is_ok()
        };
        assert!(opens(&same) && !opens(&other));
    }
}
