//! Events: in order, without gap or repeat, whatever happens to the connection.

use bytes::Bytes;
use selvedge_client::{EventItem, Events, Since, actor};

use crate::fake_server::{FakeServer, Faults};

async fn seqs(events: &mut Events, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        match events.next().await.unwrap().unwrap() {
            EventItem::Event { seq, .. } => seqs.push(seq),
            other => panic!("{other:?}"),
        }
    }
    seqs
}

fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[tokio::test]
async fn events_survive_broken_connections_and_repeats() {
    let faults = Faults {
        drop_after_events: Some(7),
        repeat_events: true,
        ..Faults::default()
    };
    let server = FakeServer::start(faults);
    let room = actor("room/one").unwrap();
    for number in 0..40 {
        server.publish(&room, &number.to_string());
    }
    let client = server.client().await;
    let mut events = client
        .session()
        .subscribe(room, Since::After(0))
        .await
        .unwrap();
    assert_eq!(seqs(&mut events, 40).await, up_to(40));
    assert!(server.look(|world| world.connections) >= 6);
}

#[tokio::test]
async fn a_skipped_event_is_fetched_over_a_new_connection() {
    let server = FakeServer::start(Faults {
        skip_event: 1,
        ..Faults::default()
    });
    let room = actor("room/one").unwrap();
    for number in 0..5 {
        server.publish(&room, &number.to_string());
    }
    let client = server.client().await;
    let mut events = client
        .session()
        .subscribe(room, Since::After(0))
        .await
        .unwrap();
    assert_eq!(seqs(&mut events, 5).await, up_to(5));
    server.look(|world| {
        assert_eq!(world.connections, 2);
        assert_eq!(world.subscribes, [Since::After(0), Since::After(1)]);
    });
}

#[tokio::test]
async fn a_subscription_that_was_left_makes_room_at_once() {
    let server = FakeServer::start(Faults::default());
    let room = actor("room/one").unwrap();
    server.publish(&room, "1");
    let client = server.client().await;
    // Far more than a session holds, one at a time and faster than they are tidied away.
    for _ in 0..300 {
        let since = Since::After(0);
        let mut events = client
            .session()
            .subscribe(room.clone(), since)
            .await
            .unwrap();
        assert_eq!(seqs(&mut events, 1).await, [1]);
    }
}

#[tokio::test]
async fn a_gap_comes_with_a_snapshot_to_go_on_from() {
    let server = FakeServer::start(Faults {
        forgotten: 3,
        ..Faults::default()
    });
    let room = actor("room/one").unwrap();
    for number in 0..5 {
        server.publish(&room, &number.to_string());
    }
    let client = server.client().await;
    let mut events = client
        .session()
        .subscribe(room, Since::After(1))
        .await
        .unwrap();
    let gap = events.next().await.unwrap().unwrap();
    let snapshot = Bytes::from_static(b"\"snapshot\"");
    assert_eq!(
        gap,
        EventItem::Gap {
            after: 1,
            seq: 3,
            snapshot
        }
    );
    assert_eq!(seqs(&mut events, 2).await, [4, 5]);
}

#[tokio::test]
async fn latest_begins_with_what_comes_next() {
    let server = FakeServer::start(Faults::default());
    let room = actor("room/one").unwrap();
    server.publish(&room, "0");
    let client = server.client().await;
    let mut events = client
        .session()
        .subscribe(room.clone(), Since::Latest)
        .await
        .unwrap();
    server.until(|world| !world.subscribes.is_empty()).await;
    server.publish(&room, "1");
    assert_eq!(seqs(&mut events, 1).await, [2]);
}

#[tokio::test]
async fn a_consumer_that_does_not_read_holds_the_server_back() {
    let server = FakeServer::start(Faults::default());
    let room = actor("room/one").unwrap();
    let client = server.client().await;
    let mut events = client
        .session()
        .subscribe(room.clone(), Since::After(0))
        .await
        .unwrap();
    let data = serde_json::Value::from("x".repeat(32 * 1024)).to_string();
    for _ in 0..300 {
        server.publish(&room, &data);
    }
    // Calls go on meanwhile, on their own stream.
    let count: u64 = client
        .session()
        .query(room, "get", ())
        .json()
        .await
        .unwrap();
    assert_eq!(count, 300);
    assert_eq!(seqs(&mut events, 300).await, up_to(300));
}

#[tokio::test]
async fn a_dropped_consumer_ends_the_subscription() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let room = actor("room/one").unwrap();
    let events = client
        .session()
        .subscribe(room, Since::After(0))
        .await
        .unwrap();
    server.until(|world| world.subscribes.len() == 1).await;
    drop(events);
    server.until(|world| world.unsubscribed == 1).await;
}

#[tokio::test]
async fn too_many_subscriptions_are_refused_by_an_error_of_the_stream() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let room = actor("room/one").unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(
            client
                .session()
                .subscribe(room.clone(), Since::After(0))
                .await
                .unwrap(),
        );
    }
    let mut refused = client
        .session()
        .subscribe(room, Since::After(0))
        .await
        .unwrap();
    assert!(refused.next().await.unwrap().is_err());
    assert!(refused.next().await.is_none());
    drop(held.pop());
    server.until(|world| world.unsubscribed == 1).await;
}

#[tokio::test]
async fn ephemeral_messages_come_by_datagram() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let room = actor("room/one").unwrap();
    let mut events = client
        .session()
        .subscribe(room.clone(), Since::After(0))
        .await
        .unwrap();
    server.until(|world| world.subscribes.len() == 1).await;
    client
        .session()
        .tell(room, "typing", Bytes::from_static(b"ann"))
        .await
        .unwrap();
    match events.next().await.unwrap().unwrap() {
        EventItem::Ephemeral { name, data, .. } => {
            assert_eq!((name.as_str(), &data[..]), ("typing", &b"ann"[..]));
        }
        other => panic!("{other:?}"),
    }
}
