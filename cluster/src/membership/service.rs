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
use crate::membership::machine::{Machine, Member, Seen, Timing, Writes};
use crate::membership::record::{BeatRecord, LeaseRecord, NodeRecord, NodeState};
use crate::plan::Plan;
use crate::store::keys::{ClusterKey, Family, Key, KeyRange};
use crate::store::record::{Record, decode, encode};
use crate::store::{self, Isolation, Store, Transaction, run};

/// A node that joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Unique in the cluster.
    pub name: String,
    /// Where other nodes reach it, `host:port`.
    pub peer: String,
    /// Its share of the slots; 0 for one that owns none.
    pub weight: u32,
}

/// A member of the cluster.
#[derive(Debug)]
pub struct Service {
    store: Arc<dyn Store>,
    name: String,
    slots: u16,
    machine: Machine,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// The node is a member.
    Member {
        /// Whether it is the controller.
        is_controller: bool,
    },
    /// It is not any more: it gives up all that it owns, and joins anew.
    Ousted,
}

impl Service {
    /// Joins the cluster, as a new incarnation if the node was there before: whatever still runs under the
    /// earlier one is ousted.
    pub async fn join(
        store: Arc<dyn Store>,
        clock: &Clock,
        slots: u16,
        joining: Joining,
        timing: Timing,
    ) -> Result<Self, store::Error> {
        let name = joining.name.clone();
        let (incarnation, _) = run(&*store, clock, |mut transaction| {
            let joining = joining.clone();
            async move {
                let key = node_key(&joining.name);
                let before: Option<NodeRecord> =
                    read(&mut *transaction, &key, Isolation::Serializable).await?;
                let incarnation = before.map_or(1, |before| before.incarnation + 1);
                let node = NodeRecord {
                    incarnation,
                    state: NodeState::Serving,
                    weight: joining.weight,
                    peer: joining.peer,
                };
                transaction.set(&key.encode(), &encode(&node));
                Ok((transaction, incarnation))
            }
        })
        .await?;
        Ok(Self {
            machine: Machine::new(name.clone(), incarnation, timing),
            store,
            name,
            slots,
        })
    }

    /// A link to a node broke.
    pub fn suspect(&mut self, node: &str) {
        self.machine.suspect(node);
    }

    /// Reads, decides and writes once. Call it every [`Timing::beat`]. After an error it is as if the round had
    /// not been.
    pub async fn round(&mut self, now: Instant) -> Result<Round, store::Error> {
        let mut transaction = self.store.begin();
        let seen = self.see(now, &mut *transaction).await?;
        let Ok(writes) = self.machine.decide(now, &seen) else {
            return Ok(Round::Ousted);
        };
        self.write(&mut *transaction, &writes);
        match transaction.commit().await {
            Ok(_) => self.machine.committed(now, &writes),
            // Somebody decided at the same time: the next round sees what.
            Err(store::Error::Conflict) => {}
            Err(error) => return Err(error),
        }
        Ok(Round::Member {
            is_controller: self.machine.is_controller(),
        })
    }

    /// Asks for an end: the plan moves everything elsewhere. Repeat rounds until nothing is owned.
    pub async fn drain(&self, clock: &Clock) -> Result<(), store::Error> {
        let key = node_key(&self.name);
        run(&*self.store, clock, |mut transaction| {
            let key = key.clone();
            async move {
                let node: Option<NodeRecord> =
                    read(&mut *transaction, &key, Isolation::Serializable).await?;
                if let Some(node) = node.filter(|node| node.state == NodeState::Serving) {
                    let draining = NodeRecord {
                        state: NodeState::Draining,
                        ..node
                    };
                    transaction.set(&key.encode(), &encode(&draining));
                }
                Ok((transaction, ()))
            }
        })
        .await
        .map(|_| ())
    }

    /// The plan as it is published.
    pub async fn plan(&self) -> Result<Plan, store::Error> {
        let mut transaction = self.store.begin();
        let plan = read(
            &mut *transaction,
            &ClusterKey::Plan.into(),
            Isolation::Snapshot,
        )
        .await?;
        Ok(plan.unwrap_or_else(|| Plan::empty(self.slots)))
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
        }
        if let Some(plan) = &writes.plan {
            transaction.set(&Key::from(ClusterKey::Plan).encode(), &encode(plan));
        }
    }
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

async fn named<R: Record>(
    transaction: &mut dyn Transaction,
    family: Family,
) -> Result<Vec<(String, R)>, store::Error> {
    let range = KeyRange::family(family).read(NODES_MAX, Isolation::Snapshot);
    let mut rows = Vec::new();
    for (key, value) in transaction.range(range).await? {
        let decoded = Key::decode(&key);
        if let Ok(Key::Cluster(ClusterKey::Node { name } | ClusterKey::Beat { name })) = decoded {
            rows.push((name, decode(&key, &value)?));
        }
    }
    Ok(rows)
}

async fn read<R: Record>(
    transaction: &mut dyn Transaction,
    key: &Key,
    isolation: Isolation,
) -> Result<Option<R>, store::Error> {
    let key = key.encode();
    let value: Option<Bytes> = transaction.get(&key, isolation).await?;
    value.map(|value| decode(&key, &value)).transpose()
}

fn node_key(name: &str) -> Key {
    let name = name.to_owned();
    ClusterKey::Node { name }.into()
}

fn beat_key(name: &str) -> Key {
    let name = name.to_owned();
    ClusterKey::Beat { name }.into()
}
