//! A node whose store is gone for good, and that is told to end.

use std::time::Duration;

use selvedge_client::actor;
use selvedge_cluster::Clock;
use serde_json::json;

use super::frozen::until;
use super::{Cluster, Member};

/// Far less than the 30 s that a drain may take, and far more than the node needs.
const SOON: Duration = Duration::from_secs(15);

/// Tells a node to end, and checks that it does so in time and says why it handed nothing over.
fn ends_soon(member: &mut Member) {
    let clock = Clock::system();
    let begun = clock.monotonic();
    member.leave();
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}: {}", member.log());
    let said = "the store cannot be reached, so nothing can be handed over";
    assert!(member.log().contains(said), "{}", member.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_whose_store_was_killed_end_soon_and_say_why() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut members = [
        cluster.member(&storage, "node-1", &[]),
        cluster.member(&storage, "node-2", &[]),
    ];
    let client = members[0].access().connect().await;
    let counter = actor("counter/gone").unwrap();
    let add = || {
        let session = client.session().clone();
        let counter = counter.clone();
        async move {
            let body = json!({ "by": 1 });
            session.command(counter, "add", body).send().await
        }
    };
    add().await.unwrap();

    storage.kill();
    let lost = |log: &str| log.contains("the membership cannot use its store");
    for member in &members {
        until(member, "it misses its store", lost).await;
    }
    // Nobody can answer it any more.
    let waiting = tokio::spawn(add());
    tokio::task::block_in_place(|| members.each_mut().map(ends_soon));
    waiting.abort();
}

/// It is there, and does not say a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_whose_store_stands_still_ends_soon_and_says_why() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut member = cluster.member(&storage, "node-1", &[]);
    storage.signal("STOP");
    tokio::task::block_in_place(|| ends_soon(&mut member));
}
