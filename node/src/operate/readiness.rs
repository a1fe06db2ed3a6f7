//! Whether a node of a cluster serves what it is there for: asked by its start, for who waits to send it clients,
//! and by the log. A pure look at its view, and a future that completes when there is nothing to wait for.
//!
//! What it compares is what `selvedge cluster status` shows of the node: it is a member, and has the slots that
//! the plan gives it.

use std::fmt;
use std::sync::Arc;

use selvedge_cluster::actor::Host;
use selvedge_cluster::membership::{Member, Standing, View};

/// What a node waits for before it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unready {
    /// It is no member, or not for sure.
    NoMember,
    /// The other nodes do not reach it, so it owns nothing, and what it is asked it cannot pass on.
    Isolated,
    /// No node that is there owns anything: whatever it is asked, nobody could answer.
    NobodyOwns,
    /// The plan is older than its join.
    Unplanned,
    /// So many slots are to be its own, and are not yet.
    Missing(usize),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMember => f.write_str("it is no member of its cluster, as far as it knows"),
            Self::Isolated => f.write_str(
                "most other nodes do not reach its peer address; see `selvedge cluster status`",
            ),
            Self::NobodyOwns => {
                f.write_str("no node owns a slot yet, and only one with the role core can")
            }
            Self::Unplanned => f.write_str("no plan gives it its share yet"),
            Self::Missing(slots) => {
                write!(f, "{slots} slots that are to be its own are another's yet")
            }
        }
    }
}

/// What the node waits for, if for anything: it stands so, sees this, and owns these slots, ascending.
pub(super) fn unready(standing: Standing, view: &View, owned: &[u16]) -> Option<Unready> {
    let own = view.own().filter(|own| own.incarnation == view.incarnation);
    let (Standing::Member, Some(own)) = (standing, own) else {
        return Some(Unready::NoMember);
    };
    if own.is_isolated {
        return Some(Unready::Isolated);
    }
    if !view.plan.nodes().any(|name| view.is_there(name, 0)) {
        return Some(Unready::NobodyOwns);
    }
    let mut planned = view.plan.slots_of(&view.name).peekable();
    if own.share() > 0 && planned.peek().is_none() && !view.is_planned() {
        return Some(Unready::Unplanned);
    }
    match planned
        .filter(|slot| owned.binary_search(slot).is_err())
        .count()
    {
        0 => None,
        missing => Some(Unready::Missing(missing)),
    }
}

/// A node as its readiness is looked at.
#[derive(Debug, Clone)]
pub(super) struct Readiness {
    host: Host,
    member: Member,
}

impl Readiness {
    pub(super) const fn of(host: Host, member: Member) -> Self {
        Self { host, member }
    }

    /// What the node waits for now.
    pub(super) fn unready(&self) -> Option<Unready> {
        let (views, standings) = (self.member.view(), self.member.standing());
        let view = Arc::clone(&views.borrow());
        let standing = *standings.borrow();
        unready(standing, &view, &self.host.owned())
    }

    /// Completes when it waits for nothing.
    pub(super) async fn ready(&self) {
        let mut changes = self.host.changes();
        let (mut views, mut standings) = (self.member.view(), self.member.standing());
        loop {
            changes.borrow_and_update();
            views.borrow_and_update();
            standings.borrow_and_update();
            if self.unready().is_none() {
                return;
            }
            tokio::select! {
                Ok(()) = changes.changed() => {}
                Ok(()) = views.changed() => {}
                Ok(()) = standings.changed() => {}
                // It ends, and never will be.
                else => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use selvedge_cluster::membership::{NodeRecord, NodeState, Ousted, Role, Versions};
    use selvedge_cluster::plan::{Candidate, Plan};

    use super::*;

    fn node(role: Role) -> NodeRecord {
        NodeRecord {
            incarnation: 1,
            state: NodeState::Serving,
            is_drained: false,
            is_isolated: false,
            weight: u32::from(role == Role::Core),
            roles: vec![role],
            peer: String::new(),
            quic: None,
            http: None,
            operations: Vec::new(),
            versions: Versions {
                binary: "0.1.0".to_owned(),
                protocol: 1,
                schema: 1,
            },
        }
    }

    /// The first of these nodes sees this.
    fn view(nodes: &[(&str, NodeRecord)], plan: Plan) -> View {
        View {
            name: nodes[0].0.to_owned(),
            incarnation: 1,
            plan,
            members: nodes
                .iter()
                .map(|(name, node)| ((*name).to_owned(), node.clone()))
                .collect(),
            controller: None,
        }
    }

    fn planned(names: &[&str]) -> Plan {
        let candidates: Vec<_> = names
            .iter()
            .map(|name| Candidate {
                name: (*name).to_owned(),
                weight: 1,
            })
            .collect();
        Plan::empty(8).next(&candidates)
    }

    fn member(view: &View, owned: &[u16]) -> Option<Unready> {
        unready(Standing::Member, view, owned)
    }

    #[test]
    fn a_core_is_ready_with_all_that_a_plan_gives_it() {
        let (one, two) = (("a", node(Role::Core)), ("b", node(Role::Core)));
        let alone = [one.clone()];
        let unplanned = view(&alone, Plan::empty(8));
        assert_eq!(member(&unplanned, &[]), Some(Unready::NobodyOwns));
        let all: Vec<u16> = (0..8).collect();
        let first = view(&alone, planned(&["a"]));
        assert_eq!(member(&first, &all[1..]), Some(Unready::Missing(1)));
        assert_eq!(member(&first, &all), None);
        // It has joined, and the plan is the one before.
        let both = [one, two];
        let older = view(&both, planned(&["b"]));
        assert_eq!(member(&older, &[]), Some(Unready::Unplanned));
        let shared = view(&both, planned(&["a", "b"]));
        let own: Vec<u16> = shared.plan.slots_of("a").collect();
        assert_eq!(own.len(), 4);
        assert_eq!(member(&shared, &[]), Some(Unready::Missing(4)));
        assert_eq!(member(&shared, &own), None);
    }

    #[test]
    fn an_edge_is_ready_once_somebody_owns() {
        let edge = ("a", node(Role::Edge));
        let alone = view(std::slice::from_ref(&edge), Plan::empty(8));
        assert_eq!(member(&alone, &[]), Some(Unready::NobodyOwns));
        let core = ("b", node(Role::Core));
        let with = [edge.clone(), core.clone()];
        assert_eq!(member(&view(&with, planned(&["b"])), &[]), None);
        // The owners of an old plan are of no use.
        let (name, core) = core;
        let dead = NodeRecord {
            state: NodeState::Dead,
            ..core
        };
        let left = view(&[edge, (name, dead)], planned(&["b"]));
        assert_eq!(member(&left, &[]), Some(Unready::NobodyOwns));
    }

    #[test]
    fn one_that_is_drained_or_too_small_for_a_slot_waits_for_none() {
        let drained = NodeRecord {
            is_drained: true,
            ..node(Role::Core)
        };
        let other = ("b", node(Role::Core));
        let nodes = [("a", drained), other.clone()];
        assert_eq!(member(&view(&nodes, planned(&["b"])), &[]), None);
        let heavy = NodeRecord {
            weight: 1_000,
            ..node(Role::Core)
        };
        let mut small = view(&[("a", node(Role::Core)), ("b", heavy)], Plan::empty(8));
        let candidates = [("a", 1), ("b", 1_000)].map(|(name, weight)| Candidate {
            name: name.to_owned(),
            weight,
        });
        small.plan = small.plan.next(&candidates);
        assert_eq!(small.plan.slots_of("a").count(), 0);
        assert_eq!(member(&small, &[]), None);
    }

    #[test]
    fn one_that_others_do_not_reach_is_not_ready() {
        let isolated = NodeRecord {
            is_isolated: true,
            ..node(Role::Core)
        };
        let nodes = [("a", isolated), ("b", node(Role::Core))];
        assert_eq!(
            member(&view(&nodes, planned(&["b"])), &[]),
            Some(Unready::Isolated)
        );
    }

    #[test]
    fn who_is_no_member_for_sure_is_not_ready() {
        let all: Vec<u16> = (0..8).collect();
        let first = view(&[("a", node(Role::Core))], planned(&["a"]));
        for standing in [
            Standing::Doubtful,
            Standing::Out(Ousted::Dead),
            Standing::Left,
        ] {
            assert_eq!(unready(standing, &first, &all), Some(Unready::NoMember));
        }
        let later = View {
            incarnation: 2,
            ..first
        };
        assert_eq!(member(&later, &all), Some(Unready::NoMember));
    }
}
