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
mod piece;
mod roster;

use std::fmt;
use std::sync::Arc;

use selvedge_cluster::actor::ReplyTo;
use selvedge_protocol::frame::{Outcome, StepReport, StepResult, Task, WorkerReady};
use selvedge_protocol::task_payload::Piece;
use selvedge_protocol::{ErrorCode, Failure, OperationId, Tenant};

use crate::processing::Pools;
pub(super) use desk::{Desk, Places};
pub(crate) use handler::STREAMED_TO_WORKERS;
pub(super) use handler::{RemoteHandler, policy};
use lease::LeaseEnd;
use piece::Pieces;
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
    pieces: Pieces,
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
            pieces: Pieces::new(),
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
            ..
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

    /// The client wants a piece of the payload of a task that it is at.
    pub fn read_payload(&self, operation: &OperationId, body: &[u8], reply: ReplyTo) {
        let piece = serde_json::from_slice::<Piece>(body)
            .map_err(|error| Failure::field(ErrorCode::Invalid, "body", error.to_string()));
        let found = piece.and_then(|piece| {
            let job = self.workers.desk.job(self.worker, piece.lease);
            let job = job.filter(|job| job.operation == *operation);
            Ok((piece.from, job.ok_or_else(|| not_held(operation))?))
        });
        match found {
            Ok((from, job)) => self.pieces.read(job, from, reply),
            Err(failure) => reply.answer(Outcome::Failure(failure)),
        }
    }

    /// A task could not be sent.
    pub fn refused(&self, lease: u64) {
        self.workers.desk.end(self.worker, lease, LeaseEnd::Refused);
    }
}

/// The refusal of a payload to whoever has no lease of its task.
pub(crate) fn not_held(operation: &OperationId) -> Failure {
    let message = format!(
        "the payload of operation {operation} is for the worker that holds the lease of its task"
    );
    Failure::new(ErrorCode::Conflict, message)
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
