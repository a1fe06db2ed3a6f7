//! Timers, messages between actors and actors that stay awake, across crashes.

use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, Identity, ScopedAddress, SubscriptionItem, stored_state};
use selvedge_cluster::store::keys::ActorPath;
use selvedge_protocol::frame::Since;

use super::faults::Faulty;
use super::world::*;

async fn timer(host: &Host, key: &str, name: &str, due: u64) {
    let body = format!(r#"{{"name":"{name}","due":{due}}}"#);
    ok(host
        .ask(command(key, "timer", &body, Identity::Natural))
        .await);
}

/// The names of the timers that fired, in order, once there are `count` of them.
async fn fired(host: &Host, key: &str, count: usize) -> Vec<String> {
    let mut events = host.subscribe(actor(key), Since::After(0)).await.unwrap();
    for _ in 0..count {
        match events.next().await.unwrap() {
            SubscriptionItem::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let state = ok(ask_query(host, key, "state").await);
    let state: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
    serde_json::from_value(state["fired"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_once_when_it_is_due() {
    let world = World::new().await;
    let host = world.host().await;
    timer(&host, "a", "later", 1_000_500).await;
    timer(&host, "a", "never", 1_000_200).await;
    timer(&host, "a", "moved", 1_000_300).await;
    timer(&host, "a", "moved", 1_000_900).await;
    let cancel = command("a", "cancel", "\"never\"", Identity::Natural);
    ok(host.ask(cancel).await);
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(fired(&host, "a", 1).await, ["later"]);
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(fired(&host, "a", 2).await, ["later", "moved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_overdue_after_a_crash_fire_once() {
    let world = World::new().await;
    for round in 1..=3_u64 {
        let host = world.host().await;
        for key in 0..200 {
            timer(
                &host,
                &key.to_string(),
                &format!("round-{round}"),
                2_000_000 * round,
            )
            .await;
        }
        // Dropped, not stopped: some may have begun to fire.
        if round < 3 {
            drop(host);
        }
        world.clock.advance(Duration::from_secs(2_000));
    }
    let host = world.host().await;
    for key in 0..200 {
        let mut names = fired(&host, &key.to_string(), 3).await;
        names.sort();
        assert_eq!(names, ["round-1", "round-2", "round-3"], "actor {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_once_also_after_crashes() {
    let world = World::new().await;
    for _ in 0..3 {
        let host = world.host().await;
        for sender in 0..10 {
            let send = r#"{"to":"tally/sink","times":20}"#;
            let send = command(&format!("sender-{sender}"), "send", send, Identity::Natural);
            ok(host.ask(send).await);
        }
        drop(host);
    }
    let host = world.host().await;
    let mut events = host
        .subscribe(actor("sink"), Since::After(0))
        .await
        .unwrap();
    for expected in 1..=600_u64 {
        match events.next().await.unwrap() {
            SubscriptionItem::Event(event) => assert_eq!(event.data, expected.to_string()),
            other => panic!("{other:?}"),
        }
    }
    // A further message is the next event: nothing of the others comes again.
    let send = r#"{"to":"tally/sink","times":1}"#;
    ok(host
        .ask(command("last", "send", send, Identity::Natural))
        .await);
    match events.next().await.unwrap() {
        SubscriptionItem::Event(event) => assert_eq!(event.data, "601"),
        other => panic!("{other:?}"),
    }
    host.stop().await;
    let host = world.host().await;
    assert_eq!(sum(&host, "sink").await, 601);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_hears_once_of_each_message_that_was_refused() {
    let world = World::new().await;
    let sent = [
        ("refuse", "tally/sink refuse rejected"),
        ("nonsense", "tally/sink nonsense unknown_command"),
    ];
    for (name, _) in sent {
        let host = world.host().await;
        let send = format!(r#"{{"to":"tally/sink","times":1,"name":"{name}"}}"#);
        ok(host
            .ask(command("a", "send", &send, Identity::Natural))
            .await);
        // It may hear of it before the crash or after.
        drop(host);
    }
    let host = world.host().await;
    let mut events = host.subscribe(actor("a"), Since::After(0)).await.unwrap();
    for (_, refused) in sent {
        match events.next().await.unwrap() {
            SubscriptionItem::Event(event) => assert_eq!(event.data, refused),
            other => panic!("{other:?}"),
        }
    }
    // What is accepted is no news, and nothing comes twice.
    let send = r#"{"to":"tally/sink","times":1}"#;
    ok(host
        .ask(command("a", "send", send, Identity::Natural))
        .await);
    let mut others = host
        .subscribe(actor("sink"), Since::After(0))
        .await
        .unwrap();
    assert!(matches!(
        others.next().await.unwrap(),
        SubscriptionItem::Event(_)
    ));
    ok(host.ask(command("a", "add", "1", Identity::Natural)).await);
    match events.next().await.unwrap() {
        SubscriptionItem::Event(event) => assert_eq!((event.seq, &event.data[..]), (3, &b"1"[..])),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_awake_actor_is_activated_when_its_slot_is_taken() {
    let world = World::new().await;
    let host = world.host().await;
    for (key, awake) in [("awake", "true"), ("asleep", "true"), ("asleep", "false")] {
        ok(host
            .ask(command(key, "awake", awake, Identity::Natural))
            .await);
    }
    host.stop().await;
    let host = world.host().await;
    while !host.is_activated(&actor("awake")) {
        tokio::task::yield_now().await;
    }
    assert!(!host.is_activated(&actor("asleep")));
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_and_messages_of_commits_that_nobody_knew_of_are_done() {
    /// How long anything may take before it counts as hung.
    const PATIENCE: Duration = Duration::from_secs(60);
    let world = World::new().await;
    let faulty = Faulty {
        inner: Arc::clone(&world.store),
        dice: Clock::manual(0, 5),
        percent: 50,
        is_exclusive: false,
    };
    // A real clock: what failed is tried again later.
    let host = start(Arc::new(faulty), Clock::system(), 60_000).await;
    let mut awaited = Vec::new();
    for number in 0..20 {
        let (sender, receiver) = (format!("from-{number}"), format!("to-{number}"));
        let send = format!(r#"{{"to":"tally/{receiver}","times":1}}"#);
        let request = command(&sender, "send", &send, Identity::Natural);
        drop(host.ask(request).await);
        if is_stored(&world, &sender).await {
            awaited.push(receiver);
        }
        let timed = format!("timed-{number}");
        let due = r#"{"name":"due","due":1}"#;
        let request = command(&timed, "timer", due, Identity::Natural);
        drop(host.ask(request).await);
        if is_stored(&world, &timed).await {
            awaited.push(timed);
        }
    }
    assert!(awaited.len() > 10, "{awaited:?}");
    for key in awaited {
        let mut events = host.subscribe(actor(&key), Since::After(0)).await.unwrap();
        let next = tokio::time::timeout(PATIENCE, events.next()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing comes to {key}"));
        assert!(matches!(next, Ok(SubscriptionItem::Event(event)) if event.seq == 1));
    }
}

/// Whether anything of an actor was committed.
async fn is_stored(world: &World, key: &str) -> bool {
    let ScopedAddress { tenant, address } = actor(key);
    let path = ActorPath {
        slot: address.slot(&tenant, 1_024),
        tenant,
        address,
    };
    let stored = stored_state(&mut *world.store.begin(), &path).await;
    stored.unwrap().is_some()
}
