//! What is read of several shards is what is read of one: by examples of the merge, and by chance over a store.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};

use super::*;

fn entry(created_ms: u64, id: &str) -> Entry {
    Entry {
        created_ms,
        id: OperationId::new(id).unwrap(),
    }
}

fn entries(of: &[(u64, &str)]) -> Vec<Entry> {
    of.iter().map(|(at, id)| entry(*at, id)).collect()
}

#[test]
fn shards_are_merged_newest_first_and_by_id_within_a_moment() {
    let merged = merge(
        vec![
            entries(&[(9, "b"), (5, "a")]),
            entries(&[(9, "c"), (9, "a"), (1, "z")]),
            entries(&[]),
        ],
        4,
    );
    let next = entries(&[(9, "c"), (9, "b"), (9, "a"), (5, "a"), (1, "z")]);
    let is_last = true;
    assert_eq!(merged, Merged { next, is_last });
}

#[test]
fn what_is_older_than_the_end_of_a_shard_that_may_go_on_is_not_known_to_be_next() {
    // The first may go on with (7, _), the second with what is just older than (8, "b").
    let merged = merge(
        vec![
            entries(&[(9, "b"), (7, "a")]),
            entries(&[(8, "c"), (8, "b")]),
            entries(&[(8, "a")]),
        ],
        2,
    );
    let next = entries(&[(9, "b"), (8, "c"), (8, "b")]);
    let is_last = false;
    assert_eq!(merged, Merged { next, is_last });
}

#[test]
fn a_share_is_never_more_than_all_nor_nothing() {
    for count in [1, 2, 16, 64] {
        let shards = Shards::new(count).unwrap();
        for rows in 1..=1_000 {
            let share = share(rows, shards);
            assert!((1..=rows).contains(&share), "{rows} of {count}: {share}");
        }
    }
    assert_eq!(share(50, Shards::ONE), 50);
    assert_eq!(share(50, Shards::SPREAD), 10);
}

/// A tenant's operations, and how they are read.
#[derive(Debug)]
struct Case {
    /// Moments are few, so that many operations have the same.
    operations: BTreeSet<(u64, u16)>,
    shards: Shards,
    limit: usize,
    created_ms: (Option<u64>, Option<u64>),
}

fn cases() -> impl Strategy<Value = Case> {
    let operations = proptest::collection::btree_set((0..6_u64, any::<u16>()), 0..120);
    let moments = (
        proptest::option::of(0..7_u64),
        proptest::option::of(0..7_u64),
    );
    let shards = prop_oneof![Just(16), 2..=64_u8];
    (operations, shards, 1..130_usize, moments).prop_map(
        |(operations, shards, limit, created_ms)| Case {
            operations,
            shards: Shards::new(shards).unwrap(),
            limit,
            created_ms,
        },
    )
}

/// Writes the operations of a case under a tenant of their own.
async fn scan(store: &dyn Store, case: &Case, shards: Shards, tenant: String) -> Scan {
    let scan = Scan {
        tenant: Tenant::new(tenant).unwrap(),
        index: Index::Status(3),
        shards,
        created_ms: case.created_ms,
    };
    let mut transaction = store.begin();
    for (created_ms, id) in &case.operations {
        let entry = entry(*created_ms, &id.to_string());
        let key = Key::Operation {
            tenant: scan.tenant.clone(),
            index: scan.index.clone(),
            shard: shards.of(&entry.id),
            entry,
        };
        transaction.set(&key.encode(), &[]);
    }
    transaction.commit().await.unwrap();
    scan
}

/// Pages, each with as many as were asked for but for the last.
async fn pages(store: &dyn Store, scan: &Scan, limit: usize) -> Vec<Vec<Entry>> {
    let mut pages: Vec<Vec<Entry>> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.last());
        let mut transaction = store.begin();
        let page = scan.entries(&mut *transaction, after, limit);
        pages.push(page.await.unwrap());
        if pages.last().is_none_or(|page| page.len() < limit) {
            return pages;
        }
    }
}

#[test]
fn shards_are_read_as_one_index() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(EmbeddedConfig::new(directory.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let number = std::cell::Cell::new(0_u32);
    let config = Config::with_cases(64);
    let checked = TestRunner::new(config).run(&cases(), |case| {
        number.set(number.get() + 1);
        runtime.block_on(async {
            let name = |shards: &str| format!("{shards}-{}", number.get());
            let one = scan(&store, &case, Shards::ONE, name("one")).await;
            let many = scan(&store, &case, case.shards, name("many")).await;
            let expected = pages(&store, &one, case.limit).await;
            assert_eq!(pages(&store, &many, case.limit).await, expected);
            let all = expected.concat();
            assert!(all.is_sorted_by(|newer, older| newer > older));
            for after in [None, all.first(), all.get(all.len() / 2), all.last()] {
                let count = one.count(&store, after, 1_000).await.unwrap();
                assert_eq!(many.count(&store, after, 1_000).await.unwrap(), count);
            }
            assert_eq!(
                one.count(&store, None, 1_000).await.unwrap(),
                (all.len(), true)
            );
        });
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn a_count_ends_at_its_bound_and_reads_on_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(EmbeddedConfig::new(directory.path())).unwrap();
    let case = Case {
        operations: (0..3_000).map(|number| (7, number)).collect(),
        shards: Shards::SPREAD,
        limit: 1,
        created_ms: (None, None),
    };
    for shards in [Shards::ONE, Shards::SPREAD] {
        let tenant = format!("of-{}", shards.count());
        let scan = scan(&store, &case, shards, tenant).await;
        let all = scan.count(&store, None, 100_000).await.unwrap();
        assert_eq!(all, (3_000, true));
        let (count, is_exact) = scan.count(&store, None, 1_500).await.unwrap();
        assert!((1_500..3_000).contains(&count) && !is_exact, "{count}");
    }
}

#[tokio::test]
async fn a_row_that_is_no_entry_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(EmbeddedConfig::new(directory.path())).unwrap();
    let case = Case {
        operations: BTreeSet::from([(1, 1)]),
        shards: Shards::ONE,
        limit: 1,
        created_ms: (None, None),
    };
    let scan = scan(&store, &case, Shards::ONE, "t".to_owned()).await;
    let range = KeyRange::operations(&scan.tenant, &scan.index, None);
    let mut transaction = store.begin();
    transaction.set(&[&range.begin, &[0xfe][..]].concat(), &[]);
    transaction.commit().await.unwrap();
    let read = scan.entries(&mut *store.begin(), None, 10).await;
    assert!(matches!(&read, Err(error) if error.is_damage()), "{read:?}");
}
