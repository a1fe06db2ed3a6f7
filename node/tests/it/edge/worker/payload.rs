//! Payloads of tasks: who may read them, how, and what becomes of those that are not stored.

use selvedge_protocol::frame::{Payload, Query};
use selvedge_protocol::limits::{PAYLOAD_BYTES_MAX, WORKER_PIECE_BYTES_MAX};
use selvedge_protocol::{attachment, task_payload};

use super::*;
use crate::edge::peer::{Reader, encode, failure};

fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

/// Submits an operation with a payload on a stream of its own.
async fn submit_with(
    client: &mut Client,
    id: &str,
    payload: Payload,
    bytes: &[u8],
) -> Result<Value, Failure> {
    client.asked += 1;
    let mut frame = command(client.asked, "submit");
    frame.target = Target::Operation(id.parse().unwrap());
    frame.body = Bytes::from_static(br#"{"type":"resize"}"#);
    frame.payload = payload;
    let (mut send, recv) = client.peer.connection.open_bi().await.unwrap();
    let frame = encode(&[ClientFrame::Command(frame)]);
    let sending = async {
        // The node may have had enough before the end.
        if send.write_all(&frame).await.is_ok() && send.write_all(bytes).await.is_ok() {
            let _ = send.finish();
        }
    };
    let mut reader = Reader::new(recv);
    match tokio::join!(sending, reader.reply()).1.outcome {
        Outcome::Success(success) => Ok(serde_json::from_slice(&success.body).unwrap()),
        Outcome::Failure(failure) => Err(failure),
    }
}

async fn submit_stored(client: &mut Client, id: &str, bytes: &[u8]) {
    let length = bytes.len() as u64;
    let submitted = submit_with(client, id, Payload::Attached { length }, bytes).await;
    assert_eq!(submitted.unwrap()["created"], true);
}

fn read(number: u64, operation: &str, lease: u64, from: u64) -> ClientFrame {
    let mut frame = query(
        number,
        task_payload::QUERY,
        json!({ "lease": lease, "from": from }).to_string(),
    );
    if let ClientFrame::Query(Query { target, .. }) = &mut frame {
        *target = Target::Operation(operation.parse().unwrap());
    }
    frame
}

/// The bytes of a payload from a position on: within a frame, or on a stream of their own.
async fn piece(peer: &mut Peer, number: u64, task: &Task, from: u64) -> Vec<u8> {
    peer.send(&[read(number, &operation(task), task.lease, from)])
        .await;
    let connection = peer.connection.clone();
    tokio::select! {
        reply = peer.reply() => success(reply, Request::Query(number)).body.to_vec(),
        stream = connection.accept_uni() => {
            let mut reader = Reader::new(stream.unwrap());
            let reply = reader.reply().await;
            let length = attachment::length(&reply).unwrap().unwrap();
            assert_eq!(reply.request, Request::Query(number));
            reader.bytes(length).await.to_vec()
        }
    }
}

async fn refused(peer: &mut Peer, number: u64, frame: ClientFrame) -> ErrorCode {
    peer.send(&[frame]).await;
    failure(peer.reply().await, Request::Query(number)).code
}

#[tokio::test]
async fn a_stored_payload_is_read_in_pieces_from_any_position() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(1).await;
    let whole = content(PAYLOAD_BYTES_MAX);
    submit_stored(&mut world.client, "a", &whole).await;
    let task = task(&mut worker).await;
    let length = whole.len() as u64;
    assert_eq!(task_payload::length(&task), Ok(Some(length)));
    let (mut came, mut number) = (Vec::new(), 0);
    while came.len() < whole.len() {
        number += 1;
        let next = piece(&mut worker, number, &task, came.len() as u64).await;
        assert!((1..=WORKER_PIECE_BYTES_MAX).contains(&next.len()));
        came.extend(next);
    }
    assert!(came == whole);
    // As often as it wants, and from the middle of a chunk of the store.
    for from in [89_999, 90_000, 90_001, whole.len() - 1, whole.len()] {
        number += 1;
        let again = piece(&mut worker, number, &task, from as u64).await;
        let end = whole.len().min(from + WORKER_PIECE_BYTES_MAX);
        assert!(again == whole[from..end], "from {from}");
    }
    number += 1;
    assert!(piece(&mut worker, number, &task, u64::MAX).await.is_empty());
    worker.send(&[done(task.lease, "1")]).await;
    assert_eq!(world.ended("a").await["status"], "succeeded");
}

#[tokio::test]
async fn a_payload_is_for_the_holder_of_the_lease_only() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(2).await;
    let (mut other, _) = world.worker_of(None, 0).await;
    let (mut stranger, _) = world.worker_of(Some("strangers"), 1).await;
    submit_stored(&mut world.client, "a", b"secret").await;
    let held = task(&mut worker).await;
    world.submit("b").await;
    let without = task(&mut worker).await;
    assert_eq!(task_payload::length(&without), Ok(None));

    let conflict = ErrorCode::Conflict;
    let of_a = |number| read(number, "a", held.lease, 0);
    assert_eq!(refused(&mut other, 1, of_a(1)).await, conflict);
    assert_eq!(refused(&mut stranger, 1, of_a(1)).await, conflict);
    let mut nobody = world.node.session().await.0;
    assert_eq!(refused(&mut nobody, 1, of_a(1)).await, conflict);
    // The lease of another operation, and none at all.
    let of_b = read(1, "b", held.lease, 0);
    assert_eq!(refused(&mut worker, 1, of_b).await, conflict);
    let unknown = read(2, "a", held.lease + 1_000, 0);
    assert_eq!(refused(&mut worker, 2, unknown).await, conflict);
    let mut wrong = of_a(3);
    if let ClientFrame::Query(query) = &mut wrong {
        query.body = Bytes::from_static(b"{}");
    }
    assert_eq!(refused(&mut worker, 3, wrong).await, ErrorCode::Invalid);

    assert_eq!(piece(&mut worker, 4, &held, 0).await, b"secret");
    assert!(piece(&mut worker, 5, &without, 0).await.is_empty());
    world.ask("a", "cancel", json!({})).await.unwrap();
    let lease = held.lease;
    assert_eq!(notice(&mut worker).await, Notice::TaskCancelled { lease });
    assert_eq!(refused(&mut worker, 6, of_a(6)).await, conflict);
}

#[tokio::test]
async fn a_payload_goes_with_the_task_to_the_next_worker() {
    let mut world = World::new(LONG).await;
    // Accepted before anybody executes its type.
    submit_stored(&mut world.client, "a", b"whole").await;
    let mut first = world.node.session().await.0;
    first.send(&[ready(&["resize"], 1)]).await;
    let lost = task(&mut first).await;
    assert_eq!(piece(&mut first, 1, &lost, 0).await, b"whole");
    first
        .send(&[ClientFrame::Goodbye(Goodbye { failure: None })])
        .await;
    let (mut second, welcome) = world.worker_of(None, 1).await;
    let again = task(&mut second).await;
    assert_eq!(piece(&mut second, 1, &again, 0).await, b"whole");
    // The session holds the lease, whichever its connection.
    let (mut resumed, _) = world.node.resume(&welcome).await;
    resumed.send(&[ready(&["resize"], 1)]).await;
    assert_eq!(piece(&mut resumed, 2, &again, 2).await, b"ole");
    resumed.send(&[done(again.lease, "1")]).await;
    assert_eq!(world.ended("a").await["status"], "succeeded");
}

#[tokio::test]
async fn a_draining_node_still_gives_payloads_to_tasks_at_work() {
    let mut world = World::new(LONG).await;
    let mut worker = world.worker(1).await;
    submit_stored(&mut world.client, "a", b"whole").await;
    let task = task(&mut worker).await;
    let World {
        node,
        application: _application,
        _directory,
        ..
    } = world;
    let running = node.drain();
    assert!(matches!(notice(&mut worker).await, Notice::Draining { .. }));
    assert_eq!(piece(&mut worker, 1, &task, 0).await, b"whole");
    worker.send(&[done(task.lease, "1")]).await;
    assert_eq!(worker.expelled().await.code, ErrorCode::Unavailable);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_streamed_payload_is_refused_or_fails_the_operation_at_once() {
    let mut world = World::new(LONG).await;
    let streamed = || Payload::Streamed { length: None };
    // Nobody knows yet that workers execute it.
    let early = submit_with(&mut world.client, "early", streamed(), b"gone").await;
    assert_eq!(early.unwrap()["status"], "waiting");
    let mut worker = world.worker(1).await;
    let ended = world.ended("early").await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["error"]["code"], "payload_unsupported");
    let retried = world.ask("early", "retry", json!({})).await;
    assert_eq!(retried.unwrap_err().code, ErrorCode::Invalid);

    let late = submit_with(&mut world.client, "late", streamed(), b"refused").await;
    let refused = late.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert_eq!(refused.field.as_deref(), Some("payload"));
    assert!(refused.message.contains("8 MiB"), "{refused}");
    // Its workers have gone for a while.
    worker.send(&[ready(&[], 0)]).await;
    settled(&mut worker, 2).await;
    let absent = submit_with(&mut world.client, "absent", streamed(), b"refused").await;
    assert_eq!(absent.unwrap_err().code, ErrorCode::Invalid);
}
