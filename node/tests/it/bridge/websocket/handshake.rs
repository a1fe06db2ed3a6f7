//! What is agreed on before the first frame, and who is not let in.

use selvedge_node::bridge::WebSocketConfig;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Hello};

use super::peer::{BINARY, FORMS, JSON, Node, OTHER_BRIDGE, Peer, token};
use crate::edge::peer::{TOKEN, hello};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

fn status(peer: &Peer) -> &str {
    peer.head.split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn both_subprotocols_open_sessions() {
    let node = Node::start().await;
    for form in FORMS {
        let (peer, welcome) = node.session(form).await;
        assert!(
            peer.head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{}",
            peer.head
        );
        assert!(
            !peer.head.to_lowercase().contains("deflate"),
            "{}",
            peer.head
        );
        assert_eq!((welcome.version, &*welcome.node), (1, "test"));
        assert!(!welcome.resumed);
    }
}

#[tokio::test]
async fn a_token_among_the_subprotocols_holds_where_the_hello_has_none() {
    let node = Node::start().await;
    let without = || {
        ClientFrame::Hello(Hello {
            token: String::new(),
            ..hello(None)
        })
    };
    for form in FORMS {
        let offered = format!("{}, {form}", token(TOKEN));
        let mut peer = node.handshake(&[(PROTOCOL, &offered)]).await;
        assert!(peer.head.contains(form) && !peer.head.contains("selvedge.token"));
        peer.send(&[without()]).await;
        peer.welcome().await;

        // The Hello's own comes first, and none is none.
        let offered = format!("{form}, {}", token("a wrong one"));
        let mut peer = node.handshake(&[(PROTOCOL, &offered)]).await;
        peer.greet(None).await;
        for offered in [form.to_owned(), format!("{form}, {}", token("a wrong one"))] {
            let mut peer = node.handshake(&[(PROTOCOL, &offered)]).await;
            peer.send(&[without()]).await;
            let (failure, code, _) = peer.closed().await;
            assert_eq!(failure.unwrap().code, ErrorCode::Unauthenticated);
            assert_eq!(code, 4003);
        }
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why() {
    let node = Node::start().await;
    for (headers, expected, text) in [
        (vec![], "400", "selvedge.v1.json"),
        (vec![(PROTOCOL, "chat")], "400", "selvedge.v1.json"),
        (
            vec![(PROTOCOL, "selvedge.v1.json, selvedge.token.*")],
            "400",
            "base64url",
        ),
        (
            vec![(PROTOCOL, JSON), ("Origin", "https://evil.example")],
            "403",
            "origins",
        ),
        (
            vec![(PROTOCOL, JSON), ("Origin", "https://app.example")],
            "101",
            "",
        ),
    ] {
        let mut peer = node.handshake(&headers).await;
        assert_eq!(status(&peer), expected, "{headers:?}");
        if expected == "101" {
            continue;
        }
        assert!(
            peer.head.contains("application/problem+json"),
            "{}",
            peer.head
        );
        let body = peer.rest().await;
        assert!(body.contains(text), "{body}");
    }
}

#[tokio::test]
async fn pages_of_the_clusters_other_bridges_are_let_in() {
    let node = Node::start().await;
    for (origin, expected) in [
        (format!("http://{OTHER_BRIDGE}"), "101"),
        (format!("https://{OTHER_BRIDGE}"), "101"),
        (format!("http://{OTHER_BRIDGE}1"), "403"),
        ("http://localhost:7480".to_owned(), "403"),
        ("http://node-2.example".to_owned(), "403"),
        ("http://node-3.example:7480".to_owned(), "403"),
    ] {
        let headers = [(PROTOCOL, JSON), ("Origin", &*origin)];
        let peer = node.handshake(&headers).await;
        assert_eq!(status(&peer), expected, "{origin}");
    }
}

#[tokio::test]
async fn a_plain_request_is_told_to_upgrade() {
    let node = Node::start().await;
    let answer = node.get("/ws").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("Upgrade: websocket"), "{answer}");
}

#[tokio::test]
async fn a_node_that_is_full_takes_no_more() {
    let mut session = SessionConfig::new("test");
    session.sessions_max = 1;
    let node = Node::with(WebSocketConfig::default(), session).await;
    let (_first, _) = node.session(BINARY).await;
    let mut refused = node.handshake(&[(PROTOCOL, BINARY)]).await;
    assert_eq!(status(&refused), "503");
    assert!(
        refused.head.to_lowercase().contains("retry-after"),
        "{}",
        refused.head
    );
    assert!(refused.rest().await.contains("another"));
}
