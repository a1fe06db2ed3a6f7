//! Sessions of browsers: the same frames in the same order as on QUIC, on the streams and datagrams of WebTransport.

pub(crate) mod browser;
mod wrong;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use selvedge_node::session::{OtherNodes, Transport};
use selvedge_protocol::frame::{
    ClientFrame, Command, EphemeralSend, Goodbye, Payload, Reply, Request, ServerFrame, Since,
    Subscribe,
};
use selvedge_protocol::limits::PAYLOAD_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Target, attachment, codec, servers};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use web_transport_proto::error_to_http3;

use super::peer::{
    Node, Reader, close_code, command, config, encode, hello, query, subscribe, success, target,
};
use super::service::Stand;
use browser::{Browser, Http};

#[tokio::test]
async fn commands_and_queries() {
    let node = Node::start().await;
    let (mut browser, welcome) = node.browser_session().await;
    assert!(!welcome.resumed);
    let adds: Vec<ClientFrame> = (1..=1_000)
        .map(|number| ClientFrame::Command(command(number, "add")))
        .collect();
    browser.peer.send(&adds).await;
    for number in 1..=1_000 {
        success(browser.peer.reply().await, Request::Command(number));
    }
    browser.peer.send(&[query(1, "echo", "7")]).await;
    let echo = success(browser.peer.reply().await, Request::Query(1));
    assert_eq!((&echo.body[..], echo.seq), (&b"7"[..], 1_000));
}

#[tokio::test]
async fn a_large_answer_and_a_large_gap() {
    let node = Node::start().await;
    let (mut browser, _) = node.browser_session().await;
    browser
        .peer
        .send(&[query(1, "bytes", PAYLOAD_BYTES_MAX.to_string())])
        .await;
    let mut answer = browser.accept_uni().await;
    let reply = answer.reply().await;
    assert_eq!(reply.request, Request::Query(1));
    assert_eq!(attachment::length(&reply), Ok(Some(PAYLOAD_BYTES_MAX)));
    assert_eq!(
        answer.bytes(PAYLOAD_BYTES_MAX).await.len(),
        PAYLOAD_BYTES_MAX
    );
    assert_eq!(answer.next().await, None);

    let subscribe = Subscribe {
        subscription: 1,
        target: Target::Operations,
        since: Since::After(0),
        ext: Vec::new(),
    };
    browser
        .peer
        .send(&[ClientFrame::Subscribe(subscribe)])
        .await;
    success(browser.peer.reply().await, Request::Subscription(1));
    let mut events = browser.accept_uni().await;
    match events.next().await {
        Some(ServerFrame::LargeGap(gap)) => assert_eq!((gap.seq, gap.length), (9, 1 << 20)),
        other => panic!("not a large gap: {other:?}"),
    }
    assert_eq!(events.bytes(1 << 20).await, vec![b'x'; 1 << 20]);
    match events.next().await {
        Some(ServerFrame::Event(event)) => assert_eq!(event.seq, 10),
        other => panic!("not an event: {other:?}"),
    }
}

#[tokio::test]
async fn events_in_order() {
    let node = Node::start().await;
    for _ in 0..10_000 {
        node.stand.add(None);
    }
    let (mut browser, _) = node.browser_session().await;
    browser.peer.send(&[subscribe(1, Since::After(0))]).await;
    success(browser.peer.reply().await, Request::Subscription(1));
    let mut events = browser.accept_uni().await;
    for seq in 1..=10_000 {
        match events.next().await {
            Some(ServerFrame::Event(event)) => assert_eq!(event.seq, seq),
            other => panic!("not an event: {other:?}"),
        }
    }
}

/// Another node, by its port for clients and that of its bridge, and one that is away.
fn others() -> OtherNodes {
    let some = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|&it| it.to_owned());
        watch::channel(addresses.collect::<Arc<[String]>>()).1
    };
    OtherNodes {
        quic: some(&["node-2.example:7400"]),
        http: some(&["node-2.example:7480"]),
        bridges: some(&["node-2.example:7480", "node-3.example:7480"]),
    }
}

/// A browser asks the bridge of another node where its port for WebTransport is. Its page came from one that is away.
#[tokio::test]
async fn a_browser_is_told_of_other_bridges() {
    let node = Node::among_those(others(), Stand::new()).await;
    let http = Http::connect(&node).await;
    let mut browser = http.ask(Some("https://node-3.example:7480")).await;
    let hello = ClientFrame::Hello(hello(None));
    browser.peer.send(&[hello]).await;
    let welcome = browser.peer.welcome().await;
    assert_eq!(servers::named(&welcome.ext), ["node-2.example:7480"]);
    let (_, told) = node.session().await;
    assert_eq!(servers::named(&told.ext), ["node-2.example:7400"]);
    let (counts, _) = node.sessions.count();
    assert!(counts.contains(&(Transport::WebTransport, 1)), "{counts:?}");
    assert!(counts.contains(&(Transport::Quic, 1)), "{counts:?}");
}

/// Sends a payload of `bytes` bytes on a stream of its own.
async fn upload(browser: &Browser, number: u64, payload: Payload, bytes: usize) -> Reply {
    let (mut send, recv) = browser.open_bi().await;
    let mut reader = Reader::new(recv);
    let command = Command {
        payload,
        ..command(number, "measure")
    };
    let sending = async {
        send.write_all(&encode(&[ClientFrame::Command(command)]))
            .await
            .unwrap();
        send.write_all(&vec![7; bytes]).await.unwrap();
        send.finish().unwrap();
    };
    tokio::join!(sending, reader.reply()).1
}

#[tokio::test]
async fn payloads_of_both_sorts() {
    let node = Node::start().await;
    let (browser, _) = node.browser_session().await;
    let cases = [
        (Payload::Attached { length: 0 }, 0),
        (
            Payload::Attached {
                length: PAYLOAD_BYTES_MAX as u64,
            },
            PAYLOAD_BYTES_MAX,
        ),
        (Payload::Streamed { length: None }, 2 * PAYLOAD_BYTES_MAX),
    ];
    for (number, (payload, bytes)) in (1..).zip(cases) {
        let reply = upload(&browser, number, payload, bytes).await;
        let measured = success(reply, Request::Command(number));
        assert_eq!(measured.body, bytes.to_string());
    }
}

#[tokio::test]
async fn streams_are_reset_with_codes_that_http3_leaves_to_applications() {
    let node = Node::start().await;
    let (browser, _) = node.browser_session().await;
    let (mut send, mut recv) = browser.open_bi().await;
    send.write_all(&encode(&[query(1, "echo", "1")]))
        .await
        .unwrap();
    let code = u32::try_from(close_code(ErrorCode::Malformed)).unwrap();
    let mapped = quinn::VarInt::from_u64(error_to_http3(code)).unwrap();
    let reset = recv.read_to_end(usize::MAX).await.unwrap_err();
    assert_eq!(
        reset,
        quinn::ReadToEndError::Read(quinn::ReadError::Reset(mapped))
    );
    assert_eq!(send.stopped().await, Ok(Some(mapped)));
}

#[tokio::test]
async fn ephemeral_messages_between_browsers_and_others() {
    let node = Node::start().await;
    let (mut native, _) = node.session().await;
    let (mut browser, welcome) = node.browser_session().await;
    for peer in [&mut native, &mut browser.peer] {
        peer.send(&[subscribe(5, Since::Latest)]).await;
        success(peer.reply().await, Request::Subscription(5));
    }
    let message = EphemeralSend {
        target: target(),
        name: "cursor".to_owned(),
        data: Bytes::from_static(b"[1,2]"),
    };
    // One of another session, and what is no number at all, are lost.
    let lost = browser::numbers(&[77, 1, 2, 3]);
    for lost in [lost, vec![0xff], vec![]] {
        let connection = &browser.peer.connection;
        connection.send_datagram(lost.into()).unwrap();
    }
    browser.send_datagram(&encode(&[ClientFrame::Ephemeral(message)]));
    let heard = native.connection.read_datagram().await.unwrap();
    for heard in [BytesMut::from(heard), browser.read_datagram().await] {
        match codec::decode_whole(heard).unwrap() {
            ServerFrame::Ephemeral(event) => {
                assert_eq!((event.subscription, event.from), (5, welcome.session));
                assert_eq!(&event.data[..], b"[1,2]");
            }
            other => panic!("not an ephemeral message: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_session_goes_on_over_the_other_transport() {
    let node = Node::start().await;
    let (mut browser, welcome) = node.browser_session().await;
    let hold = ClientFrame::Command(command(1, "hold"));
    browser.peer.send(std::slice::from_ref(&hold)).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    // A page that was closed ends its session of WebTransport; ours waits for it.
    browser.request.finish().unwrap();
    assert_eq!(browser::ended(&browser.peer.connection).await.0, 0x100);

    let (mut native, again) = node.resume(&welcome).await;
    assert!(again.resumed);
    assert_eq!(again.session, welcome.session);
    native.send(&[hold]).await;
    native.send(&[query(1, "echo", "1")]).await;
    success(native.reply().await, Request::Query(1));
    node.stand.release();
    success(native.reply().await, Request::Command(1));

    // And back, while the other connection is still there.
    let mut browser = node.browser().await;
    let hello = hello(Some(again.resume_token));
    browser.peer.send(&[ClientFrame::Hello(hello)]).await;
    assert!(browser.peer.welcome().await.resumed);
    assert_eq!(native.expelled().await.code, ErrorCode::SessionReplaced);
    browser.peer.send(&[query(2, "echo", "1")]).await;
    success(browser.peer.reply().await, Request::Query(2));
    assert_eq!((node.stand.count(), node.sessions.len()), (1, 1));
}

#[tokio::test]
async fn the_later_connection_replaces_the_earlier() {
    let node = Node::start().await;
    let (mut former, welcome) = node.browser_session().await;
    let (mut later, _) = node.resume(&welcome).await;
    match former.peer.next().await {
        Some(ServerFrame::Goodbye(goodbye)) => {
            assert_eq!(goodbye.failure.unwrap().code, ErrorCode::SessionReplaced);
        }
        other => panic!("not a Goodbye: {other:?}"),
    }
    let (code, reason) = former.closed().await;
    assert_eq!(u64::from(code), close_code(ErrorCode::SessionReplaced));
    assert!(!reason.is_empty());
    later.send(&[query(1, "echo", "1")]).await;
    success(later.reply().await, Request::Query(1));
}

#[tokio::test]
async fn a_goodbye_ends_the_session_in_order() {
    let node = Node::start().await;
    let (mut browser, _) = node.browser_session().await;
    let goodbye = ClientFrame::Goodbye(Goodbye { failure: None });
    browser.peer.send(&[goodbye]).await;
    assert_eq!(
        browser.peer.next().await,
        Some(ServerFrame::Goodbye(Goodbye { failure: None }))
    );
    assert_eq!(browser.closed().await, (0, String::new()));
    while !node.sessions.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_drain_answers_what_was_accepted_and_sends_elsewhere() {
    let node = Node::among_those(others(), Stand::new()).await;
    let (mut browser, _) = node.browser_session().await;
    let hold = ClientFrame::Command(command(1, "hold"));
    browser.peer.send(&[hold]).await;
    node.stand.0.held.acquire().await.unwrap().forget();
    let stand = node.stand.clone();
    let running = node.drain();
    assert!(matches!(
        browser.peer.next().await,
        Some(ServerFrame::Notice(_))
    ));
    stand.release();
    success(browser.peer.reply().await, Request::Command(1));
    match browser.peer.next().await {
        Some(ServerFrame::Redirect(redirect)) => {
            assert_eq!(redirect.address, "node-2.example:7480");
        }
        other => panic!("not sent elsewhere: {other:?}"),
    }
    let (code, _) = browser.closed().await;
    assert_eq!(u64::from(code), close_code(ErrorCode::Unavailable));
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn browsers_see_a_certificate_of_their_own() {
    let node = Node::start().await;
    // Each end of these tests trusts one of the two only.
    node.session().await;
    node.browser_session().await;
    let hash: [u8; 32] = Sha256::digest(&node.browser_certificate).into();
    assert_eq!(node.browser_sha256, Some(hash));
}

#[tokio::test]
async fn origins_of_the_same_host_and_listed_ones_are_let_in() {
    let mut edge = config();
    edge.browsers.as_mut().unwrap().origins = vec!["https://app.example".to_owned()];
    let node = Node::with_edge(edge).await;
    for origin in [
        None,
        Some("http://localhost:7480"),
        Some("https://app.example"),
    ] {
        let http = Http::connect(&node).await;
        let mut browser = http.ask(origin).await;
        let hello = ClientFrame::Hello(hello(None));
        browser.peer.send(&[hello]).await;
        browser.peer.welcome().await;
    }
}
