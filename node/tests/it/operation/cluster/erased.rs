//! The erasure of whom an operation is about that another node executes.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use selvedge_cluster::privacy::{Erased, Erasure, ScopedSubject};
use selvedge_cluster::store::{Isolation, Order, Range};
use selvedge_protocol::{ErrorCode, SubjectId};
use serde_json::{Value, json};

use super::super::world::*;
use super::lent::{pair, runs_on};
use super::*;

/// What is looked for in all that is left.
const MARK: &str = "MARKER-of-what-is-said";

fn ann() -> ScopedSubject {
    ScopedSubject {
        tenant: tenant(),
        subject: SubjectId::new("ann").unwrap(),
    }
}

async fn submit_about(node: &Running, operation: &str, subject: &str, input: Value) {
    let body = json!({ "type": "steps", "input": input, "labels": { "subject": subject } });
    submit(node, operation, body).await.unwrap();
}

/// Erases at one node, of which the others hear as by their notices.
async fn erase(at: &Node, others: &[&Node]) {
    let of = ann();
    let subjects = at.running.host.subjects().unwrap();
    let erasure = Erasure {
        of: &of,
        principal: "tester",
        notice: b"erased",
    };
    assert_eq!(subjects.erase(erasure).await.unwrap(), Erased::Now);
    for node in std::iter::once(&at).chain(others) {
        node.running.host.subject_erased(&of);
    }
    let mut after = None;
    loop {
        let swept = subjects.sweep(&of, after.as_ref()).await.unwrap();
        match swept.next {
            Some(next) => after = Some(next),
            None => return,
        }
    }
}

/// Waits until no handler runs at a node.
async fn is_idle(node: &Node) {
    let idle = async {
        while node.probe.running.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.unwrap();
}

/// The keys of rows in which a text is, of the store as it is on disk.
async fn holding(cluster: &Cluster, text: &str) -> Vec<String> {
    let all = Range {
        begin: Bound::Unbounded,
        end: Bound::Unbounded,
        order: Order::Ascending,
        limit: 100_000,
        isolation: Isolation::Snapshot,
    };
    let rows = cluster.store.begin().range(all).await.unwrap();
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    let found = rows
        .iter()
        .filter(|(key, value)| holds(key) || holds(value));
    found
        .map(|(key, _)| key.escape_ascii().to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_stops_the_handler_on_another_node() {
    let mut cluster = Cluster::with_keys().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    let script = json!({ "steps": ["a", "forever"], "says": MARK });
    submit_about(node, "of-ann", "ann", script.clone()).await;
    submit_about(node, "of-ben", "ben", script).await;
    for _ in 0..2 {
        runner.probe.reach().await;
    }
    runs_on(node, "of-ann", "runner").await;
    runs_on(node, "of-ben", "runner").await;
    // Whichever node is asked.
    erase(&runner, &[&owner]).await;
    let stopped = async {
        while runner.probe.running.load(Ordering::SeqCst) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, stopped).await.unwrap();
    assert_eq!(code(get(node, "of-ann").await), ErrorCode::NotFound);
    // That of another one goes on.
    runs_on(node, "of-ben", "runner").await;
    assert_eq!(runner.probe.running.load(Ordering::SeqCst), 1);
    cancel(node, "of-ben").await.unwrap();
    is_idle(&runner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_elsewhere_writes_after_the_erasure_is_not_to_be_read() {
    let mut cluster = Cluster::with_keys().await;
    let (owner, runner) = pair(&mut cluster).await;
    let node = &owner.running;
    // Each says the mark when it comes to its end, in its record and in an event.
    let script =
        json!({ "steps": ["a", "gate"], "failures": 9, "is_permanent": true, "says": MARK });
    let all: Vec<String> = (0..4).map(|number| format!("op-{number}")).collect();
    for operation in &all {
        submit_about(node, operation, "ann", script.clone()).await;
    }
    for _ in &all {
        runner.probe.reach().await;
    }
    // Their ends are on their way while the key is destroyed.
    runner.probe.gate.add_permits(all.len());
    erase(&owner, &[&runner]).await;
    is_idle(&runner).await;
    // Of what was under way at its own node, nothing is left once the erasure is repeated.
    let subjects = node.host.subjects().unwrap();
    subjects.sweep(&ann(), None).await.unwrap();
    for operation in &all {
        assert_eq!(code(get(node, operation).await), ErrorCode::NotFound);
    }
    let listed = list(node, json!({ "label": "subject=ann" })).await.unwrap();
    assert_eq!(listed["items"], json!([]), "{listed}");
    assert_eq!(holding(&cluster, MARK).await, Vec::<String>::new());
    assert_eq!(holding(&cluster, "op-").await, Vec::<String>::new());
}
