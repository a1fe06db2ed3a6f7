//! Actors on a storage node's store: two hosts of which one owns, and a store that goes away and comes back.

use std::sync::Arc;

use selvedge_cluster::actor::Identity;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;

use super::world::*;
use crate::peer::world::StorageNode;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_on_a_storage_node_the_later_owns_the_actors() {
    let world = World::new().await;
    let node = StorageNode::start(Arc::clone(&world.store)).await;
    let first = world.host_on(Arc::new(node.client().await)).await;
    ok(add(&first, "a", Identity::Natural).await);
    assert_eq!(sum(&first, "a").await, 1);
    let second = world.host_on(Arc::new(node.client().await)).await;
    assert_eq!(number(&ok(add(&second, "a", Identity::Natural).await)), 2);
    // From memory it could answer; that would be old.
    assert_eq!(
        code(ask_query(&first, "a", "sum").await),
        ErrorCode::Unavailable
    );
    assert_eq!(
        code(add(&first, "a", Identity::Natural).await),
        ErrorCode::Unavailable
    );
    assert_eq!(sum(&second, "a").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_requests_are_shed_and_then_go_on() {
    let world = World::new().await;
    let node = StorageNode::start(Arc::clone(&world.store)).await;
    let host = world.host_on(Arc::new(node.client().await)).await;
    ok(add(&host, "a", id("once")).await);
    let node = node.stop().await;
    for key in ["a", "never-seen"] {
        let shed = code(add(&host, key, Identity::Natural).await);
        assert_eq!(shed, ErrorCode::Unavailable, "{key}");
    }
    let _node = node.start_again(Arc::clone(&world.store)).await;
    // Whatever became of it then, a command with an id takes effect once.
    let again = loop {
        match add(&host, "a", id("twice")).await {
            Outcome::Success(success) => break number(&success),
            Outcome::Failure(failure) => assert_eq!(failure.code, ErrorCode::Unavailable),
        }
        tokio::task::yield_now().await;
    };
    assert!((2..=3).contains(&again), "{again}");
    assert_eq!(number(&ok(add(&host, "a", id("twice")).await)), again);
    assert_eq!(number(&ok(add(&host, "a", id("once")).await)), 1);
}
