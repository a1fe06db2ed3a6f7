//! Which directories are opened, by whom, and what closing does.

use std::fs;
use std::sync::Arc;

use selvedge_cluster::store::{Error, Isolation, Store};

use super::super::scratch;
use super::{open, put};

#[test]
fn a_second_opener_is_told_who_has_it() {
    let directory = scratch();
    let store = open(directory.path()).unwrap();
    match open(directory.path()) {
        Err(error @ Error::Locked { process, .. }) => {
            assert_eq!(process, Some(std::process::id()));
            assert!(error.to_string().contains("in use by another process"));
        }
        other => panic!("{other:?}"),
    }
    drop(store);
    open(directory.path()).unwrap();
}

#[test]
fn a_stale_lock_file_is_no_obstacle() {
    let directory = scratch();
    fs::write(directory.path().join("selvedge.lock"), "1\n").unwrap();
    open(directory.path()).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = scratch();
    fs::write(directory.path().join("thesis.txt"), "mine").unwrap();
    match open(directory.path()) {
        Err(Error::Corrupt { reason, .. }) => assert!(reason.contains("thesis.txt"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn another_format_is_refused() {
    let directory = scratch();
    drop(open(directory.path()).unwrap());
    fs::write(directory.path().join("FORMAT"), "selvedge-store 2\n").unwrap();
    match open(directory.path()) {
        Err(Error::Corrupt { reason, .. }) => assert!(reason.contains("selvedge-store 2")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_creation_that_was_killed_is_done_again() {
    let directory = scratch();
    drop(open(directory.path()).unwrap());
    fs::remove_file(directory.path().join("FLOOR")).unwrap();
    fs::remove_file(directory.path().join("data/version")).unwrap();
    // As fjall leaves it before its first batch: the journal is there and empty.
    let journal = fs::File::create(directory.path().join("data/0.jnl")).unwrap();
    journal.set_len(1 << 20).unwrap();
    open(directory.path()).unwrap();
}

#[tokio::test]
async fn closing_ends_everything_and_frees_the_directory() {
    let directory = scratch();
    let store = Arc::new(open(directory.path()).unwrap());
    put(&store, "a", b"1").await.unwrap();
    let watch = store.watch(b"a");
    let mut late = store.begin();
    late.set(b"b", b"1");
    store.close();
    store.close();
    assert!(matches!(late.commit().await, Err(Error::Stopped(_))));
    assert!(matches!(watch.await, Err(Error::Stopped(_))));
    let read = store.begin().get(b"a", Isolation::Snapshot).await;
    assert!(matches!(read, Err(Error::Stopped(_))), "{read:?}");
    assert!(matches!(store.health(), Err(Error::Stopped(_))));
    assert!(matches!(
        put(&store, "b", b"1").await,
        Err(Error::Stopped(_))
    ));
    let again = open(directory.path()).unwrap();
    let value = again.begin().get(b"a", Isolation::Snapshot).await.unwrap();
    assert_eq!(value.unwrap(), "1");
    let absent = again.begin().get(b"b", Isolation::Snapshot).await.unwrap();
    assert_eq!(absent, None);
}

#[tokio::test]
async fn versions_go_on_after_a_restart() {
    let directory = scratch();
    let store = open(directory.path()).unwrap();
    let before = put(&store, "a", b"1").await.unwrap();
    drop(store);
    let store = open(directory.path()).unwrap();
    let mut stale = store.begin_at(before.version - 1);
    stale.set(b"a", b"2");
    assert!(matches!(stale.commit().await, Err(Error::TooOld)));
    let after = put(&store, "a", b"3").await.unwrap();
    assert!(after.version > before.version);
    assert!(after.versionstamp > before.versionstamp);
}
