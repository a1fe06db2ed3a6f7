//! What is sealed, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::actor::{CommandRequest, Identity};
use selvedge_cluster::privacy::Unsealing;
use selvedge_cluster::store::keys::{ActorPath, Family, Key};
use selvedge_cluster::store::{Isolation, Store};
use selvedge_protocol::frame::{Consistency, Since};
use selvedge_protocol::{ErrorCode, SessionId, Tenant};

use super::world::{MARK, SLOTS, World, command, diary, holds, id, pages_of, rows, said};
use crate::actor::world::{code, ok};

#[tokio::test]
async fn nothing_of_a_subject_is_stored_in_the_clear_and_all_of_it_comes_back() {
    let world = World::new();
    let node = world.node("node-1").await;
    for (number, name) in ["write", "remind", "tell", "awake"].into_iter().enumerate() {
        ok(node.tell("ann/a", name, &said(number, "ann")).await);
    }
    let session = Identity::Session {
        session: SessionId::from_u128(7),
        number: 1,
        acknowledged: 0,
    };
    let told = command("ann/a", "write", &said(4, "ann"), session);
    ok(node.host.ask(told).await);
    let told = || command("ann/a", "write", &said(5, "ann"), id("x"));
    ok(node.host.ask(told()).await);
    // Larger than a record may be.
    let large = format!("{MARK}{}", "x".repeat(200_000));
    ok(node.tell("ann/a", "fill", &large).await);
    let families = [Family::Actor, Family::Event, Family::Timer, Family::Outbox];
    for (key, value) in rows(&*world.inner).await {
        assert!(!holds(&value, MARK), "{}", key.escape_ascii());
        if Family::of(&key).is_some_and(|family| families.contains(&family)) {
            assert!(
                value.starts_with(b"\xf5selvedge-sealed\x01"),
                "{}",
                key.escape_ascii()
            );
        }
    }

    let again = world.node("node-1").await;
    let pages = again.pages("ann/a").await;
    assert_eq!(pages.len(), 7);
    assert_eq!((&*pages[0], &*pages[6]), (&*said(0, "ann"), &*large));
    // Outcomes as well: a repeat takes no effect.
    ok(again.host.ask(told()).await);
    assert_eq!(again.pages("ann/a").await.len(), 7);
    assert_eq!(
        pages_of(&again.host, "ann/a", Consistency::Eventual)
            .await
            .len(),
        7
    );
    let mut events = again
        .host
        .subscribe(diary("ann/a"), Since::After(0))
        .await
        .unwrap();
    for _ in 0..6 {
        events.next().await.unwrap();
    }
    drop(events);
    node.host.stop().await;
    again.host.stop().await;
    assert!(!holds(&world.bytes_on_disk(), MARK));
}

#[tokio::test]
async fn what_is_about_nobody_is_stored_as_ever() {
    let world = World::new();
    let node = world.node("node-1").await;
    ok(node.tell("nobody", "write", &said(0, "nobody")).await);
    let stored = rows(&*world.inner).await;
    assert!(stored.iter().any(|(_, value)| holds(value, MARK)));
    assert!(
        !stored
            .iter()
            .any(|(_, value)| value.starts_with(b"\xf5selvedge-sealed"))
    );
    let keys = stored
        .iter()
        .filter(|(key, _)| Family::of(key) == Some(Family::SubjectKey));
    assert_eq!(keys.count(), 0);
}

#[tokio::test]
async fn a_node_without_keys_stores_nothing_personal_and_says_why() {
    let world = World::new();
    let host = world.host("node-1", Arc::clone(&world.inner)).await;
    let refused = host
        .ask(command("ann/a", "write", MARK, Identity::Natural))
        .await;
    assert_eq!(code(refused), ErrorCode::Rejected);
    ok(host
        .ask(command("nobody", "write", "fine", Identity::Natural))
        .await);
    assert!(
        !rows(&*world.inner)
            .await
            .iter()
            .any(|(_, value)| holds(value, MARK))
    );
}

#[tokio::test]
async fn a_row_that_was_moved_is_damage() {
    let world = World::new();
    let node = world.node("node-1").await;
    ok(node.tell("ann/a", "write", "one").await);
    ok(node.tell("ann/b", "write", "two").await);
    drop(node);
    let stored = rows(&*world.inner).await;
    let records: Vec<_> = stored
        .iter()
        .filter(|(key, _)| Family::of(key) == Some(Family::Actor))
        .collect();
    let [(one, value), (two, _)] = records[..] else {
        panic!("{} records", records.len());
    };
    let mut transaction = world.inner.begin();
    transaction.set(two, value);
    transaction.commit().await.unwrap();
    let moved = two;
    let node = world.node("node-1").await;
    let key = match holds(moved, "a\0") && moved != one {
        _ if holds(moved, "ann/b") => "ann/b",
        _ => "ann/a",
    };
    let refused = node.tell(key, "write", "three").await;
    assert_eq!(code(refused), ErrorCode::Internal);
}

#[tokio::test]
async fn actors_of_a_subject_that_begin_at_once_share_its_key() {
    let world = World::new();
    let node = world.node("node-1").await;
    let names: Vec<_> = (0..32).map(|number| format!("ann/{number}")).collect();
    let told = names.iter().map(|name| node.tell(name, "write", "x"));
    for outcome in futures::future::join_all(told).await {
        ok(outcome);
    }
    let stored = rows(&*world.inner).await;
    let keys = stored
        .iter()
        .filter(|(key, _)| Family::of(key) == Some(Family::SubjectKey));
    assert_eq!(keys.count(), 1);
    let index = stored
        .iter()
        .filter(|(key, _)| Family::of(key) == Some(Family::SubjectActor));
    assert_eq!(index.count(), 32);
}

#[tokio::test]
async fn an_actor_that_ends_is_not_of_its_subject_any_more() {
    let world = World::new();
    let node = world.node("node-1").await;
    ok(node.tell("ann/a", "write", "x").await);
    ok(node.tell("ann/a", "end", "").await);
    let of_subject = |stored: &[(Bytes, Bytes)]| {
        let rows = stored
            .iter()
            .filter(|(key, _)| Family::of(key) == Some(Family::SubjectActor));
        rows.count()
    };
    assert_eq!(of_subject(&rows(&*world.inner).await), 0);
    ok(node.tell("ann/a", "write", "y").await);
    assert_eq!(of_subject(&rows(&*world.inner).await), 1);
    assert_eq!(node.pages("ann/a").await, ["y"]);
}

/// Bytes of clients that begin like sealed ones, of whoever they are.
#[tokio::test]
async fn a_value_that_looks_sealed_comes_back_as_it_was() {
    let world = World::new();
    let node = world.node("node-1").await;
    let like = b"\xf5selvedge-sealed\x01 and more";
    for key in ["nobody", "ann/a"] {
        let attach = CommandRequest {
            body: Bytes::from_static(like),
            ..command(key, "attach", "", Identity::Natural)
        };
        ok(node.host.ask(attach).await);
        let actor = ActorPath {
            slot: diary(key).address.slot(&Tenant::default_tenant(), SLOTS),
            tenant: Tenant::default_tenant(),
            address: diary(key).address,
        };
        let row = Key::Payload { actor, chunk: 0 }.encode();
        let get = |store: Arc<dyn Store>| {
            let row = row.clone();
            async move {
                store
                    .begin()
                    .get(&row, Isolation::Snapshot)
                    .await
                    .unwrap()
                    .unwrap()
            }
        };
        let unsealing = Arc::new(Unsealing::new(node.keys.clone()));
        assert_eq!(get(unsealing).await, like.as_slice());
        assert_ne!(get(Arc::clone(&world.inner)).await, like.as_slice());
    }
}
