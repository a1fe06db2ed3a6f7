//! What the tests of operations share: a store of their own, an application with handlers that do as
//! their input says, and requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_client::operation::{Operation, OperationStatus, Why};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    AnswerSink, HostConfig, Identity, ReplyTo, ScopedAddress, Subscription, SubscriptionItem,
};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{self, Store};
use selvedge_node::Application;
use selvedge_node::app::{Place, Running};
use selvedge_node::demo_app::{Counter, DigestHandler};
use selvedge_node::operation::{OperationCommand, OperationPayload};
use selvedge_node::processing::{Handler, HandlerError, OperationContext, Policy, Retry};
use selvedge_protocol::frame::{Outcome, Since};
use selvedge_protocol::{ErrorCode, Failure, OperationId, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use super::life::Life;
use super::spread::Spread;

/// Waiting longer than this is a failure of the test, not a measurement.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) probe: Arc<Probe>,
    pub(crate) idle_ms: u64,
    /// How many operations of the type `steps` run at a time.
    pub(crate) concurrency: usize,
    /// The rest of the policy of all types.
    pub(crate) policy: Policy,
    /// How long steps may take to finish when their node stops or lets them go; `None`: as usual.
    pub(crate) step_grace: Option<Duration>,
    /// Types that this world's binary does not know.
    pub(crate) is_older: bool,
    /// Whether clusters are created as on a store that is spread over machines: with sharded indexes.
    pub(crate) is_spread: bool,
    pub(crate) clock: Clock,
}

/// What handlers did, and what they may do.
pub(crate) struct Probe {
    /// Executions by "operation/step".
    pub(crate) executed: Mutex<HashMap<String, usize>>,
    pub(crate) running: AtomicUsize,
    pub(crate) running_max: AtomicUsize,
    /// A step named `gate…` takes a permit to finish, one named `slow…` some time.
    pub(crate) gate: Semaphore,
    /// Tells that a gate was reached.
    pub(crate) reached: Semaphore,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self {
            executed: Mutex::default(),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            reached: Semaphore::new(0),
        }
    }

    pub(crate) fn executions(&self, step: &str) -> usize {
        self.executed.lock().get(step).copied().unwrap_or(0)
    }

    pub(crate) async fn reach(&self) {
        let reached = tokio::time::timeout(PATIENCE, self.reached.acquire()).await;
        reached.unwrap().unwrap().forget();
    }
}

/// A handler that does what its input says.
pub(crate) struct Steps(pub(crate) Arc<Probe>);

#[derive(Deserialize)]
struct Script {
    steps: Vec<String>,
    /// Attempts of the last step that fail before one succeeds.
    #[serde(default)]
    failures: usize,
    #[serde(default)]
    is_permanent: bool,
    #[serde(default)]
    panics: bool,
    /// The message of such a failure.
    #[serde(default = "as_told")]
    says: String,
}

fn as_told() -> String {
    "as the script says".to_owned()
}

impl Handler for Steps {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.running_max.fetch_max(running, Ordering::SeqCst);
        let _leave = Leave(&self.0);
        let script: Script = context.input()?;
        let last = script.steps.len();
        for (at, step) in (1..).zip(&script.steps) {
            let probe = &self.0;
            let script = &script;
            let key = format!("{}/{step}", context.operation_id());
            let done: usize = context
                .step(step, || async move {
                    let count = {
                        let mut executed = probe.executed.lock();
                        let count = executed.entry(key).or_insert(0);
                        *count += 1;
                        *count
                    };
                    if step.starts_with("gate") {
                        probe.reached.add_permits(1);
                        probe.gate.acquire().await?.forget();
                    }
                    if step.starts_with("slow") {
                        // Its work, which is neither fast nor slow.
                        let nothing = std::future::pending::<()>();
                        let time = Duration::from_millis(70);
                        let _ = tokio::time::timeout(time, nothing).await;
                    }
                    if step.starts_with("forever") {
                        probe.reached.add_permits(1);
                        std::future::pending::<()>().await;
                    }
                    if at == last && count <= script.failures {
                        assert!(!script.panics, "as the script says");
                        return Err(match script.is_permanent {
                            true => HandlerError::permanent(script.says.as_str()),
                            false => HandlerError::retryable(script.says.as_str()),
                        });
                    }
                    Ok(at)
                })
                .await?;
            assert_eq!(done, at, "a finished step gives its stored result");
        }
        Ok(json!({ "steps": last }))
    }
}

struct Leave<'a>(&'a Probe);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            probe: Arc::new(Probe::new()),
            idle_ms: 60_000,
            concurrency: 4,
            policy: Policy {
                retry: Retry {
                    attempts_max: 3,
                    initial: Duration::from_millis(1),
                    ..Retry::default()
                },
                step_timeout: PATIENCE,
                ..Policy::default()
            },
            step_grace: None,
            is_older: false,
            is_spread: false,
            clock: Clock::system(),
        }
    }

    /// One whose wall time stands still until the test moves it.
    pub(crate) fn timed() -> Self {
        Self {
            clock: Clock::manual(1_700_000_000_000, 1),
            ..Self::new()
        }
    }

    /// Lets time pass until an operation has ended.
    pub(crate) async fn pass_until(
        &self,
        node: &Running,
        operation: &str,
        status: OperationStatus,
    ) -> Operation {
        let passing = async {
            loop {
                let found = get(node, operation).await.unwrap();
                if found.status == status {
                    return found;
                }
                self.clock.advance(Duration::from_millis(10));
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, passing).await.unwrap()
    }

    pub(crate) fn store(&self) -> Arc<Embedded> {
        let path = self.directory.path().join("store");
        Arc::new(Embedded::open(EmbeddedConfig::new(path)).unwrap())
    }

    /// Opens the store again, once the tasks of a node that ended have let it go.
    pub(crate) async fn reopened(&self, store: Arc<Embedded>) -> Arc<Embedded> {
        let gone = async {
            while Arc::strong_count(&store) > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
        drop(store);
        self.store()
    }

    /// A node on `store`.
    pub(crate) async fn node(&self, store: &Arc<Embedded>) -> Running {
        let store = Arc::clone(store) as Arc<dyn Store>;
        self.node_on(store).await.unwrap()
    }

    /// The same on any store.
    pub(crate) async fn node_on(&self, store: Arc<dyn Store>) -> Result<Running, store::Error> {
        let application = self.application(&self.probe);
        let store = match self.is_spread {
            true => Arc::new(Spread(store)),
            false => store,
        };
        start_at(application, store, self.idle_ms, self.clock.clone()).await
    }

    /// What nodes of this world run, as a probe sees it.
    pub(crate) fn application(&self, probe: &Arc<Probe>) -> Application {
        let policy = Policy {
            concurrency: self.concurrency,
            ..self.policy.clone()
        };
        let hasty = Policy {
            step_timeout: Duration::from_millis(5),
            ..policy.clone()
        };
        let mut builder = Application::builder()
            .kind(Counter)
            .operation("steps", Steps(Arc::clone(probe)), policy.clone())
            .operation("life", Life(Arc::clone(probe)), policy.clone())
            .operation("hasty", Steps(Arc::clone(probe)), hasty);
        if !self.is_older {
            builder = builder.operation("digest", DigestHandler::default(), policy);
        }
        let application = builder.build().unwrap();
        match self.step_grace {
            Some(grace) => application.step_grace(grace),
            None => application,
        }
    }
}

/// A node that runs an application on a store.
pub(crate) async fn start(
    application: Application,
    store: Arc<dyn Store>,
    idle_ms: u64,
) -> Result<Running, store::Error> {
    start_at(application, store, idle_ms, Clock::system()).await
}

/// The same by a clock of the test's.
pub(crate) async fn start_at(
    application: Application,
    store: Arc<dyn Store>,
    idle_ms: u64,
    clock: Clock,
) -> Result<Running, store::Error> {
    let meta = store::migration::prepare(&*store, &clock).await?;
    let host = HostConfig {
        node: "node-1".to_owned(),
        idle_ms,
        slots: meta.slots,
    };
    let place = Place {
        host,
        index_shards: meta.index_shards,
        store,
        key: meta.session_key,
        clock,
    };
    application.start(place).await
}

pub(crate) fn id(text: &str) -> OperationId {
    OperationId::new(text).unwrap()
}

pub(crate) fn actor(operation: &str) -> ScopedAddress {
    ScopedAddress {
        tenant: tenant(),
        address: format!("operation/{operation}").parse().unwrap(),
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant::default_tenant()
}

struct Once(Mutex<Option<oneshot::Sender<Outcome>>>);

impl AnswerSink for Once {
    fn answer(&self, _token: u64, outcome: Outcome) {
        if let Some(sender) = self.0.lock().take() {
            let _ = sender.send(outcome);
        }
    }
}

pub(crate) async fn answered(ask: impl FnOnce(ReplyTo)) -> Result<Bytes, Failure> {
    let (sender, receiver) = oneshot::channel();
    ask(ReplyTo::new(Arc::new(Once(Mutex::new(Some(sender)))), 0));
    match tokio::time::timeout(PATIENCE, receiver)
        .await
        .unwrap()
        .unwrap()
    {
        Outcome::Success(success) => Ok(success.body),
        Outcome::Failure(failure) => Err(failure),
    }
}

pub(crate) async fn command(
    node: &Running,
    name: &str,
    operation: &str,
    body: &Value,
    payload: OperationPayload,
) -> Result<Value, Failure> {
    let command = OperationCommand {
        tenant: tenant(),
        principal: Arc::from("tester"),
        id: id(operation),
        identity: Identity::Natural,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        payload,
        if_version: None,
        deadline: None,
    };
    let body = answered(|reply| node.operations.command(command, reply)).await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

pub(crate) async fn submit(node: &Running, operation: &str, body: Value) -> Result<Value, Failure> {
    command(node, "submit", operation, &body, OperationPayload::None).await
}

pub(crate) async fn submit_steps(node: &Running, operation: &str, input: Value) {
    let body = json!({ "type": "steps", "input": input });
    submit(node, operation, body).await.unwrap();
}

pub(crate) async fn cancel(node: &Running, operation: &str) -> Result<Value, Failure> {
    command(
        node,
        "cancel",
        operation,
        &json!({}),
        OperationPayload::None,
    )
    .await
}

pub(crate) async fn get(node: &Running, operation: &str) -> Result<Operation, Failure> {
    let name = "get".to_owned();
    let id = id(operation);
    let query = |reply| {
        node.operations
            .query(tenant(), &id, name, Bytes::new(), None, reply);
    };
    Ok(serde_json::from_slice(&answered(query).await?).unwrap())
}

pub(crate) async fn list(node: &Running, body: Value) -> Result<Value, Failure> {
    let body = body.to_string();
    let listing = |reply| {
        node.operations
            .list(tenant(), "list", body.as_bytes(), reply);
    };
    Ok(serde_json::from_slice(&answered(listing).await?).unwrap())
}

pub(crate) async fn count(node: &Running, body: Value) -> Value {
    let body = body.to_string();
    let counting = |reply| {
        node.operations
            .list(tenant(), "count", body.as_bytes(), reply);
    };
    serde_json::from_slice(&answered(counting).await.unwrap()).unwrap()
}

pub(crate) async fn why(node: &Running, operation: &str) -> Why {
    let id = id(operation);
    let query = |reply| {
        let name = "why".to_owned();
        node.operations
            .query(tenant(), &id, name, Bytes::new(), None, reply);
    };
    serde_json::from_slice(&answered(query).await.unwrap()).unwrap()
}

pub(crate) async fn watch(node: &Running, operation: &str) -> Subscription {
    let since = Since::After(0);
    node.operations
        .subscribe(tenant(), &id(operation), since)
        .await
        .unwrap()
}

/// Watches until the event `name`; the names of the events on the way, and its data.
pub(crate) async fn until(events: &mut Subscription, name: &str) -> (Vec<String>, Value) {
    let mut names = Vec::new();
    loop {
        let item = tokio::time::timeout(PATIENCE, events.next()).await;
        let item = item
            .unwrap_or_else(|_| panic!("no {name} after {names:?}"))
            .unwrap();
        let SubscriptionItem::Event(event) = item else {
            panic!("{item:?} among events");
        };
        names.push(event.kind.to_string());
        if &*event.kind == name {
            return (names, serde_json::from_slice(&event.data).unwrap());
        }
    }
}

/// Waits for the end of an operation.
pub(crate) async fn finished(
    node: &Running,
    operation: &str,
    status: OperationStatus,
) -> Operation {
    let mut events = watch(node, operation).await;
    until(&mut events, status.name()).await;
    let found = get(node, operation).await.unwrap();
    assert_eq!(found.status, status);
    found
}

/// Waits for the end of an operation by asking for it.
pub(crate) async fn ended(node: &Running, operation: &str) -> Operation {
    let id = id(operation);
    loop {
        let name = "wait".to_owned();
        let query = |reply| {
            node.operations
                .query(tenant(), &id, name, Bytes::new(), None, reply);
        };
        match answered(query).await {
            Ok(body) => {
                let operation: Operation = serde_json::from_slice(&body).unwrap();
                assert!(operation.status.is_final(), "{operation:?}");
                return operation;
            }
            Err(failure) => assert_eq!(failure.code, ErrorCode::Unavailable, "{failure}"),
        }
    }
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> ErrorCode {
    result.unwrap_err().code
}
