//! When nodes say that they are ready, and what is true of them then.

use serde_json::Value;

use super::frozen::said;
use super::{Cluster, Member};

/// A node as `cluster status` shows it to whoever asks that node.
fn shown(member: &Member) -> Value {
    let status = member.access().ask(&["cluster", "status"]);
    let nodes = status["nodes"].as_array().unwrap();
    let own = nodes.iter().find(|node| node["node"] == *member.name);
    own.unwrap_or_else(|| panic!("{status}")).clone()
}

/// It has what the plan gives it, and that is so many slots.
fn serves(member: &Member, slots: u64) {
    let shown = shown(member);
    assert_eq!(shown["state"], "serving", "{shown}");
    let owned = [&shown["slots"], &shown["planned"]];
    assert_eq!(owned.map(Value::as_u64), [Some(slots); 2], "{shown}");
}

#[test]
fn a_node_is_ready_with_its_slots_and_not_before() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let one = cluster.member(&storage, "node-1", &[]);
    serves(&one, 1_024);
    // Nobody plans for the second one, nor hands anything over, until it has found out by itself.
    one.signal("STOP");
    let mut two = cluster.member(&storage, "node-2", &[]);
    serves(&two, 1_024);
    drop(one);
    two.leave();
}

#[test]
fn an_edge_is_ready_once_somebody_owns_actors() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut members = std::thread::scope(|scope| {
        let edge =
            scope.spawn(|| cluster.member(&storage, "node-1", &["--roles", "edge,processing"]));
        said(&cluster.path("node-1.log"), "no node owns a slot yet");
        assert!(!edge.is_finished());
        let core = cluster.member(&storage, "node-2", &["--roles", "edge,core"]);
        serves(&core, 1_024);
        [edge.join().unwrap(), core]
    });
    serves(&members[0], 0);
    let sent = members[0]
        .access()
        .ask(&["actor", "send", "counter/a", "add", r#"{"by":1}"#]);
    assert_eq!(sent["seq"], 1);
    for member in &mut members {
        member.leave();
    }
}
