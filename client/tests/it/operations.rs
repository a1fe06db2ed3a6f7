//! Operations and their payloads, inside a frame and on streams of their own.

use std::io::Write;

use bytes::Bytes;
use futures::stream;
use selvedge_client::{
    CallError, ListQuery, OperationId, OperationStatus, OperationType, PayloadSource, Since,
    Submit, Target,
};
use selvedge_protocol::frame::Payload;

use crate::fake_server::{FakeServer, Faults};

const MIB: usize = 1024 * 1024;

fn digest(id: &str) -> Submit {
    Submit::new(OperationType::new("digest").unwrap()).id(OperationId::new(id).unwrap())
}

#[tokio::test]
async fn submit_get_list_watch_and_wait() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let session = client.session();
    let id = OperationId::new("a1").unwrap();
    let submit = digest("a1")
        .input(&serde_json::json!({"path": "x"}))
        .unwrap();
    let operation = session.submit(submit).await.unwrap();
    assert_eq!(operation.id, id);
    let target = Target::Operation(id.clone());
    server.publish(&target, "\"started\"");
    server.publish(&target, "\"succeeded\"");
    let mut watch = session.watch(&id, Since::After(1)).await.unwrap();
    let started = watch.next().await.unwrap().unwrap();
    assert_eq!((started.seq, started.event_type.as_str()), (2, "started"));
    let finished = watch.next().await.unwrap().unwrap();
    assert_eq!(finished.final_status(), Some(OperationStatus::Succeeded));
    assert!(watch.next().await.is_none());
    assert_eq!(
        session.wait(&id).await.unwrap().status,
        OperationStatus::Succeeded
    );
    assert!(
        session
            .list(&ListQuery::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    session.cancel(&id).await.unwrap();
    let anonymous = Submit::new(OperationType::new("digest").unwrap());
    assert_eq!(
        session.submit(anonymous).await.unwrap().id.as_str().len(),
        36
    );
}

#[tokio::test]
async fn payloads_travel_by_their_size() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    for (number, size) in [100 * 1024, 8 * MIB, 8 * MIB + 1].into_iter().enumerate() {
        let payload = Bytes::from(vec![7; size]);
        let submit = digest(&format!("p{number}")).payload(payload);
        client.session().submit(submit).await.unwrap();
        server.look(|world| {
            let (payload, received) = world.payloads.pop().unwrap();
            assert_eq!(received, size);
            let length = size as u64;
            let expected = if size > 8 * MIB {
                Payload::Streamed {
                    length: Some(length),
                }
            } else {
                Payload::Attached { length }
            };
            assert_eq!(payload, expected);
        });
    }
    let small = digest("small").payload(Bytes::from(vec![7; 60 * 1024]));
    client.session().submit(small).await.unwrap();
    assert!(
        server.look(|world| world.payloads.is_empty()),
        "it travelled inside its frame"
    );
}

#[tokio::test]
async fn a_file_is_read_again_when_its_stream_breaks() {
    let faults = Faults {
        break_payload: 2,
        drop_after_command: 1,
        ..Faults::default()
    };
    let server = FakeServer::start(faults);
    let client = server.client().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![7; 9 * MIB]).unwrap();
    let submit = digest("f").payload(file.path().to_path_buf());
    client.session().submit(submit).await.unwrap();
    server.look(|world| {
        assert!(
            world
                .payloads
                .iter()
                .all(|(_, received)| *received == 9 * MIB)
        );
        assert_eq!(world.effects.len(), 1);
    });
}

#[tokio::test]
async fn a_stream_is_sent_once_only() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let pieces = || stream::iter((0..20).map(|_| Ok(Bytes::from(vec![7; MIB]))));
    let submit = digest("s1").payload(PayloadSource::stream(pieces()));
    client.session().submit(submit).await.unwrap();
    assert_eq!(
        server.look(|world| world.payloads.pop().unwrap().1),
        20 * MIB
    );

    server.look(|world| world.faults.break_payload = 1);
    let submit = digest("s2").payload(PayloadSource::stream(pieces()));
    let ended = client.session().submit(submit).await;
    assert!(matches!(ended, Err(CallError::OutcomeUnknown)), "{ended:?}");
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_fails_its_call_alone() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let missing = digest("m").payload(std::path::PathBuf::from("/nowhere/file"));
    let refused = client.session().submit(missing).await;
    assert!(matches!(refused, Err(CallError::Payload(_))), "{refused:?}");
    let broken = stream::iter([
        Ok(Bytes::from(vec![7; MIB])),
        Err(std::io::ErrorKind::Other.into()),
    ]);
    let broken = digest("b").payload(PayloadSource::stream(broken));
    let refused = client.session().submit(broken).await;
    assert!(matches!(refused, Err(CallError::Payload(_))), "{refused:?}");
    client.session().submit(digest("after")).await.unwrap();
}
