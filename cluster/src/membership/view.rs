//! The cluster as a node sees it: the members and the plan, as of one moment.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use crate::membership::record::{NodeRecord, Role};
use crate::plan::{Candidate, Plan};
use crate::store::record::encode;

/// The members and the plan, as they were read at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// This node.
    pub name: String,
    /// The one that it has joined as.
    pub incarnation: u64,
    pub plan: Plan,
    /// All nodes that were not removed, by name; this one as well.
    pub members: BTreeMap<String, NodeRecord>,
    /// Who decides of deaths and plans, as of the lease.
    pub controller: Option<String>,
}

/// Who answers for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// This node, now or soon.
    Here,
    /// Another one.
    There { name: &'a str, node: &'a NodeRecord },
    /// No node that is there.
    Nobody,
}

impl View {
    /// The owner of a slot, by the plan.
    pub fn owner(&self, slot: u16) -> Owner<'_> {
        match self.plan.owner(slot) {
            Some(name) if name == self.name => Owner::Here,
            Some(name) => match self.members.get_key_value(name) {
                Some((name, node)) if node.is_alive() => Owner::There { name, node },
                Some(_) | None => Owner::Nobody,
            },
            None => Owner::Nobody,
        }
    }

    /// Whether a node is there that joined under this name as this incarnation; 0 is any.
    pub fn is_there(&self, name: &str, incarnation: u64) -> bool {
        self.members.get(name).is_some_and(|node| {
            node.is_alive() && (incarnation == 0 || node.incarnation == incarnation)
        })
    }

    /// Other nodes that are there and have a role.
    pub fn others(&self, role: Role) -> impl Iterator<Item = (&str, &NodeRecord)> {
        let others = self
            .members
            .iter()
            .map(|(name, node)| (name.as_str(), node));
        others.filter(move |(name, node)| *name != self.name && node.is_alive() && node.has(role))
    }

    /// Whether the plan is that of these members: no other one will follow it for their sake.
    pub fn is_planned(&self) -> bool {
        let candidates = self.members.iter().map(|(name, node)| Candidate {
            name: name.clone(),
            weight: node.share(),
        });
        let candidates: Vec<Candidate> = candidates.collect();
        self.plan.next(&candidates) == self.plan
    }

    /// This node, as the cluster knows it.
    pub fn own(&self) -> Option<&NodeRecord> {
        self.members.get(&self.name)
    }

    /// A number that is another one for another view, but for who is the controller.
    pub fn digest(&self) -> u64 {
        let members = self
            .members
            .iter()
            .map(|(name, node)| (name.as_str(), node));
        digest(self.plan.number, members)
    }
}

/// The digest of a view with this plan and these members, by name.
pub(super) fn digest<'a>(
    plan: u64,
    members: impl Iterator<Item = (&'a str, &'a NodeRecord)>,
) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&plan.to_le_bytes());
    for (name, node) in members {
        hash.update(name.as_bytes());
        hash.update(&encode(node));
    }
    hash.digest()
}
