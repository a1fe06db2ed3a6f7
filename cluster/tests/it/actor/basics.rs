//! Commands, queries, activation and deduplication, one thing at a time.

use selvedge_protocol::frame::Since;
use selvedge_protocol::{ActorKind, ErrorCode, Tenant};

use super::world::*;
use selvedge_cluster::actor::{Identity, SubscriptionItem};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_committed_answered_and_survives_the_host() {
    let world = World::new().await;
    let host = world.host().await;
    let first = ok(add(&host, "a", session(1)).await);
    assert_eq!((number(&first), first.seq, first.version), (1, 1, 1));
    let second = ok(add(&host, "a", session(2)).await);
    assert_eq!((number(&second), second.seq, second.version), (2, 2, 2));
    assert_eq!(sum(&host, "a").await, 2);
    host.stop().await;

    let host = world.host().await;
    let state = ok(ask_query(&host, "a", "state").await);
    assert!(state.body.starts_with(b"{\"sum\":2"));
    assert_eq!((state.seq, state.version), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_stored_outcome() {
    let world = World::new().await;
    let host = world.host().await;
    for identity in [session(1), id("order-1")] {
        let first = add(&host, "a", identity).await;
        assert_eq!(add(&host, "a", identity).await, first);
    }
    let refused = host.ask(command("a", "refuse", "", session(2))).await;
    ok(add(&host, "a", session(3)).await);
    assert_eq!(
        host.ask(command("a", "refuse", "", session(2))).await,
        refused
    );
    assert_eq!(sum(&host, "a").await, 3);
    host.stop().await;

    let host = world.host().await;
    assert_eq!(number(&ok(add(&host, "a", session(1)).await)), 1);
    assert_eq!(number(&ok(add(&host, "a", id("order-1")).await)), 2);
    assert_eq!(
        host.ask(command("a", "refuse", "", session(2))).await,
        refused
    );
    let acknowledging = Identity::Session {
        session: selvedge_protocol::SessionId::from_u128(7),
        number: 4,
        acknowledged: 3,
    };
    assert_eq!(number(&ok(add(&host, "a", acknowledging).await)), 4);
    assert_eq!(
        code(add(&host, "a", session(3)).await),
        ErrorCode::OutcomeExpired
    );
    assert_eq!(sum(&host, "a").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_by_name() {
    let world = World::new().await;
    let host = world.host().await;
    let mut unknown = command("a", "add", "1", session(1));
    unknown.actor.address = "nothing/1".parse().unwrap();
    assert_eq!(code(host.ask(unknown).await), ErrorCode::UnknownKind);
    let unknown = command("a", "no-such", "1", session(1));
    assert_eq!(code(host.ask(unknown).await), ErrorCode::UnknownCommand);
    let wrong = command("a", "add", "x", session(2));
    assert_eq!(code(host.ask(wrong).await), ErrorCode::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_are_listed_by_kind_in_pages() {
    let world = World::new().await;
    let host = world.host().await;
    for key in ["c", "a", "b"] {
        ok(add(&host, key, Identity::Natural).await);
    }
    let (tenant, kind) = (Tenant::default_tenant(), ActorKind::new("tally").unwrap());
    let page = host.list(&tenant, &kind, None, 2).await.unwrap();
    assert_eq!(page, ["a", "b"]);
    let page = host.list(&tenant, &kind, Some("b"), 2).await.unwrap();
    assert_eq!(page, ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_hears_what_was_and_what_comes() {
    let world = World::new().await;
    let host = world.host().await;
    ok(add(&host, "a", Identity::Natural).await);
    let mut all = host.subscribe(actor("a"), Since::After(0)).await.unwrap();
    let mut new = host.subscribe(actor("a"), Since::Latest).await.unwrap();
    ok(add(&host, "a", Identity::Natural).await);
    for (subscription, expected) in [(&mut all, vec![1, 2]), (&mut new, vec![2])] {
        for seq in expected {
            match subscription.next().await.unwrap() {
                SubscriptionItem::Event(event) => assert_eq!(event.seq, seq),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_state_is_kept_whole() {
    let world = World::new().await;
    let host = world.host().await;
    for size in ["1000000", "200", "8000000", "90000"] {
        ok(host
            .ask(command("a", "ballast", size, Identity::Natural))
            .await);
        ok(host.ask(command("a", "peek", "", Identity::Natural)).await);
    }
    let state = ok(ask_query(&host, "a", "state").await);
    host.stop().await;
    let host = world.host().await;
    assert_eq!(ok(ask_query(&host, "a", "state").await), state);
    let too_large = command("a", "ballast", "9000000", Identity::Natural);
    assert_eq!(code(host.ask(too_large).await), ErrorCode::TooLarge);
    assert_eq!(ok(ask_query(&host, "a", "state").await), state);
}
