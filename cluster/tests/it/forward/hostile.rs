//! Nodes with a certificate of the cluster that say what they should not, or nothing, or too much: work and
//! memory stay bounded, nobody panics, and others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use selvedge_cluster::forward::Doubt;
use selvedge_cluster::peer::{LinkState, PeerStream, StreamError};
use selvedge_protocol::frame::{Consistency, Outcome, Since};
use selvedge_protocol::limits::{ACTOR_FRAME_BODY_BYTES_MAX, PEER_STREAMS_MAX};
use selvedge_protocol::peer::actors::{self, ActorAnswer, ActorRequest};
use selvedge_protocol::peer::{Service, close};
use selvedge_protocol::{ErrorCode, Failure, codec};
use tokio::sync::mpsc;

use super::world::*;
use crate::actor::world::*;

fn framed<F: codec::Frame>(frame: &F) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode(frame, &mut out).unwrap();
    out
}

fn subscribe() -> ActorRequest {
    let actor = actor("a");
    ActorRequest::Subscribe(actors::Subscribe {
        plan: 1,
        tenant: actor.tenant,
        actor: actor.address,
        since: Since::Latest,
    })
}

/// Waits for the end of a stream, whatever comes before it.
async fn end_of(stream: &mut PeerStream) -> StreamError {
    let ended = async {
        loop {
            match stream.read::<ActorAnswer>().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended in order"),
                Err(error) => return error,
            }
        }
    };
    soon(ended).await
}

fn unheard_of(id: u64) -> ActorRequest {
    let actor = actor("a");
    ActorRequest::Query(actors::Query {
        id,
        plan: 1,
        deadline_ms: 0,
        tenant: actor.tenant,
        actor: actor.address,
        name: "n".repeat(60),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_asks_wrongly_loses_its_stream_and_nothing_else() {
    let mut cluster = Cluster::new().await;
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    let oversize = u32::try_from(ACTOR_FRAME_BODY_BYTES_MAX + 3).unwrap();
    let answer = ActorAnswer::Opened(actors::Opened { position: 1 });
    // What it asks rightly before that, and what is wrong.
    let wrong = [
        (None, vec![0xff; 64]),
        (None, vec![0; 64]),
        (None, [&oversize.to_be_bytes()[..], &[1, 1]].concat()),
        (None, framed(&answer)),
        (Some(unheard_of(1)), framed(&subscribe())),
        (Some(unheard_of(1)), vec![0xff; 64]),
        // A version that nobody speaks.
        (None, vec![0, 0, 0, 2, 9, 1]),
    ];
    for (number, (right, bytes)) in (1..).zip(wrong) {
        let mut asking = cluster.asking("hostile", &owner).await;
        if let Some(right) = right {
            asking.write(&right).await;
            let answer = asking.answer().await;
            assert!(matches!(answer, ActorAnswer::Answer(_)), "{answer:?}");
        }
        soon(asking.stream.write(&bytes)).await.unwrap();
        let ended = end_of(&mut asking.stream).await;
        let malformed = u64::from(close::MALFORMED);
        assert!(
            matches!(ended, StreamError::Ended(code) if code == malformed),
            "{bytes:?}: {ended}"
        );
        assert_eq!(soon(add_surely(&other.host, "a", number)).await, number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_asks_without_end_and_hears_nothing_is_read_no_more() {
    // Some thousand answers, and the windows of its streams: a fraction of what it would ask.
    const ASKED_MAX: usize = 200_000;
    let mut cluster = Cluster::new().await;
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    let Asking {
        stream,
        link: _link,
    } = cluster.asking("hostile", &owner).await;
    let (mut reader, mut writer) = stream.split();
    let asked = Arc::<AtomicUsize>::default();
    let asking = tokio::spawn({
        let asked = Arc::clone(&asked);
        async move {
            for id in 1.. {
                writer.write(&framed(&unheard_of(id))).await.unwrap();
                asked.store(usize::try_from(id).unwrap(), Ordering::SeqCst);
            }
        }
    });
    // Others are served all the while by other actors, as this one is busy, and it comes to a stop.
    let (mut number, mut before, mut rounds) = (0, 0, 0);
    while rounds < 50 {
        number += 1;
        assert_eq!(soon(add_surely(&other.host, "b", number)).await, number);
        let now = asked.load(Ordering::SeqCst);
        assert!(now < ASKED_MAX, "it is read without end");
        rounds = if now == before && now > 0 {
            rounds + 1
        } else {
            0
        };
        before = now;
    }
    // When it hears what it asked for, it is read again.
    while asked.load(Ordering::SeqCst) < before + 1_000 {
        let answer = soon(reader.read::<ActorAnswer>()).await.unwrap();
        assert!(matches!(answer, Some(ActorAnswer::Answer(_))), "{answer:?}");
    }
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_asked_for_or_that_come_twice_are_nothing() {
    let mut cluster = Cluster::new().await;
    let mut liar = cluster.scripted("liar");
    let other = cluster.node("other").await;
    cluster.give_all_to("liar");
    cluster.tell(&other);
    let answered = |id, text: &str| {
        let failure = Failure::new(ErrorCode::Rejected, text);
        let result = Err(failure);
        ActorAnswer::Answer(actors::Answer { id, result })
    };
    let ask = |number| {
        let (reply, answer) = reply();
        let request = command("a", "add", "1", numbered(number));
        other.host.command(request, reply);
        answer
    };
    let first = ask(1);
    let mut stream = liar.stream().await;
    let id = next_id(&mut stream).await;
    say(&mut stream, answered(u64::MAX, "unasked")).await;
    say(&mut stream, answered(0, "unasked")).await;
    send_away(&mut stream, u64::MAX, u64::MAX, "nobody").await;
    say(&mut stream, answered(id, "first")).await;
    say(&mut stream, answered(id, "second")).await;
    send_away(&mut stream, id, u64::MAX, "other").await;
    let Outcome::Failure(failure) = soon(first).await.unwrap() else {
        panic!("it was refused");
    };
    assert_eq!(failure.message, "first");
    // On the same stream.
    let second = ask(2);
    let id = next_id(&mut stream).await;
    say(&mut stream, answered(id, "third")).await;
    assert_eq!(code(soon(second).await.unwrap()), ErrorCode::Rejected);
    // Events among answers are not forgiven: what is unanswered is asked again, by another stream.
    let third = ask(3);
    next_id(&mut stream).await;
    say(
        &mut stream,
        ActorAnswer::Opened(actors::Opened { position: 1 }),
    )
    .await;
    let mut stream = liar.stream().await;
    let id = next_id(&mut stream).await;
    say(&mut stream, answered(id, "fourth")).await;
    assert_eq!(code(soon(third).await.unwrap()), ErrorCode::Rejected);
}

/// Two nodes that name each other, by plans that nobody knows or everybody: a request goes round once.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_name_each_other_are_asked_a_few_times_at_most() {
    for plan in [0, 1_000, u64::MAX] {
        let mut cluster = Cluster::new().await;
        let (mut one, mut two) = (cluster.scripted("one"), cluster.scripted("two"));
        let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
        cluster.share(&["one", "owner"]);
        cluster.take(&owner).await;
        cluster.tell(&owner);
        cluster.tell(&other);
        let times = Arc::<AtomicUsize>::default();
        let mut liars = Vec::new();
        for (liar, named) in [(&mut one, "two"), (&mut two, "one")] {
            let (_, none) = mpsc::channel(1);
            let mut streams = std::mem::replace(&mut liar.streams, none);
            let times = Arc::clone(&times);
            liars.push(tokio::spawn(async move {
                while let Some(mut stream) = streams.recv().await {
                    while let Ok(Some(ActorRequest::Command(command))) = stream.read().await {
                        times.fetch_add(1, Ordering::SeqCst);
                        let next = plan.saturating_add(command.id);
                        send_away(&mut stream, command.id, next, named).await;
                    }
                }
            }));
        }
        let mut request = command(&cluster.key_of("one"), "add", "1", numbered(1));
        request.deadline = Some(tokio::time::Instant::now() + Duration::from_secs(1));
        let asking = soon(other.host.ask(request));
        let key = cluster.key_of("owner");
        let serving = async {
            for number in 1..=100 {
                assert_eq!(soon(add_surely(&other.host, &key, number)).await, number);
            }
        };
        let (outcome, ()) = tokio::join!(asking, serving);
        assert_eq!(code(outcome), ErrorCode::Unavailable);
        // Ten looks in a second, and a few more for what changes.
        let times = times.load(Ordering::SeqCst);
        assert!((1..20).contains(&times), "{times} times by {plan}");
        for liar in liars {
            liar.abort();
        }
    }
}

/// A request by a plan that there will never be waits at a node that does not own the actor; nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_by_a_plan_of_the_far_future_keeps_nobody_waiting() {
    let mut cluster = Cluster::new().await;
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    let mut hostile = cluster.asking("hostile", &other).await;
    hostile.command("a", 1, u64::MAX).await;
    while !other.doubts.lock().contains(&Doubt::Plan) {
        tokio::task::yield_now().await;
    }
    // The node's own, those of others that were wrong, and the hostile one's for other actors.
    assert_eq!(soon(add_surely(&other.host, "a", 1)).await, 1);
    let mut behind = cluster.asking("behind", &other).await;
    let plan = cluster.plan.number;
    behind.command("a", 1, plan).await;
    assert_eq!(behind.elsewhere().await, (1, plan, "owner".to_owned()));
    hostile.command("b", 2, plan).await;
    assert_eq!(hostile.elsewhere().await.0, 2, "the first still waits");
    // At the owner itself it is as good as any other.
    let mut hostile = cluster.asking("hostile", &owner).await;
    hostile.command("a", 2, u64::MAX).await;
    assert_eq!(hostile.sum().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_opens_all_its_streams_and_says_nothing_keeps_nobody_out() {
    let mut cluster = Cluster::new().await;
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    let asking = cluster.asking("hostile", &owner).await;
    let LinkState::Up(connection) = asking.link.state().borrow().clone() else {
        panic!("it has just opened a stream");
    };
    let mut silent = Vec::new();
    for _ in 1..PEER_STREAMS_MAX {
        let (mut send, receive) = soon(connection.open_bi()).await.unwrap();
        soon(send.write_all(&Service::Actors.preface()))
            .await
            .unwrap();
        silent.push((send, receive));
    }
    assert!(
        connection.open_bi().now_or_never().is_none(),
        "that was the last"
    );
    for number in 1..=20 {
        assert_eq!(soon(add_surely(&other.host, "a", number)).await, number);
    }
    // They are given back as others are.
    drop(silent);
    let (mut send, _receive) = soon(connection.open_bi()).await.unwrap();
    soon(send.write_all(&Service::Actors.preface()))
        .await
        .unwrap();
}
