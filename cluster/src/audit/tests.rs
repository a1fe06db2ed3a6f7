//! Chains that are whole, and chains that somebody has touched.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::store::Store;
use crate::store::embedded::{Embedded, EmbeddedConfig};
use crate::store::record::golden;

struct World {
    store: Arc<dyn Store>,
    tenant: Tenant,
    _directory: TempDir,
}

fn entry(text: &str) -> Entry {
    Entry {
        at_ms: 1_700_000_000_000,
        principal: "ann".to_owned(),
        action: "user.create".to_owned(),
        target: text.to_owned(),
        outcome: Outcome::Done,
        detail: String::new(),
    }
}

impl World {
    async fn with(records: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap();
        let world = Self {
            store: Arc::new(store),
            tenant: Tenant::new("acme").unwrap(),
            _directory: directory,
        };
        for number in 1..=records {
            world.append(&number.to_string()).await;
        }
        world
    }

    async fn append(&self, text: &str) {
        let mut transaction = self.store.begin();
        append(&mut *transaction, &self.tenant, entry(text))
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    async fn verify(&self) -> Result<Verified, VerifyError> {
        self.verify_against(None).await
    }

    async fn verify_against(&self, anchor: Option<Anchor>) -> Result<Verified, VerifyError> {
        verify(&*self.store, &self.tenant, anchor, &mut |_| {}).await
    }

    async fn trim(&self, first: u64) -> u64 {
        let mut transaction = self.store.begin();
        let cleared = trim(&mut *transaction, &self.tenant, first).await.unwrap();
        transaction.commit().await.unwrap();
        cleared
    }

    async fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let range = KeyRange::audit(&self.tenant).read(usize::MAX, Isolation::Snapshot);
        let rows = self.store.begin().range(range).await.unwrap();
        let head = head_key(&self.tenant);
        let stored = self.store.begin().get(&head, Isolation::Snapshot).await;
        let rows = rows
            .into_iter()
            .map(|(key, value)| (key.to_vec(), value.to_vec()));
        rows.chain([(head, stored.unwrap().unwrap().to_vec())])
            .collect()
    }

    async fn set(&self, key: &[u8], value: Option<&[u8]>) {
        let mut transaction = self.store.begin();
        match value {
            Some(value) => transaction.set(key, value),
            None => transaction.clear(key),
        }
        transaction.commit().await.unwrap();
    }
}

fn is_damage<T: std::fmt::Debug>(result: &Result<T, VerifyError>) -> bool {
    matches!(result, Err(VerifyError::Damaged { .. }))
}

#[tokio::test]
async fn a_chain_is_whole_and_read_in_both_orders() {
    let world = World::with(5).await;
    let verified = world.verify().await.unwrap();
    assert_eq!((verified.records, verified.first), (5, 1));
    let mut transaction = world.store.begin();
    let page = page(&mut *transaction, &world.tenant, None, Order::Descending, 2);
    let last = page.await.unwrap();
    assert_eq!(last.iter().map(|it| it.number).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(last[0].previous, last[1].hash);
    assert_eq!(verified.head.unwrap().hash, last[0].hash);
    let next = super::page(
        &mut *transaction,
        &world.tenant,
        Some(3),
        Order::Ascending,
        9,
    );
    let next = next.await.unwrap();
    assert_eq!(next.iter().map(|it| it.number).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(next[0].entry, entry("4"));
    let before = super::page(
        &mut *transaction,
        &world.tenant,
        Some(3),
        Order::Descending,
        9,
    );
    let before = before.await.unwrap();
    assert_eq!(
        before.iter().map(|it| it.number).collect::<Vec<_>>(),
        [2, 1]
    );
    let none = World::with(0).await.verify().await.unwrap();
    assert_eq!((none.records, none.head), (0, None));
}

#[tokio::test]
async fn every_bit_of_every_byte_that_is_changed_is_found() {
    let world = World::with(3).await;
    for (key, value) in world.rows().await {
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut changed = value.clone();
                changed[at] ^= 1 << bit;
                world.set(&key, Some(&changed)).await;
                let verified = world.verify().await;
                assert!(
                    is_damage(&verified),
                    "{} {at} {bit} {verified:?}",
                    key.escape_ascii()
                );
            }
        }
        world.set(&key, Some(&value)).await;
        world.verify().await.unwrap();
    }
}

#[tokio::test]
async fn a_record_that_is_missing_added_or_moved_is_found() {
    let world = World::with(4).await;
    let rows = world.rows().await;
    for (key, value) in &rows {
        world.set(key, None).await;
        assert!(is_damage(&world.verify().await), "{}", key.escape_ascii());
        world.set(key, Some(value)).await;
    }
    let [first, second, ..] = &rows[..] else {
        panic!("there are four");
    };
    world.set(&first.0, Some(&second.1)).await;
    world.set(&second.0, Some(&first.1)).await;
    assert!(is_damage(&world.verify().await));
    world.set(&first.0, Some(&first.1)).await;
    world.set(&second.0, Some(&second.1)).await;
    for number in [0, 5, 9] {
        let added = record_key(&world.tenant, number);
        world.set(&added, Some(&first.1)).await;
        assert!(is_damage(&world.verify().await), "{number}");
        world.set(&added, None).await;
    }
    world.verify().await.unwrap();
}

#[tokio::test]
async fn a_chain_that_was_written_anew_is_not_the_one_somebody_knows() {
    let world = World::with(3).await;
    let known = world.verify().await.unwrap().head;
    world.append("4").await;
    world.verify_against(known).await.unwrap();
    // The same records but for one, with hashes that fit.
    let forged = World::with(2).await;
    forged.append("another").await;
    forged.append("4").await;
    forged.verify().await.unwrap();
    assert!(is_damage(&forged.verify_against(known).await));
    // And one that was cut.
    assert!(is_damage(&World::with(2).await.verify_against(known).await));
}

#[tokio::test]
async fn retention_leaves_a_chain_that_is_whole() {
    let world = World::with(6).await;
    let known = world.verify().await.unwrap().head;
    assert_eq!(world.trim(4).await, 3);
    assert_eq!(world.trim(4).await, 0);
    let verified = world.verify_against(known).await.unwrap();
    assert_eq!((verified.records, verified.first), (3, 4));
    let early = Anchor {
        number: 1,
        hash: [0; 32],
    };
    assert!(is_damage(&world.verify_against(Some(early)).await));
    // The last one stays whatever is asked for.
    assert_eq!(world.trim(u64::MAX).await, 2);
    world.append("7").await;
    assert_eq!(world.verify().await.unwrap().records, 2);
}

#[tokio::test]
async fn texts_are_bounded() {
    let world = World::with(0).await;
    let mut transaction = world.store.begin();
    let long = Entry {
        principal: "é".repeat(AUDIT_TEXT_BYTES_MAX),
        detail: format!("\"{}\"", "x".repeat(AUDIT_DETAIL_BYTES_MAX)),
        ..entry("a")
    };
    append(&mut *transaction, &world.tenant, long)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let mut transaction = world.store.begin();
    let read = page(&mut *transaction, &world.tenant, None, Order::Ascending, 1).await;
    let entry = read.unwrap().remove(0).entry;
    assert_eq!(entry.principal.len(), AUDIT_TEXT_BYTES_MAX);
    assert_eq!(
        entry.detail,
        format!("{{\"omittedBytes\":{}}}", AUDIT_DETAIL_BYTES_MAX + 2)
    );
}

#[test]
fn records_are_stored_so() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let stored = Stored {
        number: 7,
        at_ms: 1_700_000_000_000,
        principal: "ann".to_owned(),
        action: "user.create".to_owned(),
        target: "bob".to_owned(),
        outcome: Outcome::Refused {
            code: "conflict".to_owned(),
        },
        detail: "{}".to_owned(),
        previous: [7; 32],
    };
    assert!(golden::check(&directory, "audit", &stored).is_empty());
    let head = Head {
        first: 2,
        first_previous: [1; 32],
        last: 7,
        last_hash: [2; 32],
    };
    assert!(golden::check(&directory, "audit-head", &head).is_empty());
}
