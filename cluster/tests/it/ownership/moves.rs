//! Nodes that come and go in order, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use selvedge_cluster::actor::Host;
use selvedge_cluster::membership::{Leave, Standing};
use tokio::task::JoinHandle;

use super::world::*;
use crate::actor::world::sum;

const ACTORS: u64 = 48;
const CLIENTS: u64 = 4;

/// Clients that add to actors until they are told to end.
struct Load {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(hosts: &[Host]) -> Self {
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let client = |client| {
            let (hosts, is_over, done) = (hosts.to_vec(), Arc::clone(&is_over), Arc::clone(&done));
            tokio::spawn(run(hosts, client, is_over, done))
        };
        Self {
            clients: (0..CLIENTS).map(client).collect(),
            is_over,
            done,
        }
    }

    /// Completes when so many more commands were answered: the load goes on.
    async fn passes(&self, count: u64) {
        let until = self.done.load(Ordering::SeqCst) + count;
        let waits = async {
            while self.done.load(Ordering::SeqCst) < until {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok());
    }

    /// Ends it. Answers how many commands there were.
    async fn end(self) -> u64 {
        self.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        self.done.load(Ordering::SeqCst)
    }
}

async fn run(hosts: Vec<Host>, client: u64, is_over: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    for number in 1.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let key = ((client * 31 + number) % ACTORS).to_string();
        add_surely(&hosts, &key, number_of(client, number)).await;
        done.fetch_add(1, Ordering::SeqCst);
    }
}

async fn total(host: &Host) -> u64 {
    let mut total = 0;
    for key in 0..ACTORS {
        total += sum(host, &key.to_string()).await;
    }
    total
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_has_all_and_gives_it_back() {
    let cluster = Cluster::new().await;
    let one = cluster.start("one").await;
    one.owns(32).await;
    assert_eq!(one.leave().await, Leave::Emptied);
    assert_eq!(one.host.held(), [0_u16; 0]);
    one.stands(Standing::Left).await;
    let again = cluster.start("one").await;
    again.owns(32).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_grows_to_three_and_shrinks_again_under_load() {
    let cluster = Cluster::new().await;
    let one = cluster.start("one").await;
    one.owns(32).await;
    // The hosts of those that come are known to the clients before they come.
    let (two, three) = (cluster.start("two").await, cluster.start("three").await);
    let load = Load::start(&[one.host.clone(), two.host.clone(), three.host.clone()]);
    for node in [&one, &two, &three] {
        node.owns_share_of(3).await;
    }
    all_served(&[&one.host, &two.host, &three.host]).await;
    load.passes(200).await;
    assert_eq!(three.leave().await, Leave::Emptied);
    load.passes(200).await;
    assert_eq!(two.leave().await, Leave::Emptied);
    one.owns(32).await;
    load.passes(200).await;
    let commands = load.end().await;
    assert_eq!(total(&one.host).await, commands);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_node_dies_the_others_take_over() {
    let cluster = Cluster::new().await;
    let one = cluster.start("one").await;
    let (two, three) = (cluster.start("two").await, cluster.start("three").await);
    for node in [&one, &two, &three] {
        node.owns_share_of(3).await;
    }
    all_served(&[&one.host, &two.host, &three.host]).await;
    let load = Load::start(&[one.host.clone(), two.host.clone(), three.host.clone()]);
    load.passes(100).await;
    // Of one all that it is goes, whether it is the controller or not.
    drop(one);
    all_served(&[&two.host, &three.host]).await;
    load.passes(100).await;
    let commands = load.end().await;
    drop(three);
    two.owns(32).await;
    assert_eq!(total(&two.host).await, commands);
}
