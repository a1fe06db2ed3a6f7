//! Answers and snapshots that no frame holds: they come in chunks, between other frames.

use bytes::BytesMut;
use selvedge_protocol::frame::{ClientFrame, Request, ServerFrame, Since, Subscribe};
use selvedge_protocol::limits::{INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Target, attachment};

use super::peer::{FORMS, Node, Peer};
use crate::edge::peer::{failure, query, success};

/// Chunks up to the last, which must be of one request.
async fn chunks(peer: &mut Peer, request: Request) -> BytesMut {
    let mut bytes = BytesMut::new();
    loop {
        match peer.frame().await {
            ServerFrame::Chunk(chunk) => {
                assert_eq!(chunk.request, request);
                bytes.extend_from_slice(&chunk.data);
                if chunk.last {
                    return bytes;
                }
            }
            // That of a subscription may come at any time.
            ServerFrame::Reply(reply) => assert_eq!(reply.request, request),
            other => panic!("not a chunk: {other:?}"),
        }
    }
}

#[tokio::test]
async fn large_answers_come_in_chunks() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        for (number, bytes) in (1..).zip([INLINE_BYTES_MAX + 1, 1 << 20, PAYLOAD_BYTES_MAX]) {
            peer.send(&[query(number, "bytes", bytes.to_string())])
                .await;
            let reply = peer.reply().await;
            assert_eq!(attachment::length(&reply).unwrap(), Some(bytes));
            assert_eq!(reply.request, Request::Query(number));
            let came = chunks(&mut peer, reply.request).await;
            assert!(came.len() == bytes && came.iter().all(|byte| *byte == b' '));
        }
        peer.send(&[query(9, "bytes", INLINE_BYTES_MAX.to_string())])
            .await;
        let inline = success(peer.reply().await, Request::Query(9));
        assert_eq!(inline.body.len(), INLINE_BYTES_MAX);
    }
}

#[tokio::test]
async fn what_is_small_comes_between_and_too_much_is_refused() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        let largest = |number| query(number, "bytes", PAYLOAD_BYTES_MAX.to_string());
        peer.send(&[1, 2, 3, 4].map(largest)).await;
        peer.send(&[largest(5), query(6, "echo", "1")]).await;
        let (mut came, mut answered) = ([0; 5], Vec::new());
        while answered.len() < 2 || came[1..].iter().any(|bytes| *bytes < PAYLOAD_BYTES_MAX) {
            match peer.frame().await {
                ServerFrame::Chunk(chunk) => match chunk.request {
                    Request::Query(number) => {
                        came[usize::try_from(number).unwrap()] += chunk.data.len();
                    }
                    other => panic!("{other:?}"),
                },
                ServerFrame::Reply(reply) => match reply.request {
                    Request::Query(1..=4) => {}
                    Request::Query(5) => {
                        assert_eq!(
                            failure(reply, Request::Query(5)).code,
                            ErrorCode::Overloaded
                        );
                        answered.push(came.iter().sum::<usize>());
                    }
                    request => {
                        success(reply, request);
                        answered.push(came.iter().sum::<usize>());
                    }
                },
                other => panic!("{other:?}"),
            }
        }
        assert!(
            answered
                .iter()
                .all(|before| *before < 2 * PAYLOAD_BYTES_MAX),
            "{answered:?}"
        );
    }
}

#[tokio::test]
async fn a_large_snapshot_comes_before_the_events_behind_it() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        peer.send(&[ClientFrame::Subscribe(Subscribe {
            subscription: 5,
            target: Target::Operations,
            since: Since::After(0),
            ext: Vec::new(),
        })])
        .await;
        let mut gap = None;
        while gap.is_none() {
            match peer.frame().await {
                ServerFrame::Reply(reply) => drop(success(reply, Request::Subscription(5))),
                ServerFrame::LargeGap(large) => gap = Some(large),
                other => panic!("{other:?}"),
            }
        }
        let gap = gap.unwrap();
        assert_eq!((gap.after, gap.seq, gap.length), (0, 9, 1 << 20));
        let snapshot = chunks(&mut peer, Request::Subscription(5)).await;
        assert!(snapshot.len() == 1 << 20 && snapshot.iter().all(|byte| *byte == b'x'));
        match peer.frame().await {
            ServerFrame::Event(event) => assert_eq!(event.seq, 10),
            other => panic!("{other:?}"),
        }
    }
}
