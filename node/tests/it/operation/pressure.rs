//! More than the pools hold, handlers that say too much, and a store that fails commits.

use std::sync::Arc;

use futures::future::join_all;
use selvedge_client::operation::OperationStatus;
use selvedge_cluster::Clock;
use selvedge_cluster::store::Store;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::limits::{MESSAGE_BYTES_MAX, OPERATION_QUEUE_MAX};
use serde_json::{Value, json};

use super::faults::Faulty;
use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_a_queue_is_found_in_the_store() {
    let mut world = World::new();
    world.concurrency = 64;
    let node = world.node(&world.store()).await;
    let count = OPERATION_QUEUE_MAX + world.concurrency + 100;
    let names: Vec<_> = (0..count).map(|number| format!("op{number}")).collect();
    let input = || json!({ "steps": ["gate"] });
    join_all(names.iter().map(|name| submit_steps(&node, name, input()))).await;
    world.probe.gate.add_permits(count);
    for name in &names {
        assert_eq!(ended(&node, name).await.status, OperationStatus::Succeeded);
        assert_eq!(world.probe.executions(&format!("{name}/gate")), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_end_well_on_a_store_that_fails_commits() {
    const OPERATIONS: usize = 40;
    let world = World::new();
    let faulty = Arc::new(Faulty {
        inner: world.store() as Arc<dyn Store>,
        dice: Clock::system(),
        percent: 20,
        is_exclusive: true,
    });
    let node = loop {
        let store = Arc::clone(&faulty) as Arc<dyn Store>;
        if let Ok(node) = world.node_on(store).await {
            break node;
        }
    };
    let names: Vec<_> = (0..OPERATIONS)
        .map(|number| format!("op{number}"))
        .collect();
    join_all(names.iter().map(|name| submit_surely(&node, name))).await;
    for name in &names {
        let done = ended(&node, name).await;
        assert_eq!(done.status, OperationStatus::Succeeded, "{done:?}");
        assert_eq!(done.result.unwrap().get(), r#"{"steps":3}"#);
        let steps: Vec<_> = done.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(steps, ["a", "b", "c"]);
        // Each step is told once: those that ran again had not been reported.
        let (told, _) = until(&mut watch(&node, name).await, "succeeded").await;
        let finished = told.iter().filter(|event| *event == "step.finished");
        assert_eq!(finished.count(), 3, "{told:?}");
    }
}

async fn submit_surely(node: &selvedge_node::app::Running, name: &str) {
    let body = json!({ "type": "steps", "input": { "steps": ["a", "b", "c"] } });
    while let Err(failure) = submit(node, name, body.clone()).await {
        assert_eq!(failure.code, ErrorCode::Unavailable, "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_says_too_much_is_cut_short() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let long = "ä".repeat(100_000);
    let body = json!({ "type": "steps", "input": { "steps": [long] } });
    submit(&node, "name", body).await.unwrap();
    let failed = finished(&node, "name", OperationStatus::Failed).await;
    assert_eq!(failed.error.unwrap().code, "invalid_step");
    let input = json!({ "steps": ["a"], "failures": 9, "is_permanent": true, "says": long });
    submit_steps(&node, "message", input).await;
    let failed = finished(&node, "message", OperationStatus::Failed).await;
    let message = failed.error.unwrap().message;
    assert!((MESSAGE_BYTES_MAX - 3..=MESSAGE_BYTES_MAX).contains(&message.len()));
    let page: Value = list(&node, json!({})).await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}
