//! Subscriptions over the one connection.

use selvedge_protocol::frame::{ClientFrame, Request, ServerFrame, Since, Subscribe, Unsubscribe};
use selvedge_protocol::limits::SESSION_SUBSCRIPTIONS_MAX;
use selvedge_protocol::{ErrorCode, Target};

use super::peer::{FORMS, Node, Peer};
use crate::edge::peer::{command, failure, query, subscribe, success};

async fn seqs(peer: &mut Peer, subscription: u64, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        match peer.frame().await {
            ServerFrame::Event(event) => {
                assert_eq!(event.subscription, subscription);
                seqs.push(event.seq);
            }
            other => panic!("not an event: {other:?}"),
        }
    }
    seqs
}

async fn opened(peer: &mut Peer, subscription: u64) -> u64 {
    success(peer.reply().await, Request::Subscription(subscription)).seq
}

#[tokio::test]
async fn events_come_in_order_from_the_position_on() {
    for form in FORMS {
        let node = Node::start().await;
        for _ in 0..10 {
            node.stand.add(None);
        }
        let (mut peer, _) = node.session(form).await;
        peer.send(&[subscribe(1, Since::Latest)]).await;
        assert_eq!(opened(&mut peer, 1).await, 10);
        peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.push(peer.frame().await);
        }
        let event = seen.iter().find_map(|frame| match frame {
            ServerFrame::Event(event) => Some(event.clone()),
            _ => None,
        });
        let event = event.unwrap();
        assert_eq!(
            (event.subscription, event.seq, &*event.kind, &event.data[..]),
            (1, 11, "added", &b"{}"[..])
        );
        peer.send(&[ClientFrame::Unsubscribe(Unsubscribe { subscription: 1 })])
            .await;
        peer.send(&[subscribe(2, Since::After(4))]).await;
        let mut seqs = Vec::new();
        while seqs.len() < 7 {
            match peer.frame().await {
                ServerFrame::Event(event) => seqs.push(event.seq),
                ServerFrame::Reply(reply) => assert_eq!(reply.request, Request::Subscription(2)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seqs, [5, 6, 7, 8, 9, 10, 11]);
    }
}

#[tokio::test]
async fn a_long_log_comes_whole_and_requests_come_between() {
    const EVENTS: usize = 20_000;
    for form in FORMS {
        let node = Node::start().await;
        for _ in 0..EVENTS {
            node.stand.add(None);
        }
        let (mut peer, _) = node.session(form).await;
        peer.send(&[subscribe(1, Since::After(0)), query(1, "echo", "1")])
            .await;
        let (mut next, mut replies) = (1, 0);
        let mut before_reply = 0;
        while next <= EVENTS as u64 || replies < 2 {
            match peer.frame().await {
                ServerFrame::Event(event) => {
                    assert_eq!(event.seq, next);
                    next += 1;
                    before_reply += u64::from(replies < 2);
                }
                ServerFrame::Reply(_) => replies += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(
            before_reply < EVENTS as u64 / 2,
            "{before_reply} events before the replies"
        );
    }
}

#[tokio::test]
async fn many_hear_the_same_events() {
    let node = Node::start().await;
    let mut peers = Vec::new();
    for number in 0..40_u64 {
        let form = FORMS[usize::from(number % 2 == 0)];
        let (mut peer, _) = node.session(form).await;
        peer.send(&[subscribe(number * 1_000, Since::Latest)]).await;
        opened(&mut peer, number * 1_000).await;
        peers.push(peer);
    }
    for _ in 0..100 {
        node.stand.add(None);
    }
    for (number, peer) in (0..).zip(&mut peers) {
        assert!(
            seqs(peer, number * 1_000, 100)
                .await
                .into_iter()
                .eq(1..=100)
        );
    }
}

#[tokio::test]
async fn what_cannot_be_subscribed_is_refused_and_as_many_as_allowed_are_served() {
    let node = Node::start().await;
    for form in FORMS {
        let (mut peer, _) = node.session(form).await;
        peer.send(&[ClientFrame::Subscribe(Subscribe {
            subscription: 9_999,
            target: Target::Actors,
            since: Since::Latest,
            ext: Vec::new(),
        })])
        .await;
        let refused = failure(peer.reply().await, Request::Subscription(9_999));
        assert_eq!(refused.code, ErrorCode::UnknownCommand);
        let most = SESSION_SUBSCRIPTIONS_MAX as u64;
        for number in 1..=most {
            peer.send(&[subscribe(number, Since::Latest)]).await;
            opened(&mut peer, number).await;
        }
        peer.send(&[subscribe(most + 1, Since::Latest)]).await;
        let refused = failure(peer.reply().await, Request::Subscription(most + 1));
        assert_eq!(refused.code, ErrorCode::LimitExceeded);
    }
}

#[tokio::test]
async fn an_ended_subscription_says_nothing_more_under_its_number() {
    const EVENTS: u64 = 5_000;
    for form in FORMS {
        let node = Node::start().await;
        for _ in 0..EVENTS {
            node.stand.add(None);
        }
        let (mut peer, _) = node.session(form).await;
        peer.send(&[subscribe(1, Since::After(0))]).await;
        let first = peer.frame().await;
        assert!(matches!(
            first,
            ServerFrame::Reply(_) | ServerFrame::Event(_)
        ));
        peer.send(&[
            ClientFrame::Unsubscribe(Unsubscribe { subscription: 1 }),
            subscribe(1, Since::Latest),
        ])
        .await;
        // The second one begins after the last event, and nothing of the first comes behind its reply.
        loop {
            match peer.frame().await {
                ServerFrame::Event(event) => assert_eq!(event.subscription, 1),
                ServerFrame::Reply(reply) => {
                    if success(reply, Request::Subscription(1)).seq == EVENTS {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        node.stand.add(None);
        assert_eq!(seqs(&mut peer, 1, 1).await, [EVENTS + 1]);
    }
}
