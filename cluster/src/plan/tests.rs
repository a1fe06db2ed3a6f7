//! Plans against what they promise: exact shares, and no move that the shares do not force.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn node(number: u32, weight: u32) -> Candidate {
    Candidate {
        name: format!("node-{number}"),
        weight,
    }
}

fn equal(count: u32) -> Vec<Candidate> {
    (1..=count).map(|number| node(number, 1)).collect()
}

fn counts(plan: &Plan) -> BTreeMap<String, usize> {
    let nodes = plan.nodes();
    nodes
        .map(|name| (name.to_owned(), plan.slots_of(name).count()))
        .collect()
}

fn moves(before: &Plan, after: &Plan) -> usize {
    let slots = u16::try_from(before.len()).unwrap();
    let has_moved =
        |slot: &u16| before.owner(*slot).is_some() && before.owner(*slot) != after.owner(*slot);
    (0..slots).filter(has_moved).count()
}

#[test]
fn without_nodes_nobody_owns() {
    let plan = Plan::empty(16).next(&[]);
    assert_eq!(
        (plan.number, plan.owner(0), plan.owner(16)),
        (0, None, None)
    );
    let plan = plan.next(&equal(2));
    assert_eq!(plan.number, 1);
    let left = plan.next(&[node(1, 0)]);
    assert_eq!((left.number, left.owner(0)), (2, None));
}

#[test]
fn shares_are_exact_and_follow_the_weights() {
    let plan = Plan::empty(1_024).next(&[node(1, 1), node(2, 2), node(3, 1)]);
    let expected = [("node-1", 256), ("node-2", 512), ("node-3", 256)];
    assert_eq!(
        counts(&plan),
        expected
            .map(|(name, count)| (name.to_owned(), count))
            .into()
    );
    assert_eq!(plan.next(&[node(3, 1), node(2, 2), node(1, 1)]), plan);
}

#[test]
fn a_join_takes_its_share_and_a_death_gives_its_own() {
    let three = Plan::empty(1_024).next(&equal(3));
    let four = three.next(&equal(4));
    assert_eq!(moves(&three, &four), 256);
    assert_eq!(four.slots_of("node-4").count(), 256);
    let without = four.next(&[node(1, 1), node(3, 1), node(4, 1)]);
    assert_eq!(moves(&four, &without), 256);
    assert!(
        four.slots_of("node-2")
            .all(|slot| without.owner(slot).is_some())
    );
}

#[test]
fn a_plan_is_the_same_on_every_machine() {
    // Published plans must not change with the binary that computes the next.
    let plan = Plan::empty(8).next(&equal(3));
    let owners: Vec<&str> = (0..8).filter_map(|slot| plan.owner(slot)).collect();
    assert_eq!(
        owners,
        [
            "node-3", "node-1", "node-2", "node-1", "node-2", "node-2", "node-1", "node-3"
        ]
    );
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let candidate = (1..12_u32, 0..5_u32).prop_map(|(number, weight)| node(number, weight));
    prop::collection::vec(candidate, 0..12)
}

proptest! {
    #[test]
    fn whatever_joins_and_leaves(
        slots in 1..600_u16,
        changes in prop::collection::vec(candidates(), 1..8),
    ) {
        let mut plan = Plan::empty(slots);
        for candidates in changes {
            let next = plan.next(&candidates);
            let nodes = owning(&candidates);
            let sum: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
            let mut forced = 0;
            for name in plan.nodes() {
                if !nodes.iter().any(|node| node.name == name) {
                    forced += plan.slots_of(name).count();
                }
            }
            for node in &nodes {
                let exact = u64::from(node.weight) * u64::from(slots);
                let count = next.slots_of(&node.name).count() as u64;
                prop_assert!(count == exact / sum || count == exact.div_ceil(sum));
                let before = plan.slots_of(&node.name).count() as u64;
                forced += usize::try_from(before.saturating_sub(count)).unwrap();
            }
            for slot in 0..slots {
                prop_assert_eq!(next.owner(slot).is_some(), !nodes.is_empty());
            }
            // What left, and what was over its share: no more.
            prop_assert_eq!(moves(&plan, &next), forced);
            prop_assert_eq!(next.number, plan.number + u64::from(next.owners != plan.owners || next.nodes != plan.nodes));
            prop_assert_eq!(next.next(&candidates), next.clone());
            plan = next;
        }
    }
}
