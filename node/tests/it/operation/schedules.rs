//! Schedules end to end: a real host on an embedded store, and a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    CommandRequest, HostConfig, Identity, Origin, QueryRequest, ScopedAddress, Subscription,
};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{self, Store};
use selvedge_node::Application;
use selvedge_node::app::{Place, Running};
use selvedge_node::processing::{Handler, HandlerError, OperationContext, Policy};
use selvedge_protocol::frame::{Consistency, Outcome, Since};
use selvedge_protocol::{ErrorCode, Failure, Tenant, time};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::world::{answered, command, get, until};

/// 2027-01-15T08:00:00Z.
const BEGIN: u64 = 1_800_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

struct Ground {
    _directory: tempfile::TempDir,
    store: Arc<Embedded>,
    /// Each operation of the type `gate` takes a permit to succeed.
    gate: Arc<Semaphore>,
}

struct Gate(Arc<Semaphore>);

impl Handler for Gate {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        context
            .step("gate", || async {
                self.0.acquire().await?.forget();
                Ok(())
            })
            .await?;
        Ok(json!("through"))
    }
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig::new(directory.path().join("store"));
        Self {
            store: Arc::new(Embedded::open(config).unwrap()),
            _directory: directory,
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn node(&self, clock: &Clock) -> Running {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let meta = store::migration::prepare(&*store, clock).await.unwrap();
        let place = Place {
            host: HostConfig {
                node: "node-1".to_owned(),
                idle_ms: 60_000,
                slots: meta.slots,
            },
            index_shards: meta.index_shards,
            store,
            key: meta.session_key,
            clock: clock.clone(),
        };
        let gate = Gate(Arc::clone(&self.gate));
        let application = Application::builder()
            .operation("gate", gate, Policy::default())
            .build();
        application.unwrap().start(place).await.unwrap()
    }
}

fn address(key: &str) -> ScopedAddress {
    ScopedAddress {
        tenant: Tenant::default_tenant(),
        address: format!("schedule/{key}").parse().unwrap(),
    }
}

async fn send(node: &Running, key: &str, name: &str, body: Value) -> Result<Value, Failure> {
    let request = CommandRequest {
        actor: address(key),
        principal: Arc::from("tester"),
        origin: Origin::Client(None),
        identity: Identity::Natural,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        payload: None,
        if_version: None,
        deadline: None,
    };
    match node.host.ask(request).await {
        Outcome::Success(success) => Ok(serde_json::from_slice(&success.body).unwrap()),
        Outcome::Failure(failure) => Err(failure),
    }
}

async fn why(node: &Running, key: &str) -> Result<Value, Failure> {
    let request = QueryRequest {
        actor: address(key),
        name: "why".to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline: None,
    };
    let body = answered(|reply| node.host.query(request, reply)).await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

async fn follow(node: &Running, key: &str, after: u64) -> Subscription {
    let since = Since::After(after);
    node.host.subscribe(address(key), since).await.unwrap()
}

fn minutely(fields: Value) -> Value {
    let mut body =
        json!({ "everyMs": 60_000, "operation": { "type": "gate", "input": { "a": 1 } } });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The id of the operation of a minute after the beginning.
fn operation(key: &str, minute: u64) -> String {
    format!("{key}.{}", time::format(BEGIN + minute * 60_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_fires_and_hears_of_the_end() {
    let place = Ground::new();
    let clock = Clock::manual(BEGIN, 1);
    let node = place.node(&clock).await;
    let body = minutely(json!({ "note": "each minute" }));
    let created = send(&node, "s", "create", body.clone()).await.unwrap();
    assert_eq!(created["created"], true);
    assert_eq!(created["status"], "active");
    assert_eq!(created["definition"]["overlap"], "skip");
    assert_eq!(created["next"].as_array().unwrap().len(), 5);
    assert_eq!(created["next"][0], time::format(BEGIN + 60_000));

    let mut events = follow(&node, "s", 0).await;
    clock.advance(MINUTE);
    let (names, submitted) = until(&mut events, "submitted").await;
    assert_eq!(names, ["created", "submitted"]);
    assert_eq!(submitted["operation"], operation("s", 1));
    // Still running at the next time.
    clock.advance(MINUTE);
    let (_, skipped) = until(&mut events, "skipped").await;
    assert_eq!(skipped["reason"], "overlap");
    let refused = send(&node, "s", "trigger", json!({})).await.unwrap();
    assert_eq!(refused["triggered"], false);
    place.gate.add_permits(1);
    let (_, finished) = until(&mut events, "finished").await;
    assert_eq!(finished["status"], "succeeded");
    let done = get(&node, &operation("s", 1)).await.unwrap();
    assert_eq!(done.created_by, "tester");
    assert_eq!(done.input.unwrap().get(), r#"{"a":1}"#);

    // A repeat of the create shows where it is; another definition is a conflict.
    let present = send(&node, "s", "create", body).await.unwrap();
    assert_eq!(present["created"], false);
    assert_eq!(present["counts"]["runs"], 1);
    assert_eq!(present["last"]["operation"], operation("s", 1));
    let other = send(&node, "s", "create", minutely(json!({}))).await;
    assert_eq!(other.unwrap_err().code, ErrorCode::Conflict);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_passed_while_the_node_was_down_run_at_its_start() {
    let place = Ground::new();
    let clock = Clock::manual(BEGIN, 1);
    let node = place.node(&clock).await;
    let body = minutely(json!({ "catchUpMs": 120_000, "overlap": "allow" }));
    send(&node, "s", "create", body.clone()).await.unwrap();
    let mut events = follow(&node, "s", 0).await;
    clock.advance(MINUTE);
    until(&mut events, "submitted").await;
    drop(node);

    clock.advance(10 * MINUTE);
    let node = place.node(&clock).await;
    let mut events = follow(&node, "s", 2).await;
    let (names, missed) = until(&mut events, "missed").await;
    assert_eq!(names, ["submitted", "submitted", "submitted", "missed"]);
    assert_eq!(missed["count"], 7);
    // What ran over the crash tells its end as well.
    place.gate.add_permits(4);
    for _ in 0..4 {
        until(&mut events, "finished").await;
    }
    let present = send(&node, "s", "create", body).await.unwrap();
    let counts = json!({ "runs": 4, "missed": 7, "skipped": 0, "failed": 0 });
    assert_eq!(present["counts"], counts);
    assert_eq!(present["running"], json!([]));
    for minute in [1, 9, 10, 11] {
        get(&node, &operation("s", minute)).await.unwrap();
    }
    assert!(get(&node, &operation("s", 8)).await.is_err());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_cancelled_for_the_next() {
    let place = Ground::new();
    let clock = Clock::manual(BEGIN, 1);
    let node = place.node(&clock).await;
    let body = minutely(json!({ "overlap": "cancel-other" }));
    send(&node, "s", "create", body).await.unwrap();
    let mut events = follow(&node, "s", 1).await;
    clock.advance(MINUTE);
    until(&mut events, "submitted").await;
    clock.advance(MINUTE);
    let (names, submitted) = until(&mut events, "submitted").await;
    assert_eq!(names, ["finished", "submitted"]);
    assert_eq!(submitted["operation"], operation("s", 2));
    let cancelled = get(&node, &operation("s", 1)).await.unwrap();
    assert_eq!(cancelled.status.name(), "cancelled");

    // Paused, nothing begins; deleted, it is gone and what runs goes on.
    send(&node, "s", "pause", json!({ "note": "why" }))
        .await
        .unwrap();
    clock.advance(MINUTE);
    let resumed = send(&node, "s", "resume", json!({})).await.unwrap();
    assert_eq!(resumed["next"][0], time::format(BEGIN + 4 * 60_000));
    send(&node, "s", "delete", json!({})).await.unwrap();
    let gone = send(&node, "s", "trigger", json!({})).await;
    assert_eq!(gone.unwrap_err().code, ErrorCode::NotFound);
    let (names, _) = until(&mut events, "deleted").await;
    assert_eq!(names, ["paused", "resumed", "deleted"]);
    place.gate.add_permits(1);
    super::world::ended(&node, &operation("s", 2)).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_created_again_has_operations_of_its_own() {
    let place = Ground::new();
    place.gate.add_permits(10);
    let clock = Clock::manual(BEGIN, 1);
    let node = place.node(&clock).await;
    send(&node, "s", "create", minutely(json!({})))
        .await
        .unwrap();
    let mut events = follow(&node, "s", 0).await;
    clock.advance(MINUTE);
    until(&mut events, "finished").await;
    send(&node, "s", "delete", json!({})).await.unwrap();
    until(&mut events, "deleted").await;
    drop(node);

    // The clock was set back: the same minute comes again, for another schedule.
    let clock = Clock::manual(BEGIN, 2);
    let node = place.node(&clock).await;
    send(&node, "s", "create", minutely(json!({})))
        .await
        .unwrap();
    let mut events = follow(&node, "s", 4).await;
    clock.advance(MINUTE);
    let (_, finished) = until(&mut events, "finished").await;
    assert_eq!(finished["operation"], format!("{}.2", operation("s", 1)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_is_refused_counts_as_failed() {
    let place = Ground::new();
    let clock = Clock::manual(BEGIN, 1);
    let node = place.node(&clock).await;
    let other = json!({ "type": "gate", "input": "of somebody else" });
    let payload = selvedge_node::operation::OperationPayload::None;
    let taken = operation("s", 1);
    command(&node, "submit", &taken, &other, payload)
        .await
        .unwrap();
    send(&node, "s", "create", minutely(json!({})))
        .await
        .unwrap();
    let mut events = follow(&node, "s", 0).await;
    clock.advance(MINUTE);
    let (_, finished) = until(&mut events, "finished").await;
    assert_eq!(finished["status"], "failed");
    let present = send(&node, "s", "create", minutely(json!({})))
        .await
        .unwrap();
    assert_eq!(present["counts"]["failed"], 1);
    let error = present["last"]["error"].as_str().unwrap();
    assert!(error.starts_with("conflict: "), "{error}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_says_what_it_waits_for_before_and_after_a_restart() {
    let place = Ground::new();
    let clock = Clock::manual(BEGIN, 1);
    let node = place.node(&clock).await;
    let absent = why(&node, "s").await.unwrap_err();
    assert_eq!(absent.code, ErrorCode::NotFound);
    let body = minutely(json!({ "overlap": "buffer-one" }));
    send(&node, "s", "create", body).await.unwrap();
    let mut events = follow(&node, "s", 0).await;
    clock.advance(MINUTE);
    until(&mut events, "submitted").await;
    clock.advance(MINUTE);
    let waiting = loop {
        let waiting = why(&node, "s").await.unwrap();
        if waiting["waits"].as_array().unwrap().len() == 2 {
            break waiting;
        }
    };
    let said = waiting["waits"][1]["detail"].as_str().unwrap();
    assert!(said.contains(&operation("s", 1)), "{said}");
    assert_eq!(waiting["nextRunAt"], time::format(BEGIN + 3 * 60_000));
    drop(node);

    let node = place.node(&clock).await;
    assert_eq!(why(&node, "s").await.unwrap(), waiting);
    send(&node, "s", "pause", json!({ "note": "repairs" }))
        .await
        .unwrap();
    place.gate.add_permits(1);
    let mut events = follow(&node, "s", 0).await;
    until(&mut events, "finished").await;
    let paused = why(&node, "s").await.unwrap();
    let wait = &paused["waits"][0];
    assert_eq!(
        (&wait["reason"], &wait["until"]),
        (&json!("resume"), &Value::Null)
    );
    assert_eq!(wait["since"], time::format(BEGIN + 2 * 60_000));
    assert_eq!(paused["lastSubmitted"]["status"], "succeeded");
    assert_eq!(paused["lastError"], Value::Null);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let place = Ground::new();
    let node = place.node(&Clock::manual(BEGIN, 1)).await;
    for verb in ["update", "pause", "resume", "trigger", "delete"] {
        let body = match verb {
            "update" => minutely(json!({})),
            _ => json!({}),
        };
        let failure = send(&node, "s", verb, body).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::NotFound, "{verb}");
    }
    for (name, body, code) in [
        (
            "create",
            json!({ "cron": "0 0 30 2 *", "everyMs": null }),
            ErrorCode::Invalid,
        ),
        ("create", json!({ "everyMs": 1 }), ErrorCode::Invalid),
        ("create", json!({ "colour": "red" }), ErrorCode::Invalid),
        ("rename", json!({}), ErrorCode::NotFound),
    ] {
        let failure = send(&node, "s", name, minutely(body)).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
    }
    send(&node, "s", "create", minutely(json!({})))
        .await
        .unwrap();
    for (name, body, code) in [
        ("rename", json!({}), ErrorCode::UnknownCommand),
        ("child.finished", json!({}), ErrorCode::UnknownCommand),
        ("next", json!({}), ErrorCode::UnknownCommand),
        ("pause", json!({ "because": 1 }), ErrorCode::Invalid),
        ("resume", json!({ "a": 1 }), ErrorCode::Invalid),
    ] {
        let failure = send(&node, "s", name, body).await.unwrap_err();
        assert_eq!(failure.code, code, "{name}: {failure}");
    }
    let present = send(&node, "s", "create", minutely(json!({})))
        .await
        .unwrap();
    assert_eq!(present["paused"], false);
    node.stop().await;
}
