//! A room whose owner is killed while it is written to.

use selvedge_client::actor;

use super::{Cluster, accesses, owner};
use crate::process::traffic::Traffic;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_room_whose_owner_is_killed_loses_and_repeats_nothing() {
    const KILLS: usize = 3;
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut members = cluster.three(&storage);
    let room = actor("room/42").unwrap();
    // Writers and watchers on all nodes: also on the one that is killed.
    let mut traffic = Traffic::among(&accesses(&members), "room/42").await;
    let asking = members[0].access().connect().await;
    for _ in 0..KILLS {
        traffic.advance(100).await;
        let owner = owner(&asking, &room).await;
        let killed = members.iter_mut().find(|member| member.name == owner);
        let killed = killed.unwrap();
        killed.kill();
        traffic.advance(100).await;
        killed.start();
    }
    traffic.advance(100).await;
    asking.close().await;
    let outcome = traffic.finish().await;
    assert!(outcome.acknowledged >= KILLS * 200);
    assert_eq!(outcome.unknown, 0, "commands of sessions that go on");
    for member in &mut members {
        member.leave();
    }
    assert!(storage.stop("TERM").success());
}
