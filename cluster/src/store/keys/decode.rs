//! Bytes to keys. Called by `Key::decode` only; no input can panic it.

use std::borrow::Cow;

use foundationdb_tuple::{Bytes as TupleBytes, PackError, TupleUnpack, unpack};
use selvedge_protocol::ids::{
    ActorAddress, ActorKey, ActorKind, CommandId, IdError, OperationId, OperationType, SessionId,
    Tenant,
};

use super::prefix::{COMMAND_OUTCOME, RECORD, SESSION, STATE};
use super::{
    ActorPath, AdminKey, Chain, ClusterKey, DecodeError, Entry, Family, Index, Key, Label, Part,
    start,
};

type Text<'a> = Cow<'a, str>;

pub(super) fn decode(bytes: &[u8]) -> Result<Key, DecodeError> {
    fields(bytes).map_err(|Reason(reason)| DecodeError {
        key: bytes.escape_ascii().to_string(),
        reason,
    })
}

fn fields(bytes: &[u8]) -> Result<Key, Reason> {
    let Some((family, rest)) = Family::ALL.iter().find_map(|family| {
        let rest = bytes.strip_prefix(start(*family, 2).as_slice())?;
        Some((*family, rest))
    }) else {
        return Err(Reason("it is of no known family".to_owned()));
    };
    Ok(match family {
        Family::Meta => {
            let (name,): (Text<'_>,) = tuple(rest)?;
            let name = name.into_owned();
            Key::Meta { name }
        }
        Family::Migration => {
            let (number,) = tuple(rest)?;
            Key::Migration { number }
        }
        Family::SlotFence => {
            let (slot,) = tuple(rest)?;
            Key::SlotFence { slot }
        }
        Family::Actor => actor_part(rest)?,
        Family::Event => {
            let (slot, tenant, kind, key, seq) = tuple(rest)?;
            let actor = actor((slot, tenant, kind, key))?;
            Key::Event { actor, seq }
        }
        Family::Timer => timer(rest)?,
        Family::Outbox => {
            let (slot, tenant, kind, key, seq) = tuple(rest)?;
            let actor = actor((slot, tenant, kind, key))?;
            Key::Outbox { actor, seq }
        }
        Family::Awake => {
            let actor = actor(tuple(rest)?)?;
            Key::Awake { actor }
        }
        Family::Payload => {
            let (slot, tenant, kind, key, chunk) = tuple(rest)?;
            let actor = actor((slot, tenant, kind, key))?;
            Key::Payload { actor, chunk }
        }
        Family::Catalog => catalog(rest)?,
        Family::OperationByTime
        | Family::OperationByStatus
        | Family::OperationByType
        | Family::OperationByLabel => operation(family, rest)?,
        Family::Audit | Family::AuditHead => audit(family, rest)?,
        Family::Notice
        | Family::NoticeBell
        | Family::User
        | Family::Username
        | Family::Role
        | Family::ApiKey
        | Family::TokenFamily
        | Family::Limit
        | Family::SigningKey
        | Family::SubjectKey
        | Family::SubjectActor
        | Family::Consent
        | Family::UserByName
        | Family::RevokedToken => admin(family, rest)?.into(),
        Family::Node
        | Family::Beat
        | Family::ControllerLease
        | Family::Plan
        | Family::Bell
        | Family::Removed
        | Family::Death => cluster(family, rest)?.into(),
    })
}

fn timer(rest: &[u8]) -> Result<Key, Reason> {
    let (slot, due_ms, tenant, kind, key, name): (_, _, _, _, _, Text<'_>) = tuple(rest)?;
    Ok(Key::Timer {
        actor: actor((slot, tenant, kind, key))?,
        due_ms,
        name: name.into_owned(),
    })
}

fn catalog(rest: &[u8]) -> Result<Key, Reason> {
    let (tenant, kind, key): (Text<'_>, Text<'_>, Text<'_>) = tuple(rest)?;
    Ok(Key::Catalog {
        tenant: Tenant::new(tenant)?,
        address: address(&kind, &key)?,
    })
}

fn cluster(family: Family, rest: &[u8]) -> Result<ClusterKey, Reason> {
    if matches!(
        family,
        Family::ControllerLease | Family::Plan | Family::Bell | Family::Removed
    ) {
        let () = tuple(rest)?;
        return Ok(match family {
            Family::Plan => ClusterKey::Plan,
            Family::Bell => ClusterKey::Bell,
            Family::Removed => ClusterKey::Removed,
            _ => ClusterKey::Lease,
        });
    }
    let (name,): (Text<'_>,) = tuple(rest)?;
    let name = name.into_owned();
    Ok(match family {
        Family::Beat => ClusterKey::Beat { name },
        Family::Death => ClusterKey::Death { name },
        _ => ClusterKey::Node { name },
    })
}

fn audit(family: Family, rest: &[u8]) -> Result<Key, Reason> {
    if family == Family::AuditHead {
        let (chain,): (Text<'_>,) = tuple(rest)?;
        let chain = Chain::parse(chain)?;
        return Ok(Key::AuditHead { chain });
    }
    let (chain, number): (Text<'_>, _) = tuple(rest)?;
    let chain = Chain::parse(chain)?;
    Ok(Key::Audit { chain, number })
}

fn admin(family: Family, rest: &[u8]) -> Result<AdminKey, Reason> {
    Ok(match family {
        Family::Notice => {
            let (number,) = tuple(rest)?;
            AdminKey::Notice { number }
        }
        Family::TokenFamily => {
            let (tenant, principal, id) = of_tenant(rest)?;
            AdminKey::TokenFamily {
                tenant,
                principal,
                id,
            }
        }
        Family::Limit => {
            let (tenant, scope, name) = of_tenant(rest)?;
            AdminKey::Limit {
                tenant,
                scope,
                name,
            }
        }
        Family::SigningKey => {
            let (id,): (Text<'_>,) = tuple(rest)?;
            let id = id.into_owned();
            AdminKey::SigningKey { id }
        }
        Family::SubjectActor => {
            let (tenant, subject, kind, key): (Text<'_>, Text<'_>, Text<'_>, Text<'_>) =
                tuple(rest)?;
            AdminKey::SubjectActor {
                tenant: Tenant::new(tenant)?,
                subject: subject.into_owned(),
                address: address(&kind, &key)?,
            }
        }
        Family::Consent => {
            let (tenant, subject, purpose) = of_tenant(rest)?;
            AdminKey::Consent {
                tenant,
                subject,
                purpose,
            }
        }
        Family::User
        | Family::Username
        | Family::Role
        | Family::ApiKey
        | Family::SubjectKey
        | Family::UserByName
        | Family::RevokedToken => named(family, rest)?,
        _ => {
            let () = tuple(rest)?;
            AdminKey::NoticeBell
        }
    })
}

fn named(family: Family, rest: &[u8]) -> Result<AdminKey, Reason> {
    let (tenant, name): (Text<'_>, Text<'_>) = tuple(rest)?;
    let (tenant, name) = (Tenant::new(tenant)?, name.into_owned());
    Ok(match family {
        Family::User => AdminKey::User { tenant, id: name },
        Family::Username => AdminKey::Username { tenant, name },
        Family::Role => AdminKey::Role { tenant, name },
        Family::UserByName => AdminKey::UserByName { tenant, mark: name },
        Family::RevokedToken => AdminKey::RevokedToken { tenant, id: name },
        Family::SubjectKey => AdminKey::SubjectKey {
            tenant,
            subject: name,
        },
        _ => AdminKey::ApiKey { tenant, id: name },
    })
}

fn of_tenant(rest: &[u8]) -> Result<(Tenant, String, String), Reason> {
    let (tenant, first, second): (Text<'_>, Text<'_>, Text<'_>) = tuple(rest)?;
    let tenant = Tenant::new(tenant)?;
    Ok((tenant, first.into_owned(), second.into_owned()))
}

fn actor_part(rest: &[u8]) -> Result<Key, Reason> {
    // The parts differ in number and type of their fields; only one form can match a whole key.
    if let Ok((slot, tenant, kind, key, ordinal)) = tuple::<(_, _, _, _, u16)>(rest) {
        let actor = actor((slot, tenant, kind, key))?;
        return match ordinal {
            RECORD => Ok(Key::Actor {
                actor,
                part: Part::Record,
            }),
            other => Err(Reason(format!("an actor has no part {other}"))),
        };
    }
    if let Ok((slot, tenant, kind, key, STATE, chunk)) = tuple::<(_, _, _, _, u16, u32)>(rest) {
        let actor = actor((slot, tenant, kind, key))?;
        let part = Part::State { chunk };
        return Ok(Key::Actor { actor, part });
    }
    let (slot, tenant, kind, key, ordinal, id): (_, _, _, _, u16, TupleBytes<'_>) = tuple(rest)?;
    let actor = actor((slot, tenant, kind, key))?;
    let id = <[u8; 16]>::try_from(&*id)
        .map(u128::from_be_bytes)
        .map_err(|_| Reason(format!("an id has 16 bytes, not {}", id.len())))?;
    let part = match ordinal {
        SESSION => Part::Session {
            session: SessionId::from_u128(id),
        },
        COMMAND_OUTCOME => Part::CommandOutcome {
            command: CommandId::from_u128(id),
        },
        other => return Err(Reason(format!("an actor has no part {other} with an id"))),
    };
    Ok(Key::Actor { actor, part })
}

fn operation(family: Family, rest: &[u8]) -> Result<Key, Reason> {
    // With a shard a key has a field more than without one; only one form can match a whole key.
    if family == Family::OperationByTime {
        type Fields<'a> = (Text<'a>, u64, Text<'a>);
        type Sharded<'a> = (Text<'a>, u16, u64, Text<'a>);
        if let Ok((tenant, created_ms, id)) = tuple::<Fields<'_>>(rest) {
            return indexed(tenant, Index::Time, None, (created_ms, id));
        }
        let (tenant, shard, created_ms, id): Sharded<'_> = tuple(rest)?;
        return indexed(tenant, Index::Time, Some(shard), (created_ms, id));
    }
    if family == Family::OperationByStatus {
        type Fields<'a> = (Text<'a>, u16, u64, Text<'a>);
        type Sharded<'a> = (Text<'a>, u16, u16, u64, Text<'a>);
        if let Ok((tenant, status, created_ms, id)) = tuple::<Fields<'_>>(rest) {
            return indexed(tenant, by_status(status)?, None, (created_ms, id));
        }
        let (tenant, status, shard, created_ms, id): Sharded<'_> = tuple(rest)?;
        return indexed(tenant, by_status(status)?, Some(shard), (created_ms, id));
    }
    if family == Family::OperationByType {
        type Fields<'a> = (Text<'a>, Text<'a>, u64, Text<'a>);
        type Sharded<'a> = (Text<'a>, Text<'a>, u16, u64, Text<'a>);
        if let Ok((tenant, name, created_ms, id)) = tuple::<Fields<'_>>(rest) {
            return indexed(tenant, by_type(name)?, None, (created_ms, id));
        }
        let (tenant, name, shard, created_ms, id): Sharded<'_> = tuple(rest)?;
        return indexed(tenant, by_type(name)?, Some(shard), (created_ms, id));
    }
    type Fields<'a> = (Text<'a>, Text<'a>, Text<'a>, u64, Text<'a>);
    type Sharded<'a> = (Text<'a>, Text<'a>, Text<'a>, u16, u64, Text<'a>);
    if let Ok((tenant, key, value, created_ms, id)) = tuple::<Fields<'_>>(rest) {
        return indexed(tenant, by_label(key, value), None, (created_ms, id));
    }
    let (tenant, key, value, shard, created_ms, id): Sharded<'_> = tuple(rest)?;
    indexed(tenant, by_label(key, value), Some(shard), (created_ms, id))
}

fn indexed(
    tenant: Text<'_>,
    index: Index,
    shard: Option<u16>,
    (created_ms, id): (u64, Text<'_>),
) -> Result<Key, Reason> {
    let shard = shard.map(|shard| {
        u8::try_from(shard).map_err(|_| Reason(format!("a shard is at most 255, not {shard}")))
    });
    Ok(Key::Operation {
        tenant: Tenant::new(tenant)?,
        index,
        shard: shard.transpose()?,
        entry: Entry {
            created_ms,
            id: OperationId::new(id)?,
        },
    })
}

fn by_status(status: u16) -> Result<Index, Reason> {
    u8::try_from(status)
        .map(Index::Status)
        .map_err(|_| Reason(format!("a status is at most 255, not {status}")))
}

fn by_type(name: Text<'_>) -> Result<Index, Reason> {
    Ok(Index::Type(OperationType::new(name)?))
}

fn by_label(key: Text<'_>, value: Text<'_>) -> Index {
    Index::Label(Label {
        key: key.into_owned(),
        value: value.into_owned(),
    })
}

type ActorFields<'a> = (u16, Text<'a>, Text<'a>, Text<'a>);

fn actor((slot, tenant, kind, key): ActorFields<'_>) -> Result<ActorPath, Reason> {
    Ok(ActorPath {
        slot,
        tenant: Tenant::new(tenant)?,
        address: address(&kind, &key)?,
    })
}

fn address(kind: &str, key: &str) -> Result<ActorAddress, Reason> {
    Ok(ActorAddress {
        kind: ActorKind::new(kind)?,
        key: ActorKey::new(key)?,
    })
}

fn tuple<'a, T: TupleUnpack<'a>>(bytes: &'a [u8]) -> Result<T, Reason> {
    Ok(unpack(bytes)?)
}

struct Reason(String);

impl From<PackError> for Reason {
    fn from(error: PackError) -> Self {
        Self(error.to_string())
    }
}

impl From<IdError> for Reason {
    fn from(error: IdError) -> Self {
        Self(error.to_string())
    }
}
