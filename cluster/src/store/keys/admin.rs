//! The keys of what administrators change, one row a thing, and of the notices by which nodes hear of changes.
//!
//! Who changes such a row does it in one transaction with its audit record and, where nodes keep a copy, its notice.

use selvedge_protocol::ids::{ActorAddress, Tenant};

use super::{Family, Key, pack};

/// A place of identity, limits or notices. Ids are texts that whoever makes them bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminKey {
    /// Something that nodes are to hear of.
    Notice { number: u64 },
    /// The number of the last notice, for who watches.
    NoticeBell,
    /// A user, by id.
    User { tenant: Tenant, id: String },
    /// Which user has a name, in the clear: as it was before names were hidden.
    Username { tenant: Tenant, name: String },
    /// A role that the tenant has made.
    Role { tenant: Tenant, name: String },
    /// An API key, without its secret.
    ApiKey { tenant: Tenant, id: String },
    /// The refresh tokens that came of one login.
    TokenFamily {
        tenant: Tenant,
        principal: String,
        id: String,
    },
    /// A rate that somebody has set.
    Limit {
        tenant: Tenant,
        scope: String,
        name: String,
    },
    /// A key under which the cluster signs tokens.
    SigningKey { id: String },
    /// The key of what is stored about a person, or that there was one.
    SubjectKey { tenant: Tenant, subject: String },
    /// An actor that holds something about a person.
    SubjectActor {
        tenant: Tenant,
        subject: String,
        address: ActorAddress,
    },
    /// What a person has said to a use of that.
    Consent {
        tenant: Tenant,
        subject: String,
        purpose: String,
    },
    /// Which user has a name. The mark is made of the name and tells it to nobody.
    UserByName { tenant: Tenant, mark: String },
    /// An access token that is good for nothing any more, by its id.
    RevokedToken { tenant: Tenant, id: String },
}

impl AdminKey {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Notice { number } => pack(Family::Notice, &(*number,)),
            Self::NoticeBell => pack(Family::NoticeBell, &()),
            Self::User { tenant, id } => of_tenant(Family::User, tenant, id),
            Self::Username { tenant, name } => of_tenant(Family::Username, tenant, name),
            Self::Role { tenant, name } => of_tenant(Family::Role, tenant, name),
            Self::ApiKey { tenant, id } => of_tenant(Family::ApiKey, tenant, id),
            Self::TokenFamily {
                tenant,
                principal,
                id,
            } => pack(
                Family::TokenFamily,
                &(tenant.as_str(), principal.as_str(), id.as_str()),
            ),
            Self::Limit {
                tenant,
                scope,
                name,
            } => pack(
                Family::Limit,
                &(tenant.as_str(), scope.as_str(), name.as_str()),
            ),
            Self::SigningKey { id } => pack(Family::SigningKey, &(id.as_str(),)),
            Self::SubjectKey { tenant, subject } => of_tenant(Family::SubjectKey, tenant, subject),
            Self::SubjectActor {
                tenant,
                subject,
                address,
            } => pack(
                Family::SubjectActor,
                &(
                    tenant.as_str(),
                    subject.as_str(),
                    address.kind.as_str(),
                    address.key.as_str(),
                ),
            ),
            Self::Consent {
                tenant,
                subject,
                purpose,
            } => pack(
                Family::Consent,
                &(tenant.as_str(), subject.as_str(), purpose.as_str()),
            ),
            Self::UserByName { tenant, mark } => of_tenant(Family::UserByName, tenant, mark),
            Self::RevokedToken { tenant, id } => of_tenant(Family::RevokedToken, tenant, id),
        }
    }
}

fn of_tenant(family: Family, tenant: &Tenant, name: &str) -> Vec<u8> {
    pack(family, &(tenant.as_str(), name))
}

impl From<AdminKey> for Key {
    fn from(key: AdminKey) -> Self {
        Self::Admin(key)
    }
}
