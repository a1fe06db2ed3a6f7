//! What the nodes of a cluster keep of themselves in the store.

use selvedge_protocol::codec;
use selvedge_protocol::limits::REMOVED_NAMES_MAX;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::store::record::Record;

/// A node, from its first join until it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Raised with each join, so that a node that was declared dead is told from the one that came back. Those
    /// of a name only ever grow, also past its removal.
    pub incarnation: u64,
    pub state: NodeState,
    /// An operator wants it to own nothing. Stays so when the node starts again.
    pub is_drained: bool,
    /// It is alive and most others cannot reach it: it owns nothing until they can. The controller says so.
    pub is_isolated: bool,
    /// Its share of the slots, in proportion to the others'. A node without the role core has 0.
    pub weight: u32,
    pub roles: Vec<Role>,
    /// Where other nodes reach it, `host:port`.
    pub peer: String,
    /// Where clients reach it, `host:port`; `None`: they do not.
    pub quic: Option<String>,
    /// The operation types that it has handlers for, where it executes operations.
    pub operations: Vec<String>,
    pub versions: Versions,
    /// Where clients reach it over HTTP, `host:port`; `None`: they do not.
    pub http: Option<String>,
}

/// A node as binaries before the bridge wrote it.
#[derive(Deserialize)]
struct NodeRecord1 {
    incarnation: u64,
    state: NodeState,
    is_drained: bool,
    is_isolated: bool,
    weight: u32,
    roles: Vec<Role>,
    peer: String,
    quic: Option<String>,
    operations: Vec<String>,
    versions: Versions,
}

/// What a node's binary understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The binary's own.
    pub binary: String,
    /// The newest of the session protocol.
    pub protocol: u8,
    /// The newest of the store.
    pub schema: u32,
}

/// What a node does, DESIGN 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes sessions over QUIC.
    Edge,
    /// Takes browsers over HTTP.
    Bridge,
    /// Owns actors.
    Core,
    /// Executes operations.
    Processing,
    /// Serves its store to other nodes; no member of the cluster.
    Storage,
}

/// What a node is to the cluster. Only the node itself and the controller change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// It takes its share.
    Serving,
    /// It is about to end: it gives up what it has, and takes nothing.
    Leaving,
    /// It has ended in order.
    Left,
    /// The controller has not heard of it for too long: it owns nothing and has to join again.
    Dead,
}

impl NodeRecord {
    /// Whether it is there, as far as the cluster knows.
    pub const fn is_alive(&self) -> bool {
        match self.state {
            NodeState::Serving | NodeState::Leaving => true,
            NodeState::Left | NodeState::Dead => false,
        }
    }

    /// Whether it is there, is to be, and others reach it.
    pub const fn is_staying(&self) -> bool {
        match self.state {
            NodeState::Serving => !self.is_drained && !self.is_isolated,
            NodeState::Leaving | NodeState::Left | NodeState::Dead => false,
        }
    }

    /// Its weight in the next plan.
    pub const fn share(&self) -> u32 {
        match self.is_isolated {
            false => self.share_if_reached(),
            true => 0,
        }
    }

    /// What that is as soon as others reach it.
    pub const fn share_if_reached(&self) -> u32 {
        match (self.state, self.is_drained) {
            (NodeState::Serving, false) => self.weight,
            (NodeState::Serving, true)
            | (NodeState::Leaving | NodeState::Left | NodeState::Dead, _) => 0,
        }
    }

    /// Whether it has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// That a node is alive: a row of its own, which it alone writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatRecord {
    pub incarnation: u64,
    /// Raised with each beat. Others look whether it changes; nobody compares clocks.
    pub count: u64,
    /// Nodes that it needs and cannot reach at the moment, by name, the first [`UNREACHABLE_MAX`] of them.
    pub unreachable: Vec<String>,
}

/// Names in a beat, and in the lease. One that cannot reach so many is itself the one that is cut off, whoever
/// the others are.
pub const UNREACHABLE_MAX: usize = 16;

/// Who decides of deaths and plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    pub holder: String,
    /// The holder's: one that comes back is not the one that took the lease.
    pub incarnation: u64,
    /// Raised with each change of the holder: the fence of what a controller writes.
    pub term: u64,
    /// Raised with each renewal.
    pub count: u64,
    /// The [`view`](crate::membership::View::digest) of the cluster as of this renewal: whoever has another one
    /// reads it anew, so nodes find changes without reading all rows each time.
    pub view: u64,
    /// Nodes that somebody cannot reach, or that were not reached before, by name, at most
    /// [`UNREACHABLE_MAX`]: everybody looks whether they can be reached.
    pub doubted: Vec<String>,
}

/// That a node was declared dead, for those who ask since when it is. No clock of another node has a say in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathRecord {
    /// The controller that declared it.
    pub by: String,
    /// When, by its wall clock, in Unix milliseconds.
    pub at_ms: u64,
}

/// What is left of all nodes that were removed, in one row: fences, links and processes that stood still may
/// outlive a node's own row for any time, so none of its incarnations may come again. One number does for all
/// names, which may be any number: what joins next begins above all that were removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedRecord {
    /// The highest incarnation of any of them.
    pub incarnation: u64,
    /// The names of the last [`REMOVED_NAMES_MAX`], the last of them last.
    pub names: Vec<String>,
}

impl RemovedRecord {
    /// One more was removed, as this incarnation.
    pub fn add(&mut self, name: &str, incarnation: u64) {
        self.incarnation = self.incarnation.max(incarnation);
        self.names.retain(|other| other != name);
        self.names.push(name.to_owned());
        let surplus = self.names.len().saturating_sub(REMOVED_NAMES_MAX);
        self.names.drain(..surplus);
    }

    /// Whether a node of this name is among those removed last. It may be there again.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }
}

impl Record for NodeRecord {
    const FORMAT: u8 = 2;

    fn upcast(format: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        let upcast = |old: NodeRecord1| Self {
            incarnation: old.incarnation,
            state: old.state,
            is_drained: old.is_drained,
            is_isolated: old.is_isolated,
            weight: old.weight,
            roles: old.roles,
            peer: old.peer,
            quic: old.quic,
            operations: old.operations,
            versions: old.versions,
            http: None,
        };
        (format == 1).then(|| codec::decode_record(body).map(upcast))
    }
}

impl Record for BeatRecord {
    const FORMAT: u8 = 1;
}

impl Record for LeaseRecord {
    const FORMAT: u8 = 1;
}

impl Record for Plan {
    const FORMAT: u8 = 1;
}

impl Record for DeathRecord {
    const FORMAT: u8 = 1;
}

impl Record for RemovedRecord {
    const FORMAT: u8 = 1;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::Candidate;
    use crate::store::record::golden;

    #[test]
    fn records_stay_readable() {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
        let node = NodeRecord {
            incarnation: 3,
            state: NodeState::Leaving,
            is_drained: true,
            is_isolated: false,
            weight: 100,
            roles: vec![Role::Edge, Role::Core],
            peer: "127.0.0.1:7410".to_owned(),
            quic: Some("127.0.0.1:7400".to_owned()),
            operations: vec!["digest".to_owned()],
            versions: Versions {
                binary: "0.1.0".to_owned(),
                protocol: 1,
                schema: 1,
            },
            http: Some("127.0.0.1:7480".to_owned()),
        };
        let older = golden::check(directory, "node", &node);
        let before_the_bridge = NodeRecord { http: None, ..node };
        assert_eq!(older, [(1, before_the_bridge)]);
        let beat = BeatRecord {
            incarnation: 3,
            count: 70_000,
            unreachable: vec!["node-2".to_owned()],
        };
        golden::check(directory, "beat", &beat);
        let lease = LeaseRecord {
            holder: "node-1".to_owned(),
            incarnation: 3,
            term: 2,
            count: 9,
            view: 1 << 60,
            doubted: vec!["node-2".to_owned()],
        };
        golden::check(directory, "controller-lease", &lease);
        let candidate = |name: &str| Candidate {
            name: name.to_owned(),
            weight: 1,
        };
        let plan = Plan::empty(4).next(&[candidate("node-1"), candidate("node-2")]);
        golden::check(directory, "plan", &plan);
        let removed = RemovedRecord {
            incarnation: 300,
            names: vec!["node-2".to_owned(), "node-3".to_owned()],
        };
        golden::check(directory, "removed", &removed);
        let death = DeathRecord {
            by: "node-1".to_owned(),
            at_ms: 1_700_000_000_000,
        };
        golden::check(directory, "death", &death);
    }

    #[test]
    fn what_is_left_of_removed_nodes_is_bounded_and_only_grows() {
        let mut removed = RemovedRecord::default();
        for number in 0..2 * REMOVED_NAMES_MAX {
            removed.add(&format!("node-{number}"), 7);
        }
        removed.add(&format!("node-{REMOVED_NAMES_MAX}"), 3);
        assert_eq!(removed.incarnation, 7);
        assert_eq!(removed.names.len(), REMOVED_NAMES_MAX);
        assert_eq!(
            removed.names.first(),
            Some(&format!("node-{}", REMOVED_NAMES_MAX + 1))
        );
        assert_eq!(
            removed.names.last(),
            Some(&format!("node-{REMOVED_NAMES_MAX}"))
        );
    }
}
