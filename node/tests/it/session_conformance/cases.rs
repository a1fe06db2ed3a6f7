//! The cases. Nothing orders what comes from different streams of a transport, so they ask for no order that the
//! page does not promise.

use std::collections::HashMap;

use selvedge_protocol::frame::{
    ClientFrame, Command, EphemeralSend, Goodbye, Hello, Notice, Outcome, Payload, Ping, Request,
    ServerFrame, Since, Subscribe, Unsubscribe,
};
use selvedge_protocol::limits::{
    INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX, SESSION_SUBSCRIPTIONS_MAX, SESSION_WINDOW,
};
use selvedge_protocol::{ErrorCode, Target, attachment};

use super::{Heard, Transport, TransportExt};
use crate::edge::peer::{command, failure, hello, query, subscribe, success, target};

pub(super) async fn a_session_opens_with_its_limits<T: Transport>() {
    let node = T::node().await;
    let (_peer, welcome) = T::session(&node).await;
    assert_eq!((welcome.version, welcome.resumed), (1, false));
    assert_eq!(welcome.limits.window, SESSION_WINDOW);
    assert_eq!(welcome.limits.inline_bytes as usize, INLINE_BYTES_MAX);
    assert!(!welcome.resume_token.is_empty());
}

pub(super) async fn commands_and_queries_are_answered_by_number<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    let commands = (1..=50).map(|number| ClientFrame::Command(command(number, "add")));
    let queries = (1..=50).map(|number| query(number, "echo", format!("[{number}]")));
    peer.send(commands.chain(queries).collect()).await;
    let mut answers = HashMap::new();
    while answers.len() < 100 {
        let reply = peer.reply().await;
        let request = reply.request;
        let body = success(reply, request).body;
        assert_eq!(answers.insert(request, body), None, "answered once");
    }
    for number in 1..=50 {
        // Commands to one actor take effect in the order sent.
        assert_eq!(answers[&Request::Command(number)], number.to_string());
        assert_eq!(answers[&Request::Query(number)], format!("[{number}]"));
    }
}

pub(super) async fn a_repeat_gets_the_stored_outcome<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    for _ in 0..3 {
        peer.send(vec![ClientFrame::Command(command(1, "add"))])
            .await;
        let reply = success(peer.reply().await, Request::Command(1));
        assert_eq!((reply.seq, &reply.body[..]), (1, &b"1"[..]));
    }
    assert_eq!(T::stand(&node).count(), 1);
}

pub(super) async fn a_resumed_session_goes_on<T: Transport>() {
    let node = T::node().await;
    let (mut peer, welcome) = T::session(&node).await;
    peer.send(vec![ClientFrame::Command(command(1, "add"))])
        .await;
    success(peer.reply().await, Request::Command(1));
    drop(peer);
    let (mut peer, resumed) = T::resume(&node, &welcome).await;
    assert!(resumed.resumed);
    assert_eq!(resumed.session, welcome.session);
    for number in [1, 2] {
        peer.send(vec![ClientFrame::Command(command(number, "add"))])
            .await;
        let reply = success(peer.reply().await, Request::Command(number));
        assert_eq!(reply.body, number.to_string());
    }
}

pub(super) async fn a_connection_that_resumes_takes_over<T: Transport>() {
    let node = T::node().await;
    let (mut first, welcome) = T::session(&node).await;
    let (mut second, resumed) = T::resume(&node, &welcome).await;
    assert!(resumed.resumed);
    first.expelled(ErrorCode::SessionReplaced).await;
    second.send(vec![query(1, "echo", "1")]).await;
    success(second.reply().await, Request::Query(1));
}

pub(super) async fn a_goodbye_ends_in_order<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    peer.send(vec![ClientFrame::Goodbye(Goodbye { failure: None })])
        .await;
    assert_eq!(peer.closed().await, None);
}

pub(super) async fn who_breaks_the_protocol_is_expelled<T: Transport>() {
    let node = T::node().await;
    let mut peer = T::connect(&node).await;
    peer.send(vec![query(1, "echo", "1")]).await;
    peer.expelled(ErrorCode::Malformed).await;

    let (mut peer, _) = T::session(&node).await;
    peer.send(vec![ClientFrame::Hello(hello(None))]).await;
    peer.expelled(ErrorCode::Malformed).await;

    for (changed, code) in [
        (
            Hello {
                token: "wrong".to_owned(),
                ..hello(None)
            },
            ErrorCode::Unauthenticated,
        ),
        (
            Hello {
                versions: vec![200],
                ..hello(None)
            },
            ErrorCode::UnsupportedVersion,
        ),
        (hello(Some("no token".into())), ErrorCode::SessionExpired),
    ] {
        let mut peer = T::connect(&node).await;
        peer.send(vec![ClientFrame::Hello(changed)]).await;
        peer.expelled(code).await;
    }
}

pub(super) async fn unanswered_commands_are_bounded<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    let commands =
        (1..=SESSION_WINDOW + 1).map(|number| ClientFrame::Command(command(number, "hold")));
    peer.send(commands.collect()).await;
    peer.expelled(ErrorCode::LimitExceeded).await;
}

pub(super) async fn pings_are_answered<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    peer.send(vec![ClientFrame::Ping(Ping { nonce: 1 << 40 })])
        .await;
    match peer.frame().await {
        ServerFrame::Pong(pong) => assert_eq!(pong.nonce, 1 << 40),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn events_come_in_order_from_the_position_on<T: Transport>() {
    let node = T::node().await;
    for _ in 0..3_000 {
        T::stand(&node).add(None);
    }
    let (mut peer, _) = T::session(&node).await;
    peer.send(vec![subscribe(1, Since::After(4))]).await;
    let (mut next, mut is_open) = (5, false);
    while next <= 3_010 || !is_open {
        match peer.frame().await {
            ServerFrame::Event(event) => {
                assert_eq!((event.subscription, event.seq), (1, next));
                next += 1;
                if next == 3_001 {
                    for _ in 0..10 {
                        T::stand(&node).add(None);
                    }
                }
            }
            ServerFrame::Reply(reply) => {
                assert_eq!(success(reply, Request::Subscription(1)).seq, 4);
                is_open = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) async fn subscriptions_are_refused_and_ended<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    let of_actors = Subscribe {
        subscription: 1,
        target: Target::Actors,
        since: Since::Latest,
        ext: Vec::new(),
    };
    peer.send(vec![ClientFrame::Subscribe(of_actors)]).await;
    let refused = failure(peer.reply().await, Request::Subscription(1));
    assert_eq!(refused.code, ErrorCode::UnknownCommand);
    let most = SESSION_SUBSCRIPTIONS_MAX as u64;
    peer.send(
        (1..=most + 1)
            .map(|number| subscribe(number, Since::Latest))
            .collect(),
    )
    .await;
    let mut refused = 0;
    for _ in 0..=most {
        if let Outcome::Failure(failure) = peer.reply().await.outcome {
            assert_eq!(failure.code, ErrorCode::LimitExceeded);
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    peer.send(vec![
        ClientFrame::Unsubscribe(Unsubscribe { subscription: 7 }),
        subscribe(most + 1, Since::Latest),
    ])
    .await;
    success(peer.reply().await, Request::Subscription(most + 1));
}

pub(super) async fn a_large_snapshot_comes_before_the_events_behind_it<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    let large = Subscribe {
        subscription: 5,
        target: Target::Operations,
        since: Since::After(0),
        ext: Vec::new(),
    };
    peer.send(vec![ClientFrame::Subscribe(large)]).await;
    let mut heard = Vec::new();
    loop {
        match peer.next().await {
            Heard::Frame(ServerFrame::Reply(reply)) => {
                drop(success(reply, Request::Subscription(5)));
            }
            Heard::Frame(ServerFrame::LargeGap(gap)) => heard.push(gap.seq),
            Heard::Bytes(request, bytes) => {
                assert_eq!(request, Request::Subscription(5));
                assert!(bytes.iter().all(|byte| *byte == b'x'));
                heard.push(bytes.len() as u64);
            }
            Heard::Frame(ServerFrame::Event(event)) => {
                heard.push(event.seq);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, [9, 1 << 20, 10]);
}

pub(super) async fn large_answers_come_whole<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    for (number, bytes) in (1..).zip([INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, PAYLOAD_BYTES_MAX]) {
        peer.send(vec![query(number, "bytes", bytes.to_string())])
            .await;
        let reply = peer.reply().await;
        if bytes == INLINE_BYTES_MAX {
            assert_eq!(success(reply, Request::Query(number)).body.len(), bytes);
            continue;
        }
        assert_eq!(attachment::length(&reply).unwrap(), Some(bytes));
        match peer.next().await {
            Heard::Bytes(request, body) => {
                assert_eq!((request, body.len()), (Request::Query(number), bytes));
            }
            other => panic!("{other:?}"),
        }
    }
    peer.send(vec![query(9, "bytes", (PAYLOAD_BYTES_MAX + 1).to_string())])
        .await;
    let refused = failure(peer.reply().await, Request::Query(9));
    assert_eq!(refused.code, ErrorCode::TooLarge);
}

pub(super) async fn unread_large_answers_are_bounded<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    let queries = (1..=5).map(|number| query(number, "bytes", PAYLOAD_BYTES_MAX.to_string()));
    peer.send(queries.collect()).await;
    let (mut whole, mut refused) = (0, 0);
    while whole < 4 || refused < 1 {
        match peer.next().await {
            Heard::Frame(ServerFrame::Reply(reply)) => {
                if let Outcome::Failure(failure) = reply.outcome {
                    assert_eq!(failure.code, ErrorCode::Overloaded);
                    refused += 1;
                }
            }
            Heard::Bytes(_, bytes) => {
                assert_eq!(bytes.len(), PAYLOAD_BYTES_MAX);
                whole += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) async fn payloads_arrive_and_wrong_lengths_are_refused<T: Transport>() {
    let node = T::node().await;
    let (mut peer, _) = T::session(&node).await;
    let attached = |length: usize| Payload::Attached {
        length: length as u64,
    };
    let streamed = |length| Payload::Streamed { length };
    let large = PAYLOAD_BYTES_MAX + 1;
    let cases = [
        (attached(0), 0, None),
        (attached(PAYLOAD_BYTES_MAX), PAYLOAD_BYTES_MAX, None),
        (streamed(None), 1_000_000, None),
        (streamed(Some(large as u64)), large, None),
        (attached(10), 9, Some(ErrorCode::Invalid)),
        (attached(10), 11, Some(ErrorCode::Invalid)),
        (attached(large), 10, Some(ErrorCode::TooLarge)),
        (streamed(Some(10)), 9, Some(ErrorCode::Invalid)),
        (streamed(Some(10)), 11, Some(ErrorCode::Invalid)),
    ];
    for (number, (payload, bytes, refused)) in (1..).zip(cases) {
        let command = Command {
            payload,
            ..command(number, "measure")
        };
        peer.upload(command, bytes).await;
        let reply = peer.reply().await;
        match refused {
            None => {
                let measured = success(reply, Request::Command(number));
                assert_eq!(measured.body, bytes.to_string());
            }
            Some(code) => assert_eq!(failure(reply, Request::Command(number)).code, code),
        }
    }
}

pub(super) async fn ephemeral_messages_reach_who_is_subscribed<T: Transport>() {
    let node = T::node().await;
    let (mut one, welcome) = T::session(&node).await;
    let (mut other, _) = T::session(&node).await;
    other.send(vec![subscribe(5, Since::Latest)]).await;
    success(other.reply().await, Request::Subscription(5));
    one.send(vec![ClientFrame::Ephemeral(EphemeralSend {
        target: target(),
        name: "typing".into(),
        data: "{}".into(),
    })])
    .await;
    match other.frame().await {
        ServerFrame::Ephemeral(event) => {
            assert_eq!((event.subscription, event.from), (5, welcome.session));
            assert_eq!((&*event.name, &event.data[..]), ("typing", &b"{}"[..]));
        }
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_crashed_session_is_resumed<T: Transport>() {
    let node = T::node().await;
    let (mut peer, welcome) = T::session(&node).await;
    peer.send(vec![ClientFrame::Command(command(1, "crash"))])
        .await;
    peer.expelled(ErrorCode::Unavailable).await;
    let (mut peer, resumed) = T::resume(&node, &welcome).await;
    assert!(resumed.resumed);
    peer.send(vec![ClientFrame::Command(command(2, "add"))])
        .await;
    success(peer.reply().await, Request::Command(2));
}

pub(super) async fn a_drain_answers_what_was_accepted<T: Transport>() {
    let node = T::node().await;
    let stand = T::stand(&node);
    let (mut peer, _) = T::session(&node).await;
    peer.send(vec![ClientFrame::Command(command(1, "hold"))])
        .await;
    stand.0.held.acquire().await.unwrap().forget();
    let client = async {
        assert!(matches!(
            peer.frame().await,
            ServerFrame::Notice(Notice::Draining { .. })
        ));
        peer.send(vec![ClientFrame::Command(command(2, "add"))])
            .await;
        let refused = failure(peer.reply().await, Request::Command(2));
        assert!(refused.code.may_be_retried());
        stand.release();
        success(peer.reply().await, Request::Command(1));
        peer.expelled(ErrorCode::Unavailable).await;
        drop(peer);
    };
    tokio::join!(client, T::drain(node));
}
