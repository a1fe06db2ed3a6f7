//! `selvedge policy`: what it prints, what it refuses, and that a change outlives the node.

use serde_json::{Value, json};

use super::{Node, fail, run, selvedge, text};

#[test]
fn policies_are_set_shown_listed_and_reset() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let node = Node::dev(&data);
    let access = node.access();
    assert_eq!(access.ask(&["policy", "list"]), json!({ "items": [] }));
    let before = access.ask(&["policy", "get", "digest"]);
    assert_eq!(before["effective"]["concurrency"], 128);

    let patch = r#"{"concurrency":2,"rate":{"operations":50}}"#;
    let set = access.ask(&["policy", "set", "digest", patch]);
    assert_eq!(set["patch"], serde_json::from_str::<Value>(patch).unwrap());
    assert_eq!(set["effective"]["rate"]["periodMs"], 1_000);
    access.ask(&["policy", "set", "*", r#"{"stepTimeoutMs":5000}"#]);
    // It is an actor as any other.
    let sent = access.ask(&[
        "actor",
        "send",
        "policy/digest",
        "set",
        r#"{"concurrency":3}"#,
    ]);
    assert_eq!(sent["reply"]["effective"]["concurrency"], 3);
    assert_eq!(sent["reply"]["effective"]["stepTimeoutMs"], 5_000);
    node.kill();

    let node = Node::dev(&data);
    let access = node.access();
    let listed = access.ask(&["policy", "list"]);
    let items = listed["items"].as_array().unwrap();
    let types: Vec<_> = items
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["*", "digest"]);
    assert_eq!(items[1]["patch"]["concurrency"], 3);
    assert!(items[1]["changedBy"].is_string() && items[1]["changedAt"].is_string());
    // The node has left its profile in its data directory.
    let table = run(selvedge().args(["policy", "list", "--data-dir"]).arg(&data));
    let table = text(&table.stdout);
    assert!(
        table.starts_with("TYPE") && table.contains("digest"),
        "{table}"
    );

    access.ask(&["policy", "reset", "*"]);
    let reset = access.ask(&["policy", "reset", "digest"]);
    assert_eq!(reset["effective"], before["effective"]);
    assert_eq!(access.ask(&["policy", "list"]), json!({ "items": [] }));
}

#[test]
fn wrong_policies_say_what_is_wrong() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    for (arguments, code, says) in [
        (["set", "digest", r#"{"concurrency":0}"#], 2, "concurrency"),
        (["set", "digest", r#"{"conc":1}"#], 2, "one of concurrency"),
        (["set", "digest", "{"], 2, "not JSON"),
        (["set", "Digest", "{}"], 2, "or * for all types"),
    ] {
        let arguments = [&["policy"], &arguments[..]].concat();
        let said = fail(&mut access.client(&arguments), code);
        assert!(said.contains(says), "{said}");
    }
    let said = fail(&mut access.client(&["policy", "get", "nothing"]), 3);
    assert!(said.contains("nothing"), "{said}");
}
