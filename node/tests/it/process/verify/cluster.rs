//! `selvedge verify` on clusters of its own, with networks that are broken and processes that are killed and stopped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use selvedge_cluster::Clock;
use serde_json::Value;

use super::{failing, messages, processes_that_name, wrong_node};
use crate::process::{Guarded, PATIENCE, json, run, selvedge, send_signal, text};

/// `verify` with these flags, which has to pass and to leave nothing behind; what it reports.
pub(in crate::process) fn pass(flags: &[&str]) -> Value {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = selvedge();
    command.args(["verify", "--output", "json"]).args(flags);
    let output = run(command.env("TMPDIR", scratch.path()));
    if !output.status.success() {
        // Its logs are there.
        let kept = scratch.keep();
        let (printed, said) = (text(&output.stdout), text(&output.stderr));
        panic!("{}: {flags:?}: {printed} {said}", kept.display());
    }
    let report = json(&output);
    assert_eq!(report["result"], "pass", "{report:#}");
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "its directory is gone: {left:?}");
    report
}

fn faults(report: &Value) -> Vec<&Value> {
    report["faults"].as_array().unwrap().iter().collect()
}

#[test]
fn one_node_on_a_storage_node_keeps_its_promises_over_kills_of_both() {
    let report = pass(&[
        "--nodes",
        "1",
        "--kill",
        "1",
        "--storage-kill",
        "1",
        "--seconds",
        "6",
        "--seed",
        "5",
    ]);
    assert_eq!(report["nodes"], 1);
    let mut kinds = Vec::new();
    for fault in faults(&report) {
        kinds.push((
            fault["kind"].as_str().unwrap(),
            fault["whom"].as_str().unwrap(),
        ));
        for field in ["atMs", "lastedMs", "recoveryMs"] {
            assert!(fault[field].is_u64(), "{field}: {fault}");
        }
    }
    kinds.sort_unstable();
    assert_eq!(kinds, [("kill", "node-1"), ("storageKill", "storage")]);
    let recovery = &report["recoveryMs"];
    let [p50, p99, max] = ["p50", "p99", "max"].map(|of| recovery[of].as_u64().unwrap());
    assert!(0 < p50 && p50 <= p99 && p99 <= max, "{recovery}");
}

#[test]
fn one_node_that_is_cut_off_and_stopped_keeps_its_promises() {
    let report = pass(&[
        "--nodes",
        "1",
        "--partition",
        "2",
        "--stop",
        "1",
        "--drain",
        "1",
        "--seconds",
        "8",
        "--seed",
        "8",
    ]);
    let faults = faults(&report);
    assert_eq!(faults.len(), 4, "{report:#}");
    for fault in &faults {
        assert_eq!(fault["whom"], "node-1", "{fault}");
        if fault["kind"] == "partition" {
            let (from, way) = (&fault["from"], &fault["way"]);
            assert!(from.is_string() && way.is_string(), "{fault}");
        }
    }
}

/// Three nodes, one sort of fault: everything is as promised, and what was to happen has happened.
fn three_nodes_pass(seconds: &str, flags: &[&str], happened: &[&str]) -> Value {
    let cluster = ["--nodes", "3", "--seed", "3", "--seconds", seconds];
    let report = pass(&[&cluster, flags].concat());
    let faults = faults(&report);
    let kinds: Vec<_> = faults
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, happened, "{report:#}");
    assert!(report["operations"].as_u64().unwrap() > 100, "{report:#}");
    report
}

#[test]
fn three_nodes_keep_their_promises_when_one_is_killed() {
    three_nodes_pass("8", &["--kill", "2"], &["kill", "kill"]);
}

#[test]
fn three_nodes_keep_their_promises_when_one_stands_still() {
    let report = three_nodes_pass("9", &["--stop", "1"], &["stop"]);
    // For longer than it takes the others to declare it dead: it comes back and believes that it owns.
    let lasted_ms = report["faults"][0]["lastedMs"].as_u64().unwrap();
    assert!(lasted_ms > 3_000, "{report:#}");
}

#[test]
fn three_nodes_keep_their_promises_when_one_is_cut_off() {
    three_nodes_pass("8", &["--partition", "2"], &["partition", "partition"]);
}

#[test]
fn three_nodes_keep_their_promises_when_their_store_is_killed() {
    three_nodes_pass("5", &["--storage-kill", "1"], &["storageKill"]);
}

#[test]
fn three_nodes_keep_their_promises_when_one_leaves_and_comes_back() {
    three_nodes_pass("6", &["--drain", "1"], &["drain"]);
}

#[test]
fn three_nodes_keep_their_promises_when_another_comes_and_leaves() {
    three_nodes_pass("6", &["--join", "1"], &["join"]);
}

#[test]
fn three_nodes_keep_their_promises_on_a_bad_network() {
    let flags = ["--loss", "5", "--kill", "1"];
    three_nodes_pass("6", &flags, &["loss", "kill"]);
}

#[test]
fn a_bad_network_breaks_no_promise() {
    let report = pass(&[
        "--nodes",
        "1",
        "--loss",
        "3",
        "--delay",
        "2",
        "--reorder",
        "5",
        "--duplicate",
        "5",
        "--seconds",
        "3",
        "--seed",
        "1",
    ]);
    let kinds: Vec<_> = faults(&report).iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["loss", "reorder", "duplicate", "delay"]);
    // They last as long as the run, so there is nothing to recover from.
    assert_eq!(report["recoveryMs"], Value::Null);
    assert!(report["operations"].as_u64().unwrap() > 50, "{report:#}");
}

#[test]
fn what_a_wrong_node_left_is_kept_with_the_logs_of_all() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = wrong_node("doubles");
    command.env("TMPDIR", scratch.path());
    command.args(["verify", "--nodes", "1", "--seconds", "2"]);
    let (report, said) = failing(command.args(["--output", "json"]));
    assert!(!messages(&report, "effects").is_empty(), "{report:#}");
    let line = said.lines().find(|line| line.contains("kept in ")).unwrap();
    let kept = Path::new(line.rsplit("kept in ").next().unwrap());
    for log in ["storage.log", "node-1.log"] {
        assert!(kept.join(log).exists(), "{log}: {said}");
    }
    assert_eq!(processes_that_name(scratch.path().to_str().unwrap()), 0);
}

#[test]
fn an_interrupt_ends_processes_that_are_stopped_as_well() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().to_str().unwrap();
    let mut command: Command = selvedge();
    command.args(["verify", "--nodes", "1", "--stop", "1", "--seconds", "30"]);
    command
        .env("TMPDIR", place)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut verify = Guarded(command.spawn().unwrap());
    let begun = Clock::system().monotonic();
    while !processes(place).contains(&'T') {
        assert!(begun.elapsed() < PATIENCE, "no process was stopped");
        std::thread::yield_now();
    }
    assert_eq!(processes(place).len(), 2);
    send_signal(&verify.0, "INT");
    let status = verify.0.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(processes(place).is_empty());
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "its directory is gone: {left:?}");
}

/// Killed, it cannot end its nodes: they find out, the one that is stopped as well.
#[test]
fn nothing_is_left_running_by_a_verify_that_was_killed() {
    for flags in [
        &["--kill", "--seconds", "600"][..],
        &["--nodes", "1", "--stop", "1", "--seconds", "30"],
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let place = scratch.path().to_str().unwrap();
        let mut command = selvedge();
        command.arg("verify").args(flags).env("TMPDIR", place);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut verify = Guarded(command.spawn().unwrap());
        let mut said = BufReader::new(verify.0.stderr.take().unwrap()).lines();
        // By then its nodes serve.
        assert!(said.any(|line| line.unwrap().starts_with("verifying with seed ")));
        let (clock, begun) = (Clock::system(), Clock::system().monotonic());
        let stops = flags.contains(&"--stop");
        while stops && !processes(place).contains(&'T') {
            assert!(begun.elapsed() < PATIENCE, "no process was stopped");
            std::thread::yield_now();
        }
        assert!(!processes(place).is_empty());
        verify.0.kill().unwrap();
        verify.0.wait().unwrap();
        let killed = clock.monotonic();
        // Ended and not yet waited for by whoever inherits them is ended.
        while processes(place).iter().any(|state| *state != 'Z') {
            let left = processes(place);
            assert!(killed.elapsed() < PATIENCE, "{flags:?}: {left:?} live on");
            std::thread::yield_now();
        }
    }
}

/// The states of the processes that have a text in their command line: R, S, T, …
pub(in crate::process) fn processes(text: &str) -> Vec<char> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let state = |path: &Path| {
        let line = std::fs::read(path.join("cmdline")).ok()?;
        let is_it = String::from_utf8_lossy(&line).contains(text);
        let status = std::fs::read_to_string(path.join("stat")).ok()?;
        let after_name = status.rsplit(") ").next()?.chars().next()?;
        is_it.then_some(after_name)
    };
    entries
        .filter_map(|entry| state(&entry.ok()?.path()))
        .collect()
}
