//! Commands, queries, sessions that are resumed, taken over and ended, in both forms.

use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{
    ClientFrame, EphemeralSend, Goodbye, Ping, Pong, Request, ServerFrame, Since,
};

use super::peer::{BINARY, FORMS, Heard, JSON, Node, PING, bytes, message};
use crate::edge::peer::{command, hello, query, subscribe, success, target};

#[tokio::test]
async fn commands_and_queries_are_answered() {
    let node = Node::start().await;
    for (added, form) in (1..).zip(FORMS) {
        let (mut peer, _) = node.session(form).await;
        peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
        let reply = success(peer.reply().await, Request::Command(1));
        assert_eq!(
            (reply.seq, &*reply.body),
            (added, added.to_string().as_bytes())
        );
        peer.send(&[query(1, "echo", r#"{"a":[1,null]}"#)]).await;
        let reply = success(peer.reply().await, Request::Query(1));
        assert_eq!(reply.body, r#"{"a":[1,null]}"#);
        // A repeat gets the stored outcome.
        peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
        success(peer.reply().await, Request::Command(1));
        assert_eq!(node.stand.count(), added);
    }
}

#[tokio::test]
async fn frames_may_follow_the_hello_at_once() {
    let node = Node::start().await;
    for form in FORMS {
        let mut peer = node.connect(form).await;
        let all: Vec<_> = [ClientFrame::Hello(hello(None))]
            .into_iter()
            .chain((1..=1_000).map(|number| query(number, "echo", "1")))
            .collect();
        peer.send(&all).await;
        peer.welcome().await;
        let mut numbers = Vec::new();
        for _ in 1..=1_000 {
            match peer.reply().await.request {
                Request::Query(number) => numbers.push(number),
                other => panic!("{other:?}"),
            }
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=1_000));
    }
}

#[tokio::test]
async fn bytes_that_are_no_json_text_come_back_as_they_are() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        let body = vec![0, 0xff, b'{'];
        peer.send(&[query(1, "echo", body.clone())]).await;
        assert_eq!(success(peer.reply().await, Request::Query(1)).body, body);
    }
}

#[tokio::test]
async fn pings_of_both_sorts_are_answered() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        peer.send(&[ClientFrame::Ping(Ping { nonce: 7 })]).await;
        assert_eq!(peer.frame().await, ServerFrame::Pong(Pong { nonce: 7 }));
        peer.send_raw(&message(PING, b"there?")).await;
        assert_eq!(peer.next().await, Heard::Pong(b"there?".to_vec()));
    }
}

#[tokio::test]
async fn a_session_is_resumed_in_the_other_form_and_knows_its_commands() {
    let node = Node::start().await;
    let (mut peer, welcome) = node.session(JSON).await;
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(peer.reply().await, Request::Command(1));
    drop(peer);
    let (mut peer, resumed) = node.resume(BINARY, &welcome).await;
    assert!(resumed.resumed);
    assert_eq!(resumed.session, welcome.session);
    peer.send(&[
        subscribe(1, Since::After(0)),
        ClientFrame::Command(command(1, "add")),
    ])
    .await;
    let mut replies = 0;
    let mut events = 0;
    while replies < 2 || events < 1 {
        match peer.frame().await {
            ServerFrame::Reply(_) => replies += 1,
            ServerFrame::Event(event) => {
                assert_eq!(event.seq, 1);
                events += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(node.stand.count(), 1);
}

#[tokio::test]
async fn a_connection_that_resumes_takes_the_session_over() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut first, welcome) = node.session(form).await;
        let (mut second, resumed) = node.resume(form, &welcome).await;
        assert!(resumed.resumed);
        let (failure, code, _) = first.closed().await;
        assert_eq!(failure.unwrap().code, ErrorCode::SessionReplaced);
        assert_eq!(code, 4017);
        second.send(&[query(1, "echo", "1")]).await;
        success(second.reply().await, Request::Query(1));
    }
}

#[tokio::test]
async fn a_goodbye_ends_the_session_in_order() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        peer.send(&[ClientFrame::Goodbye(Goodbye { failure: None })])
            .await;
        assert_eq!(peer.closed().await, (None, 1000, String::new()));
    }
}

#[tokio::test]
async fn ephemeral_messages_reach_who_is_subscribed() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut one, _) = node.session(form).await;
        let (mut other, _) = node.session(form).await;
        other.send(&[subscribe(5, Since::Latest)]).await;
        success(other.reply().await, Request::Subscription(5));
        one.send(&[ClientFrame::Ephemeral(EphemeralSend {
            target: target(),
            name: "typing".into(),
            data: "{}".into(),
        })])
        .await;
        match other.frame().await {
            ServerFrame::Ephemeral(event) => {
                assert_eq!((event.subscription, &*event.name), (5, "typing"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn fragments_make_one_message() {
    let node = Node::start().await;
    let (mut peer, _) = node.session(BINARY).await;
    let whole = bytes(&[query(1, "echo", "1"), query(2, "echo", "2")]);
    let (first, second) = whole.split_at(7);
    peer.send_raw(&super::peer::raw(super::peer::BIN, first))
        .await;
    peer.send_raw(&message(PING, b"")).await;
    assert_eq!(peer.next().await, Heard::Pong(Vec::new()));
    peer.send_raw(&super::peer::raw(0x80, second)).await;
    success(peer.reply().await, Request::Query(1));
    success(peer.reply().await, Request::Query(2));
}
