//! `selvedge dev --nodes`: a cluster of processes under one command, which is stopped, killed, and loses nodes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use super::{Access, Node, PATIENCE, dev, end_within, fail, json, run, selvedge, send_signal};

/// A cluster, and what its command says on standard error.
pub(super) struct Cluster {
    pub(super) node: Node,
    said: Receiver<String>,
}

impl Cluster {
    /// Of this many nodes, with a ready file beside the data directory.
    pub(super) fn start(data_dir: &Path, nodes: usize) -> Self {
        let mut command = dev(data_dir);
        command.args(["--nodes", &nodes.to_string(), "--ready-file"]);
        command.arg(data_dir.with_extension("ready"));
        let mut node = Node::spawn(command.stderr(Stdio::piped()));
        let said = lines(&mut node.child);
        Self { node, said }
    }

    /// Waits for a line that has all of these.
    fn says(&self, parts: &[&str]) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{parts:?} is not said: {error}"));
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    pub(super) fn ids(&self) -> Vec<u32> {
        ids(&self.node.ready)
    }
}

fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, said) = channel();
    let errors = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in errors.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    said
}

/// The ids of all processes of a cluster.
fn ids(ready: &Value) -> Vec<u32> {
    let nodes = ready["nodes"].as_array().unwrap().iter();
    let all = nodes.chain([&ready["storage"]]);
    all.map(|node| u32::try_from(node["pid"].as_u64().unwrap()).unwrap())
        .collect()
}

fn written(data_dir: &Path) -> Value {
    let text = std::fs::read(data_dir.with_extension("ready")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

pub(super) fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// Waits until a process that is not ours has ended.
fn gone(id: u32) {
    match pidfd_open(pid(id), PidfdFlags::empty()) {
        Err(Errno::SRCH) => {}
        Err(error) => panic!("{id}: {error}"),
        Ok(process) => {
            let patience = Timespec::try_from(PATIENCE).unwrap();
            let mut ended = [PollFd::new(&process, PollFlags::IN)];
            let count = poll(&mut ended, Some(&patience)).unwrap();
            assert_eq!(count, 1, "process {id} lives on");
        }
    }
}

#[test]
fn all_nodes_are_reached_with_one_token_and_end_in_order_with_the_command() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let cluster = Cluster::start(&data_dir, 3);
    let ready = &cluster.node.ready;
    assert_eq!(&written(&data_dir), ready);
    let nodes = ready["nodes"].as_array().unwrap();
    let names: Vec<_> = nodes.iter().map(|node| node["node"].as_str()).collect();
    assert_eq!(names, [Some("node-1"), Some("node-2"), Some("node-3")]);
    for field in ["node", "quic", "peer", "http"] {
        assert_eq!(ready[field], nodes[0][field], "{ready}");
    }
    assert_eq!(ready["storage"]["node"], "storage");
    assert!(ready["storage"]["peer"].is_string(), "{ready}");
    for (sent, node) in (1..).zip(nodes) {
        assert!(node["peer"].is_string(), "{ready}");
        let access = Access {
            server: node["quic"].as_str().unwrap().to_owned(),
            ..cluster.node.access()
        };
        // Whoever owns the actor: each node finds it.
        let answer = access.ask(&["actor", "send", "counter/a", "add", r#"{"by":1}"#]);
        assert_eq!(answer["seq"], sent);
    }
    let mut by_profile = selvedge();
    by_profile.args(["actor", "get", "counter/a", "--output", "json"]);
    let got = json(&run(by_profile.arg("--data-dir").arg(&data_dir)));
    assert_eq!(got["seq"], 3);

    let mut second = dev(&data_dir);
    second.args(["--nodes", "2"]).stderr(Stdio::piped());
    let refused = fail(&mut second, 1);
    assert!(
        refused.contains("--data-dir") && refused.contains("another"),
        "{refused}"
    );

    let ids = cluster.ids();
    let before = ready.clone();
    assert!(cluster.node.stop("INT").success());
    for id in ids {
        gone(id);
    }
    // The next one is found where this one was.
    let again = Cluster::start(&data_dir, 3);
    let addresses = |ready: &Value| {
        let nodes = ready["nodes"].as_array().unwrap().iter();
        let all = nodes.map(|node| node["quic"].clone());
        all.chain([ready["storage"]["peer"].clone()])
            .collect::<Vec<_>>()
    };
    assert_eq!(addresses(&again.node.ready), addresses(&before));
    assert_eq!(again.node.ready["token"], before["token"]);
}

#[test]
fn nothing_is_left_running_by_a_command_that_was_killed() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let cluster = Cluster::start(&data_dir, 2);
    let ids = cluster.ids();
    assert_eq!(ids.len(), 3);
    cluster.node.kill();
    for id in ids {
        gone(id);
    }
    // And nothing is in the way of the next.
    let again = Cluster::start(&data_dir, 2);
    assert!(again.node.stop("TERM").success());
}

#[test]
fn a_node_that_is_killed_is_told_and_comes_back_where_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let cluster = Cluster::start(&data_dir, 2);
    let ids = cluster.ids();
    kill_process(pid(ids[1]), Signal::KILL).unwrap();
    cluster.says(&[
        "node-2",
        "killed by signal 9",
        "others go on",
        "started again in 5 s",
    ]);
    kill_process(pid(ids[2]), Signal::KILL).unwrap();
    cluster.says(&["storage", "killed by signal 9", "started again"]);
    // In this order: a node needs its store.
    cluster.says(&["storage is back"]);
    cluster.says(&["node-2 is back"]);
    let now = written(&data_dir);
    let of = |ready: &Value| ready["nodes"][1]["quic"].clone();
    assert_eq!(of(&now), of(&cluster.node.ready));
    let ids_now = self::ids(&now);
    assert_eq!(ids_now[0], ids[0]);
    assert_ne!(ids_now[1], ids[1]);
    assert_ne!(ids_now[2], ids[2]);
    let access = Access {
        server: now["nodes"][1]["quic"].as_str().unwrap().to_owned(),
        ..cluster.node.access()
    };
    let answer = access.ask(&["actor", "send", "counter/a", "add", r#"{"by":1}"#]);
    assert_eq!(answer["seq"], 1);

    // One that stands still is woken to drain.
    kill_process(pid(ids_now[0]), Signal::STOP).unwrap();
    send_signal(&cluster.node.child, "TERM");
    cluster.says(&["draining"]);
    let mut node = cluster.node;
    assert!(node.child.wait().unwrap().success());
    for id in ids_now {
        gone(id);
    }
}

#[test]
fn what_cannot_be_a_cluster_is_named_before_anything_starts() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    for (arguments, named) in [
        (["--nodes", "0"].as_slice(), ["--nodes", "1..=9"]),
        (&["--nodes", "10"], ["--nodes", "1..=9"]),
        (
            &["--nodes", "2", "--roles", "storage"],
            ["--roles", "leave storage out"],
        ),
        (
            &["--nodes", "2", "--store", "node:a:1"],
            ["--store", "leave --store out"],
        ),
        (
            &["--nodes", "9", "--config", "CONFIG"],
            ["node.toml: quic", "up to 65527"],
        ),
    ] {
        let config = scratch.path().join("node.toml");
        std::fs::write(&config, "quic = '127.0.0.1:65530'\n").unwrap();
        let mut command = selvedge();
        command.args(["dev", "--data-dir"]).arg(&data_dir);
        for argument in arguments {
            match *argument {
                "CONFIG" => command.arg(&config),
                other => command.arg(other),
            };
        }
        let said = fail(&mut command, 2);
        for part in named {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!data_dir.exists(), "{arguments:?}");
    }
}

#[test]
fn a_node_that_cannot_start_is_named_with_its_reason() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let node = data_dir.join("node-2");
    std::fs::create_dir_all(node.join("node.log")).unwrap();
    let mut command = dev(&data_dir);
    command.args(["--nodes", "2"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = lines(&mut child);
    let status = end_within(child, PATIENCE).expect("it ends by itself");
    assert_eq!(status.code(), Some(1));
    let said: Vec<String> = said.iter().collect();
    assert!(
        said.iter()
            .any(|it| it.contains("node-2 cannot be started")),
        "{said:?}"
    );
}
