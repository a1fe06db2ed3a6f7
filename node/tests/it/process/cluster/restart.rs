//! A new binary for a cluster that serves: each node is stopped in turn and started again.

use super::visits::Visits;
use super::{Cluster, accesses};
use crate::process::traffic::Traffic;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_restart_fails_no_command() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut members = cluster.three(&storage);
    let accesses = accesses(&members);
    let mut traffic = Traffic::among(&accesses, "room/rolled").await;
    let mut visits = Visits::start(&accesses).await;
    for member in &mut members {
        visits.advance(100).await;
        member.leave();
        traffic.advance(20).await;
        member.start();
        traffic.advance(20).await;
    }
    visits.advance(100).await;
    let done = visits.finish().await;
    assert!(done >= 400, "{done} commands");
    assert_eq!(traffic.finish().await.unknown, 0);
    for member in &mut members {
        member.leave();
    }
}
