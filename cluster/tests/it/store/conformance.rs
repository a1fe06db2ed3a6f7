//! What every backend must do, as functions over the trait, and one table of backends.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::ActorPath;
use selvedge_cluster::store::{Error, Isolation, Order, Range, Store, Transaction, chunk, run};
use selvedge_protocol::ids::Tenant;

use super::administration::many_writers_make_one_chain_that_everybody_hears_of;
use super::database;
use super::memory::Memory;
use super::scratch;
use crate::peer::world::StorageNode;

/// Declares a module of tests for one backend: all of them run over each.
macro_rules! backends {
    ($($backend:ident => $open:path;)*) => {
        $(mod $backend {
            backends!(@tests $open:
                reads_follow_commits_and_own_writes
                ranges_are_ordered_limited_and_merged_with_own_writes
                ranges_are_read_together_as_of_one_version
                write_skew_is_refused
                phantoms_are_refused
                snapshot_reads_do_not_conflict
                blind_writes_do_not_conflict
                conflict_keys_conflict
                adds_do_not_conflict_and_sum_up
                versionstamped_keys_increase
                versions_increase_and_begin_at_conflicts
                cleared_ranges_clear_and_conflict
                limits_are_refused_and_leave_no_trace
                watches_fire_on_change_only
                a_change_is_seen_by_a_watch_or_by_the_read_after_it
                reads_are_repeatable
                dropped_transactions_leave_no_trace
                any_bytes_are_a_key
                transactions_older_than_the_window_are_refused
                concurrent_histories_have_a_serial_order
                transfers_keep_the_sum
                large_values_are_chunked_and_replaced
                many_writers_make_one_chain_that_everybody_hears_of
            );
        })*
    };
    (@tests $open:path: $($test:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            match $open().await {
                Some((store, _guard)) => super::$test(store).await,
                None => println!("not run: there is no {}", stringify!($backend)),
            }
        })*
    };
}

backends! {
    embedded => super::embedded_store;
    remote => super::remote_store;
    memory => super::memory_store;
    fdb => super::foundationdb_store;
}

#[expect(
    clippy::unused_async,
    reason = "other backends have to be connected to"
)]
async fn embedded_store() -> Option<(Arc<dyn Store>, tempfile::TempDir)> {
    let directory = scratch();
    let store = Embedded::open(EmbeddedConfig::new(directory.path())).unwrap();
    Some((Arc::new(store), directory))
}

#[expect(
    clippy::unused_async,
    reason = "other backends have to be connected to"
)]
async fn memory_store() -> Option<(Arc<dyn Store>, ())> {
    Some((Arc::new(Memory::default()), ()))
}

/// Over real sockets; the storage node ends with its guard.
async fn remote_store() -> Option<(Arc<dyn Store>, (StorageNode, tempfile::TempDir))> {
    let (embedded, directory) = embedded_store().await?;
    let node = StorageNode::start(embedded).await;
    let store = node.client().await;
    Some((Arc::new(store), (node, directory)))
}

/// `None` where none is named: see the module.
async fn foundationdb_store() -> Option<(Arc<dyn Store>, ())> {
    Some((database::fresh().await?, ()))
}

async fn get(transaction: &mut Box<dyn Transaction>, key: &str) -> Option<Bytes> {
    transaction
        .get(key.as_bytes(), Isolation::Serializable)
        .await
        .unwrap()
}

async fn put(store: &Arc<dyn Store>, key: &str, value: &str) {
    let mut transaction = store.begin();
    transaction.set(key.as_bytes(), value.as_bytes());
    transaction.commit().await.unwrap();
}

async fn read(store: &Arc<dyn Store>, key: &str) -> Option<Bytes> {
    get(&mut store.begin(), key).await
}

fn between(begin: &str, end: &str) -> Range {
    Range {
        begin: Bound::Included(Bytes::copy_from_slice(begin.as_bytes())),
        end: Bound::Excluded(Bytes::copy_from_slice(end.as_bytes())),
        order: Order::Ascending,
        limit: 1_000,
        isolation: Isolation::Serializable,
    }
}

async fn keys(transaction: &mut Box<dyn Transaction>, range: Range) -> String {
    let pairs = transaction.range(range).await.unwrap();
    pairs
        .iter()
        .map(|(key, value)| format!("{}={} ", key.escape_ascii(), value.escape_ascii()))
        .collect()
}

async fn reads_follow_commits_and_own_writes(store: Arc<dyn Store>) {
    let mut transaction = store.begin();
    assert_eq!(get(&mut transaction, "a").await, None);
    transaction.set(b"a", b"1");
    assert_eq!(get(&mut transaction, "a").await.unwrap(), "1");
    assert_eq!(read(&store, "a").await, None, "not committed yet");
    transaction.clear(b"a");
    assert_eq!(get(&mut transaction, "a").await, None);
    transaction.add(b"a", 5);
    assert_eq!(
        get(&mut transaction, "a").await.unwrap(),
        &5i64.to_le_bytes()[..]
    );
    transaction.set(b"a", b"2");
    transaction.commit().await.unwrap();
    assert_eq!(read(&store, "a").await.unwrap(), "2");
}

async fn ranges_are_ordered_limited_and_merged_with_own_writes(store: Arc<dyn Store>) {
    for key in ["b", "d", "f", "h"] {
        put(&store, key, "1").await;
    }
    let mut transaction = store.begin();
    transaction.set(b"a", b"2");
    transaction.set(b"d", b"2");
    transaction.clear(b"f");
    transaction.set(b"g", b"2");
    let all = |order, limit| Range {
        order,
        limit,
        ..between("a", "i")
    };
    let up = keys(&mut transaction, all(Order::Ascending, 100)).await;
    assert_eq!(up, "a=2 b=1 d=2 g=2 h=1 ");
    let down = keys(&mut transaction, all(Order::Descending, 100)).await;
    assert_eq!(down, "h=1 g=2 d=2 b=1 a=2 ");
    let first = keys(&mut transaction, all(Order::Ascending, 2)).await;
    assert_eq!(first, "a=2 b=1 ");
    let last = keys(&mut transaction, all(Order::Descending, 2)).await;
    assert_eq!(last, "h=1 g=2 ");
    let none = keys(&mut transaction, all(Order::Ascending, 0)).await;
    assert_eq!(none, "");
    transaction.clear_range(b"b", b"h");
    transaction.set(b"c", b"3");
    transaction.add(b"e", 0);
    let after = keys(&mut transaction, all(Order::Ascending, 100)).await;
    let zero = "\\x00".repeat(8);
    assert_eq!(after, format!("a=2 c=3 e={zero} h=1 "));
    let excluded = Range {
        begin: Bound::Excluded(Bytes::from("a")),
        end: Bound::Included(Bytes::from("h")),
        ..between("", "")
    };
    assert_eq!(
        keys(&mut transaction, excluded).await,
        format!("c=3 e={zero} h=1 ")
    );
    let inverted = between("h", "a");
    assert_eq!(keys(&mut transaction, inverted).await, "");
    transaction.commit().await.unwrap();
    let unbounded = Range {
        begin: Bound::Unbounded,
        end: Bound::Unbounded,
        ..between("", "")
    };
    let stored = keys(&mut store.begin(), unbounded).await;
    assert_eq!(stored, format!("a=2 c=3 e={zero} h=1 "));
}

async fn ranges_are_read_together_as_of_one_version(store: Arc<dyn Store>) {
    for key in ["a1", "a2", "b1", "c1"] {
        put(&store, key, "1").await;
    }
    let mut transaction = store.begin();
    transaction.set(b"b2", b"2");
    let ranges = || {
        vec![
            between("a", "b"),
            between("x", "y"),
            Range {
                order: Order::Descending,
                ..between("b", "c")
            },
            Range {
                limit: 1,
                ..between("a", "c")
            },
        ]
    };
    let keys = |found: Vec<Vec<(Bytes, Bytes)>>| -> Vec<Vec<Bytes>> {
        let keys = |pairs: Vec<(Bytes, Bytes)>| pairs.into_iter().map(|(key, _)| key).collect();
        found.into_iter().map(keys).collect()
    };
    let expected: [&[&str]; 4] = [&["a1", "a2"], &[], &["b2", "b1"], &["a1"]];
    assert_eq!(keys(transaction.ranges(ranges()).await.unwrap()), expected);
    // What is committed meanwhile is not seen in some of them either.
    for key in ["a0", "x1", "b3"] {
        put(&store, key, "1").await;
    }
    assert_eq!(keys(transaction.ranges(ranges()).await.unwrap()), expected);
    assert!(transaction.ranges(Vec::new()).await.unwrap().is_empty());
    // They take part in conflicts as they say.
    let committed = transaction.commit().await;
    assert!(matches!(committed, Err(Error::Conflict)), "{committed:?}");
}

async fn write_skew_is_refused(store: Arc<dyn Store>) {
    let (mut one, mut two) = (store.begin(), store.begin());
    get(&mut one, "a").await;
    get(&mut two, "b").await;
    one.set(b"b", b"1");
    two.set(b"a", b"1");
    one.commit().await.unwrap();
    assert!(matches!(two.commit().await, Err(Error::Conflict)));
    assert_eq!(read(&store, "a").await, None);
}

async fn phantoms_are_refused(store: Arc<dyn Store>) {
    put(&store, "b", "1").await;
    let (mut reader, mut limited) = (store.begin(), store.begin());
    keys(&mut reader, between("a", "m")).await;
    let one = Range {
        limit: 1,
        ..between("a", "m")
    };
    keys(&mut limited, one).await;
    put(&store, "c", "1").await;
    reader.set(b"z", b"1");
    assert!(matches!(reader.commit().await, Err(Error::Conflict)));
    // The limit ended that read before "c".
    limited.set(b"z", b"1");
    limited.commit().await.unwrap();
}

async fn snapshot_reads_do_not_conflict(store: Arc<dyn Store>) {
    let mut reader = store.begin();
    reader.get(b"a", Isolation::Snapshot).await.unwrap();
    let range = Range {
        isolation: Isolation::Snapshot,
        ..between("a", "z")
    };
    keys(&mut reader, range).await;
    put(&store, "a", "1").await;
    reader.set(b"b", b"1");
    reader.commit().await.unwrap();
}

async fn blind_writes_do_not_conflict(store: Arc<dyn Store>) {
    let (mut one, mut two) = (store.begin(), store.begin());
    one.set(b"a", b"1");
    two.set(b"a", b"2");
    two.commit().await.unwrap();
    one.commit().await.unwrap();
    assert_eq!(read(&store, "a").await.unwrap(), "1");
}

async fn conflict_keys_conflict(store: Arc<dyn Store>) {
    let (mut one, mut two, mut three) = (store.begin(), store.begin(), store.begin());
    for transaction in [&mut one, &mut two, &mut three] {
        // Without a read, it may be as of its commit.
        transaction.read_version().await.unwrap();
    }
    one.add_write_conflict(b"fence");
    one.set(b"a", b"1");
    two.add_read_conflict(b"fence");
    two.set(b"b", b"1");
    three.add_read_conflict(b"other");
    three.set(b"c", b"1");
    one.commit().await.unwrap();
    assert!(matches!(two.commit().await, Err(Error::Conflict)));
    three.commit().await.unwrap();
    assert_eq!(read(&store, "fence").await, None, "it is not written");
}

async fn adds_do_not_conflict_and_sum_up(store: Arc<dyn Store>) {
    let (mut one, mut two) = (store.begin(), store.begin());
    one.add(b"n", 2);
    one.add(b"n", 3);
    two.add(b"n", -10);
    one.commit().await.unwrap();
    two.commit().await.unwrap();
    let number = |bytes: Bytes| i64::from_le_bytes(bytes[..].try_into().unwrap());
    assert_eq!(number(read(&store, "n").await.unwrap()), -5);
    let mut reader = store.begin();
    reader.add(b"n", 1);
    assert_eq!(number(get(&mut reader, "n").await.unwrap()), -4);
    let mut other = store.begin();
    other.add(b"n", 1);
    other.commit().await.unwrap();
    let conflict = reader.commit().await;
    assert!(matches!(conflict, Err(Error::Conflict)), "it was read");
    let mut concurrent = Vec::new();
    for _ in 0..50 {
        let mut transaction = store.begin();
        transaction.add(b"n", 1);
        concurrent.push(tokio::spawn(transaction.commit()));
    }
    for commit in concurrent {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(number(read(&store, "n").await.unwrap()), 46);
}

async fn versionstamped_keys_increase(store: Arc<dyn Store>) {
    let mut commits = Vec::new();
    for number in 0..20u8 {
        let mut transaction = store.begin();
        transaction.set_versionstamped_key(b"log/", b"/end", &[number]);
        commits.push(transaction.commit());
    }
    let mut stamps = Vec::new();
    for (number, commit) in commits.into_iter().enumerate() {
        stamps.push((commit.await.unwrap(), number));
    }
    let pairs = store.begin().range(between("log/", "log0")).await.unwrap();
    let mut expected = Vec::new();
    stamps.sort_by_key(|(committed, _)| committed.versionstamp);
    for (committed, number) in stamps {
        let key = [b"log/", &committed.versionstamp[..], b"/end"].concat();
        assert_eq!(
            committed.versionstamp[..8],
            committed.version.to_be_bytes()[..]
        );
        expected.push((
            Bytes::from(key),
            Bytes::from(vec![u8::try_from(number).unwrap()]),
        ));
    }
    assert_eq!(pairs, expected);
}

async fn versions_increase_and_begin_at_conflicts(store: Arc<dyn Store>) {
    let mut transaction = store.begin();
    transaction.set(b"a", b"1");
    let first = transaction.commit().await.unwrap();
    assert!(store.begin().read_version().await.unwrap() >= first.version);
    let mut next = store.begin_at(first.version);
    next.add_read_conflict(b"a");
    next.set(b"a", b"2");
    let second = next.commit().await.unwrap();
    assert!(second.version > first.version);
    let mut stale = store.begin_at(first.version);
    assert_eq!(get(&mut stale, "a").await.unwrap(), "1", "as of then");
    stale.set(b"b", b"1");
    assert!(matches!(stale.commit().await, Err(Error::Conflict)));
    let mut unrelated = store.begin_at(first.version);
    unrelated.add_read_conflict(b"c");
    unrelated.set(b"c", b"1");
    unrelated.commit().await.unwrap();
    let future = store
        .begin_at(u64::MAX)
        .get(b"a", Isolation::Snapshot)
        .await;
    assert!(future.is_err(), "{future:?}");
}

async fn cleared_ranges_clear_and_conflict(store: Arc<dyn Store>) {
    for key in ["a", "b", "c", "d"] {
        put(&store, key, "1").await;
    }
    let (mut inside, mut range, mut outside) = (store.begin(), store.begin(), store.begin());
    get(&mut inside, "bb").await;
    keys(&mut range, between("bx", "by")).await;
    get(&mut outside, "d").await;
    let mut clear = store.begin();
    clear.clear_range(b"b", b"d");
    clear.clear_range(b"x", b"x");
    clear.clear_range(b"z", b"y");
    clear.commit().await.unwrap();
    for reader in [inside, range] {
        let mut reader = reader;
        reader.set(b"z", b"1");
        assert!(matches!(reader.commit().await, Err(Error::Conflict)));
    }
    outside.set(b"y", b"1");
    outside.commit().await.unwrap();
    let left = keys(&mut store.begin(), between("a", "zz")).await;
    assert_eq!(left, "a=1 d=1 y=1 ");
}

async fn limits_are_refused_and_leave_no_trace(store: Arc<dyn Store>) {
    let refused = |transaction: Box<dyn Transaction>, what: &'static str| async move {
        match transaction.commit().await {
            Err(Error::TooLarge { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{what}: {other:?}"),
        }
    };
    let mut transaction = store.begin();
    transaction.set(b"a", b"1");
    transaction.set(&[b'k'; 10_001], b"1");
    refused(transaction, "key").await;
    let mut transaction = store.begin();
    transaction.set(b"a", &vec![0; 100_001]);
    refused(transaction, "value").await;
    let mut transaction = store.begin();
    for number in 0..101u32 {
        transaction.set(&number.to_be_bytes(), &vec![0; 100_000]);
    }
    refused(transaction, "transaction").await;
    assert_eq!(read(&store, "a").await, None);
    let mut largest = store.begin();
    // FoundationDB's limit, less what the prefix of a database takes that clusters share.
    largest.set(&[b'k'; 9_900], &vec![7; 100_000]);
    for number in 0..98u32 {
        largest.set(&number.to_be_bytes(), &vec![0; 100_000]);
    }
    largest.commit().await.unwrap();
    let mut reader = store.begin();
    let value = reader.get(&[b'k'; 9_900], Isolation::Serializable).await;
    assert_eq!(value.unwrap().unwrap(), vec![7; 100_000]);
}

async fn watches_fire_on_change_only(store: Arc<dyn Store>) {
    let mut watch = store.watch(b"a");
    let (dropped, mut other) = (store.watch(b"a"), store.watch(b"b"));
    drop(dropped);
    assert!(futures::poll!(&mut watch).is_pending());
    put(&store, "a", "1").await;
    watch.await.unwrap();
    assert!(futures::poll!(&mut other).is_pending());
    let mut clear = store.begin();
    clear.clear_range(b"a", b"c");
    clear.set(b"b", b"1");
    clear.commit().await.unwrap();
    other.await.unwrap();
}

async fn a_change_is_seen_by_a_watch_or_by_the_read_after_it(store: Arc<dyn Store>) {
    for round in 0..300u32 {
        let value = round.to_be_bytes();
        let mut transaction = store.begin();
        transaction.set(b"a", &value);
        // Whenever it is durable: before the watch, after the read, or in between.
        let commit = tokio::spawn(transaction.commit());
        let watch = store.watch(b"a");
        let seen = read(&store, "a").await;
        if seen.as_deref() != Some(&value[..]) {
            let fired = tokio::time::timeout(PATIENCE, watch).await;
            fired.expect("a change was missed").unwrap();
        }
        commit.await.unwrap().unwrap();
    }
}

/// How long anything here may take before it counts as hung. Never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

async fn reads_are_repeatable(store: Arc<dyn Store>) {
    put(&store, "a", "1").await;
    let mut reader = store.begin();
    assert_eq!(get(&mut reader, "a").await.unwrap(), "1");
    put(&store, "a", "2").await;
    put(&store, "b", "2").await;
    assert_eq!(get(&mut reader, "a").await.unwrap(), "1");
    assert_eq!(get(&mut reader, "b").await, None);
    assert_eq!(keys(&mut reader, between("a", "z")).await, "a=1 ");
    let version = reader.read_version().await.unwrap();
    let read_only = reader.commit().await.unwrap();
    assert_eq!(read_only.version, version);
}

async fn dropped_transactions_leave_no_trace(store: Arc<dyn Store>) {
    let mut transaction = store.begin();
    transaction.set(b"a", b"1");
    drop(transaction);
    let mut transaction = store.begin();
    transaction.set(b"a", b"1");
    drop(transaction.commit());
    assert_eq!(read(&store, "a").await, None);
}

async fn any_bytes_are_a_key(store: Arc<dyn Store>) {
    let keys: [&[u8]; 5] = [b"", b"\0", b"\0version", b"\xfe", b"\xfe\xff\xff"];
    let mut transaction = store.begin();
    for key in keys {
        transaction.set(key, key);
    }
    transaction.commit().await.unwrap();
    let all = Range {
        begin: Bound::Unbounded,
        end: Bound::Unbounded,
        ..between("", "")
    };
    let pairs = store.begin().range(all).await.unwrap();
    let found: Vec<&[u8]> = pairs.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(found, keys);
    for key in keys {
        let value = store.begin().get(key, Isolation::Snapshot).await.unwrap();
        assert_eq!(value.unwrap(), key);
    }
}

async fn transactions_older_than_the_window_are_refused(store: Arc<dyn Store>) {
    let mut reader = store.begin();
    let version = reader.read_version().await.unwrap();
    // Where the window holds a bounded number of writes, whatever their age, that is soon; elsewhere it takes the
    // window's time.
    let outlast = async {
        let chunk = 20_000u32;
        for round in 0.. {
            let mut transaction = store.begin();
            for number in round * chunk..(round + 1) * chunk {
                transaction.add_write_conflict(&number.to_be_bytes());
            }
            transaction.commit().await.unwrap();
            let mut probe = store.begin_at(version);
            if let Err(Error::TooOld) = probe.get(b"a", Isolation::Snapshot).await {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, outlast).await.unwrap();
    let read = reader.get(b"a", Isolation::Snapshot).await;
    assert!(matches!(read, Err(Error::TooOld)), "{read:?}");
    reader.set(b"a", b"1");
    assert!(matches!(reader.commit().await, Err(Error::TooOld)));
    let mut late = store.begin_at(version);
    late.set(b"a", b"1");
    assert!(matches!(late.commit().await, Err(Error::TooOld)));
    put(&store, "a", "1").await;
}

/// What one transaction saw and did.
#[derive(Debug)]
struct Done {
    versionstamp: [u8; 10],
    reads: Vec<(u8, Option<u8>)>,
    /// The number of keys in a range.
    count: (u8, u8, usize),
    writes: Vec<(u8, Option<u8>)>,
}

async fn concurrent_histories_have_a_serial_order(store: Arc<dyn Store>) {
    let clock = Clock::manual(0, 11);
    let tasks = (0..8).map(|task| {
        let (store, clock) = (Arc::clone(&store), clock.clone());
        tokio::spawn(async move {
            let mut history = Vec::new();
            for _ in 0..100 {
                history.extend(random_transaction(&*store, &clock, task).await);
            }
            history
        })
    });
    let mut history = Vec::new();
    for done in futures::future::join_all(tasks).await {
        history.extend(done.unwrap());
    }
    assert!(history.len() > 50, "hardly anything committed");
    // Versionstamps are the order of commits: one after the other must give what each saw.
    history.sort_by_key(|done| done.versionstamp);
    let mut model = BTreeMap::new();
    for done in &history {
        for (key, seen) in &done.reads {
            assert_eq!(model.get(key), seen.as_ref(), "{done:?}");
        }
        let (from, to, count) = done.count;
        assert_eq!(model.range(from..to).count(), count, "{done:?}");
        for (key, value) in &done.writes {
            match value {
                Some(value) => model.insert(*key, *value),
                None => model.remove(key),
            };
        }
    }
    for key in 0..KEYS {
        let stored = store
            .begin()
            .get(&[key], Isolation::Snapshot)
            .await
            .unwrap();
        assert_eq!(stored.map(|value| value[0]), model.get(&key).copied());
    }
}

/// Few, so that transactions meet.
const KEYS: u8 = 12;

async fn random_transaction(store: &dyn Store, clock: &Clock, task: u8) -> Option<Done> {
    let byte = |bound: u8| u8::try_from(clock.random() % u64::from(bound)).unwrap();
    let mut transaction = store.begin();
    let mut reads = Vec::new();
    for _ in 0..byte(3) {
        let key = byte(KEYS);
        let value = transaction
            .get(&[key], Isolation::Serializable)
            .await
            .unwrap();
        reads.push((key, value.map(|value| value[0])));
        // Others get in between.
        tokio::task::yield_now().await;
    }
    // Behind all keys. A commit has a place in the order if it wrote one.
    transaction.set_versionstamped_key(&[KEYS], &[], &[]);
    let (one, two) = (byte(KEYS), byte(KEYS));
    let (from, to) = (one.min(two), one.max(two));
    let range = Range {
        begin: Bound::Included(Bytes::from(vec![from])),
        end: Bound::Excluded(Bytes::from(vec![to])),
        ..between("", "")
    };
    let count = transaction.range(range).await.unwrap().len();
    let mut writes = Vec::new();
    for _ in 0..=byte(2) {
        let key = byte(KEYS);
        let value = (byte(4) > 0).then_some(task);
        match value {
            Some(value) => transaction.set(&[key], &[value]),
            None => transaction.clear(&[key]),
        }
        writes.push((key, value));
    }
    if byte(8) == 0 {
        transaction.clear_range(&[from], &[to]);
        writes.extend((from..to).map(|key| (key, None)));
    }
    match transaction.commit().await {
        Ok(committed) => Some(Done {
            versionstamp: committed.versionstamp,
            reads,
            count: (from, to, count),
            writes,
        }),
        Err(Error::Conflict | Error::TooOld) => None,
        Err(other) => panic!("{other}"),
    }
}

async fn transfers_keep_the_sum(store: Arc<dyn Store>) {
    let clock = Clock::manual(0, 5);
    let mut transaction = store.begin();
    for account in 0..4u8 {
        transaction.set(&[account], &[100]);
    }
    transaction.commit().await.unwrap();
    let tasks = (0..8u8).map(|task| {
        let (store, clock) = (Arc::clone(&store), clock.clone());
        tokio::spawn(async move {
            for number in 0..20u8 {
                let (from, to) = ([task % 4], [(task + number) % 4]);
                let moved = run(&*store, &clock, |mut transaction| async move {
                    let mut have = [0, 0];
                    for (have, account) in have.iter_mut().zip([&from, &to]) {
                        let read = transaction.get(account, Isolation::Serializable).await?;
                        *have = read.map_or(0, |value| value[0]);
                    }
                    if from != to && have[0] > 0 && have[1] < u8::MAX {
                        transaction.set(&from, &[have[0] - 1]);
                        transaction.set(&to, &[have[1] + 1]);
                    }
                    Ok((transaction, ()))
                });
                moved.await.unwrap();
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    let all = Range {
        begin: Bound::Unbounded,
        end: Bound::Unbounded,
        ..between("", "")
    };
    let pairs = store.begin().range(all).await.unwrap();
    let sum: u32 = pairs.iter().map(|(_, value)| u32::from(value[0])).sum();
    assert_eq!(sum, 400);
}

async fn large_values_are_chunked_and_replaced(store: Arc<dyn Store>) {
    let actor = ActorPath {
        slot: 3,
        tenant: Tenant::default_tenant(),
        address: "room/42".parse().unwrap(),
    };
    let prefix = actor.prefix();
    let mut before = 0;
    for length in [8 * 1024 * 1024, 0, 90_001, 90_000, 1] {
        let value: Vec<u8> = (0u8..251).cycle().take(length).collect();
        let mut transaction = store.begin();
        let key = |chunk| prefix.state(chunk);
        before = chunk::replace(&mut *transaction, key, &value, before).unwrap();
        transaction.commit().await.unwrap();
        let mut transaction = store.begin();
        let range = prefix.state_chunks();
        let read = chunk::read(&mut *transaction, &range, Isolation::Snapshot).await;
        let whole = read.unwrap().unwrap();
        assert_eq!(whole.chunks, before);
        assert!(whole.value == value, "{length} bytes came back otherwise");
    }
    let mut transaction = store.begin();
    let key = |chunk| prefix.payload(chunk);
    let too_large = chunk::replace(&mut *transaction, key, &vec![0; 8 * 1024 * 1024 + 1], 0);
    assert!(matches!(too_large, Err(Error::TooLarge { .. })));
    let range = prefix.payload_chunks();
    let none = chunk::read(&mut *transaction, &range, Isolation::Snapshot).await;
    assert_eq!(none.unwrap(), None);
}
