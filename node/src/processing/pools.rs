//! All pools of a node, and the directory of what they have: an operation is with at most one runner.
//!
//! The operation kind offers and withdraws; the node opens the pools when the host serves and closes
//! them before it stops.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::{Mutex, RwLock};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{CommandRequest, Host, ReplyTo, ScopedAddress};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::keys::ActorPath;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ErrorCode, Failure, OperationType};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::operation::{FinishedStep, Payload, Record};
use crate::processing::control::Control;
use crate::processing::handler::ErasedHandler;
use crate::processing::payload::Source;
use crate::processing::policy::{Policy, Retry};
use crate::processing::pool::{Pool, Queued, Ready, Work};
use crate::processing::stream::Streams;
use crate::processing::{rescan, runner};

/// A cheap handle on all pools of a node.
#[derive(Clone)]
pub(crate) struct Pools(Arc<Inner>);

struct Inner {
    pools: HashMap<OperationType, Arc<Pool>>,
    /// What is queued or running, by operation.
    active: DashMap<ScopedAddress, Arc<Control>>,
    streams: Streams,
    store: Arc<dyn Store>,
    clock: Clock,
    slots: u16,
    /// There while the host serves. Operations may offer themselves before. The host holds the kind that
    /// holds this, so it has to be let go in the end.
    host: RwLock<Option<Host>>,
    rescan: Mutex<Option<AbortHandle>>,
    /// A runner has ended: for whoever waits for all of them.
    ended: Notify,
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
}

impl Pools {
    pub(crate) fn new(config: PoolsConfig) -> Self {
        let pools = config
            .handlers
            .into_iter()
            .map(|(name, (handler, policy))| (name, Arc::new(Pool::new(handler, policy))))
            .collect();
        Self(Arc::new(Inner {
            pools,
            active: DashMap::new(),
            streams: Streams::default(),
            store: config.store,
            clock: config.clock,
            slots: config.slots,
            host: RwLock::new(None),
            rescan: Mutex::new(None),
            ended: Notify::new(),
        }))
    }

    /// Begins to run what has been and will be offered.
    pub(crate) fn open(&self, host: Host) {
        *self.0.host.write() = Some(host);
        for pool in self.0.pools.values() {
            for ready in pool.open() {
                self.spawn(Arc::clone(pool), ready);
            }
        }
        *self.0.rescan.lock() = Some(tokio::spawn(rescan::run(self.clone())).abort_handle());
    }

    /// Drops all handlers and waits until their operations know. They go on at the next start.
    pub(crate) async fn close(&self) {
        for pool in self.0.pools.values() {
            for ready in pool.close() {
                ready.control.withdraw();
                self.ended(&ready.actor, &ready.control);
            }
        }
        for active in &self.0.active {
            active.value().stop();
        }
        loop {
            let ended = self.0.ended.notified();
            if self.0.pools.values().all(|pool| pool.running() == 0) {
                break;
            }
            ended.await;
        }
        self.abandon();
    }

    /// Drops all handlers and lets the host go. Their operations do not hear of it, as in a crash.
    pub(crate) fn abandon(&self) {
        self.0.host.write().take();
        if let Some(rescan) = self.0.rescan.lock().take() {
            rescan.abort();
        }
        for pool in self.0.pools.values() {
            pool.close();
        }
        for active in &self.0.active {
            active.value().stop();
        }
    }

    /// Takes a runnable operation in. `None`: there is no room, or no code for its type.
    pub(crate) fn offer(&self, offer: Offer<'_>) -> Option<Arc<Control>> {
        let pool = self.0.pools.get(&offer.record.operation_type)?;
        let control = Arc::new(Control::new(
            self.0.clock.random(),
            offer.record.attempt.saturating_add(1),
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
        let ready = Ready {
            actor: offer.actor.clone(),
            control: Arc::clone(&control),
            work: work(offer),
        };
        match pool.queue(ready) {
            Queued::Start(ready) => self.spawn(Arc::clone(pool), ready),
            Queued::Waits => {}
            Queued::Full(ready) => {
                self.ended(&ready.actor, &ready.control);
                return None;
            }
        }
        Some(control)
    }

    /// The runner that has the operation, or will have it.
    pub(crate) fn active(&self, actor: &ScopedAddress) -> Option<Arc<Control>> {
        self.0.active.get(actor).map(|control| Arc::clone(&control))
    }

    /// The policy of a type, if it is known here.
    pub(crate) fn policy(&self, operation_type: &OperationType) -> Option<&Policy> {
        self.0.pools.get(operation_type).map(|pool| &*pool.policy)
    }

    /// How failed attempts of a type are followed by others.
    pub(crate) fn retry(&self, operation_type: &OperationType) -> Retry {
        self.policy(operation_type)
            .map(|policy| policy.retry.clone())
            .unwrap_or_default()
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

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Whether any pool wants the store to be looked through. Asking takes the marks away.
    pub(super) fn take_incomplete(&self) -> bool {
        // No short cut: each pool's mark is taken.
        self.0
            .pools
            .values()
            .filter(|pool| pool.take_incomplete())
            .count()
            > 0
    }

    /// Whether any pool has room for more.
    pub(super) fn has_room(&self) -> bool {
        self.0.pools.values().any(|pool| pool.has_room())
    }

    /// Something runnable may be in the store that no pool has.
    pub(super) fn look_again(&self) {
        for pool in self.0.pools.values() {
            pool.look_again();
        }
    }

    /// Completes when a runner has ended, or had by chance.
    pub(super) async fn runner_ended(&self) {
        self.0.ended.notified().await;
    }

    /// Where the payload of an attempt comes from; `None`: from a stream that is not there.
    pub(super) fn payload(&self, actor: &ScopedAddress, work: &Work) -> Option<Source> {
        Some(match (&work.payload, &work.bytes) {
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

    /// Marks an offer as over. `true`: the operation offered itself again meanwhile and was not heard.
    pub(super) fn ended(&self, actor: &ScopedAddress, control: &Arc<Control>) -> bool {
        control.end();
        self.0
            .active
            .remove_if(actor, |_, active| Arc::ptr_eq(active, control));
        control.was_missed()
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

    fn spawn(&self, pool: Arc<Pool>, first: Ready) {
        let place = Place {
            pools: self.clone(),
            pool,
        };
        tokio::spawn(place.work(first));
    }
}

/// A runner's place in its pool: given back however the runner ends.
struct Place {
    pools: Pools,
    pool: Arc<Pool>,
}

impl Place {
    async fn work(self, first: Ready) {
        let mut next = Some(first);
        while let Some(ready) = next {
            runner::run(&self.pools, &self.pool, ready).await;
            self.pools.0.ended.notify_waiters();
            next = self.pool.next();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ready) = self.pool.leave() {
            self.pools.spawn(Arc::clone(&self.pool), ready);
        }
        self.pools.0.ended.notify_waiters();
    }
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
        attempt: record.attempt.saturating_add(1),
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
