//! Events, each subscription on a stream of its own, and ephemeral messages in datagrams.

use bytes::{Bytes, BytesMut};
use selvedge_protocol::frame::{
    ClientFrame, EphemeralSend, Request, ServerFrame, Since, Subscribe, Unsubscribe,
};
use selvedge_protocol::limits::SESSION_SUBSCRIPTIONS_MAX;
use selvedge_protocol::{ErrorCode, Target, codec};

use super::peer::{Node, Reader, command, failure, query, subscribe, success, target};

async fn seqs(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        match reader.next().await {
            Some(ServerFrame::Event(event)) => seqs.push(event.seq),
            other => panic!("not an event: {other:?}"),
        }
    }
    seqs
}

#[tokio::test]
async fn events_come_in_order_from_the_position_on() {
    let node = Node::start().await;
    for _ in 0..10 {
        node.stand.add(None);
    }
    let (mut peer, _) = node.session().await;
    peer.send(&[subscribe(1, Since::After(4))]).await;
    let opened = success(peer.reply().await, Request::Subscription(1));
    assert_eq!(opened.seq, 4);
    let mut events = Reader::new(peer.connection.accept_uni().await.unwrap());
    assert_eq!(seqs(&mut events, 6).await, [5, 6, 7, 8, 9, 10]);

    peer.send(&[subscribe(2, Since::Latest)]).await;
    let opened = success(peer.reply().await, Request::Subscription(2));
    assert_eq!(opened.seq, 10);
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    let mut latest = Reader::new(peer.connection.accept_uni().await.unwrap());
    assert_eq!(seqs(&mut latest, 1).await, [11]);
    assert_eq!(seqs(&mut events, 1).await, [11]);
}

#[tokio::test]
async fn an_unread_subscription_holds_up_nothing_else() {
    let node = Node::start().await;
    for _ in 0..100_000 {
        node.stand.add(None);
    }
    let (mut peer, _) = node.session().await;
    peer.send(&[subscribe(1, Since::After(0))]).await;
    success(peer.reply().await, Request::Subscription(1));
    let mut unread = Reader::new(peer.connection.accept_uni().await.unwrap());
    for number in 1..=100 {
        peer.send(&[query(number, "echo", "1")]).await;
        success(peer.reply().await, Request::Query(number));
    }
    let read = seqs(&mut unread, 100_000).await;
    assert!(read.into_iter().eq(1..=100_000));
}

#[tokio::test]
async fn either_end_can_end_one() {
    let node = Node::start().await;
    node.stand.add(None);
    let (mut peer, _) = node.session().await;
    peer.send(&[subscribe(1, Since::After(0))]).await;
    success(peer.reply().await, Request::Subscription(1));
    let mut events = Reader::new(peer.connection.accept_uni().await.unwrap());
    assert_eq!(seqs(&mut events, 1).await, [1]);
    let unsubscribe = ClientFrame::Unsubscribe(Unsubscribe { subscription: 1 });
    peer.send(&[unsubscribe]).await;
    assert_eq!(events.next().await, None);

    // The id is free again, also after a stream that the client has stopped.
    peer.send(&[subscribe(1, Since::After(0))]).await;
    success(peer.reply().await, Request::Subscription(1));
    let mut stopped = peer.connection.accept_uni().await.unwrap();
    stopped.stop(0u32.into()).unwrap();
    loop {
        peer.send(&[subscribe(1, Since::After(0))]).await;
        match peer.reply().await.outcome {
            selvedge_protocol::frame::Outcome::Success(_) => break,
            selvedge_protocol::frame::Outcome::Failure(failure) => {
                assert_eq!(failure.code, ErrorCode::Conflict);
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Subscribe(Subscribe {
        subscription: 1,
        target: Target::Actors,
        since: Since::Latest,
        ext: Vec::new(),
    })])
    .await;
    let refused = failure(peer.reply().await, Request::Subscription(1));
    assert_eq!(refused.code, ErrorCode::UnknownCommand);

    // A refused one is none of the bounded number.
    let max = SESSION_SUBSCRIPTIONS_MAX as u64;
    for id in 1..=max {
        peer.send(&[subscribe(id, Since::Latest)]).await;
        success(peer.reply().await, Request::Subscription(id));
    }
    peer.send(&[subscribe(max + 1, Since::Latest)]).await;
    let refused = failure(peer.reply().await, Request::Subscription(max + 1));
    assert_eq!(refused.code, ErrorCode::LimitExceeded);
}

#[tokio::test]
async fn ephemeral_messages_reach_subscribers() {
    let node = Node::start().await;
    let (mut listener, _) = node.session().await;
    listener.send(&[subscribe(5, Since::Latest)]).await;
    success(listener.reply().await, Request::Subscription(5));
    let (speaker, welcome) = node.session().await;
    let mut datagram = Vec::new();
    let message = EphemeralSend {
        target: target(),
        name: "cursor".to_owned(),
        data: Bytes::from_static(b"[1,2]"),
    };
    codec::encode(&ClientFrame::Ephemeral(message), &mut datagram).unwrap();
    speaker.connection.send_datagram(datagram.into()).unwrap();
    let heard = listener.connection.read_datagram().await.unwrap();
    match codec::decode_whole(BytesMut::from(heard)).unwrap() {
        ServerFrame::Ephemeral(event) => {
            assert_eq!(event.subscription, 5);
            assert_eq!(event.from, welcome.session);
            assert_eq!(
                (event.name.as_str(), &event.data[..]),
                ("cursor", &b"[1,2]"[..])
            );
        }
        other => panic!("not an ephemeral message: {other:?}"),
    }
}
