//! Disks that fill up: refused before they are full, survived when they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{Error, Isolation, Store};

use super::{all, config, put};

#[tokio::test]
async fn commits_are_refused_within_the_reserve_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(config(directory.path())).unwrap();
    put(&store, "a", b"1").await.unwrap();
    drop(store);
    let greedy = EmbeddedConfig {
        reserve_bytes: u64::MAX,
        ..config(directory.path())
    };
    let store = Embedded::open(greedy).unwrap();
    match put(&store, "a", b"2").await {
        Err(error @ Error::Full { .. }) => {
            assert!(error.to_string().contains("free some space"));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.health(), Err(Error::Full { .. })));
    let value = store.begin().get(b"a", Isolation::Snapshot).await.unwrap();
    assert_eq!(value.unwrap(), "1");
    drop(store);
    let store = Embedded::open(config(directory.path())).unwrap();
    store.health().unwrap();
    put(&store, "a", b"3").await.unwrap();
}

/// Not a test by itself: runs in a name space of its own, on a small disk of its own.
#[tokio::test]
async fn small_disk_process() {
    let Ok(disk) = std::env::var(DISK) else {
        return;
    };
    let disk = Path::new(&disk);
    commits_go_on_when_space_is_back(disk).await;
    a_disk_that_is_really_full_loses_nothing(disk).await;
}

async fn commits_go_on_when_space_is_back(disk: &Path) {
    let path = disk.join("reserve");
    let reserve = EmbeddedConfig {
        reserve_bytes: 16 * 1024 * 1024,
        ..config(&path)
    };
    let store = Embedded::open(reserve).unwrap();
    put(&store, "a", b"1").await.unwrap();
    fs::write(disk.join("filler"), vec![7; 40 * 1024 * 1024]).unwrap();
    let refused = loop {
        // The disk is looked at every so often only.
        match put(&store, "a", b"2").await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    fs::remove_file(disk.join("filler")).unwrap();
    while put(&store, "b", b"3").await.is_err() {
        tokio::task::yield_now().await;
    }
    store.health().unwrap();
    store.close();
    fs::remove_dir_all(path).unwrap();
}

async fn a_disk_that_is_really_full_loses_nothing(disk: &Path) {
    let path = disk.join("full");
    let none = || EmbeddedConfig {
        reserve_bytes: 0,
        ..config(&path)
    };
    let store = Embedded::open(none()).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        let key = format!("{acknowledged:08}");
        match put(&store, &key, &[7; 50_000]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::CommitUnknown | Error::Stopped(_)),
        "{error}"
    );
    assert!(matches!(store.health(), Err(Error::Stopped(_))));
    assert!(matches!(
        put(&store, "x", b"1").await,
        Err(Error::Stopped(_))
    ));
    assert!(all(&store).await.unwrap().len() >= acknowledged);
    drop(store);
    // Somebody makes room, here by a larger disk.
    let mount = Command::new("mount")
        .args(["-o", "remount,size=256m"])
        .arg(disk)
        .status();
    assert!(mount.unwrap().success());
    let store = Embedded::open(none()).unwrap();
    let pairs = all(&store).await.unwrap();
    // The last one may have been written without being answered.
    assert!((acknowledged..=acknowledged + 1).contains(&pairs.len()));
    put(&store, "x", b"1").await.unwrap();
}

#[test]
fn small_disks_are_survived() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=64m none "$1" && shift && exec "$@""#;
    let run = |program: &str, arguments: &[&str]| {
        Command::new("unshare")
            .args(["-rm", "sh", "-c", script, "sh"])
            .arg(directory.path())
            .arg(program)
            .args(arguments)
            .env(DISK, directory.path())
            .output()
    };
    match run("true", &[]) {
        Ok(output) if output.status.success() => {}
        _ => {
            println!("not run: no name spaces with mounts of their own here");
            return;
        }
    }
    let this = std::env::current_exe().unwrap();
    let test = "store::embedded::full::small_disk_process";
    let output = run(this.to_str().unwrap(), &["--exact", test, "--nocapture"]).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

const DISK: &str = "SELVEDGE_TEST_SMALL_DISK";
