//! Crashes and failing stores under load: nothing answered is lost, nothing takes effect twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, SubscriptionItem};
use selvedge_protocol::frame::{Outcome, Since};
use selvedge_protocol::{ErrorCode, SessionId};

use super::faults::Faulty;
use super::world::*;
use selvedge_cluster::actor::Identity;

fn identity(session: u64, number: u64) -> Identity {
    Identity::Session {
        session: SessionId::from_u128(u128::from(session)),
        number,
        acknowledged: number - 1,
    }
}

/// Adds one until it is answered for good; a failure that may be retried is.
async fn add_surely(host: &Host, key: &str, identity: Identity) -> u64 {
    loop {
        match add(host, key, identity).await {
            Outcome::Success(success) => return number(&success),
            Outcome::Failure(failure) => assert!(failure.code.may_be_retried(), "{failure}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_store_that_fails_by_seed_each_command_has_one_effect() {
    for seed in 0..5 {
        let world = World::new().await;
        let host = world.host_on(Arc::clone(&world.store)).await;
        host.stop().await;
        let faulty = Faulty {
            inner: Arc::clone(&world.store),
            dice: Clock::manual(0, seed),
            percent: 30,
            is_exclusive: seed % 2 == 0,
        };
        let host = world.host_on(Arc::new(faulty)).await;
        let clients = (1..=8_u64).map(|session| {
            let host = host.clone();
            tokio::spawn(async move {
                for number in 1..=25 {
                    add_surely(&host, "hot", identity(session, number)).await;
                }
            })
        });
        for client in futures::future::join_all(clients).await {
            client.unwrap();
        }
        drop(host);
        let host = world.host().await;
        assert_eq!(sum(&host, "hot").await, 200, "seed {seed}");
        let mut events = host.subscribe(actor("hot"), Since::After(0)).await.unwrap();
        for expected in 1..=200 {
            match events.next().await.unwrap() {
                SubscriptionItem::Event(event) => {
                    assert_eq!(
                        (event.seq, event.data),
                        (expected, expected.to_string().into())
                    );
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_host_dropped_in_mid_load_loses_nothing_it_answered() {
    let directory = tempfile::tempdir().unwrap();
    // What each client was told last, and has sent last.
    let told: Arc<Vec<AtomicU64>> = Arc::new((0..8).map(|_| AtomicU64::new(0)).collect());
    for round in 1..=5_u64 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let target = round * 100;
        runtime.block_on(async {
            let clock = Clock::manual(round, round);
            let host = start(open(&directory), clock, 60_000).await;
            for client in 0..8_u64 {
                let (host, told) = (host.clone(), Arc::clone(&told));
                tokio::spawn(async move {
                    let told = &told[usize::try_from(client).unwrap()];
                    loop {
                        let next = told.load(Ordering::Acquire) + 1;
                        let key = format!("client-{client}");
                        let answer = add_surely(&host, &key, identity(client, next)).await;
                        // The answer itself shows that each number took effect exactly once.
                        assert_eq!(answer, next);
                        told.store(next, Ordering::Release);
                    }
                });
            }
            while told
                .iter()
                .map(|it| it.load(Ordering::Acquire))
                .sum::<u64>()
                < target
            {
                tokio::task::yield_now().await;
            }
        });
        // Everything ends wherever it is; commits in flight are cut off.
        drop(runtime);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let host = start(open(&directory), Clock::manual(9, 9), 60_000).await;
        for (client, told) in told.iter().enumerate() {
            let (told, stored) = (
                told.load(Ordering::Acquire),
                sum(&host, &format!("client-{client}")).await,
            );
            assert!(
                stored == told || stored == told + 1,
                "{stored} after {told}"
            );
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_kind_costs_its_callers_and_nobody_else() {
    let world = World::new().await;
    let host = world.host().await;
    ok(add(&host, "a", session(1)).await);
    for number in 2..30 {
        let answer = host.ask(command("a", "panic", "", session(number))).await;
        assert_eq!(code(answer), ErrorCode::Internal);
        assert_eq!(add_surely(&host, "b", session(number)).await, number - 1);
    }
    assert_eq!(
        code(ask_query(&host, "a", "panic").await),
        ErrorCode::Internal
    );
    assert_eq!(add_surely(&host, "a", session(30)).await, 2);
}
