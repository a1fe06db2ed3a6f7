//! Sagas: they succeed, or what they did is undone, whatever happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_client::operation::{Operation, OperationStatus};
use selvedge_cluster::store::embedded::Embedded;
use selvedge_node::Application;
use selvedge_node::app::Running;
use selvedge_node::demo_app::Counter;
use selvedge_node::operation::OperationPayload;
use selvedge_node::processing::builtin::saga::SagaHandler;
use selvedge_node::processing::{Handler, HandlerError, OperationContext, Policy, Retry};
use selvedge_protocol::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::operation::world::*;

const STEPS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// An outside system: it recognises repeats by their key.
struct Ledger {
    /// Key and name of each effect, in order.
    effects: Mutex<Vec<(String, String)>>,
    /// Counts the moments before and after each effect.
    moments: AtomicUsize,
    /// At this one nothing goes on without a permit.
    stop_at: usize,
    reached: Semaphore,
    gate: Semaphore,
}

impl Ledger {
    fn new(stop_at: usize) -> Arc<Self> {
        Arc::new(Self {
            effects: Mutex::default(),
            moments: AtomicUsize::new(0),
            stop_at,
            reached: Semaphore::new(0),
            gate: Semaphore::new(0),
        })
    }

    async fn moment(&self) {
        let moment = self.moments.fetch_add(1, Ordering::SeqCst);
        if moment == self.stop_at {
            self.reached.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
        }
    }

    async fn reach(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(60), self.reached.acquire());
        reached.await.unwrap().unwrap().forget();
    }

    fn note(&self, key: String, name: &str) {
        let mut effects = self.effects.lock();
        if !effects.iter().any(|(known, _)| *known == key) {
            effects.push((key, name.to_owned()));
        }
    }

    fn names(&self) -> Vec<String> {
        let effects = self.effects.lock();
        effects.iter().map(|(_, name)| name.clone()).collect()
    }
}

/// Has an effect of this name.
struct Effect(Arc<Ledger>);

#[derive(Deserialize)]
struct EffectInput {
    name: String,
    #[serde(default)]
    fails: bool,
    #[serde(default)]
    given: Value,
}

impl Handler for Effect {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let input: EffectInput = context.input()?;
        let key = context.idempotency_key("effect");
        let done = context.step("effect", || async {
            self.0.moment().await;
            if input.fails {
                return Err(HandlerError::permanent("as told").with_code("as_told"));
            }
            self.0.note(key, &input.name);
            self.0.moment().await;
            Ok(json!({ "receipt": { "of": input.name }, "given": input.given }))
        });
        done.await
    }
}

async fn node(world: &World, store: &Arc<Embedded>, ledger: &Arc<Ledger>) -> Running {
    let policy = Policy {
        retry: Retry {
            attempts_max: 3,
            initial: Duration::from_millis(1),
            ..Retry::default()
        },
        ..Policy::default()
    };
    let builder = Application::builder()
        .kind(Counter)
        .operation("saga", SagaHandler, policy.clone())
        .operation("effect", Effect(Arc::clone(ledger)), policy);
    let application = builder.build().unwrap();
    start(application, Arc::clone(store) as _, world.idle_ms)
        .await
        .unwrap()
}

fn effect(name: &str, fails: bool) -> Value {
    let input = json!({ "name": name, "fails": fails });
    json!({ "operation": { "type": "effect", "input": input } })
}

/// Five steps with their compensations; the failing one, if any.
fn five(failing: Option<&str>) -> Value {
    let step = |name: &&str| {
        json!({
            "name": name, "run": effect(name, failing == Some(name)),
            "compensate": effect(&format!("undo {name}"), false),
        })
    };
    json!({ "steps": STEPS.iter().map(step).collect::<Vec<_>>() })
}

async fn submit_saga(node: &Running, id: &str, input: Value) {
    let body = json!({ "type": "saga", "input": input });
    submit(node, id, body).await.unwrap();
}

fn result(operation: &Operation) -> Value {
    serde_json::from_str(operation.result.as_ref().unwrap().get()).unwrap()
}

/// The effects of a saga that failed after this many steps, with those that undo them.
fn undone(steps: usize) -> Vec<String> {
    let done = STEPS[..steps].iter().map(|name| (*name).to_owned());
    let undone = STEPS[..steps].iter().rev();
    done.chain(undone.map(|name| format!("undo {name}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_steps_succeed_in_order_and_hand_results_on() {
    let (world, ledger) = (World::new(), Ledger::new(usize::MAX));
    let node = node(&world, &world.store(), &ledger).await;
    let mut input = five(None);
    input["steps"][2]["run"]["operation"]["input"]["given"] =
        json!({ "$result": "a", "pointer": "/receipt/of" });
    input["steps"][4]["run"]["operation"]["input"]["given"] =
        json!([{ "$result": "c", "pointer": "/given" }, { "$result": "b" }]);
    submit_saga(&node, "one", input).await;
    let done = finished(&node, "one", OperationStatus::Succeeded).await;
    assert_eq!(ledger.names(), STEPS);
    assert_eq!(done.attempt, 1, "it has waited for five calls");
    let steps = &result(&done)["steps"];
    assert_eq!(steps["c"]["given"], "a");
    assert_eq!(steps["e"]["given"][0], "a");
    assert_eq!(steps["e"]["given"][1]["receipt"]["of"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_each_step_undoes_those_before_it() {
    for (before, failing) in STEPS.into_iter().enumerate() {
        let (world, ledger) = (World::new(), Ledger::new(usize::MAX));
        let node = node(&world, &world.store(), &ledger).await;
        submit_saga(&node, "one", five(Some(failing))).await;
        let done = finished(&node, "one", OperationStatus::Compensated).await;
        let error = done.error.unwrap();
        let place = (error.code.as_str(), error.step.as_deref());
        assert_eq!(place, ("as_told", Some(failing)));
        assert_eq!(ledger.names(), undone(before));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compensations_see_results_and_send_commands() {
    let (world, ledger) = (World::new(), Ledger::new(usize::MAX));
    let node = node(&world, &world.store(), &ledger).await;
    let add = |by: i64| {
        let command = json!({ "actor": "counter/x", "name": "add", "body": { "by": by } });
        json!({ "command": command })
    };
    let mut undo = effect("", false);
    undo["operation"]["input"]["name"] = json!({ "$result": "first", "pointer": "/receipt/of" });
    let input = |failing: bool| {
        json!({ "steps": [
            { "name": "first", "run": effect("first", false), "compensate": undo },
            { "name": "count", "run": add(5), "compensate": add(-3) },
            { "name": "last", "run": effect("last", failing) },
        ] })
    };
    submit_saga(&node, "one", input(true)).await;
    finished(&node, "one", OperationStatus::Compensated).await;
    assert_eq!(ledger.names(), ["first", "first"]);
    counted(&node, 2).await;
    submit_saga(&node, "two", input(false)).await;
    let done = finished(&node, "two", OperationStatus::Succeeded).await;
    assert_eq!(result(&done)["steps"]["count"], Value::Null);
    counted(&node, 7).await;
}

/// Waits until the counter is told so much.
async fn counted(node: &Running, value: i64) {
    let counter = selvedge_cluster::actor::ScopedAddress {
        address: "counter/x".parse().unwrap(),
        ..actor("any")
    };
    let since = selvedge_protocol::frame::Since::After(0);
    let mut events = node.host.subscribe(counter, since).await.unwrap();
    loop {
        let (_, added) = until(&mut events, "added").await;
        if added["value"] == value {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_undoes_what_is_done() {
    // Before the effect of the third step.
    let (world, ledger) = (World::new(), Ledger::new(4));
    let node = node(&world, &world.store(), &ledger).await;
    submit_saga(&node, "one", five(None)).await;
    ledger.reach().await;
    cancel(&node, "one").await.unwrap();
    finished(&node, "one", OperationStatus::Compensated).await;
    assert_eq!(ledger.names(), undone(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_ends_during_a_halt_is_undone_by_a_cancel() {
    let (world, ledger) = (World::new(), Ledger::new(0));
    let node = node(&world, &world.store(), &ledger).await;
    submit_saga(&node, "one", five(None)).await;
    ledger.reach().await;
    let none = OperationPayload::None;
    command(&node, "pause", "one", &json!({}), none)
        .await
        .unwrap();
    ledger.gate.add_permits(1);
    until(&mut watch(&node, "one").await, "step.finished").await;
    // The handler has not been told of it.
    cancel(&node, "one").await.unwrap();
    finished(&node, "one", OperationStatus::Compensated).await;
    assert_eq!(ledger.names(), undone(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_side_by_side_are_all_undone() {
    let (world, ledger) = (World::new(), Ledger::new(usize::MAX));
    let node = node(&world, &world.store(), &ledger).await;
    let mut input = five(Some("a"));
    input["atOnce"] = json!(3);
    submit_saga(&node, "one", input).await;
    finished(&node, "one", OperationStatus::Compensated).await;
    let mut names = ledger.names();
    assert_eq!(names[2..], ["undo c", "undo b"]);
    names.truncate(2);
    names.sort_unstable();
    assert_eq!(names, ["b", "c"]);
}

/// Runs a saga, kills the node at a moment of an effect, and lets another node end it. Answers how many
/// moments there were.
async fn killed(stop_at: usize, failing: Option<&str>) -> usize {
    let (world, ledger) = (World::new(), Ledger::new(stop_at));
    let store = world.store();
    let first = node(&world, &store, &ledger).await;
    submit_saga(&first, "one", five(failing)).await;
    let reached = tokio::select! {
        () = ledger.reach() => true,
        _ = ended(&first, "one") => false,
    };
    if reached {
        drop(first);
        let second = node(&world, &store, &ledger).await;
        ended_well(&second, &ledger, failing).await;
    } else {
        ended_well(&first, &ledger, failing).await;
    }
    ledger.moments.load(Ordering::SeqCst)
}

async fn ended_well(node: &Running, ledger: &Ledger, failing: Option<&str>) {
    let done = ended(node, "one").await;
    match failing {
        None => {
            assert_eq!(done.status, OperationStatus::Succeeded, "{done:?}");
            assert_eq!(ledger.names(), STEPS);
        }
        Some(_) => {
            assert_eq!(done.status, OperationStatus::Compensated, "{done:?}");
            assert_eq!(ledger.names(), undone(STEPS.len() - 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_and_after_each_effect_it_ends_well() {
    for (failing, moments) in [(None, 10), (Some("e"), 17)] {
        assert_eq!(killed(usize::MAX, failing).await, moments);
        for stop_at in 0..moments {
            // What had begun when the node was killed begins again.
            let counted = killed(stop_at, failing).await;
            assert!((moments + 1..=moments + 2).contains(&counted), "{counted}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_of_its_own_events_it_ends_well() {
    for failing in [None, Some("e")] {
        let names = {
            let (world, ledger) = (World::new(), Ledger::new(usize::MAX));
            let node = node(&world, &world.store(), &ledger).await;
            submit_saga(&node, "one", five(failing)).await;
            let end = ended(&node, "one").await.status;
            until(&mut watch(&node, "one").await, end.name()).await.0
        };
        for event in 1..names.len() {
            let (world, ledger) = (World::new(), Ledger::new(usize::MAX));
            let store = world.store();
            let first = node(&world, &store, &ledger).await;
            submit_saga(&first, "one", five(failing)).await;
            let mut events = watch(&first, "one").await;
            for _ in 0..event {
                tokio::time::timeout(Duration::from_secs(60), events.next())
                    .await
                    .unwrap()
                    .unwrap();
            }
            drop((first, events));
            let second = node(&world, &store, &ledger).await;
            ended_well(&second, &ledger, failing).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_saga_makes_no_operation() {
    let (world, ledger) = (World::new(), Ledger::new(usize::MAX));
    let node = node(&world, &world.store(), &ledger).await;
    let mut input = five(None);
    input["steps"][3]["compensate"]["operation"]["input"] = json!({ "$result": "e" });
    let body = json!({ "type": "saga", "input": input });
    let refused = submit(&node, "one", body).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    let field = "input.steps[3].compensate.operation.input.$result";
    assert_eq!(refused.field.as_deref(), Some(field));
    assert_eq!(code(get(&node, "one").await), ErrorCode::NotFound);
}
