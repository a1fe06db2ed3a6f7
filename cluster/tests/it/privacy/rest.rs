//! Keys that are wrapped anew or lost, lists, and consents.

use std::sync::Arc;

use selvedge_cluster::privacy::{
    ConsentChange, KeyState, SubjectKeys, Unsealing, WrappingKeys, consents, rewrap, set_consent,
    subjects,
};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::keys::Family;
use selvedge_protocol::limits::CONSENTS_MAX;
use selvedge_protocol::{ErrorCode, Tenant};

use super::world::{Node, World, rows, subject};
use crate::actor::world::{code, ok};

async fn node_with(world: &World, text: &str) -> Node {
    let wrapping = WrappingKeys::parse(text).unwrap();
    let keys = SubjectKeys::new(Arc::clone(&world.inner), Arc::new(wrapping));
    let store: Arc<dyn Store> = Arc::new(Unsealing::new(keys.clone()));
    let host = world.host("node-1", store).await;
    Node { host, keys }
}

#[tokio::test]
async fn keys_are_wrapped_anew_while_actors_go_on() {
    let world = World::new();
    let (old, new) = (WrappingKeys::generate("old"), WrappingKeys::generate("new"));
    let both = node_with(&world, &format!("{}{}", *new, *old)).await;
    let before = node_with(&world, &old).await;
    for number in 0..70 {
        ok(before.tell(&format!("s{number}/a"), "write", "x").await);
    }
    drop(before);
    let both_keys = both.keys.clone();
    drop(both);
    let both = node_with(&world, &format!("{}{}", *new, *old)).await;
    ok(both.tell("s1/a", "write", "y").await);
    let tenant = Tenant::default_tenant();
    let first = rewrap(&both_keys, &world.clock, (&tenant, "tester"), None)
        .await
        .unwrap();
    assert_eq!((first.keys, first.looked), (64, 64));
    let rest = rewrap(
        &both_keys,
        &world.clock,
        (&tenant, "tester"),
        first.next.as_ref(),
    )
    .await;
    let rest = rest.unwrap();
    assert_eq!((rest.keys, rest.next), (6, None));
    // With the key in memory, and the row changed under it.
    ok(both.tell("s1/a", "write", "z").await);
    drop(both);
    let after = node_with(&world, &new).await;
    assert_eq!(after.pages("s1/a").await, ["x", "y", "z"]);
    let shown = subjects(&*world.inner, &tenant, None, 100).await.unwrap();
    assert_eq!(shown.len(), 70);
    let is_new =
        |key: &KeyState| matches!(key, KeyState::Present { wrapped_by, .. } if wrapped_by == "new");
    assert!(shown.iter().all(|shown| is_new(&shown.key)));
}

#[tokio::test]
async fn a_node_without_the_wrapping_key_can_tell_nothing_and_loses_nothing() {
    let world = World::new();
    let (one, other) = (
        WrappingKeys::generate("one"),
        WrappingKeys::generate("other"),
    );
    let node = node_with(&world, &one).await;
    ok(node.tell("ann/a", "write", "x").await);
    drop(node);
    let foreign = node_with(&world, &other).await;
    assert_eq!(
        code(foreign.tell("ann/a", "write", "y").await),
        ErrorCode::Unavailable
    );
    drop(foreign);
    assert_eq!(node_with(&world, &one).await.pages("ann/a").await, ["x"]);
}

#[tokio::test]
async fn where_keys_are_lost_nothing_is_taken_for_erased() {
    let world = World::new();
    let node = world.node("node-1").await;
    ok(node.tell("ann/a", "write", "x").await);
    drop(node);
    let stored = rows(&*world.inner).await;
    let key = stored
        .iter()
        .find(|(key, _)| Family::of(key) == Some(Family::SubjectKey));
    let (key, value) = key.unwrap();
    let mut transaction = world.inner.begin();
    transaction.clear(key);
    transaction.commit().await.unwrap();
    let node = world.node("node-1").await;
    assert_eq!(
        code(node.tell("ann/a", "write", "y").await),
        ErrorCode::Internal
    );
    // Not even something new, which would have another key.
    assert_eq!(
        code(node.tell("ann/b", "write", "y").await),
        ErrorCode::Unavailable
    );
    let mut transaction = world.inner.begin();
    transaction.set(key, value);
    transaction.commit().await.unwrap();
    drop(node);
    let node = world.node("node-1").await;
    assert_eq!(node.pages("ann/a").await, ["x"]);
}

#[tokio::test]
async fn consents_are_kept_with_who_and_when() {
    let world = World::new();
    let of = subject("ann");
    let change = |purpose: &str, granted| ConsentChange {
        purpose: purpose.to_owned(),
        granted,
        principal: "clerk".to_owned(),
        note: "by letter".to_owned(),
    };
    let set = |change| {
        let (store, clock, of) = (Arc::clone(&world.inner), world.clock.clone(), of.clone());
        async move { set_consent(&*store, &clock, &of, &change).await.unwrap() }
    };
    set(change("mail", true)).await.unwrap();
    set(change("ads", true)).await.unwrap();
    set(change("ads", false)).await.unwrap();
    let all = consents(&*world.inner, &of).await.unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|it| (&*it.purpose, it.granted, &*it.by))
        .collect();
    assert_eq!(told, [("ads", false, "clerk"), ("mail", true, "clerk")]);
    for number in 2..CONSENTS_MAX {
        assert!(set(change(&format!("p{number}"), true)).await.is_some());
    }
    assert!(set(change("more", true)).await.is_none());
    assert!(set(change("ads", true)).await.is_some());
}
