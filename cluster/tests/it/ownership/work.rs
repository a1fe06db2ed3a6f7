//! Slots that wait, before they move, for what is at work for their actors.

use std::time::Duration;

use selvedge_cluster::actor::{Host, Identity, Work};
use selvedge_cluster::membership::Leave;
use selvedge_cluster::ownership::OwnershipConfig;
use tokio::time::timeout;

use super::world::*;
use crate::actor::world::{actor, add, ok};

/// Nodes that wait for work as long as the test does.
const PATIENT: OwnershipConfig = OwnershipConfig {
    part: PATIENCE,
    quiet: Duration::from_secs(2),
    force: PATIENCE,
    look: Duration::from_millis(20),
    check: Duration::from_secs(5),
};

/// An actor in each slot of a host, and work that it has begun.
fn work_everywhere(host: &Host) -> Vec<(u16, String, Work)> {
    let works = host.owned().into_iter().map(|number| {
        let mut keys = (0..).map(|key| format!("of-{key}"));
        let key = keys.find(|key| slot(key) == number).unwrap();
        let work = host.begin_work(&actor(&key)).unwrap();
        (number, key, work)
    });
    works.collect()
}

async fn parts_with(host: &Host, count: usize) -> Vec<u16> {
    let mut changes = host.changes();
    let waits = async {
        while host.parting().len() != count {
            changes.changed().await.unwrap();
        }
    };
    let waited = timeout(PATIENCE, waits).await;
    assert!(waited.is_ok(), "{:?}", host.parting());
    host.parting()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_goes_when_what_is_at_work_for_its_actors_has_ended() {
    let cluster = Cluster::new().await;
    let one = cluster.start_with("one", PATIENT).await;
    one.owns(32).await;
    let mut works = work_everywhere(&one.host);
    let two = cluster.start_with("two", PATIENT).await;
    let parting = parts_with(&one.host, 16).await;
    // It serves them still; only work does not begin.
    assert_eq!(one.host.owned().len(), 32);
    for (number, key, _) in &works {
        ok(add(&one.host, key, Identity::Natural).await);
        let begun = one.host.begin_work(&actor(key));
        assert_eq!(begun.is_none(), parting.contains(number));
    }
    let first = works.iter().position(|(number, ..)| *number == parting[0]);
    drop(works.remove(first.unwrap()));
    two.owns(1).await;
    assert_eq!(two.host.owned(), [parting[0]]);
    drop(works);
    two.owns(16).await;
    one.owns(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_stays_after_all_lets_work_begin_again() {
    let cluster = Cluster::new().await;
    let one = cluster.start_with("one", PATIENT).await;
    one.owns(32).await;
    let works = work_everywhere(&one.host);
    let two = cluster.start_with("two", PATIENT).await;
    parts_with(&one.host, 16).await;
    assert_eq!(two.leave().await, Leave::Emptied);
    parts_with(&one.host, 0).await;
    assert_eq!(one.host.owned().len(), 32);
    for (_, key, _) in &works {
        assert!(one.host.begin_work(&actor(key)).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_does_not_wait_for_long_work() {
    let cluster = Cluster::new().await;
    let config = OwnershipConfig {
        part: Duration::from_millis(100),
        ..PATIENT
    };
    let one = cluster.start_with("one", config).await;
    one.owns(32).await;
    let works = work_everywhere(&one.host);
    let two = cluster.start_with("two", config).await;
    two.owns(16).await;
    one.owns(16).await;
    drop(works);
}
