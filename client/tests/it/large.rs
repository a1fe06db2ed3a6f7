//! Answers and snapshots that no frame holds, whole and broken.

use selvedge_client::{EventItem, Since, actor};
use serde_json::json;

use crate::fake_server::{FakeServer, Faults};

const LARGEST: usize = 8 * 1024 * 1024;

async fn zeros(server: &FakeServer, count: usize) {
    let client = server.client().await;
    let query = client
        .session()
        .query(actor("counter/one").unwrap(), "zeros", json!(count));
    let body = query.send().await.unwrap().body;
    assert_eq!(body.len(), count);
    assert!(body.iter().all(|byte| *byte == b'0'));
    client.close().await;
}

#[tokio::test]
async fn large_answers_come_whole() {
    let server = FakeServer::start(Faults::default());
    for count in [64 * 1024 + 1, 1 << 20, LARGEST] {
        zeros(&server, count).await;
    }
}

#[tokio::test]
async fn a_repeated_large_answer_is_dropped() {
    let server = FakeServer::start(Faults {
        repeat_answers: true,
        ..Faults::default()
    });
    zeros(&server, 1 << 20).await;
    assert_eq!(server.look(|world| world.connections), 1);
}

#[tokio::test]
async fn a_large_answer_that_was_cut_off_is_asked_for_again() {
    let server = FakeServer::start(Faults {
        cut_answers: 2,
        ..Faults::default()
    });
    zeros(&server, 1 << 20).await;
    assert_eq!(server.look(|world| world.connections), 1);
}

#[tokio::test]
async fn a_large_answer_survives_its_connection() {
    let server = FakeServer::start(Faults {
        drop_in_answer: 2,
        ..Faults::default()
    });
    zeros(&server, 1 << 20).await;
    assert_eq!(server.look(|world| world.connections), 3);
}

#[tokio::test]
async fn an_answer_longer_than_announced_does_not_count() {
    let server = FakeServer::start(Faults {
        overlong_answers: 1,
        ..Faults::default()
    });
    zeros(&server, 1 << 20).await;
}

#[tokio::test]
async fn a_large_snapshot_comes_whole_and_events_go_on_behind_it() {
    let server = FakeServer::start(Faults {
        forgotten: 3,
        snapshot_bytes: LARGEST,
        ..Faults::default()
    });
    let room = actor("room/one").unwrap();
    for number in 0..4 {
        server.publish(&room, &number.to_string());
    }
    let client = server.client().await;
    let events = client.session().subscribe(room, Since::After(0)).await;
    let mut events = events.unwrap();
    match events.next().await {
        Some(Ok(EventItem::Gap {
            seq: 3, snapshot, ..
        })) => assert_eq!(snapshot.len(), LARGEST),
        other => panic!("not the gap: {other:?}"),
    }
    match events.next().await {
        Some(Ok(EventItem::Event { seq: 4, .. })) => {}
        other => panic!("not the event: {other:?}"),
    }
}
