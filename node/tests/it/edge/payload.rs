//! Commands with a payload of their own, each on a stream of its own.

use std::sync::Arc;

use bytes::Bytes;
use quinn::SendStream;
use selvedge_protocol::frame::{ClientFrame, Command, Payload, Reply, Request, ServerFrame};
use selvedge_protocol::limits::PAYLOAD_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::watch;

use super::peer::{
    Node, PATIENCE, Peer, Reader, close_code, command, encode, failure, query, success,
};
use super::service::Stand;

async fn begin(peer: &Peer, command: Command) -> (SendStream, Reader) {
    let (mut send, recv) = peer.connection.open_bi().await.unwrap();
    send.write_all(&encode(&[ClientFrame::Command(command)]))
        .await
        .unwrap();
    (send, Reader::new(recv))
}

fn measure(number: u64, payload: Payload) -> Command {
    let mut command = command(number, "measure");
    command.payload = payload;
    command
}

/// Sends a payload of `bytes` bytes; the node may have had enough before their end.
async fn upload(peer: &Peer, command: Command, bytes: usize) -> Reply {
    let (mut send, mut reader) = begin(peer, command).await;
    let sending = async {
        if send.write_all(&vec![7; bytes]).await.is_ok() {
            let _ = send.finish();
        }
    };
    tokio::join!(sending, reader.reply()).1
}

#[tokio::test]
async fn attached_and_streamed_bytes_arrive() {
    let node = Node::start().await;
    let (mut peer, _) = node.session().await;
    let attached = |length: usize| Payload::Attached {
        length: length as u64,
    };
    let length = PAYLOAD_BYTES_MAX + 1;
    let cases = [
        (attached(0), 0),
        (attached(1), 1),
        (attached(PAYLOAD_BYTES_MAX), PAYLOAD_BYTES_MAX),
        (Payload::Streamed { length: None }, 0),
        (Payload::Streamed { length: None }, 3 * PAYLOAD_BYTES_MAX),
        (
            Payload::Streamed {
                length: Some(length as u64),
            },
            length,
        ),
    ];
    for (number, (payload, bytes)) in (1..).zip(cases) {
        let reply = upload(&peer, measure(number, payload), bytes).await;
        let measured = success(reply, Request::Command(number));
        assert_eq!(measured.body, bytes.to_string());
    }
    // The control stream has seen none of it.
    peer.send(&[query(1, "echo", "1")]).await;
    success(peer.reply().await, Request::Query(1));
}

#[tokio::test]
async fn wrong_lengths_are_refused() {
    let node = Node::start().await;
    let (peer, _) = node.session().await;
    let nine: u32 = 9 * 1024 * 1024;
    let attached = |length| Payload::Attached { length };
    let cases: [(Payload, usize, ErrorCode); 6] = [
        (attached(10), 9, ErrorCode::Invalid),
        (attached(10), 11, ErrorCode::Invalid),
        (attached(nine.into()), nine as usize, ErrorCode::TooLarge),
        (attached(u64::MAX), 1, ErrorCode::TooLarge),
        (
            Payload::Streamed { length: Some(10) },
            9,
            ErrorCode::Invalid,
        ),
        (
            Payload::Streamed { length: Some(10) },
            11,
            ErrorCode::Invalid,
        ),
    ];
    for (number, (payload, bytes, code)) in (1..).zip(cases) {
        let reply = upload(&peer, measure(number, payload.clone()), bytes).await;
        let refused: Failure = failure(reply, Request::Command(number));
        assert_eq!(refused.code, code, "{payload:?} with {bytes} bytes");
        if code == ErrorCode::TooLarge {
            assert!(refused.message.contains("streamed"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_payload_that_breaks_off_is_told_to_who_reads_it() {
    let node = Node::start().await;
    let (peer, _) = node.session().await;
    let (mut send, mut reader) = begin(&peer, measure(1, Payload::Streamed { length: None })).await;
    send.write_all(&[7; 1_000]).await.unwrap();
    node.stand.0.received.acquire().await.unwrap().forget();
    send.reset(0u32.into()).unwrap();
    let broken = failure(reader.reply().await, Request::Command(1));
    assert!(broken.message.contains("broke"), "{broken}");
}

#[tokio::test]
async fn a_payload_whose_connection_is_lost_is_not_taken_for_whole() {
    let node = Node::start().await;
    // What the connection's tasks notice first is by chance.
    for _ in 0..50 {
        let (peer, _) = node.session().await;
        let streamed = measure(1, Payload::Streamed { length: None });
        let (mut send, _reader) = begin(&peer, streamed).await;
        send.write_all(&[7; 1_000]).await.unwrap();
        node.stand.0.received.acquire().await.unwrap().forget();
        peer.connection.close(0u32.into(), b"");
        let broken = tokio::time::timeout(PATIENCE, node.stand.0.broken.acquire());
        broken.await.unwrap().unwrap().forget();
    }
}

#[tokio::test]
async fn a_repeat_in_flight_is_answered_on_its_new_stream() {
    let node = Node::start().await;
    let (peer, _) = node.session().await;
    let mut hold = command(1, "hold");
    hold.payload = Payload::Attached { length: 3 };
    let (mut first, mut former) = begin(&peer, hold.clone()).await;
    first.write_all(b"abc").await.unwrap();
    first.finish().unwrap();
    node.stand.0.held.acquire().await.unwrap().forget();
    let (mut second, mut reader) = begin(&peer, hold).await;
    second.write_all(b"abc").await.unwrap();
    second.finish().unwrap();
    // The former stream ends once the repeat has taken its place.
    assert_eq!(former.next().await, None);
    node.stand.release();
    success(reader.reply().await, Request::Command(1));
    assert_eq!(node.stand.count(), 1);
}

#[tokio::test]
async fn only_commands_with_a_payload_go_on_such_streams() {
    let node = Node::start().await;
    let (peer, _) = node.session().await;
    for frame in [
        query(1, "echo", "1"),
        ClientFrame::Command(command(1, "add")),
    ] {
        let (mut send, mut recv) = peer.connection.open_bi().await.unwrap();
        send.write_all(&encode(&[frame])).await.unwrap();
        let reset = recv.read_to_end(usize::MAX).await.unwrap_err();
        let code = close_code(ErrorCode::Malformed);
        assert!(
            format!("{reset:?}").contains(&format!("Reset({code})")),
            "{reset:?}"
        );
    }
    let (mut send, mut recv) = peer.connection.open_bi().await.unwrap();
    send.write_all(&Bytes::from_static(&[0xff; 64]))
        .await
        .unwrap();
    recv.read_to_end(usize::MAX).await.unwrap_err();
    assert_eq!(node.stand.count(), 0);
}

#[tokio::test]
async fn a_payload_that_is_handed_through_has_its_end_before_the_session_moves() {
    let others = watch::channel(Arc::from(["b.example:1".to_owned()])).1;
    let node = Node::among(others, Stand::new()).await;
    let (mut peer, _) = node.session().await;
    let streamed = measure(1, Payload::Streamed { length: None });
    let (mut send, mut reader) = begin(&peer, streamed).await;
    send.write_all(&[7; 10]).await.unwrap();
    node.stand.0.received.acquire().await.unwrap().forget();
    node.sessions.redirect_all();
    // Till then all goes on.
    peer.send(&[ClientFrame::Command(command(2, "add"))]).await;
    success(peer.reply().await, Request::Command(2));
    send.write_all(&[7; 10]).await.unwrap();
    send.finish().unwrap();
    let measured = success(reader.reply().await, Request::Command(1));
    assert_eq!(&measured.body[..], b"20");
    match peer.next().await {
        Some(ServerFrame::Redirect(redirect)) => assert_eq!(redirect.address, "b.example:1"),
        next => panic!("not sent elsewhere: {next:?}"),
    }
}
