//! Workers: clients that execute steps of operations over their sessions.
//!
//! ```text
//! session ── Enlisted ──► desk ◄── lease ── remote handler, run by the pool of its group
//!    ▲                     │ roster: who takes what, and how much of it is out
//!    └──── TaskOutbox ─────┘
//! ```
//!
//! Operations of one type of one tenant are a group, with a pool of its own: tenants never wait for each
//! other's workers. The pool starts no more than the workers of the group take. Nothing here is durable:
//! a lease that is lost with its node or its worker ends an attempt, and the next one gets another.

mod desk;
mod handler;
mod lease;
mod roster;

use std::fmt;
use std::sync::Arc;

use selvedge_protocol::frame::{StepReport, StepResult, Task, WorkerReady};
use selvedge_protocol::{Failure, Tenant};

use crate::processing::Pools;
pub(super) use desk::{Desk, Places};
pub(super) use handler::{RemoteHandler, policy};
use lease::LeaseEnd;
pub(super) use roster::Group;
use roster::WorkerId;

/// Where a session takes tasks in. Neither call waits, and a session takes no more than it is ready for.
pub trait TaskOutbox: Send + Sync + 'static {
    /// Send it to the client, or say that it was refused.
    fn task(&self, task: Task);
    /// Nobody waits for it any more.
    fn cancelled(&self, lease: u64);
}

/// The workers of a node: a cheap handle for its sessions.
#[derive(Clone)]
pub struct Workers {
    pools: Pools,
    desk: Arc<Desk>,
}

/// A session that is a worker. Dropped, it is none any more, and what it was at is given to others.
pub struct Enlisted {
    workers: Workers,
    tenant: Tenant,
    worker: WorkerId,
}

impl Workers {
    pub(super) const fn new(pools: Pools, desk: Arc<Desk>) -> Self {
        Self { pools, desk }
    }

    /// Takes a session in. It gets no task until it says which.
    pub fn enlist(&self, tenant: Tenant, outbox: Arc<dyn TaskOutbox>) -> Enlisted {
        Enlisted {
            worker: self.desk.enlist(tenant.clone(), outbox),
            workers: self.clone(),
            tenant,
        }
    }

    /// What these groups may run has changed.
    fn look(&self, groups: &[Group]) {
        for group in groups {
            self.pools.look(group);
        }
    }
}

impl Enlisted {
    /// What the client takes from now on.
    pub fn ready(&self, ready: &WorkerReady) -> Result<(), Failure> {
        let Self {
            workers,
            tenant,
            worker,
        } = self;
        let mut groups = Vec::with_capacity(ready.types.len());
        for operation_type in &ready.types {
            let group = Group {
                tenant: tenant.clone(),
                operation_type: operation_type.clone(),
            };
            if workers.pools.learn(&group)? {
                groups.push(group);
            } else {
                tracing::warn!(%operation_type, "a worker is not needed: this node has a handler for it");
            }
        }
        let changed = workers.desk.ready(*worker, groups, ready.capacity);
        workers.look(&changed);
        Ok(())
    }

    /// The client takes no tasks for now. What it is at goes on.
    pub fn away(&self) {
        self.workers.desk.ready(self.worker, Vec::new(), 0);
    }

    /// What the client says of a lease that it holds.
    pub fn report(&self, result: StepResult) {
        let StepResult { lease, report, .. } = result;
        let desk = &self.workers.desk;
        let changed = desk.heard(self.worker);
        match report {
            StepReport::Heartbeat(progress) => desk.beat(lease, progress),
            StepReport::Success(result) => {
                desk.end(self.worker, lease, LeaseEnd::Success(result));
            }
            StepReport::Failure(failure) => {
                desk.end(self.worker, lease, LeaseEnd::Failure(failure));
            }
        }
        self.workers.look(&changed);
    }

    /// The client has stopped the work of a lease that was void.
    pub fn freed(&self, lease: u64) {
        let desk = &self.workers.desk;
        let changed = desk.heard(self.worker);
        desk.end(self.worker, lease, LeaseEnd::Refused);
        self.workers.look(&changed);
    }

    /// A task could not be sent.
    pub fn refused(&self, lease: u64) {
        self.workers.desk.end(self.worker, lease, LeaseEnd::Refused);
    }
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        self.workers.desk.leave(self.worker);
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}

impl fmt::Debug for Enlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Enlisted({:?})", self.worker)
    }
}
