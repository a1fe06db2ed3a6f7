//! Sessions that outlive their connections.

use std::net::{Ipv4Addr, UdpSocket};

use selvedge_node::session::SessionConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Goodbye, Request, ServerFrame, Since};

use super::peer::{Node, Reader, closed, command, config, query, subscribe, success};

#[tokio::test]
async fn a_command_sent_again_after_a_lost_connection_has_one_effect() {
    let node = Node::start().await;
    let (mut peer, welcome) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    peer.connection.close(0u32.into(), b"gone");

    let (mut peer, again) = node.resume(&welcome).await;
    assert!(again.resumed);
    assert_eq!(again.session, welcome.session);
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    peer.send(&[query(1, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(1));
    node.stand.release();
    let done = success(peer.reply().await, Request::Command(1));
    assert_eq!(&done.body[..], b"1");
    assert_eq!(node.stand.count(), 1);
}

#[tokio::test]
async fn an_answer_that_got_lost_is_given_again() {
    let node = Node::start().await;
    let (mut peer, welcome) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    peer.connection.close(0u32.into(), b"gone");
    // The second connection shows that the session has seen the first one go.
    let (second, _) = node.resume(&welcome).await;
    second.connection.close(0u32.into(), b"gone");
    node.stand.release();

    let (mut peer, _) = node.resume(&welcome).await;
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(peer.reply().await, Request::Command(1));
    assert_eq!(node.stand.count(), 1);
}

#[tokio::test]
async fn the_later_connection_replaces_the_earlier() {
    let node = Node::start().await;
    let (mut former, welcome) = node.session().await;
    let (mut later, _) = node.resume(&welcome).await;
    assert_eq!(former.expelled().await.code, ErrorCode::SessionReplaced);
    later.send(&[query(1, "echo", "1")]).await;
    success(later.reply().await, Request::Query(1));
    assert_eq!(node.sessions.len(), 1);
}

#[tokio::test]
async fn a_session_the_node_has_given_up_is_made_again() {
    let mut session = SessionConfig::new("test");
    session.detached_max = 0;
    let node = Node::with(config(), session).await;
    let (peer, welcome) = node.session().await;
    peer.connection.close(0u32.into(), b"gone");
    while !node.sessions.is_empty() {
        tokio::task::yield_now().await;
    }
    let (mut peer, again) = node.resume(&welcome).await;
    assert!(again.resumed);
    assert_eq!(again.session, welcome.session);
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(peer.reply().await, Request::Command(1));
}

#[tokio::test]
async fn a_detached_session_is_given_up_after_a_while() {
    let mut session = SessionConfig::new("test");
    session.detached_ms = 50;
    let node = Node::with(config(), session).await;
    let (peer, _) = node.session().await;
    peer.connection.close(0u32.into(), b"gone");
    while !node.sessions.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_goodbye_ends_the_session() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Goodbye(Goodbye { failure: None })])
        .await;
    assert_eq!(
        peer.next().await,
        Some(ServerFrame::Goodbye(Goodbye { failure: None }))
    );
    assert_eq!(closed(&peer.connection).await, 0);
    while !node.sessions.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_change_of_address_goes_unnoticed() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[subscribe(1, Since::After(0))]).await;
    success(peer.reply().await, Request::Subscription(1));
    for number in 1..=100 {
        peer.send(&[ClientFrame::Command(command(number, "add"))])
            .await;
    }
    let mut events = Reader::new(peer.connection.accept_uni().await.unwrap());
    for number in 1..=300 {
        if number % 60 == 0 {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            peer.endpoint.rebind(socket).unwrap();
        }
        if number > 100 {
            peer.send(&[ClientFrame::Command(command(number, "add"))])
                .await;
        }
        success(peer.reply().await, Request::Command(number));
        match events.next().await {
            Some(ServerFrame::Event(event)) => assert_eq!(event.seq, number),
            other => panic!("not an event: {other:?}"),
        }
    }
    assert_eq!(node.sessions.len(), 1);
    assert_eq!(peer.connection.close_reason(), None);
}
