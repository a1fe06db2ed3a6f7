//! `selvedge verify` on FoundationDB: on one that is there, and on one of its own whose servers it kills.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use selvedge_cluster::Clock;
use serde_json::Value;

use super::servers::{Servers, bin};
use crate::process::verify::cluster::{pass, processes};
use crate::process::{Guarded, PATIENCE, fail, selvedge};

/// The kinds of the faults that happened, in the order of the alphabet.
fn kinds(report: &Value) -> Vec<&str> {
    let faults = report["faults"].as_array().unwrap().iter();
    let mut kinds: Vec<_> = faults.map(|it| it["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn a_cluster_keeps_its_promises_over_kills_of_its_nodes() {
    let Some(servers) = Servers::start(3) else {
        return;
    };
    let store = format!("fdb:{}", servers.file().display());
    let mut flags = vec![
        "--nodes", "3", "--store", &store, "--kill", "2", "--stop", "1",
    ];
    flags.extend(["--drain", "1", "--join", "1", "--partition", "1"]);
    flags.extend(["--seconds", "22", "--seed", "7"]);
    let report = pass(&flags);
    assert_eq!(kinds(&report).len(), 6, "{report:#}");
    let left = servers.cli("getrangekeys \"\" \\xff 1");
    assert!(!left.contains("selvedge"), "its keys are gone: {left}");
}

#[test]
fn a_cluster_keeps_its_promises_over_kills_of_its_nodes_and_of_the_servers() {
    let Some(bin) = bin() else {
        return;
    };
    let bin = bin.to_str().unwrap();
    let mut flags = vec!["--nodes", "3", "--fdb-bin", bin, "--storage-kill", "2"];
    flags.extend(["--kill", "1", "--stop", "1", "--drain", "1", "--join", "1"]);
    flags.extend(["--seconds", "26", "--seed", "11"]);
    let report = pass(&flags);
    let happened = [
        "drain",
        "join",
        "kill",
        "stop",
        "storageKill",
        "storageKill",
    ];
    assert_eq!(kinds(&report), happened, "{report:#}");
    for fault in report["faults"].as_array().unwrap() {
        let is_server = fault["whom"].as_str().unwrap().starts_with("fdbserver-");
        assert_eq!(is_server, fault["kind"] == "storageKill", "{fault}");
    }
    assert!(report["operations"].as_u64().unwrap() > 100, "{report:#}");
}

/// Killed, it cannot end them: they find out.
#[test]
fn no_server_is_left_running_by_a_verify_that_was_killed() {
    let Some(bin) = bin() else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().to_str().unwrap();
    let mut command = selvedge();
    command.args(["verify", "--nodes", "1", "--seconds", "60", "--fdb-bin"]);
    command.arg(bin).env("TMPDIR", place);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut verify = Guarded(command.spawn().unwrap());
    let mut said = BufReader::new(verify.0.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().starts_with("verifying with seed ")));
    assert_eq!(processes(place).len(), 4, "a node and three servers");
    verify.0.kill().unwrap();
    verify.0.wait().unwrap();
    let killed = Clock::system().monotonic();
    // Ended and not yet waited for by whoever inherits them is ended.
    while processes(place).iter().any(|state| *state != 'Z') {
        assert!(killed.elapsed() < PATIENCE, "some live on");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_foundationdb_cannot_be_given_is_a_usage_error() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    for (flags, part) in [
        (&["--fdb-bin", empty][..], "fdbserver and fdbcli"),
        (
            &["--store", "fdb:fdb.cluster", "--storage-kill"],
            "give --fdb-bin DIR instead",
        ),
        (
            &["--fdb-bin", empty, "--storage-kill", "3", "--seconds", "11"],
            "give --seconds 12",
        ),
    ] {
        let mut command = selvedge();
        let said = fail(command.args(["verify", "--nodes", "3"]).args(flags), 2);
        assert!(said.contains(part), "{flags:?}: {said}");
    }
}
