//! Reads that any committed state will do for, from a node that owns nothing.

use serde_json::json;

use super::Cluster;

#[test]
fn an_edge_tells_what_is_stored_while_the_owner_stands_still() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let core = cluster.member(&storage, "node-1", &["--roles", "core,processing"]);
    let edge = cluster.member(&storage, "node-2", &["--roles", "edge"]);
    let access = edge.access();
    for seq in 1..=2 {
        let sent = access.ask(&["actor", "send", "counter/a", "add", r#"{"by":5}"#]);
        assert_eq!(sent["seq"], seq);
    }
    core.signal("STOP");
    let eventual = ["--consistency", "eventual"];
    let read = |actor: &str| access.ask(&[&["actor", "get", actor][..], &eventual].concat());
    assert_eq!(
        read("counter/a"),
        json!({ "state": { "value": 10 }, "seq": 2, "version": 2 })
    );
    let never = read("counter/never");
    assert_eq!((&never["seq"], &never["version"]), (&json!(0), &json!(0)));
    core.signal("CONT");
    let shown = access.ask(&["actor", "get", "counter/a"]);
    assert_eq!(shown, read("counter/a"));
}
