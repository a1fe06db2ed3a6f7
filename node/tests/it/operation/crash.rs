//! Nodes that end: dropped in mid-work, stopped, replaced. What is finished stays finished.

use selvedge_client::operation::OperationStatus;
use serde_json::json;

use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_first_unfinished_step_is_next() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    submit_steps(&node, "one", json!({ "steps": ["a", "b", "gate", "c"] })).await;
    world.probe.reach().await;
    drop(node);

    let node = world.node(&store).await;
    world.probe.reach().await;
    world.probe.gate.add_permits(1);
    let done = finished(&node, "one", OperationStatus::Succeeded).await;
    assert_eq!(done.attempt, 2);
    let executions =
        ["a", "b", "gate", "c"].map(|step| world.probe.executions(&format!("one/{step}")));
    assert_eq!(executions, [1, 1, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_no_failure_and_a_reopened_store_goes_on() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    for number in 0..10 {
        submit_steps(
            &node,
            &format!("op{number}"),
            json!({ "steps": ["a", "gate"] }),
        )
        .await;
    }
    world.probe.reach().await;
    node.stop().await;
    drop(node);

    let node = world.node(&world.reopened(store).await).await;
    world.probe.gate.add_permits(10);
    for number in 0..10 {
        finished(&node, &format!("op{number}"), OperationStatus::Succeeded).await;
        assert_eq!(world.probe.executions(&format!("op{number}/a")), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_carried_out_after_a_crash() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    submit_steps(&node, "one", json!({ "steps": ["forever"] })).await;
    world.probe.reach().await;
    assert_eq!(cancel(&node, "one").await.unwrap()["status"], "cancelling");
    drop(node);
    let node = world.node(&store).await;
    finished(&node, "one", OperationStatus::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_nobody_knows_waits_for_a_binary_that_does() {
    let mut world = World::new();
    world.is_older = true;
    let store = world.store();
    let node = world.node(&store).await;
    let body = json!({ "type": "digest", "input": {} });
    let submitted = submit(&node, "one", body).await.unwrap();
    assert_eq!(submitted["status"], "waiting");
    assert!(
        submitted["waitingFor"]
            .as_str()
            .unwrap()
            .starts_with("handler")
    );
    node.stop().await;
    drop(node);
    world.is_older = false;
    let node = world.node(&store).await;
    finished(&node, "one", OperationStatus::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passivated_operation_keeps_its_runner() {
    let mut world = World::new();
    world.idle_ms = 1;
    let node = world.node(&world.store()).await;
    submit_steps(&node, "one", json!({ "steps": ["a", "gate", "b"] })).await;
    world.probe.reach().await;
    // Many others come and go meanwhile.
    for number in 0..50 {
        let name = format!("other{number}");
        submit_steps(&node, &name, json!({ "steps": ["a"] })).await;
        finished(&node, &name, OperationStatus::Succeeded).await;
    }
    assert_eq!(
        get(&node, "one").await.unwrap().status,
        OperationStatus::Running
    );
    world.probe.gate.add_permits(1);
    let done = finished(&node, "one", OperationStatus::Succeeded).await;
    assert_eq!((done.attempt, world.probe.executions("one/gate")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_step_at_work_finish_and_no_other_begin() {
    let world = World {
        step_grace: Some(PATIENCE),
        ..World::new()
    };
    let store = world.store();
    let node = world.node(&store).await;
    submit_steps(&node, "one", json!({ "steps": ["gate", "b"] })).await;
    world.probe.reach().await;
    // The stop has begun when the step may go on.
    tokio::join!(node.stop(), async { world.probe.gate.add_permits(1) });
    drop(node);
    let executions = || ["gate", "b"].map(|step| world.probe.executions(&format!("one/{step}")));
    assert_eq!(executions(), [1, 0]);

    let node = world.node(&store).await;
    let done = finished(&node, "one", OperationStatus::Succeeded).await;
    assert_eq!(executions(), [1, 1]);
    assert_eq!(done.attempt, 1);
}
