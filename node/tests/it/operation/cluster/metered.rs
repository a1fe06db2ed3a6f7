//! What is counted of attempts that other nodes execute.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::membership::Role;
use selvedge_node::metrics::{ATTEMPTS_LENT, ATTEMPTS_LENT_LOST, GUESTS, GUESTS_REFUSED};
use serde_json::json;

use super::super::world::*;
use super::*;

/// Counters by name, of operations of the type `steps`.
#[derive(Debug, Default)]
struct Counters(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Counters {
    fn count(&self, name: &str) -> u64 {
        let counters = self.0.lock();
        counters
            .get(name)
            .map_or(0, |counter| counter.load(Ordering::SeqCst))
    }

    /// Completes when a counter has reached a number.
    async fn reaches(&self, name: &str, number: u64) {
        let reached = async {
            while self.count(name) < number {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{name} is {}", self.count(name));
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut labels = key.labels();
        if !labels.all(|label| (label.key(), label.value()) == ("type", "steps")) {
            return Counter::noop();
        }
        let mut counters = self.0.lock();
        let counter = counters.entry(key.name().to_owned()).or_default();
        Counter::from_arc(Arc::clone(counter))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

// On one thread, to which these counters belong.
#[tokio::test]
async fn lending_is_counted_at_both_ends() {
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let mut world = World::new();
    world.concurrency = 1;
    let mut cluster = Cluster::of(world).await;
    let owner = cluster.node("owner", &[Role::Core]).await;
    let runner = cluster.node("runner", &[Role::Processing]).await;
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner, &runner]);
    let node = &owner.running;
    submit_steps(node, "one", json!({ "steps": ["gate"] })).await;
    runner.probe.reach().await;
    assert_eq!(counters.count(ATTEMPTS_LENT), 1);
    assert_eq!(counters.count(GUESTS), 1);
    assert_eq!(counters.count(GUESTS_REFUSED), 0);
    // Its only place is taken.
    submit_steps(node, "two", json!({ "steps": ["gate"] })).await;
    counters.reaches(GUESTS_REFUSED, 1).await;
    runner.probe.gate.add_permits(1);
    finished(node, "one", Status::Succeeded).await;
    runner.probe.reach().await;
    assert_eq!(counters.count(ATTEMPTS_LENT), 2);
    assert_eq!(counters.count(GUESTS), 2);
    assert_eq!(counters.count(ATTEMPTS_LENT_LOST), 0);
    drop(runner);
    cluster.bury("runner");
    cluster.tell(&[&owner]);
    counters.reaches(ATTEMPTS_LENT_LOST, 1).await;
}
