//! Final operations go when their retention is over: from lists, with their events, from the store.

use std::time::Duration;

use selvedge_client::operation::OperationStatus;
use selvedge_cluster::actor::SubscriptionItem;
use selvedge_cluster::store::keys::{Key, KeyRange};
use selvedge_cluster::store::{Isolation, Store};
use selvedge_node::app::Running;
use selvedge_node::operation::OperationPayload;
use selvedge_protocol::ErrorCode;
use serde_json::json;

use super::policies::set;
use super::world::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A world whose operations are kept for two days.
fn two_days() -> World {
    let mut world = World::timed();
    world.policy.retention = Some(2 * DAY);
    world
}

/// Rows of the store that name an operation.
async fn rows(store: &dyn Store, operation: &str) -> usize {
    let everything = KeyRange {
        begin: vec![].into(),
        end: vec![0xff].into(),
    };
    let range = everything.read(usize::MAX, Isolation::Snapshot);
    let rows = store.begin().range(range).await.unwrap();
    let names = |key: &[u8]| format!("{:?}", Key::decode(key).unwrap()).contains(operation);
    rows.iter().filter(|(key, _)| names(key)).count()
}

/// Waits until an operation is no more.
async fn gone(node: &Running, operation: &str) {
    let going = async {
        while get(node, operation).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, going).await.unwrap();
    assert_eq!(code(get(node, operation).await), ErrorCode::NotFound);
}

async fn listed(node: &Running, filter: serde_json::Value) -> usize {
    let page = list(node, filter).await.unwrap();
    page["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_final_operation_is_left() {
    nothing_is_left(two_days()).await;
    nothing_is_left(World {
        is_spread: true,
        ..two_days()
    })
    .await;
}

async fn nothing_is_left(world: World) {
    let store = world.store();
    let node = world.node(&store).await;
    let body =
        json!({ "type": "steps", "input": { "steps": ["a", "b"] }, "labels": { "team": "blue" } });
    submit(&node, "old-one", body.clone()).await.unwrap();
    ended(&node, "old-one").await;
    let mut events = watch(&node, "old-one").await;
    until(&mut events, "succeeded").await;
    assert!(rows(&*store, "old-one").await > 5);
    world.clock.advance(2 * DAY - Duration::from_secs(1));
    submit_steps(&node, "new-one", json!({ "steps": ["a"] })).await;
    ended(&node, "new-one").await;
    assert!(get(&node, "old-one").await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    gone(&node, "old-one").await;
    assert_eq!(rows(&*store, "old-one").await, 0);
    for filter in [
        json!({}),
        json!({ "status": "succeeded" }),
        json!({ "type": "steps" }),
    ] {
        assert_eq!(listed(&node, filter.clone()).await, 1, "{filter}");
    }
    assert_eq!(listed(&node, json!({ "label": "team=blue" })).await, 0);
    // Whoever still watches hears of it.
    let told = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
    match told.unwrap() {
        SubscriptionItem::Gap {
            seq: 0, snapshot, ..
        } => assert_eq!(&*snapshot, b"null"),
        other => panic!("{other:?}"),
    }
    // The id is free again.
    submit(&node, "old-one", body).await.unwrap();
    assert_eq!(
        ended(&node, "old-one").await.status,
        OperationStatus::Succeeded
    );
    assert_eq!(world.probe.executions("old-one/a"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_while_the_node_is_down_goes_at_its_start() {
    let world = two_days();
    let store = world.store();
    let node = world.node(&store).await;
    submit_steps(&node, "old-one", json!({ "steps": ["a"] })).await;
    ended(&node, "old-one").await;
    node.stop().await;
    drop(node);
    world.clock.advance(3 * DAY);
    let store = world.reopened(store).await;
    let node = world.node(&store).await;
    gone(&node, "old-one").await;
    assert_eq!(rows(&*store, "old-one").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_at_the_end_of_the_retention_counts() {
    let world = two_days();
    let store = world.store();
    let node = world.node(&store).await;
    for operation in ["short", "long"] {
        submit_steps(&node, operation, json!({ "steps": ["a"] })).await;
        ended(&node, operation).await;
    }
    set(
        &node,
        "steps",
        json!({ "retentionMs": 4 * 24 * 60 * 60 * 1_000 }),
    )
    .await;
    world.clock.advance(3 * DAY);
    // Another operation's timer of the same time shows that these have fired.
    submit_steps(&node, "later", json!({ "steps": ["a"] })).await;
    ended(&node, "later").await;
    assert!(get(&node, "long").await.is_ok());
    world.clock.advance(DAY);
    gone(&node, "short").await;
    gone(&node, "long").await;
    assert!(get(&node, "later").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_keeps_an_operation() {
    let world = two_days();
    let store = world.store();
    let node = world.node(&store).await;
    submit_steps(&node, "again", json!({ "steps": ["gate"] })).await;
    world.probe.reach().await;
    cancel(&node, "again").await.unwrap();
    ended(&node, "again").await;
    world.clock.advance(DAY);
    let none = OperationPayload::None;
    command(&node, "retry", "again", &json!({}), none)
        .await
        .unwrap();
    world.probe.reach().await;
    world.clock.advance(2 * DAY);
    world.probe.gate.add_permits(1);
    let found = ended(&node, "again").await;
    assert_eq!(found.status, OperationStatus::Succeeded);
    world.clock.advance(2 * DAY);
    gone(&node, "again").await;
}
