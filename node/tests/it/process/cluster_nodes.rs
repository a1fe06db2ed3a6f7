//! `selvedge cluster status|plan|drain|undrain|remove|why` against a node.

use std::process::Command;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::dev_cluster::{Cluster, pid};
use super::forms::keys;
use super::{Access, Node, fail, run, selvedge, text};

#[test]
fn a_node_by_itself_is_a_cluster_of_one() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let node = Node::dev(&data);
    let access = node.access();
    let status = access.ask(&["cluster", "status"]);
    assert_eq!(status["slots"], 1_024);
    assert_eq!(status["owned"], 1_024, "{status}");
    assert_eq!(status["moving"], 0);
    let nodes = status["nodes"].as_array().unwrap();
    let [only] = &**nodes else { panic!("{status}") };
    for (field, value) in [
        ("node", json!("node-1")),
        ("state", json!("serving")),
        ("drained", json!(false)),
        ("slots", json!(1_024)),
        ("planned", json!(1_024)),
        ("roles", json!(["edge", "bridge", "core", "processing"])),
    ] {
        assert_eq!(only[field], value, "{field}: {status}");
    }
    assert!(only["versions"]["binary"].is_string(), "{status}");
    assert_eq!(only["quic"], *access.server);

    // As wire.md has them.
    let status_keys = ["controller", "moving", "nodes", "owned", "plan", "slots"];
    assert_eq!(keys(&status), status_keys);
    let node_keys = [
        "controller",
        "drained",
        "http",
        "incarnation",
        "node",
        "operations",
        "peer",
        "planned",
        "quic",
        "roles",
        "slots",
        "state",
        "versions",
        "weight",
    ];
    assert_eq!(keys(only), node_keys);
    let plan = access.ask(&["cluster", "plan"]);
    assert_eq!(keys(&plan), ["moves", "nobody", "nodes", "plan", "slots"]);
    assert_eq!(
        plan["nodes"],
        json!([{ "node": "node-1", "count": 1_024, "slots": [[0, 1_023]] }])
    );
    assert_eq!((&plan["nobody"], &plan["moves"]), (&json!([]), &json!([])));
    for why in [["cluster", "why"].as_slice(), &["cluster", "why", "node-1"]] {
        assert_eq!(access.ask(why), json!({ "atRest": true, "reasons": [] }));
    }

    let told = |command: &str| {
        let mut command_line = selvedge();
        command_line
            .args(["cluster", command, "--data-dir"])
            .arg(&data);
        let output = run(&mut command_line);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let table = told("status");
    for part in ["NODE", "serving", "1024/1024", "1024 of 1024 slots owned"] {
        assert!(table.contains(part), "{table}");
    }
    assert!(told("plan").contains("0..1023"));
    assert_eq!(told("why"), "all is well\n");
    assert!(node.stop("TERM").success());
}

#[test]
fn what_cannot_be_done_is_refused_with_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    let refused = |arguments: &[&str], code: i32, part: &str| {
        let said = fail(&mut access.client(arguments), code);
        assert!(said.contains(part), "{arguments:?}: {said}");
    };
    // Nobody else could own anything.
    refused(&["cluster", "drain", "node-1"], 4, "node-1");
    refused(&["cluster", "remove", "node-1"], 4, "node-1");
    for command in ["drain", "undrain", "remove", "why"] {
        refused(&["cluster", command, "node-7"], 3, "there is node-1");
    }
    refused(&["cluster", "drain", ""], 2, "1 to 63");
    refused(&["cluster", "drain"], 2, "<NODE>");
    let stranger = Access {
        token: "a-token-of-nobody-here".to_owned(),
        ..access.clone()
    };
    let said = fail(&mut stranger.client(&["cluster", "status"]), 4);
    assert!(said.contains("token"), "{said}");
    // It goes on as before.
    assert_eq!(access.ask(&["cluster", "status"])["owned"], 1_024);
}

/// The rows of a cluster as `status` shows them, asked for until they are as wanted.
fn nodes_when(access: &Access, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    for _ in 0..LOOKS_MAX {
        let status = access.ask(&["cluster", "status"]);
        let nodes = status["nodes"].as_array().unwrap();
        if wanted(nodes) {
            return nodes.clone();
        }
    }
    panic!("not so: {}", access.ask(&["cluster", "status"]));
}

/// Each is a process that connects and asks: some dozens of milliseconds.
const LOOKS_MAX: usize = 1_000;

fn states(nodes: &[Value]) -> Vec<&str> {
    nodes
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect()
}

#[test]
fn nodes_are_drained_and_take_their_share_again() {
    let scratch = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&scratch.path().join("data"), 3);
    // Whoever is asked.
    let access = Access {
        server: cluster.node.ready["nodes"][2]["quic"]
            .as_str()
            .unwrap()
            .to_owned(),
        ..cluster.node.access()
    };
    let is_shared = |nodes: &[Value]| {
        let share = 340..=343;
        nodes.len() == 3
            && nodes
                .iter()
                .all(|it| share.contains(&it["slots"].as_u64().unwrap()))
    };
    let nodes = nodes_when(&access, is_shared);
    assert_eq!(states(&nodes), ["serving"; 3]);
    let controllers = nodes.iter().filter(|it| it["controller"] == true);
    assert_eq!(controllers.count(), 1, "{nodes:?}");
    assert_eq!(
        access.ask(&["cluster", "why"]),
        json!({ "atRest": true, "reasons": [] })
    );

    for node in ["node-2", "node-2", "node-1"] {
        let drained = access.ask(&["cluster", "drain", node, "--wait"]);
        assert_eq!(
            (&drained["state"], &drained["slots"]),
            (&json!("drained"), &json!(0))
        );
    }
    let plan = access.ask(&["cluster", "plan"]);
    let owners = plan["nodes"].as_array().unwrap();
    assert_eq!(owners.len(), 1, "{plan}");
    assert_eq!(
        (&owners[0]["node"], &owners[0]["count"]),
        (&json!("node-3"), &json!(1_024))
    );
    let why = access.ask(&["cluster", "why", "node-1"]);
    assert_eq!(why["atRest"], true, "{why}");
    assert_eq!(why["reasons"][0]["code"], "drained", "{why}");
    let said = fail(&mut access.client(&["cluster", "drain", "node-3"]), 4);
    for part in ["last node", "node-1 is drained", "undrain"] {
        assert!(said.contains(part), "{said}");
    }
    for node in ["node-1", "node-2"] {
        assert_eq!(
            access.ask(&["cluster", "undrain", node])["state"],
            "serving"
        );
    }
    nodes_when(&access, is_shared);
    assert!(cluster.node.stop("TERM").success());
}

#[test]
fn a_dead_node_is_told_of_removed_and_may_come_back() {
    let scratch = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&scratch.path().join("data"), 3);
    let access = cluster.node.access();
    let counted = |sent: u64| {
        let mut send: Command =
            access.client(&["actor", "send", "counter/a", "add", r#"{"by":1}"#]);
        assert_eq!(super::json(&run(&mut send))["seq"], sent);
    };
    counted(1);
    let said = fail(&mut access.client(&["cluster", "remove", "node-3"]), 4);
    assert!(said.contains("stop it first"), "{said}");
    let stopped = pid(cluster.ids()[2]);
    kill_process(stopped, Signal::STOP).unwrap();
    let is_taken_over = |nodes: &[Value]| {
        nodes[2]["state"] == "dead" && nodes.iter().all(|it| it["slots"] == it["planned"])
    };
    nodes_when(&access, is_taken_over);
    let why = access.ask(&["cluster", "why"]);
    assert_eq!(why["atRest"], false, "{why}");
    assert_eq!(why["reasons"][0]["code"], "dead", "{why}");
    assert_eq!(why["reasons"][0]["node"], "node-3", "{why}");
    let message = why["reasons"][0]["message"].as_str().unwrap();
    assert!(message.contains("by its own clock"), "{message}");
    for before in [false, true, true] {
        let removed = access.ask(&["cluster", "remove", "node-3"]);
        let expected = json!({ "node": "node-3", "removed": true, "before": before });
        assert_eq!(removed, expected);
    }
    let mut again = selvedge();
    again.args(["cluster", "remove", "node-3", "--data-dir"]);
    let said = text(&run(again.arg(scratch.path().join("data"))).stdout);
    assert!(said.contains("was removed before"), "{said}");
    fail(&mut access.client(&["cluster", "remove", "node-4"]), 3);
    nodes_when(&access, |nodes| nodes.len() == 2);
    counted(2);
    // It finds that it is none of the cluster, and joins as a new one.
    kill_process(stopped, Signal::CONT).unwrap();
    let is_back = |nodes: &[Value]| {
        states(nodes) == ["serving"; 3] && nodes.iter().all(|it| it["slots"] == it["planned"])
    };
    nodes_when(&access, is_back);
    counted(3);
    assert!(cluster.node.stop("TERM").success());
}
