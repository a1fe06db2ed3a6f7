//! `selvedge backup`: from one data directory into another, and what it refuses.

use serde_json::json;

use super::{Node, fail, json, run, selvedge};

#[test]
fn a_store_is_copied_restored_and_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let backup = |verb: &str, file: &str, data: Option<&str>| {
        let mut command = selvedge();
        command
            .args(["backup", verb, "--output", "json"])
            .arg(path(file));
        if let Some(data) = data {
            command.arg("--data-dir").arg(path(data));
        }
        command
    };
    let node = Node::dev(&path("a"));
    let access = node.access();
    access.ask(&["actor", "send", "counter/visits", "add", r#"{"by":41}"#]);
    let payload = path("payload");
    std::fs::write(&payload, vec![7; 300_000]).unwrap();
    let payload = payload.display().to_string();
    access.ask(&[
        "op",
        "submit",
        "digest",
        "--id",
        "a1",
        "--payload",
        &payload,
        "--wait",
    ]);

    let used = fail(&mut backup("create", "copy", Some("a")), 1);
    assert!(used.contains("in use by another process"), "{used}");
    assert!(!path("copy").exists() && !path("copy.part").exists());
    // As it is after a crash.
    node.kill();
    let made = json(&run(&mut backup("create", "copy", Some("a"))));
    assert!(made["keys"].as_u64().unwrap() > 10, "{made}");
    let again = fail(&mut backup("create", "copy", Some("a")), 2);
    assert!(again.contains("is there already"), "{again}");
    let seen = json(&run(&mut backup("verify", "copy", None)));
    assert_eq!(seen, made);
    let restored = json(&run(&mut backup("restore", "copy", Some("b"))));
    assert_eq!(restored, made);
    let occupied = fail(&mut backup("restore", "copy", Some("b")), 2);
    assert!(occupied.contains("not empty"), "{occupied}");

    let node = Node::dev(&path("b"));
    let access = node.access();
    let shown = access.ask(&["actor", "get", "counter/visits"]);
    assert_eq!(shown["state"], json!({ "value": 41 }));
    let operation = access.ask(&["op", "get", "a1"]);
    assert_eq!(operation["status"], "succeeded");
    access.ask(&["actor", "send", "counter/visits", "add", r#"{"by":1}"#]);
}

#[test]
fn what_is_no_backup_or_no_store_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let file = path("file");
    let nothing = fail(
        selvedge().args(["backup", "create", &file, "--data-dir", &path("no")]),
        2,
    );
    assert!(
        nothing.contains("--data-dir") && nothing.contains("has no store"),
        "{nothing}"
    );
    assert!(!scratch.path().join("no").exists(), "nothing was made");
    std::fs::write(&file, "something else altogether").unwrap();
    for verb in ["verify", "restore"] {
        let mut command = selvedge();
        command.args(["backup", verb, &file]);
        if verb == "restore" {
            command.args(["--data-dir", &path("no")]);
        }
        let foreign = fail(&mut command, 1);
        assert!(foreign.contains("this is no backup"), "{foreign}");
    }
    assert!(!scratch.path().join("no").exists(), "nothing was begun");
}
