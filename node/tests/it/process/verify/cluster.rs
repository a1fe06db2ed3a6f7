//! `selvedge verify` on clusters of its own, with networks that are broken and processes that are killed and stopped.

use std::path::Path;
use std::process::{Command, Stdio};

use selvedge_cluster::Clock;
use serde_json::Value;

use super::{failing, messages, processes_that_name, wrong_node};
use crate::process::{Guarded, PATIENCE, json, run, selvedge, send_signal};

/// `verify` with these flags, which has to pass and to leave nothing behind; what it reports.
fn pass(flags: &[&str]) -> Value {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = selvedge();
    command.args(["verify", "--output", "json"]).args(flags);
    let report = json(&run(command.env("TMPDIR", scratch.path())));
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

/// The states of the processes that have a text in their command line: R, S, T, …
fn processes(text: &str) -> Vec<char> {
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
