//! Workers that are connected to another node than the owner of what they execute.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::membership::Role;
use selvedge_node::processing::worker::{Enlisted, TaskOutbox};
use selvedge_protocol::frame::{StepReport, StepResult, Task, WorkerReady};
use selvedge_protocol::{OperationType, Tenant};
use serde_json::json;
use tokio::sync::Semaphore;

use super::super::world::*;
use super::*;

const CORE: &[Role] = &[Role::Core, Role::Processing];
const EDGE: &[Role] = &[Role::Edge];

/// What a client that is a worker would have received.
#[derive(Default)]
struct Inbox {
    tasks: Mutex<Vec<Task>>,
    cancelled: Mutex<Vec<u64>>,
    arrived: Arriving,
}

struct Arriving(Semaphore);

impl Default for Arriving {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl TaskOutbox for Inbox {
    fn task(&self, task: Task) {
        self.tasks.lock().push(task);
        self.arrived.0.add_permits(1);
    }

    fn cancelled(&self, lease: u64) {
        self.cancelled.lock().push(lease);
    }
}

impl Inbox {
    async fn next(&self) -> Task {
        let arrived = tokio::time::timeout(PATIENCE, self.arrived.0.acquire()).await;
        arrived.unwrap().unwrap().forget();
        self.tasks.lock().remove(0)
    }
}

fn enlist(node: &Node) -> (Enlisted, Arc<Inbox>) {
    let inbox = Arc::<Inbox>::default();
    let workers = node.running.workers();
    let outbox = Arc::clone(&inbox) as Arc<dyn TaskOutbox>;
    let enlisted = workers.enlist(Tenant::default_tenant(), outbox);
    let ready = WorkerReady {
        types: vec![OperationType::new("resize").unwrap()],
        capacity: 2,
        ext: Vec::new(),
    };
    enlisted.ready(&ready).unwrap();
    (enlisted, inbox)
}

fn succeed(worker: &Enlisted, lease: u64) {
    worker.report(StepResult {
        lease,
        report: StepReport::Success(Bytes::from_static(b"{\"done\":true}")),
        ext: Vec::new(),
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_executes_what_another_node_owns() {
    let mut cluster = Cluster::new().await;
    let owner = cluster.node("owner", CORE).await;
    let edge = cluster.node("edge", EDGE).await;
    let other = cluster.node("other", EDGE).await;
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner, &edge, &other]);
    let node = &owner.running;
    let body = || json!({ "type": "resize", "input": { "width": 7 } });
    // Before anybody knows the type.
    submit(node, "early", body()).await.unwrap();
    assert_eq!(get(node, "early").await.unwrap().status, Status::Waiting);
    let (worker, inbox) = enlist(&edge);
    let task = inbox.next().await;
    assert_eq!(&task.input[..], br#"{"width":7}"#);
    succeed(&worker, task.lease);
    finished(node, "early", Status::Succeeded).await;

    // A cancel reaches the worker.
    submit(node, "cancelled", body()).await.unwrap();
    let task = inbox.next().await;
    cancel(node, "cancelled").await.unwrap();
    finished(node, "cancelled", Status::Cancelled).await;
    while !inbox.cancelled.lock().contains(&task.lease) {
        tokio::task::yield_now().await;
    }
    worker.freed(task.lease);

    // A worker that leaves, then a node that dies: the step is given to another.
    submit(node, "moved", body()).await.unwrap();
    inbox.next().await;
    drop(worker);
    let absent = async {
        while why(node, "moved")
            .await
            .waits
            .iter()
            .all(|wait| wait.reason != "worker")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, absent).await.unwrap();
    let (lost, lost_inbox) = enlist(&edge);
    lost_inbox.next().await;
    let (worker, inbox) = enlist(&other);
    drop(edge);
    cluster.bury("edge");
    cluster.tell(&[&owner, &other]);
    let task = inbox.next().await;
    drop(lost);
    succeed(&worker, task.lease);
    finished(node, "moved", Status::Succeeded).await;
}
