//! Tests of what a node tells whoever asks its HTTP port: Prometheus, and browsers that look for QUIC.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Node, PATIENCE, get};

/// What `/metrics` says.
fn scrape(address: &str) -> String {
    get(address, "/metrics")
}

fn commits(text: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("selvedge_actor_commits_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn what_a_node_does_at_its_start_is_counted_and_so_is_the_rest() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let node = Node::dev(&data);
    let input = r#"{"rows":10,"stepMs":600000}"#;
    let access = node.access();
    access.ask(&["op", "submit", "import", "--id", "long", "--input", input]);
    node.kill();

    // It goes on with the operation before any port is open.
    let node = Node::dev(&data);
    let http = node.ready["http"].as_str().unwrap();
    let begun = Instant::now();
    while commits(&scrape(http)) == 0 {
        assert!(begun.elapsed() < PATIENCE, "{}", scrape(http));
    }
    let before = commits(&scrape(http));
    let access = node.access();
    access.ask(&["actor", "send", "counter/a", "add", r#"{"by":1}"#]);
    assert!(commits(&scrape(http)) > before);
    // Told once a second.
    let accepted = "selvedge_handshakes_total{outcome=\"accepted\"} 1";
    while !scrape(http).contains(accepted) {
        assert!(begun.elapsed() < PATIENCE, "{}", scrape(http));
    }
    assert!(scrape(http).contains("selvedge_handshake_prefixes "));
}

/// With a browser beside it: client/web/test/e2e/webtransport.test.ts.
#[test]
fn browsers_are_told_where_quic_is() {
    let scratch = tempfile::tempdir().unwrap();
    let told = |node: &Node| {
        let answer = get(node.ready["http"].as_str().unwrap(), "/version");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let version: Value = serde_json::from_str(body).unwrap();
        version["webTransport"].clone()
    };
    let node = Node::dev(&scratch.path().join("data"));
    let web = told(&node);
    let quic: SocketAddr = node.ready["quic"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        (&web["port"], &web["path"]),
        (&json!(quic.port()), &json!("/session"))
    );
    let hashes = web["certificateHashes"].as_array().unwrap();
    assert_eq!(hashes.len(), 1);
    assert_eq!(
        BASE64_STANDARD
            .decode(hashes[0].as_str().unwrap())
            .unwrap()
            .len(),
        32
    );
}
