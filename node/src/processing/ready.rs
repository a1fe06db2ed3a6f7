//! An operation on its way through a pool: what its runner needs to know, and the offer that it holds.
//!
//! The directory makes one, the pool queues it, a runner consumes it. However it ends, dropped in a
//! queue, with a crashed runner or after the work, dropping it ends the offer, so that none is ever left
//! standing.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::actor::ScopedAddress;
use selvedge_protocol::{OperationId, Tenant};

use crate::operation::{Compensation, FinishedStep, Payload};
use crate::processing::control::Control;
use crate::processing::pool::Pool;
use crate::processing::pools::Pools;

/// An operation that waits for its turn.
pub(super) struct Ready {
    pub(super) held: Held,
    pub(super) work: Work,
    /// Its place in the pool's queue, given back when a runner takes it up.
    pub(super) place: Place,
}

/// A place in the queue of a pool. Dropped, it is free again.
pub(super) struct Place {
    pool: Arc<Pool>,
    tenant: Tenant,
}

/// An offer that stands. Dropped, it is over.
pub(super) struct Held {
    pub(super) pools: Pools,
    pub(super) pool: Arc<Pool>,
    pub(super) actor: ScopedAddress,
    pub(super) control: Arc<Control>,
    /// Nothing is left to do under this offer. Unless it is set, the operation is looked for again.
    pub(super) is_settled: bool,
}

/// What a runner needs to know of the operation.
pub(super) struct Work {
    pub(super) id: OperationId,
    pub(super) input: Arc<str>,
    pub(super) steps: Vec<FinishedStep>,
    /// What is to be undone, in the order in which it was promised. `None`: the operation is to be run.
    pub(super) undo: Option<Vec<Compensation>>,
    /// The number of the run to come, and of the attempt that it belongs to.
    pub(super) run: u32,
    pub(super) attempt: u32,
    /// No attempt can have been lost in a crash.
    pub(super) is_fresh: bool,
    pub(super) payload: Payload,
    /// The stored payload, when it is at hand.
    pub(super) bytes: Option<Bytes>,
}

impl Place {
    /// One that the pool has taken for this tenant.
    pub(super) const fn new(pool: Arc<Pool>, tenant: Tenant) -> Self {
        Self { pool, tenant }
    }
}

impl Ready {
    /// Nothing is left to run.
    pub(super) fn is_void(&self) -> bool {
        let control = &self.held.control;
        control.is_stopped() || !control.is_alive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.give_back(&self.tenant);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.control.end();
        self.pools.forget(&self.actor, &self.control);
        if self.control.was_missed() {
            self.pools.nudge(&self.actor);
        } else if !self.is_settled {
            self.pool.look_again_for(&self.actor.tenant);
        }
        self.pool.offer_ended();
        self.pools.offer_ended();
    }
}
