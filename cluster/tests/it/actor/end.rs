//! The end of an actor: nothing of it stays in the store, and what comes after it is a new life.

use bytes::Bytes;
use selvedge_cluster::actor::{Host, Identity, ScopedAddress, SubscriptionItem};
use selvedge_cluster::store::keys::{Family, Key, KeyRange};
use selvedge_cluster::store::{Isolation, Store};
use selvedge_protocol::frame::Since;

use super::world::*;

/// The keys of an actor that are stored.
async fn keys(store: &dyn Store, key: &str) -> Vec<Key> {
    let families = [
        Family::Actor,
        Family::Event,
        Family::Timer,
        Family::Outbox,
        Family::Awake,
        Family::Payload,
        Family::Catalog,
    ];
    let mut found = Vec::new();
    for family in families {
        let range = KeyRange::family(family).read(usize::MAX, Isolation::Snapshot);
        for (bytes, _) in store.begin().range(range).await.unwrap() {
            let decoded = Key::decode(&bytes).unwrap();
            if is_of(&decoded, &actor(key)) {
                found.push(decoded);
            }
        }
    }
    found
}

fn is_of(key: &Key, of: &ScopedAddress) -> bool {
    match key {
        Key::Actor { actor, .. }
        | Key::Event { actor, .. }
        | Key::Timer { actor, .. }
        | Key::Outbox { actor, .. }
        | Key::Awake { actor }
        | Key::Payload { actor, .. } => actor.address == of.address,
        Key::Catalog { address, .. } => *address == of.address,
        other => panic!("{other:?}"),
    }
}

async fn tell(host: &Host, name: &str, body: &str, identity: Identity) {
    ok(host.ask(command("a", name, body, identity)).await);
}

/// An actor with something in each family, most of it more than once.
async fn live(host: &Host) {
    tell(host, "add", "1", session(1)).await;
    tell(host, "add", "1", id("chosen")).await;
    tell(host, "ballast", "300000", Identity::Natural).await;
    tell(
        host,
        "timer",
        r#"{"name":"year","due":30000000000}"#,
        Identity::Natural,
    )
    .await;
    tell(host, "awake", "true", Identity::Natural).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_and_a_new_life_begins_at_nothing() {
    let world = World::new().await;
    let host = world.host().await;
    live(&host).await;
    assert!(keys(&*world.store, "a").await.len() > 8);
    let other = ok(add(&host, "b", Identity::Natural).await);
    let mut events = host.subscribe(actor("a"), Since::After(2)).await.unwrap();
    tell(&host, "end", "null", Identity::Natural).await;
    assert_eq!(keys(&*world.store, "a").await, []);
    match events.next().await.unwrap() {
        SubscriptionItem::Gap {
            after: 2,
            seq: 0,
            snapshot,
        } => {
            let fresh = ok(ask_query(&host, "never", "state").await).body;
            assert_eq!(snapshot, fresh);
        }
        other => panic!("{other:?}"),
    }
    // The ids of the former life are as unknown as the actor.
    let first = ok(add(&host, "a", session(1)).await);
    assert_eq!((first.seq, first.version), (1, 1));
    match events.next().await.unwrap() {
        SubscriptionItem::Event(event) => assert_eq!(event.seq, 1),
        other => panic!("{other:?}"),
    }
    drop(host);
    let host = world.host().await;
    assert_eq!(sum(&host, "a").await, 1);
    assert_eq!(sum(&host, "b").await, number(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_both_lives_arrive() {
    let world = World::new().await;
    let host = world.host().await;
    let mut events = host.subscribe(actor("to"), Since::After(0)).await.unwrap();
    for life in 1..=2 {
        let send = r#"{"to":"tally/to","times":3}"#;
        tell(&host, "send", send, Identity::Natural).await;
        tell(&host, "end", "null", Identity::Natural).await;
        for number in 1..=3 {
            match events.next().await.unwrap() {
                SubscriptionItem::Event(event) => {
                    let sum = (life - 1) * 3 + number;
                    assert_eq!(event.data, Bytes::from(sum.to_string()));
                }
                other => panic!("{other:?}"),
            }
        }
        world.clock.advance(std::time::Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_ends_and_lives_again_under_load() {
    let world = World::new().await;
    let host = world.host().await;
    let ends = async {
        for _ in 0..100 {
            tell(&host, "end", "null", Identity::Natural).await;
        }
    };
    let adds = async {
        for number in 1..=400 {
            ok(add(&host, "a", session(number)).await);
        }
    };
    tokio::join!(ends, adds);
    tell(&host, "end", "null", Identity::Natural).await;
    assert_eq!(keys(&*world.store, "a").await, []);
    assert_eq!(sum(&host, "a").await, 0);
}
