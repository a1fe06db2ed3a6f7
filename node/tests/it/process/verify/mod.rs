//! `selvedge verify` as a user runs it: against nodes that are right, that are killed, and that are wrong.

pub(super) mod cluster;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Access, Guarded, Node, dev, fail, json as parse, run, selvedge, send_signal, text};

/// The program whose register is wrong.
fn wrong_node(wrong: &str) -> Command {
    // Cargo puts examples beside the directory of test binaries.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push("wrong-node");
    assert!(
        path.exists(),
        "build the examples first: cargo build -p selvedge-node --examples"
    );
    let mut command = Command::new(path);
    command.env("WRONG", wrong).stdin(Stdio::null());
    command
}

/// `verify` that has to find something: what it prints.
fn failing(command: &mut Command) -> (Value, String) {
    let output = run(command);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap(), said)
}

fn messages<'a>(report: &'a Value, check: &str) -> Vec<&'a str> {
    let violations = report["violations"].as_array().unwrap();
    violations
        .iter()
        .filter(|violation| violation["check"] == check)
        .map(|violation| violation["message"].as_str().unwrap())
        .collect()
}

#[test]
fn a_node_that_is_right_passes() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    let report = access.ask(&["verify", "--seconds", "2", "--seed", "11", "--actors", "4"]);
    assert_eq!(report["result"], "pass", "{report}");
    assert_eq!(
        (&report["seed"], &report["faults"]),
        (&json!(11), &json!([]))
    );
    assert_eq!(report["violations"], json!([]));
    assert!(report["operations"].as_u64().unwrap() > 100, "{report}");

    // For people, by the profile of the data directory, with a seed of its own.
    let mut command = selvedge();
    command.args(["verify", "--seconds", "1", "--clients", "2", "--data-dir"]);
    let output = run(command.arg(scratch.path().join("data")));
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(printed.starts_with("PASS  seed "), "{printed}");
    assert!(said.contains("verifying with seed "), "{said}");
    assert!(said.contains("verifying, seconds: 1/1"), "{said}");
    assert!(node.stop("TERM").success());
}

#[test]
fn a_node_that_is_killed_keeps_its_promises() {
    let mut command = selvedge();
    command.args(["verify", "--kill", "3", "--seconds", "5", "--seed", "42"]);
    let report = parse(&run(command.args(["--output", "json"])));
    assert_eq!(report["result"], "pass", "{report}");
    let faults = report["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 3, "{report}");
    for fault in faults {
        assert_eq!(fault["kind"], "kill");
        assert!(
            fault["atMs"].is_u64() && fault["lastedMs"].is_u64(),
            "{fault}"
        );
    }
}

#[test]
fn a_node_that_loses_what_it_acknowledged_fails() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let mut command = wrong_node("loses");
    command.args(dev(&data).get_args());
    let node = Node::spawn(&mut command);
    let access = node.access();
    let verify = ["verify", "--seconds", "2", "--seed", "1", "--actors", "2"];
    let (report, said) = failing(&mut access.client(&verify));
    assert_eq!(report["result"], "fail");
    assert!(said.contains("violations with seed 1"), "{said}");
    let unordered = messages(&report, "linearizability");
    assert!(!unordered.is_empty(), "{report}");
    let lost = messages(&report, "effects");
    assert!(
        lost.iter().any(|it| it.contains("acknowledged")),
        "{report}"
    );
    let part = report["violations"][0]["part"].as_array().unwrap();
    assert!((2..12).contains(&part.len()), "a part to read: {part:#?}");
    assert!(node.stop("TERM").success());
}

#[test]
fn a_node_that_does_twice_what_was_asked_once_fails() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = wrong_node("doubles");
    command.env("TMPDIR", scratch.path());
    command.args([
        "verify",
        "--kill",
        "1",
        "--seconds",
        "5",
        "--actors",
        "2",
        "--output",
        "json",
    ]);
    let (report, said) = failing(&mut command);
    let twice = messages(&report, "effects");
    assert!(
        twice.iter().any(|it| it.contains("took effect 2 times")),
        "{report}"
    );
    // What it can be looked into with is kept.
    let line = said.lines().find(|line| line.contains("kept in ")).unwrap();
    let kept = PathBuf::from(line.rsplit("kept in ").next().unwrap());
    assert!(kept.join("node.log").exists(), "{said}");
}

#[test]
fn a_node_that_forgets_when_it_is_killed_fails() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = wrong_node("forgets");
    command.env("TMPDIR", scratch.path());
    command.args(["verify", "--kill", "2", "--seconds", "4", "--actors", "2"]);
    let output = run(&mut command);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.starts_with("FAIL  seed "), "{printed}");
    assert!(printed.contains("killed at "), "{printed}");
    assert!(
        printed.contains("no order of these calls explains"),
        "{printed}"
    );
}

#[test]
fn wrong_flags_are_usage_errors_and_a_missing_node_is_unavailable() {
    for (flags, part) in [
        (&["--seconds", "0"][..], "--seconds"),
        (&["--clients", "65"], "--clients"),
        (&["--actors", "none"], "--actors"),
        (&["--seed", "-1"], "-1"),
        (
            &["--kill", "4", "--seconds", "3"],
            "--kill 4: at most one in each",
        ),
        (
            &["--kill", "--server", "localhost:7400"],
            "leave --server out",
        ),
        (
            &["--stop", "2"],
            "--stop is done to a cluster of its own: add --nodes 3",
        ),
        (&["--kill", "--loss", "5"], "add --nodes 3"),
        (
            &["--fdb-bin", "/bin"],
            "--fdb-bin is done to a cluster of its own: add --nodes 3",
        ),
        (
            &["--nodes", "3", "--fdb-bin", "/bin", "--store", "fdb:a"],
            "give one of them",
        ),
        (&["--nodes", "0"], "--nodes"),
        (&["--nodes", "10"], "--nodes"),
        (&["--nodes", "3", "--loss", "51"], "--loss"),
        (
            &["--nodes", "3", "--kill", "--drain", "--seconds", "11"],
            "give --seconds 12 or ask for fewer",
        ),
        (
            &["--nodes", "3", "--server", "localhost:7400"],
            "--nodes starts nodes of its own",
        ),
        (&["--data-dir", "/nowhere/at/all"], "--server"),
    ] {
        let said = fail(selvedge().arg("verify").args(flags), 2);
        assert!(said.contains(part), "{flags:?}: {said}");
    }
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = Access {
        // A port that was bound and is free again: nobody is there.
        server: {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap().to_string()
        },
        ..node.access()
    };
    let said = fail(&mut access.client(&["verify", "--seconds", "1"]), 5);
    assert!(said.contains("nothing answers"), "{said}");
}

#[test]
fn an_interrupt_ends_it_and_its_node() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = selvedge();
    command.args(["verify", "--kill", "--seconds", "600", "--seed", "3"]);
    command
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut verify = Guarded(command.spawn().unwrap());
    let mut said = BufReader::new(verify.0.stderr.take().unwrap()).lines();
    // By then its node serves.
    assert!(said.any(|line| line.unwrap().starts_with("verifying with seed 3")));
    let place = scratch.path().to_str().unwrap();
    assert_eq!(processes_that_name(place), 1);
    send_signal(&verify.0, "INT");
    let rest: Vec<_> = said.map(Result::unwrap).collect();
    assert!(
        rest.iter().any(|line| line.contains("interrupted")),
        "{rest:?}"
    );
    let status = verify.0.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(processes_that_name(place), 0);
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "its directory is gone: {left:?}");
}

/// How many processes have a text in their command line.
fn processes_that_name(text: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}
