//! When a slot may be taken, in simulated time.

use std::collections::BTreeMap;

use super::*;
use crate::membership::{NodeRecord, NodeState, Versions};
use crate::plan::Plan;

const FORCE: Duration = Duration::from_secs(3);

fn node(incarnation: u64, state: NodeState) -> NodeRecord {
    NodeRecord {
        incarnation,
        state,
        is_drained: false,
        is_isolated: false,
        weight: 1,
        roles: Vec::new(),
        peer: String::new(),
        quic: None,
        http: None,
        operations: Vec::new(),
        versions: Versions {
            binary: String::new(),
            protocol: 1,
            schema: 1,
        },
    }
}

/// Of node `a`, with `b` alive, `c` leaving, `d` dead and `e` gone in order.
fn view() -> View {
    let members = [
        ("a", node(2, NodeState::Serving)),
        ("b", node(5, NodeState::Serving)),
        ("c", node(1, NodeState::Leaving)),
        ("d", node(1, NodeState::Dead)),
        ("e", node(1, NodeState::Left)),
    ];
    View {
        name: "a".to_owned(),
        incarnation: 2,
        plan: Plan::empty(8),
        members: BTreeMap::from(members.map(|(name, node)| (name.to_owned(), node))),
        controller: None,
    }
}

fn of(node: &str, incarnation: u64) -> Holder<'_> {
    Holder { node, incarnation }
}

#[test]
fn only_the_living_are_waited_for() {
    let (now, view) = (Instant::now(), view());
    let mut pending = Pending::new(FORCE);
    pending.want(now, 1, [3].into_iter());
    let may = |holder| pending.may_take(now, &view, 3, holder);
    assert!(may(of("", 5)) && may(of("a", 1)) && may(of("a", 2)));
    assert!(may(of("d", 1)) && may(of("e", 1)) && may(of("nobody", 1)));
    assert!(!may(of("b", 5)) && !may(of("c", 1)));
    // Not the one that had it: that was declared dead, and has joined again.
    assert!(may(of("b", 4)));
    // Of a node that was alone, or wrote an older format, that is not known.
    assert!(!may(of("b", 0)));
    // A slot that is not wanted any more.
    assert!(!pending.may_take(now, &view, 4, of("", 0)));
}

#[test]
fn time_counts_from_the_plan_that_gave_the_slot() {
    let (start, view) = (Instant::now(), view());
    let after = |ms| start + Duration::from_millis(ms);
    let mut pending = Pending::new(FORCE);
    pending.want(start, 1, [3].into_iter());
    // A later plan gives it to the node still, and another one.
    pending.want(after(2_000), 2, [3, 4].into_iter());
    let may = |pending: &Pending, ms, slot| pending.may_take(after(ms), &view, slot, of("b", 5));
    assert!(!may(&pending, 2_999, 3) && may(&pending, 3_000, 3));
    assert!(!may(&pending, 4_999, 4) && may(&pending, 5_000, 4));
    // One that it had, and lost, it waits for anew.
    pending.want(after(6_000), 2, std::iter::empty());
    pending.want(after(7_000), 2, [3].into_iter());
    assert!(!may(&pending, 9_999, 3) && may(&pending, 10_000, 3));
}

#[test]
fn under_an_old_plan_it_waits_for_a_newer_one() {
    let now = Instant::now();
    let mut pending = Pending::new(FORCE);
    pending.want(now, 4, [1, 2, 3].into_iter());
    let taking = Taking {
        taken: vec![1],
        held: vec![2],
        outdated: vec![3],
    };
    assert!(pending.tried(&taking), "it looks for another plan");
    assert_eq!(pending.due(), [2]);
    pending.want(now, 4, [2, 3].into_iter());
    assert_eq!(pending.due(), [2]);
    pending.want(now, 5, [2, 3].into_iter());
    assert_eq!(pending.due(), [2, 3]);
    let taking = Taking {
        taken: vec![2, 3],
        ..Taking::default()
    };
    assert!(!pending.tried(&taking));
    assert!(pending.due().is_empty());
}
