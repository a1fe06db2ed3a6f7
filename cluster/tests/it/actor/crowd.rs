//! Many actors, one hot actor, and actors that come and go under load.

use std::sync::Arc;

use selvedge_cluster::actor::Identity;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;

use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_actors_are_activated_and_answer() {
    let world = World::new().await;
    let host = world.host().await;
    let mut answers = Vec::new();
    for key in 0..10_000 {
        let (reply, answer) = reply();
        let add = command(&key.to_string(), "add", "1", Identity::Natural);
        host.command(add, reply);
        answers.push(answer);
    }
    for answer in answers {
        assert_eq!(number(&ok(answer.await.unwrap())), 1);
    }
    for key in [0, 5_000, 9_999] {
        assert_eq!(sum(&host, &key.to_string()).await, 1);
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_a_hot_actor_share_commits_and_stay_in_order() {
    let world = World::new().await;
    let host = world.host().await;
    let mut answers = Vec::new();
    for _ in 0..4_000 {
        let (reply, answer) = reply();
        host.command(command("hot", "add", "1", Identity::Natural), reply);
        answers.push(answer);
    }
    let mut version = 0;
    for (index, answer) in answers.into_iter().enumerate() {
        let success = ok(answer.await.unwrap());
        assert_eq!(number(&success), index as u64 + 1);
        assert!(success.version >= version, "answers of later commits first");
        version = success.version;
    }
    assert!(version < 2_000, "{version} commits for 4,000 commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_bound_a_mailbox_refuses_and_recovers() {
    let world = World::new().await;
    let host = world.host().await;
    let mut answers = Vec::new();
    for _ in 0..20_000 {
        let (reply, answer) = reply();
        host.command(command("hot", "add", "1", Identity::Natural), reply);
        answers.push(answer);
    }
    let (mut added, mut refused) = (0, 0);
    for answer in answers {
        match answer.await.unwrap() {
            Outcome::Success(_) => added += 1,
            Outcome::Failure(failure) => {
                assert_eq!(failure.code, ErrorCode::Overloaded);
                assert!(failure.retry_after_ms.is_some());
                refused += 1;
            }
        }
    }
    assert_eq!(added + refused, 20_000);
    assert_eq!(sum(&host, "hot").await, added);
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_passivated_under_load_lose_no_request() {
    let world = World::new().await;
    // A quarter of this is a round of passivation: actors end all the time.
    let store = Arc::clone(&world.store);
    let host = start(store, world.clock.clone(), 4).await;
    let clients = (0..8_u64).map(|client| {
        let host = host.clone();
        tokio::spawn(async move {
            for round in 0..200_u64 {
                let key = format!("{}", (client * 7 + round) % 16);
                ok(add(&host, &key, Identity::Natural).await);
            }
        })
    });
    for client in futures::future::join_all(clients).await {
        client.unwrap();
    }
    let mut total = 0;
    for key in 0..16 {
        total += sum(&host, &key.to_string()).await;
    }
    assert_eq!(total, 1_600);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_actor_is_passivated_and_comes_back() {
    let world = World::new().await;
    let store = Arc::clone(&world.store);
    let host = start(store, world.clock.clone(), 4).await;
    ok(add(&host, "a", Identity::Natural).await);
    // Asking it anything would keep it awake; the host tells without asking.
    while host.is_activated(&actor("a")) {
        tokio::task::yield_now().await;
    }
    // Told once at activation and once per commit; a fresh activation starts over.
    assert_eq!(number(&ok(ask_query(&host, "a", "told").await)), 1);
    assert_eq!(sum(&host, "a").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_lets_decided_commands_commit() {
    let world = World::new().await;
    let host = world.host().await;
    let mut answers = Vec::new();
    for key in 0..500 {
        let (reply, answer) = reply();
        let add = command(&(key % 50).to_string(), "add-soon", "1", Identity::Natural);
        host.command(add, reply);
        answers.push(answer);
    }
    host.stop().await;
    for answer in answers {
        ok(answer.await.unwrap());
    }
    assert_eq!(
        code(add(&host, "1", Identity::Natural).await),
        ErrorCode::Unavailable
    );
    let host = world.host().await;
    assert_eq!(sum(&host, "7").await, 10);
}
