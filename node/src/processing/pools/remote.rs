//! The pools of operations that workers execute, and which pool an operation belongs to.
//!
//! A part of the directory: such pools come with the first worker of their group, and stay.

use std::fmt;
use std::sync::Arc;

use selvedge_protocol::limits::{WORKER_POOLS_MAX, WORKER_POOLS_TENANT_MAX};
use selvedge_protocol::{ErrorCode, Failure, OperationType, Tenant};

use crate::processing::policies::TenantPolicy;
use crate::processing::pool::Pool;
use crate::processing::pools::Pools;
use crate::processing::supervisor;
use crate::processing::worker::{Group, RemoteHandler, Workers};

/// Which pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::processing) enum PoolName {
    /// Of the type's handler in this node.
    Local(OperationType),
    /// Of a tenant's workers.
    Remote(Group),
}

/// Who runs operations of some type of some tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunBy {
    Handler,
    Workers,
    /// Workers did, and none is connected.
    AbsentWorkers,
    Nobody,
}

impl Pools {
    /// Who runs a tenant's operations of a type.
    pub(crate) fn run_by(&self, tenant: &Tenant, operation_type: &OperationType) -> RunBy {
        if self.0.pools.contains_key(operation_type) {
            return RunBy::Handler;
        }
        let remote = self.0.remote.read();
        match remote.get(&group(tenant, operation_type)) {
            None => RunBy::Nobody,
            Some(pool) if pool.is_full(0) => RunBy::AbsentWorkers,
            Some(_) => RunBy::Workers,
        }
    }

    /// Those that execute operations over their sessions.
    pub(crate) fn workers(&self) -> Workers {
        Workers::new(self.clone(), Arc::clone(&self.0.desk))
    }

    /// Sees that there is a pool for what workers of a group execute. `false`: the node runs these
    /// operations itself. The pools are open.
    pub(in crate::processing) fn learn(&self, group: &Group) -> Result<bool, Failure> {
        if self.0.pools.contains_key(&group.operation_type) {
            return Ok(false);
        }
        {
            let mut remote = self.0.remote.write();
            if remote.contains_key(group) {
                return Ok(true);
            }
            let of_tenant = remote.keys().filter(|one| one.tenant == group.tenant);
            if remote.len() >= WORKER_POOLS_MAX || of_tenant.count() >= WORKER_POOLS_TENANT_MAX {
                return Err(Failure::field(
                    ErrorCode::LimitExceeded,
                    "types",
                    "workers execute as many types here as the node has pools for",
                ));
            }
            let handler = RemoteHandler {
                desk: Arc::clone(&self.0.desk),
                group: group.clone(),
            };
            let pool = Pool::new(
                group.operation_type.clone(),
                Arc::new(handler),
                self.0.remote_policy.clone(),
                Arc::clone(&self.0.wanted),
            );
            let pool = pool.of_workers(self.0.desk.places(group));
            let patch = self.0.policies.of(&group.tenant, &group.operation_type);
            pool.set_policy(&group.tenant, TenantPolicy::new(&patch, pool.policy()));
            remote.insert(group.clone(), Arc::new(pool));
        }
        if let Some(life) = &*self.0.life.lock() {
            let start = supervisor::Message::Start(PoolName::Remote(group.clone()));
            // A supervisor that has failed takes the node with it.
            let _ = life.supervisor.send_message(start);
        }
        Ok(true)
    }

    /// What the workers of a group take has changed.
    pub(in crate::processing) fn look(&self, group: &Group) {
        if let Some(pool) = self.0.remote.read().get(group) {
            pool.look();
        }
    }

    /// The pool that runs a tenant's operations of a type.
    pub(super) fn pool_for(
        &self,
        tenant: &Tenant,
        operation_type: &OperationType,
    ) -> Option<Arc<Pool>> {
        if let Some(pool) = self.0.pools.get(operation_type) {
            return Some(Arc::clone(pool));
        }
        let remote = self.0.remote.read();
        remote.get(&group(tenant, operation_type)).cloned()
    }
}

impl PoolName {
    /// The type of its operations.
    pub(in crate::processing) const fn operation_type(&self) -> &OperationType {
        match self {
            Self::Local(operation_type) => operation_type,
            Self::Remote(group) => &group.operation_type,
        }
    }

    /// Whether operations of this tenant are among them.
    pub(in crate::processing) fn serves(&self, tenant: &Tenant) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Remote(group) => group.tenant == *tenant,
        }
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(operation_type) => operation_type.fmt(f),
            Self::Remote(group) => group.fmt(f),
        }
    }
}

fn group(tenant: &Tenant, operation_type: &OperationType) -> Group {
    Group {
        tenant: tenant.clone(),
        operation_type: operation_type.clone(),
    }
}
