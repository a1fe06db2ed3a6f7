//! Workers as raw peers: what they get, what of what they say counts, and what becomes of their tasks when
//! they fall silent, leave, or are told to stop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::HostConfig;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{Store, migration};
use selvedge_node::Application;
use selvedge_node::app::{Place, Running};
use selvedge_node::gateway::Gateway;
use selvedge_node::session::{Addresses, Inside, OtherNodes, SessionConfig, no_other_nodes};
use selvedge_protocol::frame::{
    ClientFrame, Goodbye, Hello, Notice, Outcome, Ping, Reply, Request, ServerFrame, StepReport,
    StepResult, Task, Welcome, WorkerReady,
};
use selvedge_protocol::{ErrorCode, Failure, Target, Tenant, time};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::peer::{Node, PATIENCE, Peer, command, config, hello, inside, query, success};
use super::service::Stand;
use crate::process::Moments;

mod credential;
mod payload;

/// Nothing in a test takes so long that a lease of this runs out by itself.
const LONG: Duration = PATIENCE;

/// Leases that a test waits out; far longer than what it does within one.
const SHORT: Duration = Duration::from_secs(1);

/// A node with operations, and a client that submits them.
struct World {
    node: Node,
    application: Running,
    _directory: tempfile::TempDir,
    client: Client,
}

/// Asks of operations what clients do.
struct Client {
    peer: Peer,
    asked: u64,
}

impl World {
    async fn new(lease: Duration) -> Self {
        Self::among(no_other_nodes().quic, lease).await
    }

    /// A node that knows of others.
    async fn among(others: Addresses, lease: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config_of = EmbeddedConfig::new(directory.path().join("store"));
        let store: Arc<dyn Store> = Arc::new(Embedded::open(config_of).unwrap());
        let clock = Clock::system();
        let meta = migration::prepare(&*store, &clock).await.unwrap();
        let place = Place {
            host: HostConfig {
                node: "test".to_owned(),
                idle_ms: 60_000,
                slots: meta.slots,
            },
            index_shards: meta.index_shards,
            store,
            key: meta.session_key,
            clock,
        };
        let application = Application::builder().build().unwrap().worker_lease(lease);
        let application = application.start(place).await.unwrap();
        let gateway = Gateway::new(&application);
        let inside = Inside {
            others: OtherNodes {
                quic: others,
                ..no_other_nodes()
            },
            ..inside(Arc::new(gateway), Some(application.workers()))
        };
        let session = SessionConfig::new("test");
        let node = Node::around(config(), session, inside, Stand::new()).await;
        let client = Client {
            peer: node.session().await.0,
            asked: 0,
        };
        Self {
            node,
            application,
            _directory: directory,
            client,
        }
    }

    /// Another node, before the same operations.
    async fn beside(&self) -> Node {
        let gateway = Gateway::new(&self.application);
        let inside = inside(Arc::new(gateway), Some(self.application.workers()));
        Node::around(config(), SessionConfig::new("beside"), inside, Stand::new()).await
    }

    async fn ask(&mut self, id: &str, name: &str, body: Value) -> Result<Value, Failure> {
        self.client.ask(id, name, body).await
    }

    async fn submit(&mut self, id: &str) -> Value {
        self.client.submit(id).await
    }

    async fn ended(&mut self, id: &str) -> Value {
        self.client.ended(id).await
    }

    async fn worker(&self, capacity: u32) -> Peer {
        self.worker_of(None, capacity).await.0
    }

    async fn worker_of(&self, tenant: Option<&str>, capacity: u32) -> (Peer, Welcome) {
        let mut peer = self.node.connect().await;
        let hello = Hello {
            tenant: tenant.map(|tenant| Tenant::new(tenant).unwrap()),
            ..hello(None)
        };
        peer.send(&[ClientFrame::Hello(hello)]).await;
        let welcome = peer.welcome().await;
        peer.send(&[ready(&["resize"], capacity)]).await;
        settled(&mut peer, 1).await;
        (peer, welcome)
    }
}

impl Client {
    async fn ask(&mut self, id: &str, name: &str, body: Value) -> Result<Value, Failure> {
        self.asked += 1;
        let target = Target::Operation(id.parse().unwrap());
        let body = Bytes::from(body.to_string());
        let is_query = matches!(name, "get" | "wait" | "why");
        let (frame, request) = if is_query {
            let mut frame = query(self.asked, name, body);
            if let ClientFrame::Query(query) = &mut frame {
                query.target = target;
            }
            (frame, Request::Query(self.asked))
        } else {
            let mut frame = command(self.asked, name);
            (frame.target, frame.body) = (target, body);
            (ClientFrame::Command(frame), Request::Command(self.asked))
        };
        self.peer.send(&[frame]).await;
        let Reply {
            request: answered,
            outcome,
            ..
        } = self.peer.reply().await;
        assert_eq!(answered, request);
        match outcome {
            Outcome::Success(success) => Ok(serde_json::from_slice(&success.body).unwrap()),
            Outcome::Failure(failure) => Err(failure),
        }
    }

    async fn submit(&mut self, id: &str) -> Value {
        let body = json!({ "type": "resize", "input": { "of": id } });
        self.ask(id, "submit", body).await.unwrap()
    }

    /// The operation, once it is final.
    async fn ended(&mut self, id: &str) -> Value {
        self.ask(id, "wait", json!({})).await.unwrap()
    }
}

fn ready(types: &[&str], capacity: u32) -> ClientFrame {
    ClientFrame::WorkerReady(WorkerReady {
        types: types.iter().map(|name| name.parse().unwrap()).collect(),
        capacity,
        ext: Vec::new(),
    })
}

fn said(lease: u64, report: StepReport) -> ClientFrame {
    ClientFrame::StepResult(StepResult {
        lease,
        report,
        ext: Vec::new(),
    })
}

fn done(lease: u64, result: &str) -> ClientFrame {
    said(lease, StepReport::Success(Bytes::from(result.to_owned())))
}

fn failed(lease: u64, code: ErrorCode) -> ClientFrame {
    said(
        lease,
        StepReport::Failure(Failure::new(code, "as the test says")),
    )
}

fn beat(lease: u64, progress: &str) -> ClientFrame {
    said(
        lease,
        StepReport::Heartbeat(Bytes::from(progress.to_owned())),
    )
}

async fn task(peer: &mut Peer) -> Task {
    let next = tokio::time::timeout(PATIENCE, peer.next()).await;
    match next.unwrap() {
        Some(ServerFrame::Task(task)) => task,
        other => panic!("no task: {other:?}, {:?}", peer.connection.close_reason()),
    }
}

async fn notice(peer: &mut Peer) -> Notice {
    let next = tokio::time::timeout(PATIENCE, peer.next()).await;
    match next.unwrap() {
        Some(ServerFrame::Notice(notice)) => notice,
        other => panic!("no notice: {other:?}"),
    }
}

/// What was said before has been heard, and nothing has come of it.
async fn settled(peer: &mut Peer, nonce: u64) {
    peer.send(&[ClientFrame::Ping(Ping { nonce })]).await;
    match peer.next().await {
        Some(ServerFrame::Pong(pong)) => assert_eq!(pong.nonce, nonce),
        other => panic!("not a pong: {other:?}"),
    }
}

fn operation(task: &Task) -> String {
    match &task.operation {
        Target::Operation(id) => id.to_string(),
        other => panic!("a task of {other}"),
    }
}

#[tokio::test]
async fn a_worker_wakes_what_waited_for_one_and_its_result_is_the_operations() {
    let mut world = World::new(LONG).await;
    let submitted = world.submit("a").await;
    assert_eq!(submitted["status"], "waiting");
    let waiting_for = submitted["waitingFor"].as_str().unwrap();
    assert!(waiting_for.starts_with("handler: "), "{waiting_for}");

    let mut worker = world.node.session().await.0;
    worker.send(&[ready(&["resize"], 1)]).await;
    let task = task(&mut worker).await;
    assert_eq!(operation(&task), "a");
    assert_eq!(task.operation_type.as_str(), "resize");
    assert_eq!((&*task.step, task.attempt), ("work", 1));
    assert_eq!(&task.input[..], br#"{"of":"a"}"#);
    assert_eq!(Duration::from_millis(task.lease_ms.into()), LONG);
    assert!(task.lease < 1 << 53, "JSON readers keep it exact");

    worker.send(&[beat(task.lease, r#"{"half":true}"#)]).await;
    while world.ask("a", "get", json!({})).await.unwrap()["progress"] != json!({ "half": true }) {}
    worker.send(&[done(task.lease, r#"{"width":7}"#)]).await;
    let ended = world.ended("a").await;
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(ended["result"], json!({ "width": 7 }));
    assert_eq!(ended["steps"][0]["name"], "work");
}

#[tokio::test]
async fn no_more_tasks_are_out_than_a_worker_takes() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(2).await;
    for id in ["a", "b", "c", "d", "e"] {
        world.submit(id).await;
    }
    let mut out = vec![task(&mut worker).await, task(&mut worker).await];
    settled(&mut worker, 2).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let first = out.remove(0);
        worker.send(&[done(first.lease, "1")]).await;
        seen.push(operation(&first));
        if seen.len() + out.len() < 5 {
            out.push(task(&mut worker).await);
        }
        settled(&mut worker, 3).await;
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    // More types and more places, later: what counts is what it said last.
    worker.send(&[ready(&["resize", "crop"], 3)]).await;
    for id in ["f", "g", "h", "i"] {
        world.submit(id).await;
    }
    for _ in 0..3 {
        task(&mut worker).await;
    }
    settled(&mut worker, 4).await;
}

#[tokio::test]
async fn a_silent_workers_step_is_given_to_another_and_its_late_result_is_refused() {
    let mut world = World::new(SHORT).await;
    let mut silent = world.worker(4).await;
    world.submit("a").await;
    let lost = task(&mut silent).await;
    let mut other = world.worker(4).await;
    let found = task(&mut other).await;
    assert_eq!((operation(&found), found.attempt), (operation(&lost), 2));
    assert_ne!(found.lease, lost.lease);

    let cancelled = Notice::TaskCancelled { lease: lost.lease };
    assert_eq!(notice(&mut silent).await, cancelled);
    silent.send(&[done(lost.lease, r#""late""#)]).await;
    let refused = Notice::ResultRefused { lease: lost.lease };
    assert_eq!(notice(&mut silent).await, refused);
    other.send(&[done(found.lease, r#""in time""#)]).await;
    let ended = world.ended("a").await;
    assert_eq!(
        (&ended["result"], &ended["attempt"]),
        (&json!("in time"), &json!(2))
    );
    // Heard of again, it gets tasks again.
    other.send(&[ready(&[], 0)]).await;
    settled(&mut other, 5).await;
    world.submit("b").await;
    let next = task(&mut silent).await;
    silent.send(&[done(next.lease, "1")]).await;
    assert_eq!(world.ended("b").await["status"], "succeeded");
}

#[tokio::test]
async fn heartbeats_keep_a_lease() {
    let mut world = World::new(SHORT).await;
    let mut worker = world.worker(1).await;
    world.submit("a").await;
    let task = task(&mut worker).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..15 {
        ticks.tick().await;
        worker.send(&[beat(task.lease, "")]).await;
    }
    worker.send(&[done(task.lease, "1")]).await;
    assert_eq!(world.ended("a").await["attempt"], 1);
}

#[tokio::test]
async fn a_worker_that_leaves_or_breaks_the_protocol_loses_its_tasks_at_once() {
    let mut world = World::new(LONG).await;
    world.submit("a").await;
    let mut first = world.node.session().await.0;
    first.send(&[ready(&["resize"], 1)]).await;
    task(&mut first).await;
    first
        .send(&[ClientFrame::Goodbye(Goodbye { failure: None })])
        .await;
    let mut second = world.worker(1).await;
    let again = task(&mut second).await;
    assert_eq!(again.attempt, 2);
    let seen = world.ask("a", "get", json!({})).await.unwrap();
    assert_eq!(seen["error"]["code"], "worker_lost");
    second.send(&[done(again.lease, "1")]).await;
    assert_eq!(world.ended("a").await["status"], "succeeded");
}

#[tokio::test]
async fn a_cancel_reaches_the_worker_and_the_place_is_free_when_it_says_so() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(1).await;
    world.submit("a").await;
    let cancelled = task(&mut worker).await;
    world.submit("b").await;
    world.ask("a", "cancel", json!({})).await.unwrap();
    let lease = cancelled.lease;
    assert_eq!(notice(&mut worker).await, Notice::TaskCancelled { lease });
    assert_eq!(world.ended("a").await["status"], "cancelled");
    worker.send(&[beat(lease, "")]).await;
    assert_eq!(notice(&mut worker).await, Notice::TaskCancelled { lease });
    settled(&mut worker, 6).await;
    worker.send(&[failed(lease, ErrorCode::Unavailable)]).await;
    let next = task(&mut worker).await;
    assert_eq!(operation(&next), "b");
    worker.send(&[done(next.lease, "1")]).await;
    assert_eq!(world.ended("b").await["status"], "succeeded");
}

#[tokio::test]
async fn another_tenants_worker_never_gets_the_task() {
    let mut world = World::new(LONG).await;
    let (mut stranger, _) = world.worker_of(Some("strangers"), 8).await;
    let submitted = world.submit("a").await;
    let waiting_for = submitted["waitingFor"].as_str().unwrap();
    assert!(waiting_for.starts_with("handler: "), "{waiting_for}");
    let mut worker = world.worker_of(None, 0).await.0;
    let known = world.ask("a", "get", json!({})).await.unwrap();
    let waiting_for = known["waitingFor"].as_str().unwrap();
    assert!(waiting_for.starts_with("worker: "), "{waiting_for}");
    worker.send(&[ready(&["resize"], 1)]).await;
    let ours = task(&mut worker).await;
    // Nor can it say anything of the lease.
    stranger.send(&[done(ours.lease, r#""theirs""#)]).await;
    let refused = Notice::ResultRefused { lease: ours.lease };
    assert_eq!(notice(&mut stranger).await, refused);
    worker.send(&[done(ours.lease, r#""ours""#)]).await;
    assert_eq!(world.ended("a").await["result"], "ours");
    settled(&mut stranger, 7).await;
}

#[tokio::test]
async fn failures_end_the_attempt_or_the_operation() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(1).await;
    world.submit("a").await;
    let first = task(&mut worker).await;
    worker
        .send(&[failed(first.lease, ErrorCode::Unavailable)])
        .await;
    let second = task(&mut worker).await;
    assert_eq!(second.attempt, 2);
    worker
        .send(&[failed(second.lease, ErrorCode::Rejected)])
        .await;
    let ended = world.ended("a").await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["error"]["code"], "rejected");
    assert_eq!(ended["error"]["step"], "work");
    world.submit("b").await;
    let third = task(&mut worker).await;
    worker.send(&[done(third.lease, "no JSON")]).await;
    assert_eq!(world.ended("b").await["error"]["code"], "invalid_result");
}

#[tokio::test]
async fn a_failure_that_says_when_to_retry_is_heeded() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(1).await;
    world.submit("a").await;
    let first = task(&mut worker).await;
    let failure = Failure {
        retry_after_ms: Some(3_600_000),
        ..Failure::new(ErrorCode::LimitExceeded, "as the test says")
    };
    let before_ms = Clock::system().wall_ms();
    worker
        .send(&[said(first.lease, StepReport::Failure(failure))])
        .await;
    let why = loop {
        let why = world.ask("a", "why", json!({})).await.unwrap();
        if why["status"] == "waiting" {
            break why;
        }
    };
    let next = time::parse(why["nextAttemptAt"].as_str().unwrap()).unwrap();
    assert!(next >= before_ms + 3_600_000, "{why}");
    assert_eq!(why["lastError"]["code"], "limit_exceeded");
}

#[tokio::test]
async fn a_lease_goes_on_over_a_new_connection() {
    let mut world = World::new(LONG).await;
    let (mut worker, welcome) = world.worker_of(None, 1).await;
    world.submit("a").await;
    let task = task(&mut worker).await;
    let (mut resumed, _) = world.node.resume(&welcome).await;
    world.submit("b").await;
    // Not ready on this connection yet, and its one place is taken.
    settled(&mut resumed, 8).await;
    resumed.send(&[ready(&["resize"], 1)]).await;
    settled(&mut resumed, 9).await;
    resumed.send(&[done(task.lease, r#""resumed""#)]).await;
    assert_eq!(world.ended("a").await["result"], "resumed");
    assert_eq!(operation(&self::task(&mut resumed).await), "b");
}

#[tokio::test]
async fn a_draining_node_lets_tasks_finish_and_gives_no_more() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(2).await;
    world.submit("a").await;
    let task = task(&mut worker).await;
    // Dropped, the application would end its handlers.
    let World {
        node,
        application: _application,
        _directory,
        ..
    } = world;
    let running = node.drain();
    assert!(matches!(notice(&mut worker).await, Notice::Draining { .. }));
    settled(&mut worker, 10).await;
    worker.send(&[done(task.lease, "1")]).await;
    assert_eq!(worker.expelled().await.code, ErrorCode::Unavailable);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_is_sent_elsewhere_finishes_first_and_gets_no_more_here() {
    let others = watch::channel(Arc::from(["b.example:1".to_owned()])).1;
    let mut world = World::among(others, LONG).await;
    let (mut worker, welcome) = world.worker_of(None, 2).await;
    world.submit("a").await;
    let first = task(&mut worker).await;
    world.node.sessions.redirect_all();
    // Its own session goes as well: the other one is for those that ask.
    let other = world.beside().await;
    world.client = Client {
        peer: other.session().await.0,
        asked: 0,
    };
    world.submit("b").await;
    // What it says it takes does not count here any more; requests and heartbeats do.
    worker
        .send(&[ready(&["resize"], 2), beat(first.lease, "")])
        .await;
    settled(&mut worker, 11).await;
    worker.send(&[query(1, "list", "{}")]).await;
    assert_eq!(worker.reply().await.request, Request::Query(1));
    worker.send(&[done(first.lease, r#""here""#)]).await;
    match worker.next().await {
        Some(ServerFrame::Redirect(redirect)) => assert_eq!(redirect.address, "b.example:1"),
        next => panic!("not sent elsewhere: {next:?}"),
    }
    assert_eq!(worker.expelled().await.code, ErrorCode::Unavailable);
    let ended = world.ended("a").await;
    assert_eq!(
        (&ended["result"], &ended["attempt"]),
        (&json!("here"), &json!(1))
    );

    let (mut resumed, _) = other.resume(&welcome).await;
    resumed.send(&[ready(&["resize"], 2)]).await;
    let next = task(&mut resumed).await;
    assert_eq!((operation(&next), next.attempt), ("b".to_owned(), 1));
    resumed.send(&[done(next.lease, r#""there""#)]).await;
    assert_eq!(world.ended("b").await["result"], "there");
}

#[tokio::test]
async fn a_node_without_workers_says_so() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    peer.send(&[query(1, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(1));
    peer.send(&[ready(&["resize"], 1)]).await;
    assert_eq!(peer.expelled().await.code, ErrorCode::UnknownCommand);
}

#[tokio::test]
async fn workers_that_come_and_go_do_all_that_was_asked_for() {
    let mut world = World::new(SHORT).await;
    let ids: Vec<String> = (0..100).map(|n| format!("a{n}")).collect();
    for id in &ids {
        world.submit(id).await;
    }
    let World { node, client, .. } = &mut world;
    let workers = (0..8).map(|nth| come_and_go(node, nth));
    let all_ended = async {
        for id in &ids {
            let ended = client.ended(id).await;
            assert_eq!(ended["status"], "succeeded", "{ended}");
            assert_eq!(ended["result"], json!({ "of": id }));
        }
    };
    tokio::select! {
        _ = futures::future::join_all(workers) => panic!("a worker ended"),
        () = all_ended => {}
    }
}

/// Leaves twice in the middle of its tasks, with a word or without, and fails some of them. It never gets
/// more than it takes.
async fn come_and_go(node: &Node, nth: u64) {
    const CAPACITY: usize = 3;
    let mut moments = Moments(nth + 1);
    for stay in 0.. {
        let mut peer = node.session().await.0;
        peer.send(&[ready(&["resize"], 3)]).await;
        let mut out: Vec<Task> = Vec::new();
        let mut left = 4;
        while left > 0 {
            match tokio::time::timeout(Duration::from_millis(5), peer.next()).await {
                Ok(Some(ServerFrame::Task(task))) => out.push(task),
                // Of a lease that ran out meanwhile.
                Ok(Some(ServerFrame::Notice(_))) | Err(_) => {}
                Ok(other) => panic!("no task: {other:?}"),
            }
            assert!(out.len() <= CAPACITY, "{out:?}");
            if out.is_empty() || moments.number(2) == 0 {
                continue;
            }
            let task = out.swap_remove(0);
            let report = match task.attempt {
                1 if moments.number(4) == 0 => failed(task.lease, ErrorCode::Overloaded),
                _ => done(task.lease, std::str::from_utf8(&task.input).unwrap()),
            };
            peer.send(&[report]).await;
            // The last stay has no end.
            left -= u32::from(stay < 2);
        }
        if moments.number(2) == 0 {
            let goodbye = Goodbye { failure: None };
            peer.send(&[ClientFrame::Goodbye(goodbye)]).await;
            while peer.next().await.is_some() {}
        }
    }
}
