//! Every key of the store, as one enum: its families, their persisted ordinals, and their encoding.
//!
//! Whoever reads or writes the store makes its keys here and nowhere else. Nothing here touches a
//! store, and no ordinal is ever changed or used again.
//!
//! A key is FoundationDB's tuple encoding of its family's ordinal and its fields, in this order:
//!
//! ```text
//! meta            (1,  name)
//! migration       (2,  number)
//! slot fence      (3,  slot)
//! actor           (4,  slot, tenant, kind, key, 1)                    record
//!                 (4,  slot, tenant, kind, key, 2, chunk)             state
//!                 (4,  slot, tenant, kind, key, 3, session id)        a session's commands
//!                 (4,  slot, tenant, kind, key, 4, command id)        outcome of a command
//! events          (5,  slot, tenant, kind, key, seq of the last)
//! timer           (6,  slot, due ms, tenant, kind, key, name)
//! outbox          (7,  slot, tenant, kind, key, message seq)
//! awake           (8,  slot, tenant, kind, key)
//! payload         (9,  slot, tenant, kind, key, chunk)
//! catalog         (10, tenant, kind, key)
//! by time         (11, tenant, [shard,] created ms, id)
//! by status       (12, tenant, status, [shard,] created ms, id)
//! by type         (13, tenant, type, [shard,] created ms, id)
//! by label        (14, tenant, label key, label value, [shard,] created ms, id)
//! audit           (15, chain, number)
//! node            (16, name)
//! beat            (17, name)
//! lease           (18)                                            of the controller
//! plan            (19)
//! bell            (20)                                            for the controller
//! removed         (21)                                            nodes
//! death           (22, name)                                      of a node
//! audit head      (23, chain)
//! notice          (24, number)
//! notice bell     (25)
//! user            (26, tenant, id)
//! username        (27, tenant, name)
//! role            (28, tenant, name)
//! api key         (29, tenant, id)
//! token family    (30, tenant, principal, id)
//! signing key     (31, id)
//! limit           (32, tenant, scope, name)
//! subject key     (33, tenant, subject)
//! subject actor   (34, tenant, subject, kind, key)
//! consent         (35, tenant, subject, purpose)
//! revoked token   (36, tenant, id)
//! ```
//!
//! The shard is there in clusters whose indexes have more than one: see [`Shards`].

mod admin;
mod chain;
mod cluster;
mod decode;
mod index;
mod prefix;

use bytes::Bytes;
use foundationdb_tuple::{Bytes as TupleBytes, TuplePack, pack_into};
use selvedge_protocol::ids::{ActorAddress, ActorKind, CommandId, SessionId, Tenant};

use super::{Isolation, Order, Range};
pub use admin::AdminKey;
pub use chain::Chain;
pub use cluster::ClusterKey;
pub use index::{Entry, Index, Label, Shards};
pub use prefix::ActorPrefix;

/// A place in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A fact about the whole store: its schema, the cluster's id.
    Meta { name: String },
    /// A migration that was applied.
    Migration { number: u32 },
    /// The epoch of a slot's owner.
    SlotFence { slot: u16 },
    /// A part of an actor.
    Actor { actor: ActorPath, part: Part },
    /// Events that an actor committed together, under the seq of the last.
    Event { actor: ActorPath, seq: u64 },
    /// A durable timer, in the order in which the slot's timers are due.
    Timer {
        actor: ActorPath,
        due_ms: u64,
        name: String,
    },
    /// A message to another actor that has not been delivered yet.
    Outbox { actor: ActorPath, seq: u64 },
    /// An actor to activate when its slot is taken.
    Awake { actor: ActorPath },
    /// A piece of an operation's payload.
    Payload { actor: ActorPath, chunk: u32 },
    /// An actor that exists, listed by kind.
    Catalog {
        tenant: Tenant,
        address: ActorAddress,
    },
    /// An operation in an index, and in which shard of it, if it has any.
    Operation {
        tenant: Tenant,
        index: Index,
        shard: Option<u8>,
        entry: Entry,
    },
    /// An audit record.
    Audit { chain: Chain, number: u64 },
    /// Where a chain of audit records begins and ends.
    AuditHead { chain: Chain },
    /// What administrators change, and how nodes hear of it.
    Admin(AdminKey),
    /// Who the nodes are, and which slots they own.
    Cluster(ClusterKey),
}

/// Where an actor lies: its slot, tenant, kind and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorPath {
    pub slot: u16,
    pub tenant: Tenant,
    pub address: ActorAddress,
}

/// A part of an actor, under its persisted ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 1: its versions, counters and marks.
    Record,
    /// 2: a piece of its state.
    State { chunk: u32 },
    /// 3: what is known of the commands of one session.
    Session { session: SessionId },
    /// 4: the outcome of a command whose id somebody else chose.
    CommandOutcome { command: CommandId },
}

/// Why bytes are not a key of this store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key} does not decode: {reason}")]
pub struct DecodeError {
    /// The bytes, printable.
    pub key: String,
    pub reason: String,
}

/// The families and their persisted ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Family {
    Meta = 1,
    Migration = 2,
    SlotFence = 3,
    Actor = 4,
    Event = 5,
    Timer = 6,
    Outbox = 7,
    Awake = 8,
    Payload = 9,
    Catalog = 10,
    OperationByTime = 11,
    OperationByStatus = 12,
    OperationByType = 13,
    OperationByLabel = 14,
    Audit = 15,
    Node = 16,
    Beat = 17,
    ControllerLease = 18,
    Plan = 19,
    Bell = 20,
    Removed = 21,
    Death = 22,
    AuditHead = 23,
    Notice = 24,
    NoticeBell = 25,
    User = 26,
    Username = 27,
    Role = 28,
    ApiKey = 29,
    TokenFamily = 30,
    SigningKey = 31,
    Limit = 32,
    SubjectKey = 33,
    SubjectActor = 34,
    Consent = 35,
    UserByName = 38,
    RevokedToken = 36,
}

impl Family {
    const ALL: [Self; 37] = [
        Self::Meta,
        Self::Migration,
        Self::SlotFence,
        Self::Actor,
        Self::Event,
        Self::Timer,
        Self::Outbox,
        Self::Awake,
        Self::Payload,
        Self::Catalog,
        Self::OperationByTime,
        Self::OperationByStatus,
        Self::OperationByType,
        Self::OperationByLabel,
        Self::Audit,
        Self::Node,
        Self::Beat,
        Self::ControllerLease,
        Self::Plan,
        Self::Bell,
        Self::Removed,
        Self::Death,
        Self::AuditHead,
        Self::Notice,
        Self::NoticeBell,
        Self::User,
        Self::Username,
        Self::Role,
        Self::ApiKey,
        Self::TokenFamily,
        Self::SigningKey,
        Self::Limit,
        Self::SubjectKey,
        Self::SubjectActor,
        Self::Consent,
        Self::UserByName,
        Self::RevokedToken,
    ];

    /// The family that a key belongs to, if it is one of these: not all of the key need be understood.
    pub fn of(key: &[u8]) -> Option<Self> {
        // How a tuple has a number from 1 to 255.
        const NUMBER: u8 = 0x15;
        match key {
            [NUMBER, ordinal, ..] => Self::of_ordinal(u16::from(*ordinal)),
            _ => None,
        }
    }

    pub fn of_ordinal(ordinal: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|family| *family as u16 == ordinal)
    }

    /// What it is called where people see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Migration => "migration",
            Self::SlotFence => "slot fence",
            Self::Actor => "actor",
            Self::Event => "event",
            Self::Timer => "timer",
            Self::Outbox => "outbox",
            Self::Awake => "awake",
            Self::Payload => "payload",
            Self::Catalog => "catalog",
            Self::OperationByTime => "operation by time",
            Self::OperationByStatus => "operation by status",
            Self::OperationByType => "operation by type",
            Self::OperationByLabel => "operation by label",
            Self::Audit => "audit",
            Self::Node => "node",
            Self::Beat => "beat",
            Self::ControllerLease => "controller lease",
            Self::Plan => "plan",
            Self::Bell => "bell",
            Self::Removed => "removed",
            Self::Death => "death",
            Self::AuditHead => "audit head",
            Self::Notice => "notice",
            Self::NoticeBell => "notice bell",
            Self::User => "user",
            Self::Username => "username",
            Self::Role => "role",
            Self::ApiKey => "api key",
            Self::TokenFamily => "token family",
            Self::SigningKey => "signing key",
            Self::Limit => "limit",
            Self::SubjectKey => "subject key",
            Self::SubjectActor => "subject actor",
            Self::Consent => "consent",
            Self::UserByName => "user by name",
            Self::RevokedToken => "revoked token",
        }
    }
}

impl Key {
    /// The bytes of the key.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Meta { name } => pack(Family::Meta, &(name.as_str(),)),
            Self::Migration { number } => pack(Family::Migration, &(*number,)),
            Self::SlotFence { slot } => pack(Family::SlotFence, &(*slot,)),
            Self::Actor { actor, part } => actor.prefix().part(*part),
            Self::Event { actor, seq } => actor.prefix().event(*seq),
            Self::Timer {
                actor,
                due_ms,
                name,
            } => timer(actor, *due_ms, name),
            Self::Outbox { actor, seq } => actor.prefix().outbox(*seq),
            Self::Awake { actor } => actor.prefix().awake(),
            Self::Payload { actor, chunk } => actor.prefix().payload(*chunk),
            Self::Catalog { tenant, address } => pack(
                Family::Catalog,
                &(tenant.as_str(), address.kind.as_str(), address.key.as_str()),
            ),
            Self::Operation {
                tenant,
                index,
                shard,
                entry,
            } => index.key(tenant, *shard, entry),
            Self::Audit { chain, number } => pack(Family::Audit, &(chain.as_str(), *number)),
            Self::AuditHead { chain } => pack(Family::AuditHead, &(chain.as_str(),)),
            Self::Admin(key) => key.encode(),
            Self::Cluster(key) => key.encode(),
        }
    }

    /// The key that these bytes are. Never panics, whatever they are.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode::decode(bytes)
    }
}

impl ActorPath {
    /// The actor's keys with everything but their ends already encoded.
    pub fn prefix(&self) -> ActorPrefix {
        ActorPrefix::new(self.slot, &self.tenant, &self.address)
    }

    fn texts(&self) -> (&str, &str, &str) {
        (
            self.tenant.as_str(),
            self.address.kind.as_str(),
            self.address.key.as_str(),
        )
    }
}

/// A range of keys: `begin <= key < end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub begin: Bytes,
    pub end: Bytes,
}

impl KeyRange {
    /// All keys that go on after `prefix` with at least one more field.
    fn after(prefix: &[u8]) -> Self {
        // No field starts with 0xff, and each starts with a byte of its own: FoundationDB's rule.
        let end = |last: u8| {
            let mut key = Vec::with_capacity(prefix.len() + 1);
            key.extend_from_slice(prefix);
            key.push(last);
            Bytes::from(key)
        };
        Self {
            begin: end(0),
            end: end(0xff),
        }
    }

    /// Every key of a family.
    pub fn family(family: Family) -> Self {
        Self::after(&pack(family, &()))
    }

    /// A family's keys in one slot.
    pub fn slot(family: SlotFamily, slot: u16) -> Self {
        Self::after(&pack(family.family(), &(slot,)))
    }

    /// The actors of a tenant in one slot that shall be awake.
    pub fn awake(slot: u16, tenant: &Tenant) -> Self {
        Self::after(&pack(Family::Awake, &(slot, tenant.as_str())))
    }

    /// The timers of a slot that are due by `until_ms`, that moment included.
    pub fn timers_due(slot: u16, until_ms: u64) -> Self {
        Self {
            begin: Self::slot(SlotFamily::Timer, slot).begin,
            end: Self::after(&pack(Family::Timer, &(slot, until_ms))).end,
        }
    }

    /// The actors of a tenant, of one kind if one is named.
    pub fn catalog(tenant: &Tenant, kind: Option<&ActorKind>) -> Self {
        Self::after(&match kind {
            Some(kind) => pack(Family::Catalog, &(tenant.as_str(), kind.as_str())),
            None => pack(Family::Catalog, &(tenant.as_str(),)),
        })
    }

    /// A tenant's operations in an index or one of its shards, oldest first.
    pub fn operations(tenant: &Tenant, index: &Index, shard: Option<u8>) -> Self {
        Self::after(&index.prefix(tenant, shard))
    }

    /// The audit records of a chain, oldest first.
    pub fn audit(chain: &Chain) -> Self {
        Self::after(&pack(Family::Audit, &(chain.as_str(),)))
    }

    /// The rows of a family of [`AdminKey`] whose keys begin with a tenant.
    pub fn of_tenant(family: TenantFamily, tenant: &Tenant) -> Self {
        Self::after(&pack(family.family(), &(tenant.as_str(),)))
    }

    /// The notices from this number on.
    pub fn notices_from(number: u64) -> Self {
        Self {
            begin: pack(Family::Notice, &(number,)).into(),
            end: Self::family(Family::Notice).end,
        }
    }

    /// The families of tokens of a principal.
    pub fn token_families(tenant: &Tenant, principal: &str) -> Self {
        Self::after(&pack(Family::TokenFamily, &(tenant.as_str(), principal)))
    }

    /// The actors that hold something about a person.
    pub fn subject_actors(tenant: &Tenant, subject: &str) -> Self {
        Self::after(&pack(Family::SubjectActor, &(tenant.as_str(), subject)))
    }

    /// What a person has said to uses of that.
    pub fn consents(tenant: &Tenant, subject: &str) -> Self {
        Self::after(&pack(Family::Consent, &(tenant.as_str(), subject)))
    }

    /// The first `limit` pairs of the range, in ascending order.
    pub fn read(&self, limit: usize, isolation: Isolation) -> Range {
        Range {
            begin: std::ops::Bound::Included(self.begin.clone()),
            end: std::ops::Bound::Excluded(self.end.clone()),
            order: Order::Ascending,
            limit,
            isolation,
        }
    }
}

/// The families whose keys start with a slot, so that a new owner finds what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotFamily {
    Actor,
    Event,
    Timer,
    Outbox,
    Awake,
    Payload,
}

impl SlotFamily {
    const fn family(self) -> Family {
        match self {
            Self::Actor => Family::Actor,
            Self::Event => Family::Event,
            Self::Timer => Family::Timer,
            Self::Outbox => Family::Outbox,
            Self::Awake => Family::Awake,
            Self::Payload => Family::Payload,
        }
    }
}

/// The families of [`AdminKey`] whose keys begin with a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantFamily {
    User,
    Username,
    Role,
    ApiKey,
    TokenFamily,
    Limit,
    SubjectKey,
    UserByName,
    RevokedToken,
}

impl TenantFamily {
    const fn family(self) -> Family {
        match self {
            Self::User => Family::User,
            Self::Username => Family::Username,
            Self::Role => Family::Role,
            Self::ApiKey => Family::ApiKey,
            Self::TokenFamily => Family::TokenFamily,
            Self::Limit => Family::Limit,
            Self::SubjectKey => Family::SubjectKey,
            Self::UserByName => Family::UserByName,
            Self::RevokedToken => Family::RevokedToken,
        }
    }
}

/// What goes before every key of a cluster in a database that clusters share, by the cluster's name there.
pub fn cluster_prefix(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pack_into(&("selvedge", name), &mut out);
    out
}

/// The one place where bytes of a key begin.
fn start(family: Family, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    pack_into(&(family as u16), &mut out);
    out
}

fn pack<T: TuplePack>(family: Family, fields: &T) -> Vec<u8> {
    // Most keys are a few names; longer ones grow once.
    let mut out = start(family, 96);
    pack_into(fields, &mut out);
    out
}

fn timer(actor: &ActorPath, due_ms: u64, name: &str) -> Vec<u8> {
    let (tenant, kind, key) = actor.texts();
    let fields = (actor.slot, due_ms, tenant, kind, key, name);
    pack(Family::Timer, &fields)
}

fn tuple_bytes(bytes: &[u8]) -> TupleBytes<'_> {
    TupleBytes::from(bytes)
}

#[cfg(test)]
mod tests;
