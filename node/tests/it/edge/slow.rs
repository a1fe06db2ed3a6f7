//! Clients that send a byte now and then: never silent, and never done. Each is let go in the time that it has.

use std::time::Duration;

use quinn::{ReadError, SendStream, VarInt};
use selvedge_node::edge::EdgeConfig;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Payload, Request};
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval, timeout};

use super::admission::first_flight;
use super::peer::{Node, PATIENCE, close_code, command, config, encode, hello, query, success};

/// A byte, each time.
const EVERY: Duration = Duration::from_millis(20);
/// What they have, of which they would take many times as much.
const TIME: Duration = Duration::from_millis(400);

/// Sends a byte at a time, until nobody takes them.
async fn trickle(send: &mut SendStream, bytes: &[u8]) {
    let mut ticks = interval(EVERY);
    for byte in bytes {
        ticks.tick().await;
        if send.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

fn hasty() -> EdgeConfig {
    let mut edge = config();
    edge.hello = TIME;
    edge.payload_stall = TIME;
    edge
}

#[tokio::test]
async fn a_hello_a_byte_at_a_time() {
    let node = Node::with(hasty(), SessionConfig::new("test")).await;
    let mut peer = node.connect().await;
    let mut slow = encode(&[ClientFrame::Hello(hello(None))]);
    slow.truncate(slow.len() - 1);
    let began = Instant::now();
    let connection = peer.connection.clone();
    let sending = trickle(&mut peer.send, &slow);
    let closed = tokio::join!(sending, connection.closed()).1;
    let Some(code) = application_code(&closed) else {
        panic!("{closed:?}");
    };
    assert_eq!(code, close_code(ErrorCode::Malformed));
    assert!(began.elapsed() >= TIME / 2);
    assert_eq!(node.sessions.len(), 0);
}

#[tokio::test]
async fn a_frame_a_byte_at_a_time() {
    let node = Node::with(hasty(), SessionConfig::new("test")).await;
    let (mut peer, _) = node.session().await;
    // Whole frames, however slowly, are no trickle.
    let whole = encode(&[query(1, "echo", "1")]);
    let mut ticks = interval(TIME / 4);
    for piece in whole.chunks(whole.len().div_ceil(3)) {
        ticks.tick().await;
        peer.send_bytes(piece).await;
    }
    success(peer.reply().await, Request::Query(1));
    let slow = encode(&[query(2, "echo", vec![b'1'; 10_000])]);
    let connection = peer.connection.clone();
    let sending = trickle(&mut peer.send, &slow);
    let closed = tokio::join!(sending, connection.closed()).1;
    let code = application_code(&closed);
    assert_eq!(code, Some(close_code(ErrorCode::Unavailable)));
}

#[tokio::test]
async fn an_attached_payload_a_byte_at_a_time() {
    let node = Node::with(hasty(), SessionConfig::new("test")).await;
    let (mut peer, _) = node.session().await;
    let mut measure = command(1, "measure");
    measure.payload = Payload::Attached { length: 10_000 };
    let head = encode(&[ClientFrame::Command(measure)]);
    for sent in [
        // The payload itself, or the command before it.
        [&head[..], &[7; 10_000]].concat(),
        encode(&[query(1, "echo", vec![b'1'; 10_000])]),
    ] {
        let (mut send, mut recv) = peer.connection.open_bi().await.unwrap();
        let sending = async {
            send.write_all(&sent[..head.len().min(20)]).await.unwrap();
            if sent.len() > head.len() && sent.starts_with(&head) {
                send.write_all(&sent[20..head.len()]).await.unwrap();
            }
            trickle(&mut send, &sent[head.len()..]).await;
        };
        let reading = recv.read_to_end(1_000);
        let read = tokio::join!(sending, reading).1;
        let expected = VarInt::from_u64(close_code(ErrorCode::Invalid)).unwrap();
        match read {
            Err(quinn::ReadToEndError::Read(ReadError::Reset(code))) => assert_eq!(code, expected),
            other => panic!("{other:?}"),
        }
    }
    // The session is none the worse.
    peer.send(&[query(1, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(1));
}

#[tokio::test]
async fn a_handshake_that_is_never_done() {
    let mut edge = config();
    edge.handshake = TIME;
    // So the one that is not done holds all that there is.
    edge.connections_max = 1;
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let slow = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let [flight] = first_flight(&node, 1).await.try_into().unwrap();
    slow.send_to(&flight[0], node.address).await.unwrap();
    let mut buffer = vec![0; 2_000];
    // It is acknowledged, so its connection is there.
    slow.recv(&mut buffer).await.unwrap();
    let endpoint = node.endpoint();
    let mut refused = 0;
    let connected = timeout(PATIENCE, async {
        loop {
            // Something of it comes again and again.
            slow.send_to(&flight[0], node.address).await.unwrap();
            match endpoint.connect(node.address, "localhost").unwrap().await {
                Ok(connection) => return connection,
                Err(_) => refused += 1,
            }
        }
    });
    connected.await.unwrap();
    assert!(refused > 0, "it held the only place for a while");
}

fn application_code(error: &quinn::ConnectionError) -> Option<u64> {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}
