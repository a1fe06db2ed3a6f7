//! Events as they come: in order, from where a client was, up to the end of an operation, and ended by a drain.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::Event;
use super::{Node, PATIENCE};

fn add(by: u64) -> Value {
    json!({ "command": "add", "body": { "by": by } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_an_operation_end_with_it() {
    let node = Node::start().await;
    let http = node.ann();
    let body = json!({ "id": "d", "type": "digest" });
    http.post("/v1/operations", &body).await;
    let mut events = http.events("/v1/operations/d/events").await;
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event);
    }
    let seqs: Vec<u64> = all.iter().map(seq).collect();
    let expected: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, expected);
    assert_eq!(all[0].event, "submitted");
    let last = all.last().unwrap();
    assert_eq!(last.event, "succeeded");
    assert_eq!(last.data["type"], "succeeded");
    assert!(last.data["time"].as_str().unwrap().ends_with('Z'));
    // Who comes back with all of them is told that there are no more.
    let again = http.header("last-event-id", last.id.as_ref().unwrap());
    let answer = again.get("/v1/operations/d/events").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    // Who has had some gets the rest; what it says of itself counts more than where it began.
    let some = http.header("last-event-id", "1");
    let mut events = some.events("/v1/operations/d/events?after=0").await;
    assert_eq!(seq(&events.next().await.unwrap()), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_an_actor_come_as_they_happen() {
    let node = Node::start().await;
    let http = node.ann();
    let commands = "/v1/actors/counter/a%2Fb/commands";
    http.post(commands, &add(1)).await;
    let mut latest = http.events("/v1/actors/counter/a%2Fb/events").await;
    let mut all = http.events("/v1/actors/counter/a%2Fb/events?after=0").await;
    for by in 2..5 {
        http.post(commands, &add(by)).await;
    }
    for expected in 1..5 {
        let event = all.next().await.unwrap();
        assert_eq!(event.id, Some(expected.to_string()));
        assert_eq!(event.event, "added");
        assert_eq!(event.data["data"]["by"], expected);
    }
    assert_eq!(seq(&latest.next().await.unwrap()), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_nothing() {
    let node = Node::start().await;
    let http = node.ann();
    let mut slow = http.events("/v1/actors/room/r/events?after=0").await;
    let say = json!({ "command": "say", "body": { "text": "x".repeat(4_000) } });
    // More than fits into all buffers between the two.
    for _ in 0..400 {
        let answer = http.post("/v1/actors/room/r/commands", &say).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let mut next = 1;
    while next <= 400 {
        let event = slow.next().await.unwrap();
        if event.event == "gap" {
            assert_eq!(event.data["after"], next - 1);
            assert!(event.data["state"]["messages"].is_array());
        } else {
            assert_eq!(seq(&event), next);
        }
        next = seq(&event) + 1;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_streams_in_order() {
    let node = Node::start().await;
    let http = node.ann();
    http.post("/v1/actors/counter/a/commands", &add(1)).await;
    let mut events = http.events("/v1/actors/counter/a/events?after=0").await;
    assert_eq!(seq(&events.next().await.unwrap()), 1);
    let stopping = tokio::spawn(node.stop());
    assert_eq!(events.next().await, None);
    tokio::time::timeout(PATIENCE, stopping)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_streams_are_refused() {
    let node = Node::start().await;
    let http = node.ann();
    for (path, status, code, field) in [
        ("/v1/operations/none/events", 404, "not_found", Value::Null),
        (
            "/v1/operations/none/events?after=x",
            422,
            "invalid",
            json!("after"),
        ),
        (
            "/v1/actors/counter/a/events?from=1",
            422,
            "invalid",
            json!("from"),
        ),
        (
            "/v1/actors/nothing/a/events",
            404,
            "unknown_kind",
            Value::Null,
        ),
    ] {
        assert_eq!(http.get(path).await.problem(status, code), field, "{path}");
    }
    let wrong = http.header("last-event-id", "one");
    let answer = wrong.get("/v1/actors/counter/a/events").await;
    assert_eq!(answer.problem(422, "invalid"), "Last-Event-ID");
    let json = http.header("accept", "application/json");
    let answer = json.get("/v1/actors/counter/a/events").await;
    assert_eq!(answer.problem(406, "invalid"), "Accept");
    let path = "/v1/actors/counter/a/events";
    let head = http.send(Method::HEAD, path, "".into()).await;
    assert_eq!(head.header("content-type"), "text/event-stream");
    node.stop().await;
}

fn seq(event: &Event) -> u64 {
    event.id.as_ref().unwrap().parse().unwrap()
}
