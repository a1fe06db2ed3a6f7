//! What actors have audited: the change and its record are both there, or neither is.

use std::collections::BTreeSet;
use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, Identity};
use selvedge_cluster::audit::{
    AuditRecord, Chain, Entry, Outcome as Ended, Part, Search, Trail, Verification,
};
use selvedge_cluster::store::{Order, Store};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ErrorCode, Tenant};

use super::faults::Faulty;
use super::world::*;

fn chain() -> Chain {
    Tenant::default_tenant().into()
}

/// All records of the chain, which is whole.
async fn records(store: &Arc<dyn Store>) -> Vec<AuditRecord> {
    let trail = Trail::new(Arc::clone(store), Clock::manual(0, 1));
    let part = Part {
        from: None,
        anchor: None,
        records_max: u64::MAX,
    };
    let verified = trail.verify(&chain(), part).await.unwrap();
    let Verification::Whole(verified) = verified else {
        panic!("{verified:?}");
    };
    let search = Search {
        from: None,
        order: Order::Ascending,
        since_ms: None,
        until_ms: None,
        principal: None,
        action: None,
        limit: usize::MAX,
    };
    let found = trail.search(&chain(), &search).await.unwrap();
    assert_eq!(found.next, None);
    assert_eq!(
        u64::try_from(found.records.len()).unwrap(),
        verified.records
    );
    found.records
}

async fn audited(host: &Host, key: &str, identity: Identity) -> Outcome {
    host.ask(command(key, "audited", "1", identity)).await
}

/// Until it is answered for good; a failure that may be retried is.
async fn audited_surely(host: &Host, key: &str, identity: Identity) -> u64 {
    loop {
        match audited(host, key, identity).await {
            Outcome::Success(success) => return number(&success),
            Outcome::Failure(failure) => assert!(failure.code.may_be_retried(), "{failure}"),
        }
        tokio::task::yield_now().await;
    }
}

/// What the records say of an actor: each sum that it had, once.
fn sums(records: &[AuditRecord], key: &str) -> Vec<u64> {
    let target = format!("tally/{key}");
    let of = records.iter().filter(|it| it.entry.target == target);
    of.map(|it| it.entry.detail.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_who_did_what_and_when() {
    let world = World::new().await;
    let host = world.host().await;
    ok(audited(&host, "a", id("one")).await);
    // The same again is the same.
    ok(audited(&host, "a", id("one")).await);
    ok(add(&host, "a", Identity::Natural).await);
    let [record] = &records(&world.store).await[..] else {
        panic!("there is one");
    };
    let expected = Entry {
        at_ms: 1_000_000,
        principal: "tester".to_owned(),
        action: "tally.add".to_owned(),
        target: "tally/a".to_owned(),
        outcome: Ended::Done,
        detail: "1".to_owned(),
    };
    assert_eq!(record.entry, expected);
    // What changes nothing cannot be in a commit: a defect of the kind.
    let nothing = command("a", "audited-nothing", "1", Identity::Natural);
    assert_eq!(code(host.ask(nothing).await), ErrorCode::Internal);
    assert_eq!(records(&world.store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_store_that_fails_by_seed_each_change_has_one_record() {
    for seed in 0..5 {
        let world = World::new().await;
        world.host().await.stop().await;
        let faulty = Faulty {
            inner: Arc::clone(&world.store),
            dice: Clock::manual(0, seed),
            percent: 30,
            is_exclusive: seed % 2 == 0,
        };
        let host = world.host_on(Arc::new(faulty)).await;
        let clients = (0..4_u64).map(|client| {
            let host = host.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let key = ["a", "b"][usize::try_from(client % 2).unwrap()];
                    let identity = id(&format!("{client}/{number}"));
                    audited_surely(&host, key, identity).await;
                }
            })
        });
        for client in futures::future::join_all(clients).await {
            client.unwrap();
        }
        drop(host);
        let records = records(&world.store).await;
        for key in ["a", "b"] {
            // In the order in which they took effect, each once.
            assert_eq!(
                sums(&records, key),
                (1..=20).collect::<Vec<_>>(),
                "seed {seed}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_append_to_one_chain_come_to_their_turn() {
    let world = World::new().await;
    let host = world.host().await;
    let actors = (0..8).map(|actor| {
        let host = host.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                audited_surely(&host, &format!("actor-{actor}"), Identity::Natural).await;
            }
        })
    });
    let other = Trail::new(Arc::clone(&world.store), Clock::system());
    let other = tokio::spawn(async move {
        for number in 0..40 {
            let entry = Entry {
                at_ms: number,
                principal: "another".to_owned(),
                action: "node.other".to_owned(),
                target: number.to_string(),
                outcome: Ended::Done,
                detail: String::new(),
            };
            other.record(&chain(), &entry).await.unwrap();
        }
    });
    for actor in futures::future::join_all(actors).await {
        actor.unwrap();
    }
    other.await.unwrap();
    let records = records(&world.store).await;
    assert_eq!(records.len(), 120);
    for actor in 0..8 {
        let sums = sums(&records, &format!("actor-{actor}"));
        assert_eq!(sums, (1..=10).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_owner_leaves_no_record() {
    let world = World::new().await;
    let first = world.host().await;
    ok(audited(&first, "a", Identity::Natural).await);
    let second = world.host().await;
    let refused = code(audited(&first, "a", Identity::Natural).await);
    assert_eq!(refused, ErrorCode::Unavailable);
    assert_eq!(sum(&second, "a").await, 1);
    assert_eq!(records(&world.store).await.len(), 1);
    ok(audited(&second, "a", Identity::Natural).await);
    assert_eq!(sums(&records(&world.store).await, "a"), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_actor_leaves_what_was_recorded_of_it() {
    let world = World::new().await;
    let host = world.host().await;
    // Decided together, perhaps in one commit.
    let both = ["audited", "end"].map(|name| host.ask(command("a", name, "1", Identity::Natural)));
    for outcome in futures::future::join_all(both).await {
        ok(outcome);
    }
    assert_eq!(sum(&host, "a").await, 0);
    assert_eq!(sums(&records(&world.store).await, "a"), [1]);
    let actions: BTreeSet<_> = records(&world.store)
        .await
        .into_iter()
        .map(|it| it.entry.action)
        .collect();
    assert_eq!(actions, BTreeSet::from(["tally.add".to_owned()]));
}
