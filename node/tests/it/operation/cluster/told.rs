//! What nodes tell each other of operations: that they have ended, their policies, their streamed payloads.

use std::sync::atomic::Ordering;

use selvedge_client::operation::OperationStatus;
use selvedge_cluster::membership::Role;
use selvedge_node::operation::OperationPayload;
use selvedge_node::processing::WaitingFor;
use selvedge_protocol::ErrorCode;
use serde_json::json;
use tokio::sync::mpsc;

use super::super::payloads::{assert_digest, content, digest, stream};
use super::super::policies::{queued, set};
use super::super::world::*;
use super::*;

const ALL: &[Role] = &[Role::Core, Role::Processing];

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_on_another_node_is_answered_though_the_owner_changes() {
    let mut cluster = Cluster::new().await;
    let one = cluster.node("one", ALL).await;
    let two = cluster.node("two", ALL).await;
    let other = cluster.node("other", &[Role::Edge]).await;
    cluster.give_all_to(&one).await;
    cluster.tell(&[&one, &two, &other]);
    submit_steps(&other.running, "first", json!({ "steps": ["gate"] })).await;
    one.probe.reach().await;
    let waiting = ended(&other.running, "first");
    let release = async {
        // Once it is parked at its owner, or about to be.
        tokio::task::yield_now().await;
        one.probe.gate.add_permits(1);
    };
    let (done, ()) = tokio::join!(waiting, release);
    assert_eq!(done.status, OperationStatus::Succeeded);
    // One that is final already, and one that is not there.
    assert_eq!(ended(&other.running, "first").await.status, done.status);
    let missing = answered(|reply| {
        let (tenant, name) = (
            selvedge_protocol::Tenant::default_tenant(),
            "wait".to_owned(),
        );
        let operations = &other.running.operations;
        operations.query(tenant, &id("none"), name, bytes::Bytes::new(), None, reply);
    });
    assert_eq!(code(missing.await), ErrorCode::NotFound);

    submit_steps(&other.running, "second", json!({ "steps": ["a", "gate"] })).await;
    one.probe.reach().await;
    let waits = [
        ended(&other.running, "second"),
        ended(&one.running, "second"),
    ];
    let moves = async {
        cluster.give_up(&one).await;
        cluster.give_all_to(&two).await;
        cluster.tell(&[&one, &two, &other]);
        two.probe.reach().await;
        two.probe.gate.add_permits(1);
    };
    let (done, ()) = tokio::join!(futures::future::join_all(waits), moves);
    for done in done {
        assert_eq!(done.status, OperationStatus::Succeeded);
    }
    assert_eq!(one.probe.executions("second/a"), 1);
    assert_eq!(two.probe.executions("second/a"), 0, "it had finished");
    // The handler at the old owner was dropped.
    while one.probe.running.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_in_force_on_all_nodes() {
    let mut cluster = Cluster::new().await;
    let one = cluster.node("one", ALL).await;
    let two = cluster.node("two", ALL).await;
    cluster.give_all_to(&one).await;
    cluster.tell(&[&one, &two]);
    set(&two.running, "steps", json!({ "concurrency": 1 })).await;
    // Told before the answer to the next command, or soon after; then without the node that told it.
    let is_known = async {
        let steps = selvedge_protocol::OperationType::new("steps").unwrap();
        while two.running.concurrency(&tenant(), &steps) != Some(1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), is_known)
        .await
        .expect("before it is read again");
    cluster.give_up(&one).await;
    drop(one);
    cluster.bury("one");
    cluster.give_all_to(&two).await;
    cluster.tell(&[&two]);
    for operation in ["a", "b"] {
        submit_steps(&two.running, operation, json!({ "steps": ["gate"] })).await;
    }
    two.probe.reach().await;
    let state = queued(&two.running, "b").await;
    assert_eq!(state.waiting_for, WaitingFor::Concurrency { limit: 1 });
    two.probe.gate.add_permits(2);
    for operation in ["a", "b"] {
        finished(&two.running, operation, OperationStatus::Succeeded).await;
    }
    assert_eq!(two.probe.running_max.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_payloads_reach_the_owner() {
    let mut cluster = Cluster::new().await;
    let owner = cluster.node("owner", ALL).await;
    let edge = cluster.node("edge", &[Role::Edge]).await;
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner, &edge]);
    for (name, length, is_announced) in [
        ("none", 0, true),
        ("some", 100_000, false),
        ("much", 9 << 20, true),
    ] {
        let bytes = content(length);
        let announced = is_announced.then_some(length as u64);
        let payload = stream(&bytes, announced, false);
        digest(&edge.running, name, payload).await.unwrap();
        assert_digest(&edge.running, name, &bytes).await;
    }
    // One that breaks is asked for again.
    let bytes = content(300_000);
    digest(&edge.running, "broken", stream(&bytes, None, true))
        .await
        .unwrap();
    let mut events = watch(&edge.running, "broken").await;
    until(&mut events, "started").await;
    until(&mut events, "waiting").await;
    digest(&edge.running, "broken", stream(&bytes, None, false))
        .await
        .unwrap();
    assert_digest(&edge.running, "broken", &bytes).await;
    // A submit that is refused lets go of its payload.
    let (sender, chunks) = mpsc::channel(1);
    let payload = OperationPayload::Streamed {
        length: None,
        chunks,
    };
    let body = json!({ "type": "digest", "labels": { "": "" } });
    let refused = command(&edge.running, "submit", "refused", &body, payload).await;
    assert_eq!(code(refused), ErrorCode::Invalid);
    tokio::time::timeout(PATIENCE, sender.closed())
        .await
        .unwrap();
}
