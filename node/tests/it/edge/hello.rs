//! The first frame of a connection.

use bytes::Bytes;
use selvedge_protocol::frame::{ClientFrame, Ping, ServerFrame};
use selvedge_protocol::limits::{SESSION_WINDOW, TOKEN_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Tenant};

use super::peer::{Node, hello, query, success};
use selvedge_protocol::frame::Request;

#[tokio::test]
async fn a_hello_is_welcomed() {
    let node = Node::start().await;
    let (_peer, welcome) = node.session().await;
    assert_eq!(welcome.version, 1);
    assert!(!welcome.resumed);
    assert_eq!(welcome.node, "test");
    assert_eq!(welcome.limits.window, SESSION_WINDOW);
    assert_eq!(node.sessions.len(), 1);
}

#[tokio::test]
async fn frames_may_follow_a_hello_at_once() {
    let node = Node::start().await;
    let mut peer = node.connect().await;
    peer.send(&[
        ClientFrame::Hello(hello(None)),
        query(1, "echo", "1"),
        ClientFrame::Ping(Ping { nonce: 9 }),
    ])
    .await;
    peer.welcome().await;
    let mut saw = Vec::new();
    for _ in 0..2 {
        match peer.next().await.unwrap() {
            ServerFrame::Pong(pong) => {
                assert_eq!(pong.nonce, 9);
                saw.push("pong");
            }
            ServerFrame::Reply(reply) => {
                success(reply, Request::Query(1));
                saw.push("reply");
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    saw.sort_unstable();
    assert_eq!(saw, ["pong", "reply"]);
}

#[tokio::test]
async fn wrong_ones_get_their_reason() {
    let node = Node::start().await;
    let right = hello(None);
    let mut unspoken = right.clone();
    unspoken.versions = vec![99];
    let mut unknown = right.clone();
    unknown.token = "the wrong token".to_owned();
    let mut long = right.clone();
    long.token = "x".repeat(TOKEN_BYTES_MAX + 1);
    let forged = hello(Some(Bytes::from_static(b"forged")));
    let cases = [
        (
            ClientFrame::Hello(unspoken),
            ErrorCode::UnsupportedVersion,
            "[1]",
        ),
        (
            ClientFrame::Hello(unknown),
            ErrorCode::Unauthenticated,
            "token",
        ),
        (
            ClientFrame::Hello(forged),
            ErrorCode::SessionExpired,
            "new session",
        ),
        (query(1, "echo", "1"), ErrorCode::Malformed, "Hello"),
    ];
    for (first, code, says) in cases {
        let mut peer = node.connect().await;
        peer.send(&[first]).await;
        let failure = peer.expelled().await;
        assert_eq!(failure.code, code);
        assert!(failure.message.contains(says), "{failure}");
        assert!(!failure.message.contains("the wrong token"));
    }
    let mut peer = node.connect().await;
    peer.send(&[ClientFrame::Hello(long)]).await;
    // Refused by the decoder or by the session machine.
    assert!(matches!(
        peer.expelled().await.code,
        ErrorCode::TooLarge | ErrorCode::Malformed
    ));
    assert_eq!(node.sessions.len(), 0);
}

#[tokio::test]
async fn there_is_only_one() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Hello(hello(None))]).await;
    assert_eq!(peer.expelled().await.code, ErrorCode::Malformed);
}

#[tokio::test]
async fn a_resume_token_is_of_no_use_in_another_tenant() {
    let node = Node::start().await;
    let (_peer, welcome) = node.session().await;
    let mut thief = node.connect().await;
    let mut stolen = hello(Some(welcome.resume_token));
    stolen.tenant = Some(Tenant::new("other").unwrap());
    thief.send(&[ClientFrame::Hello(stolen)]).await;
    assert_eq!(thief.expelled().await.code, ErrorCode::PermissionDenied);
}
