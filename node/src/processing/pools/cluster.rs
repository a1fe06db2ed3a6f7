//! The pools of a node among others: which slots it runs operations of, what it runs for others, and what
//! others are told.
//!
//! A part of the directory. What the nodes say to each other is in [`crate::processing::elsewhere`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use selvedge_cluster::actor::{Host, ScopedAddress, Work};
use selvedge_cluster::peer::{Inbound, Link};
use selvedge_protocol::peer::processing::{Group as WireGroup, Workers};
use selvedge_protocol::{OperationType, Tenant};

use crate::processing::control::Control;
use crate::processing::elsewhere::{self, Elsewhere, Neighbours};
use crate::processing::policies::{Committed, Subject};
use crate::processing::pool::Pool;
use crate::processing::pools::{PoolName, Pools};

/// Attempts of other nodes' operations that run here.
#[derive(Debug, Default)]
pub(super) struct Guests {
    controls: DashMap<u64, Arc<Control>>,
    numbers: AtomicU64,
}

impl Guests {
    pub(super) fn each(&self, tell: impl Fn(&Control)) {
        for control in &self.controls {
            tell(control.value());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.controls.is_empty()
    }
}

/// An attempt is registered for as long as this lives.
pub(in crate::processing) struct RegisteredGuest {
    pools: Pools,
    number: u64,
}

impl Drop for RegisteredGuest {
    fn drop(&mut self) {
        self.pools.0.guests.controls.remove(&self.number);
        self.pools.offer_ended();
    }
}

impl Pools {
    /// From now on other nodes help, and are helped. `changed` is called whenever the cluster has changed.
    /// Once; the pools are open.
    pub(crate) fn join(&self, neighbours: Neighbours, changed: Box<dyn Fn() + Send + Sync>) {
        let start = || Elsewhere::start(self, neighbours, changed);
        self.0.shared.elsewhere.get_or_init(start);
        // Before the first operation comes.
        self.members_changed();
    }

    /// Serves a stream of another node.
    pub(crate) async fn serve(self, inbound: Inbound) {
        elsewhere::serve(self, inbound).await;
    }

    /// Slots of this node stand otherwise than before. Operations of those that are about to go begin no step any
    /// more: what is at work may finish, for a moment. Handlers of those that it gives up, or has lost, are dropped:
    /// what they have done is durable but for the step at work, and the next owner runs them again.
    pub(in crate::processing) fn sweep(&self) {
        let Some(host) = self.host() else {
            return;
        };
        // Before one looks at operations: a slot that parts meanwhile is another change.
        let parting = host.parting();
        let (mut is_any, mut parted) = (false, Vec::new());
        for active in &self.0.active {
            let (actor, control) = active.pair();
            if host.keeps(actor) {
                control.part(false);
                continue;
            }
            is_any = true;
            // One that is queued goes with the next look.
            if control.withdraw() {
                continue;
            }
            match host.owns(actor) {
                true if control.part(true) => parted.push(Arc::clone(control)),
                true => {}
                false => control.stop(),
            }
        }
        if is_any {
            self.look_all();
        }
        if !parted.is_empty() {
            tokio::spawn(stop_late(parted, self.0.step_grace));
        }
        let before = std::mem::replace(&mut *self.0.parting.lock(), parting);
        self.look_for_kept(&host, &before);
    }

    /// Operations of slots that were about to go and stay were let go for nothing: they are looked for.
    fn look_for_kept(&self, host: &Host, before: &[u16]) {
        if before.is_empty() {
            return;
        }
        let (owned, parting) = (host.owned(), host.parting());
        let is_in = |slots: &[u16], slot| slots.binary_search(slot).is_ok();
        if before
            .iter()
            .any(|slot| is_in(&owned, slot) && !is_in(&parting, slot))
        {
            for (_, pool) in self.all() {
                pool.look_again();
            }
        }
    }

    /// Begins work of an operation; `None`: it is another node's, or soon will be.
    pub(in crate::processing) fn begin_work(&self, actor: &ScopedAddress) -> Option<Work> {
        self.host()?.begin_work(actor)
    }

    /// Whether an operation is this node's and stays so, as far as is known.
    pub(in crate::processing) fn keeps(&self, actor: &ScopedAddress) -> bool {
        self.host().is_none_or(|host| host.keeps(actor))
    }

    /// Whether an operation is this node's.
    pub(in crate::processing) fn owns(&self, actor: &ScopedAddress) -> bool {
        self.host().is_none_or(|host| host.owns(actor))
    }

    /// What limits held back and is over now may pass.
    fn look_all(&self) {
        for (_, pool) in self.all() {
            pool.look();
        }
    }

    /// The cluster has changed: what this node runs, its part of what bounds the cluster, and who else runs
    /// what.
    pub(in crate::processing) fn members_changed(&self) {
        let Some(elsewhere) = self.0.shared.elsewhere.get() else {
            return;
        };
        for name in elsewhere.types() {
            if let Ok(name) = OperationType::new(name) {
                self.learn_foreign(&name);
            }
        }
        let is_processing = elsewhere.is_processing();
        for (name, pool) in self.all() {
            let is_open = match &name {
                PoolName::Local(_) => is_processing,
                PoolName::Foreign(_) => false,
                PoolName::Remote(_) => true,
            };
            let division = match &name {
                PoolName::Local(_) | PoolName::Foreign(_) => elsewhere.division(&name, is_open),
                PoolName::Remote(group) => {
                    elsewhere.division(&name, self.0.desk.places(group).count() > 0)
                }
            };
            pool.stand(is_open, division);
            pool.look();
        }
    }

    /// How many operations of a type this node runs at a time for a tenant.
    pub(crate) fn concurrency(
        &self,
        tenant: &Tenant,
        operation_type: &OperationType,
    ) -> Option<usize> {
        let pool = self.pool_for(tenant, operation_type)?;
        Some(pool.concurrency(tenant))
    }

    /// The pool in which this node runs a tenant's operations of a type for others.
    pub(in crate::processing) fn pool_here(
        &self,
        tenant: &Tenant,
        operation_type: &OperationType,
    ) -> Option<Arc<Pool>> {
        if self.0.is_closed.load(Ordering::Acquire) {
            return None;
        }
        let pool = self.pool_for(tenant, operation_type)?;
        pool.is_open().then_some(pool)
    }

    /// Registers an attempt of another node's operation, which ends with the pools.
    pub(in crate::processing) fn register_guest(&self, control: &Arc<Control>) -> RegisteredGuest {
        let guests = &self.0.guests;
        let number = guests.numbers.fetch_add(1, Ordering::Relaxed);
        guests.controls.insert(number, Arc::clone(control));
        if self.0.is_closed.load(Ordering::SeqCst) {
            // Closed in this moment, perhaps without having seen this one.
            control.stop();
        }
        let pools = self.clone();
        RegisteredGuest { pools, number }
    }

    /// Puts a patch in force that was committed here, and tells the other nodes if it is a change.
    pub(in crate::processing) fn commit_patch(
        &self,
        tenant: &Tenant,
        subject: &Subject,
        committed: Committed<'_>,
    ) {
        let is_change = self.apply_patch(tenant, subject, committed);
        if let (true, Some(elsewhere)) = (is_change, self.0.shared.elsewhere.get()) {
            elsewhere.tell_policy(tenant, &subject.to_string());
        }
    }

    /// Policies are to be read again.
    pub(in crate::processing) fn reread(&self) {
        self.0.reread.notify_one();
    }

    pub(in crate::processing) async fn reread_wanted(&self) {
        self.0.reread.notified().await;
    }

    /// Another node has told what its workers execute.
    pub(in crate::processing) fn heard_of_workers(&self, workers: Workers) {
        let Some(elsewhere) = self.0.shared.elsewhere.get() else {
            return;
        };
        let Some(new) = elsewhere.heard(workers) else {
            return;
        };
        for group in new {
            if let Err(failure) = self.learn(&group) {
                tracing::warn!(%group, %failure, "workers of another node are not used");
            }
        }
        self.members_changed();
    }

    /// What the workers of this node execute.
    pub(in crate::processing) fn own_groups(&self) -> Vec<WireGroup> {
        let groups = self.0.desk.groups_with_places();
        groups.into_iter().map(WireGroup::from).collect()
    }

    /// Completes when that has changed.
    pub(in crate::processing) async fn groups_flipped(&self) {
        self.0.desk.flipped().await;
    }

    /// The way to the owner of an operation, if that is another node.
    pub(in crate::processing) fn way_to_owner(&self, actor: &ScopedAddress) -> Option<Arc<Link>> {
        let elsewhere = self.0.shared.elsewhere.get()?;
        elsewhere.owner(self.path(actor).slot)
    }

    /// Whether the owner of an operation may be another node.
    pub(crate) fn may_be_elsewhere(&self, actor: &ScopedAddress) -> bool {
        self.0.shared.elsewhere.get().is_some() && !self.owns(actor)
    }
}

/// Drops the handlers that do not finish a step in their time. Their operations hear of it while they are still
/// here.
async fn stop_late(parted: Vec<Arc<Control>>, grace: Duration) {
    tokio::time::sleep(grace).await;
    for control in parted {
        if control.is_parting() {
            control.stop();
        }
    }
}
