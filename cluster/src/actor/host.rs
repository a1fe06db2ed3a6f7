//! The host: runs the actors of the slots that this node owns. The node's gateway, its operations and
//! its processing call it; it never waits for an actor unless asked to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use selvedge_protocol::frame::{Consistency, Outcome, Since};
use selvedge_protocol::peer::actors::Tell;
use selvedge_protocol::{ActorKind, Failure, SessionId, Tenant};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::Clock;
use crate::actor::chore;
use crate::actor::core::Core;
use crate::actor::hosted::Kinds;
use crate::actor::letter::{Letter, Request};
use crate::actor::recovery::{recover_all, recover_taken};
use crate::actor::request::{
    CommandRequest, QueryRequest, ReplyTo, ScopedAddress, SubscriptionItem, asked,
};
use crate::actor::stored;
use crate::actor::subscription::Subscription;
use crate::actor::supervisor::Root;
use crate::actor::taking::{self, Claim, Left, MayTake, SLOTS_TAKEN_AT_ONCE, Taking, Wish, take};
use crate::actor::work::Work;
use crate::audit::Trail;
use crate::forward::{Forward, ForwardConfig};
use crate::membership::Admin;
use crate::privacy::{ScopedSubject, Subjects};
use crate::slot::{Slot, Standing};
use crate::store::keys::{Key, KeyRange};
use crate::store::{self, Isolation, Store};

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
        let wish = Wish::alone();
        for slots in all.chunks(SLOTS_TAKEN_AT_ONCE) {
            take(&core, slots, &wish).await?;
        }
        recover_all(&core).await?;
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

    /// Takes slots under a claim, whoever has them as far as `may_take` lets it: from now on nobody else can
    /// commit to their actors. Their timers, messages and actors that are to be awake go on here; what this host
    /// had of them in memory goes. Numbers that are no slots are left out.
    ///
    /// After an error some of them may be taken; [`Self::owned`] says which.
    pub async fn take(
        &self,
        numbers: &[u16],
        claim: Claim,
        may_take: &MayTake<'_>,
    ) -> Result<Taking, store::Error> {
        let wish = Wish::of(claim, may_take);
        let slots: Vec<&Slot> = self.slots(numbers).collect();
        let mut taking = Taking::default();
        for slots in slots.chunks(SLOTS_TAKEN_AT_ONCE) {
            match take(&self.core, slots, &wish).await {
                Ok(of_these) => taking.add(of_these),
                Err(error) => {
                    recover_taken(&self.core, &taking.taken).await;
                    return Err(error);
                }
            }
        }
        recover_taken(&self.core, &taking.taken).await;
        Ok(taking)
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

    /// These slots are about to be given up: no more work of their actors begins.
    pub(crate) fn part(&self, numbers: &[u16]) {
        self.slots(numbers).for_each(Slot::part);
    }

    /// They are not given up after all.
    pub(crate) fn keep(&self, numbers: &[u16]) {
        self.slots(numbers).for_each(Slot::keep);
    }

    /// The ones of these slots for whose actors nothing is at work.
    pub(crate) fn resting(&self, numbers: &[u16]) -> Vec<u16> {
        let resting = self.slots(numbers).filter(|slot| !slot.is_at_work());
        resting.map(|slot| slot.number).collect()
    }

    /// Completes when there is one.
    pub(crate) async fn rests(&self, numbers: &[u16]) {
        let rests = || self.slots(numbers).any(|slot| !slot.is_at_work());
        self.core.load.quiet(rests).await;
    }

    /// Takes no more requests for these slots.
    pub(crate) fn close(&self, numbers: &[u16]) {
        self.slots(numbers).for_each(Slot::close);
    }

    /// Completes when everything that the actors of one of these slots took is answered, and answers with all
    /// slots of which that is so.
    pub(crate) async fn quiet(&self, numbers: &[u16]) -> Vec<u16> {
        let is_quiet = || self.slots(numbers).any(Slot::is_quiet);
        self.core.load.quiet(is_quiet).await;
        let quiet = self.slots(numbers).filter(|slot| slot.is_quiet());
        quiet.map(|slot| slot.number).collect()
    }

    /// Leaves slots at once: nothing of them is in memory any more, whatever is unanswered.
    pub(crate) fn leave(&self, numbers: &[u16]) -> Vec<Left> {
        let left = self.slots(numbers).filter_map(|slot| {
            let epoch = slot.leave()?;
            Some(Left {
                number: slot.number,
                epoch,
            })
        });
        left.collect()
    }

    /// Says in the store that nobody has these slots, unless somebody has taken them meanwhile: whoever is to
    /// have them next need not wait.
    pub(crate) async fn release(&self, left: &[Left]) -> Result<(), store::Error> {
        taking::release(&self.core, left).await
    }

    /// Leaves the slots that somebody else has taken, and answers how many: one that is asked nothing would not
    /// notice. Costs one range read of the fences between its first slot and its last, some 60 bytes each.
    pub async fn check(&self) -> Result<usize, store::Error> {
        taking::check(&self.core).await
    }

    /// How many commits the store has refused because another node had taken the slot: attempts of this one that
    /// it did not know to be none of its business any more.
    pub fn commits_fenced(&self) -> u64 {
        self.core.commits_fenced.load(Ordering::Relaxed)
    }

    /// Raised, from any number, with each slot that is opened here, is about to go, closed or left. What it means
    /// is to be looked up, in [`Self::owned`] for one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.core.changes.subscribe()
    }

    /// The slots of which it has anything, ascending: those that it serves, and those that it is giving up.
    pub fn held(&self) -> Vec<u16> {
        let held = |slot: &&Slot| slot.standing() != Standing::Foreign;
        let slots = self.core.slots.iter().filter(held);
        slots.map(|slot| slot.number).collect()
    }

    /// The name of this node.
    pub fn node(&self) -> &str {
        &self.core.config.node
    }

    /// The slots that it serves, ascending.
    pub fn owned(&self) -> Vec<u16> {
        let open = self.core.slots.iter().filter(|slot| slot.is_open());
        open.map(|slot| slot.number).collect()
    }

    /// Whether it serves an actor itself.
    pub fn owns(&self, actor: &ScopedAddress) -> bool {
        self.core.slot_of(actor).is_open()
    }

    /// The same, and it is not about to give it up.
    pub fn keeps(&self, actor: &ScopedAddress) -> bool {
        self.core.slot_of(actor).standing() == Standing::Open
    }

    /// The slots that it serves and is about to give up, ascending: what is at work for their actors is to come to
    /// an end within [`SLOT_PARTING_MS_MAX`](selvedge_protocol::limits::SLOT_PARTING_MS_MAX).
    pub fn parting(&self) -> Vec<u16> {
        let parting = |slot: &&Slot| slot.standing() == Standing::Parting;
        let slots = self.core.slots.iter().filter(parting);
        slots.map(|slot| slot.number).collect()
    }

    /// Begins work of an actor outside of it, which reports to it: its slot is not handed over before that has
    /// ended, within the bound. `None`: the actor is not served here, or its slot is about to go.
    pub fn begin_work(&self, actor: &ScopedAddress) -> Option<Work> {
        Work::begin(&self.core, actor)
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

    /// Sends a query to its actor, wherever that is. One that asks for no more than some committed state is
    /// answered here: from the store, unless the actor is in memory. Never waits.
    pub fn query(&self, request: QueryRequest, reply: ReplyTo) {
        match request.consistency {
            Consistency::Eventual if !self.core.is_at_hand(&request.actor) => {
                stored::answer(&self.core, request, reply);
            }
            Consistency::Linearizable | Consistency::Eventual => {
                let letter = Letter::Request(Request::Query(request));
                self.core.send(letter, reply);
            }
        }
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
            range.begin = std::ops::Bound::Excluded(Bytes::from(key));
        }
        let rows = self.core.store.begin().range(range).await?;
        let keys = rows.iter().filter_map(|(key, _)| match Key::decode(key) {
            Ok(Key::Catalog { address, .. }) => Some(address.key.as_str().to_owned()),
            Ok(_) | Err(_) => None,
        });
        Ok(keys.collect())
    }

    /// The subjects whose data it stores; `None`: it has no keys for such.
    pub fn subjects(&self) -> Option<Subjects> {
        let keys = self.core.store.subject_keys()?.clone();
        let slots = self.core.config.slots;
        Some(Subjects::new(keys, self.core.clock.clone(), slots))
    }

    /// A subject was erased: what is in memory of it goes, and so do the activations that have any.
    pub fn subject_erased(&self, of: &ScopedSubject) {
        if let Some(keys) = self.core.store.subject_keys() {
            keys.forget(of);
        }
        self.core.attendance.erased(of);
    }

    /// Any subject may have been: notices were missed.
    pub fn subjects_lost(&self) {
        if let Some(keys) = self.core.store.subject_keys() {
            keys.forget_all();
        }
        self.core.attendance.lost();
    }

    /// What operators ask of the cluster and tell it.
    pub fn admin(&self) -> &Admin {
        &self.core.admin
    }

    /// The audit trail of its store.
    pub fn trail(&self) -> Trail {
        Trail::new(Arc::clone(&self.core.store), self.core.clock.clone())
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
