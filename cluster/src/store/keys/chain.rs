//! Whose a chain of audit records is: the part of their keys that tells chains apart.

use std::fmt;

use selvedge_protocol::ids::{IdError, Tenant};

/// One chain of audit records.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chain {
    /// What concerns all tenants: the nodes, the store.
    Cluster,
    /// What happened in a tenant.
    Tenant(Tenant),
}

impl Chain {
    /// What stands for it in keys, and in what its first record follows.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cluster => CLUSTER,
            Self::Tenant(tenant) => tenant.as_str(),
        }
    }

    /// The chain of a text that [`as_str`](Self::as_str) gave.
    pub(super) fn parse(text: impl AsRef<str>) -> Result<Self, IdError> {
        match text.as_ref() {
            CLUSTER => Ok(Self::Cluster),
            _ => Tenant::new(text).map(Self::Tenant),
        }
    }
}

impl From<Tenant> for Chain {
    fn from(tenant: Tenant) -> Self {
        Self::Tenant(tenant)
    }
}

impl From<&Tenant> for Chain {
    fn from(tenant: &Tenant) -> Self {
        Self::Tenant(tenant.clone())
    }
}

impl From<&Self> for Chain {
    fn from(chain: &Self) -> Self {
        chain.clone()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No tenant can have this name.
const CLUSTER: &str = "*";
