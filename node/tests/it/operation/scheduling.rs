//! What starts when: tenants take turns, priorities go first, types do not wait for each other, a breaker
//! refuses while its handler fails.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;
use selvedge_client::operation::{Operation, OperationStatus};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{HostConfig, Identity};
use selvedge_cluster::store::keys::Shards;
use selvedge_cluster::store::migration::SessionKey;
use selvedge_node::Application;
use selvedge_node::app::{Builder, Place, Running};
use selvedge_node::operation::{OperationCommand, OperationPayload};
use selvedge_node::processing::{
    BreakerPolicy, BreakerState, Handler, HandlerError, OperationContext, Policy, WaitingFor,
};
use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{OPERATION_QUEUE_MAX, SLOTS_DEFAULT};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::policies::{change_in, queued, shown};
use super::world::*;

/// Notes who starts, one after the other; the first waits for a permit.
struct InOrder {
    started: Arc<Mutex<Vec<String>>>,
    reached: Arc<Semaphore>,
    gate: Arc<Semaphore>,
    ended: Arc<Semaphore>,
}

impl Handler for InOrder {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let name = format!("{}/{}", context.tenant(), context.operation_id());
        let is_first = {
            let mut started = self.started.lock();
            started.push(name);
            started.len() == 1
        };
        if is_first {
            self.reached.add_permits(1);
            self.gate.acquire().await?.forget();
        }
        self.ended.add_permits(1);
        Ok(Value::Null)
    }
}

async fn start(application: Builder, world: &World) -> Running {
    let place = Place {
        host: HostConfig {
            node: "node-1".to_owned(),
            idle_ms: 60_000,
            slots: SLOTS_DEFAULT,
        },
        index_shards: Shards::ONE,
        store: world.store(),
        key: SessionKey::new([7; 32]),
        clock: Clock::system(),
    };
    application.build().unwrap().start(place).await.unwrap()
}

/// Submits an operation of the type `line`.
async fn submit_in(node: &Running, tenant: &str, operation: &str, priority: i32) {
    let body = json!({ "type": "line", "priority": priority });
    let command = OperationCommand {
        tenant: Tenant::new(tenant).unwrap(),
        principal: Arc::from("tester"),
        id: id(operation),
        identity: Identity::Natural,
        name: "submit".to_owned(),
        body: Bytes::from(body.to_string()),
        payload: OperationPayload::None,
        if_version: None,
        deadline: None,
    };
    let answer = answered(|reply| node.operations.command(command, reply)).await;
    answer.unwrap();
}

struct Line {
    node: Running,
    started: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    ended: Arc<Semaphore>,
    _world: World,
}

impl Line {
    /// A node that runs one operation at a time, and is busy with the first.
    async fn new() -> Self {
        let world = World::new();
        let started = Arc::default();
        let [reached, gate, ended] = [(); 3].map(|()| Arc::new(Semaphore::new(0)));
        let handler = InOrder {
            started: Arc::clone(&started),
            reached: Arc::clone(&reached),
            gate: Arc::clone(&gate),
            ended: Arc::clone(&ended),
        };
        let policy = Policy {
            concurrency: 1,
            ..Policy::default()
        };
        let application = Application::builder().operation("line", handler, policy);
        let node = start(application, &world).await;
        let line = Self {
            node,
            started,
            gate,
            ended,
            _world: world,
        };
        line.submit("first", "first", 0).await;
        reached.acquire().await.unwrap().forget();
        line
    }

    async fn submit(&self, tenant: &str, operation: &str, priority: i32) {
        submit_in(&self.node, tenant, operation, priority).await;
    }

    /// Waits until an operation is queued, then for its turn.
    async fn queued(&self, tenant: &str, operation: &str) {
        let mut address = actor(operation);
        address.tenant = Tenant::new(tenant).unwrap();
        let name = "line".parse().unwrap();
        while self.node.queue_state(&address, &name).is_none() {
            tokio::task::yield_now().await;
        }
    }

    /// Lets all of them run; who started after the first, in order.
    async fn run(&self, count: u32) -> Vec<String> {
        self.gate.add_permits(1);
        self.ended.acquire_many(count + 1).await.unwrap().forget();
        self.started.lock().split_off(1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_at_ten_to_one_share_a_pool_one_to_one() {
    let line = Line::new().await;
    for number in 0..50 {
        let name = format!("op{number}");
        line.submit("many", &name, 0).await;
        line.queued("many", &name).await;
    }
    for number in 0..5 {
        let name = format!("op{number}");
        line.submit("few", &name, 0).await;
        line.queued("few", &name).await;
    }
    let started = line.run(55).await;
    let expected: Vec<_> = (0..5)
        .flat_map(|number| [format!("many/op{number}"), format!("few/op{number}")])
        .collect();
    assert_eq!(started[..10], expected);
    // And the rest in order.
    assert_eq!(started[54], "many/op49");
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priorities_go_first_and_equals_by_arrival() {
    let line = Line::new().await;
    for (name, priority) in [("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)] {
        line.submit("one", name, priority).await;
        line.queued("one", name).await;
    }
    let started = line.run(5).await;
    assert_eq!(started, ["one/b", "one/d", "one/a", "one/e", "one/c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_stuck_holds_no_other_back() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    for number in 0..100 {
        let input = json!({ "steps": ["forever"] });
        submit_steps(&node, &format!("stuck{number}"), input).await;
    }
    for _ in 0..world.concurrency {
        world.probe.reach().await;
    }
    for number in 0..20 {
        let name = format!("quick{number}");
        let body = json!({ "type": "digest", "input": {} });
        submit(&node, &name, body).await.unwrap();
        finished(&node, &name, OperationStatus::Succeeded).await;
    }
    assert_eq!(
        queued(&node, "stuck99").await.waiting_for,
        WaitingFor::Concurrency { limit: 4 }
    );
}

/// Operations of the tenant `stuck` never end, others at once.
struct Stuck;

impl Handler for Stuck {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        if context.tenant().as_str() == "stuck" {
            std::future::pending::<()>().await;
        }
        Ok(Value::Null)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fills_the_queue_locks_no_other_out() {
    let world = World::new();
    let policy = Policy {
        concurrency: 2,
        ..Policy::default()
    };
    let application = Application::builder().operation("line", Stuck, policy);
    let node = start(application, &world).await;
    let body = json!({ "concurrency": 1 });
    change_in(&node, "stuck", "line", "set", body)
        .await
        .unwrap();
    // More than the queue holds, of the one; more than is left, of the other.
    let names: Vec<_> = (0..OPERATION_QUEUE_MAX + 100)
        .map(|number| format!("op{number}"))
        .collect();
    let all = names.iter().map(|name| submit_in(&node, "stuck", name, 0));
    join_all(all).await;
    let names = &names[..OPERATION_QUEUE_MAX / 4];
    join_all(names.iter().map(|name| submit_in(&node, "other", name, 0))).await;
    let tenant = Tenant::new("other").unwrap();
    for name in names {
        let id = id(name);
        let wait = "wait".to_owned();
        let query = |reply| {
            node.operations
                .query(tenant.clone(), &id, wait, Bytes::new(), None, reply);
        };
        let body = answered(query).await.unwrap();
        let operation: Operation = serde_json::from_slice(&body).unwrap();
        assert_eq!(operation.status, OperationStatus::Succeeded, "{name}");
    }
}

/// Stops the clock but for what the test advances it by: with a blocking task about, paused time does
/// not run ahead while the store works. Dropped, it runs ahead again.
fn frozen() -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || receiver.recv());
    sender
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_refuses_half_opens_and_closes() {
    let _frozen = frozen();
    let mut world = World::new();
    world.policy.retry.attempts_max = 1;
    world.policy.breaker = Some(BreakerPolicy {
        failures: 3,
        window: HOUR,
        open: HOUR,
        probes: 1,
    });
    let node = world.node(&world.store()).await;
    let failing = || json!({ "steps": ["a"], "failures": 9 });
    let permanent = json!({ "steps": ["a"], "failures": 9, "is_permanent": true });
    // Operations that are wrong themselves say nothing about the handler.
    for name in ["wrong1", "wrong2", "wrong3"] {
        submit_steps(&node, name, permanent.clone()).await;
        finished(&node, name, OperationStatus::Failed).await;
    }
    let breaker = shown(&node, "steps").await.unwrap()["breaker"].clone();
    assert_eq!(breaker, json!({ "state": "closed" }));
    for name in ["bad1", "bad2", "bad3"] {
        submit_steps(&node, name, failing()).await;
        finished(&node, name, OperationStatus::Failed).await;
    }

    // Open: refuses at once, fails nobody, and says until when.
    submit_steps(&node, "probe", json!({ "steps": ["gate"], "failures": 1 })).await;
    submit_steps(&node, "next", json!({ "steps": ["gate"] })).await;
    for name in ["probe", "next"] {
        let waiting = queued(&node, name).await;
        let is_open = matches!(
            waiting.waiting_for,
            WaitingFor::Breaker { until_ms: Some(_) }
        );
        assert!(is_open, "{waiting:?}");
        assert_eq!(waiting.breaker.unwrap().state, BreakerState::Open);
    }
    assert_eq!(
        shown(&node, "steps").await.unwrap()["breaker"]["state"],
        "open"
    );

    // Half open: one probe; it fails, and the breaker is open for as long again.
    tokio::time::advance(HOUR).await;
    world.probe.reach().await;
    let waiting = queued(&node, "next").await;
    assert_eq!(waiting.waiting_for, WaitingFor::Breaker { until_ms: None });
    assert_eq!(waiting.breaker.unwrap().state, BreakerState::HalfOpen);
    world.probe.gate.add_permits(1);
    finished(&node, "probe", OperationStatus::Failed).await;
    while queued(&node, "next").await.breaker.unwrap().state != BreakerState::Open {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.probe.executions("next/gate"), 0);

    // The next probe succeeds: closed, and all run.
    submit_steps(&node, "last", json!({ "steps": ["gate"] })).await;
    tokio::time::advance(HOUR).await;
    world.probe.reach().await;
    assert_eq!(world.probe.executions("last/gate"), 0);
    world.probe.gate.add_permits(2);
    for name in ["next", "last"] {
        finished(&node, name, OperationStatus::Succeeded).await;
    }
    assert_eq!(
        shown(&node, "steps").await.unwrap()["breaker"]["state"],
        "closed"
    );
}
