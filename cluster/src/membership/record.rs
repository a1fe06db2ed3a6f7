//! What the nodes of a cluster keep of themselves in the store.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::store::record::Record;

/// A node, from its first join until it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Raised with each join, so that a node that was declared dead is told from the one that came back.
    pub incarnation: u64,
    pub state: NodeState,
    /// Its share of the slots, in proportion to the others'. A node that owns no actors has 0.
    pub weight: u32,
    /// Where other nodes reach it, `host:port`.
    pub peer: String,
}

/// What a node is to the cluster. Only the node itself and the controller change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// It takes its share.
    Serving,
    /// It gives up what it has, and takes nothing.
    Draining,
    /// The controller has not heard of it for too long: it owns nothing and has to join again.
    Dead,
}

/// That a node is alive: a row of its own, which it alone writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatRecord {
    pub incarnation: u64,
    /// Raised with each beat. Others look whether it changes; nobody compares clocks.
    pub count: u64,
}

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
}

impl Record for NodeRecord {
    const FORMAT: u8 = 1;
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
            state: NodeState::Draining,
            weight: 100,
            peer: "127.0.0.1:7410".to_owned(),
        };
        golden::check(directory, "node", &node);
        let beat = BeatRecord {
            incarnation: 3,
            count: 70_000,
        };
        golden::check(directory, "beat", &beat);
        let lease = LeaseRecord {
            holder: "node-1".to_owned(),
            incarnation: 3,
            term: 2,
            count: 9,
        };
        golden::check(directory, "controller-lease", &lease);
        let candidate = |name: &str| Candidate {
            name: name.to_owned(),
            weight: 1,
        };
        let plan = Plan::empty(4).next(&[candidate("node-1"), candidate("node-2")]);
        golden::check(directory, "plan", &plan);
    }
}
