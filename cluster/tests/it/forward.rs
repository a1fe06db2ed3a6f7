//! Requests for actors of other nodes, over real sockets. Who owns what is told by hand here, and so is every
//! lie about it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Host, Identity, ReplyTo, SubscriptionItem,
};
use selvedge_cluster::forward::Doubt;
use selvedge_protocol::frame::{Outcome, Since};
use selvedge_protocol::{ErrorCode, SessionId, if_version};

use crate::actor::world::*;

mod away;
mod hostile;
mod order;
mod room;
mod world;

use world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_asks_the_owner() {
    let mut cluster = Cluster::new().await;
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    for number in 1..=200 {
        let outcome = soon(add(&other.host, "a", numbered(number))).await;
        assert_eq!(sum_in(outcome), number);
    }
    assert_eq!(soon(sum(&other.host, "a")).await, 200);
    // A repeat gets the answer of the first, and refusals come as they are.
    let repeat = soon(add(&other.host, "a", numbered(7))).await;
    assert_eq!(sum_in(repeat), 7);
    let refused = soon(
        other
            .host
            .ask(command("a", "no", "null", Identity::Natural)),
    )
    .await;
    assert_eq!(code(refused), ErrorCode::UnknownCommand);
    assert_eq!(other.host.owned(), [0_u16; 0]);
    // What is far over a frame of the session protocol goes through as well.
    let mut large = command("b", "add", "1", Identity::Natural);
    large.payload = Some(vec![7; 1_000_000].into());
    ok(soon(other.host.ask(large)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_goes_to_where_the_actor_is() {
    let mut cluster = Cluster::new().await;
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    let add_if = |version| {
        let mut request = command("a", "add", "1", Identity::Natural);
        request.if_version = Some(version);
        other.host.ask(request)
    };
    assert_eq!(sum_in(soon(add_if(0)).await), 1);
    match soon(add_if(0)).await {
        Outcome::Failure(failure) => {
            assert_eq!(failure.code, ErrorCode::Conflict);
            assert_eq!(failure.field.as_deref(), Some(if_version::FIELD));
        }
        Outcome::Success(success) => panic!("{success:?}"),
    }
    assert_eq!(sum_in(soon(add_if(1)).await), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_owner_says_who_it_is_and_the_request_is_sent_once_more() {
    let mut cluster = Cluster::new().await;
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    let other = cluster.node("other").await;
    cluster.give_all_to("one");
    cluster.tell(&other);
    // Which does not hear of what follows.
    cluster.give_all_to("two");
    cluster.tell(&one);
    cluster.tell(&two);
    cluster.take(&two).await;
    assert_eq!(soon(add_surely(&other.host, "a", 1)).await, 1);
    assert!(other.doubts.lock().contains(&Doubt::Plan));
    // Nor does the new owner know, if it is the one that is behind: it waits for the plan.
    cluster.give_all_to("one");
    two.host.give_up(&all()).await;
    cluster.tell(&other);
    let waiting = tokio::spawn({
        let host = other.host.clone();
        async move { add_surely(&host, "a", 2).await }
    });
    let told = async {
        while !one.doubts.lock().contains(&Doubt::Plan) {
            tokio::task::yield_now().await;
        }
    };
    soon(told).await;
    cluster.tell(&one);
    cluster.take(&one).await;
    assert_eq!(soon(waiting).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_owner_is_held_in_order() {
    let mut cluster = Cluster::new().await;
    let (one, other) = (cluster.node("one").await, cluster.node("other").await);
    cluster.tell(&one);
    cluster.tell(&other);
    let mut answers = Vec::new();
    for number in 1..=100 {
        let (reply, answer) = reply();
        other
            .host
            .command(command("a", "add", "1", numbered(number)), reply);
        answers.push(answer);
    }
    // Nobody had them; then one node has.
    cluster.give_all_to("one");
    cluster.take(&one).await;
    cluster.tell(&one);
    cluster.tell(&other);
    for (answer, expected) in answers.into_iter().zip(1..) {
        assert_eq!(sum_in(soon(answer).await.unwrap()), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_answers_in_time_is_unavailable() {
    let mut cluster = Cluster::new().await;
    let other = cluster.node("other").await;
    cluster.tell(&other);
    let outcome = soon(add(&other.host, "a", numbered(1))).await;
    assert_eq!(code(outcome), ErrorCode::Unavailable);
    let mut request = command("a", "add", "1", numbered(1));
    request.deadline = Some(tokio::time::Instant::now());
    assert_eq!(
        code(soon(other.host.ask(request)).await),
        ErrorCode::Unavailable
    );
}

/// An owner ends in the midst of requests: they are sent again to the next, and none takes effect twice.
#[tokio::test(flavor = "multi_thread")]
async fn requests_and_subscriptions_outlive_their_owner() {
    let mut cluster = Cluster::new().await;
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    let other = cluster.node("other").await;
    cluster.give_all_to("one");
    cluster.take(&one).await;
    for node in [&one, &two, &other] {
        cluster.tell(node);
    }
    let mut events = soon(other.host.subscribe(actor("a"), Since::After(0)))
        .await
        .unwrap();
    let writing = tokio::spawn({
        let host = other.host.clone();
        async move {
            for number in 1..=300 {
                // What is unavailable is asked again under its number, as clients do.
                while let Outcome::Failure(failure) = add(&host, "a", numbered(number)).await {
                    assert_eq!(failure.code, ErrorCode::Unavailable);
                }
            }
        }
    });
    for seq in 1..=100 {
        assert_eq!(next_seq(&mut events).await, seq);
    }
    drop(one);
    cluster.members.remove("one");
    cluster.give_all_to("two");
    cluster.take(&two).await;
    cluster.tell(&two);
    cluster.tell(&other);
    for seq in 101..=300 {
        assert_eq!(next_seq(&mut events).await, seq);
    }
    soon(writing).await.unwrap();
    assert_eq!(soon(sum(&other.host, "a")).await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_messages_reach_subscribers_of_all_nodes() {
    let mut cluster = Cluster::new().await;
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    let mut here = owner
        .host
        .subscribe(actor("a"), Since::Latest)
        .await
        .unwrap();
    let mut there = soon(other.host.subscribe(actor("a"), Since::Latest))
        .await
        .unwrap();
    let data = bytes::Bytes::from_static(b"{}");
    let told = async {
        // Lossy: the first may find no stream yet.
        loop {
            let from = SessionId::from_u128(1);
            other
                .host
                .tell_subscribers(&actor("a"), from, "typing", &data);
            tokio::task::yield_now().await;
            if let Ok(item) = tokio::time::timeout(Duration::from_millis(20), there.next()).await {
                return item.unwrap();
            }
        }
    };
    let heard = soon(told).await;
    assert!(matches!(heard, SubscriptionItem::Ephemeral { name, .. } if name == "typing"));
    assert!(matches!(
        soon(here.next()).await.unwrap(),
        SubscriptionItem::Ephemeral { .. }
    ));
}

/// Asks once more when it is answered, as a session may.
struct Again {
    host: Host,
    then: Mutex<Option<ReplyTo>>,
}

impl AnswerSink for Again {
    fn answer(&self, _token: u64, _outcome: Outcome) {
        if let Some(reply) = self.then.lock().take() {
            self.host.command(soon_over(2), reply);
        }
    }
}

fn soon_over(number: u64) -> CommandRequest {
    let mut request = command("a", "add", "1", numbered(number));
    request.deadline = Some(tokio::time::Instant::now() + Duration::from_millis(50));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_that_time_is_over_may_ask_again_at_once() {
    let mut cluster = Cluster::new().await;
    let (gone, other) = (cluster.node("gone").await, cluster.node("other").await);
    cluster.give_all_to("gone");
    drop(gone);
    cluster.tell(&other);
    let (last, answer) = reply();
    let again = Again {
        host: other.host.clone(),
        then: Mutex::new(Some(last)),
    };
    let first = ReplyTo::new(Arc::new(again), 0);
    other.host.command(soon_over(1), first);
    assert_eq!(code(soon(answer).await.unwrap()), ErrorCode::Unavailable);
}
