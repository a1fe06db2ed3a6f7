//! `selvedge start` killed with -9 under load: what was acknowledged is there, once, and in order.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use selvedge_client::{OperationId, OperationStatus};
use serde_json::json;

use super::traffic::Traffic;
use super::{Access, Node, append, dev, json, run, selvedge, text};

/// A configuration for `start`, with the certificates and the token that `dev` once made.
#[derive(Debug)]
pub(crate) struct Production {
    config: PathBuf,
    data_dir: PathBuf,
    ca: PathBuf,
    token: String,
}

impl Production {
    pub(crate) fn new(scratch: &Path) -> Self {
        let made = scratch.join("made");
        let node = Node::spawn(&mut dev(&made));
        let access = node.access();
        assert!(node.stop("TERM").success());
        let files = made.join("development");
        let text = format!(
            "token_file = {:?}\n[tls]\ncertificate = {:?}\nkey = {:?}\n",
            files.join("token"),
            files.join("node.pem"),
            files.join("node.key"),
        );
        let config = scratch.join("node.toml");
        fs::write(&config, text).unwrap();
        Self {
            config,
            data_dir: scratch.join("data"),
            ca: access.ca,
            token: access.token,
        }
    }

    /// Starts the node at an address; port 0 asks for a free one.
    pub(crate) fn start(&self, address: &str) -> Node {
        let mut command = self.command(address);
        let log = self.data_dir.with_extension("log");
        Node::try_spawn(command.stderr(append(&log)))
            .unwrap_or_else(|status| panic!("{status}: {}", fs::read_to_string(&log).unwrap()))
    }

    /// The file that names certificate and token.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// The command that starts it.
    pub(crate) fn command(&self, address: &str) -> Command {
        let mut command = selvedge();
        command
            .args(["start", "--output", "json", "--quic", address, "--config"])
            .arg(&self.config)
            .args(["--http", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(&self.data_dir);
        command
    }

    pub(crate) fn access(&self, node: &Node) -> Access {
        let server = node.ready["quic"].as_str().unwrap().to_owned();
        Access {
            server,
            ca: self.ca.clone(),
            token: self.token.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_work_survives_kills_under_load() {
    let scratch = tempfile::tempdir().unwrap();
    let production = Production::new(scratch.path());
    let mut node = production.start("127.0.0.1:0");
    let access = production.access(&node);
    let log = scratch.path().join("acknowledged");

    let mut bench = access.client(&[
        "bench",
        "ops",
        "--seconds",
        "12",
        "--in-flight",
        "16",
        "--baseline",
        "false",
    ]);
    bench
        .arg("--log")
        .arg(&log)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let bench = bench.spawn().unwrap();
    let mut bench = tokio::task::spawn_blocking(|| bench.wait_with_output().unwrap());
    let mut traffic = Traffic::start(&access, "room/killed").await;
    let mut kills = 0;
    let bench = loop {
        tokio::select! {
            ended = &mut bench => break ended.unwrap(),
            () = traffic.advance(50) => {
                node.kill();
                kills += 1;
                node = production.start(&access.server);
            }
        }
    };
    assert!(kills >= 3, "{kills} kills");
    let outcome = traffic.finish().await;
    assert!(outcome.acknowledged >= 3 * 50);
    assert_eq!(outcome.unknown, 0, "commands of a session that was resumed");

    let report = json(&bench);
    assert_eq!(report["errors"], 0, "{report} {}", text(&bench.stderr));
    let log = fs::read_to_string(&log).unwrap();
    let acknowledged: BTreeSet<&str> = log.lines().collect();
    assert_eq!(
        report["completed"].as_u64(),
        Some(acknowledged.len() as u64),
        "{report}"
    );
    let client = access.connect().await;
    for id in acknowledged {
        let operation = client
            .session()
            .operation(&OperationId::new(id).unwrap())
            .await
            .unwrap();
        assert_eq!(
            operation.status,
            OperationStatus::Succeeded,
            "{operation:?}"
        );
    }
    client.close().await;
}

/// How often a node is killed while a program sends commands with ids.
const KILLS: usize = 4;
/// Commands between two kills.
const COMMANDS: usize = 6;

/// Sends commands with ids from a thread of its own, each until it is answered and then once more. Tells
/// before each which it is.
pub(super) fn visits(access: &Access, count: usize) -> (Receiver<usize>, JoinHandle<()>) {
    let (begin, begun) = channel();
    let access = access.clone();
    let writer = std::thread::spawn(move || {
        for number in 0..count {
            begin.send(number).unwrap();
            let id = format!("visit {number}");
            let send = [
                "actor",
                "send",
                "counter/visits",
                "add",
                r#"{"by":1}"#,
                "--command-id",
                &id,
            ];
            let first = until_answered(&mut access.client(&send));
            assert_eq!(first["seq"], number + 1);
            // A repeat gets the stored outcome.
            assert_eq!(until_answered(&mut access.client(&send)), first);
        }
    });
    (begun, writer)
}

#[test]
fn a_command_id_has_one_effect_across_kills() {
    let scratch = tempfile::tempdir().unwrap();
    let production = Production::new(scratch.path());
    let mut node = production.start("127.0.0.1:0");
    let access = production.access(&node);
    let (begun, writer) = visits(&access, KILLS * COMMANDS);
    while let Ok(number) = begun.recv() {
        // While the command is on its way.
        if number % COMMANDS == COMMANDS - 1 {
            node.kill();
            node = production.start(&access.server);
        }
    }
    writer.join().unwrap();
    let shown = access.ask(&["actor", "get", "counter/visits"]);
    assert_eq!(shown["state"], json!({ "value": KILLS * COMMANDS }));
    assert_eq!(shown["seq"], KILLS * COMMANDS);
}

/// Repeats a command while its outcome is not known, as a script would.
pub(crate) fn until_answered(command: &mut Command) -> serde_json::Value {
    for _ in 0..20 {
        let output = run(command);
        if output.status.code() != Some(5) {
            return json(&output);
        }
    }
    panic!("unavailable twenty times: {command:?}");
}
