//! Payloads, stored and streamed, of every size that matters.

use bytes::Bytes;
use selvedge_client::operation::OperationStatus;
use selvedge_node::app::Running;
use selvedge_node::operation::OperationPayload;
use selvedge_node::processing::PayloadBroken;
use selvedge_protocol::{ErrorCode, Failure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::world::*;

const MIB: usize = 1024 * 1024;

pub(super) fn content(length: usize) -> Bytes {
    (0..length)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(super) async fn digest(
    node: &Running,
    id: &str,
    payload: OperationPayload,
) -> Result<Value, Failure> {
    command(
        node,
        "submit",
        id,
        &json!({ "type": "digest", "input": {} }),
        payload,
    )
    .await
}

pub(super) async fn assert_digest(node: &Running, id: &str, bytes: &[u8]) {
    let done = finished(node, id, OperationStatus::Succeeded).await;
    let result: Value = done.result_as().unwrap();
    assert_eq!(result["sha256"], sha256(bytes));
    assert_eq!(result["blake3"], blake3::hash(bytes).to_hex().as_str());
    assert_eq!(result["bytes"], bytes.len());
}

/// A stream of `bytes` that ends, or breaks after them.
pub(super) fn stream(bytes: &Bytes, length: Option<u64>, breaks: bool) -> OperationPayload {
    let (sender, chunks) = mpsc::channel(4);
    let bytes = bytes.clone();
    tokio::spawn(async move {
        for start in (0..bytes.len()).step_by(MIB) {
            let chunk = bytes.slice(start..bytes.len().min(start + MIB));
            if sender.send(Ok(chunk)).await.is_err() {
                return;
            }
        }
        if breaks {
            let _ = sender
                .send(Err(PayloadBroken("the test says so".to_owned())))
                .await;
        }
    });
    OperationPayload::Streamed { length, chunks }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_payloads_up_to_their_limit() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    for length in [0, 1, 64 * 1024, 90_000, 90_001, 8 * MIB] {
        let bytes = content(length);
        let id = format!("stored-{length}");
        let payload = || OperationPayload::Stored(bytes.clone());
        assert_eq!(
            digest(&node, &id, payload()).await.unwrap()["created"],
            true
        );
        assert_digest(&node, &id, &bytes).await;
        assert_eq!(
            digest(&node, &id, payload()).await.unwrap()["created"],
            false
        );
        let other = OperationPayload::Stored(content(length + 1));
        let refused = digest(&node, &id, other).await;
        let expected = if length == 8 * MIB {
            ErrorCode::TooLarge
        } else {
            ErrorCode::Conflict
        };
        assert_eq!(code(refused), expected);
    }
    let refused = digest(
        &node,
        "over",
        OperationPayload::Stored(content(8 * MIB + 1)),
    )
    .await;
    assert!(refused.unwrap_err().message.contains("stream"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_payload_outlives_its_node() {
    let mut world = World::new();
    world.is_older = true;
    let store = world.store();
    let node = world.node(&store).await;
    let bytes = content(MIB);
    digest(&node, "one", OperationPayload::Stored(bytes.clone()))
        .await
        .unwrap();
    drop(node);
    world.is_older = false;
    let node = world.node(&store).await;
    assert_digest(&node, "one", &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_payload_is_handed_through() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let bytes = content(20 * MIB);
    let length = bytes.len() as u64;
    for (id, announced) in [("known", Some(length)), ("unknown", None)] {
        digest(&node, id, stream(&bytes, announced, false))
            .await
            .unwrap();
        assert_digest(&node, id, &bytes).await;
        let again = digest(&node, id, stream(&bytes, announced, false))
            .await
            .unwrap();
        assert_eq!(
            (&again["created"], &again["status"]),
            (&json!(false), &json!("succeeded"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_waited_for_again() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let bytes = content(3 * MIB);
    let half = bytes.slice(..MIB);
    let length = Some(bytes.len() as u64);
    for (id, broken) in [
        ("breaks", stream(&half, length, true)),
        ("ends", stream(&half, length, false)),
        ("unknown", stream(&half, None, true)),
    ] {
        digest(&node, id, broken).await.unwrap();
        let mut events = watch(&node, id).await;
        let (names, _) = until(&mut events, "started").await;
        assert_eq!(names, ["submitted", "waiting", "started"]);
        let (_, waiting) = until(&mut events, "waiting").await;
        assert!(
            waiting["waitingFor"]
                .as_str()
                .unwrap()
                .starts_with("payload")
        );
        let length = if id == "unknown" { None } else { length };
        digest(&node, id, stream(&bytes, length, false))
            .await
            .unwrap();
        assert_digest(&node, id, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_lost_with_its_node_is_waited_for_again() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    let (sender, chunks) = mpsc::channel(1);
    let payload = OperationPayload::Streamed {
        length: Some(2),
        chunks,
    };
    digest(&node, "one", payload).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    let mut events = watch(&node, "one").await;
    until(&mut events, "started").await;
    drop(node);
    drop(sender);

    let node = world.node(&store).await;
    let mut events = watch(&node, "one").await;
    until(&mut events, "started").await;
    until(&mut events, "waiting").await;
    let bytes = Bytes::from_static(b"ab");
    digest(&node, "one", stream(&bytes, Some(2), false))
        .await
        .unwrap();
    assert_digest(&node, "one", &bytes).await;
}

/// The node takes seconds to notice that a client is gone; its successor may come before.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sent_while_another_is_dying_takes_over() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let bytes = content(3 * MIB);
    let length = Some(bytes.len() as u64);
    let (dying, chunks) = mpsc::channel(1);
    let payload = OperationPayload::Streamed { length, chunks };
    digest(&node, "one", payload).await.unwrap();
    dying.send(Ok(bytes.slice(..MIB))).await.unwrap();
    let mut events = watch(&node, "one").await;
    until(&mut events, "started").await;

    let again = digest(&node, "one", stream(&bytes, length, false))
        .await
        .unwrap();
    assert_eq!(
        (&again["created"], &again["status"]),
        (&json!(false), &json!("running"))
    );
    drop(dying);
    assert_digest(&node, "one", &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_wants_is_closed() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    // Nobody has a handler for the type.
    for _ in 0..2 {
        let (sender, chunks) = mpsc::channel(1);
        let payload = OperationPayload::Streamed {
            length: Some(2),
            chunks,
        };
        let body = json!({ "type": "nope", "input": {} });
        let submitted = command(&node, "submit", "unknown", &body, payload).await;
        assert_eq!(submitted.unwrap()["status"], "waiting");
        sender.closed().await;
    }
    // The operation has ended with the stream that came first.
    let bytes = Bytes::from_static(b"ab");
    let (first, chunks) = mpsc::channel(1);
    let length = Some(2);
    let payload = OperationPayload::Streamed { length, chunks };
    digest(&node, "one", payload).await.unwrap();
    let mut events = watch(&node, "one").await;
    until(&mut events, "started").await;
    let (second, chunks) = mpsc::channel(1);
    let payload = OperationPayload::Streamed { length, chunks };
    digest(&node, "one", payload).await.unwrap();
    first.send(Ok(bytes.clone())).await.unwrap();
    drop(first);
    assert_digest(&node, "one", &bytes).await;
    second.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_submit_takes_no_stream_away() {
    let mut world = World::new();
    world.concurrency = 1;
    let node = world.node(&world.store()).await;
    let bytes = content(3 * MIB);
    let length = Some(bytes.len() as u64);
    // The only place is taken by one whose client sends nothing yet.
    let (blocking, chunks) = mpsc::channel(1);
    let payload = OperationPayload::Streamed {
        length: Some(1),
        chunks,
    };
    digest(&node, "first", payload).await.unwrap();
    until(&mut watch(&node, "first").await, "started").await;
    digest(&node, "one", stream(&bytes, length, false))
        .await
        .unwrap();
    for (input, length) in [(json!({ "of": "another" }), length), (json!({}), Some(7))] {
        let (wrong, chunks) = mpsc::channel(1);
        let payload = OperationPayload::Streamed { length, chunks };
        let body = json!({ "type": "digest", "input": input });
        let refused = command(&node, "submit", "one", &body, payload).await;
        assert_eq!(code(refused), ErrorCode::Conflict);
        wrong.closed().await;
    }
    blocking.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    drop(blocking);
    assert_digest(&node, "one", &bytes).await;
    assert_eq!(get(&node, "one").await.unwrap().attempt, 1);
}
