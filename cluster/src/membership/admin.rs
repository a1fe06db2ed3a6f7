//! What operators ask of a cluster and tell it, on any node: all of it is rows in the store. The controller acts
//! on what is written here, in its next round.
//!
//! Commands say what shall be, so each may be repeated; what one changes is in the audit trail of the cluster by the
//! same commit. Never decides of deaths or plans.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::Clock;
use crate::audit::{self, Chain};
use crate::membership::record::{NodeRecord, NodeState};
use crate::membership::service::{Joining, beat_key, death_key, named, node_key, read, removed};
use crate::membership::snapshot::Snapshot;
use crate::membership::why::{self, Why};
use crate::plan::Plan;
use crate::store::keys::{ClusterKey, Family, Key};
use crate::store::record::encode;
use crate::store::{self, Isolation, Store, Transaction, run_repeatable};

/// A cheap handle.
#[derive(Debug, Clone)]
pub struct Admin {
    store: Arc<dyn Store>,
    clock: Clock,
    slots: u16,
    /// The node that answers, if it has the store to itself.
    alone: Arc<OnceLock<Joining>>,
}

/// Why something is not done, and what to do first.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No such node.
    #[error("no node of the cluster is called {name:?}; there {are}", are = are(known))]
    Unknown { name: String, known: Vec<String> },
    /// There is no other node.
    #[error(
        "{name} has its store to itself: it is no member of a cluster, and owns all there is; stop it instead, or \
         move the store to a storage node"
    )]
    Alone { name: String },
    /// Nobody could own slots any more.
    #[error(
        "{name} is the last node that can own slots ({others}): its actors and operations would stand still; \
         undrain another node or start one first, or insist with force"
    )]
    LastOwner { name: String, others: String },
    /// A node that is there is not removed.
    #[error("{name} is {state}: only nodes that are dead or have left are removed; stop it first")]
    Alive { name: String, state: &'static str },
    /// The controller has not yet given its slots to others.
    #[error("the slots of {name} are being given to others; remove it in a moment")]
    Planned { name: String },
    /// The store could not do it.
    #[error("the store could not do it")]
    Store(#[from] store::Error),
}

/// Since when it is as was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Now,
    /// Nothing was to be done.
    Before,
}

/// Whether the last node that can own slots may be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

impl Admin {
    /// On a store of so many slots.
    pub fn new(store: Arc<dyn Store>, clock: Clock, slots: u16) -> Self {
        Self {
            store,
            clock,
            slots,
            alone: Arc::default(),
        }
    }

    /// Says that the node which answers has the store to itself, and what it is. All clones hear of it, once.
    pub fn is_alone(&self, node: Joining) {
        // It stays what it was said to be first.
        let _ = self.alone.set(node);
    }

    /// The cluster as of now; a node that is [alone](Self::is_alone) is one.
    pub async fn snapshot(&self) -> Result<Snapshot, store::Error> {
        match self.alone.get() {
            None => Snapshot::read(&*self.store, self.slots).await,
            Some(alone) => Snapshot::read_alone(&*self.store, self.slots, alone).await,
        }
    }

    /// Why the cluster, or one node of it, is not at rest; nothing where it is. Looks at it twice, about half a
    /// second apart: who is silent shows in between.
    pub async fn why(&self, node: Option<&str>) -> Result<Why, Refusal> {
        let before = self.snapshot().await?;
        let began = self.clock.monotonic();
        if let Some(name) = node.filter(|name| !before.members.contains_key(*name)) {
            let known = before.members.into_keys().collect();
            return Err(unknown(name, known));
        }
        if before.is_alone {
            return Ok(Why::default());
        }
        tokio::time::sleep(OBSERVATION).await;
        let after = self.snapshot().await?;
        let observed = self.clock.monotonic().duration_since(began);
        let seen = why::Observed {
            before: &before,
            after: &after,
            observed,
        };
        Ok(seen.why(node))
    }

    /// The node owns nothing from the next plan on, also when it starts again.
    pub async fn drain(&self, by: &str, name: &str, force: Force) -> Result<(), Refusal> {
        let change = Change::Drain(force);
        self.change(name, Told { by, change }).await.map(drop)
    }

    /// The node takes its share from the next plan on.
    pub async fn undrain(&self, by: &str, name: &str) -> Result<(), Refusal> {
        let change = Change::Undrain;
        self.change(name, Told { by, change }).await.map(drop)
    }

    /// The cluster forgets a node that is dead or has left, which joins as a new one if it starts again. Of one
    /// that is forgotten already it says so, as long as it is among the [`REMOVED_NAMES_MAX`] removed last.
    ///
    /// [`REMOVED_NAMES_MAX`]: selvedge_protocol::limits::REMOVED_NAMES_MAX
    pub async fn remove(&self, by: &str, name: &str) -> Result<Changed, Refusal> {
        let change = Change::Remove;
        self.change(name, Told { by, change }).await
    }

    async fn change(&self, name: &str, told: Told<'_>) -> Result<Changed, Refusal> {
        if let Some(alone) = self.alone.get() {
            let own = alone.name.clone();
            return Err(match own == name {
                true => Refusal::Alone { name: own },
                false => unknown(name, vec![own]),
            });
        }
        // A change says what shall be: where nobody knows whether it was committed it is made again.
        let changed = run_repeatable(&*self.store, &self.clock, |mut transaction| async move {
            let changed = self.write(&mut *transaction, name, told.change).await?;
            if let Ok(Changed::Now) = changed {
                let entry = told.entry(self.clock.wall_ms(), name);
                audit::append(&mut *transaction, Chain::Cluster, entry).await?;
            }
            Ok((transaction, changed))
        });
        changed.await?.0
    }

    async fn write(
        &self,
        transaction: &mut dyn Transaction,
        name: &str,
        change: Change,
    ) -> Result<Result<Changed, Refusal>, store::Error> {
        let nodes: Vec<_> = named::<NodeRecord>(transaction, Family::Node).await?;
        for (name, _) in &nodes {
            // Of two changes at once one sees what the other did.
            transaction.add_read_conflict(&node_key(name).encode());
        }
        let plan: Key = ClusterKey::Plan.into();
        let plan: Option<Plan> = read(transaction, &plan, Isolation::Snapshot).await?;
        let Some((_, node)) = nodes.iter().find(|(other, _)| other == name) else {
            if change == Change::Remove && removed(transaction).await?.has(name) {
                return Ok(Ok(Changed::Before));
            }
            let known = nodes.into_iter().map(|(name, _)| name).collect();
            return Ok(Err(unknown(name, known)));
        };
        let others = nodes.iter().filter(|(other, _)| other != name);
        let refusal = match change {
            Change::Drain(Force::No) => last_owner(name, node, others),
            Change::Drain(Force::Yes) | Change::Undrain => None,
            Change::Remove => not_removable(name, node, plan.as_ref()),
        };
        if let Some(refusal) = refusal {
            return Ok(Err(refusal));
        }
        let is_drained = match change {
            Change::Drain(_) => true,
            Change::Undrain => false,
            Change::Remove => {
                for key in [node_key(name), beat_key(name), death_key(name)] {
                    transaction.clear(&key.encode());
                }
                let mut removed = removed(transaction).await?;
                removed.add(name, node.incarnation);
                let key = Key::from(ClusterKey::Removed).encode();
                transaction.set(&key, &encode(&removed));
                return Ok(Ok(Changed::Now));
            }
        };
        if node.is_drained == is_drained {
            return Ok(Ok(Changed::Before));
        }
        let changed = NodeRecord {
            is_drained,
            ..node.clone()
        };
        transaction.set(&node_key(name).encode(), &encode(&changed));
        Ok(Ok(Changed::Now))
    }
}

/// What shall be of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Drain(Force),
    Undrain,
    Remove,
}

/// What somebody wants to be of a node.
#[derive(Debug, Clone, Copy)]
struct Told<'a> {
    by: &'a str,
    change: Change,
}

impl Told<'_> {
    fn entry(self, at_ms: u64, node: &str) -> audit::Entry {
        let (action, detail) = match self.change {
            Change::Drain(Force::No) => ("cluster.drain", ""),
            Change::Drain(Force::Yes) => ("cluster.drain", r#"{"force":true}"#),
            Change::Undrain => ("cluster.undrain", ""),
            Change::Remove => ("cluster.remove", ""),
        };
        audit::Entry {
            at_ms,
            principal: self.by.to_owned(),
            action: action.to_owned(),
            target: node.to_owned(),
            outcome: audit::Outcome::Done,
            detail: detail.to_owned(),
        }
    }
}

fn last_owner<'a>(
    name: &str,
    node: &NodeRecord,
    others: impl Iterator<Item = &'a (String, NodeRecord)>,
) -> Option<Refusal> {
    let mut unable = Vec::new();
    for (name, other) in others {
        match why::unable(other) {
            Some(because) => unable.push(format!("{name} {because}")),
            None => return None,
        }
    }
    (node.share() > 0).then(|| Refusal::LastOwner {
        name: name.to_owned(),
        others: match unable.is_empty() {
            true => "there is no other".to_owned(),
            false => unable.join(", "),
        },
    })
}

fn not_removable(name: &str, node: &NodeRecord, plan: Option<&Plan>) -> Option<Refusal> {
    let name = name.to_owned();
    match node.state {
        NodeState::Serving => {
            let state = "serving";
            return Some(Refusal::Alive { name, state });
        }
        NodeState::Leaving => {
            let state = "leaving";
            return Some(Refusal::Alive { name, state });
        }
        NodeState::Left | NodeState::Dead => {}
    }
    let is_planned = plan.is_some_and(|plan| plan.slots_of(&name).next().is_some());
    is_planned.then_some(Refusal::Planned { name })
}

fn unknown(name: &str, known: Vec<String>) -> Refusal {
    let name = name.to_owned();
    Refusal::Unknown { name, known }
}

/// The nodes there are, in words.
fn are(known: &[String]) -> String {
    match known {
        [] => "are none".to_owned(),
        [one] => format!("is {one}"),
        // As many as anybody reads.
        many => format!("are {}", many[..many.len().min(20)].join(", ")),
    }
}

/// Long enough for two beats of every node that is alive.
const OBSERVATION: Duration = Duration::from_millis(600);
