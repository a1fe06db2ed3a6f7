//! Clients of the HTTP port that are slow, silent, or say too much before they ask for anything.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

use super::{Node, PATIENCE};

/// A byte, each time.
const EVERY: Duration = Duration::from_millis(20);
/// What they have.
const TIME: Duration = Duration::from_millis(500);

/// Sends a byte at a time until the node ends the connection: what it has said by then.
async fn trickle(mut stream: TcpStream, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let mut ticks = interval(EVERY);
        for byte in bytes {
            ticks.tick().await;
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    let mut heard = Vec::new();
    let reading = timeout(PATIENCE, reader.read_to_end(&mut heard));
    tokio::select! {
        // A connection that is reset has ended as well.
        ended = reading => drop(ended.expect("an end in time")),
        () = async { sending.await; std::future::pending().await } => {}
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_a_byte_at_a_time() {
    let node = Node::with(std::sync::Arc::new(super::People), |bridge| {
        bridge.head = TIME;
    })
    .await;
    let began = Instant::now();
    let head = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(10_000)
    );
    let heard = trickle(
        TcpStream::connect(node.address).await.unwrap(),
        head.as_bytes(),
    )
    .await;
    assert!(
        heard.is_empty() || heard.starts_with("HTTP/1.1 408"),
        "{heard}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it had half a second"
    );
    // Nothing at all is no better.
    let heard = trickle(TcpStream::connect(node.address).await.unwrap(), b"").await;
    assert!(
        heard.is_empty() || heard.starts_with("HTTP/1.1 408"),
        "{heard}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_kept_for_its_time_only() {
    let node = Node::with(std::sync::Arc::new(super::People), |bridge| {
        bridge.keep_alive = TIME;
    })
    .await;
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    read.expect("an end in time").unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 200"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_too_large_are_refused() {
    let node = Node::start().await;
    for head in [
        format!("GET /livez HTTP/1.1\r\nX: {}", "x".repeat(1 << 20)),
        format!("GET /{} HTTP/1.1\r\n", "x".repeat(1 << 20)),
        format!("GET /livez HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(1_000)),
    ] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        // It may have had enough before the end.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut heard = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
        let _ = read.expect("an end in time");
        let heard = String::from_utf8_lossy(&heard);
        assert!(
            heard.is_empty() || heard.starts_with("HTTP/1.1 4"),
            "{heard}"
        );
    }
    let answer = node.nobody().get("/livez").await;
    assert_eq!(answer.status.as_u16(), 200);
    node.stop().await;
}
