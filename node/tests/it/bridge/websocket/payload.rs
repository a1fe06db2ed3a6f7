//! Payloads in chunks: attached and streamed, within their window.

use std::time::Duration;

use bytes::Bytes;
use selvedge_node::bridge::WebSocketConfig;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{Chunk, ClientFrame, Command, Payload, Reply, Request, ServerFrame};
use selvedge_protocol::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_WINDOW_BYTES};

use super::peer::{BINARY, FORMS, JSON, Node, Peer};
use crate::edge::peer::{command, failure, query, success};

fn measure(number: u64, payload: Payload) -> ClientFrame {
    ClientFrame::Command(Command {
        payload,
        ..command(number, "measure")
    })
}

fn chunk(number: u64, bytes: usize, last: bool) -> ClientFrame {
    ClientFrame::Chunk(Chunk {
        request: Request::Command(number),
        data: Bytes::from(vec![7; bytes]),
        last,
    })
}

const fn streamed(length: Option<u64>) -> Payload {
    Payload::Streamed { length }
}

const fn attached(length: usize) -> Payload {
    Payload::Attached {
        length: length as u64,
    }
}

/// Sends a payload of `bytes` bytes as a client does, until there is a reply.
async fn upload(peer: &mut Peer, number: u64, payload: Payload, bytes: usize) -> Reply {
    peer.send(&[measure(number, payload)]).await;
    let (mut sent, mut taken, mut is_done) = (0, 0, false);
    loop {
        while !is_done && sent < taken + PAYLOAD_WINDOW_BYTES {
            let next = (bytes - sent)
                .min(60_000)
                .min(taken + PAYLOAD_WINDOW_BYTES - sent);
            sent += next;
            is_done = sent == bytes;
            peer.send(&[chunk(number, next, is_done)]).await;
        }
        match peer.frame().await {
            ServerFrame::Window(window) => {
                assert_eq!(window.request, Request::Command(number));
                taken = usize::try_from(window.bytes).unwrap();
                assert!(taken <= sent);
            }
            ServerFrame::Reply(reply) => return reply,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn attached_and_streamed_bytes_arrive() {
    let node = Node::start().await;
    let length = PAYLOAD_BYTES_MAX + 1;
    let cases = [
        (attached(0), 0),
        (attached(1), 1),
        (attached(PAYLOAD_BYTES_MAX), PAYLOAD_BYTES_MAX),
        (streamed(None), 0),
        (streamed(None), 2 * PAYLOAD_BYTES_MAX),
        (streamed(Some(length as u64)), length),
    ];
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        for (number, (payload, bytes)) in (1..).zip(cases.clone()) {
            let reply = upload(&mut peer, number, payload, bytes).await;
            let measured = success(reply, Request::Command(number));
            assert_eq!(measured.body, bytes.to_string());
        }
    }
}

#[tokio::test]
async fn wrong_lengths_are_refused_and_what_was_on_its_way_is_let_go() {
    let node = Node::start().await;
    let nine = 9 * 1024 * 1024;
    let cases: [(Payload, usize, ErrorCode); 5] = [
        (attached(10), 9, ErrorCode::Invalid),
        (attached(10), 11, ErrorCode::Invalid),
        (attached(nine), 1_000, ErrorCode::TooLarge),
        (streamed(Some(10)), 9, ErrorCode::Invalid),
        (streamed(Some(10)), 11, ErrorCode::Invalid),
    ];
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        for (number, (payload, bytes, code)) in (1..).zip(cases.clone()) {
            let reply = upload(&mut peer, number, payload.clone(), bytes).await;
            let refused = failure(reply, Request::Command(number));
            assert_eq!(refused.code, code, "{payload:?}: {refused}");
            assert_eq!(
                refused.field.as_deref(),
                Some("payload").filter(|_| matches!(payload, Payload::Attached { .. }))
            );
            peer.send(&[chunk(number, 5, false), chunk(number, 5, true)])
                .await;
        }
        peer.send(&[query(1, "echo", "1")]).await;
        success(peer.reply().await, Request::Query(1));
    }
}

#[tokio::test]
async fn several_payloads_are_on_their_way_at_once() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        for number in 1..=16 {
            peer.send(&[measure(number, attached(20_000))]).await;
        }
        for _ in 0..9 {
            for number in 1..=16 {
                peer.send(&[chunk(number, 2_000, false)]).await;
            }
        }
        for number in 1..=16 {
            peer.send(&[chunk(number, 2_000, true)]).await;
        }
        let mut replies = 0;
        while replies < 16 {
            match peer.frame().await {
                ServerFrame::Reply(reply) => {
                    let request = reply.request;
                    assert_eq!(success(reply, request).body, "20000");
                    replies += 1;
                }
                ServerFrame::Window(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn who_breaks_the_rules_of_chunks_is_closed() {
    let node = Node::start().await;
    let hold = |number| {
        ClientFrame::Command(Command {
            payload: streamed(None),
            ..command(number, "hold")
        })
    };
    let over = |number| (0..6).map(move |_| chunk(number, 60_000, false));
    let cases: [(Vec<ClientFrame>, &str); 5] = [
        (vec![chunk(7, 1, false)], "chunk.request"),
        (
            vec![ClientFrame::Chunk(Chunk {
                request: Request::Query(1),
                data: Bytes::new(),
                last: true,
            })],
            "chunk.request",
        ),
        // The held command takes what its channel holds, and no more.
        (
            std::iter::once(hold(1))
                .chain((0..20).flat_map(|_| over(1)))
                .collect(),
            "chunk.data",
        ),
        (
            (1..=17)
                .map(|number| measure(number, streamed(None)))
                .collect(),
            "payload",
        ),
        (
            vec![measure(1, streamed(None)), measure(1, streamed(None))],
            "payload",
        ),
    ];
    for form in FORMS {
        for (frames, field) in &cases {
            let (mut peer, _) = node.session(form).await;
            for frame in frames {
                peer.send(std::slice::from_ref(frame)).await;
            }
            let (failure, code, reason) = peer.closed().await;
            let failure = failure.unwrap();
            assert_eq!(
                (failure.code, code),
                (ErrorCode::Malformed, 4001),
                "{failure}"
            );
            assert_eq!(failure.field.as_deref(), Some(*field), "{failure}");
            assert!(!reason.is_empty());
        }
    }
}

#[tokio::test]
async fn a_payload_that_stands_still_is_given_up() {
    let config = WebSocketConfig {
        stall: Duration::from_millis(50),
        ..WebSocketConfig::default()
    };
    let node = Node::with(config, SessionConfig::new("test")).await;
    let (mut peer, _) = node.session(JSON).await;
    peer.send(&[measure(1, attached(10)), chunk(1, 5, false)])
        .await;
    loop {
        match peer.frame().await {
            ServerFrame::Window(_) => {}
            ServerFrame::Reply(reply) => {
                let refused = failure(reply, Request::Command(1));
                assert_eq!(refused.code, ErrorCode::Invalid);
                assert!(refused.message.contains("too long"), "{refused}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_payload_that_breaks_off_is_told_to_who_reads_it() {
    let node = Node::start().await;
    let (mut peer, welcome) = node.session(BINARY).await;
    peer.send(&[measure(1, streamed(None)), chunk(1, 1_000, false)])
        .await;
    node.stand.0.received.acquire().await.unwrap().forget();
    drop(peer);
    // The same command again, with all its bytes: the former one failed, and this is its repeat.
    let (mut peer, _) = node.resume(BINARY, &welcome).await;
    let reply = upload(&mut peer, 1, streamed(None), 3_000).await;
    let request = reply.request;
    assert_eq!(request, Request::Command(1));
}

#[tokio::test]
async fn a_node_without_room_says_so() {
    let config = WebSocketConfig {
        window_bytes_max: PAYLOAD_WINDOW_BYTES,
        ..WebSocketConfig::default()
    };
    let node = Node::with(config, SessionConfig::new("test")).await;
    let (mut peer, _) = node.session(JSON).await;
    peer.send(&[measure(1, attached(10)), measure(2, attached(10))])
        .await;
    let refused = failure(peer.reply().await, Request::Command(2));
    assert_eq!(refused.code, ErrorCode::Overloaded);
    peer.send(&[chunk(2, 10, true), chunk(1, 10, true)]).await;
    loop {
        match peer.frame().await {
            ServerFrame::Window(_) => {}
            ServerFrame::Reply(reply) => {
                assert_eq!(success(reply, Request::Command(1)).body, "10");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}
