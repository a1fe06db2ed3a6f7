//! Sessions outlive addresses, drains and nodes.

use super::kill::Production;
use super::traffic::Traffic;
use super::{Node, dev};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_moves_to_another_socket_keeps_its_connection() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    // The log has a line for each session that is opened or resumed.
    let node = Node::spawn(dev(&data_dir).env("SELVEDGE_LOG", "selvedge_node::session=debug"));
    let mut traffic = Traffic::start(&node.access(), "room/moved").await;
    let clients = traffic.clients.len();
    for _ in 0..5 {
        traffic.advance(50).await;
        for client in &traffic.clients {
            client.rebind().unwrap();
        }
    }
    traffic.advance(100).await;
    let outcome = traffic.finish().await;
    assert_eq!(outcome.unknown, 0);
    assert!(node.stop("TERM").success());
    let log = std::fs::read_to_string(data_dir.with_extension("log")).unwrap();
    assert_eq!(log.matches("session opened").count(), clients, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drain_under_load_fails_no_command_and_sessions_go_on_at_the_next_node() {
    let scratch = tempfile::tempdir().unwrap();
    let production = Production::new(scratch.path());
    let mut node = production.start("127.0.0.1:0");
    let access = production.access(&node);
    let mut traffic = Traffic::start(&access, "room/drained").await;
    for signal in ["TERM", "INT", "TERM"] {
        traffic.advance(100).await;
        let status = node.stop(signal);
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
        node = production.start(&access.server);
    }
    traffic.advance(100).await;
    let outcome = traffic.finish().await;
    assert_eq!(outcome.unknown, 0);
    drop(node);
}
