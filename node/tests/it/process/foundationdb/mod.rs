//! Nodes on a real FoundationDB: of this test's own processes, where `SELVEDGE_TEST_FDB_BIN` names a directory with
//! `fdbserver` and `fdbcli`; else these tests say that they were not run.

mod client;
mod servers;
mod trouble;
mod verify;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use self::servers::Servers;
use super::kill::visits;
use super::traffic::Traffic;
use super::{Access, Node, dev, fail};

/// A node on a database.
fn on(file: &Path, data_dir: &Path) -> Command {
    let mut command = dev(data_dir);
    command.args(["--store", &format!("fdb:{}", file.display())]);
    command
}

fn value(access: &Access) -> Value {
    access.ask(&["actor", "get", "counter/visits"])["state"].clone()
}

#[test]
fn what_is_no_database_says_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let file = scratch.path().join("fdb.cluster");
    let plain =
        |command: &mut Command, code| fail(command.stderr(std::process::Stdio::piped()), code);
    let absent = plain(&mut on(&file, &data), 2);
    assert!(absent.contains("cannot be read"), "{absent}");
    assert!(absent.contains("/etc/foundationdb/fdb.cluster"), "{absent}");
    std::fs::write(&file, "nothing of the sort").unwrap();
    let malformed = plain(&mut on(&file, &data), 2);
    assert!(malformed.contains("there is no @ in it"), "{malformed}");
    std::fs::write(&file, "test:test@127.0.0.1:1").unwrap();
    let silent = plain(&mut on(&file, &data), 5);
    for part in ["--store", "does not answer", "127.0.0.1:1", "servers run"] {
        assert!(silent.contains(part), "{part}: {silent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_killed_under_load_lose_nothing_acknowledged() {
    let Some(mut servers) = Servers::start(3) else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::spawn(&mut on(servers.file(), &scratch.path().join("data")));
    let mut traffic = Traffic::start(&node.access(), "room/stored").await;
    for number in 0..servers.count() {
        traffic.advance(50).await;
        servers.kill(number);
        traffic.advance(50).await;
        servers.start_again(number);
    }
    // All at once: nothing can be committed meanwhile.
    (0..servers.count()).for_each(|number| servers.kill(number));
    (0..servers.count()).for_each(|number| servers.start_again(number));
    traffic.advance(50).await;
    let outcome = traffic.finish().await;
    assert_eq!(outcome.unknown, 0, "commands of a session that goes on");
    assert!(node.stop("TERM").success());
}

#[test]
fn a_command_id_has_one_effect_across_kills_of_the_servers() {
    const KILLS: usize = 4;
    const COMMANDS: usize = 5;
    let Some(mut servers) = Servers::start(1) else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::spawn(&mut on(servers.file(), &scratch.path().join("data")));
    let access = node.access();
    let (begun, writer) = visits(&access, KILLS * COMMANDS);
    while let Ok(number) = begun.recv() {
        if number % COMMANDS == COMMANDS - 1 {
            servers.kill(0);
            servers.start_again(0);
        }
    }
    writer.join().unwrap();
    assert_eq!(value(&access), json!({ "value": KILLS * COMMANDS }));
    node.kill();
    // What is stored is there for another node.
    let node = Node::spawn(&mut on(servers.file(), &scratch.path().join("other")));
    assert_eq!(value(&node.access()), json!({ "value": KILLS * COMMANDS }));
}

#[test]
fn a_locked_database_is_told_and_opened_again() {
    let Some(servers) = Servers::start(1) else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    servers.cli("lock");
    let mut command = on(servers.file(), &scratch.path().join("data"));
    let locked = fail(command.stderr(std::process::Stdio::piped()), 5);
    assert!(
        locked.contains("locked") && locked.contains("unlock"),
        "{locked}"
    );
    servers.unlock();
    let node = Node::spawn(&mut on(servers.file(), &scratch.path().join("data")));
    assert!(node.stop("TERM").success());
}
