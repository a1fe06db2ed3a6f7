//! More connections over HTTP than there may be: who is closed at once, and who still finds room.

use std::sync::Arc;
use std::time::Duration;

use selvedge_node::edge::admission::Rate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Node, PATIENCE, People};

/// What this machine may have beside all others.
const RESERVED: usize = 64;

/// Whether a connection is there for long enough to be asked something.
async fn is_served(stream: &mut TcpStream, node: &Node) -> bool {
    let request = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut heard = [0; 12];
    let read = timeout(PATIENCE, stream.read_exact(&mut heard)).await;
    read.expect("an answer or an end").is_ok() && heard == *b"HTTP/1.1 200"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_when_all_connections_are_taken() {
    let node = Node::with(Arc::new(People), |bridge| {
        bridge.connections.connections_max = 8;
        // So that those who say nothing stay.
        bridge.head = PATIENCE;
        bridge.keep_alive = PATIENCE;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(node.address).await.unwrap());
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = node.nobody().get(path).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}");
    }
    // There is an end to what this machine may have as well.
    let mut served = 0;
    let closed = loop {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        match is_served(&mut stream, &node).await {
            true => served += 1,
            false => break stream,
        }
        silent.push(stream);
    };
    assert!((RESERVED - 8..=RESERVED).contains(&served), "{served}");
    drop(closed);
    // With the others its places are free again.
    drop(silent);
    let again = async {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        while !is_served(&mut stream, &node).await {
            stream = TcpStream::connect(node.address).await.unwrap();
        }
    };
    timeout(PATIENCE, again).await.expect("room");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_too_often_is_closed_at_once() {
    let node = Node::with(Arc::new(People), |bridge| {
        bridge.connections.loopback = Rate {
            per_second: 1,
            burst: 5,
        };
    })
    .await;
    let mut served = 0;
    for _ in 0..100 {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        served += usize::from(is_served(&mut stream, &node).await);
    }
    assert!((5..50).contains(&served), "{served}");
    let wait = Duration::from_millis(100);
    let again = async {
        let mut ticks = tokio::time::interval(wait);
        loop {
            ticks.tick().await;
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            if is_served(&mut stream, &node).await {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("a second later");
    node.stop().await;
}
