//! `selvedge audit`: what it prints, that a record is as durable as its change, and that tampering is found.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use selvedge_cluster::audit::Chain;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::KeyRange;
use selvedge_cluster::store::{Isolation, Store};
use selvedge_protocol::Tenant;
use serde_json::Value;

use super::{Access, Guarded, Node, fail, json, run, selvedge, send_signal, text};

fn actions(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["action"].as_str().unwrap()).collect()
}

#[test]
fn the_trail_outlives_the_node_and_shows_who_touched_it() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let node = Node::dev(&data);
    let access = node.access();
    assert_eq!(access.ask(&["audit", "verify"])["head"], Value::Null);
    access.ask(&["policy", "set", "digest", r#"{"concurrency":2}"#]);
    access.ask(&["policy", "set", "digest", r#"{"concurrency":3}"#]);
    // The answer is there, so the record is.
    node.kill();

    let node = Node::dev(&data);
    let access = node.access();
    access.ask(&["policy", "reset", "digest"]);
    let listed = access.ask(&["audit", "list"]);
    assert_eq!(
        actions(&listed),
        ["policy.reset", "policy.set", "policy.set"]
    );
    assert_eq!(listed["items"][0]["principal"], "admin");
    let from = access.ask(&["audit", "list", "--from", "2", "--action", "policy.set"]);
    assert_eq!(from["items"][0]["number"], 2);
    let table = run(selvedge().args(["audit", "list", "--data-dir"]).arg(&data));
    let table = text(&table.stdout);
    assert!(
        table.starts_with("NUMBER") && table.contains("policy.reset"),
        "{table}"
    );

    let whole = access.ask(&["audit", "verify"]);
    assert_eq!(
        (&whole["result"], &whole["records"]),
        (&"whole".into(), &3.into())
    );
    let head = &whole["head"];
    let known = format!("{}:{}", head["number"], head["hash"].as_str().unwrap());
    access.ask(&["audit", "verify", "--expect", &known]);
    let forged = known.replace("3:", "2:");
    fail(
        &mut access.client(&["audit", "verify", "--expect", &forged]),
        1,
    );
    let wrong = fail(&mut access.client(&["audit", "verify", "--expect", "3"]), 2);
    assert!(wrong.contains("--expect"), "{wrong}");

    exports(&access, scratch.path(), &known);
    node.kill();

    flip(&data.join("store"));
    let node = Node::dev(&data);
    let said = fail(&mut node.access().client(&["audit", "verify"]), 1);
    assert!(
        said.contains("audit record") && said.contains("backup"),
        "{said}"
    );
}

/// The same chain in a file, and what is found when somebody has changed that.
fn exports(access: &Access, scratch: &Path, known: &str) {
    let export = scratch.join("export");
    let path = export.display().to_string();
    let made = access.ask(&["audit", "export", "--file", &path]);
    assert_eq!(made["records"], 3);
    fail(&mut access.client(&["audit", "export", "--file", &path]), 1);
    let streamed = run(&mut access.client(&["audit", "export"]));
    assert_eq!(
        text(&streamed.stdout),
        std::fs::read_to_string(&export).unwrap()
    );
    let offline = |lines: &str| {
        std::fs::write(&export, lines).unwrap();
        let mut command = selvedge();
        command.args([
            "audit", "verify", "--output", "json", "--expect", known, "--file", &path,
        ]);
        command
    };
    let lines = text(&streamed.stdout);
    assert_eq!(json(&run(&mut offline(&lines)))["result"], "whole");
    let said = fail(&mut offline(&lines.replace("\"admin\"", "\"eve\"")), 1);
    assert!(said.contains("record"), "{said}");
}

/// Changes a bit of the second record, as somebody with the files would.
fn flip(store: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Embedded::open(EmbeddedConfig::new(store)).unwrap();
        let chain = Chain::from(Tenant::default_tenant());
        let range = KeyRange::audit(&chain).read(9, Isolation::Snapshot);
        let rows = store.begin().range(range).await.unwrap();
        let (key, value) = &rows[1];
        let mut changed = value.to_vec();
        changed[12] ^= 4;
        let mut transaction = store.begin();
        transaction.set(key, &changed);
        transaction.commit().await.unwrap();
        store.close();
    });
}

#[test]
fn what_is_done_to_the_store_is_in_the_chain_of_the_cluster() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    Node::dev(&path("a")).kill();
    for (verb, data) in [("create", "a"), ("restore", "b")] {
        let mut command = selvedge();
        command
            .args(["backup", verb])
            .arg(path("copy"))
            .arg("--data-dir")
            .arg(path(data));
        assert!(run(&mut command).status.success(), "{verb}");
    }
    for (data, action) in [("a", "backup.create"), ("b", "backup.restore")] {
        let node = Node::dev(&path(data));
        let listed = node.access().ask(&["audit", "list", "--cluster"]);
        assert_eq!(actions(&listed), [action]);
        let target = listed["items"][0]["target"].as_str().unwrap();
        assert!(target.ends_with("/copy"), "{target}");
        assert!(actions(&node.access().ask(&["audit", "list"])).is_empty());
    }
}

#[test]
fn the_trail_is_followed_until_it_is_interrupted() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    access.ask(&["policy", "set", "digest", r#"{"concurrency":2}"#]);
    let mut follow = access.client(&["audit", "list", "--follow", "--from", "1"]);
    let mut follow = Guarded(follow.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(follow.0.stdout.take().unwrap()).lines();
    // Each is read before there is a next one: none waits for company.
    let mut next = |number: u64, action: &str| {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(
            (&line["number"], &line["action"]),
            (&number.into(), &action.into()),
            "{line}"
        );
    };
    next(1, "policy.set");
    access.ask(&["policy", "reset", "digest"]);
    next(2, "policy.reset");
    access.ask(&["policy", "set", "digest", r#"{"concurrency":3}"#]);
    next(3, "policy.set");
    send_signal(&follow.0, "INT");
    let status = follow.0.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(lines.next().is_none());
}
