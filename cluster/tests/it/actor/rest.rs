//! Actors of which nothing more is expected: they leave memory at once, and nothing gets lost by it.

use std::time::Duration;

use selvedge_cluster::actor::{Claim, Host, Identity};

use super::world::*;

/// Completes when the actor is not activated, long before the idle time of these hosts.
async fn left(host: &Host, key: &str) {
    let leaving = async {
        while host.is_activated(&actor(key)) {
            tokio::task::yield_now().await;
        }
    };
    let leaving = tokio::time::timeout(Duration::from_secs(20), leaving);
    leaving.await.expect("an actor at rest stays activated");
}

async fn retire(host: &Host, key: &str) {
    ok(host.ask(command(key, "retire", "", session(1))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_at_rest_are_deactivated_at_once_and_come_back() {
    let world = World::new().await;
    let host = world.host().await;
    ok(add(&host, "busy", Identity::Natural).await);
    let keys: Vec<String> = (0..500).map(|key| key.to_string()).collect();
    let retiring = keys.iter().map(|key| retire(&host, key));
    futures::future::join_all(retiring).await;
    for key in &keys {
        left(&host, key).await;
    }
    assert!(host.is_activated(&actor("busy")));

    for key in &keys[..50] {
        // Told once, at activation: each query finds a fresh one.
        assert_eq!(number(&ok(ask_query(&host, key, "told").await)), 1);
        left(&host, key).await;
    }
    // What was decided before is still known.
    let first = add(&host, "7", session(2)).await;
    left(&host, "7").await;
    assert_eq!(add(&host, "7", session(2)).await, first);
    left(&host, "7").await;
    assert_eq!(sum(&host, "7").await, 1);
    host.stop().await;
}

/// Where others can write to the store, an answer from memory waits for a proof, after the actor has made it.
#[tokio::test(flavor = "multi_thread")]
async fn actors_at_rest_leave_when_their_last_answer_is_proven() {
    let world = World::new().await;
    let host = world.idle("node-1", 1).await;
    let claim = Claim {
        plan: 1,
        incarnation: 1,
    };
    host.take(&[0], claim, &|_, _| true).await.unwrap();
    retire(&host, "a").await;
    left(&host, "a").await;
    for _ in 0..50 {
        assert_eq!(number(&ok(ask_query(&host, "a", "told").await)), 1);
        left(&host, "a").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_that_takes_another_actor_in_knows_nothing_of_the_one_before() {
    let world = World::new().await;
    let host = world.host_with_slots(1).await;
    for round in 1..=20 {
        for key in ["a", "b", "c"] {
            ok(add(&host, key, session(round)).await);
            retire_in(&host, key, round).await;
            left(&host, key).await;
            assert_eq!(sum(&host, key).await, round);
            left(&host, key).await;
        }
    }
    // Of commands as well: each actor has its own memory of the session.
    let first = add(&host, "a", session(1_000)).await;
    left(&host, "a").await;
    ok(add(&host, "b", session(1_000)).await);
    left(&host, "b").await;
    assert_eq!(add(&host, "a", session(1_000)).await, first);
}

async fn retire_in(host: &Host, key: &str, round: u64) {
    ok(host
        .ask(command(key, "retire", "", session(100 + round)))
        .await);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_race_with_the_leaving_are_all_answered() {
    let world = World::new().await;
    let host = world.host().await;
    for key in 0..4 {
        retire(&host, &key.to_string()).await;
    }
    let clients = (0..8_u64).map(|client| {
        let host = host.clone();
        tokio::spawn(async move {
            for round in 0..200_u64 {
                let key = format!("{}", (client + round) % 4);
                ok(add(&host, &key, Identity::Natural).await);
                ok(ask_query(&host, &key, "sum").await);
            }
        })
    });
    for client in futures::future::join_all(clients).await {
        client.unwrap();
    }
    let mut total = 0;
    for key in 0..4 {
        total += sum(&host, &key.to_string()).await;
        left(&host, &key.to_string()).await;
    }
    assert_eq!(total, 1_600);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_shall_be_awake_is_not_at_rest() {
    let world = World::new().await;
    let host = world.host().await;
    ok(host.ask(command("a", "awake", "true", session(1))).await);
    ok(host.ask(command("a", "retire", "", session(2))).await);
    // Told at activation and of two commits, all of them in one activation.
    for _ in 0..3 {
        assert_eq!(number(&ok(ask_query(&host, "a", "told").await)), 3);
    }
    ok(host.ask(command("a", "awake", "false", session(3))).await);
    left(&host, "a").await;
}
