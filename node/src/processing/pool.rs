//! A pool: runs the operations of one type, so many at a time (the bulkhead); the others wait in the queue
//! of its scheduler, or are lent to nodes that have a place.
//!
//! A ractor actor ([`actor`]) owns queue and runners; [`Pool`] is what the rest of the node shares with it and
//! outlives its crashes. The queue is a cache of the store: what does not fit, or is lost in a crash, is
//! found there again.

mod actor;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use selvedge_protocol::limits::{OPERATION_QUEUE_MAX, PROCESSING_GUESTS_MAX};
use selvedge_protocol::peer::processing::Load;
use selvedge_protocol::{OperationType, Tenant};
use tokio::sync::Notify;

use crate::processing::breaker::Verdict;
use crate::processing::elsewhere::{Elsewhere, Granted, Guest};
use crate::processing::gates::Limits;
use crate::processing::handler::ErasedHandler;
use crate::processing::places::Places;
use crate::processing::policies::TenantPolicy;
use crate::processing::policy::Policy;
use crate::processing::ready::{Place, Ready};
use crate::processing::runner::Job;
use crate::processing::scheduler::{Here, Order, Scheduler};
use crate::processing::worker::Places as WorkerPlaces;

pub(super) use actor::{Arguments, PoolActor};

/// What waits in a pool, and in which order it starts. Its actor changes it, views look at it.
pub(super) type Queue = Mutex<Scheduler<Job>>;

/// The lasting part of a pool.
pub(super) struct Pool {
    name: OperationType,
    pub(super) handler: Arc<dyn ErasedHandler>,
    /// The application's.
    policy: Arc<Policy>,
    /// Of tenants that have changed theirs.
    tenants: RwLock<HashMap<Tenant, TenantPolicy>>,
    /// What its workers take at a time. `None`: the node runs its operations itself.
    workers: Option<Arc<WorkerPlaces>>,
    /// Whether this node runs any of it, as far as its roles and handlers go.
    is_open: AtomicBool,
    /// This node's part of what bounds the cluster.
    division: Mutex<Division>,
    /// The way to other nodes, once there is one.
    elsewhere: Arc<OnceLock<Elsewhere>>,
    /// Attempts of other nodes that wait here.
    guests: AtomicUsize,
    /// The places in the queue and in the mailbox of the actor.
    places: Mutex<Places>,
    /// Something runnable is in the store and not here, whoever's it is.
    is_incomplete: AtomicBool,
    /// The actor is about to look what may start.
    is_looked_at: AtomicBool,
    /// Tells that the store is to be looked through.
    wanted: Arc<Notify>,
    /// `None` before the node serves, and while a crashed one is not back yet.
    actor: RwLock<Option<ActorRef<Message>>>,
    /// The actor's own.
    queue: RwLock<Weak<Queue>>,
}

/// Which of so many equal parts of a limit is this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Division {
    pub(super) index: usize,
    pub(super) count: usize,
}

/// What the actor of a pool hears.
pub(super) enum Message {
    Offer(Box<Ready>, Order),
    /// Another node asks for a place, and whether it waits for one.
    Guest {
        guest: Box<Guest>,
        order: Order,
        waits: bool,
    },
    /// A search for a place on another node has ended.
    Sought {
        tenant: Tenant,
        granted: Option<Box<Granted>>,
    },
    /// A runner has nothing to do.
    Free {
        runner: ActorRef<Job>,
        /// What the attempt that it ran says of the handler.
        verdict: Verdict,
    },
    /// The limits of a tenant have changed.
    Limits(Tenant),
    /// The limits of all have changed.
    AllLimits,
    /// Something may start that could not before.
    Look,
    /// A defect on purpose, for tests of the supervision.
    #[cfg(test)]
    Panic,
}

impl Division {
    /// All of it.
    pub(super) const WHOLE: Self = Self { index: 0, count: 1 };

    /// This node's part of a limit: what cannot be divided evenly goes to the first ones.
    pub(super) const fn of(self, total: usize) -> usize {
        let Self { index, count } = self;
        total / count + if index < total % count { 1 } else { 0 }
    }
}

impl Pool {
    pub(super) fn new(
        name: OperationType,
        handler: Arc<dyn ErasedHandler>,
        policy: Policy,
        shared: Shared,
    ) -> Self {
        let Shared { wanted, elsewhere } = shared;
        Self {
            name,
            handler,
            policy: Arc::new(policy),
            tenants: RwLock::default(),
            workers: None,
            is_open: AtomicBool::new(true),
            division: Mutex::new(Division::WHOLE),
            elsewhere,
            guests: AtomicUsize::new(0),
            places: Mutex::default(),
            is_incomplete: AtomicBool::new(false),
            is_looked_at: AtomicBool::new(false),
            wanted,
            actor: RwLock::new(None),
            queue: RwLock::default(),
        }
    }

    /// A pool of operations that workers execute: it runs as many as they take.
    pub(super) fn of_workers(self, places: Arc<WorkerPlaces>) -> Self {
        Self {
            workers: Some(places),
            ..self
        }
    }

    pub(super) const fn name(&self) -> &OperationType {
        &self.name
    }

    pub(super) const fn is_of_workers(&self) -> bool {
        self.workers.is_some()
    }

    /// Whether so many that run here are as many as its workers take, or nothing runs here at all.
    pub(super) fn is_full(&self, running: usize) -> bool {
        let workers = self.workers.as_ref();
        !self.is_open() || workers.is_some_and(|places| running >= places.count())
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether anything can start here, apart from limits.
    fn here(&self, running: usize) -> Here {
        match self.is_full(running) {
            true => Here::Closed,
            false => Here::Open,
        }
    }

    /// What this node is to the cluster has changed: whether it runs any of these operations, and which part
    /// of the cluster's limits is its own.
    pub(super) fn stand(&self, is_open: bool, division: Division) {
        let was_open = self.is_open.swap(is_open, Ordering::AcqRel);
        let before = std::mem::replace(&mut *self.division.lock(), division);
        if was_open != is_open || before != division {
            self.tell(Message::AllLimits);
        }
    }

    /// Takes the question of another node for a place in. `Err`: it cannot have one.
    pub(super) fn take_guest(
        &self,
        guest: Box<Guest>,
        order: Order,
        waits: bool,
    ) -> Result<(), Load> {
        if !self.is_open() || self.guests.load(Ordering::Relaxed) >= PROCESSING_GUESTS_MAX {
            return Err(self.load());
        }
        let told = self.tell(Message::Guest {
            guest,
            order,
            waits,
        });
        told.then_some(()).ok_or_else(|| self.load())
    }

    /// One more of another node waits here, or one less.
    pub(super) fn count_guest(&self, comes: bool) {
        match comes {
            true => self.guests.fetch_add(1, Ordering::Relaxed),
            false => self.guests.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// How full this pool is, for other nodes.
    pub(super) fn load(&self) -> Load {
        let places = match &self.workers {
            Some(workers) => workers.count(),
            None if self.is_open() => self.limits().concurrency.unwrap_or(usize::MAX),
            None => 0,
        };
        let (running, waiting) = self.seen().map_or((0, 0), |queue| queue.lock().load());
        let short = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Load {
            is_granted: false,
            taken: short(running + waiting),
            places: short(places),
        }
    }

    /// Queues are reached through this one; `None`: there is none at the moment.
    pub(super) fn set_actor(&self, actor: Option<ActorRef<Message>>) {
        *self.actor.write() = actor;
        self.is_looked_at.store(false, Ordering::Release);
        // Changes that it could not hear.
        self.tell(Message::AllLimits);
    }

    /// Changes the policy of a tenant; `None`: it is the application's.
    pub(super) fn set_policy(&self, tenant: &Tenant, policy: Option<TenantPolicy>) {
        match policy {
            Some(policy) => self.tenants.write().insert(tenant.clone(), policy),
            None => self.tenants.write().remove(tenant),
        };
        self.tell(Message::Limits(tenant.clone()));
    }

    /// A place in the queue for an operation of this tenant, if there is one and somebody to fill it.
    pub(super) fn place(self: &Arc<Self>, tenant: &Tenant) -> Option<Place> {
        if self.actor.read().is_none() {
            self.look_again();
            return None;
        }
        let has_place = self.places.lock().take(tenant);
        if !has_place {
            // Cancelled operations may have the places, which limits need not hold back.
            self.look();
        }
        has_place.then(|| Place::new(Arc::clone(self), tenant.clone()))
    }

    /// A place is free again. Called when a [`Place`] is dropped.
    pub(super) fn give_back(&self, tenant: &Tenant) {
        let is_wanted = {
            let mut places = self.places.lock();
            places.give_back(tenant);
            places.is_worth_a_look()
        };
        if is_wanted {
            self.wanted.notify_one();
        }
    }

    /// Queues an operation. `false`: the pool has just crashed, and the offer is over.
    pub(super) fn queue(&self, ready: Ready, order: Order) -> bool {
        self.tell(Message::Offer(Box::new(ready), order))
    }

    /// Has the actor look what may start.
    pub(super) fn look(&self) {
        // One message at a time, however often it is asked.
        if !self.is_looked_at.swap(true, Ordering::AcqRel) {
            self.tell(Message::Look);
        }
    }

    /// Something runnable of this type may be in the store and not here.
    pub(super) fn look_again(&self) {
        self.is_incomplete.store(true, Ordering::Release);
        self.wanted.notify_one();
    }

    /// The same, of one tenant.
    pub(super) fn look_again_for(&self, tenant: &Tenant) {
        self.places.lock().miss(tenant);
        self.wanted.notify_one();
    }

    /// The same, for when there is room.
    pub(super) fn look_later(&self) {
        self.is_incomplete.store(true, Ordering::Release);
    }

    /// An offer is over: if something is missing, there may be room for it now.
    pub(super) fn offer_ended(&self) {
        if self.is_incomplete.load(Ordering::Acquire) && self.has_room() {
            self.wanted.notify_one();
        }
    }

    /// Whether the store is to be looked through now. Asking takes the mark away.
    pub(super) fn take_incomplete(&self) -> bool {
        if self.actor.read().is_none() {
            return false;
        }
        let is_wanted = self.is_incomplete.load(Ordering::Acquire) && self.has_room();
        let mut places = self.places.lock();
        let is_wanted = is_wanted || places.is_worth_a_look();
        if is_wanted {
            places.forget_missing();
            self.is_incomplete.store(false, Ordering::Release);
        }
        is_wanted
    }

    /// Whether one more fits, whoever's it is.
    pub(super) fn has_place(&self) -> bool {
        self.places.lock().free() > 0 && self.actor.read().is_some()
    }

    /// Whether one more of this tenant fits. If not, it is looked for again when one does.
    pub(super) fn has_place_for(&self, tenant: &Tenant) -> bool {
        let mut places = self.places.lock();
        let has_place = places.has_place_for(tenant);
        if !has_place {
            places.miss(tenant);
        }
        has_place
    }

    /// The application's policy.
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy of a tenant's operations.
    pub(super) fn policy_for(&self, tenant: &Tenant) -> Arc<Policy> {
        let tenants = self.tenants.read();
        let own = tenants.get(tenant).map(|own| Arc::clone(&own.policy));
        own.unwrap_or_else(|| Arc::clone(&self.policy))
    }

    /// The queue, to be looked at; `None`: the actor is not there.
    pub(super) fn seen(&self) -> Option<Arc<Queue>> {
        self.queue.read().upgrade()
    }

    /// Those whose policy is not the application's.
    fn tenants(&self) -> Vec<Tenant> {
        self.tenants.read().keys().cloned().collect()
    }

    /// How many of a tenant's may run here at a time.
    pub(super) fn concurrency(&self, tenant: &Tenant) -> usize {
        let own = self.limits_of(tenant).and_then(|own| own.concurrency);
        let limits = [own, self.limits().concurrency];
        limits.into_iter().flatten().min().unwrap_or(usize::MAX)
    }

    /// The limits of all together on this node.
    fn limits(&self) -> Limits {
        let limits = Limits::of(&self.policy);
        self.divided(limits, self.policy.cluster_concurrency)
    }

    /// A tenant's own limits.
    fn limits_of(&self, tenant: &Tenant) -> Option<Limits> {
        let tenants = self.tenants.read();
        let own = tenants.get(tenant)?;
        Some(self.divided(own.limits.clone(), own.cluster_concurrency))
    }

    /// Limits with this node's part of one that bounds the cluster.
    fn divided(&self, limits: Limits, total: Option<usize>) -> Limits {
        let part = total.map(|total| self.division.lock().of(total));
        Limits {
            concurrency: [limits.concurrency, part].into_iter().flatten().min(),
            ..limits
        }
    }

    /// Whether it is worth looking for more: half of the queue is free.
    fn has_room(&self) -> bool {
        self.places.lock().free() >= OPERATION_QUEUE_MAX / 2 && self.actor.read().is_some()
    }

    /// `false`: nobody hears it.
    fn tell(&self, message: Message) -> bool {
        let actor = self.actor.read().clone();
        actor.is_some_and(|actor| actor.send_message(message).is_ok())
    }

    #[cfg(test)]
    pub(super) fn crash(&self) -> bool {
        self.tell(Message::Panic)
    }
}

/// What the pools of a node share.
#[derive(Clone, Default)]
pub(super) struct Shared {
    /// Tells that the store is to be looked through.
    pub(super) wanted: Arc<Notify>,
    pub(super) elsewhere: Arc<OnceLock<Elsewhere>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.policy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_of_a_limit_are_all_of_it(total in 0_usize..10_000, count in 1_usize..200) {
            let parts: Vec<_> = (0..count).map(|index| Division { index, count }.of(total)).collect();
            prop_assert_eq!(parts.iter().sum::<usize>(), total);
            let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }
}
