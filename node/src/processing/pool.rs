//! A pool: runs the operations of one type, so many at a time (the bulkhead); the others wait in the queue
//! of its scheduler.
//!
//! A ractor actor owns queue and runners; [`Pool`] is what the rest of the node shares with it and
//! outlives its crashes. The queue is a cache of the store: what does not fit, or is lost in a crash, is
//! found there again.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use selvedge_cluster::Clock;
use selvedge_protocol::limits::OPERATION_QUEUE_MAX;
use selvedge_protocol::{OperationType, Tenant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::metrics;
use crate::processing::breaker::{BreakerState, Verdict};
use crate::processing::budget::Budget;
use crate::processing::gates::Limits;
use crate::processing::handler::ErasedHandler;
use crate::processing::places::Places;
use crate::processing::policies::TenantPolicy;
use crate::processing::policy::Policy;
use crate::processing::ready::{Place, Ready};
use crate::processing::runner::{self, Runner};
use crate::processing::scheduler::{BreakerChange, Next, Order, Scheduler, Ticket};
use crate::processing::worker::Places as WorkerPlaces;

/// Crashes of runners that a pool bears in a short time. Panics of handlers do not count, the runner
/// contains them: what does is a defect of this crate.
const RUNNER_CRASHES_MAX: usize = 16;

/// What waits in a pool, and in which order it starts. Its actor changes it, views look at it.
pub(super) type Queue = Mutex<Scheduler<Box<Ready>>>;

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

/// What the actor of a pool hears.
pub(super) enum Message {
    Offer(Box<Ready>, Order),
    /// A runner has nothing to do.
    Free {
        runner: ActorRef<Box<Ready>>,
        /// What the attempt that it ran says of the handler.
        verdict: Verdict,
    },
    /// The limits of a tenant have changed.
    Limits(Tenant),
    /// Something may start that could not before.
    Look,
    /// A defect on purpose, for tests of the supervision.
    #[cfg(test)]
    Panic,
}

impl Pool {
    pub(super) fn new(
        name: OperationType,
        handler: Arc<dyn ErasedHandler>,
        policy: Policy,
        wanted: Arc<Notify>,
    ) -> Self {
        Self {
            name,
            handler,
            policy: Arc::new(policy),
            tenants: RwLock::default(),
            workers: None,
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

    pub(super) const fn is_of_workers(&self) -> bool {
        self.workers.is_some()
    }

    /// Whether as many run as its workers take.
    pub(super) fn is_full(&self, running: usize) -> bool {
        let workers = self.workers.as_ref();
        workers.is_some_and(|places| running >= places.count())
    }

    /// Queues are reached through this one; `None`: there is none at the moment.
    pub(super) fn set_actor(&self, actor: Option<ActorRef<Message>>) {
        *self.actor.write() = actor;
        self.is_looked_at.store(false, Ordering::Release);
        // Changes that it could not hear.
        let tenants: Vec<_> = self.tenants.read().keys().cloned().collect();
        for tenant in tenants {
            self.tell(Message::Limits(tenant));
        }
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

    /// A tenant's own limits.
    fn limits_of(&self, tenant: &Tenant) -> Option<Limits> {
        let tenants = self.tenants.read();
        tenants.get(tenant).map(|own| own.limits.clone())
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

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.policy)
    }
}

/// The actor of a pool, supervised by `processing`; its runners are its children.
pub(super) struct PoolActor;

pub(super) struct Arguments {
    pub(super) pool: Arc<Pool>,
    pub(super) clock: Clock,
}

pub(super) struct State {
    pool: Arc<Pool>,
    clock: Clock,
    queue: Arc<Queue>,
    idle: Vec<ActorRef<Box<Ready>>>,
    /// What the runners run that are not idle.
    busy: HashMap<ActorId, Ticket>,
    /// Idle or not.
    runners: usize,
    /// When it looks at the queue again by itself.
    alarm: Option<Alarm>,
    budget: Budget,
}

struct Alarm {
    at: Instant,
    timer: AbortHandle,
}

impl Actor for PoolActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let pool = arguments.pool;
        let queue = Arc::new(Mutex::new(Scheduler::new(Limits::of(&pool.policy))));
        *pool.queue.write() = Arc::downgrade(&queue);
        Ok(State {
            pool,
            clock: arguments.clock,
            queue,
            idle: Vec::new(),
            busy: HashMap::new(),
            runners: 0,
            alarm: None,
            budget: Budget::new(RUNNER_CRASHES_MAX),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Offer(ready, order) => state.queue.lock().push(order, ready),
            Message::Free { runner, verdict } => {
                state.ended(runner.get_id(), verdict);
                state.idle.push(runner);
            }
            Message::Limits(tenant) => {
                let limits = state.pool.limits_of(&tenant);
                state.queue.lock().limit(&tenant, limits);
            }
            Message::Look => state.pool.is_looked_at.store(false, Ordering::Release),
            #[cfg(test)]
            Message::Panic => panic!("a defect on purpose"),
        }
        state.start(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let runner = match event {
            SupervisionEvent::ActorFailed(runner, error) => {
                tracing::error!(%error, "step runner crashed");
                runner
            }
            SupervisionEvent::ActorTerminated(runner, _, _) => runner,
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        state.ended(runner.get_id(), Verdict::Neutral);
        // Only a crash ends a runner, and never an idle one. Its operation is looked for again.
        state.runners -= 1;
        state.budget.spend(state.clock.monotonic())?;
        state.start(&myself).await
    }
}

impl State {
    /// Gives operations that wait to runners that do not, as far as the limits let them.
    async fn start(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        let now = self.clock.monotonic();
        self.expire(now);
        let wait = loop {
            let next = {
                let mut queue = self.queue.lock();
                match self.pool.is_full(self.busy.len()) {
                    true => queue.next_over(),
                    false => queue.next(now),
                }
            };
            let (ready, ticket) = match next {
                Next::Start(ready, ticket) => (ready, ticket),
                Next::Wait(until) => break until,
            };
            let runner = match self.idle.pop() {
                Some(runner) => runner,
                None => {
                    let pool = myself.clone();
                    let spawned = Actor::spawn_linked(None, Runner, pool, myself.get_cell()).await;
                    self.runners += 1;
                    spawned?.0
                }
            };
            let id = runner.get_id();
            self.busy.insert(id, ticket);
            if runner.send_message(ready).is_err() {
                // It is gone: the offer is over, and the operation looked for again.
                self.ended(id, Verdict::Neutral);
            }
        };
        let expiry = self.queue.lock().next_expiry();
        self.set_alarm(myself, [wait, expiry].into_iter().flatten().min());
        let changes = self.queue.lock().take_changes();
        for change in changes {
            self.tell_change(&change);
        }
        Ok(())
    }

    /// A runner is not busy any more.
    fn ended(&mut self, runner: ActorId, verdict: Verdict) {
        if let Some(ticket) = self.busy.remove(&runner) {
            let now = self.clock.monotonic();
            self.queue.lock().ended(now, ticket, verdict);
        }
    }

    /// Fails what has waited too long. Not by a runner: all of them may be busy.
    fn expire(&self, now: Instant) {
        let expired = self.queue.lock().expired(now);
        for ready in expired {
            metrics::queue_timed_out(&self.pool.name);
            let policy = self.pool.policy_for(&ready.held.actor.tenant);
            // As many at a time as the queue has places: each keeps its own to the end.
            tokio::spawn(runner::expire(*ready, policy));
        }
    }

    /// Looks at the queue again at this time, unless it does so earlier.
    fn set_alarm(&mut self, myself: &ActorRef<Message>, at: Option<Instant>) {
        let now = self.clock.monotonic();
        let is_set = self
            .alarm
            .as_ref()
            .is_some_and(|alarm| alarm.at > now && at.is_none_or(|at| alarm.at <= at));
        if is_set {
            return;
        }
        if let Some(alarm) = self.alarm.take() {
            alarm.timer.abort();
        }
        self.alarm = at.map(|at| {
            let timer = myself.send_after(at.saturating_duration_since(now), || Message::Look);
            let timer = timer.abort_handle();
            Alarm { at, timer }
        });
    }

    fn tell_change(&self, change: &BreakerChange) {
        let BreakerChange { tenant, state } = change;
        let pool = &self.pool.name;
        let tenant = tenant.as_ref().map(Tenant::as_str);
        metrics::breaker_changed(pool, *state);
        match state {
            BreakerState::Open => tracing::warn!(%pool, tenant, "breaker opened"),
            BreakerState::HalfOpen => tracing::info!(%pool, tenant, "breaker half open"),
            BreakerState::Closed => tracing::info!(%pool, tenant, "breaker closed"),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            alarm.timer.abort();
        }
    }
}
