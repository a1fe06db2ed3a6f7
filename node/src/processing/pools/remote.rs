//! The pools of operations that others than this node's handlers execute, workers or other nodes, and which
//! pool an operation belongs to.
//!
//! A part of the directory: such pools come with the first worker of their group, or with the first node that
//! has a handler of their type, and stay.

use std::fmt;
use std::sync::Arc;

use selvedge_protocol::limits::{WORKER_POOLS_MAX, WORKER_POOLS_TENANT_MAX};
use selvedge_protocol::{ErrorCode, Failure, OperationType, Tenant};
use serde_json::Value;

use crate::processing::context::OperationContext;
use crate::processing::handler::{Handler, HandlerError};
use crate::processing::policies::TenantPolicy;
use crate::processing::policy::Policy;
use crate::processing::pool::{Division, Pool};
use crate::processing::pools::Pools;
use crate::processing::supervisor;
use crate::processing::worker::{Group, RemoteHandler, Workers};

/// Which pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::processing) enum PoolName {
    /// Of the type's handler in this node.
    Local(OperationType),
    /// Of a type that only other nodes have a handler for.
    Foreign(OperationType),
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
    /// Who runs a tenant's operations of a type, here or on another node.
    pub(crate) fn run_by(&self, tenant: &Tenant, operation_type: &OperationType) -> RunBy {
        let elsewhere = |name: &PoolName| {
            let elsewhere = self.0.shared.elsewhere.get();
            elsewhere.is_some_and(|elsewhere| elsewhere.has_others(name))
        };
        let Some((name, pool)) = self.find(tenant, operation_type) else {
            return RunBy::Nobody;
        };
        let is_run = !pool.is_full(0) || elsewhere(&name);
        match (name, is_run) {
            (PoolName::Local(_) | PoolName::Foreign(_), true) => RunBy::Handler,
            (PoolName::Local(_) | PoolName::Foreign(_), false) => RunBy::Nobody,
            (PoolName::Remote(_), true) => RunBy::Workers,
            (PoolName::Remote(_), false) => RunBy::AbsentWorkers,
        }
    }

    /// Those that execute operations over their sessions.
    pub(crate) fn workers(&self) -> Workers {
        Workers::new(self.clone(), Arc::clone(&self.0.desk))
    }

    /// Sees that there is a pool for what workers of a group execute. `false`: nodes run these operations
    /// themselves. The pools are open.
    pub(in crate::processing) fn learn(&self, group: &Group) -> Result<bool, Failure> {
        let operation_type = &group.operation_type;
        let has_handler = self.0.pools.contains_key(operation_type)
            || self.0.foreign.read().contains_key(operation_type);
        if has_handler {
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
                self.0.shared.clone(),
            );
            let pool = pool.of_workers(self.0.desk.places(group));
            let patch = self.0.policies.of(&group.tenant, &group.operation_type);
            pool.set_policy(&group.tenant, TenantPolicy::new(&patch, pool.policy()));
            remote.insert(group.clone(), Arc::new(pool));
        }
        self.begin(PoolName::Remote(group.clone()));
        Ok(true)
    }

    /// The same for a type that another node has a handler for. What its policy is for failures and times is
    /// not known here: it is the default, with what tenants have changed.
    pub(super) fn learn_foreign(&self, operation_type: &OperationType) {
        if self.0.pools.contains_key(operation_type) {
            return;
        }
        {
            let mut foreign = self.0.foreign.write();
            if foreign.contains_key(operation_type) || foreign.len() >= WORKER_POOLS_MAX {
                return;
            }
            let pool = Pool::new(
                operation_type.clone(),
                Arc::new(Absent),
                Policy::default(),
                self.0.shared.clone(),
            );
            pool.stand(false, Division::WHOLE);
            for (tenant, patch) in self.0.policies.all_of(operation_type) {
                pool.set_policy(&tenant, TenantPolicy::new(&patch, pool.policy()));
            }
            foreign.insert(operation_type.clone(), Arc::new(pool));
        }
        self.begin(PoolName::Foreign(operation_type.clone()));
    }

    fn begin(&self, name: PoolName) {
        if let Some(life) = &*self.0.life.lock() {
            let start = supervisor::Message::Start(name);
            // A supervisor that has failed takes the node with it.
            let _ = life.supervisor.send_message(start);
        }
    }

    pub(in crate::processing) fn pool(&self, name: &PoolName) -> Option<Arc<Pool>> {
        match name {
            PoolName::Local(operation_type) => self.0.pools.get(operation_type).cloned(),
            PoolName::Foreign(operation_type) => self.0.foreign.read().get(operation_type).cloned(),
            PoolName::Remote(group) => self.0.remote.read().get(group).cloned(),
        }
    }

    /// All pools that there are now.
    pub(in crate::processing) fn all(&self) -> Vec<(PoolName, Arc<Pool>)> {
        let local = self.0.pools.iter();
        let local = local.map(|(name, pool)| (PoolName::Local(name.clone()), Arc::clone(pool)));
        let foreign = self.0.foreign.read();
        let foreign = foreign
            .iter()
            .map(|(name, pool)| (PoolName::Foreign(name.clone()), Arc::clone(pool)));
        let remote = self.0.remote.read();
        let remote = remote
            .iter()
            .map(|(group, pool)| (PoolName::Remote(group.clone()), Arc::clone(pool)));
        local.chain(foreign).chain(remote).collect()
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
        self.find(tenant, operation_type).map(|(_, pool)| pool)
    }

    fn find(
        &self,
        tenant: &Tenant,
        operation_type: &OperationType,
    ) -> Option<(PoolName, Arc<Pool>)> {
        let names = [
            PoolName::Local(operation_type.clone()),
            PoolName::Foreign(operation_type.clone()),
            PoolName::Remote(group(tenant, operation_type)),
        ];
        names
            .into_iter()
            .find_map(|name| self.pool(&name).map(|pool| (name, pool)))
    }
}

/// The handler of a type that this node has no code for. Nothing comes to it.
struct Absent;

impl Handler for Absent {
    async fn run(&self, _context: OperationContext) -> Result<Value, HandlerError> {
        Err(HandlerError::retryable(
            "this node has no code for the type",
        ))
    }
}

impl PoolName {
    /// The type of its operations.
    pub(in crate::processing) const fn operation_type(&self) -> &OperationType {
        match self {
            Self::Local(operation_type) | Self::Foreign(operation_type) => operation_type,
            Self::Remote(group) => &group.operation_type,
        }
    }

    /// Whether operations of this tenant are among them.
    pub(in crate::processing) fn serves(&self, tenant: &Tenant) -> bool {
        match self {
            Self::Local(_) | Self::Foreign(_) => true,
            Self::Remote(group) => group.tenant == *tenant,
        }
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(operation_type) | Self::Foreign(operation_type) => operation_type.fmt(f),
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
