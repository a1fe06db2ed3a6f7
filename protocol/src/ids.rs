//! Names and identifiers that cross the wire, each a type of its own that cannot hold a wrong value.
//!
//! Text ids are checked once, where they enter (a frame, a flag, a URL), and are cheap to clone after
//! that. Nothing here generates randomness or reads a clock: callers pass both.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::limits;

/// Why a text is not a valid id: which kind of id, and the rule it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: use {rule}")]
pub struct IdError {
    /// The kind of id, as users call it: "actor key", "tenant".
    pub what: &'static str,
    /// The refused text, cut to 64 characters.
    pub value: String,
    /// The rule, in words that say how to mend it.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text against the rule of this id.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(IdError { what: $what, value: text.chars().take(64).collect(), rule: $rule })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(TextVisitor::<Self>(PhantomData))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                Self::from(&*id.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

/// Checks a text where it lies in the input, before anything is copied.
struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = IdError>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text id")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

text_id!(
    /// The unit of isolation. Everything a client names lies within its tenant.
    Tenant, "tenant", "1 to 63 of a-z, 0-9 and '-'",
    |text| (1..=limits::TENANT_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);
text_id!(
    /// The kind of an actor: which code decides its commands.
    ActorKind, "actor kind", "a letter a-z, then up to 63 of a-z, 0-9, '_', '.' and '-'",
    is_kind
);
text_id!(
    /// The key of an actor within its kind.
    ActorKey, "actor key", "1 to 512 bytes of UTF-8",
    |text| (1..=limits::ACTOR_KEY_BYTES_MAX).contains(&text.len())
);
text_id!(
    /// The type of an operation: which handler runs it.
    OperationType, "operation type", "a letter a-z, then up to 63 of a-z, 0-9, '_', '.' and '-'",
    is_kind
);
text_id!(
    /// The id of an operation, unique within its tenant. Chosen by the client, or a UUIDv7.
    OperationId, "operation id", "1 to 128 of A-Z, a-z, 0-9, '.', '_', ':' and '-'",
    is_chosen_id
);
text_id!(
    /// The person that data is about, unique within its tenant. Chosen by the application: a pseudonym, for it is
    /// stored in the clear.
    SubjectId, "subject", "1 to 128 of A-Z, a-z, 0-9, '.', '_', ':' and '-'",
    is_chosen_id
);

fn is_kind(text: &str) -> bool {
    text.len() <= limits::KIND_BYTES_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-')
        })
}

fn is_chosen_id(text: &str) -> bool {
    (1..=limits::CHOSEN_ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

impl Tenant {
    /// The tenant where none is named.
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }
}

/// A durable actor within its tenant: `kind/key`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActorAddress {
    pub kind: ActorKind,
    pub key: ActorKey,
}

impl ActorAddress {
    /// The slot of this actor: a stable hash over tenant, kind and key, modulo the number of slots.
    ///
    /// # Panics
    /// If `slots` is 0.
    pub fn slot(&self, tenant: &Tenant, slots: u16) -> u16 {
        assert!(slots > 0, "a cluster has at least one slot");
        let mut bytes = Vec::with_capacity(
            tenant.as_str().len() + self.kind.as_str().len() + self.key.as_str().len() + 2,
        );
        bytes.extend_from_slice(tenant.as_str().as_bytes());
        bytes.push(0); // neither tenants nor kinds can contain it, so the join is unambiguous
        bytes.extend_from_slice(self.kind.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.key.as_str().as_bytes());
        u16::try_from(xxh3_64(&bytes) % u64::from(slots)).unwrap_or(0)
    }
}

impl FromStr for ActorAddress {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let Some((kind, key)) = text.split_once('/') else {
            return Err(IdError {
                what: "actor",
                value: text.chars().take(64).collect(),
                rule: "KIND/KEY, for example room/42",
            });
        };
        Ok(Self {
            kind: ActorKind::new(kind)?,
            key: ActorKey::new(key)?,
        })
    }
}

impl fmt::Display for ActorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.key)
    }
}

impl fmt::Debug for ActorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a command, query or subscription is addressed to, within the tenant of the session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// An actor.
    Actor(ActorAddress),
    /// One operation.
    Operation(OperationId),
    /// The operations of the tenant: answers the query `list`.
    Operations,
    /// The actors of the tenant: answers the query `list`.
    Actors,
    /// The nodes, for those who administer them: answers the queries `status`, `plan` and `why`, takes the
    /// commands `drain`, `undrain` and `remove`, each of which may be repeated.
    Cluster,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(address) => address.fmt(f),
            Self::Operation(id) => write!(f, "operation {id}"),
            Self::Operations => f.write_str("operations"),
            Self::Actors => f.write_str("actors"),
            Self::Cluster => f.write_str("cluster"),
        }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// A UUIDv7 (RFC 9562, 5.7) from Unix milliseconds and ten random bytes.
            pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
            }

            /// The id with exactly these bits.
            pub const fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// The id as a number.
            pub const fn as_u128(self) -> u128 {
                self.0.as_u128()
            }

            /// The sixteen bytes, most significant first.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A session: the client's relation to the cluster, above any one connection.
    SessionId
);
uuid_id!(
    /// A command's client-chosen id, 128 bit; it makes the command take effect at most once.
    CommandId
);

impl SessionId {
    /// When it was made, Unix milliseconds: the first 48 bits of a UUIDv7.
    pub fn created_ms(self) -> u64 {
        u64::try_from(self.as_u128() >> 80).unwrap_or(0)
    }
}

impl CommandId {
    /// The id for a text that somebody chose: a UUID is taken as it is, any other text is hashed
    /// (XXH3, 128 bit; a tenant only ever collides with itself).
    pub fn from_text(text: &str) -> Self {
        match Uuid::try_parse(text) {
            Ok(uuid) => Self(uuid),
            Err(_) => Self(Uuid::from_u128(xxh3_128(text.as_bytes()))),
        }
    }
}
