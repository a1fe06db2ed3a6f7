//! A storage node and a node on its store, as processes of their own: killed, stopped, misconfigured.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use super::cluster::{Cluster, address, init_ca, issue, issue_command};
use super::kill::visits;
use super::traffic::Traffic;
use super::{Access, Node, fail, selvedge};

impl Cluster {
    /// The command of a node on that store.
    fn on(&self, store: &str) -> Command {
        let mut command = self.production.command("127.0.0.1:0");
        command.args(["--store", store, "--peer", "127.0.0.1:0"]);
        self.known_as(&mut command, "node-1");
        command
    }

    fn compute(&self, storage: &Node) -> Node {
        let store = format!("node:storage-1@{}", address(storage));
        Node::spawn(&mut self.on(&store))
    }

    fn access(&self, node: &Node) -> Access {
        self.production.access(node)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storage_node_killed_under_load_loses_nothing_acknowledged() {
    let cluster = Cluster::new();
    let mut storage = cluster.storage("127.0.0.1:0");
    assert_eq!(storage.ready["quic"], serde_json::Value::Null);
    let peer = address(&storage).to_owned();
    let compute = cluster.compute(&storage);
    let access = cluster.access(&compute);

    let mut traffic = Traffic::start(&access, "room/stored").await;
    for _ in 0..4 {
        traffic.advance(50).await;
        storage.kill();
        storage = cluster.storage(&peer);
    }
    traffic.advance(50).await;
    let outcome = traffic.finish().await;
    assert!(outcome.acknowledged >= 4 * 50);
    assert_eq!(outcome.unknown, 0, "commands of a session that goes on");
    // The node never ended, and ends in order.
    assert!(compute.stop("TERM").success());
    assert!(storage.stop("TERM").success());
}

#[test]
fn a_command_id_has_one_effect_across_kills_of_the_storage_node() {
    const KILLS: usize = 4;
    const COMMANDS: usize = 5;
    let cluster = Cluster::new();
    let mut storage = cluster.storage("127.0.0.1:0");
    let peer = address(&storage).to_owned();
    let compute = cluster.compute(&storage);
    let access = cluster.access(&compute);
    let (begun, writer) = visits(&access, KILLS * COMMANDS);
    while let Ok(number) = begun.recv() {
        if number % COMMANDS == COMMANDS - 1 {
            storage.kill();
            storage = cluster.storage(&peer);
        }
    }
    writer.join().unwrap();
    let shown = access.ask(&["actor", "get", "counter/visits"]);
    assert_eq!(shown["state"], json!({ "value": KILLS * COMMANDS }));
    drop(compute);
    // What is stored is there for another node.
    let compute = cluster.compute(&storage);
    let shown = cluster
        .access(&compute)
        .ask(&["actor", "get", "counter/visits"]);
    assert_eq!(shown["seq"], KILLS * COMMANDS);
}

#[test]
fn operations_run_on_a_storage_node() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let compute = cluster.compute(&storage);
    let file = cluster.path("payload");
    fs::write(&file, vec![7; 3_000_000]).unwrap();
    let payload = file.display().to_string();
    let done = cluster.access(&compute).ask(&[
        "op",
        "submit",
        "digest",
        "--id",
        "a1",
        "--payload",
        &payload,
        "--wait",
    ]);
    assert_eq!(done["status"], "succeeded", "{done}");
}

#[test]
fn a_node_whose_storage_node_is_gone_ends_in_order() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let compute = cluster.compute(&storage);
    let access = cluster.access(&compute);
    access.ask(&["actor", "send", "counter/a", "add", r#"{"by":1}"#]);
    storage.kill();
    assert!(compute.stop("TERM").success());
}

#[test]
fn nobody_and_strangers_at_the_storage_address_are_told_apart() {
    let cluster = Cluster::new();
    let nobody = fail(&mut cluster.on("node:127.0.0.1:1"), 5);
    assert!(nobody.contains("--store: no node answers at"), "{nobody}");

    let storage = cluster.storage("127.0.0.1:0");
    let at = address(&storage);
    let named = fail(&mut cluster.on(&format!("node:other@{at}")), 4);
    assert!(named.contains("not that of \"other\""), "{named}");

    let mut elsewhere = cluster.production.command("127.0.0.1:0");
    elsewhere.args(["--store", &format!("node:{at}")]);
    let other = Cluster::new();
    other.known_as(&mut elsewhere, "node-1");
    let stranger = fail(&mut elsewhere, 4);
    assert!(
        stranger.contains("not of this cluster's authority"),
        "{stranger}"
    );

    let mut unknown = cluster.production.command("127.0.0.1:0");
    unknown.args(["--store", &format!("node:{at}")]);
    let unknown = fail(&mut unknown, 2);
    for part in ["peer_ca", "--peer-certificate", "init-ca"] {
        assert!(unknown.contains(part), "{unknown}");
    }
}

#[test]
fn certificates_are_never_overwritten_and_wrong_input_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let ca = scratch.path().join("ca");
    init_ca(&ca);
    let before = fs::read(ca.join("ca.key")).unwrap();
    let mut again = selvedge();
    again.args(["cluster", "init-ca", "--out"]).arg(&ca);
    let said = fail(&mut again, 2);
    assert!(said.contains("--out") && said.contains("exists"), "{said}");
    assert_eq!(fs::read(ca.join("ca.key")).unwrap(), before);

    issue(scratch.path(), "node-1");
    let said = fail(&mut issue_command(scratch.path(), "node-1"), 2);
    assert!(said.contains("node-1.pem"), "{said}");
    let said = fail(&mut issue_command(scratch.path(), "Node 1"), 2);
    assert!(said.contains("--name"), "{said}");
    let mut bad_host = issue_command(scratch.path(), "node-2");
    let said = fail(bad_host.args(["--host", "né"]), 2);
    assert!(said.contains("--host"), "{said}");
    assert!(!scratch.path().join("nodes/node-2.key").exists());

    fs::remove_file(ca.join("ca.key")).unwrap();
    let said = fail(&mut issue_command(scratch.path(), "node-3"), 2);
    assert!(said.contains("--ca") && said.contains("ca.key"), "{said}");
}

#[test]
fn a_storage_node_of_development_makes_its_own_certificates() {
    let scratch = tempfile::tempdir().unwrap();
    let mut dev = super::dev(&scratch.path().join("stored"));
    let storage = Node::spawn(dev.args(["--roles", "storage"]));
    let made = scratch.path().join("stored/development");
    let mut on = super::dev(&scratch.path().join("other"));
    on.args(["--store", &format!("node:{}", address(&storage))]);
    on.arg("--peer-ca").arg(made.join("peer-ca.pem"));
    on.arg("--peer-certificate").arg(made.join("peer.pem"));
    on.arg("--peer-key").arg(made.join("peer.key"));
    let compute = Node::spawn(&mut on);
    let sent = ["actor", "send", "counter/a", "add", r#"{"by":2}"#];
    assert_eq!(compute.access().ask(&sent)["seq"], 1);
    let mut beside = super::dev(&scratch.path().join("third"));
    let said = fail(
        beside
            .args(["--roles", "edge,storage"])
            .stderr(Stdio::piped()),
        2,
    );
    assert!(said.contains("storage stands alone"), "{said}");
    assert!(storage.stop("TERM").success());
}
