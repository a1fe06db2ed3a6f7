//! The host: runs the actors of the slots that this node owns. The node's gateway, its operations and
//! its processing call it; it never waits for an actor unless asked to.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use selvedge_protocol::frame::{Outcome, Since};
use selvedge_protocol::peer::actors::Tell;
use selvedge_protocol::{ActorKind, Failure, SessionId, Tenant};
use tokio::task::AbortHandle;

use crate::Clock;
use crate::actor::chore;
use crate::actor::core::Core;
use crate::actor::hosted::Kinds;
use crate::actor::letter::{Letter, Request};
use crate::actor::load::epoch;
use crate::actor::record::{Fence, Stored};
use crate::actor::request::{
    CommandRequest, QueryRequest, ReplyTo, ScopedAddress, SubscriptionItem, asked,
};
use crate::actor::subscription::Subscription;
use crate::actor::supervisor::Root;
use crate::forward::{Forward, ForwardConfig};
use crate::slot::Slot;
use crate::store::keys::{Key, KeyRange};
use crate::store::{self, Isolation, Order, Range, Store, Transaction};

/// The bounds of a host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The name of this node, written into the fences it takes.
    pub node: String,
    /// How long an actor stays activated without work, milliseconds.
    pub idle_ms: u64,
    /// How many slots the cluster has, as fixed in its store when it was created.
    pub slots: u16,
}

/// A cheap handle on the host. When the last one is dropped without [`Host::stop`], all actors end at
/// once, as in a crash: nothing that was answered is lost.
#[derive(Debug, Clone)]
pub struct Host {
    core: Arc<Core>,
    life: Arc<Life>,
}

#[derive(Debug)]
struct Life {
    core: Arc<Core>,
    root: Root,
    chores: AbortHandle,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.chores.abort();
        if let Some(forward) = self.core.forward.get() {
            forward.stop();
        }
    }
}

impl Host {
    /// Takes all slots and begins to serve.
    pub async fn start(
        config: HostConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        kinds: Kinds,
    ) -> Result<Self, store::Error> {
        if config.slots == 0 {
            return Err(store::Error::Record {
                key: "cluster".to_owned(),
                reason: "it has no slots".to_owned(),
            });
        }
        let core = Core::new(config, store, clock, kinds);
        let all: Vec<&Slot> = core.slots.iter().collect();
        for slots in all.chunks(SLOTS_TAKEN_AT_ONCE) {
            take(&core, slots).await?;
        }
        chore::recover(&core).await?;
        Self::supervised(core).await
    }

    /// The same without any slot: it serves those that it [takes](Self::take).
    pub async fn idle(
        config: HostConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        kinds: Kinds,
    ) -> Result<Self, store::Error> {
        Self::supervised(Core::new(config, store, clock, kinds)).await
    }

    async fn supervised(core: Arc<Core>) -> Result<Self, store::Error> {
        let root = Root::spawn(Arc::clone(&core))
            .await
            .map_err(store::Error::Stopped)?;
        let chores = tokio::spawn(chore::run(Arc::clone(&core))).abort_handle();
        let life = Arc::new(Life {
            core: Arc::clone(&core),
            root,
            chores,
        });
        Ok(Self { core, life })
    }

    /// Takes slots, whoever has them: from now on nobody else can commit to their actors. Their timers,
    /// messages and actors that are to be awake go on here. Numbers that are no slots are left out.
    pub async fn take(&self, numbers: &[u16]) -> Result<(), store::Error> {
        let mut slots: Vec<&Slot> = self.slots(numbers).collect();
        // Neighbours are read together.
        slots.sort_unstable_by_key(|slot| slot.number);
        for slots in slots.chunks(SLOTS_TAKEN_AT_ONCE) {
            take(&self.core, slots).await?;
            for slot in slots {
                for chore in [&slot.timers, &slot.outbox, &slot.awake] {
                    self.core.schedule(chore, 0);
                }
            }
        }
        if let Some(forward) = self.core.forward.get() {
            forward.look();
        }
        Ok(())
    }

    /// Gives slots up: their actors take no more requests, those that they took are answered, then nothing
    /// of them is in memory. Requests meanwhile and after are refused with `unavailable`. Completes when all
    /// that is done.
    pub async fn give_up(&self, numbers: &[u16]) {
        self.slots(numbers).for_each(Slot::close);
        let is_quiet = || self.slots(numbers).all(Slot::is_quiet);
        self.core.load.quiet(is_quiet).await;
        for slot in self.slots(numbers) {
            slot.leave();
        }
    }

    /// The slots that it serves, ascending.
    pub fn owned(&self) -> Vec<u16> {
        let open = self.core.slots.iter().filter(|slot| slot.is_open());
        open.map(|slot| slot.number).collect()
    }

    fn slots<'a>(&'a self, numbers: &'a [u16]) -> impl Iterator<Item = &'a Slot> {
        let all = &self.core.slots;
        numbers
            .iter()
            .filter_map(|number| all.get(usize::from(*number)))
    }

    /// Sends a command to its actor. Never waits; refusals come as answers.
    pub fn command(&self, request: CommandRequest, reply: ReplyTo) {
        self.core
            .send(Letter::Request(Request::Command(request)), reply);
    }

    /// The same, waiting for the answer.
    pub async fn ask(&self, request: CommandRequest) -> Outcome {
        let (reply, answer) = asked();
        self.command(request, reply);
        answer.await
    }

    /// Sends a query to its actor. Never waits.
    pub fn query(&self, request: QueryRequest, reply: ReplyTo) {
        self.core
            .send(Letter::Request(Request::Query(request)), reply);
    }

    /// The events of an actor from a position on. Does not activate it.
    pub async fn subscribe(
        &self,
        actor: ScopedAddress,
        since: Since,
    ) -> Result<Subscription, Failure> {
        Subscription::open(Arc::clone(&self.core), actor, since).await
    }

    /// Begins to send what is asked for actors of other nodes to those, and to serve what they ask: from now on
    /// requests, subscriptions and messages of actors reach their actor on whichever node it is.
    pub fn forward(&self, config: ForwardConfig) -> Forward {
        let start = || Forward::start(&self.core, config);
        self.core.forward.get_or_init(start).clone()
    }

    /// Tells whoever is subscribed to the actor now. Lossy.
    pub fn tell_subscribers(
        &self,
        actor: &ScopedAddress,
        from: SessionId,
        name: &str,
        data: &Bytes,
    ) {
        let slot = self.core.slot_of(actor);
        if let Some(forward) = self.core.forward.get()
            && !slot.is_open()
        {
            return forward.tell(Tell {
                tenant: actor.tenant.clone(),
                actor: actor.address.clone(),
                from,
                name: name.to_owned(),
                data: data.clone(),
            });
        }
        let item = SubscriptionItem::Ephemeral {
            from,
            name: name.to_owned(),
            data: data.clone(),
        };
        slot.hub.tell(actor, item);
    }

    /// Keys of the actors of a kind in order, after `after`, at most `limit`.
    pub async fn list(
        &self,
        tenant: &Tenant,
        kind: &ActorKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, store::Error> {
        let mut range = KeyRange::catalog(tenant, Some(kind)).read(limit, Isolation::Snapshot);
        if let Some(after) = after.and_then(|key| selvedge_protocol::ActorKey::new(key).ok()) {
            let address = selvedge_protocol::ActorAddress {
                kind: kind.clone(),
                key: after,
            };
            let tenant = tenant.clone();
            let key = Key::Catalog { tenant, address }.encode();
            range.begin = Bound::Excluded(Bytes::from(key));
        }
        let rows = self.core.store.begin().range(range).await?;
        let keys = rows.iter().filter_map(|(key, _)| match Key::decode(key) {
            Ok(Key::Catalog { address, .. }) => Some(address.key.as_str().to_owned()),
            Ok(_) | Err(_) => None,
        });
        Ok(keys.collect())
    }

    /// Whether an actor is in memory at the moment.
    pub fn is_activated(&self, actor: &ScopedAddress) -> bool {
        self.core
            .slot_of(actor)
            .directory
            .lock()
            .contains_key(actor)
    }

    /// Whether there is code for actors of this kind.
    pub fn has_kind(&self, kind: &ActorKind) -> bool {
        self.core.kinds.find(kind.as_str()).is_some()
    }

    /// Whether clients may address actors of this kind.
    pub fn is_public(&self, kind: &ActorKind) -> bool {
        self.core
            .kinds
            .find(kind.as_str())
            .is_some_and(|kind| kind.is_public())
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    #[cfg(test)]
    pub(crate) fn root(&self) -> &Root {
        &self.life.root
    }

    /// Takes no more requests, lets decided ones commit, ends all actors.
    pub async fn stop(&self) {
        self.core.is_stopping.store(true, Ordering::Release);
        self.life.chores.abort();
        if let Some(forward) = self.core.forward.get() {
            forward.stop();
        }
        self.core.load.drained().await;
        for slot in &self.core.slots {
            slot.hub.close();
        }
        self.life.root.stop().await;
    }
}

/// Slots taken in one transaction: some kilobytes each, far below its bounds.
const SLOTS_TAKEN_AT_ONCE: usize = 256;

/// Raises the fences of slots in one transaction: from then on no earlier owner can commit.
async fn take(core: &Core, slots: &[&Slot]) -> Result<(), store::Error> {
    // Two hosts that start at once conflict with each other; one of them is through each time.
    const ATTEMPTS_MAX: usize = 10;
    let mut failed = store::Error::Conflict;
    for _ in 0..ATTEMPTS_MAX {
        match try_take(core, slots).await {
            Ok(()) => return Ok(()),
            // An unknown commit raised the fences or did not; raising them again does no harm.
            Err(error) if error.may_be_retried() => failed = error,
            Err(store::Error::CommitUnknown) => failed = store::Error::CommitUnknown,
            Err(error) => return Err(error),
        }
    }
    Err(failed)
}

/// What is stored of the fences of slots, and maybe of others between them. One read for all: the store may be a round
/// trip away, and a thousand of them are seconds without an owner.
async fn fences(
    transaction: &mut dyn Transaction,
    slots: &[&Slot],
) -> Result<HashMap<Bytes, Bytes>, store::Error> {
    let numbers = || slots.iter().map(|slot| slot.number);
    let (Some(first), Some(last)) = (numbers().min(), numbers().max()) else {
        return Ok(HashMap::new());
    };
    let bound = |slot| Bound::Included(Key::SlotFence { slot }.encode().into());
    let pairs = transaction.range(Range {
        begin: bound(first),
        end: bound(last),
        order: Order::Ascending,
        limit: usize::from(last - first) + 1,
        // Those of others are none of our business: each of ours is made a conflict by its name.
        isolation: Isolation::Snapshot,
    });
    Ok(pairs.await?.into_iter().collect())
}

async fn try_take(core: &Core, slots: &[&Slot]) -> Result<(), store::Error> {
    let mut transaction = core.store.begin();
    let stored = fences(&mut *transaction, slots).await?;
    let mut epochs = Vec::with_capacity(slots.len());
    for slot in slots {
        transaction.add_read_conflict(&slot.fence_key);
        let fence = Fence {
            epoch: epoch(stored.get(&*slot.fence_key))? + 1,
            node: core.config.node.clone(),
        };
        transaction.set(&slot.fence_key, &fence.encode());
        epochs.push(fence.epoch);
    }
    transaction.commit().await?;
    for (slot, epoch) in slots.iter().zip(epochs) {
        slot.take(epoch);
    }
    Ok(())
}
