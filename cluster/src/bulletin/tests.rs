//! Notices of one store, as followers read them.

use std::path::Path;
use std::time::Duration;

use futures::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::store::embedded::{Embedded, EmbeddedConfig};
use crate::store::record::golden;

struct World {
    store: Arc<dyn Store>,
    clock: Clock,
    _directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap();
        Self {
            store: Arc::new(store),
            clock: Clock::manual(1_000_000_000, 1),
            _directory: directory,
        }
    }

    async fn announce(&self, text: &str) {
        let mut transaction = self.store.begin();
        announce(&mut *transaction, self.clock.wall_ms(), text.as_bytes())
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    async fn follower(&self) -> Follower {
        Follower::begin(Arc::clone(&self.store), self.clock.clone())
            .await
            .unwrap()
    }
}

fn notices(texts: &[&'static str]) -> News {
    News::Notices(
        texts
            .iter()
            .map(|text| Bytes::from_static(text.as_bytes()))
            .collect(),
    )
}

#[tokio::test]
async fn a_follower_hears_what_comes_after_it_in_order_and_once() {
    let world = World::new();
    world.announce("before").await;
    let mut follower = world.follower().await;
    assert!(follower.next().now_or_never().is_none());
    world.announce("a").await;
    world.announce("b").await;
    assert_eq!(follower.next().await, notices(&["a", "b"]));
    assert!(follower.next().now_or_never().is_none());
    world.announce("c").await;
    assert_eq!(follower.next().await, notices(&["c"]));
}

#[tokio::test]
async fn who_waits_is_woken() {
    let world = World::new();
    let mut follower = world.follower().await;
    let waiting = tokio::spawn(async move { follower.next().await });
    tokio::task::yield_now().await;
    world.announce("a").await;
    let heard = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    assert_eq!(heard.unwrap().unwrap(), notices(&["a"]));
}

#[tokio::test]
async fn more_than_a_page_comes_in_pages() {
    let world = World::new();
    let mut follower = world.follower().await;
    for _ in 0..=NOTICES_READ_MAX {
        world.announce("n").await;
    }
    for expected in [NOTICES_READ_MAX, 1] {
        let News::Notices(page) = follower.next().await else {
            panic!("nothing is lost");
        };
        assert_eq!(page.len(), expected);
    }
}

#[tokio::test]
async fn what_is_cleared_before_it_was_read_is_lost_and_said_to_be() {
    let world = World::new();
    let mut behind = world.follower().await;
    world.announce("old").await;
    let mut ahead = world.follower().await;
    world
        .clock
        .advance(Duration::from_millis(NOTICE_KEPT_MS + 1));
    world.announce("new").await;
    ahead.clear_old().await.unwrap();
    assert_eq!(behind.next().await, News::Lost);
    assert_eq!(ahead.next().await, notices(&["new"]));
    world.announce("newer").await;
    assert_eq!(behind.next().await, notices(&["newer"]));
    // All of it, and nothing comes after.
    let mut behind = world.follower().await;
    world.announce("newest").await;
    world
        .clock
        .advance(Duration::from_millis(NOTICE_KEPT_MS + 1));
    ahead.clear_old().await.unwrap();
    assert_eq!(behind.next().await, News::Lost);
    assert!(behind.next().now_or_never().is_none());
}

#[tokio::test]
async fn what_was_not_committed_was_not_announced_and_too_large_is_refused() {
    let world = World::new();
    let mut follower = world.follower().await;
    let mut transaction = world.store.begin();
    announce(&mut *transaction, 1, b"never").await.unwrap();
    drop(transaction);
    assert!(follower.next().now_or_never().is_none());
    let mut transaction = world.store.begin();
    let refused = announce(&mut *transaction, 1, &vec![0; NOTICE_BYTES_MAX + 1]).await;
    assert!(matches!(refused, Err(store::Error::TooLarge { .. })));
}

#[test]
fn records_are_stored_so() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let notice = Notice {
        at_ms: 1_700_000_000_000,
        body: b"user".to_vec(),
    };
    assert!(golden::check(&directory, "notice", &notice).is_empty());
    assert!(golden::check(&directory, "notice-bell", &Bell { number: 300 }).is_empty());
}
