//! Crashes of a pool while its operations run and wait: all of them end, and no finished step runs again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_client::operation::{Operation, OperationStatus};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{AnswerSink, HostConfig, Identity, ReplyTo};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::Shards;
use selvedge_cluster::store::migration::SessionKey;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::SLOTS_DEFAULT;
use selvedge_protocol::{OperationId, OperationType, Tenant};
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};

use crate::app::{Application, Place, Running};
use crate::operation::{OperationCommand, OperationPayload};
use crate::processing::pools::PoolName;
use crate::processing::{Handler, HandlerError, OperationContext, Policy};

/// Waiting longer than this is a failure of the test, not a measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two steps; the second needs a permit.
#[derive(Clone)]
struct TwoSteps {
    first: Arc<Mutex<HashMap<String, usize>>>,
    reached: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl Handler for TwoSteps {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let count = || async {
            let id = context.operation_id().to_string();
            *self.first.lock().entry(id).or_insert(0) += 1;
            Ok(())
        };
        context.step("first", count).await?;
        let pass = || async {
            self.reached.add_permits(1);
            self.gate.acquire().await?.forget();
            Ok(())
        };
        context.step("second", pass).await?;
        Ok(Value::Null)
    }
}

struct Once(Mutex<Option<oneshot::Sender<Outcome>>>);

impl AnswerSink for Once {
    fn answer(&self, _token: u64, outcome: Outcome) {
        if let Some(sender) = self.0.lock().take() {
            drop(sender.send(outcome));
        }
    }
}

async fn answered(ask: impl FnOnce(ReplyTo)) -> Operation {
    let (sender, receiver) = oneshot::channel();
    ask(ReplyTo::new(Arc::new(Once(Mutex::new(Some(sender)))), 0));
    let answer = tokio::time::timeout(PATIENCE, receiver).await;
    match answer.unwrap().unwrap() {
        Outcome::Success(success) => serde_json::from_slice(&success.body).unwrap(),
        Outcome::Failure(failure) => panic!("{failure}"),
    }
}

async fn submit(node: &Running, id: &OperationId) {
    let command = OperationCommand {
        tenant: Tenant::default_tenant(),
        principal: Arc::from("tester"),
        id: id.clone(),
        identity: Identity::Natural,
        name: "submit".to_owned(),
        body: Bytes::from_static(br#"{"type":"two"}"#),
        payload: OperationPayload::None,
        if_version: None,
        deadline: None,
    };
    answered(|reply| node.operations.command(command, reply)).await;
}

async fn wait(node: &Running, id: &OperationId) -> Operation {
    let tenant = Tenant::default_tenant();
    let name = "wait".to_owned();
    answered(|reply| {
        node.operations
            .query(tenant, id, name, Bytes::new(), None, reply);
    })
    .await
}

async fn node(handler: TwoSteps) -> (Running, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap();
    let policy = Policy {
        concurrency: 4,
        ..Policy::default()
    };
    let place = Place {
        host: HostConfig {
            node: "node-1".to_owned(),
            idle_ms: 60_000,
            slots: SLOTS_DEFAULT,
        },
        index_shards: Shards::ONE,
        store: Arc::new(store),
        key: SessionKey::new([7; 32]),
        clock: Clock::system(),
    };
    let application = Application::builder().operation("two", handler, policy);
    let running = application.build().unwrap().start(place).await.unwrap();
    (running, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_pool_comes_back_and_its_operations_go_on() {
    let handler = TwoSteps {
        first: Arc::default(),
        reached: Arc::new(Semaphore::new(0)),
        gate: Arc::new(Semaphore::new(0)),
    };
    let (node, _directory) = node(handler.clone()).await;
    let ids: Vec<OperationId> = (0..20)
        .map(|number| OperationId::new(format!("op{number}")).unwrap())
        .collect();
    for id in &ids {
        submit(&node, id).await;
    }
    let name = PoolName::Local(OperationType::new("two").unwrap());
    // Four run, sixteen wait; all are lost with their pool, three times.
    for _ in 0..3 {
        let reached = tokio::time::timeout(PATIENCE, handler.reached.acquire_many(4)).await;
        reached.unwrap().unwrap().forget();
        assert!(node.pools.pool(&name).unwrap().crash());
    }
    handler.gate.add_permits(ids.len());
    for id in &ids {
        let done = wait(&node, id).await;
        assert_eq!(done.status, OperationStatus::Succeeded, "{id}");
        assert_eq!(handler.first.lock()[id.as_str()], 1, "{id}");
    }
    node.stop().await;
}
