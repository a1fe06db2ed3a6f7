//! Subscribers of all speeds: no gap, no repeat, and they slow nobody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, Identity, Subscription, SubscriptionItem, stored_state};
use selvedge_protocol::SessionId;
use selvedge_protocol::frame::{Outcome, Since};

use super::faults::Faulty;
use super::world::*;

async fn next_seq(subscription: &mut Subscription) -> u64 {
    match subscription.next().await.unwrap() {
        SubscriptionItem::Event(event) => event.seq,
        other => panic!("{other:?}"),
    }
}

async fn write(host: Host, count: u64) {
    for _ in 0..count {
        ok(add(&host, "a", Identity::Natural).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_sleeps_through_a_thousand_events_misses_none() {
    let world = World::new().await;
    let host = world.host().await;
    let mut slow = host.subscribe(actor("a"), Since::After(0)).await.unwrap();
    write(host.clone(), 1).await;
    assert_eq!(next_seq(&mut slow).await, 1);
    write(host.clone(), 1_000).await;
    for expected in 2..=1_001 {
        assert_eq!(next_seq(&mut slow).await, expected);
    }
    write(host.clone(), 1).await;
    assert_eq!(next_seq(&mut slow).await, 1_002);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_committed_together_are_read_from_any_position() {
    let world = World::new().await;
    let host = world.host().await;
    // Several a row, and rows that have to be split.
    for burst in [
        r#"{"events":5,"bytes":40000}"#,
        r#"{"events":3,"bytes":65000}"#,
        r#"{"events":100,"bytes":10}"#,
    ] {
        ok(host
            .ask(command("a", "burst", burst, Identity::Natural))
            .await);
    }
    for position in 0..108 {
        let since = Since::After(position);
        let mut events = host.subscribe(actor("a"), since).await.unwrap();
        for expected in position + 1..=108 {
            assert_eq!(next_seq(&mut events).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_join_and_leave_during_writes_see_an_unbroken_sequence() {
    let world = World::new().await;
    let host = world.host().await;
    let writer = tokio::spawn(write(host.clone(), 1_500));
    let readers = (0..4_u64).map(|reader| {
        let host = host.clone();
        tokio::spawn(async move {
            let mut position = 0;
            while position < 1_500 {
                let since = Since::After(position);
                let mut events = host.subscribe(actor("a"), since).await.unwrap();
                for _ in 0..(37 * (reader + 1)).min(1_500 - position) {
                    assert_eq!(next_seq(&mut events).await, position + 1);
                    position += 1;
                }
            }
        })
    });
    for reader in futures::future::join_all(readers).await {
        reader.unwrap();
    }
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ephemeral_is_told_and_never_blocks() {
    let world = World::new().await;
    let host = world.host().await;
    let from = SessionId::from_u128(1);
    let mut listener = host.subscribe(actor("a"), Since::Latest).await.unwrap();
    for number in 0..1_000 {
        let data = Bytes::from(number.to_string());
        host.tell_subscribers(&actor("a"), from, "cursor", &data);
    }
    match listener.next().await.unwrap() {
        SubscriptionItem::Ephemeral { name, data, .. } => {
            assert_eq!((name.as_str(), &*data), ("cursor", &b"0"[..]));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        !host.is_activated(&actor("a")),
        "a subscription activates nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_past_the_end_is_told_of_and_goes_on_from_the_end() {
    let world = World::new().await;
    let host = world.host().await;
    let since = Since::After(u64::MAX);
    let mut lost = host.subscribe(actor("a"), since).await.unwrap();
    write(host.clone(), 3).await;
    host.tell_subscribers(&actor("a"), SessionId::from_u128(1), "end", &Bytes::new());
    match lost.next().await.unwrap() {
        SubscriptionItem::Gap { after, seq, .. } => assert_eq!((after, seq), (u64::MAX, 3)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        lost.next().await.unwrap(),
        SubscriptionItem::Ephemeral { .. }
    ));
    write(host.clone(), 1).await;
    assert_eq!(next_seq(&mut lost).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_while_nobody_knew_is_heard() {
    /// How long anything may take before it counts as hung.
    const PATIENCE: Duration = Duration::from_secs(60);
    let world = World::new().await;
    let faulty = Faulty {
        inner: Arc::clone(&world.store),
        dice: Clock::manual(0, 5),
        percent: 50,
        is_exclusive: false,
    };
    let host = world.host_on(Arc::new(faulty)).await;
    let (mut heard, mut in_silence) = (0, 0);
    for number in 0..40 {
        let key = format!("silent-{number}");
        let name = actor(&key);
        let mut events = host.subscribe(name.clone(), Since::After(0)).await.unwrap();
        // It has nothing to read any more: from here on it only hears.
        host.tell_subscribers(
            &name,
            SessionId::from_u128(1),
            "live",
            &Bytes::from_static(b"1"),
        );
        let first = events.next().await.unwrap();
        assert!(matches!(first, SubscriptionItem::Ephemeral { .. }));
        let answer = add(&host, &key, Identity::Natural).await;
        let path = selvedge_cluster::store::keys::ActorPath {
            slot: name.address.slot(&name.tenant, 1_024),
            tenant: name.tenant,
            address: name.address,
        };
        let stored = stored_state(&mut *world.store.begin(), &path).await;
        if stored.unwrap().is_some() {
            let next = tokio::time::timeout(PATIENCE, next_seq(&mut events));
            assert_eq!(next.await.unwrap(), 1, "{key}: {answer:?}");
            heard += 1;
            in_silence += usize::from(matches!(answer, Outcome::Failure(_)));
        }
    }
    assert!(heard > in_silence && in_silence > 0, "{heard} {in_silence}");
}
