//! Bytes that no client of ours would send. Each gets its clear answer, and the node goes on.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use quinn::ConnectionError;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Request};
use selvedge_protocol::limits::FRAME_BODY_BYTES_MAX;

use super::peer::{Node, close_code, closed, config, encode, hello, query, success};

fn oversized() -> Vec<u8> {
    let length = u32::try_from(FRAME_BODY_BYTES_MAX + 3).unwrap();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend([1, 2]);
    bytes
}

#[tokio::test]
async fn bytes_that_are_no_frames() {
    let node = Node::start().await;
    let cases: [(Vec<u8>, ErrorCode); 4] = [
        (oversized(), ErrorCode::TooLarge),
        (vec![0, 0, 0, 3, 99, 2, 0], ErrorCode::UnsupportedVersion),
        (vec![0, 0, 0, 3, 1, 200, 0], ErrorCode::Malformed),
        (vec![0, 0, 0, 0, 1, 2], ErrorCode::Malformed),
    ];
    for (bytes, code) in cases {
        let mut before = node.connect().await;
        before.send_bytes(&bytes).await;
        assert_eq!(before.expelled().await.code, code, "{bytes:?} as Hello");
        let (mut after, _) = node.session().await;
        after.send_bytes(&bytes).await;
        assert_eq!(after.expelled().await.code, code, "{bytes:?} after Hello");
    }
}

#[tokio::test]
async fn garbage_in_datagrams() {
    let node = Node::start().await;
    let not_ephemeral = encode(&[query(1, "echo", "1")]);
    for garbage in [vec![0, 0, 0, 3, 1, 200, 0], vec![], not_ephemeral] {
        let (mut peer, _) = node.session().await;
        peer.connection.send_datagram(garbage.into()).unwrap();
        assert_eq!(peer.expelled().await.code, ErrorCode::Malformed);
    }
    // And what is not even QUIC.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for length in 0..1_200_usize {
        let from = u8::try_from(length % 256).unwrap();
        let bytes: Vec<u8> = (from..=255).chain(0..from).cycle().take(length).collect();
        socket.send_to(&bytes, node.address).unwrap();
    }
    let (mut peer, _) = node.session().await;
    peer.send(&[query(1, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(1));
}

#[tokio::test]
async fn half_a_hello_then_silence() {
    let mut edge = config();
    edge.hello = Duration::from_millis(100);
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let hello = encode(&[ClientFrame::Hello(hello(None))]);
    for length in [1, 5, 20, hello.len() - 1] {
        let mut peer = node.connect().await;
        peer.send_bytes(&hello[..length]).await;
        assert_eq!(peer.expelled().await.code, ErrorCode::Malformed);
    }
    // And no stream at all.
    let endpoint = node.endpoint();
    let connection = endpoint
        .connect(node.address, "localhost")
        .unwrap()
        .await
        .unwrap();
    assert_eq!(closed(&connection).await, close_code(ErrorCode::Malformed));
}

#[tokio::test]
async fn half_a_frame_then_silence() {
    let mut session = SessionConfig::new("test");
    session.idle_ms = 200;
    let node = Node::with(config(), session).await;
    let (mut peer, _) = node.session().await;
    let frame = encode(&[query(1, "echo", "1")]);
    peer.send_bytes(&frame[..frame.len() / 2]).await;
    let reason = peer.connection.closed().await;
    assert_eq!(reason, ConnectionError::TimedOut);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    // Answers of 60 kB each to questions of 60 bytes: the node stops reading once its side is full.
    let mut sent = 0;
    loop {
        let more = [query(sent + 1, "large", "null")];
        let standstill = tokio::time::timeout(Duration::from_millis(500), peer.send(&more));
        if standstill.await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 100_000, "the node takes questions without end");
    }
    // Another client notices nothing.
    let (mut other, _) = node.session().await;
    other.send(&[query(1, "echo", "1")]).await;
    success(other.reply().await, Request::Query(1));
    // Read at last, the answers come.
    for _ in 0..1_000 {
        peer.reply().await;
    }
}
