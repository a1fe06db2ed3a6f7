//! What a session asks of an actor one after the other reaches it in that order, though the actor moves meanwhile
//! and a node that is asked in vain sends a request back.

use selvedge_protocol::frame::Outcome;
use tokio::sync::oneshot;

use super::world::*;
use crate::actor::world::*;

/// Sends a command of the session; `a` and `b` are in slots of their own.
fn send(node: &Node, key: &str, number: u64) -> oneshot::Receiver<Outcome> {
    let (reply, answer) = reply();
    let request = command(key, "add", "1", numbered(number));
    node.host.command(request, reply);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_for_an_owner_is_not_overtaken_when_there_is_one() {
    let mut cluster = Cluster::new().await;
    let (one, other) = (cluster.node("one").await, cluster.node("other").await);
    let first = send(&other, "a", 1);
    cluster.give_all_to("one");
    cluster.take(&one).await;
    cluster.tell(&one);
    // Nobody has looked at what waits when the next one is asked.
    cluster.tell(&other);
    let second = send(&other, "a", 2);
    assert_eq!(sum_in(soon(first).await.unwrap()), 1);
    assert_eq!(sum_in(soon(second).await.unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_back_is_not_overtaken_on_another_way() {
    assert_ne!(slot("a"), slot("b"));
    let mut cluster = Cluster::new().await;
    let mut one = cluster.scripted("one");
    let (two, other) = (cluster.node("two").await, cluster.node("other").await);
    cluster.give_all_to("one");
    cluster.tell(&other);
    let first = send(&other, "a", 1);
    let mut stream = one.stream().await;
    let id = next_id(&mut stream).await;
    // It is on its way back when the next one is asked, which goes by the new plan.
    cluster.give_all_to("two");
    cluster.take(&two).await;
    cluster.tell(&two);
    cluster.tell(&other);
    let second = send(&other, "a", 2);
    // Whatever was sent to the new owner before this is answered before it.
    assert_eq!(soon(add_surely(&other.host, "b", 1)).await, 1);
    send_away(&mut stream, id, cluster.plan.number, "two").await;
    assert_eq!(sum_in(soon(first).await.unwrap()), 1);
    assert_eq!(sum_in(soon(second).await.unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_back_is_not_overtaken_at_home() {
    let mut cluster = Cluster::new().await;
    let mut one = cluster.scripted("one");
    let other = cluster.node("other").await;
    cluster.give_all_to("one");
    cluster.tell(&other);
    let first = send(&other, "a", 1);
    let mut stream = one.stream().await;
    let id = next_id(&mut stream).await;
    cluster.give_all_to("other");
    cluster.take(&other).await;
    cluster.tell(&other);
    let second = send(&other, "a", 2);
    // Which waits behind nothing.
    assert_eq!(soon(add_surely(&other.host, "b", 1)).await, 1);
    send_away(&mut stream, id, cluster.plan.number, "other").await;
    assert_eq!(sum_in(soon(first).await.unwrap()), 1);
    assert_eq!(sum_in(soon(second).await.unwrap()), 2);
}

/// The node that sent the first one back owns the actor by the time that it sees the second.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_request_that_is_sent_back_waits_for_what_is_still_there() {
    let mut cluster = Cluster::new().await;
    let mut one = cluster.scripted("one");
    let (two, other) = (cluster.node("two").await, cluster.node("other").await);
    cluster.give_all_to("one");
    cluster.tell(&other);
    let first = send(&other, "a", 1);
    let second = send(&other, "a", 2);
    let mut stream = one.stream().await;
    let ids = [next_id(&mut stream).await, next_id(&mut stream).await];
    let plan = cluster.plan.number + 1;
    send_away(&mut stream, ids[0], plan, "two").await;
    cluster.give_all_to("two");
    cluster.take(&two).await;
    cluster.tell(&two);
    cluster.tell(&other);
    let third = send(&other, "a", 3);
    assert_eq!(soon(add_surely(&other.host, "b", 1)).await, 1);
    send_away(&mut stream, ids[1], plan, "two").await;
    for (answer, expected) in [(first, 1), (second, 2), (third, 3)] {
        assert_eq!(sum_in(soon(answer).await.unwrap()), expected);
    }
}

/// A node that is gone says nothing of what it was asked: all of it goes to the next owner, in order.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_lost_node_was_asked_are_not_overtaken() {
    let mut cluster = Cluster::new().await;
    let mut one = cluster.scripted("one");
    let (two, other) = (cluster.node("two").await, cluster.node("other").await);
    cluster.give_all_to("one");
    cluster.tell(&other);
    let mut answers = Vec::new();
    for number in 1..=20 {
        answers.push(send(&other, "a", number));
    }
    let mut stream = one.stream().await;
    next_id(&mut stream).await;
    cluster.give_all_to("two");
    cluster.take(&two).await;
    cluster.tell(&two);
    cluster.tell(&other);
    for number in 21..=40 {
        answers.push(send(&other, "a", number));
    }
    assert_eq!(soon(add_surely(&other.host, "b", 1)).await, 1);
    drop((stream, one));
    for (answer, expected) in answers.into_iter().zip(1..) {
        assert_eq!(sum_in(soon(answer).await.unwrap()), expected);
    }
}

/// The stream to it is there, for all that this node can see.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_node_was_asked_that_is_cut_off_go_to_the_next_owner_at_once() {
    let mut cluster = Cluster::new().await;
    let mut one = cluster.scripted("one");
    let (two, other) = (cluster.node("two").await, cluster.node("other").await);
    cluster.give_all_to("one");
    cluster.tell(&other);
    let first = send(&other, "a", 1);
    let mut stream = one.stream().await;
    let id = next_id(&mut stream).await;
    cluster.give_all_to("two");
    cluster.members.get_mut("one").unwrap().is_isolated = true;
    cluster.take(&two).await;
    cluster.tell(&two);
    cluster.tell(&other);
    let second = send(&other, "a", 2);
    // They would be given up otherwise, since it says nothing.
    assert_eq!(sum_in(soon(first).await.unwrap()), 1);
    assert_eq!(sum_in(soon(second).await.unwrap()), 2);
    // What it says in the end is nobody's.
    send_away(&mut stream, id, cluster.plan.number, "two").await;
    assert_eq!(soon(add_surely(&other.host, "b", 1)).await, 1);
}

/// The actor comes to a node that has sent a request for it away, before the node sees the next one.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_request_that_was_sent_away_is_sent_after_it() {
    let mut cluster = Cluster::new().await;
    let one = cluster.node("one").await;
    let _two = cluster.scripted("two");
    cluster.give_all_to("one");
    let before = cluster.plan.number;
    cluster.give_all_to("two");
    cluster.tell(&one);
    let mut asking = cluster.asking("asking", &one).await;
    let sent_away = cluster.plan.number;
    asking.command("a", 1, before).await;
    assert_eq!(asking.elsewhere().await, (1, sent_away, "two".to_owned()));
    cluster.give_all_to("one");
    cluster.take(&one).await;
    cluster.tell(&one);
    // It was on its way. Those of other slots have nothing to do with it.
    asking.command("a", 2, before).await;
    assert_eq!(
        asking.elsewhere().await,
        (2, cluster.plan.number, "one".to_owned())
    );
    asking.command("b", 1, before).await;
    assert_eq!(asking.sum().await, 1);
    // By now it has heard.
    for number in [1, 2] {
        asking.command("a", number, cluster.plan.number).await;
        assert_eq!(asking.sum().await, number);
    }
}
