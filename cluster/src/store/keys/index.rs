//! The indexes of operations: which there are, an operation's place in one, and the shards that one may have.
//!
//! Rows of an index are in the order of time, so that whoever creates operations writes at its end. In a store that
//! is spread over machines the end of a range is one machine's: there an index has shards, each with an end of its own,
//! and the shard is a hash of the operation's id. One that is not sharded has no shard in its keys.

use foundationdb_tuple::pack_into;
use selvedge_protocol::ids::{OperationId, OperationType, Tenant};
use selvedge_protocol::limits::{INDEX_SHARDS_MAX, INDEX_SHARDS_SPREAD};
use xxhash_rust::xxh3::xxh3_64;

use super::{Family, pack};

/// What operations of a tenant are listed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    /// By the time they were created, as in all others within what they name.
    Time,
    /// By status, whose ordinal the operation's own code persists.
    Status(u8),
    Type(OperationType),
    Label(Label),
}

/// A label of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub key: String,
    pub value: String,
}

/// An operation's place in an index: newer ones are greater, and have later keys within a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub created_ms: u64,
    pub id: OperationId,
}

/// How many shards each index of a cluster has: at least one, and as many for as long as the cluster lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(u8);

impl Index {
    /// What the keys of a tenant's index begin with, or those of one of its shards.
    pub(super) fn prefix(&self, tenant: &Tenant, shard: Option<u8>) -> Vec<u8> {
        let tenant = tenant.as_str();
        let mut out = match self {
            Self::Time => pack(Family::OperationByTime, &(tenant,)),
            Self::Status(status) => pack(Family::OperationByStatus, &(tenant, u16::from(*status))),
            Self::Type(name) => pack(Family::OperationByType, &(tenant, name.as_str())),
            Self::Label(Label { key, value }) => pack(
                Family::OperationByLabel,
                &(tenant, key.as_str(), value.as_str()),
            ),
        };
        if let Some(shard) = shard {
            pack_into(&u16::from(shard), &mut out);
        }
        out
    }

    pub(super) fn key(&self, tenant: &Tenant, shard: Option<u8>, entry: &Entry) -> Vec<u8> {
        let mut out = self.prefix(tenant, shard);
        pack_into(&(entry.created_ms, entry.id.as_str()), &mut out);
        out
    }
}

impl Shards {
    /// Not sharded.
    pub const ONE: Self = Self(1);
    /// Of a new cluster whose store is spread over machines.
    pub const SPREAD: Self = Self(INDEX_SHARDS_SPREAD);

    /// `None`: no index has so many.
    pub fn new(count: u8) -> Option<Self> {
        (1..=INDEX_SHARDS_MAX)
            .contains(&count)
            .then_some(Self(count))
    }

    pub const fn count(self) -> u8 {
        self.0
    }

    /// The shard of an operation, if there are any. Persisted: it is the same for ever.
    pub fn of(self, id: &OperationId) -> Option<u8> {
        let shard = xxh3_64(id.as_str().as_bytes()) % u64::from(self.0);
        self.named(u8::try_from(shard).unwrap_or(0))
    }

    /// All of an index: one range of keys each.
    pub fn all(self) -> impl Iterator<Item = Option<u8>> {
        (0..self.0).map(move |shard| self.named(shard))
    }

    fn named(self, shard: u8) -> Option<u8> {
        (self != Self::ONE).then_some(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> OperationId {
        OperationId::new(text).unwrap()
    }

    /// What is on disks out there: never changed.
    #[test]
    fn an_operation_is_in_the_shard_that_it_always_was_in() {
        let shards = Shards::new(16).unwrap();
        let ids = ["op", "op-1", "0190b2a5-7c3e-7000-8000-000000000000"];
        let found = ids.map(|text| shards.of(&id(text)));
        assert_eq!(found, [Some(13), Some(8), Some(7)]);
        assert_eq!(Shards::ONE.of(&id("op")), None);
    }

    #[test]
    fn shards_are_bounded_and_one_is_none() {
        assert_eq!(Shards::new(0), None);
        assert_eq!(Shards::new(1), Some(Shards::ONE));
        assert_eq!(
            Shards::new(INDEX_SHARDS_MAX).map(Shards::count),
            Some(INDEX_SHARDS_MAX)
        );
        assert_eq!(Shards::new(INDEX_SHARDS_MAX + 1), None);
        assert_eq!(Shards::ONE.all().collect::<Vec<_>>(), [None]);
        let all: Vec<_> = Shards::new(3).unwrap().all().collect();
        assert_eq!(all, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn operations_are_spread_evenly() {
        let mut counts = [0_u32; 16];
        for number in 0..16_000 {
            let shard = Shards::SPREAD.of(&id(&format!("op-{number}"))).unwrap();
            counts[usize::from(shard)] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
    }
}
