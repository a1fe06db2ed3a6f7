//! A limit of a tenant over three nodes in processes of their own, while the owner of the limit is killed.

use std::time::Duration;

use selvedge_client::{CallError, Client, Session, Target, actor};
use selvedge_node::limit::Rate;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::{Cluster, Member, accesses, owner};
use crate::process::{Access, PATIENCE};

/// Commands a second that are sent to each node.
const OFFERED: u64 = 167;
/// How long they are sent, and when the owner is killed and started again.
const SECONDS: u64 = 30;
const KILLED_AT: u64 = 12;
const STARTED_AT: u64 = 16;

/// Sends commands at a rate whatever comes back, and tells when each was accepted.
async fn offer(
    session: Session,
    target: Target,
    rate: u64,
    end: Instant,
    accepted: mpsc::Sender<Instant>,
) {
    let mut calls = JoinSet::new();
    let mut ticks = interval(Duration::from_micros(1_000_000 / rate));
    while Instant::now() < end {
        ticks.tick().await;
        let (session, target) = (session.clone(), target.clone());
        let accepted = accepted.clone();
        calls.spawn(async move {
            let command = session.command(target, "add", json!({ "by": 1 }));
            // Long enough to be asked again once or twice; who is refused to the end gives up.
            match command.deadline(Duration::from_millis(250)).send().await {
                Ok(_) => accepted.send(Instant::now()).await.unwrap(),
                Err(CallError::Failure(_) | CallError::OutcomeUnknown | CallError::Timeout) => {}
                Err(error) => panic!("{error:?}"),
            }
        });
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
}

/// A client of this tenant.
async fn connect(access: &Access, tenant: &str) -> Client {
    let builder = Client::builder()
        .server(&access.server)
        .ca_file(&access.ca)
        .token(&access.token)
        .tenant(tenant);
    builder.connect_timeout(PATIENCE).connect().await.unwrap()
}

/// Kills the owner of the limit, and starts it again.
async fn disturb(members: &mut [Member], owner: &str, began: Instant) {
    let owner = members.iter_mut().find(|it| it.name == owner).unwrap();
    tokio::time::sleep_until(began + Duration::from_secs(KILLED_AT)).await;
    owner.kill();
    tokio::time::sleep_until(began + Duration::from_secs(STARTED_AT)).await;
    tokio::task::block_in_place(|| owner.start());
}

/// To connect anew, from another port, to another node, or to change the address of a connection is no way to get more.
async fn comes_again(accesses: &[Access]) {
    let set = accesses[0].ask(&["limit", "set", "principal:admin", "commands", "3/h"]);
    assert_eq!(set["batch"], 1, "{set}");
    let in_force = Instant::now() + Duration::from_secs(1);
    tokio::time::sleep_until(in_force).await;
    let mut accepted = 0;
    for round in 0..3 {
        let before = accepted;
        for (number, access) in accesses.iter().enumerate() {
            let client = connect(access, "default").await;
            let target = actor(&format!("counter/again-{number}")).unwrap();
            for _ in 0..3 {
                let command = client
                    .session()
                    .command(target.clone(), "add", json!({ "by": 1 }));
                match command.deadline(Duration::from_millis(250)).send().await {
                    Ok(_) => accepted += 1,
                    Err(CallError::Failure(failure)) => {
                        assert_eq!(failure.field.as_deref(), Some("principal.commands"));
                    }
                    Err(CallError::OutcomeUnknown | CallError::Timeout) => {}
                    Err(error) => panic!("{error:?}"),
                }
                client.rebind().unwrap();
            }
            client.close().await;
        }
        // The burst, and a batch of each node.
        assert!((1..=3 + 3).contains(&accepted), "{accepted}");
        assert!(
            round == 0 || accepted == before,
            "{accepted} after {before}"
        );
    }
    accesses[0].ask(&["limit", "delete", "principal:admin", "commands"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_has_its_rate_and_no_more_while_the_owner_is_killed() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut members = cluster.three(&storage);
    let accesses = accesses(&members);
    let rate: Rate = "50/s".parse().unwrap();
    let set = accesses[0].ask(&["limit", "set", "tenant:default", "commands", "50/s"]);
    assert_eq!(set["batch"], 5, "{set}");
    let in_force = Instant::now() + Duration::from_secs(1);
    // Whichever node is asked.
    for access in &accesses {
        let got = access.ask(&["limit", "get", "tenant:default", "commands"]);
        assert_eq!(got["rate"], "50/s");
    }
    let limited = actor("limit/commands/tenant").unwrap();
    let asking = connect(&accesses[0], "default").await;
    let owner = owner(&asking, &limited).await;
    asking.close().await;

    // By then, on each of them.
    tokio::time::sleep_until(in_force).await;
    let began = Instant::now();
    let end = began + Duration::from_secs(SECONDS);
    let (accepted, mut taken) = mpsc::channel(100_000);
    let (others, mut others_taken) = mpsc::channel(100_000);
    let mut load = JoinSet::new();
    let mut clients = Vec::new();
    for (number, access) in accesses.iter().enumerate() {
        let client = connect(access, "default").await;
        let target = actor(&format!("counter/limited-{number}")).unwrap();
        let session = client.session().clone();
        load.spawn(offer(session, target, OFFERED, end, accepted.clone()));
        clients.push(client);
        let client = connect(access, "other").await;
        let target = actor(&format!("counter/free-{number}")).unwrap();
        let session = client.session().clone();
        load.spawn(offer(session, target, 30, end, others.clone()));
        clients.push(client);
    }
    drop((accepted, others));
    disturb(&mut members, &owner, began).await;
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }

    let (mut times, mut free) = (Vec::new(), 0);
    while let Some(time) = taken.recv().await {
        times.push(time);
    }
    while others_taken.recv().await.is_some() {
        free += 1;
    }
    let time = times
        .last()
        .unwrap()
        .duration_since(*times.first().unwrap());
    let came = time.as_secs_f64() * rate.tokens() as f64;
    // Three nodes, one of which started again.
    let bound = came + (rate.burst() + 4 * rate.batch()) as f64;
    let count = times.len() as f64;
    assert!(count <= bound, "{count} of at most {bound} in {time:?}");
    // For some seconds of them nobody owned the limit, and nodes let nothing through that nobody counts.
    assert!(count >= came * 0.4, "{count} of {came} in {time:?}");
    // 90 a second, more than the limit; what was sent while actors had no owner may have been given up.
    assert!(f64::from(free) > 90.0 * SECONDS as f64 * 0.6, "{free}");
    for client in clients {
        client.close().await;
    }
    accesses[0].ask(&["limit", "delete", "tenant:default", "commands"]);
    comes_again(&self::accesses(&members)).await;
    for member in &mut members {
        member.leave();
    }
    assert!(storage.stop("TERM").success());
}
