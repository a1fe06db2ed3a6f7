//! Tests of what a node tells Prometheus.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::time::Instant;

use super::{Node, PATIENCE};

/// What `/metrics` says.
fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
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
}
