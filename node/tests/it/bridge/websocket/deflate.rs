//! Compressed messages: both ways, each by itself, bounded.

use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Request, ServerFrame, Since, Subscribe};
use selvedge_protocol::{Target, attachment};

use super::peer::{BIN, BINARY, FORMS, Node, TEXT, bytes, deflate, raw, text};
use crate::edge::peer::{query, subscribe, success};

const DEFLATED: u8 = 0x80 | 0x40;

#[tokio::test]
async fn messages_are_compressed_where_it_is_worth_it() {
    let node = Node::start().await;
    for form in FORMS {
        let mut peer = node.connect_deflating(form).await;
        peer.greet(None).await;
        assert_eq!(peer.deflated, 0, "what is small goes as it is");
        let asked = query(1, "large", "1");
        let sent = match form {
            BINARY => raw(DEFLATED | BIN, &deflate(&bytes(&[asked]))),
            _ => raw(DEFLATED | TEXT, &deflate(&text(&asked))),
        };
        peer.send_raw(&sent).await;
        let reply = success(peer.reply().await, Request::Query(1));
        assert_eq!((reply.body.len(), peer.deflated), (60_000, 1));
        let body = format!("[{}1]", "1,".repeat(2_000));
        for number in 2..5 {
            peer.send(&[query(number, "echo", body.clone())]).await;
            assert_eq!(
                success(peer.reply().await, Request::Query(number)).body,
                body
            );
        }
        assert!(peer.deflated >= 3);
    }
}

#[tokio::test]
async fn events_that_many_hear_are_compressed_once_and_whole() {
    let node = Node::start().await;
    node.stand
        .0
        .event_bytes
        .store(5_000, std::sync::atomic::Ordering::Relaxed);
    for form in FORMS {
        let mut peers = Vec::new();
        for number in 0..10_u64 {
            let mut peer = node.connect_deflating(form).await;
            peer.greet(None).await;
            peer.send(&[subscribe(number * 100_000, Since::Latest)])
                .await;
            success(peer.reply().await, Request::Subscription(number * 100_000));
            peers.push(peer);
        }
        let before = node.stand.count();
        for _ in 0..20 {
            node.stand.add(None);
        }
        for (number, peer) in (0..).zip(&mut peers) {
            for seq in before + 1..=before + 20 {
                match peer.frame().await {
                    ServerFrame::Event(event) => {
                        assert_eq!((event.subscription, event.seq), (number * 100_000, seq));
                        assert_eq!(event.data.len(), 5_000);
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(peer.deflated, 20);
        }
    }
}

#[tokio::test]
async fn bombs_are_refused() {
    let node = Node::start().await;
    for form in FORMS {
        for size in [200_000, 50_000_000] {
            let mut peer = node.connect_deflating(form).await;
            peer.greet(None).await;
            let bomb = deflate(&vec![b' '; size]);
            peer.send_raw(&raw(DEFLATED | TEXT, &bomb)).await;
            let (failure, code, _) = peer.closed().await;
            assert_eq!((failure.unwrap().code, code), (ErrorCode::TooLarge, 4011));
        }
        let mut peer = node.connect_deflating(form).await;
        peer.greet(None).await;
        peer.send_raw(&raw(DEFLATED | TEXT, &[0xff; 40])).await;
        let (_, code, reason) = peer.closed().await;
        assert_eq!(code, 1002);
        assert!(reason.contains("inflated"), "{reason}");
    }
}

#[tokio::test]
async fn large_answers_and_snapshots_are_compressed_as_well() {
    let node = Node::start().await;
    for form in FORMS {
        let mut peer = node.connect_deflating(form).await;
        peer.greet(None).await;
        peer.send(&[
            query(1, "bytes", "1000000"),
            ClientFrame::Subscribe(Subscribe {
                subscription: 5,
                target: Target::Operations,
                since: Since::After(0),
                ext: Vec::new(),
            }),
        ])
        .await;
        let (mut answer, mut snapshot, mut is_over) = (0, 0, false);
        while !is_over || answer < 1_000_000 {
            match peer.frame().await {
                ServerFrame::Chunk(chunk) => match chunk.request {
                    Request::Query(1) => answer += chunk.data.len(),
                    Request::Subscription(5) => snapshot += chunk.data.len(),
                    other => panic!("{other:?}"),
                },
                ServerFrame::Reply(reply) => {
                    if reply.request == Request::Query(1) {
                        assert_eq!(attachment::length(&reply).unwrap(), Some(1_000_000));
                    }
                }
                ServerFrame::LargeGap(_) => {}
                ServerFrame::Event(event) => {
                    assert_eq!((event.seq, snapshot), (10, 1 << 20));
                    is_over = true;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(peer.deflated > 30, "{}", peer.deflated);
    }
}
