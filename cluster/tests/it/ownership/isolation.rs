//! Nodes that the others cannot reach, though they are alive and have the store: what they own is served by
//! others until they are reached again.

use std::time::Duration;

use selvedge_cluster::actor::{Host, Identity};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;
use tokio::time::{Instant, timeout};

use super::linked::{Linked, Lost, Net};
use super::world::{PATIENCE, number_of, slot};
use crate::actor::world::{add, sum};

/// A key of each node's.
fn key_of(host: &Host) -> String {
    let owned = host.owned();
    let mut keys = (0..).map(|n: u32| n.to_string());
    keys.find(|key| owned.contains(&slot(key)))
        .unwrap_or_default()
}

/// Adds one to an actor through a host until that is answered, as clients do.
async fn add_through(host: &Host, key: &str, identity: Identity) -> Duration {
    let begun = Instant::now();
    let adding = async {
        loop {
            match add(host, key, identity).await {
                Outcome::Success(_) => return,
                Outcome::Failure(failure) => assert_eq!(failure.code, ErrorCode::Unavailable),
            }
        }
    };
    assert!(timeout(PATIENCE, adding).await.is_ok());
    begun.elapsed()
}

async fn becomes_isolated(node: &Linked, is_isolated: bool) {
    let mut view = node.node.member.view();
    let is_so = view.wait_for(|view| view.own().is_some_and(|own| own.is_isolated == is_isolated));
    assert!(timeout(PATIENCE, is_so).await.is_ok(), "{is_isolated}");
}

/// The owner of an actor is cut off from both others; nobody but `two` has ever needed it.
async fn owner_is_cut_off(owner: &str, lost: Lost) {
    let net = Net::new().await;
    let names = ["one", "two", "three"];
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(net.start(name).await);
    }
    for node in &nodes {
        node.node.owns_share_of(3).await;
    }
    let place = names.iter().position(|name| *name == owner).unwrap();
    let cut_off = nodes.remove(place);
    let (asks, other) = (&nodes[0], &nodes[1]);
    let key = key_of(&cut_off.node.host);
    add_through(&asks.node.host, &key, number_of(1, 1)).await;

    for node in &nodes {
        cut_off.cut(node, lost);
    }
    let took = add_through(&asks.node.host, &key, number_of(1, 2)).await;
    println!("{owner} cut off, {lost:?}: served again after {took:?}");
    becomes_isolated(&cut_off, true).await;
    assert_eq!(sum(&asks.node.host, &key).await, 2);
    cut_off.node.owns(0).await;
    // Through the one that never needed it as well.
    add_through(&other.node.host, &key, number_of(2, 1)).await;
    assert!(cut_off.node.member.standing().borrow().is_in());

    for node in &nodes {
        cut_off.heal(node);
    }
    becomes_isolated(&cut_off, false).await;
    for node in nodes.iter().chain([&cut_off]) {
        node.node.owns_share_of(3).await;
    }
    add_through(&cut_off.node.host, &key, number_of(3, 1)).await;
    assert_eq!(sum(&asks.node.host, &key).await, 4);
}

/// The first is the controller.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_cut_off_from_the_others_gives_up_its_slots() {
    owner_is_cut_off("one", Lost::Both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_cut_off_from_the_others_gives_up_its_slots() {
    owner_is_cut_off("two", Lost::Both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whom_others_do_not_hear_gives_up_its_slots() {
    owner_is_cut_off("three", Lost::There).await;
}
