//! Proofs of an address: an answer to a retry, or for the next time (RFC 9000, 8.1.2 and 8.1.3). Every client is given
//! one at the end of its handshake, and whoever shows it passes the gate before those who come for the first time. QUIC
//! makes, seals and opens them; here is under which key, and which were used up. The endpoint's settings are made with
//! it, and the gate reads with it what a proof says, which is not yet whether QUIC takes it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{hkdf, rand};
use parking_lot::Mutex;
use quinn::crypto::HandshakeTokenKey;
use quinn::{ServerConfig, TokenLog, TokenReuseError, ValidationTokenConfig};
use selvedge_protocol::limits::{EDGE_TOKENS_USED_MAX, SESSION_RESUME_MS_MAX};

use super::admission::Shown;

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

    /// The key of one process: its proofs are good for as long as it lives.
    pub fn of_process() -> Self {
        let mut secret = [0; 32];
        let filled = rand::fill(&mut secret);
        assert!(filled.is_ok(), "the system gives no random bytes");
        Self::of_cluster(&secret)
    }

    /// What a proof says, if it was sealed with this key.
    pub(super) fn open(&self, token: &[u8]) -> Option<Shown> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (sealed, nonce) = token.split_at_checked(token.len().checked_sub(NONCE_BYTES)?)?;
        let key = self.0.aead_from_hkdf(nonce);
        let mut sealed = sealed.to_vec();
        said(key.open(&mut sealed, &[]).ok()?)
    }
}

/// Reads what QUIC has written: the sort, the address, and what only QUIC needs to know.
fn said(text: &[u8]) -> Option<Shown> {
    let (sort, text) = text.split_first()?;
    let (family, text) = text.split_first()?;
    let (ip, text): (IpAddr, _) = match family {
        0 => {
            let (ip, text) = text.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*ip).into(), text)
        }
        1 => {
            let (ip, text) = text.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*ip).into(), text)
        }
        2.. => return None,
    };
    match sort {
        0 => {
            let (port, _) = text.split_first_chunk::<2>()?;
            Some(Shown::Retry(SocketAddr::new(ip, u16::from_be_bytes(*port))))
        }
        1 => Some(Shown::Earlier(ip)),
        2.. => None,
    }
}

/// The largest one has 85 bytes.
const TOKEN_BYTES_MAX: usize = 128;
const NONCE_BYTES: usize = 16;

/// How a port gives and takes proofs: with one key, and each of them once for as long as it is open.
#[derive(Debug, Clone)]
pub struct Proofs {
    key: TokenKey,
    used: Arc<Used>,
}

impl Proofs {
    pub fn new(key: TokenKey) -> Self {
        Self {
            key,
            used: Arc::default(),
        }
    }

    /// Has a server give and take them.
    pub fn given_by(&self, server: &mut ServerConfig) {
        let mut validation = ValidationTokenConfig::default();
        validation
            // Who may still resume a session.
            .lifetime(Duration::from_millis(SESSION_RESUME_MS_MAX))
            // One is enough for the next connection, which gets another.
            .sent(1)
            .log(Arc::<Used>::clone(&self.used));
        server
            .token_key(Arc::<hkdf::Prk>::clone(&self.key.0))
            .validation_token_config(validation);
    }

    pub(super) fn open(&self, token: &[u8]) -> Option<Shown> {
        self.key.open(token)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
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
    use crate::Clock;

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

    fn sealed(key: &TokenKey, text: &[u8]) -> Vec<u8> {
        let nonce = [7; NONCE_BYTES];
        let mut token = text.to_vec();
        let sealing = key.0.aead_from_hkdf(&nonce);
        sealing.seal(&mut token, &[]).unwrap();
        token.extend(nonce);
        token
    }

    #[test]
    fn proofs_of_the_same_secret_are_sealed_alike() {
        let [one, same, other] =
            [b"one", b"one", b"two"].map(|secret| TokenKey::of_cluster(secret));
        let token = sealed(&one, &[1, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let shown = Some(Shown::Earlier([192, 0, 2, 1].into()));
        assert_eq!(one.open(&token), shown);
        assert_eq!(same.open(&token), shown);
        assert_eq!(other.open(&token), None);
        assert_eq!(TokenKey::of_process().open(&token), None);
    }

    #[test]
    fn a_proof_says_whose_it_is() {
        let key = TokenKey::of_cluster(b"one");
        let v6 = [&[0, 1][..], &[0; 15], &[1], &[0x1c, 0xe8], &[8; 17]].concat();
        let address = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 7_400);
        assert_eq!(key.open(&sealed(&key, &v6)), Some(Shown::Retry(address)));
        for wrong in [
            &b""[..],
            b"\0",
            &[0, 0, 127, 0, 0],
            &[0, 0, 127, 0, 0, 1, 2],
            &[2, 0, 1, 2, 3, 4],
            &[1, 2, 1, 2, 3, 4],
        ] {
            assert_eq!(key.open(&sealed(&key, wrong)), None, "{wrong:?}");
        }
        let token = sealed(&key, &v6);
        for cut in 0..token.len() {
            assert_eq!(key.open(&token[..cut]), None, "{cut}");
        }
        assert_eq!(key.open(&[0; 1_000]), None);
    }
}
