//! The cluster as its store tells at one moment: members, their signs of life, the plan, and who has taken which
//! slot. For whoever operates it; decides nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::actor::record::{Fence, Stored};
use crate::membership::record::{BeatRecord, DeathRecord, LeaseRecord, NodeRecord, NodeState};
use crate::membership::service::{Joining, named, read};
use crate::plan::{Candidate, Plan};
use crate::store::keys::{ClusterKey, Family, Key, KeyRange};
use crate::store::{self, Isolation, Store, Transaction};

/// The rows of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// All nodes that were not removed, by name.
    pub members: BTreeMap<String, NodeRecord>,
    pub beats: BTreeMap<String, BeatRecord>,
    /// When those that are dead were declared so, as far as it was written down.
    pub deaths: BTreeMap<String, DeathRecord>,
    pub lease: Option<LeaseRecord>,
    pub plan: Plan,
    /// For each slot the node that has it: the one that took it last, if it has neither given it up nor joined anew
    /// since.
    pub holders: Vec<Option<Arc<str>>>,
    /// There is no cluster: the node that tells has the store to itself.
    pub is_alone: bool,
}

/// What an operator calls the state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It takes its share.
    Serving,
    /// It is to own nothing, and still has slots.
    Draining,
    /// It is to own nothing, and does not.
    Drained,
    /// Most others cannot reach it: it is to own nothing.
    Isolated,
    /// It is about to end.
    Leaving,
    /// It has ended in order.
    Left,
    /// It was silent for too long.
    Dead,
}

/// Slots that the plan gives to another node than the one that has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Who has them; `None`: nobody.
    pub from: Option<String>,
    /// Whose they are by the plan; `None`: nobody's.
    pub to: Option<String>,
    /// Ascending.
    pub slots: Vec<u16>,
}

impl Snapshot {
    /// Reads the rows, of one moment.
    pub async fn read(store: &dyn Store, slots: u16) -> Result<Self, store::Error> {
        let mut transaction = store.begin();
        let (plan_key, lease_key) = (ClusterKey::Plan.into(), ClusterKey::Lease.into());
        let plan: Option<Plan> = read(&mut *transaction, &plan_key, Isolation::Snapshot).await?;
        let lease = read(&mut *transaction, &lease_key, Isolation::Snapshot).await?;
        let members = named(&mut *transaction, Family::Node).await?;
        let beats = named(&mut *transaction, Family::Beat).await?;
        let deaths = named(&mut *transaction, Family::Death).await?;
        let snapshot = Self {
            members: members.into_iter().collect(),
            beats: beats.into_iter().collect(),
            deaths: deaths.into_iter().collect(),
            lease,
            plan: plan.unwrap_or_else(|| Plan::empty(slots)),
            holders: Vec::new(),
            is_alone: false,
        };
        let fences = fences(&mut *transaction, slots).await?;
        Ok(snapshot.held_by(fences))
    }

    /// The same of a node that has the store to itself and joins no cluster, whoever was there before.
    pub async fn read_alone(
        store: &dyn Store,
        slots: u16,
        alone: &Joining,
    ) -> Result<Self, store::Error> {
        let Joining { name, weight, .. } = alone.clone();
        let mut plan = Plan::empty(slots).next(&[Candidate { name, weight }]);
        plan.number = 0;
        let snapshot = Self {
            members: BTreeMap::from([(alone.name.clone(), record(alone))]),
            beats: BTreeMap::new(),
            deaths: BTreeMap::new(),
            lease: None,
            plan,
            holders: Vec::new(),
            is_alone: true,
        };
        let fences = fences(&mut *store.begin(), slots).await?;
        Ok(snapshot.held_by(fences))
    }

    fn held_by(mut self, fences: Vec<Option<Taken>>) -> Self {
        let holders = fences.into_iter().map(|fence| self.holder(fence?));
        self.holders = holders.collect();
        self
    }

    /// Who has a slot by its fence: whoever took it, as long as it is a node and the one that it was.
    fn holder(&self, (name, incarnation): Taken) -> Option<Arc<str>> {
        let node = self.members.get(&*name)?;
        (node.incarnation == incarnation).then_some(name)
    }

    /// Who decides of deaths and plans; `None`: nobody at the moment.
    pub fn controller(&self) -> Option<&str> {
        let lease = self.lease.as_ref()?;
        let node = self.members.get(&lease.holder)?;
        let is_it = node.is_alive() && node.incarnation == lease.incarnation;
        is_it.then_some(lease.holder.as_str())
    }

    /// How many slots a node has.
    pub fn held(&self, node: &str) -> usize {
        let holders = self.holders.iter().flatten();
        holders.filter(|holder| ***holder == *node).count()
    }

    /// How many slots a node that is there has.
    pub fn owned(&self) -> usize {
        let holders = self.holders.iter().flatten();
        holders.filter(|holder| self.is_alive(holder)).count()
    }

    /// Whether a node is there, as far as the cluster knows.
    pub fn is_alive(&self, node: &str) -> bool {
        self.members.get(node).is_some_and(NodeRecord::is_alive)
    }

    /// What to call a node; `None`: there is none of this name.
    pub fn condition(&self, name: &str) -> Option<Condition> {
        let node = self.members.get(name)?;
        Some(match (node.state, node.is_drained) {
            (NodeState::Serving, false) if node.is_isolated => Condition::Isolated,
            (NodeState::Serving, false) => Condition::Serving,
            (NodeState::Serving, true) if self.held(name) > 0 => Condition::Draining,
            (NodeState::Serving, true) => Condition::Drained,
            (NodeState::Leaving, _) => Condition::Leaving,
            (NodeState::Left, _) => Condition::Left,
            (NodeState::Dead, _) => Condition::Dead,
        })
    }

    /// What is not as the plan says, by who has and who shall have it. What nobody has and nobody shall have
    /// is among it.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves: BTreeMap<(Option<&str>, Option<&str>), Vec<u16>> = BTreeMap::new();
        for (slot, holder) in (0..).zip(&self.holders) {
            let (from, to) = (holder.as_deref(), self.plan.owner(slot));
            if from != to || to.is_none() {
                moves.entry((from, to)).or_default().push(slot);
            }
        }
        let moves = moves.into_iter().map(|((from, to), slots)| Move {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            slots,
        });
        moves.collect()
    }
}

/// A node that is alone, as if it had joined.
fn record(alone: &Joining) -> NodeRecord {
    NodeRecord {
        incarnation: 0,
        state: NodeState::Serving,
        is_drained: false,
        is_isolated: false,
        weight: alone.weight,
        roles: alone.roles.clone(),
        peer: alone.peer.clone(),
        quic: alone.quic.clone(),
        http: alone.http.clone(),
        operations: alone.operations.clone(),
        versions: alone.versions.clone(),
    }
}

/// Numbers as pairs of the first and the last of each run. They are ascending.
pub fn runs(numbers: impl IntoIterator<Item = u16>) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some(_) | None => runs.push((number, number)),
        }
    }
    runs
}

/// Who took a slot last, and what it had joined as. The name is empty if it has given the slot up.
type Taken = (Arc<str>, u64);

/// Who took each slot last.
async fn fences(
    transaction: &mut dyn Transaction,
    slots: u16,
) -> Result<Vec<Option<Taken>>, store::Error> {
    let mut fences: Vec<Option<Taken>> = vec![None; usize::from(slots)];
    let mut range = KeyRange::family(Family::SlotFence).read(PAGE_MAX, Isolation::Snapshot);
    // Few nodes hold many slots.
    let mut names: BTreeMap<String, Arc<str>> = BTreeMap::new();
    loop {
        let rows = transaction.range(range.clone()).await?;
        let Some((last, _)) = rows.last() else { break };
        range.begin = Bound::Excluded(last.clone());
        let is_all = rows.len() < PAGE_MAX;
        for (key, value) in rows {
            let Ok(Key::SlotFence { slot }) = Key::decode(&key) else {
                continue;
            };
            let fence = Fence::decode(&value)?;
            if let Some(place) = fences.get_mut(usize::from(slot)) {
                let name = names.entry(fence.node);
                let name = name.or_insert_with_key(|name| Arc::from(&**name));
                *place = Some((Arc::clone(name), fence.incarnation));
            }
        }
        if is_all {
            break;
        }
    }
    Ok(fences)
}

/// Some dozens of bytes each.
const PAGE_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_a_run() {
        assert_eq!(runs([]), []);
        assert_eq!(runs([0, 1, 2, 7, 9, 10]), [(0, 2), (7, 7), (9, 10)]);
        assert_eq!(runs([u16::MAX - 1, u16::MAX]), [(u16::MAX - 1, u16::MAX)]);
    }
}
