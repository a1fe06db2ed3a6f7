//! A long operation as its users meet it: through the binary, killed on the way, halted, signalled, cancelled
//! and explained.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Value, json};

use super::{Access, Node, dev, fail, json as parse, run};

/// A node whose imports note what they do in `log`.
fn node(data: &Path, log: &Path) -> Node {
    Node::spawn(dev(data).env("SELVEDGE_IMPORT_LOG", log))
}

/// How often each step and compensation was executed.
pub(super) fn executions(log: &Path) -> BTreeMap<String, usize> {
    let mut executions = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap_or_default().lines() {
        *executions.entry(line.to_owned()).or_insert(0) += 1;
    }
    executions
}

pub(super) fn submit(access: &Access, id: &str, input: &Value) {
    access.ask(&[
        "op",
        "submit",
        "import",
        "--id",
        id,
        "--input",
        &input.to_string(),
    ]);
}

/// Follows the operation until an event of this type.
pub(super) fn until(access: &Access, id: &str, event_type: &str) -> Vec<Value> {
    let is_there = |events: &[Value]| events.iter().any(|event| event["type"] == event_type);
    events(access, id, is_there)
}

/// The operation's events, once they are enough.
pub(super) fn events(
    access: &Access,
    id: &str,
    are_enough: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let mut command = access.client(&["op", "watch", id]);
    let child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = super::Guarded(child);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut events = Vec::new();
    for line in lines {
        events.push(serde_json::from_str(&line.unwrap()).unwrap());
        if are_enough(&events) {
            return events;
        }
    }
    panic!("not enough: {events:?}");
}

#[test]
fn an_import_killed_in_the_middle_goes_on_at_its_step() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let first = node(&data, &log);
    let access = first.access();
    submit(&access, "a1", &json!({ "stepMs": 300 }));
    let mut finished = 0;
    while finished < 2 {
        let operation = access.ask(&["op", "get", "a1"]);
        finished = operation["steps"].as_array().unwrap().len();
    }
    first.kill();

    let second = node(&data, &log);
    let access = second.access();
    let operation = parse(&run(&mut access.client(&[
        "op",
        "submit",
        "import",
        "--id",
        "a1",
        "--input",
        r#"{"stepMs":300}"#,
        "--wait",
    ])));
    assert_eq!(operation["status"], "succeeded");
    assert_eq!(operation["attempt"], 2);
    let executions = executions(&log);
    // What was reported finished did not run again; the one that was cut off may have.
    for step in ["fetch", "check"] {
        assert_eq!(
            executions[&format!("default/a1/{step}")],
            1,
            "{executions:?}"
        );
    }
    for step in ["reserve", "load", "publish"] {
        assert!(
            executions[&format!("default/a1/{step}")] <= 2,
            "{executions:?}"
        );
    }
    assert_eq!(executions.len(), 5);
}

#[test]
fn a_long_operation_is_halted_signalled_explained_and_undone() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("log");
    let node = node(&scratch.path().join("data"), &log);
    let access = node.access();
    submit(&access, "a1", &json!({ "stepMs": 1, "approval": true }));
    until(&access, "a1", "waiting");
    let why = access.ask(&["why", "operation", "a1"]);
    assert_eq!(why["waits"][0]["reason"], "signal");
    assert_eq!(why["waits"][0]["step"], "approval");
    assert_eq!(why["compensations"], json!(["unload", "release"]));
    assert_eq!(why, access.ask(&["why", "a1"]));
    assert_eq!(why, access.ask(&["op", "why", "a1"]));
    assert_eq!(access.ask(&["op", "pause", "a1"])["status"], "paused");
    assert_eq!(access.ask(&["why", "a1"])["waits"][0]["reason"], "resume");
    assert_eq!(access.ask(&["op", "resume", "a1"])["status"], "waiting");
    access.ask(&["op", "signal", "a1", "approve", "true"]);
    until(&access, "a1", "succeeded");
    assert_eq!(access.ask(&["op", "get", "a1"])["attempt"], 1);
    let wrong = fail(&mut access.client(&["op", "pause", "a1"]), 1);
    assert!(
        wrong.contains("is succeeded and cannot be paused"),
        "{wrong}"
    );

    submit(&access, "a2", &json!({ "stepMs": 1, "approval": true }));
    until(&access, "a2", "waiting");
    access.ask(&["op", "cancel", "a2"]);
    until(&access, "a2", "compensated");

    submit(&access, "a3", &json!({ "stepMs": 1, "failAt": "publish" }));
    until(&access, "a3", "compensated");
    let executions = executions(&log);
    for (step, times) in [
        ("a2/unload", 1),
        ("a2/release", 1),
        ("a3/unload", 1),
        ("a3/release", 1),
    ] {
        assert_eq!(
            executions[&format!("default/{step}")],
            times,
            "{executions:?}"
        );
    }

    submit(&access, "a4", &json!({ "stepMs": 1, "failAt": "check" }));
    until(&access, "a4", "failed");
    let again = access.ask(&["op", "retry", "a4", "--from", "fetch"]);
    assert_eq!(again["status"], "pending");
    let failed = access.ask(&["op", "list", "--status", "compensated", "--count"]);
    assert_eq!(failed, json!({ "count": 2, "isExact": true }));
    fail(
        &mut access.client(&["op", "signal", "a1", "x", "not json"]),
        2,
    );
    fail(&mut access.client(&["why", "nobody"]), 3);
    fail(&mut access.client(&["why", "actor", "a1"]), 2);
}

#[test]
fn an_import_killed_after_each_of_its_events_ends_undone_and_no_result_is_made_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let input = json!({ "stepMs": 10, "failAt": "publish" });
    let mut running = node(&data, &log);
    let access = running.access();
    submit(&access, "whole", &input);
    let boundaries = until(&access, "whole", "compensated").len();
    assert!(boundaries >= 10, "{boundaries}");
    for boundary in 1..boundaries {
        let id = format!("a{boundary}");
        let access = running.access();
        submit(&access, &id, &input);
        events(&access, &id, |events| events.len() == boundary);
        running.kill();
        running = node(&data, &log);
        let access = running.access();
        let events = until(&access, &id, "compensated");
        let seqs: Vec<_> = events
            .iter()
            .map(|event| event["seq"].as_u64().unwrap())
            .collect();
        assert!(
            seqs.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{seqs:?}"
        );
        let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
        assert_eq!(
            (
                count("step.finished"),
                count("compensation.finished"),
                count("compensating")
            ),
            (4, 2, 1)
        );
        // One that was cut off may be begun again, under the same idempotency key; no other is.
        let executions = executions(&log);
        let again = executions
            .iter()
            .filter(|(key, times)| key.starts_with(&format!("default/{id}/")) && **times > 1);
        assert!(again.count() <= 1, "{executions:?}");
    }
}
