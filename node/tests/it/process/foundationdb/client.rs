//! What a node tells FoundationDB's client: certificates, and libraries of other versions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::servers::{Options, Servers};
use super::{on, value};
use crate::process::cluster::{init_ca, issue};
use crate::process::{Access, Node, fail};

/// A node with this table in its configuration.
fn configured(file: &Path, data_dir: &Path, fdb: &str) -> Command {
    let config = data_dir.with_extension("toml");
    std::fs::write(&config, format!("[fdb]\n{fdb}")).unwrap();
    let mut command = on(file, data_dir);
    command.arg("--config").arg(config);
    command
}

/// Something is stored and read.
fn works(access: &Access) {
    access.ask(&["actor", "send", "counter/visits", "add", r#"{"by":1}"#]);
    assert_eq!(value(access), json!({ "value": 1 }));
}

/// A certificate, its key, and the authority that signed it.
fn certificates(dir: &Path, name: &str) -> [PathBuf; 3] {
    issue(dir, name);
    let [certificate, key] = ["pem", "key"].map(|of| dir.join(format!("nodes/{name}.{of}")));
    [certificate, key, dir.join("ca/ca.pem")]
}

fn table([certificate, key, ca]: &[PathBuf; 3]) -> String {
    format!("tls_certificate = {certificate:?}\ntls_key = {key:?}\ntls_ca = {ca:?}\n")
}

#[test]
fn a_database_that_speaks_tls_knows_a_node_by_its_certificate() {
    let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init_ca(&ours.path().join("ca"));
    init_ca(&others.path().join("ca"));
    let options = Options {
        tls: Some(certificates(ours.path(), "server-1")),
    };
    let Some(servers) = Servers::start_with(1, options) else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let known = table(&certificates(ours.path(), "node-1"));
    let node = Node::spawn(&mut configured(
        servers.file(),
        &scratch.path().join("data"),
        &known,
    ));
    works(&node.access());
    assert!(node.stop("TERM").success());

    let stranger = table(&certificates(others.path(), "node-1"));
    for (name, fdb) in [("stranger", stranger.as_str()), ("plain", "")] {
        let mut command = configured(servers.file(), &scratch.path().join(name), fdb);
        let said = fail(command.stderr(Stdio::piped()), 5);
        for part in ["cannot be reached", "TLS settings"] {
            assert!(said.contains(part), "{name}: {said}");
        }
    }
}

#[test]
fn a_node_takes_more_client_libraries_from_a_directory() {
    let Some(servers) = Servers::start(1) else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::spawn(&mut on(servers.file(), &scratch.path().join("first")));
    let libraries = scratch.path().join("libraries");
    std::fs::create_dir(&libraries).unwrap();
    std::fs::copy(library(&node), libraries.join("libfdb_c.so")).unwrap();
    assert!(node.stop("TERM").success());
    let fdb = format!("external_clients = {libraries:?}\n");
    let mut command = configured(servers.file(), &scratch.path().join("data"), &fdb);
    let node = Node::spawn(&mut command);
    works(&node.access());
    assert!(node.stop("TERM").success());
}

/// The client library that a node has loaded.
fn library(node: &Node) -> PathBuf {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", node.process())).unwrap();
    let mut paths = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let found = paths.find(|path| path.contains("libfdb_c"));
    found.unwrap_or_else(|| panic!("{maps}")).into()
}
