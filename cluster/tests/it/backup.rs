//! Copies of stores: made from one backend and restored into another, refused while anybody writes, and cut short.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Claim, Host, HostConfig, Identity, Kinds};
use selvedge_cluster::backup::{BackupError, Contents, create, restore, verify};
use selvedge_cluster::membership::record::BeatRecord;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::{ClusterKey, Family, Key};
use selvedge_cluster::store::migration::prepare;
use selvedge_cluster::store::{self, Store, record};
use selvedge_protocol::ErrorCode;

use crate::actor::kinds::Tally;
use crate::actor::world::{World, add, code, number, ok, session, sum};
use crate::ownership::gate::Gate;
use crate::store::database;
use crate::store::memory::Memory;
use crate::store::spread::Spread;

async fn copied(store: &dyn Store) -> Result<(Vec<u8>, Contents), BackupError> {
    let mut file = Vec::new();
    let clock = Clock::manual(42, 1);
    let contents = create(store, &clock, &mut file, &mut |_| {}).await?;
    Ok((file, contents))
}

/// A store with some actors, each with its number.
async fn filled(actors: u64) -> World {
    let world = World::new().await;
    prepare(&*world.store, &world.clock).await.unwrap();
    let host = world.host().await;
    let filling = (1..=actors).map(async |actor| {
        for number in 1..=actor % 3 + 1 {
            ok(add(&host, &actor.to_string(), session(number)).await);
        }
    });
    futures::future::join_all(filling).await;
    host.stop().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_elsewhere_is_what_was_copied_and_goes_on() {
    let world = filled(300).await;
    let (file, contents) = copied(&*world.store).await.unwrap();
    assert_eq!(contents.created_ms, 42);
    assert_eq!(verify(&*file, &mut |_| {}).unwrap(), contents);
    let memory = Memory::default();
    let mut heard = Vec::new();
    let restored = restore(&memory, &Clock::system(), &*file, &mut |keys| {
        heard.push(keys);
    })
    .await;
    assert_eq!(restored.unwrap(), contents);
    assert_eq!(heard.last(), Some(&contents.keys()));
    // And back, from a store that others could have as well: its fences are raised, and nothing else differs.
    let (again, back) = copied(&memory).await.unwrap();
    let but_fences = |contents: &Contents| -> Vec<_> {
        let families = contents.families.iter();
        families
            .copied()
            .filter(|it| it.name() != "slot fence")
            .collect()
    };
    assert_eq!(but_fences(&back), but_fences(&contents));
    let other = World::new().await;
    restore(&*other.store, &Clock::system(), &*again, &mut |_| {})
        .await
        .unwrap();
    let meta = prepare(&*other.store, &other.clock).await.unwrap();
    let before = prepare(&*world.store, &world.clock).await.unwrap();
    assert_eq!(meta, before, "it is the same cluster");
    let host = other.host().await;
    for actor in [1, 2, 300] {
        let key = actor.to_string();
        assert_eq!(sum(&host, &key).await, actor % 3 + 1);
        // What was done before is not done again.
        assert_eq!(number(&ok(add(&host, &key, session(1)).await)), 1);
        assert_eq!(sum(&host, &key).await, actor % 3 + 1);
    }
}

/// How many shards the indexes of a store's cluster have; creates the cluster if there is none.
async fn shards(store: &dyn Store) -> u8 {
    let meta = prepare(store, &Clock::system()).await.unwrap();
    meta.index_shards.count()
}

/// Checks that a cluster keeps its shards on the way from a store that is spread to one that is not, and from that to
/// this.
async fn shards_are_kept(spread: &dyn Store) {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let open = |directory: &tempfile::TempDir| {
        Embedded::open(EmbeddedConfig::new(directory.path())).unwrap()
    };
    let [plain, other] = directories.each_ref().map(open);
    assert_eq!(shards(&plain).await, 1);
    assert_eq!(shards(spread).await, 16);
    let clock = Clock::system();
    let (file, _) = copied(spread).await.unwrap();
    restore(&other, &clock, &*file, &mut |_| {}).await.unwrap();
    assert_eq!(shards(&other).await, 16);
    let (file, _) = copied(&plain).await.unwrap();
    let mut transaction = spread.begin();
    transaction.clear_range(&[], &[u8::MAX; 4]);
    transaction.commit().await.unwrap();
    restore(spread, &clock, &*file, &mut |_| {}).await.unwrap();
    assert_eq!(shards(spread).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_indexes_are_fixed_when_a_cluster_is_created_and_go_with_it() {
    shards_are_kept(&Spread(Arc::new(Memory::default()))).await;
    if let Some(database) = database::fresh().await {
        shards_are_kept(&*database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_anything_in_it_is_left_alone() {
    let (one, two) = (filled(3).await, filled(1).await);
    let (file, _) = copied(&*one.store).await.unwrap();
    let refused = restore(&*two.store, &Clock::system(), &*file, &mut |_| {}).await;
    assert!(matches!(refused, Err(BackupError::Occupied)), "{refused:?}");
    let host = two.host().await;
    assert_eq!(sum(&host, "1").await, 2);
    let empty = copied(&Memory::default()).await;
    assert!(matches!(empty, Err(BackupError::Nothing)), "{empty:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_short_keeps_nodes_away_until_it_is_done_again() {
    let world = filled(3_000).await;
    let (file, contents) = copied(&*world.store).await.unwrap();
    let store = Memory::default();
    let half = (&*file).take(file.len() as u64 / 2);
    let cut = restore(&store, &Clock::system(), half, &mut |_| {}).await;
    assert!(matches!(cut, Err(BackupError::Damaged { .. })), "{cut:?}");
    let refused = prepare(&store, &world.clock).await;
    assert!(
        matches!(refused, Err(store::Error::Unfinished)),
        "{refused:?}"
    );
    restore(&store, &Clock::system(), &*file, &mut |_| {})
        .await
        .unwrap();
    prepare(&store, &world.clock).await.unwrap();
    let (_, again) = copied(&store).await.unwrap();
    assert_eq!(again.keys(), contents.keys());
}

#[tokio::test(start_paused = true)]
async fn nodes_that_run_are_named_and_left_alone() {
    let store = Memory::default();
    let clock = Clock::manual(0, 1);
    prepare(&store, &clock).await.unwrap();
    let beating = tokio::spawn({
        let store = store.clone();
        async move {
            for beat in 0.. {
                let mut transaction = store.begin();
                let key = ClusterKey::Beat {
                    name: "node-7".to_owned(),
                };
                let record = BeatRecord {
                    incarnation: 1,
                    count: beat,
                    unreachable: Vec::new(),
                };
                transaction.set(&Key::Cluster(key).encode(), &record::encode(&record));
                transaction.commit().await.unwrap();
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    });
    let refused = copied(&store).await.unwrap_err();
    assert!(refused.to_string().contains("node-7"), "{refused}");
    beating.abort();
    copied(&store).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_somebody_writes_meanwhile_ends_the_copy() {
    let (store, clock) = (Memory::default(), Clock::manual(0, 1));
    prepare(&store, &clock).await.unwrap();
    let mut take = |_| {
        let mut transaction = store.begin();
        transaction.set(&Key::SlotFence { slot: 3 }.encode(), b"another owner");
        transaction.commit().now_or_never().unwrap().unwrap();
    };
    let mut file = Vec::new();
    let refused = create(&store, &clock, &mut file, &mut take).await;
    assert!(matches!(refused, Err(BackupError::Written)), "{refused:?}");
    // What was written of it so far is no backup.
    assert!(verify(&*file, &mut |_| {}).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_its_way_when_a_copy_began_is_refused() {
    let world = World::new().await;
    prepare(&*world.store, &world.clock).await.unwrap();
    let host = world.idle("one", 8).await;
    let claim = Claim {
        plan: 1,
        incarnation: 1,
    };
    let slots: Vec<u16> = (0..8).collect();
    host.take(&slots, claim, &|_, _| true).await.unwrap();
    ok(add(&host, "a", session(1)).await);
    // A store that others could have: the copy cannot know that the host does not run.
    let shared: Arc<dyn Store> = Arc::new(crate::actor::faults::Faulty {
        inner: Arc::clone(&world.store),
        dice: Clock::manual(0, 1),
        percent: 0,
        is_exclusive: false,
    });
    let (file, _) = copied(&*shared).await.unwrap();
    let late = add(&host, "a", session(2)).await;
    assert_eq!(code(late), ErrorCode::Unavailable);
    let other = World::new().await;
    restore(&*other.store, &Clock::system(), &*file, &mut |_| {})
        .await
        .unwrap();
    let host = other.idle("two", 8).await;
    host.take(&slots, claim, &|_, _| true).await.unwrap();
    assert_eq!(number(&ok(add(&host, "a", Identity::Natural).await)), 2);
}

/// A host on a store that others have as well, with some slots.
async fn taker(store: &Memory) -> Host {
    let config = HostConfig {
        node: "one".to_owned(),
        idle_ms: 60_000,
        slots: 8,
    };
    let (clock, kinds) = (Clock::manual(0, 1), Kinds::default().with(Tally));
    let host = Host::idle(config, Arc::new(store.clone()), clock, kinds);
    host.await.unwrap()
}

async fn take_all(host: &Host) {
    let claim = Claim {
        plan: 1,
        incarnation: 1,
    };
    let slots: Vec<u16> = (0..8).collect();
    let taking = host.take(&slots, claim, &|_, _| true).await.unwrap();
    assert_eq!(taking.taken, slots);
}

/// A copy has read the fences and is about to raise them when a node takes its slots: the epochs that the node has
/// are not given out a second time, and what it writes does not get past the copy.
#[tokio::test(start_paused = true)]
async fn a_copy_that_meets_a_node_that_takes_slots_raises_them_above() {
    let store = Memory::default();
    prepare(&store, &Clock::manual(0, 1)).await.unwrap();
    let host = taker(&store).await;
    take_all(&host).await;
    let gate = Gate::new();
    let gated = gate.store(Arc::new(store.clone()));
    gate.hold(&[0x15, Family::SlotFence as u8]);
    let another = taker(&store).await;
    let meeting = async {
        gate.holds().await;
        take_all(&another).await;
        ok(add(&another, "a", session(1)).await);
        gate.let_go();
    };
    let (copy, ()) = tokio::join!(copied(&*gated), meeting);
    let (file, _) = copy.unwrap();
    assert_eq!(
        gate.refused(),
        1,
        "what the copy was about to raise had been raised"
    );
    let late = add(&another, "a", session(2)).await;
    assert_eq!(code(late), ErrorCode::Unavailable);
    assert_eq!(another.commits_fenced(), 1);
    let other = Memory::default();
    let restored = restore(&other, &Clock::system(), &*file, &mut |_| {}).await;
    restored.unwrap();
    let host = taker(&other).await;
    take_all(&host).await;
    assert_eq!(number(&ok(add(&host, "a", Identity::Natural).await)), 2);
}

/// A restore has seen that the store is empty and is about to clear it when a node begins there.
#[tokio::test(start_paused = true)]
async fn a_restore_that_meets_a_node_that_begins_leaves_its_store_alone() {
    let (source, clock) = (Memory::default(), Clock::manual(0, 1));
    prepare(&source, &clock).await.unwrap();
    let (file, _) = copied(&source).await.unwrap();
    let store = Memory::default();
    let gate = Gate::new();
    let gated = gate.store(Arc::new(store.clone()));
    gate.hold(b"restoring");
    let meeting = async {
        gate.holds().await;
        let begun = prepare(&store, &clock).await.unwrap();
        gate.let_go();
        begun
    };
    let mut progress = |_| {};
    let restoring = restore(&*gated, &clock, &*file, &mut progress);
    let (refused, begun) = tokio::join!(restoring, meeting);
    assert!(matches!(refused, Err(BackupError::Occupied)), "{refused:?}");
    assert_eq!(gate.refused(), 1);
    assert_eq!(prepare(&store, &clock).await.unwrap(), begun);
}
