//! The policy patches that are in force on this node, by tenant: a cache of what the actors of the kind
//! `policy` have committed.
//!
//! Those actors hand each change to the pools, and the nodes tell each other; the pools ask here what it comes
//! to for one type. Each patch comes with the version of its actor, so that what was read earlier never takes
//! the place of what was read later.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_protocol::{IdError, OperationType, Tenant};

use crate::processing::gates::Limits;
use crate::processing::patch::PolicyPatch;
use crate::processing::policy::Policy;

/// What a patch is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// Every operation type of the tenant.
    All,
    Type(OperationType),
}

/// The policy of one tenant's operations of one type.
#[derive(Debug, Clone)]
pub(super) struct TenantPolicy {
    /// What its attempts go by.
    pub(super) policy: Arc<Policy>,
    /// Its own limits, on top of the pool's.
    pub(super) limits: Limits,
    /// What bounds it over the cluster.
    pub(super) cluster_concurrency: Option<usize>,
}

/// All patches, as far as this node has heard of them. One for each policy that tenants have set.
#[derive(Debug, Default)]
pub(super) struct Policies(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tenants: HashMap<Tenant, HashMap<Subject, PolicyPatch>>,
    /// Of each policy that was ever heard of, those that say nothing included.
    versions: HashMap<(Tenant, Subject), u64>,
}

/// A patch as it was committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Committed<'a> {
    pub(super) patch: &'a PolicyPatch,
    /// Of its actor.
    pub(super) version: u64,
}

impl Policies {
    /// Puts a patch in force, an empty one out of it, and hands what each type of the tenant comes to on:
    /// in order, whoever calls. Does nothing when nothing changes, or something later is known. Answers
    /// whether it did something.
    pub(super) fn set(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        Committed { patch, version }: Committed<'_>,
        mut changed: impl FnMut(&dyn Fn(&OperationType) -> PolicyPatch),
    ) -> bool {
        let mut known = self.0.lock();
        let Known { tenants, versions } = &mut *known;
        let last = versions
            .entry((tenant.clone(), subject.clone()))
            .or_default();
        if version < *last {
            return false;
        }
        *last = version;
        let patches = tenants.entry(tenant.clone()).or_default();
        let before = if patch.is_empty() {
            patches.remove(subject)
        } else {
            patches.insert(subject.clone(), patch.clone())
        };
        let is_same = before.unwrap_or_default() == *patch;
        let patches = &*patches;
        if !is_same {
            changed(&|name| whole(patches, name));
        }
        if patches.is_empty() {
            tenants.remove(tenant);
        }
        !is_same
    }

    /// What the patches of a tenant come to for a type.
    pub(super) fn of(&self, tenant: &Tenant, operation_type: &OperationType) -> PolicyPatch {
        let known = self.0.lock();
        let patches = known.tenants.get(tenant);
        patches.map_or_else(PolicyPatch::default, |patches| {
            whole(patches, operation_type)
        })
    }

    /// The same for each tenant that has changed something of it.
    pub(super) fn all_of(&self, operation_type: &OperationType) -> Vec<(Tenant, PolicyPatch)> {
        let known = self.0.lock();
        let all = known
            .tenants
            .iter()
            .map(|(tenant, patches)| (tenant.clone(), whole(patches, operation_type)));
        all.filter(|(_, patch)| !patch.is_empty()).collect()
    }

    /// What the patches of a tenant would come to for a type, if its own were `own`.
    pub(super) fn with(&self, tenant: &Tenant, own: &PolicyPatch) -> PolicyPatch {
        let known = self.0.lock();
        let all = known
            .tenants
            .get(tenant)
            .and_then(|patches| patches.get(&Subject::All));
        all.map_or_else(|| own.clone(), |all| own.or(all))
    }
}

/// The patch of one type: what is set for it, then what is set for all.
fn whole(patches: &HashMap<Subject, PolicyPatch>, name: &OperationType) -> PolicyPatch {
    let own = patches.get(&Subject::Type(name.clone()));
    match (own, patches.get(&Subject::All)) {
        (None, None) => PolicyPatch::default(),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (Some(own), Some(all)) => own.or(all),
    }
}

impl TenantPolicy {
    /// `None`: the same as the application's.
    pub(super) fn new(patch: &PolicyPatch, base: &Policy) -> Option<Self> {
        if patch.is_empty() {
            return None;
        }
        let policy = patch.over(base);
        let whole = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        Some(Self {
            cluster_concurrency: patch.cluster_concurrency.map(whole),
            limits: Limits {
                concurrency: patch.concurrency.map(|_| policy.concurrency),
                rate: patch.rate.as_ref().and(policy.rate),
                breaker: patch.breaker.as_ref().and(policy.breaker),
                queue_timeout: policy.queue_timeout,
            },
            policy: Arc::new(policy),
        })
    }
}

impl FromStr for Subject {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "*" => Ok(Self::All),
            name => Ok(Self::Type(OperationType::new(name)?)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Type(name) => name.fmt(f),
        }
    }
}
