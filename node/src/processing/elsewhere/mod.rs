//! Processing on other nodes: what the pools of a node know of the others, and the peer service `Processing`.
//!
//! ```text
//! pool ── seek ─Ask─► the less loaded of two ── guest, run by the pool of that node as its own
//!   └─ lent ─Work─►    ◄─ reports, the end ──┘   the owner alone writes
//! ```
//!
//! `seek` finds a place, `lent` is the owner's end of an attempt and `guest` the other one; `line` is what a
//! guest's attempt has in place of its operation; `carry` hands the streamed payload of a submit to the owner;
//! `news` tells policies and groups of workers to all. Nothing here is durable: what is lost with a stream or
//! a node is run, told or sent again.

mod carry;
mod guest;
mod lent;
mod line;
mod news;
mod seek;
mod serve;
mod wire;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::membership::{NodeRecord, Owner, Role, View};
use selvedge_cluster::peer::{Link, Links};
use selvedge_protocol::Tenant;
use selvedge_protocol::peer::processing::{PolicyName, Workers};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::processing::Pools;
use crate::processing::elsewhere::news::Teller;
use crate::processing::pool::Division;
use crate::processing::pools::PoolName;
use crate::processing::worker::Group;

pub(crate) use carry::{Carrying, carry};
pub(super) use guest::{Guest, run as run_guest};
pub(super) use lent::{Lent, run as run_lent};
pub(super) use line::Line;
pub(super) use seek::Granted;
pub(super) use serve::serve;

/// The other nodes of a cluster, as they are given to the processing of a node.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// The cluster as this node sees it, and its changes.
    pub views: watch::Receiver<Arc<View>>,
    pub links: Links,
}

/// What a node's pools know of other nodes. A cheap handle.
#[derive(Clone)]
pub(super) struct Elsewhere(Arc<Inner>);

struct Inner {
    neighbours: Neighbours,
    clock: Clock,
    nodes: Mutex<HashMap<String, Known>>,
    /// What the workers of other nodes execute.
    groups: Mutex<HashMap<String, Told>>,
    /// Counts what this node tells of its own workers.
    told: AtomicU64,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// Another node that is there.
struct Known {
    incarnation: u64,
    teller: Teller,
}

/// The groups of a node's workers, as it has told last.
struct Told {
    incarnation: u64,
    number: u64,
    groups: HashSet<Group>,
}

/// A node that can run something, and the way to it.
pub(super) struct Other {
    pub(super) name: String,
    pub(super) link: Arc<Link>,
}

impl Elsewhere {
    /// Begins to follow the cluster; `changed` is called whenever it has changed. Needs a tokio runtime.
    pub(super) fn start(
        pools: &Pools,
        neighbours: Neighbours,
        changed: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let elsewhere = Self(Arc::new(Inner {
            neighbours,
            clock: pools.clock().clone(),
            nodes: Mutex::default(),
            groups: Mutex::default(),
            told: AtomicU64::new(0),
            tasks: Mutex::default(),
        }));
        let following = follow(pools.clone(), elsewhere.clone(), changed);
        let following = tokio::spawn(following).abort_handle();
        let reading = tokio::spawn(news::read_again(pools.clone())).abort_handle();
        elsewhere.0.tasks.lock().extend([following, reading]);
        elsewhere
    }

    /// Ends all that it does.
    pub(super) fn stop(&self) {
        for task in self.0.tasks.lock().drain(..) {
            task.abort();
        }
        self.0.nodes.lock().clear();
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.0.neighbours.views.borrow())
    }

    /// Whether this node runs operations for which it has a handler.
    pub(super) fn is_processing(&self) -> bool {
        // Not known before it has joined.
        self.view().own().is_none_or(can_process)
    }

    /// Whether another node can run operations of a pool.
    pub(super) fn has_others(&self, pool: &PoolName) -> bool {
        let view = self.view();
        view.members
            .iter()
            .any(|(name, node)| *name != view.name && self.can_run(pool, name, node))
    }

    /// The other nodes that can.
    pub(super) fn others(&self, pool: &PoolName) -> Vec<Other> {
        let view = self.view();
        let others = view
            .members
            .iter()
            .filter(|(name, node)| **name != view.name && self.can_run(pool, name, node));
        others
            .map(|(name, node)| Other {
                name: name.clone(),
                link: self.0.neighbours.links.to(name, &node.peer),
            })
            .collect()
    }

    /// Which part of a limit of the cluster is this node's. `runs_here`: whether this node can run it.
    pub(super) fn division(&self, pool: &PoolName, runs_here: bool) -> Division {
        let view = self.view();
        let mut division = Division { index: 0, count: 0 };
        for (name, node) in &view.members {
            let is_own = *name == view.name;
            if (is_own && runs_here) || (!is_own && self.can_run(pool, name, node)) {
                division.count += 1;
                division.index += usize::from(*name < view.name);
            }
        }
        match division.count {
            0 => Division::WHOLE,
            _ => division,
        }
    }

    /// The operation types that other nodes have handlers for.
    pub(super) fn types(&self) -> HashSet<String> {
        let view = self.view();
        let others = view.members.iter().filter(|(name, _)| **name != view.name);
        others
            .filter(|(_, node)| can_process(node))
            .flat_map(|(_, node)| node.operations.iter().cloned())
            .collect()
    }

    /// The way to the owner of a slot, if that is another node.
    pub(super) fn owner(&self, slot: u16) -> Option<Arc<Link>> {
        match self.view().owner(slot) {
            Owner::There { name, node } => Some(self.0.neighbours.links.to(name, &node.peer)),
            Owner::Here | Owner::Nobody => None,
        }
    }

    /// Another node has told what its workers execute. Answers what is new; `None`: it is old.
    pub(super) fn heard(&self, told: Workers) -> Option<Vec<Group>> {
        let groups: HashSet<Group> = told.groups.into_iter().map(Group::from).collect();
        let mut nodes = self.0.groups.lock();
        let known = nodes.get(&told.node);
        let is_old = known.is_some_and(|known| {
            (known.incarnation, known.number) >= (told.incarnation, told.number)
        });
        if is_old {
            return None;
        }
        let new = groups
            .iter()
            .filter(|group| known.is_none_or(|known| !known.groups.contains(group)));
        let new = new.cloned().collect();
        let told = (
            told.node,
            Told {
                incarnation: told.incarnation,
                number: told.number,
                groups,
            },
        );
        nodes.insert(told.0, told.1);
        Some(new)
    }

    /// What the workers of this node execute has changed.
    pub(super) fn tell_groups(&self) {
        for known in self.0.nodes.lock().values() {
            known.teller.groups();
        }
    }

    /// A policy was changed here.
    pub(super) fn tell_policy(&self, tenant: &Tenant, subject: &str) {
        for known in self.0.nodes.lock().values() {
            known.teller.policy(PolicyName {
                tenant: tenant.clone(),
                subject: subject.to_owned(),
            });
        }
    }

    fn can_run(&self, pool: &PoolName, name: &str, node: &NodeRecord) -> bool {
        match pool {
            PoolName::Local(operation_type) | PoolName::Foreign(operation_type) => {
                let operations = &node.operations;
                can_process(node) && operations.iter().any(|one| one == operation_type.as_str())
            }
            PoolName::Remote(group) => {
                let groups = self.0.groups.lock();
                is_there(node)
                    && groups.get(name).is_some_and(|told| {
                        told.incarnation == node.incarnation && told.groups.contains(group)
                    })
            }
        }
    }

    /// Keeps to the nodes that are there.
    fn meet(&self, pools: &Pools) {
        let view = self.view();
        let mut nodes = self.0.nodes.lock();
        let is_alive = |name: &str, incarnation| {
            let node = view.members.get(name);
            node.is_some_and(|node| node.is_alive() && node.incarnation == incarnation)
        };
        nodes.retain(|name, known| is_alive(name, known.incarnation));
        for (name, node) in &view.members {
            if *name == view.name || !node.is_alive() || nodes.contains_key(name) {
                continue;
            }
            let link = {
                let (links, name) = (self.0.neighbours.links.clone(), name.clone());
                let address = node.peer.clone();
                move || links.to(&name, &address)
            };
            let teller = Teller::open(pools.clone(), self.clone(), Box::new(link));
            let incarnation = node.incarnation;
            nodes.insert(
                name.clone(),
                Known {
                    incarnation,
                    teller,
                },
            );
        }
        drop(nodes);
        let mut groups = self.0.groups.lock();
        groups.retain(|name, _| view.members.contains_key(name));
    }

    /// All that the workers of this node execute, to be told.
    fn own_workers(&self, pools: &Pools) -> Workers {
        let number = self.0.told.fetch_add(1, Ordering::AcqRel) + 1;
        let view = self.view();
        Workers {
            node: view.name.clone(),
            incarnation: view.incarnation,
            number,
            groups: pools.own_groups(),
        }
    }
}

/// Whether a node takes something new to do.
fn is_there(node: &NodeRecord) -> bool {
    node.is_staying()
}

fn can_process(node: &NodeRecord) -> bool {
    is_there(node) && node.has(Role::Processing)
}

/// Follows the cluster and the slots of this node.
async fn follow(pools: Pools, elsewhere: Elsewhere, changed: Box<dyn Fn() + Send + Sync>) {
    let mut views = elsewhere.0.neighbours.views.clone();
    let Some(mut slots) = pools.host().map(|host| host.changes()) else {
        return;
    };
    loop {
        views.borrow_and_update();
        elsewhere.meet(&pools);
        pools.members_changed();
        changed();
        loop {
            tokio::select! {
                followed = views.changed() => match followed {
                    Ok(()) => break,
                    // The node stops.
                    Err(_) => return,
                },
                () = pools.groups_flipped() => {
                    elsewhere.tell_groups();
                    pools.members_changed();
                }
                moved = slots.changed() => match moved {
                    Ok(()) => {
                        pools.sweep();
                        changed();
                    }
                    Err(_) => return,
                },
            }
        }
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elsewhere")
    }
}
