//! All pools of a node, and the directory of what they have: an operation is with at most one runner.
//!
//! The operation kind offers and withdraws; the node opens the pools when the host serves and closes
//! them before it stops.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::{Mutex, RwLock};
use ractor::{Actor, ActorRef};
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{CommandRequest, Host, Identity, Origin, ReplyTo, ScopedAddress};
use selvedge_cluster::store::keys::{ActorPath, Shards};
use selvedge_cluster::store::{self, Store};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ErrorCode, Failure, OperationType, Tenant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::operation::{FinishedStep, NUDGE, Payload, Record};
use crate::processing::control::Control;
use crate::processing::handler::{ErasedHandler, InvalidInput};
use crate::processing::patch::PolicyPatch;
use crate::processing::payload::Source;
use crate::processing::policies::{Committed, Policies, Subject, TenantPolicy};
use crate::processing::policy::{Policy, Retry};
use crate::processing::policy_kind;
use crate::processing::pool::{Pool, Shared};
use crate::processing::pools::cluster::Guests;
use crate::processing::queue_state::{BreakerView, Moment, QueueState};
use crate::processing::ready::{Held, Ready, Work};
use crate::processing::rescan;
use crate::processing::scheduler::Order;
use crate::processing::stream::Streams;
use crate::processing::supervisor::{self, Supervisor};
use crate::processing::worker::{self, Desk, Group};

mod cluster;
mod remote;

pub(super) use remote::PoolName;
pub(crate) use remote::RunBy;

/// A cheap handle on all pools of a node.
#[derive(Clone)]
pub(crate) struct Pools(Arc<Inner>);

struct Inner {
    pools: HashMap<OperationType, Arc<Pool>>,
    policies: Policies,
    /// Of operations that workers execute. They come with the first worker and stay.
    remote: RwLock<HashMap<Group, Arc<Pool>>>,
    remote_policy: Policy,
    /// Of types that only other nodes have handlers for. They come with the first node and stay.
    foreign: RwLock<HashMap<OperationType, Arc<Pool>>>,
    desk: Arc<Desk>,
    /// What is queued or running, by operation.
    active: DashMap<ScopedAddress, Arc<Control>>,
    /// Attempts of other nodes' operations.
    guests: Guests,
    /// How long steps at work may take to finish when this node ends, or lets their operations go.
    step_grace: Duration,
    /// Slots of this node that are about to go to others, as far as runners were told.
    parting: Mutex<Vec<u16>>,
    streams: Streams,
    store: Arc<dyn Store>,
    clock: Clock,
    slots: u16,
    index_shards: Shards,
    /// There while the host serves. Operations may offer themselves before. The host holds the kind that
    /// holds this, so it has to be let go in the end.
    host: RwLock<Option<Host>>,
    life: Mutex<Option<Life>>,
    /// No offer is taken any more.
    is_closed: AtomicBool,
    /// An offer is over: for whoever waits for all of them.
    ended: Notify,
    shared: Shared,
    /// Policies are to be read again.
    reread: Notify,
}

/// What runs while the pools are open.
struct Life {
    supervisor: ActorRef<supervisor::Message>,
    rescan: AbortHandle,
}

/// A runnable operation.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) actor: &'a ScopedAddress,
    pub(crate) record: &'a Record,
    /// No attempt can have been lost in a crash.
    pub(crate) is_fresh: bool,
    /// Its stored payload, when it is at hand.
    pub(crate) payload: Option<Bytes>,
}

/// What pools are made of.
pub(crate) struct PoolsConfig {
    pub(crate) handlers: HashMap<OperationType, (Arc<dyn ErasedHandler>, Policy)>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) slots: u16,
    pub(crate) index_shards: Shards,
    /// How long a worker may be silent.
    pub(crate) worker_lease: Duration,
    /// How long steps at work may take to finish when this node ends, or lets their operations go.
    pub(crate) step_grace: Duration,
}

impl Pools {
    pub(crate) fn new(config: PoolsConfig) -> Self {
        let shared = Shared::default();
        let pools = config
            .handlers
            .into_iter()
            .map(|(name, (handler, policy))| {
                let pool = Pool::new(name.clone(), handler, policy, shared.clone());
                (name, Arc::new(pool))
            })
            .collect();
        Self(Arc::new(Inner {
            pools,
            policies: Policies::default(),
            remote: RwLock::default(),
            remote_policy: worker::policy(),
            foreign: RwLock::default(),
            desk: Desk::new(config.clock.clone(), config.worker_lease),
            active: DashMap::new(),
            guests: Guests::default(),
            step_grace: config.step_grace,
            parting: Mutex::default(),
            streams: Streams::new(config.clock.random()),
            store: config.store,
            clock: config.clock,
            slots: config.slots,
            index_shards: config.index_shards,
            host: RwLock::new(None),
            life: Mutex::new(None),
            is_closed: AtomicBool::new(false),
            ended: Notify::new(),
            shared,
            reread: Notify::new(),
        }))
    }

    /// Begins to run what has been and will be offered.
    pub(crate) async fn open(&self, host: Host) -> Result<(), store::Error> {
        *self.0.host.write() = Some(host);
        // Before the first operation runs.
        policy_kind::load(self, None).await?;
        let (supervisor, _) = Actor::spawn(None, Supervisor, self.clone())
            .await
            .map_err(|error| store::Error::Stopped(error.to_string()))?;
        let rescan = tokio::spawn(rescan::run(self.clone())).abort_handle();
        *self.0.life.lock() = Some(Life { supervisor, rescan });
        Ok(())
    }

    /// Ends all handlers and waits until their operations know: steps at work may finish, for a moment, and no
    /// other begins. They go on at the next start, or on another node.
    pub(crate) async fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        let parting = self.ended(|control| {
            control.part(true);
        });
        let _ = tokio::time::timeout(self.0.step_grace, parting).await;
        self.ended(Control::stop).await;
        self.abandon();
    }

    /// Completes when nothing is queued or at work any more; `end` is called for what is.
    async fn ended(&self, end: impl Fn(&Control)) {
        loop {
            let ended = self.0.ended.notified();
            self.0.guests.each(&end);
            for active in &self.0.active {
                if !active.value().withdraw() {
                    end(active.value());
                }
            }
            if self.0.active.is_empty() && self.0.guests.is_empty() {
                return;
            }
            // What a limit held back, or an absent worker, is over now and may pass.
            for (_, pool) in self.all() {
                pool.look();
            }
            ended.await;
        }
    }

    /// Drops all handlers and lets the host go. Their operations do not hear of it, as in a crash.
    pub(crate) fn abandon(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.0.host.write().take();
        if let Some(elsewhere) = self.0.shared.elsewhere.get() {
            elsewhere.stop();
        }
        if let Some(life) = self.0.life.lock().take() {
            life.rescan.abort();
            life.supervisor.kill();
        }
    }

    /// Takes a runnable operation in. `None`: there is no room, or no code for its type.
    pub(crate) fn offer(&self, mut offer: Offer<'_>) -> Option<Arc<Control>> {
        if self.0.is_closed.load(Ordering::Acquire) || !self.keeps(offer.actor) {
            return None;
        }
        let pool = &self.pool_for(&offer.actor.tenant, &offer.record.operation_type)?;
        let place = pool.place(&offer.actor.tenant)?;
        let control = Arc::new(Control::new(
            self.0.clock.random(),
            offer.record.run.saturating_add(1),
        ));
        match self.0.active.entry(offer.actor.clone()) {
            Entry::Occupied(mut active) => {
                // Reloaded while a runner has it, which goes on; or the runner is about to end.
                if active.get().miss() {
                    return Some(Arc::clone(active.get()));
                }
                active.insert(Arc::clone(&control));
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Arc::clone(&control));
            }
        }
        if self.0.is_closed.load(Ordering::SeqCst) || !self.keeps(offer.actor) {
            // Closed or to be given up since this moment, perhaps without having seen this offer.
            control.stop();
        }
        let order = self.order(&offer);
        if pool.is_of_workers() {
            // Read when a worker asks for it, which may be hours from now.
            offer.payload = None;
        }
        let ready = Ready {
            held: Held {
                pools: self.clone(),
                pool: Arc::clone(pool),
                actor: offer.actor.clone(),
                control: Arc::clone(&control),
                is_settled: false,
            },
            work: work(offer),
            place,
        };
        pool.queue(ready, order).then_some(control)
    }

    /// The runner that has the operation, or will have it.
    pub(crate) fn active(&self, actor: &ScopedAddress) -> Option<Arc<Control>> {
        self.0.active.get(actor).map(|control| Arc::clone(&control))
    }

    /// What the handler of a type says of an input; one of an unknown type is not looked at.
    pub(crate) fn validate(
        &self,
        operation_type: &OperationType,
        input: &str,
    ) -> Result<(), InvalidInput> {
        let pool = self.0.pools.get(operation_type);
        pool.map_or(Ok(()), |pool| pool.handler.validate(input))
    }

    /// The policy of a tenant's operations of a type, if somebody runs them here.
    pub(crate) fn policy_for(
        &self,
        tenant: &Tenant,
        operation_type: &OperationType,
    ) -> Option<Arc<Policy>> {
        let pool = self.pool_for(tenant, operation_type)?;
        Some(pool.policy_for(tenant))
    }

    /// How failed attempts of a tenant's operations of a type are followed by others.
    pub(crate) fn retry(&self, tenant: &Tenant, operation_type: &OperationType) -> Retry {
        self.policy_for(tenant, operation_type)
            .map(|policy| policy.retry.clone())
            .unwrap_or_default()
    }

    /// What the policy of a type would be, if the tenant's patch for it were `own`.
    pub(super) fn policy_with(
        &self,
        tenant: &Tenant,
        operation_type: &OperationType,
        own: &PolicyPatch,
    ) -> Option<Policy> {
        let pool = self.pool_for(tenant, operation_type)?;
        Some(self.0.policies.with(tenant, own).over(pool.policy()))
    }

    /// Puts a patch in force, an empty one out of it. Answers whether that changed anything.
    pub(super) fn apply_patch(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        committed: Committed<'_>,
    ) -> bool {
        let policies = &self.0.policies;
        policies.set(tenant, subject, committed, |whole| {
            for (name, pool) in self.all() {
                let operation_type = name.operation_type();
                let is_meant = match subject {
                    Subject::All => true,
                    Subject::Type(one) => one == operation_type,
                };
                if is_meant && name.serves(tenant) {
                    let policy = TenantPolicy::new(&whole(operation_type), pool.policy());
                    pool.set_policy(tenant, policy);
                }
            }
        })
    }

    /// How an operation stands that waits in its pool; `None`: it is not there. Looks through what its
    /// tenant has there, so it is for questions about one operation and not for lists.
    pub(crate) fn queue_state(
        &self,
        actor: &ScopedAddress,
        operation_type: &OperationType,
    ) -> Option<QueueState> {
        let pool = self.pool_for(&actor.tenant, operation_type)?;
        pool.queue_state(self.moment(), &actor.tenant, |ready| {
            ready.held.actor == *actor
        })
    }

    /// The breaker that a tenant's operations of a type meet.
    pub(crate) fn breaker(
        &self,
        tenant: &Tenant,
        operation_type: &OperationType,
    ) -> Option<BreakerView> {
        let pool = self.pool_for(tenant, operation_type)?;
        pool.breaker(self.moment(), tenant)
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.0.clock.monotonic(),
            wall_ms: self.0.clock.wall_ms(),
        }
    }

    /// Where an operation belongs in its queue.
    fn order(&self, offer: &Offer<'_>) -> Order {
        let record = offer.record;
        let moment = self.moment();
        // A pending one waits since its last change; any other could not run before now.
        let waited = if record.status == Status::Pending {
            moment.wall_ms.saturating_sub(record.updated_ms)
        } else {
            0
        };
        Order {
            tenant: offer.actor.tenant.clone(),
            priority: record.priority,
            since: before(moment.now, waited),
            // What has begun to undo its steps is not failed for want of a place.
            is_patient: record.status == Status::Compensating,
            is_ending: record.status == Status::Cancelling,
        }
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Where an operation's actor lies in the store.
    pub(crate) fn path(&self, actor: &ScopedAddress) -> ActorPath {
        ActorPath {
            slot: actor.address.slot(&actor.tenant, self.0.slots),
            tenant: actor.tenant.clone(),
            address: actor.address.clone(),
        }
    }

    /// Shards of each index of operations.
    pub(crate) fn index_shards(&self) -> Shards {
        self.0.index_shards
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Completes when a pool wants the store to be looked through, or wanted it before.
    pub(super) async fn look_wanted(&self) {
        self.0.shared.wanted.notified().await;
    }

    /// Where the payload of an attempt comes from; `None`: from a stream that is not there.
    pub(super) fn payload(
        &self,
        actor: &ScopedAddress,
        pool: &Pool,
        work: &Work,
    ) -> Option<Source> {
        Some(match (&work.payload, &work.bytes) {
            // Its handler refuses it, and must not wait for a stream that may never come.
            (Payload::Streamed { .. }, _) if pool.is_of_workers() => Source::Taken,
            (Payload::None, _) => Source::None,
            (Payload::Stored { .. }, Some(bytes)) => Source::Memory(bytes.clone()),
            (Payload::Stored { length, .. }, None) => Source::Stored {
                store: Arc::clone(&self.0.store),
                path: self.path(actor),
                length: *length,
            },
            (Payload::Streamed { .. }, _) => Source::Streamed(self.0.streams.remove(actor)?),
        })
    }

    /// Takes an offer that is over out of the directory.
    pub(super) fn forget(&self, actor: &ScopedAddress, control: &Arc<Control>) {
        self.0
            .active
            .remove_if(actor, |_, active| Arc::ptr_eq(active, control));
    }

    /// Tells whoever waits that an offer is over.
    pub(super) fn offer_ended(&self) {
        self.0.ended.notify_waiters();
    }

    /// Has the operation offer itself again. Never waits.
    pub(super) fn nudge(&self, actor: &ScopedAddress) {
        self.send(request(actor, NUDGE, Bytes::from_static(b"null")));
    }

    /// The same; it has done so, or never will, when this completes.
    pub(super) async fn ask_to_offer(&self, actor: &ScopedAddress) {
        self.ask(request(actor, NUDGE, Bytes::from_static(b"null")))
            .await;
    }

    /// Sends a command whose answer nobody waits for.
    pub(super) fn send(&self, request: CommandRequest) {
        if let Some(host) = self.host() {
            host.command(request, ReplyTo::nobody());
        }
    }

    pub(super) async fn ask(&self, request: CommandRequest) -> Outcome {
        match self.host() {
            Some(host) => host.ask(request).await,
            // Not worth a retry: nobody will hear it any more.
            None => Outcome::Failure(Failure::new(ErrorCode::Internal, "the node has ended")),
        }
    }

    /// `None` before the host serves and after it has ended.
    pub(crate) fn host(&self) -> Option<Host> {
        self.0.host.read().clone()
    }
}

/// The node's own command to an operation.
pub(super) fn request(actor: &ScopedAddress, name: &str, body: Bytes) -> CommandRequest {
    CommandRequest {
        actor: actor.clone(),
        principal: Arc::from("node"),
        origin: Origin::Node,
        identity: Identity::Natural,
        name: name.to_owned(),
        body,
        payload: None,
        if_version: None,
        deadline: None,
    }
}

/// A time so many milliseconds ago, or as far back as there is one.
fn before(now: Instant, ms: u64) -> Instant {
    now.checked_sub(Duration::from_millis(ms)).unwrap_or(now)
}

fn work(offer: Offer<'_>) -> Work {
    let record = offer.record;
    Work {
        id: record.id.clone(),
        input: Arc::clone(&record.input),
        steps: record
            .steps
            .iter()
            .map(|step| FinishedStep {
                name: Arc::clone(&step.name),
                result: Arc::clone(&step.result),
            })
            .collect(),
        undo: record
            .is_compensating()
            .then(|| record.compensations.clone()),
        run: record.run.saturating_add(1),
        attempt: record.next_attempt(),
        is_fresh: offer.is_fresh,
        payload: record.payload.clone(),
        bytes: offer.payload,
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pools({:?})", self.0.pools.keys())
    }
}
