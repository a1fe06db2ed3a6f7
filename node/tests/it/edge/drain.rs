//! The node stops: what was accepted is answered, what was not is refused so that it may be retried.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selvedge_client::{CallError, Client, EventItem, Events, Since, actor};
use selvedge_node::session::{SessionConfig, no_other_nodes};
use selvedge_protocol::frame::{ClientFrame, Notice, Outcome, Request, ServerFrame};
use selvedge_protocol::{ErrorCode, servers};
use tokio::sync::watch;

use super::peer::{Node, PATIENCE, Peer, TOKEN, command, config, failure, inside, success};
use super::service::Stand;

#[tokio::test]
async fn under_load_no_accepted_command_goes_unanswered() {
    let node = Node::start().await;
    let mut peers = Vec::new();
    for _ in 0..10 {
        let (mut peer, _) = node.session().await;
        for number in 1..=20 {
            peer.send(&[ClientFrame::Command(command(number, "hold"))])
                .await;
        }
        peers.push(peer);
    }
    node.stand.0.held.acquire_many(200).await.unwrap().forget();
    let stand = node.stand.clone();
    let running = node.drain();

    let mut answered = 0;
    let mut refused = 0;
    for (index, peer) in peers.iter_mut().enumerate() {
        assert!(matches!(
            peer.next().await,
            Some(ServerFrame::Notice(Notice::Draining { .. }))
        ));
        // Comes after the notice, and is not taken any more.
        peer.send(&[ClientFrame::Command(command(21, "add"))]).await;
        let late = peer.reply().await;
        assert_eq!(late.request, Request::Command(21));
        match late.outcome {
            Outcome::Failure(failure) => {
                assert!(failure.code.may_be_retried());
                refused += 1;
            }
            Outcome::Success(_) => panic!("a draining node took a command"),
        }
        if index == 9 {
            stand.release();
        }
    }
    for peer in &mut peers {
        loop {
            match peer.next().await {
                Some(ServerFrame::Reply(reply)) => {
                    assert!(matches!(reply.outcome, Outcome::Success(_)));
                    answered += 1;
                }
                Some(ServerFrame::Goodbye(goodbye)) => {
                    assert_eq!(goodbye.failure.unwrap().code, ErrorCode::Unavailable);
                    break;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert_eq!((answered, refused), (200, 10));
    assert_eq!(stand.count(), 200);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_does_not_wait_for_ever() {
    let mut edge = config();
    edge.drain = Duration::from_millis(50);
    edge.linger = Duration::from_millis(50);
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    let running = node.drain();
    assert_eq!(peer.expelled().await.code, ErrorCode::Unavailable);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_node_stops_at_once() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let running = node.drain();
    assert_eq!(peer.expelled().await.code, ErrorCode::Unavailable);
    running.await.unwrap().unwrap();
}

/// The other nodes, as a membership would tell of them.
fn known(others: &[&str]) -> watch::Receiver<Arc<[String]>> {
    watch::channel(others.iter().map(|&other| other.to_owned()).collect()).1
}

/// Reads on until the node sends the session elsewhere: the replies before it, and where to. A Goodbye
/// follows, for clients that cannot go there.
async fn redirected(peer: &mut Peer) -> (u32, String) {
    let mut replies = 0;
    loop {
        match peer.next().await {
            Some(ServerFrame::Notice(Notice::Draining { .. })) => {}
            Some(ServerFrame::Reply(reply)) => {
                assert!(matches!(reply.outcome, Outcome::Success(_)), "{reply:?}");
                replies += 1;
            }
            Some(ServerFrame::Redirect(redirect)) => {
                assert_eq!(peer.expelled().await.code, ErrorCode::Unavailable);
                return (replies, redirect.address);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn sessions_are_told_of_the_others_and_spread_over_them_once_they_are_answered() {
    let others = ["a.example:1", "b.example:2", "c.example:3"];
    let node = Node::among(known(&others), Stand::new()).await;
    let mut peers = Vec::new();
    for _ in 0..6 {
        let (mut peer, welcome) = node.session().await;
        assert_eq!(servers::named(&welcome.ext), others);
        for number in 1..=3 {
            peer.send(&[ClientFrame::Command(command(number, "hold"))])
                .await;
        }
        peers.push(peer);
    }
    node.stand.0.held.acquire_many(18).await.unwrap().forget();
    let stand = node.stand.clone();
    let running = node.drain();
    for peer in &mut peers {
        let next = peer.next().await;
        assert!(matches!(
            next,
            Some(ServerFrame::Notice(Notice::Draining { .. }))
        ));
    }
    stand.release();
    let mut places = Vec::new();
    for peer in &mut peers {
        let (replies, place) = redirected(peer).await;
        assert_eq!(replies, 3);
        places.push(place);
    }
    places.sort();
    let [a, b, c] = others;
    assert_eq!(places, [a, a, b, b, c, c]);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn nodes_that_join_are_told_with_the_next_answer() {
    let (tell, others) = watch::channel(Arc::from([]));
    let node = Node::among(others, Stand::new()).await;
    let (mut peer, welcome) = node.session().await;
    assert_eq!(servers::named(&welcome.ext), [""; 0]);
    tell.send_replace(["b.example:1".to_owned()].into());
    for (number, expected) in (1..).zip([vec!["b.example:1"], vec![]]) {
        peer.send(&[ClientFrame::Command(command(number, "add"))])
            .await;
        let reply = peer.reply().await;
        assert_eq!(servers::named(&reply.ext), expected);
    }
    let (_, welcome) = node.session().await;
    assert_eq!(servers::named(&welcome.ext), ["b.example:1"]);
}

#[tokio::test]
async fn who_is_cut_off_is_told_where_else_to_go() {
    let mut edge = config();
    edge.drain = Duration::from_millis(50);
    let stand = Stand::new();
    let mut inside = inside(Arc::new(stand.clone()), None);
    inside.others.quic = known(&["a.example:1"]);
    let node = Node::around(edge, SessionConfig::new("test"), inside, stand).await;
    let (mut peer, _) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    let running = node.drain();
    assert_eq!(redirected(&mut peer).await, (0, "a.example:1".to_owned()));
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_that_goes_on_sends_its_sessions_away_and_serves_who_comes() {
    let node = Node::among(known(&["a.example:1"]), Stand::new()).await;
    let (mut idle, _) = node.session().await;
    let (mut busy, _) = node.session().await;
    busy.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    assert_eq!(node.sessions.redirect_all(), 2);
    assert_eq!(redirected(&mut idle).await, (0, "a.example:1".to_owned()));
    // What comes in the meantime is for the next node.
    busy.send(&[ClientFrame::Command(command(2, "add"))]).await;
    let refusal = failure(busy.reply().await, Request::Command(2));
    assert!(refusal.code.may_be_retried());
    node.stand.release();
    assert_eq!(redirected(&mut busy).await, (1, "a.example:1".to_owned()));

    let (mut late, _) = node.session().await;
    late.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(late.reply().await, Request::Command(1));
}

#[tokio::test]
async fn who_comes_back_to_a_node_that_goes_on_is_served() {
    let node = Node::among(known(&["a.example:1"]), Stand::new()).await;
    let (mut peer, welcome) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    node.sessions.redirect_all();
    peer.send(&[ClientFrame::Command(command(2, "add"))]).await;
    failure(peer.reply().await, Request::Command(2));
    let (mut back, _) = node.resume(&welcome).await;
    back.send(&[ClientFrame::Command(command(2, "add"))]).await;
    success(back.reply().await, Request::Command(2));
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_answered_elsewhere() {
    let stand = Stand::new();
    let node = Node::among(known(&["a.example:1"]), stand.clone()).await;
    let other = Node::among(no_other_nodes().quic, stand).await;
    let (mut peer, welcome) = node.session().await;
    peer.send(&[ClientFrame::Command(command(1, "hold"))]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    node.sessions.redirect_all();
    assert_eq!(redirected(&mut peer).await, (0, "a.example:1".to_owned()));
    let (mut peer, again) = other.resume(&welcome).await;
    assert!(again.resumed);
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(peer.reply().await, Request::Command(1));
    // The first try ends as well, with the outcome that is there.
    node.stand.release();
    assert_eq!(node.stand.count(), 1);
}

#[tokio::test]
async fn a_node_alone_sends_nobody_away() {
    let node = Node::start().await;
    let (mut peer, welcome) = node.session().await;
    assert_eq!(servers::named(&welcome.ext), [""; 0]);
    assert_eq!(node.sessions.redirect_all(), 0);
    peer.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(peer.reply().await, Request::Command(1));
}

/// Follows the counter, and tells how far it has come. Fails at a gap or a repeat.
async fn listen(mut events: Events, heard: watch::Sender<u64>) {
    loop {
        match events.next().await {
            Some(Ok(EventItem::Event { seq, .. })) => {
                assert_eq!(seq, *heard.borrow() + 1);
                heard.send_replace(seq);
            }
            Some(Err(CallError::Closed)) | None => return,
            other => panic!("no event: {other:?}"),
        }
    }
}

/// A program that adds, asks and listens until it has gone on for a while past `is_enough`. Answers how
/// often it added.
async fn work_on(client: Client, is_enough: Arc<AtomicBool>) -> u64 {
    let session = client.session();
    let counter = actor("counter/one").unwrap();
    let subscribed = session.subscribe(counter.clone(), Since::After(0));
    let (heard, mut listener) = watch::channel(0);
    tokio::spawn(listen(subscribed.await.unwrap(), heard));
    let (mut added, mut last) = (0, 0);
    let mut rest = 20;
    while rest > 0 {
        if is_enough.load(Ordering::SeqCst) {
            rest -= 1;
        }
        let mut answers = Vec::new();
        for _ in 0..5 {
            let call = session.command(counter.clone(), "add", ());
            answers.push(call.start().await.unwrap());
        }
        let echo = session.query(counter.clone(), "echo", ());
        echo.send().await.unwrap();
        for answer in answers {
            last = answer.await.unwrap().seq;
            added += 1;
        }
    }
    let all = listener.wait_for(|heard| *heard >= last);
    tokio::time::timeout(PATIENCE, all).await.unwrap().unwrap();
    client.close().await;
    added
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_call_fails_while_nodes_drain_one_after_the_other() {
    const CLIENTS: usize = 8;
    let stand = Stand::new();
    let mut nodes = VecDeque::new();
    for _ in 0..3 {
        let (tell, others) = watch::channel(Arc::from([]));
        nodes.push_back((Node::among(others, stand.clone()).await, tell));
    }
    let authorities: Vec<_> = nodes.iter().map(|(node, _)| &*node.authority).collect();
    let authorities = authorities.concat();
    let is_enough = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::builder()
            .server(nodes[0].0.address.to_string())
            .server_name("localhost")
            .ca_pem(&*authorities)
            .token(TOKEN);
        let client = client.connect().await.unwrap();
        clients.push(tokio::spawn(work_on(client, Arc::clone(&is_enough))));
    }
    while nodes.len() > 1 {
        let before = stand.count();
        while stand.count() < before + 100 {
            tokio::task::yield_now().await;
        }
        let (node, tell) = nodes.pop_front().unwrap();
        let next = &nodes[0].0;
        tell.send_replace([next.address.to_string()].into());
        let drained = tokio::time::timeout(PATIENCE, node.drain());
        drained.await.unwrap().unwrap().unwrap();
        while next.sessions.len() < CLIENTS {
            tokio::task::yield_now().await;
        }
    }
    is_enough.store(true, Ordering::SeqCst);
    let mut added = 0;
    for client in clients {
        added += client.await.unwrap();
    }
    assert_eq!(stand.count(), added, "each had one effect");
}
