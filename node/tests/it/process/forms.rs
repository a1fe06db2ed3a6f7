//! What scripts rely on: the JSON of every command, and nothing else on standard output.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Access, Guarded, Node, dev, fail, json as parse, run, selvedge, text};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// What an operation that has succeeded shows.
const OPERATION_KEYS: [&str; 14] = [
    "id",
    "type",
    "status",
    "input",
    "result",
    "tenant",
    "createdBy",
    "createdAt",
    "updatedAt",
    "version",
    "attempt",
    "steps",
    "priority",
    "labels",
];

#[test]
fn operations_have_the_form_of_the_design() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    let payload = scratch.path().join("payload");
    fs::write(&payload, "selvedge").unwrap();
    let input = scratch.path().join("input.json");
    fs::write(&input, r#"{"path":"payload"}"#).unwrap();
    let input = format!("@{}", input.display());

    let submit = [
        "op", "submit", "digest", "--id", "a1", "--label", "team=red", "--label", "tier=1",
        "--wait",
    ];
    let mut command = access.client(&submit);
    command.args(["--input", &input, "--payload"]).arg(&payload);
    let operation = parse(&run(&mut command));
    for key in OPERATION_KEYS {
        assert!(operation.get(key).is_some(), "{key} of {operation}");
    }
    assert_eq!(
        (&operation["id"], &operation["type"], &operation["status"]),
        (&json!("a1"), &json!("digest"), &json!("succeeded"))
    );
    assert_eq!(operation["labels"], json!({ "team": "red", "tier": "1" }));
    assert_eq!(operation["input"], json!({ "path": "payload" }));
    let sha256 = text(&run(std::process::Command::new("sha256sum").arg(&payload)).stdout);
    assert_eq!(
        operation["result"]["sha256"].as_str(),
        sha256.split(' ').next()
    );
    assert_eq!(operation["result"]["bytes"], 8);

    // A repeat shows the present state; another input is a conflict.
    assert_eq!(parse(&run(&mut command)), operation);
    let other = fail(
        &mut access.client(&["op", "submit", "digest", "--id", "a1"]),
        1,
    );
    assert!(
        other.contains("conflict") && other.contains("a1"),
        "{other}"
    );

    let got = access.ask(&["op", "get", "a1"]);
    assert_eq!(got, operation);
    let listed = access.ask(&[
        "op", "list", "--type", "digest", "--label", "team=red", "--limit", "1",
    ]);
    assert_eq!(keys(&listed), ["cursor", "items"]);
    assert_eq!(listed["items"][0]["id"], "a1");
    assert_eq!(
        access.ask(&["op", "list", "--label", "team=blue"])["items"],
        json!([])
    );
    // What has ended cannot be cancelled any more.
    let cancelled = run(&mut access.client(&["op", "cancel", "a1"]));
    let said = text(&cancelled.stderr);
    assert!(
        cancelled.status.success() || said.contains("succeeded"),
        "{said}"
    );
    assert_eq!(access.ask(&["op", "get", "a1"])["status"], "succeeded");

    assert_events(&access);
    assert!(node.stop("TERM").success());
}

/// The events of the operation `a1`, whole and from a position on.
fn assert_events(access: &Access) {
    let events = run(&mut access.client(&["op", "watch", "a1"]));
    let events: Vec<Value> = text(&events.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (event, seq) in events.iter().zip(1_u64..) {
        assert_eq!(keys(event), ["data", "seq", "time", "type"]);
        assert_eq!(event["seq"], seq);
    }
    assert_eq!(events.last().unwrap()["type"], "succeeded");
    let after = run(&mut access.client(&["op", "watch", "a1", "--after", "1"]));
    assert_eq!(text(&after.stdout).lines().count(), events.len() - 1);
}

#[test]
fn an_operation_that_waits_says_for_what_and_can_be_cancelled() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let node = Node::dev(&data_dir);
    let access = node.access();
    let operation = access.ask(&["op", "submit", "no-such-type", "--id", "b1"]);
    assert_eq!(operation["type"], "no-such-type");
    let got = access.ask(&["op", "get", "b1"]);
    assert!(
        got["waitingFor"].as_str().unwrap().contains("handler"),
        "{got}"
    );
    // For a person as well, through the profile in the data directory.
    let mut get = selvedge();
    get.args(["op", "get", "b1", "--data-dir"]).arg(&data_dir);
    let shown = run(&mut get);
    assert!(
        text(&shown.stdout).contains("waiting for"),
        "{}",
        text(&shown.stdout)
    );
    assert_eq!(access.ask(&["op", "cancel", "b1"])["status"], "cancelled");
    // `--wait` tells a script that it did not succeed.
    let said = fail(
        &mut access.client(&["op", "submit", "no-such-type", "--id", "b1", "--wait"]),
        1,
    );
    assert!(said.contains("cancelled"), "{said}");
    drop(node);
}

#[test]
fn actors_have_the_form_of_the_design() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    let mut watch = access.client(&["actor", "watch", "room/42", "--after", "0"]);
    let mut watch = Guarded(watch.stdout(Stdio::piped()).spawn().unwrap());
    let mut heard = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    for (said, seq) in ["hello", "again"].iter().zip(1_u64..) {
        let sent = access.ask(&[
            "actor",
            "send",
            "room/42",
            "say",
            &json!({ "text": said }).to_string(),
        ]);
        assert_eq!(keys(&sent), ["reply", "seq", "version"]);
        assert_eq!(sent["seq"], seq);
        let event: Value = serde_json::from_str(&heard.next().unwrap().unwrap()).unwrap();
        assert_eq!(keys(&event), ["data", "seq", "time", "type"]);
        assert_eq!(
            (&event["seq"], &event["type"]),
            (&json!(seq), &json!("said"))
        );
        assert_eq!(&event["data"]["text"], said);
        assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
    }
    drop(watch);

    let room = access.ask(&["actor", "get", "room/42"]);
    assert_eq!(keys(&room), ["seq", "state", "version"]);
    assert_eq!(
        (
            room["state"]["messages"].as_array().unwrap().len(),
            &room["seq"]
        ),
        (2, &json!(2))
    );
    assert_eq!(
        access.ask(&["actor", "send", "counter/a", "add", r#"{"by":5}"#])["reply"],
        json!({ "value": 5 })
    );
    assert_eq!(
        access.ask(&["actor", "send", "counter/a", "get"])["reply"],
        json!({ "value": 5 })
    );
    access.ask(&["actor", "send", "counter/b", "add", r#"{"by":1}"#]);
    let list = access.ask(&["actor", "list", "counter"]);
    let named: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["a", "b"]);
    let list = access.ask(&["actor", "list", "counter", "--after", "a", "--limit", "1"]);
    assert_eq!(list["items"], json!([{ "kind": "counter", "key": "b" }]));
    drop(node);
}

#[test]
fn a_ready_node_says_where_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let ready_file = scratch.path().join("ready.json");
    let node = Node::spawn(
        dev(&scratch.path().join("data"))
            .arg("--ready-file")
            .arg(&ready_file),
    );
    let ready: Value = serde_json::from_str(&fs::read_to_string(&ready_file).unwrap()).unwrap();
    assert_eq!(ready, node.ready);
    assert_eq!(
        keys(&ready),
        ["caFile", "console", "http", "node", "peer", "quic", "token"]
    );
    assert_eq!(ready["node"], "node-1");
    // The variables go where the flags go.
    let access = node.access();
    let mut command = selvedge();
    command
        .args(["actor", "get", "counter/a", "--output", "json"])
        .env("SELVEDGE_SERVER", &access.server);
    command
        .env("SELVEDGE_CA", &access.ca)
        .env("SELVEDGE_TOKEN", &access.token);
    assert_eq!(parse(&run(&mut command))["state"], json!({ "value": 0 }));
    assert!(node.stop("INT").success());
}

#[test]
fn bench_has_the_form_of_the_design() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    for workload in ["ops", "commands", "queries", "sessions"] {
        let mut bench = access.client(&[
            "bench",
            workload,
            "--seconds",
            "1",
            "--in-flight",
            "8",
            "--actors",
            "10",
        ]);
        let report = parse(&run(bench.current_dir(scratch.path())));
        assert_eq!(
            keys(&report),
            [
                "baseline",
                "completed",
                "errors",
                "inFlight",
                "latencyUs",
                "rate",
                "ratio",
                "seconds",
                "workload"
            ]
        );
        assert_eq!(
            keys(&report["latencyUs"]),
            ["max", "p50", "p90", "p99", "p999"]
        );
        assert_eq!(keys(&report["baseline"]), ["p50Us", "rate", "what"]);
        assert_eq!(
            (&report["workload"], &report["errors"], &report["inFlight"]),
            (&json!(workload), &json!(0), &json!(8))
        );
        let ratio = report["rate"].as_f64().unwrap() / report["baseline"]["rate"].as_f64().unwrap();
        assert!(
            (report["ratio"].as_f64().unwrap() - ratio).abs() < 0.001,
            "{report}"
        );
    }
    drop(node);
}

#[test]
fn completions_and_the_configuration_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(selvedge().args(["completions", shell]));
        assert!(printed.status.success());
        assert!(text(&printed.stdout).contains("ready-file"), "{shell}");
    }
    let scratch = tempfile::tempdir().unwrap();
    drop(Node::dev(scratch.path()));
    let made = scratch.path().join("development");
    let file = scratch.path().join("node.toml");
    let content = |key: &str| {
        format!(
            "token_file = '{0}/token'\n[tls]\ncertificate = '{0}/node.pem'\nkey = '{0}/{key}'\n",
            made.display()
        )
    };
    let check = || {
        let mut command = selvedge();
        command.args(["config", "check", "--name", "blue", "--output", "json"]);
        command.arg("--config").arg(&file);
        command
    };
    for (wrong, named) in [
        ("", "[tls]"),
        (&content("node.pem"), "node.pem"),
        (&content("other.key"), "other.key"),
    ] {
        fs::write(&file, wrong).unwrap();
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(made.join("other.key"), other).unwrap();
        let checked = run(&mut check());
        let said = text(&checked.stderr);
        assert!(!checked.status.success(), "{wrong}");
        assert!(said.contains(named), "{wrong}: {said}");
    }
    fs::write(&file, content("node.key")).unwrap();
    let key = made.join("node.key");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&key, open).unwrap();
    let checked = run(&mut check());
    assert!(text(&checked.stderr).contains("chmod 600"));
    let config = parse(&checked);
    assert_eq!(
        (&config["name"], &config["store"]),
        (&json!("blue"), &json!("embedded"))
    );
    assert_eq!(config["quic"], "127.0.0.1:7400");
}
