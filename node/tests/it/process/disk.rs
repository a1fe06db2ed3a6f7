//! A full disk: a tmpfs of the test's own, in a mount namespace that the node alone is in.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use selvedge_client::{CallError, ErrorCode, actor};
use serde_json::json;

use super::{Node, fail, get, run, text};

/// Bytes of the disk: the default reserve of 64 MiB and some room above it.
const DISK_MIB: usize = 160;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_refuses_commands_and_keeps_what_was_acknowledged() {
    if !can_mount() {
        eprintln!("full disk: NOT RUN, `unshare -rm` and a tmpfs are not allowed here");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mounted = scratch.path().join("disk");
    fs::create_dir(&mounted).unwrap();
    // The development files are outside, so that the client finds the authority.
    let start = format!(
        "mount -t tmpfs -o size={DISK_MIB}m tmpfs {0} && exec {1} dev --output json --quic 127.0.0.1:0 --http 127.0.0.1:0 --data-dir {0}/data",
        mounted.display(),
        env!("CARGO_BIN_EXE_selvedge"),
    );
    let node = Node::spawn(Command::new("unshare").args(["-rm", "sh", "-c", &start]));
    // The node's own view of the disk.
    let inside = |path: &str| {
        PathBuf::from(format!(
            "/proc/{}/root{}/{path}",
            node.process(),
            mounted.display()
        ))
    };
    let mut access = node.access();
    access.ca = inside("data/development/ca.pem");
    let client = access.connect().await;
    let counter = || actor("counter/full").unwrap();
    let add = || {
        client
            .session()
            .command(counter(), "add", json!({ "by": 1 }))
    };
    add().send().await.unwrap();

    // To the last byte: neither the reserve nor the journal has room.
    let filler = inside("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let full = std::io::copy(&mut std::io::repeat(7), &mut file).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let refused = add()
        .deadline(std::time::Duration::from_secs(1))
        .send()
        .await
        .unwrap_err();
    match refused {
        CallError::Failure(failure) => {
            assert_eq!(failure.code, ErrorCode::Unavailable, "{failure}");
        }
        other => assert!(matches!(other, CallError::Timeout), "{other:?}"),
    }
    // Reads go on, and the command line says what is wrong.
    let shown = access.ask(&["actor", "get", "counter/full"]);
    assert_eq!(shown["state"], json!({ "value": 1 }));
    let said = fail(
        &mut access.client(&["actor", "send", "counter/full", "add", r#"{"by":1}"#]),
        5,
    );
    assert!(
        said.contains("still waiting: the disk of the node is full"),
        "{said}"
    );
    let told = said.matches("still waiting").count();
    assert_eq!(told, 1, "{said}");
    orchestrators_hear_of_it(node.ready["http"].as_str().unwrap());

    drop(file);
    fs::remove_file(&filler).unwrap();
    let done = add().send().await.unwrap();
    assert_eq!(done.seq, 2, "what was refused has had no effect");
    let ready = get(node.ready["http"].as_str().unwrap(), "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    client.close().await;
    let gone = run(&mut access.client(&["op", "submit", "digest", "--wait"]));
    assert!(gone.status.success(), "{}", text(&gone.stderr));
    assert!(node.stop("TERM").success());
}

/// Whether a process may have disks of its own here.
fn can_mount() -> bool {
    let probe = "mount -t tmpfs tmpfs /mnt";
    let tried = Command::new("unshare")
        .args(["-rm", "sh", "-c", probe])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// The process lives, but no client is to be sent here.
fn orchestrators_hear_of_it(http: &str) {
    let unready = get(http, "/readyz");
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    assert!(unready.contains("store is full: 0 bytes free"), "{unready}");
    assert!(get(http, "/livez").starts_with("HTTP/1.1 200"));
}
