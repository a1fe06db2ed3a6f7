//! Nodes that have some of the roles only.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::Cluster;
use crate::process::Guarded;

/// Nodes with these roles serve commands, queries and events through the one that has the role edge.
fn serves(roles: &[&str]) {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let names = ["node-1", "node-2", "node-3"];
    let mut members: Vec<_> = roles
        .iter()
        .zip(names)
        .map(|(roles, name)| cluster.member(&storage, name, &["--roles", roles]))
        .collect();
    let edge = roles.iter().position(|roles| roles.contains("edge"));
    let access = members[edge.unwrap()].access().clone();

    let mut watch = access.client(&["actor", "watch", "room/roles", "--after", "0"]);
    let mut watch = Guarded(watch.stdout(Stdio::piped()).spawn().unwrap());
    let mut heard = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    for number in 1..=3 {
        let text = json!({ "text": format!("{number}") }).to_string();
        let said = access.ask(&["actor", "send", "room/roles", "say", &text]);
        assert_eq!(said["seq"], number);
        let event: Value = serde_json::from_str(&heard.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["seq"], number);
    }
    // Actors of all slots: with several owners, of each.
    for number in 0..8 {
        let actor = format!("counter/of-{number}");
        let sent = access.ask(&["actor", "send", &actor, "add", r#"{"by":7}"#]);
        assert_eq!(sent["seq"], 1, "{actor}");
        let shown = access.ask(&["actor", "get", &actor]);
        assert_eq!(shown["state"], json!({ "value": 7 }), "{actor}");
    }
    drop(watch);
    // Those that serve clients first.
    members.sort_by_key(|member| member.access.is_none());
    for member in &mut members {
        member.leave();
    }
}

#[test]
fn an_edge_serves_the_actors_of_a_core() {
    serves(&["core", "edge"]);
}

#[test]
fn an_edge_serves_the_actors_of_several_nodes() {
    serves(&["core", "processing,core", "edge"]);
}

#[test]
fn a_node_without_actors_may_do_the_rest() {
    serves(&["core", "edge,processing"]);
}

#[test]
fn a_core_that_serves_clients_shares_the_actors_with_one_that_does_not() {
    serves(&["core,processing", "edge,core"]);
}
