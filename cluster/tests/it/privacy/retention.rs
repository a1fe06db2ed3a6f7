//! How long actors are kept that nothing changes, by a clock that the test moves.

use std::time::Duration;

use selvedge_cluster::actor::SubscriptionItem;
use selvedge_cluster::audit;
use selvedge_cluster::store::Order;
use selvedge_cluster::store::keys::Key;
use selvedge_protocol::Tenant;
use selvedge_protocol::frame::{Outcome, Since};
use tokio::time::timeout;

use super::world::*;

/// For so long are these diaries kept, and by up to an hour longer.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const PATIENCE: Duration = Duration::from_secs(60);

/// Which diaries have ended by themselves, and whom the trail names for it.
async fn expired(world: &World) -> Vec<(String, String)> {
    let mut transaction = world.inner.begin();
    let chain = (&Tenant::default_tenant()).into();
    let page = audit::page(&mut *transaction, &chain, None, Order::Ascending, 100).await;
    let entries = page.unwrap().into_iter().map(|record| record.entry);
    let entries = entries.filter(|entry| entry.action == "actor.expire");
    let mut told: Vec<_> = entries
        .map(|entry| (entry.principal, entry.target))
        .collect();
    told.sort_unstable();
    told
}

fn by_itself(key: &str) -> (String, String) {
    ("selvedge".to_owned(), format!("diary/{key}"))
}

/// Waits until a diary of at least one page is gone.
async fn ended(node: &Node, key: &str) {
    let mut events = node
        .host
        .subscribe(diary(key), Since::After(1))
        .await
        .unwrap();
    loop {
        match timeout(PATIENCE, events.next()).await.unwrap().unwrap() {
            SubscriptionItem::Event(_) => {}
            SubscriptionItem::Gap { seq: 0, .. } => return,
            other => panic!("{other:?}"),
        }
    }
}

/// When the timers of a diary are due.
async fn due(world: &World, of: &str) -> Vec<u64> {
    let all = rows(&*world.inner).await;
    let timers = all.iter().filter_map(|(key, _)| match Key::decode(key) {
        Ok(Key::Timer { actor, due_ms, .. }) if actor.address == diary(of).address => Some(due_ms),
        Ok(_) | Err(_) => None,
    });
    timers.collect()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_changes_ends_and_the_trail_says_so() {
    let world = World::new();
    let node = world.keeping(KEPT).await;
    node.insist("ann/a", "write", &said(1, "ann")).await;
    node.insist("ben/a", "remind", &said(1, "ben")).await;
    world.clock.advance(KEPT + HOUR);
    ended(&node, "ann/a").await;
    ended(&node, "ben/a").await;
    let told = expired(&world).await;
    assert_eq!(told, [by_itself("ann/a"), by_itself("ben/a")]);
    // Nothing of them is stored, timers and the rows by which a subject's things are found included.
    let left = rows(&*world.inner).await;
    let left: Vec<_> = left.iter().filter(|(key, _)| holds(key, "diary")).collect();
    assert!(left.is_empty(), "{left:?}");
    // What comes later begins anew.
    node.insist("ann/a", "write", &said(2, "ann")).await;
    assert_eq!(node.pages("ann/a").await, [said(2, "ann")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_just_before_the_end_keeps_it_for_as_long_again() {
    let world = World::new();
    let node = world.keeping(KEPT).await;
    node.insist("ann/a", "write", &said(1, "ann")).await;
    node.insist("ben/a", "write", &said(1, "ben")).await;
    let first = due(&world, "ann/a").await;
    assert_eq!(first, [world.clock.wall_ms() + ms(KEPT + HOUR)]);
    // What comes within the hour writes no timer anew.
    world.clock.advance(HOUR);
    node.insist("ann/a", "write", &said(2, "ann")).await;
    assert_eq!(due(&world, "ann/a").await, first);
    world.clock.advance(KEPT - Duration::from_millis(1));
    node.insist("ann/a", "write", &said(3, "ann")).await;
    let last = due(&world, "ann/a").await;
    assert_eq!(last, [world.clock.wall_ms() + ms(KEPT + HOUR)]);
    // To read is no change.
    node.pages("ben/a").await;
    world.clock.advance(Duration::from_millis(1));
    ended(&node, "ben/a").await;
    assert_eq!(node.pages("ann/a").await.len(), 3);
    world.clock.advance(KEPT + HOUR);
    ended(&node, "ann/a").await;
    assert_eq!(expired(&world).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_ends_nothing_early_and_is_made_good() {
    let world = World::new();
    let node = world.keeping(KEPT).await;
    let year = 365 * KEPT;
    // A clock that was ahead.
    world.clock.advance(year);
    node.insist("ann/a", "write", &said(1, "ann")).await;
    node.insist("ben/a", "write", &said(1, "ben")).await;
    world.clock.retreat(year);
    // The next change puts it right; what is not changed waits until its time comes again.
    node.insist("ann/a", "write", &said(2, "ann")).await;
    world.clock.advance(KEPT + HOUR);
    ended(&node, "ann/a").await;
    assert_eq!(node.pages("ben/a").await, [said(1, "ben")]);
    assert_eq!(expired(&world).await, [by_itself("ann/a")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_down_ends_what_is_due_when_it_is_back() {
    let world = World::new();
    let node = world.keeping(KEPT).await;
    node.insist("ann/a", "write", &said(1, "ann")).await;
    node.host.stop().await;
    world.clock.advance(KEPT + HOUR);
    let node = world.keeping(KEPT).await;
    ended(&node, "ann/a").await;
    node.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_retention_holds_for_what_is_there() {
    let world = World::new();
    let node = world.keeping(KEPT).await;
    node.insist("ann/a", "write", &said(1, "ann")).await;
    let written_ms = world.clock.wall_ms();
    node.host.stop().await;
    let node = world.keeping(2 * KEPT).await;
    world.clock.advance(KEPT + HOUR);
    let moved = async {
        while due(&world, "ann/a").await != [written_ms + ms(2 * (KEPT + HOUR))] {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, moved).await.unwrap();
    assert_eq!(node.pages("ann/a").await, [said(1, "ann")]);
    // One of a binary that keeps them for good loses its timer.
    node.host.stop().await;
    let node = world.node("node-1").await;
    world.clock.advance(KEPT + HOUR);
    let gone = async {
        while !due(&world, "ann/a").await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(node.pages("ann/a").await, [said(1, "ann")]);
    assert_eq!(expired(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_less_than_command_ids_is_kept_as_long_as_they() {
    let world = World::new();
    let node = world.keeping(Duration::from_secs(1)).await;
    let write = || command("ann/a", "write", &said(1, "ann"), id("once"));
    let first = node.host.ask(write()).await;
    assert!(matches!(first, Outcome::Success(_)), "{first:?}");
    assert_eq!(
        due(&world, "ann/a").await,
        [world.clock.wall_ms() + ms(KEPT + HOUR)]
    );
    world.clock.advance(KEPT - Duration::from_millis(1));
    assert_eq!(node.host.ask(write()).await, first);
    assert_eq!(node.pages("ann/a").await, [said(1, "ann")]);
}
