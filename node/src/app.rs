//! An application: the actor kinds and operation handlers that a node runs, registered by hand.
//!
//! `main` of a node builds one and starts it. There is no global registry: what is not built in here is
//! not there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, HostConfig, Kind, Kinds, ScopedAddress};
use selvedge_cluster::forward::Forward;
use selvedge_cluster::peer::Inbound;
use selvedge_cluster::privacy::KeyWrapper;
use selvedge_cluster::store::keys::Shards;
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::{self, Store};
use selvedge_protocol::limits::{OPERATION_PARTING_MS, RETENTION_MS};
use selvedge_protocol::{IdError, OperationType, Tenant};
use tokio::task::JoinHandle;

use crate::identity::Directory;
use crate::limit::{LimitKind, Limits, LimitsParts, LocalLimits, Rules};
use crate::operation::{OperationKind, Operations, ScheduleKind, Waiters};
use crate::processing::worker::Workers;
use crate::processing::{
    ErasedHandler, Handler, Neighbours, Policy, PolicyKind, Pools, PoolsConfig, QueueState,
};

/// What a node runs.
pub struct Application {
    kinds: Kinds,
    handlers: HashMap<OperationType, (Arc<dyn ErasedHandler>, Policy)>,
    worker_lease: Duration,
    step_grace: Duration,
    local_limits: LocalLimits,
    key_wrapper: Option<Arc<dyn KeyWrapper>>,
}

/// Puts an [`Application`] together.
#[derive(Default)]
pub struct Builder {
    kinds: Kinds,
    handlers: HashMap<OperationType, (Arc<dyn ErasedHandler>, Policy)>,
    wrong: Option<BuildError>,
    key_wrapper: Option<Arc<dyn KeyWrapper>>,
}

/// Why an application cannot be built: a defect of its own code, or a wrong setting.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The name of an operation type is not valid.
    #[error(transparent)]
    Name(#[from] IdError),
    /// An operation type was registered twice.
    #[error("operation type {0} was registered twice")]
    Twice(OperationType),
    /// A policy that lets nothing run.
    #[error("operation type {name} has {flaw}")]
    Policy {
        name: OperationType,
        flaw: &'static str,
    },
    #[error(
        "the retention of the kind {0} is shorter than that of command ids: use at least 24 hours"
    )]
    Retention(&'static str),
    /// Something that the application reads for itself, a variable for example, has a wrong value.
    #[error("{name} is wrong: {remedy}")]
    Setting {
        /// What a person has to change.
        name: String,
        /// What to change it to.
        remedy: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where an application runs.
#[derive(Debug)]
pub struct Place {
    pub host: HostConfig,
    /// Shards of each index of operations, as fixed in the store when it was created.
    pub index_shards: Shards,
    pub store: Arc<dyn Store>,
    /// The secret of the cluster that the store is of.
    pub key: SessionKey,
    pub clock: Clock,
}

/// Which actors an application runs.
#[derive(Debug, Clone, Copy)]
enum Owned {
    /// All of its store.
    All,
    /// Those whose slots its host takes.
    Taken,
}

/// An application that runs. Dropped without [`Running::stop`], its handlers end at once, as in a crash.
#[derive(Debug)]
pub struct Running {
    pub host: Host,
    pub operations: Operations,
    /// Who is known to the cluster.
    pub directory: Directory,
    pub(crate) pools: Pools,
    pub limits: Limits,
    waiters: Waiters,
    /// Sweeps the queries that wait for operations.
    waiting: JoinHandle<()>,
    /// Keeps limits in force that are set.
    limiting: JoinHandle<()>,
}

impl Application {
    /// Begins to put an application together.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The operation types that it has handlers for.
    pub fn operations(&self) -> impl Iterator<Item = &OperationType> {
        self.handlers.keys()
    }

    /// The kinds whose actors are always about somebody.
    pub(crate) fn personal_kinds(&self) -> Vec<&'static str> {
        self.kinds.personal()
    }

    pub(crate) fn key_wrapper(&self) -> Option<Arc<dyn KeyWrapper>> {
        self.key_wrapper.clone()
    }

    /// How long a worker may be silent before its step is given to another.
    #[must_use]
    pub fn worker_lease(mut self, lease: Duration) -> Self {
        self.worker_lease = lease;
        self
    }

    /// How long steps at work may take to finish when the node stops, or lets their operations go to another. No
    /// longer than slots wait for it.
    #[must_use]
    pub const fn step_grace(mut self, grace: Duration) -> Self {
        self.step_grace = grace;
        self
    }

    /// What this node takes of one connection and one principal, whatever is set for the cluster.
    #[must_use]
    pub const fn local_limits(mut self, limits: LocalLimits) -> Self {
        self.local_limits = limits;
        self
    }

    /// Takes all slots, recovers what was going on and serves: for a node that is alone on its store.
    pub async fn start(self, place: Place) -> Result<Running, store::Error> {
        self.start_with(place, Owned::All).await
    }

    /// The same without any slot: the host [takes](Host::take) those that this node is to have, other nodes
    /// have the rest.
    pub async fn start_idle(self, place: Place) -> Result<Running, store::Error> {
        self.start_with(place, Owned::Taken).await
    }

    async fn start_with(self, place: Place, owned: Owned) -> Result<Running, store::Error> {
        let pools = Pools::new(PoolsConfig {
            handlers: self.handlers,
            store: Arc::clone(&place.store),
            clock: place.clock.clone(),
            slots: place.host.slots,
            index_shards: place.index_shards,
            worker_lease: self.worker_lease,
            step_grace: self.step_grace,
        });
        let waiters = Waiters::default();
        let operations =
            OperationKind::new(pools.clone(), waiters.clone(), place.host.node.clone());
        let rules = Rules::default();
        let kinds = self
            .kinds
            .with(operations)
            .with(LimitKind::new(rules.clone(), &place.clock))
            .with(PolicyKind::new(pools.clone()))
            .with(ScheduleKind);
        let Place {
            host,
            store,
            key,
            clock,
            ..
        } = place;
        let (its_store, its_clock) = (Arc::clone(&store), clock.clone());
        let directory = Directory::new(Arc::clone(&store), clock.clone(), &key);
        let host = match owned {
            Owned::All => Host::start(host, its_store, its_clock, kinds).await?,
            Owned::Taken => Host::idle(host, its_store, its_clock, kinds).await?,
        };
        let (limits, limiting) = Limits::start(LimitsParts {
            host: host.clone(),
            store,
            clock,
            rules,
            local: self.local_limits,
        })
        .await?;
        pools.open(host.clone()).await?;
        let waiting = tokio::spawn(waiters.clone().run(host.clone()));
        Ok(Running {
            operations: Operations::new(host.clone(), pools.clone(), waiters.clone()),
            directory,
            host,
            pools,
            limits,
            waiters,
            waiting,
            limiting,
        })
    }
}

impl Builder {
    /// Adds an actor kind.
    #[must_use]
    pub fn kind<K: Kind>(mut self, kind: K) -> Self {
        let is_short = |kept: Duration| kept < Duration::from_millis(RETENTION_MS);
        if kind.retention().is_some_and(is_short) {
            self.wrong = Some(BuildError::Retention(K::NAME));
            return self;
        }
        self.kinds = self.kinds.with(kind);
        self
    }

    /// Adds an operation type, its handler and its policy.
    #[must_use]
    pub fn operation(mut self, name: &str, handler: impl Handler, policy: Policy) -> Self {
        match OperationType::new(name) {
            Err(error) => self.wrong = Some(error.into()),
            Ok(name) => {
                if let Some(flaw) = policy.flaw() {
                    self.wrong = Some(BuildError::Policy { name, flaw });
                    return self;
                }
                let handler: Arc<dyn ErasedHandler> = Arc::new(handler);
                if self
                    .handlers
                    .insert(name.clone(), (handler, policy))
                    .is_some()
                {
                    self.wrong = Some(BuildError::Twice(name));
                }
            }
        }
        self
    }

    /// Has the keys of subjects wrapped by this, a service that keeps keys for one, in place of those of the node's
    /// configuration.
    #[must_use]
    pub fn key_wrapper(mut self, wrapper: Arc<dyn KeyWrapper>) -> Self {
        self.key_wrapper = Some(wrapper);
        self
    }

    /// The application, or what is wrong with it.
    pub fn build(self) -> Result<Application, BuildError> {
        match self.wrong {
            Some(wrong) => Err(wrong),
            None => Ok(Application {
                kinds: self.kinds,
                handlers: self.handlers,
                worker_lease: WORKER_LEASE,
                step_grace: Duration::from_millis(OPERATION_PARTING_MS),
                local_limits: LocalLimits::default(),
                key_wrapper: self.key_wrapper,
            }),
        }
    }
}

impl Running {
    /// How an operation stands that waits in its pool on this node; `None`: it does not.
    pub fn queue_state(
        &self,
        operation: &ScopedAddress,
        operation_type: &OperationType,
    ) -> Option<QueueState> {
        self.pools.queue_state(operation, operation_type)
    }

    /// How many operations of a type this node runs at a time for a tenant; `None`: it does not know the type.
    pub fn concurrency(&self, tenant: &Tenant, operation_type: &OperationType) -> Option<usize> {
        self.pools.concurrency(tenant, operation_type)
    }

    /// Takes in sessions that execute operations.
    pub fn workers(&self) -> Workers {
        self.pools.workers()
    }

    /// What makes the node's operations those of a cluster.
    pub fn processing(&self) -> Processing {
        Processing {
            pools: self.pools.clone(),
            waiters: self.waiters.clone(),
        }
    }

    /// Stops the handlers, whose operations go on at the next start, then the host.
    pub async fn stop(&self) {
        self.waiting.abort();
        self.limiting.abort();
        self.limits.stop();
        self.pools.close().await;
        self.host.stop().await;
    }
}

/// The processing of a node among others. A cheap handle.
#[derive(Debug, Clone)]
pub struct Processing {
    pools: Pools,
    waiters: Waiters,
}

impl Processing {
    /// From now on the node's operations are among those of a cluster: other nodes execute what finds no
    /// place here and the other way round, policies and workers are known to all, and whoever waits for an
    /// operation asks its owner. Once, before the node takes slots.
    pub fn join(&self, neighbours: Neighbours, forward: &Forward) {
        let waiters = self.waiters.clone();
        forward.park(Box::new(move |query, reply| waiters.take(query, reply)));
        let waiters = self.waiters.clone();
        self.pools
            .join(neighbours, Box::new(move || waiters.look()));
    }

    /// Serves a stream of another node for the service `Processing`, to its end. Boxed by the caller.
    pub async fn serve(self, inbound: Inbound) {
        self.pools.serve(inbound).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.waiting.abort();
        self.limiting.abort();
        self.limits.stop();
        self.pools.abandon();
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Application(operations {:?})", self.handlers.keys())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder(operations {:?})", self.handlers.keys())
    }
}

/// Workers send a heartbeat every third of it: two may be lost, and a step that was lost with its worker
/// begins again before a person asks why.
const WORKER_LEASE: Duration = Duration::from_secs(10);
