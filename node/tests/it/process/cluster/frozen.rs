//! A node that stands still for longer than it takes the others to go on without it, and then wakes up.

use std::fs;
use std::path::Path;

use selvedge_client::{Target, actor};
use selvedge_cluster::Clock;

use super::{Cluster, Member, accesses, owner};
use crate::process::PATIENCE;
use crate::process::traffic::Traffic;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_frozen_is_fenced_and_comes_back() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let members = cluster.three(&storage);
    let room = actor("room/frozen").unwrap();
    let mut traffic = Traffic::among(&accesses(&members), "room/frozen").await;
    traffic.advance(50).await;
    let first = members[0].access().connect().await;
    let name = owner(&first, &room).await;
    first.close().await;
    let frozen = members.iter().find(|it| it.name == name).unwrap();
    let other = members.iter().find(|it| it.name != name).unwrap();

    frozen.signal("STOP");
    // Somebody else owns the room by then, and clients of the frozen node have gone elsewhere. What they had sent
    // to it is still in its socket.
    traffic.advance(200).await;
    frozen.signal("CONT");
    let ousted = |log: &str| log.contains("declared dead, it joins anew");
    until(frozen, "it is told that it was declared dead", ousted).await;
    until(frozen, "it joins", |log| log.contains("joined anew")).await;
    traffic.advance(200).await;

    // It has a share again.
    let client = other.access().connect().await;
    let clock = Clock::system();
    let begun = clock.monotonic();
    let mut owners = Vec::new();
    while !owners.contains(&name) {
        assert!(begun.elapsed() < PATIENCE, "{owners:?}");
        let number = owners.len();
        let any: Target = actor(&format!("room/any-{number}")).unwrap();
        owners.push(owner(&client, &any).await);
    }
    client.close().await;
    let outcome = traffic.finish().await;
    assert_eq!(outcome.unknown, 0, "commands of sessions that go on");
}

/// Returns when what a node has said is as wanted.
pub(super) async fn until(member: &Member, what: &str, is_it: impl Fn(&str) -> bool) {
    let clock = Clock::system();
    let begun = clock.monotonic();
    while !is_it(&member.log()) {
        assert!(begun.elapsed() < PATIENCE, "{what}: {}", member.log());
        tokio::task::yield_now().await;
    }
}

/// The same for what stands in a file, which may not be there yet.
pub(crate) fn said(log: &Path, part: &str) {
    let clock = Clock::system();
    let begun = clock.monotonic();
    let log = || fs::read_to_string(log).unwrap_or_default();
    while !log().contains(part) {
        assert!(begun.elapsed() < PATIENCE, "{part:?}: {}", log());
        std::thread::yield_now();
    }
}
