//! What is not of the protocol: each names what is wrong, and closes with the code of the page.

use std::time::Duration;

use selvedge_node::bridge::WebSocketConfig;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Ping};
use selvedge_protocol::limits::WEBSOCKET_MESSAGE_BYTES_MAX;

use super::peer::{
    BIN, BINARY, CLOSE, FORMS, Heard, JSON, Node, Peer, TEXT, bytes, message, raw, text,
};
use crate::edge::peer::{hello, query, success};
use selvedge_protocol::frame::Request;

async fn expelled(peer: &mut Peer, code: ErrorCode) -> selvedge_protocol::Failure {
    let (failure, close, reason) = peer.closed().await;
    let failure = failure.expect("a Goodbye with its failure");
    assert_eq!(failure.code, code, "{failure}");
    let ordinal = ErrorCode::ALL
        .iter()
        .position(|each| *each == code)
        .unwrap();
    assert_eq!(usize::from(close), 4001 + ordinal);
    assert!(failure.to_string().starts_with(&reason), "{reason}");
    failure
}

#[tokio::test]
async fn messages_that_are_no_frames_are_named() {
    let node = Node::start().await;
    for (data, field, reason) in [
        (
            r#"{"query":{"number":1,"target":"actors"}}"#,
            Some("query.name"),
            "is missing",
        ),
        (r#"{"query":{"number":-1}}"#, Some("query.number"), "-1"),
        (r#"{"quary":{}}"#, Some("quary"), "query"),
        ("nonsense", None, "Frames as JSON"),
        ("", None, "EOF"),
    ] {
        let (mut peer, _) = node.session(JSON).await;
        peer.send_raw(&message(TEXT, data.as_bytes())).await;
        let failure = expelled(&mut peer, ErrorCode::Malformed).await;
        assert_eq!(failure.field.as_deref(), field, "{failure}");
        assert!(failure.message.contains(reason), "{failure}");
    }
    let ping = bytes(&[ClientFrame::Ping(Ping { nonce: 1 })]);
    for (data, code, reason) in [
        (
            ping[..ping.len() - 1].to_vec(),
            ErrorCode::Malformed,
            "whole frames",
        ),
        (
            [&ping[..], &[0]].concat(),
            ErrorCode::Malformed,
            "whole frames",
        ),
        (vec![0, 0, 0, 2, 1, 99], ErrorCode::Malformed, "ordinal 99"),
        (
            vec![0, 0, 0, 2, 9, 9],
            ErrorCode::UnsupportedVersion,
            "version 9",
        ),
        (vec![0, 9, 0, 2, 1, 9], ErrorCode::TooLarge, "limit"),
    ] {
        let (mut peer, _) = node.session(BINARY).await;
        peer.send_raw(&message(BIN, &data)).await;
        let failure = expelled(&mut peer, code).await;
        assert!(failure.message.contains(reason), "{failure}");
    }
}

#[tokio::test]
async fn messages_of_the_other_sort_are_refused() {
    let node = Node::start().await;
    let ping = ClientFrame::Ping(Ping { nonce: 1 });
    let (mut peer, _) = node.session(JSON).await;
    peer.send_raw(&message(BIN, &bytes(std::slice::from_ref(&ping))))
        .await;
    assert!(
        expelled(&mut peer, ErrorCode::Malformed)
            .await
            .message
            .contains("are text")
    );
    let (mut peer, _) = node.session(BINARY).await;
    peer.send_raw(&message(TEXT, &text(&ping))).await;
    assert!(
        expelled(&mut peer, ErrorCode::Malformed)
            .await
            .message
            .contains("are binary")
    );
}

#[tokio::test]
async fn text_that_is_no_utf_8_closes_with_1007() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        peer.send_raw(&message(TEXT, &[0xff, 0xfe])).await;
        let (failure, code, _) = peer.closed().await;
        assert_eq!((failure, code), (None, 1007));
    }
}

#[tokio::test]
async fn what_breaks_rfc_6455_closes_with_1002() {
    let node = Node::start().await;
    let mut unmasked = raw(0x80 | TEXT, b"{}");
    unmasked[1] &= 0x7f;
    for (sent, reason) in [
        (unmasked, "masked"),
        (raw(0x80 | 0x40 | TEXT, b"{}"), "reserved"),
        (raw(0x80 | 0x20 | TEXT, b"{}"), "reserved"),
        (raw(0x80 | 5, b""), "opcode"),
        (raw(0x80, b""), "continues no message"),
        (raw(CLOSE, b""), "fragmented"),
        (raw(0x80 | CLOSE, &[0; 126]), "too long"),
    ] {
        for form in FORMS {
            let (mut peer, _) = node.session(form).await;
            peer.send_raw(&sent).await;
            let (failure, code, told) = peer.closed().await;
            assert_eq!((failure, code), (None, 1002));
            assert!(told.contains(reason), "{told}, not {reason}");
        }
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_before_it_has_come() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        let whole = message(TEXT, &vec![b' '; WEBSOCKET_MESSAGE_BYTES_MAX + 1]);
        peer.send_raw(&whole[..20]).await;
        let failure = expelled(&mut peer, ErrorCode::TooLarge).await;
        assert!(failure.message.contains("chunks"), "{failure}");
    }
}

#[tokio::test]
async fn the_first_frame_is_a_hello_and_comes_in_time() {
    let config = WebSocketConfig {
        hello: Duration::from_millis(100),
        ..WebSocketConfig::default()
    };
    let node = Node::with(config, SessionConfig::new("test")).await;
    for form in FORMS {
        let mut silent = node.connect(form).await;
        let failure = expelled(&mut silent, ErrorCode::Malformed).await;
        assert!(failure.message.contains("Hello"), "{failure}");

        let mut other = node.connect(form).await;
        other.send(&[query(1, "echo", "1")]).await;
        expelled(&mut other, ErrorCode::Malformed).await;

        let mut wrong = node.connect(form).await;
        let mut hello = hello(None);
        hello.token = "wrong".to_owned();
        wrong.send(&[ClientFrame::Hello(hello)]).await;
        expelled(&mut wrong, ErrorCode::Unauthenticated).await;

        let (mut twice, _) = node.session(form).await;
        twice
            .send(&[ClientFrame::Hello(crate::edge::peer::hello(None))])
            .await;
        expelled(&mut twice, ErrorCode::Malformed).await;
    }
}

#[tokio::test]
async fn a_close_is_answered_and_the_session_can_be_resumed() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, welcome) = node.session(form).await;
        peer.send_raw(&message(CLOSE, &1001_u16.to_be_bytes()))
            .await;
        assert_eq!(peer.next().await, Heard::Close(1000, String::new()));
        assert_eq!(peer.next().await, Heard::End);
        let (mut peer, resumed) = node.resume(form, &welcome).await;
        assert!(resumed.resumed);
        peer.send(&[query(1, "echo", "1")]).await;
        success(peer.reply().await, Request::Query(1));
    }
}

#[tokio::test]
async fn a_node_that_was_sent_garbage_serves_on() {
    let node = Node::start().await;
    for seed in 0..50_u8 {
        let mut peer = node.connect(FORMS[usize::from(seed % 2)]).await;
        let garbage: Vec<u8> = (0..200_u8)
            .map(|at| at.wrapping_mul(seed).wrapping_add(seed))
            .collect();
        peer.send_raw(&garbage).await;
        peer.send_raw(&message(BIN, &garbage)).await;
    }
    let (mut peer, _) = node.session(JSON).await;
    peer.send(&[query(1, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(1));
}
