//! A node's membership on its store: joins, then one round after the other.
//!
//! Each round is a transaction. Nothing is kept in memory that a round could not find again, so a node that
//! crashes between two of them leaves nothing half-done.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::limits::NODES_MAX;
use tokio::time::Instant;

use crate::Clock;
use crate::membership::machine::{Machine, Member, Ousted, Seen, Timing, Writes};
use crate::membership::record::{
    BeatRecord, DeathRecord, LeaseRecord, NodeRecord, NodeState, RemovedRecord, Role, Versions,
};
use crate::membership::view::View;
use crate::plan::Plan;
use crate::store::keys::{ClusterKey, Family, Key, KeyRange};
use crate::store::record::{Record, decode, encode};
use crate::store::{self, Isolation, Store, Transaction, run_repeatable};

/// A node that joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Unique in the cluster.
    pub name: String,
    /// As in [`NodeRecord`].
    pub weight: u32,
    pub roles: Vec<Role>,
    pub peer: String,
    pub quic: Option<String>,
    pub http: Option<String>,
    pub operations: Vec<String>,
    pub versions: Versions,
}

/// A member of the cluster.
#[derive(Debug)]
pub struct Service {
    store: Arc<dyn Store>,
    clock: Clock,
    name: String,
    slots: u16,
    machine: Machine,
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Round {
    /// The node is a member.
    Member {
        /// Whether it is the controller.
        is_controller: bool,
        /// The digest of the view that the controller has seen last; `None`: there was none yet.
        view: Option<u64>,
        /// Nodes that somebody cannot reach: everybody looks whether it can, and [reports](Service::report).
        doubted: Vec<String>,
    },
    /// It is not any more: it gives up all that it owns.
    Ousted(Ousted),
}

impl Service {
    /// Joins the cluster, as a new incarnation if the node was there before, or was removed: whatever still runs
    /// under the earlier one is ousted.
    pub async fn join(
        store: Arc<dyn Store>,
        clock: &Clock,
        slots: u16,
        joining: Joining,
        timing: Timing,
    ) -> Result<Self, store::Error> {
        let name = joining.name.clone();
        // Joined twice, it has the later incarnation.
        let (incarnation, _) = run_repeatable(&*store, clock, |mut transaction| {
            let joining = joining.clone();
            async move {
                let key = node_key(&joining.name);
                let before: Option<NodeRecord> =
                    read(&mut *transaction, &key, Isolation::Serializable).await?;
                let last = match &before {
                    Some(before) => before.incarnation,
                    None => removed(&mut *transaction).await?.incarnation,
                };
                let incarnation = last + 1;
                let node = NodeRecord {
                    incarnation,
                    state: NodeState::Serving,
                    is_drained: before.is_some_and(|before| before.is_drained),
                    is_isolated: false,
                    weight: joining.weight,
                    roles: joining.roles,
                    peer: joining.peer,
                    quic: joining.quic,
                    http: joining.http,
                    operations: joining.operations,
                    versions: joining.versions,
                };
                transaction.set(&key.encode(), &encode(&node));
                transaction.clear(&death_key(&joining.name).encode());
                ring(&mut *transaction);
                Ok((transaction, incarnation))
            }
        })
        .await?;
        Ok(Self {
            machine: Machine::new(name.clone(), incarnation, timing),
            store,
            clock: clock.clone(),
            name,
            slots,
        })
    }

    /// What the node has joined as.
    pub const fn incarnation(&self) -> u64 {
        self.machine.incarnation()
    }

    /// A link to a node broke: unless that proves alive it is judged sooner, if this node is the controller.
    pub fn suspect(&mut self, node: &str) {
        self.machine.suspect(node);
    }

    /// From the next round on these are the nodes that this one needs and cannot reach. All are told; the
    /// controller takes its slots from one that most others cannot reach.
    pub fn report(&mut self, unreachable: Vec<String>) {
        self.machine.report(unreachable);
    }

    /// Reads, decides and writes once. Call it every [`Timing::beat`]. After an error it is as if the round had
    /// not been. `clock` is asked before it reads and after.
    pub async fn round(
        &mut self,
        clock: impl Fn() -> Instant + Send,
    ) -> Result<Round, store::Error> {
        let asked = clock();
        let mut transaction = self.store.begin();
        let seen = self.see(asked, &mut *transaction).await?;
        let writes = match self.machine.decide(asked, clock(), &seen) {
            Ok(writes) => writes,
            Err(ousted) => return Ok(Round::Ousted(ousted)),
        };
        let lease = writes.lease.as_ref().or(seen.lease.as_ref());
        let view = lease.map(|lease| lease.view);
        let doubted = lease.map_or_else(Vec::new, |lease| lease.doubted.clone());
        self.write(&mut *transaction, &writes);
        match transaction.commit().await {
            Ok(_) => self.machine.committed(&writes),
            // Somebody decided at the same time: the next round sees what.
            Err(store::Error::Conflict) => {}
            Err(error) => {
                self.machine.failed();
                return Err(error);
            }
        }
        Ok(Round::Member {
            is_controller: self.machine.is_controller(),
            view,
            doubted,
        })
    }

    /// Says that the node is about to end: the plan moves all that it has elsewhere. Repeat rounds until it
    /// owns nothing.
    pub async fn begin_to_leave(&self, clock: &Clock) -> Result<(), store::Error> {
        self.become_state(clock, NodeState::Leaving).await
    }

    /// Says that the node ends in order. There are no rounds after this.
    pub async fn leave(&self, clock: &Clock) -> Result<(), store::Error> {
        self.become_state(clock, NodeState::Left).await
    }

    /// Unless it is no member any more.
    async fn become_state(&self, clock: &Clock, state: NodeState) -> Result<(), store::Error> {
        let key = node_key(&self.name);
        let incarnation = self.machine.incarnation();
        run_repeatable(&*self.store, clock, |mut transaction| {
            let key = key.clone();
            async move {
                let node: Option<NodeRecord> =
                    read(&mut *transaction, &key, Isolation::Serializable).await?;
                let is_member =
                    |node: &NodeRecord| node.incarnation == incarnation && node.is_alive();
                if let Some(node) = node.filter(is_member) {
                    transaction.set(&key.encode(), &encode(&NodeRecord { state, ..node }));
                    ring(&mut *transaction);
                }
                Ok((transaction, ()))
            }
        })
        .await
        .map(|_| ())
    }

    /// The members and the plan as they are stored.
    pub async fn view(&self) -> Result<View, store::Error> {
        let mut transaction = self.store.begin();
        let lease: Option<LeaseRecord> = read(
            &mut *transaction,
            &ClusterKey::Lease.into(),
            Isolation::Snapshot,
        )
        .await?;
        let plan = read(
            &mut *transaction,
            &ClusterKey::Plan.into(),
            Isolation::Snapshot,
        )
        .await?;
        let members = named::<NodeRecord>(&mut *transaction, Family::Node).await?;
        Ok(View {
            name: self.name.clone(),
            incarnation: self.machine.incarnation(),
            plan: plan.unwrap_or_else(|| Plan::empty(self.slots)),
            members: members.into_iter().collect(),
            controller: lease.map(|lease| lease.holder),
        })
    }

    async fn see(
        &self,
        now: Instant,
        transaction: &mut dyn Transaction,
    ) -> Result<Seen, store::Error> {
        // Whoever ousts this node conflicts with what it writes meanwhile.
        let own = read(transaction, &node_key(&self.name), Isolation::Serializable).await?;
        let lease: Option<LeaseRecord> =
            read(transaction, &ClusterKey::Lease.into(), Isolation::Snapshot).await?;
        if !self.machine.wants_all(now) {
            return Ok(Seen {
                own,
                lease,
                ..Seen::default()
            });
        }
        let plan = read(transaction, &ClusterKey::Plan.into(), Isolation::Snapshot).await?;
        Ok(Seen {
            own,
            lease,
            members: members(transaction).await?,
            plan: Some(plan.unwrap_or_else(|| Plan::empty(self.slots))),
        })
    }

    fn write(&self, transaction: &mut dyn Transaction, writes: &Writes) {
        if let Some(beat) = &writes.beat {
            transaction.set(&beat_key(&self.name).encode(), &encode(beat));
        }
        if let Some(lease) = &writes.lease {
            let key = Key::from(ClusterKey::Lease).encode();
            transaction.add_read_conflict(&key);
            transaction.set(&key, &encode(lease));
        }
        for (name, dead) in &writes.dead {
            // One that beats or joins in this moment is not dead.
            let node = node_key(name).encode();
            transaction.add_read_conflict(&node);
            transaction.add_read_conflict(&beat_key(name).encode());
            transaction.set(&node, &encode(dead));
            let death = DeathRecord {
                by: self.name.clone(),
                at_ms: self.clock.wall_ms(),
            };
            transaction.set(&death_key(name).encode(), &encode(&death));
        }
        for (name, node) in &writes.isolated {
            let key = node_key(name).encode();
            transaction.add_read_conflict(&key);
            transaction.set(&key, &encode(node));
        }
        if let Some(plan) = &writes.plan {
            transaction.set(&Key::from(ClusterKey::Plan).encode(), &encode(plan));
        }
    }
}

/// Makes the controller look now, and not only with its next beat. Whoever writes what it is to act on calls
/// this in the same transaction.
pub fn ring(transaction: &mut dyn Transaction) {
    transaction.add(&Key::from(ClusterKey::Bell).encode(), 1);
}

/// What is left of nodes that were removed. A removal at the same time conflicts.
pub(super) async fn removed(
    transaction: &mut dyn Transaction,
) -> Result<RemovedRecord, store::Error> {
    let key = ClusterKey::Removed.into();
    let removed = read(transaction, &key, Isolation::Serializable).await?;
    Ok(removed.unwrap_or_default())
}

/// All nodes, each with its beat.
async fn members(transaction: &mut dyn Transaction) -> Result<Vec<Member>, store::Error> {
    let mut beats = HashMap::new();
    for (name, beat) in named::<BeatRecord>(transaction, Family::Beat).await? {
        beats.insert(name, beat);
    }
    let nodes = named::<NodeRecord>(transaction, Family::Node).await?;
    Ok(nodes
        .into_iter()
        .map(|(name, node)| Member {
            beat: beats.remove(&name),
            name,
            node,
        })
        .collect())
}

pub(super) async fn named<R: Record>(
    transaction: &mut dyn Transaction,
    family: Family,
) -> Result<Vec<(String, R)>, store::Error> {
    let range = KeyRange::family(family).read(NODES_MAX, Isolation::Snapshot);
    let mut rows = Vec::new();
    for (key, value) in transaction.range(range).await? {
        let decoded = Key::decode(&key);
        if let Ok(Key::Cluster(
            ClusterKey::Node { name } | ClusterKey::Beat { name } | ClusterKey::Death { name },
        )) = decoded
        {
            rows.push((name, decode(&key, &value)?));
        }
    }
    Ok(rows)
}

pub(super) async fn read<R: Record>(
    transaction: &mut dyn Transaction,
    key: &Key,
    isolation: Isolation,
) -> Result<Option<R>, store::Error> {
    let key = key.encode();
    let value: Option<Bytes> = transaction.get(&key, isolation).await?;
    value.map(|value| decode(&key, &value)).transpose()
}

pub(super) fn node_key(name: &str) -> Key {
    let name = name.to_owned();
    ClusterKey::Node { name }.into()
}

pub(super) fn beat_key(name: &str) -> Key {
    let name = name.to_owned();
    ClusterKey::Beat { name }.into()
}

pub(super) fn death_key(name: &str) -> Key {
    let name = name.to_owned();
    ClusterKey::Death { name }.into()
}
