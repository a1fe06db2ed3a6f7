//! Connection ids with a check, so that packets which nobody meant are told from those of connections that are gone: the
//! second are answered with a reset, of which QUIC sends no more than one in 20 ms. The reset key makes them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use aws_lc_rs::rand;
use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;

/// Random bytes, then their keyed hash. Any process of the node takes those of another for possible.
#[derive(Clone, Copy)]
pub(crate) struct CheckedIds {
    key: [u8; 16],
}

impl CheckedIds {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    fn check(&self, random: &[u8]) -> [u8; CHECK_BYTES] {
        let mut hasher = DefaultHasher::new();
        (self.key, random).hash(&mut hasher);
        let [first, second, ..] = hasher.finish().to_le_bytes();
        [first, second]
    }
}

impl ConnectionIdGenerator for CheckedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        let (random, check) = id.split_at_mut(ID_BYTES - CHECK_BYTES);
        let filled = rand::fill(random);
        assert!(filled.is_ok(), "the system gives no random bytes");
        check.copy_from_slice(&self.check(random));
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let valid = id
            .split_at_checked(ID_BYTES - CHECK_BYTES)
            .is_some_and(|(random, check)| self.check(random) == check);
        valid.then_some(()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// As many as QUIC's own have: of a million connections no two are likely to draw the same, and who does draws again.
const ID_BYTES: usize = 8;
/// Of 65,536 packets that nobody meant one is taken for possible.
const CHECK_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_by_who_has_the_key() {
        let [mut one, same, other] = [1, 1, 2].map(|key| CheckedIds::new([key; 16]));
        let ids: Vec<_> = (0..100).map(|_| one.generate_cid()).collect();
        let known = |by: CheckedIds| ids.iter().filter(|id| by.validate(id).is_ok()).count();
        assert_eq!(known(same), 100);
        assert!(known(other) <= 2);
        for length in [0, 5, 6, 7, 9, 20] {
            let id = ConnectionId::new(&vec![7; length]);
            assert!(one.validate(&id).is_err(), "{length}");
        }
    }
}
