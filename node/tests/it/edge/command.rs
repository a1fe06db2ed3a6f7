//! Commands and queries on the control stream.

use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{Ack, ClientFrame, Payload, Request};
use selvedge_protocol::limits::SESSION_WINDOW;

use super::peer::{Node, command, failure, query, success};

#[tokio::test]
async fn a_command_and_a_query_are_answered() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    let done = success(peer.reply().await, Request::Command(1));
    assert_eq!((done.seq, &done.body[..]), (1, &b"1"[..]));
    peer.send(&[query(1, "echo", "[1]")]).await;
    let seen = success(peer.reply().await, Request::Query(1));
    assert_eq!(&seen.body[..], b"[1]");
    assert_eq!(seen.seq, 1);
}

#[tokio::test]
async fn many_in_flight_are_all_answered() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let frames: Vec<_> = (1..=1_000)
        .flat_map(|number| {
            [
                ClientFrame::Command(command(number, "add")),
                query(number, "echo", number.to_string()),
            ]
        })
        .collect();
    peer.send(&frames).await;
    let mut commands = 0;
    for _ in 0..frames.len() {
        let reply = peer.reply().await;
        match reply.request {
            Request::Command(number) => {
                commands += 1;
                success(reply, Request::Command(number));
            }
            Request::Query(number) => {
                let seen = success(reply, Request::Query(number));
                assert_eq!(seen.body, number.to_string());
            }
            Request::Subscription(_) => panic!("not asked for"),
        }
    }
    assert_eq!(commands, 1_000);
    assert_eq!(node.stand.count(), 1_000);
}

#[tokio::test]
async fn a_repeat_in_flight_is_not_executed_twice() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let hold = ClientFrame::Command(command(1, "hold"));
    peer.send(&[hold.clone(), hold.clone(), hold]).await;
    peer.send(&[query(1, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(1));
    assert_eq!(node.stand.0.held.available_permits(), 1);
    node.stand.release();
    success(peer.reply().await, Request::Command(1));
}

#[tokio::test]
async fn a_command_that_got_lost_inside_may_be_retried() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "lose"))]).await;
    let lost = failure(peer.reply().await, Request::Command(1));
    assert!(lost.code.may_be_retried());
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(peer.reply().await, Request::Command(1));
}

#[tokio::test]
async fn an_acknowledged_number_is_expired() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let ack = ClientFrame::Ack(Ack {
        acknowledged: 5,
        positions: Vec::new(),
    });
    peer.send(&[ack, ClientFrame::Command(command(5, "add"))])
        .await;
    let expired = failure(peer.reply().await, Request::Command(5));
    assert_eq!(expired.code, ErrorCode::OutcomeExpired);
    assert_eq!(node.stand.count(), 0);
}

#[tokio::test]
async fn outside_the_window_the_connection_ends() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let outside = command(SESSION_WINDOW + 1, "add");
    peer.send(&[ClientFrame::Command(outside)]).await;
    assert_eq!(peer.expelled().await.code, ErrorCode::LimitExceeded);
    assert_eq!(node.stand.count(), 0);
}

#[tokio::test]
async fn numbers_begin_with_one() {
    let node = Node::start().await;
    for zero in [
        ClientFrame::Command(command(0, "add")),
        query(0, "echo", "1"),
    ] {
        let (mut peer, _) = node.session().await;
        peer.send(&[zero]).await;
        assert_eq!(peer.expelled().await.code, ErrorCode::Malformed);
    }
}

#[tokio::test]
async fn a_payload_stream_announced_on_the_control_stream_is_refused() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let mut wrong = command(1, "measure");
    wrong.payload = Payload::Attached { length: 3 };
    peer.send(&[ClientFrame::Command(wrong)]).await;
    let refused = failure(peer.reply().await, Request::Command(1));
    assert_eq!(refused.field.as_deref(), Some("payload"));
}

#[tokio::test]
async fn a_crash_ends_one_session_and_no_other() {
    let node = Node::start().await;
    let (mut bystander, _) = node.session().await;
    let (mut peer, welcome) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "crash"))])
        .await;
    assert_eq!(peer.expelled().await.code, ErrorCode::Unavailable);
    bystander.send(&[query(1, "echo", "1")]).await;
    success(bystander.reply().await, Request::Query(1));
    // The crashed session goes on from its token alone.
    let (mut peer, again) = node.resume(&welcome).await;
    assert!(again.resumed);
    assert_eq!(again.session, welcome.session);
    peer.send(&[ClientFrame::Command(command(2, "add"))]).await;
    success(peer.reply().await, Request::Command(2));
}
