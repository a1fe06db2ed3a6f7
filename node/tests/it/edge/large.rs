//! Answers and snapshots that no frame holds.

use std::time::Duration;

use quinn::Connection;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::frame::{ClientFrame, Outcome, Request, ServerFrame, Since, Subscribe};
use selvedge_protocol::limits::{INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Target, attachment};

use super::peer::{Node, PATIENCE, Reader, close_code, config, failure, query, subscribe, success};

/// Reads a large answer off its stream: which query it answers, and how many bytes came.
async fn large(connection: &Connection) -> (Request, usize) {
    let mut reader = Reader::new(connection.accept_uni().await.unwrap());
    let reply = reader.reply().await;
    let announced = attachment::length(&reply).unwrap().unwrap();
    let bytes = reader.bytes(announced).await;
    assert!(bytes.iter().all(|byte| *byte == b' '));
    assert_eq!(bytes.len(), announced);
    assert_eq!(reader.next().await, None);
    (reply.request, announced)
}

#[tokio::test]
async fn large_answers_have_streams_of_their_own() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    for (number, bytes) in [
        (1, INLINE_BYTES_MAX + 1),
        (2, 1 << 20),
        (3, PAYLOAD_BYTES_MAX),
    ] {
        peer.send(&[query(number, "bytes", bytes.to_string())])
            .await;
        assert_eq!(
            large(&peer.connection).await,
            (Request::Query(number), bytes)
        );
    }
    // What a frame holds stays on the control stream.
    peer.send(&[query(4, "bytes", INLINE_BYTES_MAX.to_string())])
        .await;
    let inline = success(peer.reply().await, Request::Query(4));
    assert_eq!(inline.body.len(), INLINE_BYTES_MAX);
    let over = PAYLOAD_BYTES_MAX + 1;
    peer.send(&[query(5, "bytes", over.to_string())]).await;
    let refused = failure(peer.reply().await, Request::Query(5));
    assert_eq!(refused.code, ErrorCode::TooLarge);
    assert!(refused.message.contains(&PAYLOAD_BYTES_MAX.to_string()));
}

#[tokio::test]
async fn unread_large_answers_are_bounded_and_hold_up_nothing() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let largest = |number| query(number, "bytes", PAYLOAD_BYTES_MAX.to_string());
    peer.send(&[1, 2, 3, 4].map(largest)).await;
    peer.send(&[largest(5)]).await;
    let refused = failure(peer.reply().await, Request::Query(5));
    assert_eq!(refused.code, ErrorCode::Overloaded);
    for number in 6..100 {
        peer.send(&[query(number, "echo", "1")]).await;
        success(peer.reply().await, Request::Query(number));
    }
    // Another connection has its own room.
    let (mut other, _) = node.session().await;
    other.send(&[largest(1)]).await;
    assert_eq!(large(&other.connection).await.0, Request::Query(1));
    // Read, they make room again.
    let mut answered = Vec::new();
    for _ in 0..4 {
        answered.push(large(&peer.connection).await);
    }
    answered.sort_by_key(|(request, _)| format!("{request:?}"));
    let expected = [1, 2, 3, 4].map(|number| (Request::Query(number), PAYLOAD_BYTES_MAX));
    assert_eq!(answered, expected);
    let again = async {
        for number in 100.. {
            peer.send(&[largest(number)]).await;
            let connection = peer.connection.clone();
            tokio::select! {
                answer = large(&connection) => return answer.0 == Request::Query(number),
                refused = peer.reply() => {
                    assert!(matches!(refused.outcome, Outcome::Failure(_)));
                }
            }
        }
        false
    };
    assert!(tokio::time::timeout(PATIENCE, again).await.unwrap());
}

#[tokio::test]
async fn many_large_answers_wait_for_their_turn() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let queries: Vec<_> = (1..=200)
        .map(|number| query(number, "bytes", "100000"))
        .collect();
    peer.send(&queries).await;
    let mut numbers = Vec::new();
    for _ in 0..200 {
        match large(&peer.connection).await {
            (Request::Query(number), 100_000) => numbers.push(number),
            other => panic!("{other:?}"),
        }
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=200));
}

#[tokio::test]
async fn a_large_answer_that_nobody_reads_is_given_up() {
    let mut edge = config();
    edge.payload_stall = Duration::from_millis(50);
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let (mut peer, _) = node.session().await;
    peer.send(&[query(1, "bytes", PAYLOAD_BYTES_MAX.to_string())])
        .await;
    let mut stream = peer.connection.accept_uni().await.unwrap();
    let code = stream.received_reset().await.unwrap().unwrap();
    assert_eq!(code.into_inner(), close_code(ErrorCode::Overloaded));
    peer.send(&[query(2, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(2));
}

#[tokio::test]
async fn a_large_answer_belongs_to_the_last_words() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[query(1, "bytes", PAYLOAD_BYTES_MAX.to_string())])
        .await;
    let mut reader = Reader::new(peer.connection.accept_uni().await.unwrap());
    let announced = attachment::length(&reader.reply().await).unwrap().unwrap();
    let drained = node.drain();
    assert_eq!(reader.bytes(announced).await.len(), PAYLOAD_BYTES_MAX);
    drop(peer);
    drained.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_large_snapshot_comes_before_the_events_behind_it() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Subscribe(Subscribe {
        subscription: 5,
        target: Target::Operations,
        since: Since::After(0),
        ext: Vec::new(),
    })])
    .await;
    success(peer.reply().await, Request::Subscription(5));
    let mut reader = Reader::new(peer.connection.accept_uni().await.unwrap());
    let Some(ServerFrame::LargeGap(gap)) = reader.next().await else {
        panic!("no gap");
    };
    assert_eq!((gap.subscription, gap.after, gap.seq), (5, 0, 9));
    assert_eq!(gap.length, 1 << 20);
    let snapshot = reader.bytes(1 << 20).await;
    assert!(snapshot.len() == 1 << 20 && snapshot.iter().all(|byte| *byte == b'x'));
    match reader.next().await {
        Some(ServerFrame::Event(event)) => assert_eq!(event.seq, 10),
        other => panic!("not the event: {other:?}"),
    }
    peer.send(&[subscribe(6, Since::Latest)]).await;
    success(peer.reply().await, Request::Subscription(6));
}
