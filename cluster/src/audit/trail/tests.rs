//! Chains that are searched, and cleared by a rule.

use std::collections::BTreeMap;

use proptest::prelude::*;
use selvedge_protocol::Tenant;
use tempfile::TempDir;

use super::*;
use crate::store::embedded::{Embedded, EmbeddedConfig};

struct World {
    trail: Trail,
    _directory: TempDir,
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap();
    World {
        trail: Trail::new(Arc::new(store), Clock::manual(5_000, 1)),
        _directory: directory,
    }
}

fn entry(at_ms: u64, principal: &str, action: &str) -> Entry {
    Entry {
        at_ms,
        principal: principal.to_owned(),
        action: action.to_owned(),
        target: at_ms.to_string(),
        outcome: Outcome::Done,
        detail: String::new(),
    }
}

fn tenant(name: &str) -> Chain {
    Tenant::new(name).unwrap().into()
}

fn all(order: Order) -> Search {
    Search {
        from: None,
        order,
        since_ms: None,
        until_ms: None,
        principal: None,
        action: None,
        limit: 100,
    }
}

fn numbers(found: &Found) -> Vec<u64> {
    found.records.iter().map(|it| it.number).collect()
}

/// Five records of a tenant, and one of the cluster.
async fn filled() -> (World, Chain) {
    let world = world();
    let chain = tenant("acme");
    for (at, who, what) in [
        (10, "ann", "user.create"),
        (20, "ben", "users.other"),
        (30, "ann", "user.delete"),
        // Of a node whose clock is behind.
        (15, "ben", "user.create"),
        (40, "ann", "policy.set"),
    ] {
        let entry = entry(at, who, what);
        world.trail.record(&chain, &entry).await.unwrap();
    }
    let drain = entry(1, "root", "cluster.drain");
    world.trail.record(&Chain::Cluster, &drain).await.unwrap();
    (world, chain)
}

#[tokio::test]
async fn records_are_found_by_who_what_and_when_in_both_orders() {
    let (world, chain) = filled().await;
    let (up, down) = (all(Order::Ascending), all(Order::Descending));
    let from = |from: u64, search: &Search| Search {
        from: Some(from),
        ..search.clone()
    };
    let action = |action: &str| Search {
        action: Some(action.to_owned()),
        ..up.clone()
    };
    let between = |search: &Search| Search {
        since_ms: Some(15),
        until_ms: Some(40),
        ..search.clone()
    };
    let ben = Search {
        principal: Some("ben".to_owned()),
        ..up.clone()
    };
    for (wanted, expected) in [
        (up.clone(), vec![1, 2, 3, 4, 5]),
        (down.clone(), vec![5, 4, 3, 2, 1]),
        (from(3, &up), vec![4, 5]),
        (from(3, &down), vec![2, 1]),
        (action("user"), vec![1, 3, 4]),
        (action("user.create"), vec![1, 4]),
        (action("user.c"), vec![]),
        (ben, vec![2, 4]),
        (between(&up), vec![2, 3, 4]),
        (between(&down), vec![4, 3, 2]),
    ] {
        let found = world.trail.search(&chain, &wanted).await.unwrap();
        let expected = (expected, None);
        assert_eq!((numbers(&found), found.next), expected, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_page_says_where_the_next_one_begins_and_chains_are_apart() {
    let (world, chain) = filled().await;
    let search = async |search: &Search| world.trail.search(&chain, search).await.unwrap();
    let mut wanted = Search {
        limit: 2,
        action: Some("user".to_owned()),
        ..all(Order::Ascending)
    };
    let first = search(&wanted).await;
    assert_eq!((numbers(&first), first.next), (vec![1, 3], Some(3)));
    wanted.from = first.next;
    let second = search(&wanted).await;
    assert_eq!((numbers(&second), second.next), (vec![4], None));
    let up = all(Order::Ascending);
    let cluster = world.trail.search(&Chain::Cluster, &up).await.unwrap();
    assert_eq!(cluster.records[0].entry.principal, "root");
    let other = world.trail.search(&tenant("other"), &up).await.unwrap();
    assert!(other.records.is_empty());
}

#[tokio::test]
async fn a_search_for_what_is_not_there_says_how_far_it_came() {
    let World { trail, _directory } = world();
    let chain = tenant("acme");
    let more = AUDIT_SCAN_MAX + 3;
    let mut written = 0;
    while written < more {
        let mut transaction = trail.store.begin();
        for _ in 0..512.min(more - written) {
            append(&mut *transaction, &chain, entry(1, "ann", "a.b"))
                .await
                .unwrap();
            written += 1;
        }
        transaction.commit().await.unwrap();
    }
    let mut wanted = Search {
        principal: Some("ben".to_owned()),
        ..all(Order::Ascending)
    };
    let found = trail.search(&chain, &wanted).await.unwrap();
    assert_eq!(found.next, Some(u64::try_from(AUDIT_SCAN_MAX).unwrap()));
    wanted.from = found.next;
    let found = trail.search(&chain, &wanted).await.unwrap();
    assert_eq!((found.records.len(), found.next), (0, None));
}

#[tokio::test]
async fn what_is_old_goes_from_each_chain_and_the_chain_says_so() {
    let World { trail, _directory } = world();
    let chains = [tenant("a"), tenant("b"), Chain::Cluster];
    for chain in &chains {
        for at in [10, 20, 30, 25, 40] {
            trail.record(chain, &entry(at, "ann", "a.b")).await.unwrap();
        }
    }
    let retention = Retention {
        before_ms: 30,
        days: 7,
    };
    assert_eq!(trail.retain(retention).await.unwrap(), 6);
    for chain in &chains {
        let found = trail.search(chain, &all(Order::Ascending)).await.unwrap();
        // The fourth is old but after one that is not.
        assert_eq!(numbers(&found), [3, 4, 5, 6]);
        let said = &found.records[3].entry;
        assert_eq!(
            (said.action.as_str(), said.principal.as_str()),
            ("audit.trim", "selvedge")
        );
        assert_eq!(said.detail, r#"{"cleared":2,"upTo":2,"retentionDays":7}"#);
        let part = Part {
            from: None,
            anchor: None,
            records_max: u64::MAX,
        };
        assert!(
            matches!(trail.verify(chain, part).await.unwrap(), Verification::Whole(it) if it.first == 3)
        );
    }
    assert_eq!(trail.retain(retention).await.unwrap(), 0);
    // All of it: the last one stays, and what says so follows it, once.
    let all_of_it = Retention {
        before_ms: u64::MAX,
        days: 1,
    };
    trail.retain(all_of_it).await.unwrap();
    let left = trail
        .search(&chains[0], &all(Order::Ascending))
        .await
        .unwrap();
    assert!(left.records.len() <= 2, "{left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Whatever the pages, each record is seen once and in order.
    #[test]
    fn pages_together_are_all(
        times in proptest::collection::vec(0_u64..5, 1..30),
        limit in 1_usize..7,
        descending in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let World { trail, _directory } = world();
            let chain = tenant("acme");
            let mut expected = BTreeMap::new();
            for (number, at) in (1_u64..).zip(&times) {
                let who = if at % 2 == 0 { "even" } else { "odd" };
                trail.record(&chain, &entry(*at, who, "a.b")).await.unwrap();
                expected.insert(number, who);
            }
            let order = if descending { Order::Descending } else { Order::Ascending };
            let mut wanted = Search { limit, principal: Some("even".to_owned()), ..all(order) };
            let mut seen = Vec::new();
            loop {
                let found = trail.search(&chain, &wanted).await.unwrap();
                assert!(found.records.len() <= limit);
                seen.extend(numbers(&found));
                let Some(next) = found.next else { break };
                wanted.from = Some(next);
            }
            let mut even: Vec<_> = expected.into_iter().filter(|it| it.1 == "even").map(|it| it.0).collect();
            if descending {
                even.reverse();
            }
            assert_eq!(seen, even);
        });
    }
}
