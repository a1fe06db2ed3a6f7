//! A cluster that grows and shrinks while clients work, and how its actors are spread.

use std::collections::BTreeMap;

use futures::future::join_all;
use selvedge_client::{Client, OperationId};
use selvedge_cluster::Clock;

use super::visits::Visits;
use super::{Cluster, accesses, owner_of_operation, submit_for_later};
use crate::process::PATIENCE;
use crate::process::traffic::Traffic;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_grows_to_three_nodes_and_back_and_fails_no_command() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut members = vec![cluster.member(&storage, "node-1", &[])];
    let asking = members[0].access().connect().await;
    let actors = Actors::new(&asking).await;
    let alone = accesses(&members);
    let mut traffic = Traffic::among(&alone, "room/grown").await;
    let mut visits = Visits::start(&[alone.clone(), alone].concat()).await;
    visits.advance(50).await;
    actors.spread(&[("node-1", 100)]).await;

    members.push(cluster.member(&storage, "node-2", &[]));
    visits.advance(50).await;
    members.push(cluster.member(&storage, "node-3", &[]));
    visits.advance(50).await;
    actors
        .spread(&[("node-1", 100), ("node-2", 100), ("node-3", 100)])
        .await;
    traffic.advance(50).await;
    while members.len() > 1 {
        members.pop().unwrap().leave();
        visits.advance(50).await;
        traffic.advance(20).await;
    }
    actors.spread(&[("node-1", 100)]).await;
    let done = visits.finish().await;
    assert!(done >= 250, "{done} commands");
    assert_eq!(traffic.finish().await.unknown, 0);
    asking.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_of_twice_the_weight_has_twice_the_actors() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let members = [
        cluster.member(&storage, "node-1", &[]),
        cluster.member(&storage, "node-2", &["--weight", "200"]),
    ];
    let asking = members[1].access().connect().await;
    let actors = Actors::new(&asking).await;
    actors.spread(&[("node-1", 100), ("node-2", 200)]).await;
    asking.close().await;
}

/// Actors that tell who owns them: operations.
struct Actors<'a> {
    client: &'a Client,
    ids: Vec<OperationId>,
}

impl<'a> Actors<'a> {
    async fn new(client: &'a Client) -> Self {
        let ids = (0..1_000).map(|number| OperationId::new(format!("spread-{number}")).unwrap());
        let ids: Vec<_> = ids.collect();
        for some in ids.chunks(100) {
            join_all(some.iter().map(|id| submit_for_later(client, id))).await;
        }
        Self { client, ids }
    }

    async fn owners(&self) -> BTreeMap<String, u64> {
        let mut owners = BTreeMap::new();
        for some in self.ids.chunks(100) {
            let asked = some.iter().map(|id| owner_of_operation(self.client, id));
            for owner in join_all(asked).await {
                *owners.entry(owner).or_default() += 1;
            }
        }
        owners
    }

    /// Returns when each of these nodes, and nobody else, owns its share by weight, give or take 15 %.
    async fn spread(&self, nodes: &[(&str, u64)]) {
        let weights: u64 = nodes.iter().map(|(_, weight)| weight).sum();
        let clock = Clock::system();
        let begun = clock.monotonic();
        loop {
            let owners = self.owners().await;
            let is_share = |(name, weight): &(&str, u64)| {
                let share = 1_000 * weight / weights;
                let owned = owners.get(*name).copied().unwrap_or(0);
                owned.abs_diff(share) * 100 <= share * 15
            };
            if owners.len() == nodes.len() && nodes.iter().all(is_share) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{owners:?} are not the shares of {nodes:?}"
            );
        }
    }
}
