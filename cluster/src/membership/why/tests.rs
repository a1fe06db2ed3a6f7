//! What is told of clusters that are not at rest, each made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::membership::record::{BeatRecord, LeaseRecord, Versions};
use crate::plan::Plan;

const SLOTS: u16 = 8;

fn node() -> NodeRecord {
    NodeRecord {
        incarnation: 1,
        state: NodeState::Serving,
        is_drained: false,
        is_isolated: false,
        weight: 1,
        roles: vec![Role::Core],
        peer: "127.0.0.1:7410".to_owned(),
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

/// Nodes `a`, `b`, … at rest: each has what the plan says.
fn at_rest(nodes: &[NodeRecord]) -> Snapshot {
    let names = ["a", "b", "c"].map(str::to_owned);
    let members: BTreeMap<_, _> = names.into_iter().zip(nodes.iter().cloned()).collect();
    let candidates: Vec<_> = members
        .iter()
        .map(|(name, node)| Candidate {
            name: name.clone(),
            weight: node.share(),
        })
        .collect();
    let plan = Plan::empty(SLOTS).next(&candidates);
    let beat = BeatRecord {
        incarnation: 1,
        count: 1,
        unreachable: Vec::new(),
    };
    Snapshot {
        holders: (0..SLOTS)
            .map(|slot| plan.owner(slot).map(Arc::from))
            .collect(),
        beats: members
            .keys()
            .map(|name| (name.clone(), beat.clone()))
            .collect(),
        deaths: BTreeMap::new(),
        lease: Some(LeaseRecord {
            holder: "a".to_owned(),
            incarnation: 1,
            term: 1,
            count: 1,
            view: 0,
            doubted: Vec::new(),
        }),
        members,
        plan,
        is_alone: false,
    }
}

/// The same a moment later.
fn later(snapshot: &Snapshot) -> Snapshot {
    let mut later = snapshot.clone();
    for beat in later.beats.values_mut() {
        beat.count += 1;
    }
    if let Some(lease) = &mut later.lease {
        lease.count += 1;
    }
    later
}

fn codes(before: &Snapshot, after: &Snapshot, node: Option<&str>) -> Vec<(Code, String)> {
    let observed = Observed {
        before,
        after,
        observed: Duration::from_millis(600),
    };
    let why = observed.why(node);
    why.reasons
        .into_iter()
        .map(|reason| (reason.code, reason.message))
        .collect()
}

fn told(after: &Snapshot, node: Option<&str>) -> Vec<(Code, String)> {
    codes(after, &later(after), node)
}

#[test]
fn nothing_is_told_of_a_cluster_at_rest() {
    let cluster = at_rest(&[node(), node(), node()]);
    assert_eq!(told(&cluster, None), []);
    assert_eq!(told(&cluster, Some("b")), []);
}

#[test]
fn who_is_silent_shows_between_two_looks() {
    let cluster = at_rest(&[node(), node()]);
    let mut after = later(&cluster);
    after.beats = cluster.beats.clone();
    let told = codes(&cluster, &after, None);
    assert!(
        matches!(&*told, [(Code::Silent, a), (Code::Silent, b)] if a.starts_with("a ") && b.contains("600 ms")),
        "{told:?}"
    );
    after = later(&cluster);
    after.lease.clone_from(&cluster.lease);
    let told = codes(&cluster, &after, Some("b"));
    assert!(matches!(&*told, [(Code::ControllerSilent, _)]), "{told:?}");
    after.lease = None;
    let told = codes(&cluster, &after, None);
    assert!(matches!(&*told, [(Code::NoController, _)]), "{told:?}");
}

#[test]
fn slots_that_wait_are_told_with_who_has_them_and_who_shall() {
    let mut cluster = at_rest(&[node(), node()]);
    cluster.holders.fill(Some(Arc::from("a")));
    let told_of = told(&cluster, Some("b"));
    let [(Code::Moving, message)] = &*told_of else {
        panic!("{told_of:?}");
    };
    assert!(
        message.contains("4 slots") && message.ends_with("wait for a to give them up to b"),
        "{message}"
    );
    assert_eq!(told(&cluster, Some("a")), told_of);

    cluster.holders.fill(None);
    let told = told(&cluster, None);
    assert!(
        told.iter().all(|(_, it)| it.contains("nobody has them")),
        "{told:?}"
    );
    assert_eq!(told.len(), 2);
}

#[test]
fn a_node_that_goes_is_told_until_it_has_nothing_left() {
    let mut cluster = at_rest(&[node(), node()]);
    let before = cluster.clone();
    let b = cluster.members.get_mut("b").unwrap();
    b.is_drained = true;
    let told_of = told(&cluster, None);
    assert!(
        matches!(&*told_of, [(Code::Draining, b), (Code::PlanOutdated, _)] if b.contains("4 slots left")),
        "{told_of:?}"
    );

    // The plan without it, before and after its slots have moved.
    let alone = [Candidate {
        name: "a".to_owned(),
        weight: 1,
    }];
    cluster.plan = cluster.plan.next(&alone);
    let told_of: Vec<_> = told(&cluster, None).into_iter().map(|it| it.0).collect();
    assert_eq!(told_of, [Code::Draining, Code::Moving]);
    cluster.holders.fill(Some(Arc::from("a")));
    assert_eq!(told(&cluster, None), []);
    let told_of = told(&cluster, Some("b"));
    assert!(
        matches!(&*told_of, [(Code::Drained, it)] if it.contains("undrain b")),
        "{told_of:?}"
    );
    assert!(Code::Drained.is_at_rest());

    for (state, code) in [
        (NodeState::Leaving, Code::Leaving),
        (NodeState::Dead, Code::Dead),
    ] {
        let mut cluster = before.clone();
        cluster.members.get_mut("b").unwrap().state = state;
        let told = told(&cluster, Some("b"));
        assert_eq!(told[0].0, code, "{told:?}");
        assert!(!code.is_at_rest());
    }
}

#[test]
fn a_death_is_told_with_its_time_by_whose_clock_that_is() {
    let dead = NodeRecord {
        state: NodeState::Dead,
        ..node()
    };
    let mut cluster = at_rest(&[node(), dead]);
    let without = told(&cluster, Some("b"));
    assert!(!without[0].1.contains("declared"), "{without:?}");
    let death = DeathRecord {
        by: "a".to_owned(),
        at_ms: 1_700_000_000_000,
    };
    cluster.deaths.insert("b".to_owned(), death);
    let with = told(&cluster, Some("b"));
    let [(Code::Dead, message)] = &*with else {
        panic!("{with:?}");
    };
    for part in ["a declared", "2023-11-14T22:13:20", "its own clock"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn that_nobody_can_own_is_told_with_each_reason() {
    let drained = NodeRecord {
        is_drained: true,
        ..node()
    };
    let edge = NodeRecord {
        weight: 0,
        roles: vec![Role::Edge],
        ..node()
    };
    let dead = NodeRecord {
        state: NodeState::Dead,
        ..node()
    };
    let mut cluster = at_rest(&[drained, edge, dead]);
    cluster.holders.fill(None);
    let told_of = told(&cluster, None);
    let [(Code::Dead, _), (Code::NobodyOwns, message)] = &*told_of else {
        panic!("{told_of:?}");
    };
    for part in ["a is drained", "b has no role core", "c is dead"] {
        assert!(message.contains(part), "{message}");
    }
    let told = told(&cluster, Some("b"));
    assert!(
        told.iter().any(|(code, _)| *code == Code::NoShare),
        "{told:?}"
    );
}

#[test]
fn many_slots_are_told_by_their_first() {
    assert_eq!(in_words(&[7]), "slot 7");
    assert_eq!(in_words(&[1, 2, 3, 9]), "4 slots, 1..3, 9");
    let every_other: Vec<u16> = (0..40).step_by(2).collect();
    assert_eq!(
        in_words(&every_other),
        "20 slots, 0, 2, 4, 6, 8, 10 and so on"
    );
}

#[test]
fn an_isolated_node_is_named_with_its_address() {
    let isolated = NodeRecord {
        is_isolated: true,
        ..node()
    };
    let before = at_rest(&[node(), isolated]);
    let why = Observed {
        before: &before,
        after: &later(&before),
        observed: Duration::from_millis(600),
    }
    .why(Some("b"));
    let isolated = why
        .reasons
        .iter()
        .find(|reason| reason.code == Code::Isolated);
    let message = &isolated.unwrap().message;
    assert!(message.contains("127.0.0.1:7410"), "{message}");
}
