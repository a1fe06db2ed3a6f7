//! What handlers can do besides steps: sleep, wait for signals, call, send, promise to undo, go on as new;
//! and what clients can do to their operations meanwhile.

use std::time::Duration;

use selvedge_client::operation::OperationStatus as Status;
use selvedge_node::operation::OperationPayload;
use selvedge_node::processing::{Handler, HandlerError, OperationContext};
use selvedge_protocol::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::world::*;

/// Does one thing after the other, as its input says.
pub(crate) struct Life(pub(crate) std::sync::Arc<Probe>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Act {
    Step(String),
    /// Milliseconds.
    Sleep(u64),
    Signal {
        name: String,
        timeout: Option<u64>,
    },
    /// An operation of this type, with this life.
    Call {
        input: Value,
    },
    /// Adds to a counter.
    Send(String),
    /// A command that the counter does not have.
    SendWrong {
        to: String,
        bytes: usize,
    },
    Promise(String),
    Fail,
    /// Side by side: a step, a sleep and a signal.
    Together,
    /// So many more rounds.
    AsNew(u64),
    /// A step that says again and again that it is alive, for three times as long as it may be silent.
    Alive,
    /// A step that says so once, and nothing more.
    Silent,
}

#[derive(Debug, Deserialize)]
struct Input {
    acts: Vec<Act>,
}

impl Life {
    async fn step(&self, context: &OperationContext, name: &str) -> Result<(), HandlerError> {
        let key = format!("{}/{name}", context.operation_id());
        let probe = &self.0;
        let gate = name.to_owned();
        context
            .step(name, || async move {
                *probe.executed.lock().entry(key).or_insert(0) += 1;
                if gate.starts_with("gate") {
                    probe.reached.add_permits(1);
                    probe.gate.acquire().await?.forget();
                }
                Ok(())
            })
            .await
    }
}

async fn beat(context: &OperationContext) -> Result<(), HandlerError> {
    let mut beats = tokio::time::interval(HEARTBEAT / 10);
    for _ in 0..30 {
        beats.tick().await;
        context.heartbeat();
    }
    Ok(())
}

async fn fall_silent(context: &OperationContext) -> Result<(), HandlerError> {
    context.heartbeat();
    std::future::pending().await
}

impl Handler for Life {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let input: Input = context.input()?;
        let mut last = Value::Null;
        for (at, act) in input.acts.iter().enumerate() {
            let name = format!("act{at}");
            match act {
                Act::Step(name) => self.step(&context, name).await?,
                Act::Sleep(ms) => {
                    let time = Duration::from_millis(*ms);
                    context.sleep(&name, time).await?;
                }
                Act::Signal {
                    name: signal,
                    timeout,
                } => {
                    let timeout = timeout.map(Duration::from_millis);
                    let data: Option<Value> = context.wait_signal(&name, signal, timeout).await?;
                    last = json!({ "data": data });
                }
                Act::Call { input } => {
                    let operation_type = "life".parse()?;
                    last = context.call(&name, &operation_type, input).await?;
                }
                Act::Send(counter) => {
                    let actor = format!("counter/{counter}").parse()?;
                    let body = json!({ "by": 1 });
                    context.send(&name, &actor, "add", &body).await?;
                }
                Act::SendWrong { to, bytes } => {
                    let body = json!({ "filler": "x".repeat(*bytes) });
                    context.send(&name, &to.parse()?, "nonsense", &body).await?;
                }
                Act::Promise(undo) => context.compensate(undo, undo).await?,
                Act::Fail => return Err(HandlerError::permanent("as told").with_code("told")),
                Act::Together => {
                    let (step, sleep, signal) = tokio::join!(
                        self.step(&context, "gate"),
                        context.sleep("nap", Duration::from_millis(1)),
                        context.wait_signal::<Value>("word", "go", None),
                    );
                    step?;
                    sleep?;
                    last = json!({ "data": signal? });
                }
                Act::Alive => context.step(&name, || beat(&context)).await?,
                Act::Silent => context.step(&name, || fall_silent(&context)).await?,
                Act::AsNew(0) => {}
                Act::AsNew(rounds) => {
                    self.step(&context, "round").await?;
                    let acts = json!({ "acts": [{ "asNew": rounds - 1 }] });
                    return Err(context.continue_as_new(&acts));
                }
            }
        }
        Ok(last)
    }

    async fn compensate(
        &self,
        context: OperationContext,
        name: String,
        data: Value,
    ) -> Result<(), HandlerError> {
        assert_eq!(data, json!(name));
        let mut executed = self.0.executed.lock();
        let order = executed.keys().filter(|key| key.contains("/undo")).count();
        let key = format!("{}/{name}", context.operation_id());
        let times = executed.entry(key).or_insert(0);
        *times += 1;
        if name.ends_with("twice") && *times == 1 {
            return Err(HandlerError::retryable("not yet"));
        }
        if name.ends_with("never") {
            return Err(HandlerError::permanent("it cannot be undone"));
        }
        executed.insert(format!("order{order}"), name.len());
        Ok(())
    }
}

/// Completes when the operation is not in memory.
async fn gone(node: &selvedge_node::app::Running, operation: &str) {
    let leaving = async {
        while node.host.is_activated(&actor(operation)) {
            tokio::task::yield_now().await;
        }
    };
    let leaving = tokio::time::timeout(Duration::from_secs(20), leaving);
    leaving.await.expect("a waiting operation stays in memory");
}

pub(super) async fn live(node: &selvedge_node::app::Running, operation: &str, acts: Value) {
    let body = json!({ "type": "life", "input": { "acts": acts } });
    submit(node, operation, body).await.unwrap();
}

pub(super) async fn verb(
    node: &selvedge_node::app::Running,
    name: &str,
    operation: &str,
    body: Value,
) -> Result<Value, selvedge_protocol::Failure> {
    command(node, name, operation, &body, OperationPayload::None).await
}

pub(super) async fn signal(
    node: &selvedge_node::app::Running,
    operation: &str,
    name: &str,
    data: Value,
) {
    let body = json!({ "name": name, "data": data });
    verb(node, "signal", operation, body).await.unwrap();
}

fn result(operation: &selvedge_client::operation::Operation) -> Value {
    operation.result_as().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_outlasts_the_node_and_costs_no_place_in_the_pool() {
    let mut world = World::timed();
    world.concurrency = 1;
    let store = world.store();
    let node = world.node(&store).await;
    let acts = json!([{ "step": "a" }, { "sleep": 100_000 }, { "step": "b" }]);
    live(&node, "long", acts).await;
    let mut events = watch(&node, "long").await;
    until(&mut events, "waiting").await;
    let found = get(&node, "long").await.unwrap();
    assert_eq!(found.status, Status::Waiting);
    assert!(found.waiting_for.unwrap().starts_with("timer: "));
    let why = why(&node, "long").await;
    assert_eq!(why.waits.len(), 1, "{why:?}");
    assert_eq!(why.waits[0].reason, "timer");
    assert_eq!(why.waits[0].step.as_deref(), Some("act1"));
    assert_eq!(
        why.waits[0].since.as_deref(),
        Some("2023-11-14T22:13:20.000Z")
    );
    assert_eq!(
        why.waits[0].until.as_deref(),
        Some("2023-11-14T22:15:00.000Z")
    );
    assert_eq!(why.last_step.as_deref(), Some("a"));
    // It is not in memory, and its only runner is free.
    gone(&node, "long").await;
    live(&node, "short", json!([{ "step": "a" }])).await;
    finished(&node, "short", Status::Succeeded).await;
    drop(node);

    // The time passes while no node is there.
    world.clock.advance(Duration::from_secs(200));
    let node = world.node(&store).await;
    let long = finished(&node, "long", Status::Succeeded).await;
    assert_eq!(long.attempt, 1, "a wait is no attempt");
    assert_eq!(world.probe.executions("long/a"), 1);
    assert_eq!(world.probe.executions("long/b"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_jumps_neither_lose_nor_double_a_timer() {
    let world = World::timed();
    let store = world.store();
    let node = world.node(&store).await;
    let day = Duration::from_secs(24 * 60 * 60);
    live(&node, "one", json!([{ "sleep": 1_000 }, { "step": "a" }])).await;
    until(&mut watch(&node, "one").await, "waiting").await;
    world.clock.advance(day);
    finished(&node, "one", Status::Succeeded).await;
    live(&node, "two", json!([{ "sleep": 1_000 }, { "step": "a" }])).await;
    until(&mut watch(&node, "two").await, "waiting").await;
    world.clock.retreat(day);
    drop(node);
    let node = world.node(&store).await;
    // It is a day and a second away now, not lost.
    assert_eq!(get(&node, "two").await.unwrap().status, Status::Waiting);
    world.clock.advance(day + Duration::from_secs(2));
    finished(&node, "two", Status::Succeeded).await;
    assert_eq!(world.probe.executions("two/a"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_who_waits_now_later_or_before() {
    let world = World::timed();
    let store = world.store();
    let node = world.node(&store).await;
    // Before it is waited for, and through a crash.
    live(
        &node,
        "early",
        json!([{ "step": "gate" }, { "signal": { "name": "go" } }]),
    )
    .await;
    world.probe.reach().await;
    signal(&node, "early", "go", json!(7)).await;
    drop(node);
    let node = world.node(&store).await;
    world.probe.reach().await;
    world.probe.gate.add_permits(1);
    let early = finished(&node, "early", Status::Succeeded).await;
    assert_eq!(result(&early), json!({ "data": 7 }));

    // While it waits, and another signal does not count.
    live(&node, "now", json!([{ "signal": { "name": "go" } }])).await;
    until(&mut watch(&node, "now").await, "waiting").await;
    signal(&node, "now", "other", Value::Null).await;
    signal(&node, "now", "go", json!({ "by": "ann" })).await;
    let now = finished(&node, "now", Status::Succeeded).await;
    assert_eq!(result(&now), json!({ "data": { "by": "ann" } }));
    assert_eq!(now.attempt, 1);

    // Never.
    let acts = json!([{ "signal": { "name": "go", "timeout": 5_000 } }]);
    live(&node, "never", acts).await;
    until(&mut watch(&node, "never").await, "waiting").await;
    world.clock.advance(Duration::from_secs(6));
    let never = finished(&node, "never", Status::Succeeded).await;
    assert_eq!(result(&never), json!({ "data": null }));
    let late = verb(&node, "signal", "never", json!({ "name": "go" })).await;
    assert_eq!(code(late), ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_a_sleep_and_a_signal_side_by_side() {
    let world = World::timed();
    let store = world.store();
    let node = world.node(&store).await;
    live(&node, "one", json!(["together"])).await;
    world.probe.reach().await;
    // Both arrive while the step is at work, or later.
    signal(&node, "one", "go", json!(1)).await;
    world.clock.advance(Duration::from_secs(1));
    world.probe.gate.add_permits(1);
    let done = world.pass_until(&node, "one", Status::Succeeded).await;
    assert_eq!(result(&done), json!({ "data": 1 }));
    assert_eq!(world.probe.executions("one/gate"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_gives_its_result_or_its_error_and_a_cancel_reaches_it() {
    let world = World::timed();
    let store = world.store();
    let node = world.node(&store).await;
    let child = |acts: Value| json!([{ "call": { "input": { "acts": acts } } }]);
    let inner = child(json!([{ "signal": { "name": "go", "timeout": 1 } }]));
    live(&node, "good", child(inner)).await;
    until(&mut watch(&node, "good").await, "waiting").await;
    let good = world.pass_until(&node, "good", Status::Succeeded).await;
    assert_eq!(result(&good), json!({ "data": null }));

    live(&node, "bad", child(json!(["fail"]))).await;
    let bad = finished(&node, "bad", Status::Failed).await.error.unwrap();
    assert_eq!(
        (bad.code.as_str(), bad.step.as_deref()),
        ("told", Some("act0"))
    );

    live(&node, "long", child(json!([{ "step": "gate" }]))).await;
    world.probe.reach().await;
    until(&mut watch(&node, "long").await, "waiting").await;
    let parent = get(&node, "long").await.unwrap();
    let waiting_for = parent.waiting_for.unwrap();
    let child = waiting_for.rsplit(' ').next().unwrap().to_owned();
    cancel(&node, "long").await.unwrap();
    finished(&node, "long", Status::Cancelled).await;
    finished(&node, &child, Status::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_has_ended_before_anything_is_undone() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    let call = json!({ "call": { "input": { "acts": [{ "step": "gate" }] } } });
    live(&node, "one", json!([{ "promise": "undo1" }, call])).await;
    world.probe.reach().await;
    until(&mut watch(&node, "one").await, "waiting").await;
    cancel(&node, "one").await.unwrap();
    finished(&node, "one", Status::Compensated).await;
    let (names, _) = until(&mut watch(&node, "one").await, "compensated").await;
    let at = |name: &str| names.iter().position(|it| it == name).unwrap();
    let order = [
        at("compensating"),
        at("step.finished"),
        at("compensation.finished"),
    ];
    assert!(order.is_sorted(), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_arrives_once_through_crashes() {
    let world = World::new();
    let store = world.store();
    let mut node = world.node(&store).await;
    let acts = json!([{ "send": "mail" }, { "step": "gate" }, { "send": "mail" }]);
    live(&node, "one", acts).await;
    for _ in 0..3 {
        world.probe.reach().await;
        drop(node);
        node = world.node(&store).await;
    }
    world.probe.gate.add_permits(1);
    finished(&node, "one", Status::Succeeded).await;
    let mut events = node
        .host
        .subscribe(
            selvedge_cluster::actor::ScopedAddress {
                address: "counter/mail".parse().unwrap(),
                ..actor("one")
            },
            selvedge_protocol::frame::Since::After(0),
        )
        .await
        .unwrap();
    until(&mut events, "added").await;
    let (_, second) = until(&mut events, "added").await;
    assert_eq!(second["value"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_and_refused_is_told_once() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let wrong = json!({ "sendWrong": { "to": "counter/one", "bytes": 1 } });
    live(&node, "one", json!([wrong, { "signal": { "name": "go" } }])).await;
    let mut events = watch(&node, "one").await;
    let (names, refused) = until(&mut events, "send.refused").await;
    assert_eq!(
        names.iter().filter(|name| *name == "send.refused").count(),
        1
    );
    assert_eq!(refused["to"], "counter/one");
    assert_eq!(refused["command"], "nonsense");
    assert_eq!(refused["error"]["code"], "unknown_command");
    // The operation has not failed for it.
    signal(&node, "one", "go", json!(1)).await;
    let (names, _) = until(&mut events, "succeeded").await;
    assert!(!names.contains(&"send.refused".to_owned()), "{names:?}");
    // It is told of one that has ended as well.
    live(&node, "two", json!([wrong])).await;
    until(&mut watch(&node, "two").await, "send.refused").await;
    assert_eq!(
        finished(&node, "two", Status::Succeeded).await.steps.len(),
        1
    );

    // What can be known at once fails at once.
    let cases = [
        ("nobody/one", 1, "no code is registered"),
        ("counter/one", 64 * 1024, "store it elsewhere"),
    ];
    for (to, bytes, message) in cases {
        let wrong = json!({ "sendWrong": { "to": to, "bytes": bytes } });
        let id = format!("wrong{bytes}");
        live(&node, &id, json!([wrong])).await;
        let failed = finished(&node, &id, Status::Failed).await;
        let error = failed.error.unwrap();
        assert_eq!(error.code, "invalid_send");
        assert!(error.message.contains(message), "{}", error.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_are_kept_in_reverse_after_a_failure_and_after_a_cancel() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    let promises = |last: Value| {
        json!([
            { "step": "a" }, { "promise": "undo1" }, { "promise": "undo22twice" },
            { "promise": "undo333" }, last,
        ])
    };
    live(&node, "failed", promises(json!("fail"))).await;
    let failed = finished(&node, "failed", Status::Compensated).await;
    assert_eq!(failed.error.unwrap().code, "told");
    let times = ["undo1", "undo22twice", "undo333"]
        .map(|name| world.probe.executions(&format!("failed/{name}")));
    assert_eq!(times, [1, 2, 1]);
    let (names, _) = until(&mut watch(&node, "failed").await, "compensated").await;
    let undone = names.iter().filter(|name| *name == "compensation.finished");
    assert_eq!(undone.count(), 3);

    let waits = promises(json!({ "signal": { "name": "never" } }));
    live(&node, "cancelled", waits).await;
    until(&mut watch(&node, "cancelled").await, "waiting").await;
    cancel(&node, "cancelled").await.unwrap();
    let cancelled = finished(&node, "cancelled", Status::Compensated).await;
    assert_eq!(cancelled.error.unwrap().code, "cancelled");

    // At work when it is cancelled.
    live(&node, "busy", promises(json!({ "step": "gate" }))).await;
    world.probe.reach().await;
    cancel(&node, "busy").await.unwrap();
    finished(&node, "busy", Status::Compensated).await;
    assert_eq!(world.probe.executions("busy/undo1"), 1);

    let acts = json!([{ "promise": "undo_never" }, "fail"]);
    live(&node, "stuck", acts).await;
    let stuck = finished(&node, "stuck", Status::Failed)
        .await
        .error
        .unwrap();
    assert_eq!(stuck.code, "compensation_failed");
    assert!(stuck.message.contains("told"), "{}", stuck.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_lets_the_step_at_work_finish_and_no_other_begin() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    live(&node, "one", json!([{ "step": "gate" }, { "step": "b" }])).await;
    world.probe.reach().await;
    let mut events = watch(&node, "one").await;
    let paused = verb(&node, "pause", "one", json!({})).await.unwrap();
    assert_eq!(paused["status"], "paused");
    world.probe.gate.add_permits(1);
    until(&mut events, "step.finished").await;
    assert_eq!(get(&node, "one").await.unwrap().status, Status::Paused);
    assert_eq!(world.probe.executions("one/b"), 0);
    drop(node);

    // Held through a restart as well.
    let node = world.node(&store).await;
    assert_eq!(get(&node, "one").await.unwrap().status, Status::Paused);
    assert_eq!(
        code(verb(&node, "retry", "one", json!({})).await),
        ErrorCode::Conflict
    );
    verb(&node, "resume", "one", json!({})).await.unwrap();
    finished(&node, "one", Status::Succeeded).await;
    assert_eq!(world.probe.executions("one/gate"), 1);
    assert_eq!(world.probe.executions("one/b"), 1);
    assert_eq!(
        code(verb(&node, "resume", "one", json!({})).await),
        ErrorCode::Conflict
    );

    // Resumed while the step that it was paused in is still at work: the same runner goes on.
    live(&node, "two", json!([{ "step": "gate" }, { "step": "b" }])).await;
    world.probe.reach().await;
    verb(&node, "pause", "two", json!({})).await.unwrap();
    verb(&node, "resume", "two", json!({})).await.unwrap();
    world.probe.gate.add_permits(1);
    let two = finished(&node, "two", Status::Succeeded).await;
    assert_eq!(two.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_operation_runs_again_from_a_step() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    let acts = json!([{ "step": "a" }, { "step": "b" }, { "step": "c" }, "fail"]);
    live(&node, "one", acts).await;
    finished(&node, "one", Status::Failed).await;
    let unknown = verb(&node, "retry", "one", json!({ "from": "d" })).await;
    let unknown = unknown.unwrap_err();
    assert_eq!(
        (unknown.code, unknown.field.as_deref()),
        (ErrorCode::Invalid, Some("from"))
    );
    let again = verb(&node, "retry", "one", json!({ "from": "b" })).await;
    assert_eq!(again.unwrap()["status"], "pending");
    ended(&node, "one").await;
    let times = ["a", "b", "c"].map(|step| world.probe.executions(&format!("one/{step}")));
    assert_eq!(times, [1, 2, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_goes_on_as_new_and_keeps_its_record_small() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    live(&node, "loop", json!([{ "asNew": 20 }])).await;
    let done = finished(&node, "loop", Status::Succeeded).await;
    assert!(done.steps.is_empty());
    assert_eq!(world.probe.executions("loop/round"), 20);
    let (names, _) = until(&mut watch(&node, "loop").await, "succeeded").await;
    assert_eq!(names.iter().filter(|name| *name == "continued").count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_what_is_waited_for_in_each_status() {
    let mut world = World::new();
    world.concurrency = 1;
    let store = world.store();
    let node = world.node(&store).await;
    let reasons = |why: &selvedge_client::Why| -> Vec<String> {
        why.waits.iter().map(|wait| wait.reason.clone()).collect()
    };
    live(
        &node,
        "busy",
        json!([{ "promise": "undo1" }, { "step": "gate" }]),
    )
    .await;
    world.probe.reach().await;
    live(&node, "queued", json!([])).await;
    assert_eq!(reasons(&why(&node, "busy").await), ["runner"]);
    // Its offer is on its way to the pool for a moment.
    let arrival = async {
        loop {
            let found = why(&node, "queued").await;
            if reasons(&found) != ["queue"] {
                return;
            }
            assert!(found.summary.contains("on its way"), "{}", found.summary);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, arrival).await.unwrap();
    assert_eq!(reasons(&why(&node, "queued").await), ["concurrency"]);
    verb(&node, "pause", "queued", json!({})).await.unwrap();
    assert_eq!(reasons(&why(&node, "queued").await), ["resume"]);
    let body = json!({ "type": "nobody.knows" });
    submit(&node, "unknown", body).await.unwrap();
    assert_eq!(reasons(&why(&node, "unknown").await), ["handler"]);
    let body = json!({ "type": "life", "input": { "acts": [] }, "runAt": "2999-01-01T00:00:00Z" });
    submit(&node, "later", body).await.unwrap();
    let later = why(&node, "later").await;
    assert_eq!(reasons(&later), ["time"]);
    assert_eq!(
        later.next_attempt_at.as_deref(),
        Some("2999-01-01T00:00:00.000Z")
    );
    world.probe.gate.add_permits(1);
    finished(&node, "busy", Status::Succeeded).await;
    let over = why(&node, "busy").await;
    assert!(
        over.waits.is_empty() && over.summary.contains("succeeded"),
        "{over:?}"
    );
    assert_eq!(over.owner.node, "node-1");
}

/// How long a step may be silent in the test of that. What these times come to exactly is tested without a store.
const HEARTBEAT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_step_that_says_nothing_for_too_long_has_failed() {
    let mut world = World::new();
    world.policy.heartbeat_timeout = Some(HEARTBEAT);
    world.policy.retry.attempts_max = 1;
    let store = world.store();
    let node = world.node(&store).await;
    live(&node, "alive", json!(["alive"])).await;
    assert_eq!(ended(&node, "alive").await.status, Status::Succeeded);
    live(&node, "silent", json!(["silent"])).await;
    let silent = ended(&node, "silent").await;
    assert_eq!(silent.error.unwrap().code, "heartbeat_timeout");
}
