//! The node stops: what was accepted is answered, then the client is told to go.

use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Notice, Request, ServerFrame};

use super::peer::{FORMS, Node};
use crate::edge::peer::{command, failure, success};

#[tokio::test]
async fn accepted_commands_are_answered_before_the_end() {
    for form in FORMS {
        let node = Node::start().await;
        let (mut peer, _) = node.session(form).await;
        peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
        node.stand.0.held.acquire().await.unwrap().forget();
        let stand = node.stand.clone();
        let running = node.drain();
        match peer.frame().await {
            ServerFrame::Notice(Notice::Draining { deadline_ms }) => assert!(deadline_ms > 0),
            other => panic!("{other:?}"),
        }
        peer.send(&[ClientFrame::Command(command(2, "add"))]).await;
        let refused = failure(peer.reply().await, Request::Command(2));
        assert_eq!(refused.code, ErrorCode::Unavailable);
        stand.release();
        success(peer.reply().await, Request::Command(1));
        let (failure, code, _) = peer.closed().await;
        assert_eq!(
            (failure.unwrap().code, code),
            (ErrorCode::Unavailable, 4014)
        );
        drop(peer);
        running.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_draining_node_takes_no_more() {
    let node = Node::start().await;
    let (mut peer, _) = node.session(FORMS[0]).await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    let sessions = node.sessions.clone();
    let draining = tokio::spawn(async move {
        sessions.drain(std::time::Duration::from_secs(5)).await;
    });
    assert!(matches!(peer.frame().await, ServerFrame::Notice(_)));
    let refused = node
        .handshake(&[("Sec-WebSocket-Protocol", FORMS[0])])
        .await;
    assert!(
        refused.head.starts_with("HTTP/1.1 503 "),
        "{}",
        refused.head
    );
    node.stand.release();
    draining.await.unwrap();
}
