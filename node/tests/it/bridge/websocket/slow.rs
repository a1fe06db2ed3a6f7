//! Clients that do not read, and clients that are silent.

use std::time::Duration;

use selvedge_node::bridge::WebSocketConfig;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Ping, Request, ServerFrame, Since};

use super::peer::{BIN, BINARY, FORMS, Heard, JSON, Node, PONG, Peer, TEXT, message};
use crate::edge::peer::{query, subscribe, success};

fn patient_for(stall: Duration) -> WebSocketConfig {
    WebSocketConfig {
        stall,
        ..WebSocketConfig::default()
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_holds_up_nobody() {
    for form in FORMS {
        let config = patient_for(Duration::from_millis(300));
        let node = Node::with(config, SessionConfig::new("test")).await;
        let (mut peer, welcome) = node.session(form).await;
        // More than the sockets hold: 600 answers of 60 kB.
        let queries: Vec<_> = (1..=600)
            .map(|number| query(number, "large", "1"))
            .collect();
        peer.send(&queries).await;
        let (mut other, _) = node.session(form).await;
        for number in 1..=100 {
            other.send(&[query(number, "echo", "1")]).await;
            success(other.reply().await, Request::Query(number));
        }
        // Only the passing of time brings the end, and only the end of its session shows it here.
        let detached = async {
            loop {
                let (_again, resumed) = node.resume(form, &welcome).await;
                if resumed.resumed {
                    return;
                }
            }
        };
        detached.await;
        let (failure, code, _) = peer.closed().await;
        let failure = failure.unwrap();
        assert!(
            matches!(
                (failure.code, code),
                (ErrorCode::Overloaded, 4013) | (ErrorCode::SessionReplaced, 4017)
            ),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn what_was_not_read_in_time_is_read_later_and_then_the_close() {
    let config = patient_for(Duration::from_millis(300));
    let node = Node::with(config, SessionConfig::new("test")).await;
    let (mut peer, _) = node.session(BINARY).await;
    let queries: Vec<_> = (1..=900)
        .map(|number| query(number, "large", "1"))
        .collect();
    peer.send(&queries).await;
    // The node closes while this end waits for it to detach: it answers no more, so another one tells.
    let (mut other, _) = node.session(JSON).await;
    other.send(&[subscribe(1, Since::Latest)]).await;
    success(other.reply().await, Request::Subscription(1));
    tokio::time::timeout(Duration::from_millis(1_500), other.next())
        .await
        .unwrap_err();
    let mut replies = 0;
    loop {
        match peer.next().await {
            Heard::Frame(ServerFrame::Reply(_)) => replies += 1,
            Heard::Frame(ServerFrame::Goodbye(goodbye)) => {
                assert_eq!(goodbye.failure.unwrap().code, ErrorCode::Overloaded);
            }
            Heard::Close(code, _) => {
                assert_eq!(code, 4013);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(replies < 900, "the node would have had to keep all of them");
}

#[tokio::test]
async fn a_slow_subscriber_gets_every_event_from_the_store() {
    const EVENTS: u64 = 200_000;
    let node = Node::start().await;
    let (mut slow, _) = node.session(JSON).await;
    slow.send(&[subscribe(1, Since::After(0))]).await;
    for _ in 0..EVENTS {
        node.stand.add(None);
    }
    let (mut other, _) = node.session(BINARY).await;
    other.send(&[subscribe(1, Since::After(0))]).await;
    // The slow one reads nothing until the other has read all.
    for peer in [&mut other, &mut slow] {
        let (mut next, mut is_open) = (1, false);
        while next <= EVENTS || !is_open {
            match peer.frame().await {
                ServerFrame::Event(event) => {
                    assert_eq!(event.seq, next);
                    next += 1;
                }
                ServerFrame::Reply(reply) => {
                    success(reply, Request::Subscription(1));
                    is_open = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_silent_client_is_pinged_then_closed() {
    let mut session = SessionConfig::new("test");
    session.idle_ms = 300;
    let node = Node::with(WebSocketConfig::default(), session).await;
    for form in FORMS {
        let (mut peer, welcome) = node.session(form).await;
        assert_eq!(welcome.limits.idle_ms, 300);
        let mut pings = 0;
        loop {
            match peer.next().await {
                Heard::Ping(_) => pings += 1,
                Heard::Frame(ServerFrame::Goodbye(goodbye)) => {
                    assert_eq!(goodbye.failure.unwrap().code, ErrorCode::Unavailable);
                }
                Heard::Close(code, reason) => {
                    assert_eq!(code, 4014, "{reason}");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(pings >= 1);
    }
}

#[tokio::test]
async fn who_answers_pings_stays() {
    let mut session = SessionConfig::new("test");
    session.idle_ms = 300;
    let node = Node::with(WebSocketConfig::default(), session).await;
    let (mut peer, _) = node.session(JSON).await;
    for _ in 0..6 {
        match peer.next().await {
            Heard::Ping(data) => peer.send_raw(&message(PONG, &data)).await,
            other => panic!("{other:?}"),
        }
    }
    peer.send(&[ClientFrame::Ping(Ping { nonce: 1 })]).await;
    assert!(matches!(
        peer.next().await,
        Heard::Frame(ServerFrame::Pong(_))
    ));
}

/// Sends a byte at a time, and reads meanwhile; the node must end it. How it was closed.
async fn trickle(peer: &mut Peer, bytes: &[u8]) -> (ErrorCode, u16) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut bytes = bytes.iter();
    let mut failure = None;
    loop {
        tokio::select! {
            heard = peer.next() => match heard {
                Heard::Frame(ServerFrame::Goodbye(goodbye)) => failure = goodbye.failure,
                Heard::Close(code, _) => return (failure.unwrap().code, code),
                Heard::Ping(_) => {}
                other => panic!("{other:?}"),
            },
            _ = ticks.tick() => {
                let byte = bytes.next().expect("an end before that of the bytes");
                peer.send_raw(&[*byte]).await;
            }
        }
    }
}

#[tokio::test]
async fn a_hello_a_byte_at_a_time_is_not_waited_for() {
    let config = WebSocketConfig {
        hello: Duration::from_millis(400),
        ..WebSocketConfig::default()
    };
    let node = Node::with(config, SessionConfig::new("test")).await;
    for form in FORMS {
        let mut peer = node.connect(form).await;
        let hello = message(TEXT, &vec![b' '; 10_000]);
        let ended = trickle(&mut peer, &hello).await;
        assert_eq!(ended, (ErrorCode::Malformed, 4001));
    }
}

#[tokio::test]
async fn a_message_that_never_ends_is_silence() {
    let mut session = SessionConfig::new("test");
    session.idle_ms = 300;
    let node = Node::with(WebSocketConfig::default(), session).await;
    for (form, sort) in [(JSON, TEXT), (BINARY, BIN)] {
        let (mut peer, _) = node.session(form).await;
        let endless = message(sort, &vec![b' '; 100_000]);
        let ended = trickle(&mut peer, &endless).await;
        assert_eq!(ended, (ErrorCode::Unavailable, 4014));
    }
}
