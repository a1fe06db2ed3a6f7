//! The keys under which a cluster keeps its members.

use super::{Family, Key, pack};

/// A place of the cluster's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterKey {
    /// A node.
    Node { name: String },
    /// That it is alive. Apart from the node, so that what changes four times a second is small.
    Beat { name: String },
    /// Who is the controller.
    Lease,
    /// Which node owns which slot.
    Plan,
    /// A number that is raised for the controller to look before its next beat.
    Bell,
    /// What is left of nodes that were removed.
    Removed,
    /// When a node was declared dead. Apart from the node: nothing but people needs it.
    Death { name: String },
}

impl ClusterKey {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Node { name } => pack(Family::Node, &(name.as_str(),)),
            Self::Beat { name } => pack(Family::Beat, &(name.as_str(),)),
            Self::Lease => pack(Family::ControllerLease, &()),
            Self::Plan => pack(Family::Plan, &()),
            Self::Bell => pack(Family::Bell, &()),
            Self::Removed => pack(Family::Removed, &()),
            Self::Death { name } => pack(Family::Death, &(name.as_str(),)),
        }
    }
}

impl From<ClusterKey> for Key {
    fn from(key: ClusterKey) -> Self {
        Self::Cluster(key)
    }
}
