//! The node stops: what was accepted is answered, what was not is refused so that it may be retried.

use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Notice, Outcome, Request, ServerFrame};
use std::time::Duration;

use super::peer::{Node, command, config};

#[tokio::test]
async fn under_load_no_accepted_command_goes_unanswered() {
    let node = Node::start().await;
    let mut peers = Vec::new();
    for _ in 0..10 {
        let (mut peer, _) = node.session().await;
        for number in 1..=20 {
            peer.send(&[ClientFrame::Command(command(number, "hold"))])
                .await;
        }
        peers.push(peer);
    }
    node.stand.0.held.acquire_many(200).await.unwrap().forget();
    let stand = node.stand.clone();
    let running = node.drain();

    let mut answered = 0;
    let mut refused = 0;
    for (index, peer) in peers.iter_mut().enumerate() {
        assert!(matches!(
            peer.next().await,
            Some(ServerFrame::Notice(Notice::Draining { .. }))
        ));
        // Comes after the notice, and is not taken any more.
        peer.send(&[ClientFrame::Command(command(21, "add"))]).await;
        let late = peer.reply().await;
        assert_eq!(late.request, Request::Command(21));
        match late.outcome {
            Outcome::Failure(failure) => {
                assert!(failure.code.may_be_retried());
                refused += 1;
            }
            Outcome::Success(_) => panic!("a draining node took a command"),
        }
        if index == 9 {
            stand.release();
        }
    }
    for peer in &mut peers {
        loop {
            match peer.next().await {
                Some(ServerFrame::Reply(reply)) => {
                    assert!(matches!(reply.outcome, Outcome::Success(_)));
                    answered += 1;
                }
                Some(ServerFrame::Goodbye(goodbye)) => {
                    assert_eq!(goodbye.failure.unwrap().code, ErrorCode::Unavailable);
                    break;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert_eq!((answered, refused), (200, 10));
    assert_eq!(stand.count(), 200);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    let mut edge = config();
    edge.drain = Duration::from_millis(50);
    edge.linger = Duration::from_millis(50);
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    let running = node.drain();
    assert_eq!(peer.expelled().await.code, ErrorCode::Unavailable);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_node_stops_at_once() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let running = node.drain();
    assert_eq!(peer.expelled().await.code, ErrorCode::Unavailable);
    running.await.unwrap().unwrap();
}
