//! The desk where leases are given out: the roster under a lock, the leases that stand, and who waits for
//! a place.
//!
//! Sessions and remote handlers call it. No call waits but [`Desk::lease`], and none holds the lock while
//! it calls out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_protocol::Tenant;
use selvedge_protocol::frame::Task;
use tokio::sync::Notify;

use crate::processing::worker::TaskOutbox;
use crate::processing::worker::lease::{Cell, Job, Lease, LeaseEnd};
use crate::processing::worker::roster::{Group, Roster, WorkerId};

pub(in crate::processing) struct Desk {
    clock: Clock,
    /// How long a lease lasts without a word of the worker.
    pub(super) patience: Duration,
    /// The upper bits of all lease numbers: tells this run of the node from others.
    incarnation: u64,
    leases_given: AtomicU32,
    state: Mutex<State>,
    /// The first worker of a group has come, or the last has gone.
    flipped: Notify,
}

struct State {
    roster: Roster<Arc<dyn TaskOutbox>>,
    leases: HashMap<u64, Given>,
    /// As many as there are pools for workers.
    groups: HashMap<Group, Arc<Places>>,
}

/// A lease that stands.
struct Given {
    worker: WorkerId,
    cell: Arc<Cell>,
    job: Arc<Job>,
}

/// The places of a group.
#[derive(Debug, Default)]
pub(in crate::processing) struct Places {
    /// What its workers take together.
    count: AtomicUsize,
    /// Tells that one may have become free.
    freed: Notify,
}

impl Places {
    pub(in crate::processing) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

impl Desk {
    pub(in crate::processing) fn new(clock: Clock, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            // Lease numbers stay below 2^53, which JSON readers keep exact.
            incarnation: (clock.random() >> (64 - INCARNATION_BITS)) << 32,
            clock,
            patience,
            leases_given: AtomicU32::new(0),
            state: Mutex::new(State {
                roster: Roster::new(),
                leases: HashMap::new(),
                groups: HashMap::new(),
            }),
            flipped: Notify::new(),
        })
    }

    /// The places of a group, which are counted from now on.
    pub(in crate::processing) fn places(&self, group: &Group) -> Arc<Places> {
        let mut state = self.state.lock();
        Arc::clone(state.groups.entry(group.clone()).or_default())
    }

    /// The groups that workers of this node take something of.
    pub(in crate::processing) fn groups_with_places(&self) -> Vec<Group> {
        let state = self.state.lock();
        let groups = state.groups.iter().filter(|(_, places)| places.count() > 0);
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// Completes when these are others than before.
    pub(in crate::processing) async fn flipped(&self) {
        self.flipped.notified().await;
    }

    fn count(&self, state: &State, changed: &[Group]) {
        if state.count(changed) {
            self.flipped.notify_one();
        }
    }

    pub(super) fn enlist(&self, tenant: Tenant, outbox: Arc<dyn TaskOutbox>) -> WorkerId {
        self.state.lock().roster.enlist(tenant, outbox)
    }

    /// What a worker takes from now on. Answers the groups whose pools have to look.
    pub(super) fn ready(&self, worker: WorkerId, groups: Vec<Group>, capacity: u32) -> Vec<Group> {
        let mut state = self.state.lock();
        let changed = state.roster.ready(worker, groups, capacity);
        self.count(&state, &changed);
        changed
    }

    /// A worker has gone, and what it was at is lost.
    pub(super) fn leave(&self, worker: WorkerId) {
        let lost: Vec<_> = {
            let mut state = self.state.lock();
            let changed = state.roster.leave(worker);
            self.count(&state, &changed);
            let lost = state.leases.extract_if(|_, given| given.worker == worker);
            lost.map(|(_, given)| given.cell).collect()
        };
        for cell in lost {
            cell.end(LeaseEnd::Lost);
        }
    }

    pub(super) fn heard(&self, worker: WorkerId) -> Vec<Group> {
        let mut state = self.state.lock();
        let changed = state.roster.heard(worker);
        self.count(&state, &changed);
        changed
    }

    pub(super) fn silence(&self, worker: WorkerId) {
        let mut state = self.state.lock();
        let changed = state.roster.silence(worker);
        self.count(&state, &changed);
    }

    /// The worker is at work.
    pub(super) fn beat(&self, lease: u64, progress: Bytes) {
        let cell = {
            let state = self.state.lock();
            let given = state.leases.get(&lease);
            given.map(|given| Arc::clone(&given.cell))
        };
        if let Some(cell) = cell {
            cell.beat(progress);
        }
    }

    /// The place of a lease is free. Its end matters to nobody if its holder has let it go.
    pub(super) fn end(&self, worker: WorkerId, lease: u64, end: LeaseEnd) {
        let ended = {
            let mut state = self.state.lock();
            state.give_back(worker);
            state.leases.remove(&lease)
        };
        if let Some(given) = ended {
            given.cell.end(end);
        }
    }

    /// What a lease is for, if this worker holds it.
    pub(super) fn job(&self, worker: WorkerId, lease: u64) -> Option<Arc<Job>> {
        let state = self.state.lock();
        let given = state.leases.get(&lease).filter(|it| it.worker == worker);
        given.map(|given| Arc::clone(&given.job))
    }

    /// Forgets a lease; `false` when it has ended.
    pub(super) fn forget(&self, lease: u64) -> bool {
        self.state.lock().leases.remove(&lease).is_some()
    }

    /// Waits for a worker of the group with a free place, and gives it the task that `task` makes of the
    /// lease's number.
    pub(super) async fn lease(
        self: &Arc<Self>,
        group: &Group,
        job: &Arc<Job>,
        task: impl FnOnce(u64) -> Task,
    ) -> Lease {
        let places = self.places(group);
        loop {
            let freed = places.freed.notified();
            if let Some(lease) = self.try_lease(group, job) {
                lease.outbox.task(task(lease.number));
                return lease;
            }
            freed.await;
        }
    }

    fn try_lease(self: &Arc<Self>, group: &Group, job: &Arc<Job>) -> Option<Lease> {
        let random = self.clock.random();
        let cell = Arc::new(Cell::default());
        let mut state = self.state.lock();
        let (worker, outbox) = state.roster.pick(group, random)?;
        let given = self.leases_given.fetch_add(1, Ordering::Relaxed);
        let number = self.incarnation | u64::from(given);
        let given = Given {
            worker,
            cell: Arc::clone(&cell),
            job: Arc::clone(job),
        };
        let before = state.leases.insert(number, given);
        assert!(before.is_none(), "lease {number} stands already");
        Some(Lease {
            number,
            worker,
            desk: Arc::clone(self),
            outbox,
            cell,
        })
    }
}

impl State {
    fn give_back(&mut self, worker: WorkerId) {
        for group in self.roster.give_back(worker) {
            if let Some(places) = self.groups.get(group) {
                places.freed.notify_waiters();
            }
        }
    }

    /// Counts the places of these groups anew. Answers whether one has got its first or lost its last.
    fn count(&self, changed: &[Group]) -> bool {
        let mut is_flipped = false;
        for group in changed {
            if let Some(places) = self.groups.get(group) {
                let count = self.roster.places(group);
                let before = places.count.swap(count, Ordering::AcqRel);
                places.freed.notify_waiters();
                is_flipped |= (before == 0) != (count == 0);
            }
        }
        is_flipped
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk({:?})", self.patience)
    }
}

/// With 32 bits for the count they make 53.
const INCARNATION_BITS: u32 = 21;
