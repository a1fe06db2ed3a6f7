//! Attempts that other nodes execute: all that handlers do, and all that ends them.

use std::sync::atomic::Ordering;

use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::membership::Role;
use selvedge_node::app::Running;
use selvedge_node::operation::OperationPayload;
use serde_json::{Value, json};

use super::super::life::{live, signal, verb};
use super::super::payloads::{assert_digest, content, digest, stream};
use super::super::policies::set;
use super::super::world::*;
use super::*;

const CORE: &[Role] = &[Role::Core];
const PROCESSING: &[Role] = &[Role::Processing];
const BOTH: &[Role] = &[Role::Core, Role::Processing];

/// A node that owns all and runs nothing, and one that runs for it.
pub(super) async fn pair(cluster: &mut Cluster) -> (Node, Node) {
    let owner = cluster.node("owner", CORE).await;
    let runner = cluster.node("runner", PROCESSING).await;
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner, &runner]);
    (owner, runner)
}

/// Waits until `why` says that this node runs an operation.
pub(super) async fn runs_on(node: &Running, operation: &str, name: &str) {
    let on = format!(" on {name}");
    let running = async {
        while !why(node, operation).await.summary.contains(&on) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, running).await.unwrap();
}

fn is_empty(probe: &Probe) -> bool {
    probe.executed.lock().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_do_elsewhere_what_they_do_here() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    submit_steps(node, "plain", json!({ "steps": ["a", "b"] })).await;
    let done = finished(node, "plain", Status::Succeeded).await;
    assert_eq!(done.result.unwrap().get(), r#"{"steps":2}"#);
    assert_eq!(done.attempt, 1);
    assert_eq!(runner.probe.executions("plain/a"), 1);

    submit_steps(
        node,
        "retried",
        json!({ "steps": ["a", "b"], "failures": 2 }),
    )
    .await;
    assert_eq!(
        finished(node, "retried", Status::Succeeded).await.attempt,
        3
    );
    assert_eq!(runner.probe.executions("retried/a"), 1);
    submit_steps(
        node,
        "failed",
        json!({ "steps": ["a"], "failures": 9, "is_permanent": true, "says": "no" }),
    )
    .await;
    let failed = finished(node, "failed", Status::Failed)
        .await
        .error
        .unwrap();
    assert_eq!(
        (failed.message.as_str(), failed.step.as_deref()),
        ("no", Some("a"))
    );
    submit_steps(
        node,
        "panics",
        json!({ "steps": ["a"], "failures": 1, "panics": true }),
    )
    .await;
    assert_eq!(finished(node, "panics", Status::Succeeded).await.attempt, 2);

    live(node, "sleeps", json!([{ "sleep": 5 }, { "step": "a" }])).await;
    finished(node, "sleeps", Status::Succeeded).await;
    live(node, "sends", json!([{ "send": "c" }, { "send": "c" }])).await;
    finished(node, "sends", Status::Succeeded).await;
    live(
        node,
        "calls",
        json!([{ "call": { "input": { "acts": [{ "step": "a" }] } } }]),
    )
    .await;
    finished(node, "calls", Status::Succeeded).await;
    live(node, "new", json!([{ "asNew": 3 }])).await;
    finished(node, "new", Status::Succeeded).await;
    assert_eq!(runner.probe.executions("new/round"), 3);
    let undone =
        json!([{ "promise": "undo-one" }, { "step": "a" }, { "promise": "undo-twice" }, "fail"]);
    live(node, "undone", undone).await;
    finished(node, "undone", Status::Compensated).await;
    assert_eq!(runner.probe.executions("undone/undo-twice"), 2);
    assert_eq!(runner.probe.executions("undone/undo-one"), 1);
    assert!(is_empty(&owner.probe), "its owner runs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_reaches_the_handler_elsewhere() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    // A signal and a timer while a step is at work.
    live(node, "together", json!(["together"])).await;
    runner.probe.reach().await;
    runs_on(node, "together", "runner").await;
    signal(node, "together", "go", json!(7)).await;
    runner.probe.gate.add_permits(1);
    let done = finished(node, "together", Status::Succeeded).await;
    assert_eq!(done.result_as::<Value>().unwrap(), json!({ "data": 7 }));

    // Held, and let go on.
    live(node, "held", json!([{ "step": "gate" }, { "step": "b" }])).await;
    runner.probe.reach().await;
    verb(node, "pause", "held", json!({})).await.unwrap();
    runner.probe.gate.add_permits(1);
    let mut events = watch(node, "held").await;
    until(&mut events, "step.finished").await;
    assert_eq!(runner.probe.executions("held/b"), 0);
    verb(node, "resume", "held", json!({})).await.unwrap();
    finished(node, "held", Status::Succeeded).await;
    assert_eq!(runner.probe.executions("held/gate"), 1);

    // Cancelled, and what was done undone.
    live(
        node,
        "cancelled",
        json!([{ "step": "a" }, { "promise": "undo" }, { "step": "gate" }]),
    )
    .await;
    runner.probe.reach().await;
    cancel(node, "cancelled").await.unwrap();
    finished(node, "cancelled", Status::Compensated).await;
    assert_eq!(runner.probe.executions("cancelled/undo"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_read_elsewhere() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    cluster.tell(&[&owner, &runner]);
    let node = &owner.running;
    let large = content(9 << 20);
    let stored = content(3 << 20);
    digest(node, "stored", OperationPayload::Stored(stored.clone()))
        .await
        .unwrap();
    assert_digest(node, "stored", &stored).await;
    digest(node, "streamed", stream(&large, None, false))
        .await
        .unwrap();
    assert_digest(node, "streamed", &large).await;
    // Through an edge, the owner and to where it is read.
    digest(&runner.running, "far", stream(&large, Some(9 << 20), false))
        .await
        .unwrap();
    assert_digest(&runner.running, "far", &large).await;
    digest(node, "broken", stream(&stored, None, true))
        .await
        .unwrap();
    let mut events = watch(node, "broken").await;
    until(&mut events, "started").await;
    until(&mut events, "waiting").await;
    digest(node, "broken", stream(&stored, None, false))
        .await
        .unwrap();
    assert_digest(node, "broken", &stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_lost_with_its_node_is_run_again() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    submit_steps(node, "one", json!({ "steps": ["a", "gate"] })).await;
    runner.probe.reach().await;
    until(&mut watch(node, "one").await, "step.finished").await;
    let other = cluster.node("other", PROCESSING).await;
    cluster.tell(&[&owner, &runner, &other]);
    let before = Arc::clone(&runner.probe);
    drop(runner);
    cluster.bury("runner");
    cluster.tell(&[&owner, &other]);
    other.probe.reach().await;
    other.probe.gate.add_permits(1);
    finished(node, "one", Status::Succeeded).await;
    assert_eq!(
        (before.executions("one/a"), other.probe.executions("one/a")),
        (1, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_dropped_with_the_owner_of_its_operation() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    submit_steps(&owner.running, "one", json!({ "steps": ["a", "gate"] })).await;
    runner.probe.reach().await;
    until(&mut watch(&owner.running, "one").await, "step.finished").await;
    let next = cluster.node("next", CORE).await;
    drop(owner);
    cluster.bury("owner");
    cluster.give_all_to(&next).await;
    cluster.tell(&[&next, &runner]);
    // The next owner has it run once more, by the same node.
    runner.probe.reach().await;
    runner.probe.gate.add_permits(1);
    finished(&next.running, "one", Status::Succeeded).await;
    assert_eq!(runner.probe.executions("one/a"), 1);
    idle(&runner.probe).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_place_here_goes_where_there_is_one() {
    let mut world = World::new();
    world.concurrency = 2;
    let mut cluster = Cluster::of(world).await;
    let owner = cluster.node("owner", BOTH).await;
    let runner = cluster.node("runner", PROCESSING).await;
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner, &runner]);
    let node = &owner.running;
    for number in 0..10 {
        submit_steps(node, &format!("op{number}"), json!({ "steps": ["gate"] })).await;
    }
    for node in [&owner, &runner] {
        for _ in 0..2 {
            node.probe.reach().await;
        }
    }
    owner.probe.gate.add_permits(10);
    runner.probe.gate.add_permits(10);
    for number in 0..10 {
        finished(node, &format!("op{number}"), Status::Succeeded).await;
    }
    for node in [&owner, &runner] {
        assert_eq!(node.probe.running_max.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_run_waits_for_who_can() {
    let mut cluster = Cluster::new().await;
    let owner = cluster.node("owner", CORE).await;
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner]);
    let node = &owner.running;
    submit_steps(node, "one", json!({ "steps": ["a"] })).await;
    let waiting = async {
        while why(node, "one").await.waits[0].reason != "handler" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    let runner = cluster.node("runner", PROCESSING).await;
    cluster.tell(&[&owner, &runner]);
    finished(node, "one", Status::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_its_owner_has_no_code_for_runs_elsewhere() {
    let mut world = World::new();
    world.is_older = true;
    let mut cluster = Cluster::of(world).await;
    let owner = cluster.node("owner", BOTH).await;
    cluster.world.is_older = false;
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner]);
    let bytes = content(100_000);
    digest(
        &owner.running,
        "one",
        OperationPayload::Stored(bytes.clone()),
    )
    .await
    .unwrap();
    let found = get(&owner.running, "one").await.unwrap();
    assert_eq!(found.status, Status::Waiting);
    let runner = cluster.node("runner", PROCESSING).await;
    cluster.tell(&[&owner, &runner]);
    assert_digest(&owner.running, "one", &bytes).await;
    digest(&owner.running, "two", stream(&bytes, None, false))
        .await
        .unwrap();
    assert_digest(&owner.running, "two", &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_over_the_cluster_is_divided() {
    let mut cluster = Cluster::new().await;
    let one = cluster.node("one", BOTH).await;
    let two = cluster.node("two", PROCESSING).await;
    cluster.give_all_to(&one).await;
    cluster.tell(&[&one, &two]);
    let node = &one.running;
    set(node, "steps", json!({ "clusterConcurrency": 3 })).await;
    let steps = selvedge_protocol::OperationType::new("steps").unwrap();
    let known = async {
        while two.running.concurrency(&tenant(), &steps) != Some(1)
            || one.running.concurrency(&tenant(), &steps) != Some(2)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
    for number in 0..8 {
        submit_steps(node, &format!("op{number}"), json!({ "steps": ["gate"] })).await;
    }
    for probe in [&one.probe, &one.probe, &two.probe] {
        probe.reach().await;
    }
    one.probe.gate.add_permits(8);
    two.probe.gate.add_permits(8);
    for number in 0..8 {
        finished(node, &format!("op{number}"), Status::Succeeded).await;
    }
    assert_eq!(one.probe.running_max.load(Ordering::SeqCst), 2);
    assert_eq!(two.probe.running_max.load(Ordering::SeqCst), 1);
    // Alone, it has all of it.
    drop(two);
    cluster.bury("two");
    cluster.tell(&[&one]);
    let known = async {
        while one.running.concurrency(&tenant(), &steps) != Some(3) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_in_order_loses_nothing() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    submit_steps(node, "one", json!({ "steps": ["a", "gate"] })).await;
    runner.probe.reach().await;
    let other = cluster.node("other", PROCESSING).await;
    cluster.tell(&[&owner, &runner, &other]);
    runner.running.stop().await;
    other.probe.reach().await;
    other.probe.gate.add_permits(1);
    finished(node, "one", Status::Succeeded).await;
    assert_eq!(
        (
            runner.probe.executions("one/a"),
            other.probe.executions("one/a")
        ),
        (1, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_lets_the_step_at_work_elsewhere_finish_and_no_other_begin() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    let steps: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
    for round in 0..20 {
        let operation = format!("op{round}");
        submit_steps(node, &operation, json!({ "steps": steps })).await;
        let mut events = watch(node, &operation).await;
        // Each round at another step, the first one before any.
        for _ in 0..round {
            until(&mut events, "step.finished").await;
        }
        verb(node, "pause", &operation, json!({})).await.unwrap();
        until(&mut events, "paused").await;
        idle(&runner.probe).await;
        verb(node, "resume", &operation, json!({})).await.unwrap();
        let (meanwhile, _) = until(&mut events, "resumed").await;
        let finished = meanwhile.iter().filter(|name| *name == "step.finished");
        assert!(finished.count() <= 1, "{meanwhile:?}");
        finished_once(node, &operation, &runner.probe, &steps).await;
    }
}

async fn finished_once(node: &Running, operation: &str, probe: &Probe, steps: &[String]) {
    finished(node, operation, Status::Succeeded).await;
    for step in steps {
        assert_eq!(probe.executions(&format!("{operation}/{step}")), 1);
    }
}

/// Completes when no handler is there any more.
async fn idle(probe: &Probe) {
    let idle = async {
        while probe.running.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, idle)
        .await
        .expect("a handler lives on");
}

/// Sooner than an owner gives a node up that was told to stop (5 s).
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_what_runs_elsewhere_at_once() {
    let mut cluster = Cluster::new().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    submit_steps(node, "one", json!({ "steps": ["a", "forever"] })).await;
    runner.probe.reach().await;
    let begun = cluster.world.clock.monotonic();
    cancel(node, "one").await.unwrap();
    finished(node, "one", Status::Cancelled).await;
    idle(&runner.probe).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_lets_the_step_of_another_node_finish() {
    let mut cluster = Cluster::of(World {
        step_grace: Some(PATIENCE),
        ..World::new()
    })
    .await;
    let (owner, runner) = pair(&mut cluster).await;
    submit_steps(&owner.running, "one", json!({ "steps": ["gate", "b"] })).await;
    runner.probe.reach().await;
    let other = cluster.node("other", PROCESSING).await;
    cluster.tell(&[&owner, &runner, &other]);
    // The stop has begun when the step may go on.
    tokio::join!(runner.running.stop(), async {
        runner.probe.gate.add_permits(1);
    });
    let done = finished(&owner.running, "one", Status::Succeeded).await;
    assert_eq!(done.attempt, 1);
    let executions = |node: &Node, step| node.probe.executions(&format!("one/{step}"));
    assert_eq!(executions(&runner, "gate"), 1);
    assert_eq!(executions(&other, "gate"), 0);
    assert_eq!(executions(&other, "b"), 1);
}
