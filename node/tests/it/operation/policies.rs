//! Policies as data: set, shown, cleared, refused; in force at once, and after a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use selvedge_client::operation::OperationStatus;
use selvedge_cluster::actor::{
    CommandRequest, Identity, Origin, QueryRequest, ScopedAddress, Subscription,
};
use selvedge_node::app::Running;
use selvedge_node::processing::{QueueState, WaitingFor};
use selvedge_protocol::frame::{Consistency, Since};
use selvedge_protocol::{ErrorCode, Failure, OperationType, Tenant};
use serde_json::{Value, json};

use super::world::*;

fn policy(subject: &str) -> ScopedAddress {
    ScopedAddress {
        tenant: Tenant::default_tenant(),
        address: format!("policy/{subject}").parse().unwrap(),
    }
}

/// A client's command to a policy.
async fn change(node: &Running, subject: &str, name: &str, body: Value) -> Result<Value, Failure> {
    change_in(node, "default", subject, name, body).await
}

/// The same in any tenant.
pub(super) async fn change_in(
    node: &Running,
    tenant: &str,
    subject: &str,
    name: &str,
    body: Value,
) -> Result<Value, Failure> {
    let mut actor = policy(subject);
    actor.tenant = Tenant::new(tenant).unwrap();
    let request = CommandRequest {
        actor,
        principal: Arc::from("tester"),
        origin: Origin::Client(None),
        identity: Identity::Natural,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        payload: None,
        if_version: None,
        deadline: None,
    };
    let body = answered(|reply| node.host.command(request, reply)).await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

pub(super) async fn set(node: &Running, subject: &str, patch: Value) -> Value {
    change(node, subject, "set", patch).await.unwrap()
}

pub(super) async fn shown(node: &Running, subject: &str) -> Result<Value, Failure> {
    let request = QueryRequest {
        actor: policy(subject),
        name: "get".to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline: None,
    };
    let body = answered(|reply| node.host.query(request, reply)).await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

/// How an operation of the type `steps` stands once it is queued.
pub(super) async fn queued(node: &Running, operation: &str) -> QueueState {
    let name = OperationType::new("steps").unwrap();
    loop {
        if let Some(state) = node.queue_state(&actor(operation), &name) {
            return state;
        }
        tokio::task::yield_now().await;
    }
}

async fn changes(node: &Running, subject: &str) -> Subscription {
    let since = Since::After(0);
    node.host.subscribe(policy(subject), since).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_shows_what_is_changed_by_whom_and_what_is_in_force() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let before = shown(&node, "steps").await.unwrap();
    assert_eq!(before["type"], "steps");
    assert_eq!(before["patch"], json!({}));
    assert_eq!(before["effective"]["concurrency"], 4);
    assert_eq!(before["changedBy"], Value::Null);

    let patch = json!({ "concurrency": 2, "breaker": { "failures": 3 } });
    let answer = set(&node, "steps", patch.clone()).await;
    assert_eq!(answer["patch"], patch);
    assert_eq!(answer["effective"]["concurrency"], 2);
    assert_eq!(answer["effective"]["breaker"]["openMs"], 30_000);
    assert_eq!(answer["changedBy"], "tester");
    assert!(answer["changedAt"].as_str().unwrap().ends_with('Z'));
    // Without a breaker's state in the answer: it is there once the change is in force.
    let after = shown(&node, "steps").await.unwrap();
    assert_eq!(after["patch"], answer["patch"]);

    let answer = set(
        &node,
        "steps",
        json!({ "concurrency": null, "stepTimeoutMs": 9 }),
    )
    .await;
    let patch = json!({ "breaker": { "failures": 3 }, "stepTimeoutMs": 9 });
    assert_eq!(answer["patch"], patch);
    // The same again changes nothing, and is not told.
    set(&node, "steps", json!({ "stepTimeoutMs": 9 })).await;
    let answer = change(&node, "steps", "reset", json!({})).await.unwrap();
    assert_eq!(answer["patch"], json!({}));
    assert_eq!(answer["effective"], before["effective"]);

    let mut events = changes(&node, "steps").await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let (names, data) = until(&mut events, "policy.changed").await;
        assert_eq!((names.len(), &data["principal"]), (1, &json!("tester")));
        told.push(data);
    }
    assert_eq!(told[0]["before"], json!({}));
    assert_eq!(told[1]["before"], told[0]["after"]);
    assert_eq!(told[2]["before"], patch);
    assert_eq!(told[2]["after"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_policies_are_refused_by_field() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    for (subject, name, body, code, field) in [
        (
            "steps",
            "set",
            json!({ "concurrency": 0 }),
            ErrorCode::Invalid,
            Some("concurrency"),
        ),
        (
            "steps",
            "set",
            json!({ "retry": { "tries": 1 } }),
            ErrorCode::Invalid,
            Some("retry.tries"),
        ),
        (
            "steps",
            "set",
            json!("fast"),
            ErrorCode::Invalid,
            Some("body"),
        ),
        (
            "steps",
            "reset",
            json!({ "concurrency": 1 }),
            ErrorCode::Invalid,
            Some("body"),
        ),
        (
            "Steps!",
            "set",
            json!({ "concurrency": 1 }),
            ErrorCode::Invalid,
            Some("key"),
        ),
        ("steps", "unset", json!({}), ErrorCode::UnknownCommand, None),
    ] {
        let refused = change(&node, subject, name, body).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.field.as_deref()),
            (code, field),
            "{refused}"
        );
        assert!(!refused.message.is_empty());
    }
    assert_eq!(shown(&node, "steps").await.unwrap()["patch"], json!({}));
    assert_eq!(code(shown(&node, "stairs").await), ErrorCode::NotFound);
    // A type that runs elsewhere may have a policy.
    let answer = set(&node, "stairs", json!({ "concurrency": 1 })).await;
    assert_eq!(answer["effective"], Value::Null);
    assert!(shown(&node, "stairs").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_at_once_and_after_a_restart() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    set(&node, "*", json!({ "concurrency": 3 })).await;
    set(&node, "steps", json!({ "concurrency": 1 })).await;
    for number in 0..6 {
        submit_steps(&node, &format!("op{number}"), json!({ "steps": ["gate"] })).await;
    }
    world.probe.reach().await;
    let waiting = queued(&node, "op5").await;
    assert_eq!(waiting.waiting_for, WaitingFor::Concurrency { limit: 1 });
    assert_eq!(waiting.position, 5);
    node.stop().await;
    drop(node);

    // All six are found in the store at once.
    let node = world.node(&world.reopened(store).await).await;
    world.probe.reach().await;
    world.probe.gate.add_permits(6);
    for number in 0..6 {
        finished(&node, &format!("op{number}"), OperationStatus::Succeeded).await;
    }
    assert_eq!(world.probe.running_max.load(Ordering::SeqCst), 1);

    for _ in 0..5 {
        world.probe.reach().await;
    }
    // What is set for the type is gone; what is set for all types stays.
    change(&node, "steps", "reset", json!({})).await.unwrap();
    for number in 0..4 {
        submit_steps(
            &node,
            &format!("more{number}"),
            json!({ "steps": ["gate"] }),
        )
        .await;
    }
    for _ in 0..3 {
        world.probe.reach().await;
    }
    let waiting = queued(&node, "more3").await;
    assert_eq!(waiting.waiting_for, WaitingFor::Concurrency { limit: 3 });
    change(&node, "*", "reset", json!({})).await.unwrap();
    world.probe.reach().await;
    assert_eq!(world.probe.running_max.load(Ordering::SeqCst), 4);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_decided_by_the_policy_of_the_moment() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let input = || json!({ "steps": ["gate"], "failures": 9 });
    for (name, patch) in [
        ("attempts", json!({ "retry": { "attemptsMax": 1 } })),
        (
            "codes",
            json!({ "retry": { "attemptsMax": null, "finalCodes": ["handler"] } }),
        ),
    ] {
        submit_steps(&node, name, input()).await;
        world.probe.reach().await;
        set(&node, "steps", patch).await;
        world.probe.gate.add_permits(1);
        let failed = finished(&node, name, OperationStatus::Failed).await;
        assert_eq!(failed.attempt, 1, "{name}");
    }
    change(&node, "steps", "reset", json!({})).await.unwrap();
    submit_steps(&node, "before", input()).await;
    world.probe.gate.add_permits(3);
    let failed = finished(&node, "before", OperationStatus::Failed).await;
    assert_eq!(failed.attempt, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_for_its_start_fails() {
    let mut world = World::new();
    world.concurrency = 1;
    let node = world.node(&world.store()).await;
    submit_steps(&node, "first", json!({ "steps": ["gate"] })).await;
    world.probe.reach().await;
    submit_steps(&node, "early", json!({ "steps": ["a"] })).await;
    queued(&node, "early").await;
    // Counts for what waits already, and for what comes.
    set(&node, "steps", json!({ "queueTimeoutMs": 20 })).await;
    submit_steps(&node, "late", json!({ "steps": ["a"] })).await;
    for name in ["early", "late"] {
        let failed = finished(&node, name, OperationStatus::Failed).await;
        assert_eq!(failed.error.unwrap().code, "queue_timeout");
        assert_eq!((failed.attempt, failed.steps.len()), (0, 0));
        let (told, _) = until(&mut watch(&node, name).await, "failed").await;
        assert_eq!(told, ["submitted", "failed"]);
        assert_eq!(world.probe.executions(&format!("{name}/a")), 0);
    }
    world.probe.gate.add_permits(1);
    finished(&node, "first", OperationStatus::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_bounds_starts_and_holds_no_stop_back() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    let hour_ms = 3_600_000;
    let patch = json!({ "rate": { "operations": 2, "periodMs": hour_ms } });
    set(&node, "steps", patch).await;
    for name in ["one", "two"] {
        submit_steps(&node, name, json!({ "steps": ["a"] })).await;
        finished(&node, name, OperationStatus::Succeeded).await;
    }
    for name in ["three", "four"] {
        submit_steps(&node, name, json!({ "steps": ["a"] })).await;
    }
    let now_ms = selvedge_cluster::Clock::system().wall_ms();
    let waiting = queued(&node, "four").await.waiting_for;
    assert!(
        matches!(waiting, WaitingFor::Rate { until_ms } if until_ms > now_ms),
        "{waiting:?}"
    );
    // One of those that wait is cancelled, the other goes on once nothing bounds it.
    cancel(&node, "three").await.unwrap();
    node.stop().await;
    drop(node);
    let node = world.node(&world.reopened(store).await).await;
    set(&node, "steps", json!({ "rate": null })).await;
    finished(&node, "four", OperationStatus::Succeeded).await;
    assert_eq!(world.probe.executions("three/a"), 0);
}
