//! What no browser would do. Each gets its clear answer, and the node goes on.

use std::time::Duration;

use proptest::prelude::*;
use selvedge_node::edge::EdgeConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Request};
use web_transport_proto::{
    Capsule, ConnectRequest, ConnectResponse, Setting, Settings, error_to_http3,
};

use super::browser::{Http, ask, closed, ended, headers, http_frame, numbers};
use crate::edge::peer::{Node, close_code, config, encode, hello, query, success};

/// One that does not wait long.
fn hasty() -> EdgeConfig {
    let mut edge = config();
    edge.hello = Duration::from_millis(200);
    edge
}

async fn goes_on(node: &Node) {
    let (mut browser, _) = node.browser_session().await;
    browser.peer.send(&[query(1, "echo", "1")]).await;
    success(browser.peer.reply().await, Request::Query(1));
}

#[tokio::test]
async fn no_settings_or_no_session_or_no_hello_in_time() {
    let node = Node::with_edge(hasty()).await;
    let (_endpoint, connection) = Http::silent(&node).await;
    let (code, reason) = ended(&connection).await;
    assert_eq!(code, 0x100);
    assert!(reason.contains("in time"), "{reason}");

    let http = Http::connect(&node).await;
    assert_eq!(ended(&http.connection).await.0, 0x100);

    // A request that never ends.
    let http = Http::connect(&node).await;
    let request = ask("/session", None);
    let _held = http.request(&request[..request.len() / 2]).await;
    assert_eq!(ended(&http.connection).await.0, 0x100);

    // From then on it is the session that ends.
    let malformed = close_code(ErrorCode::Malformed);
    let mut browser = node.browser().await;
    let (code, reason) = browser.closed().await;
    assert_eq!(u64::from(code), malformed);
    assert!(reason.contains("Hello"), "{reason}");
    let mut browser = node.browser().await;
    let hello = encode(&[ClientFrame::Hello(hello(None))]);
    browser.peer.send_bytes(&hello[..hello.len() / 2]).await;
    assert_eq!(u64::from(browser.closed().await.0), malformed);
    // A session without a stream.
    let http = Http::connect(&node).await;
    let (_request, mut said) = http.request(&ask("/session", None)).await;
    ConnectResponse::read(&mut said).await.unwrap();
    let (code, _) = closed(&http.connection, &mut said).await;
    assert_eq!(u64::from(code), malformed);
    goes_on(&Node::start().await).await;
}

#[tokio::test]
async fn requests_that_are_for_no_session() {
    let node = Node::start().await;
    let http = Http::connect(&node).await;
    let base = [(":scheme", "https"), (":authority", "localhost:7400")];
    let with = |more: &[(&str, &str)]| headers(&[&base[..], more].concat());
    let connect = (":method", "CONNECT");
    let web = (":protocol", "webtransport");
    let path = (":path", "/session");
    let cases = [
        (
            with(&[(":method", "GET"), (":path", "/")]),
            404,
            "HTTP has its own port",
        ),
        (
            with(&[(":method", "GET"), path]),
            404,
            ":protocol webtransport",
        ),
        (
            with(&[connect, path, (":protocol", "websocket")]),
            404,
            "/session",
        ),
        (with(&[connect, web, (":path", "/")]), 404, "/session"),
        (
            with(&[connect, web, (":path", "/session/")]),
            404,
            "/session",
        ),
        (with(&[connect, web]), 400, ":path"),
        (headers(&[connect, web, path]), 400, ":authority"),
        (
            headers(&[(":scheme", "http"), connect, web, path]),
            400,
            "https",
        ),
        (
            with(&[connect, web, path, ("origin", "https://evil.example")]),
            403,
            "origin",
        ),
        (
            with(&[connect, web, path, ("origin", "null")]),
            403,
            "origin",
        ),
        (
            with(&[connect, web, path, ("cookie", &"x".repeat(17_000))]),
            431,
            "fewer",
        ),
    ];
    for (request, expected, part) in cases {
        let (status, text) = http.refused(&request).await;
        assert_eq!(status, expected, "{text}");
        assert!(text.contains(part), "{text}");
    }
    // Small on the wire, large when decoded: each of these bytes is a field of the static table.
    let bomb = http_frame(1, &[&[0, 0][..], &[0xd1; 1_000]].concat());
    assert_eq!(http.refused(&bomb).await.0, 431);
    // A session may still be had.
    http.ask(None).await;
    // While it is there, requests are answered as before.
    let (mut browser, _) = node.browser_session().await;
    let get = with(&[(":method", "GET"), (":path", "/")]);
    let (mut send, mut recv) = browser.peer.connection.open_bi().await.unwrap();
    send.write_all(&get).await.unwrap();
    let answer = recv.read_to_end(1_000).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("/session"));
    browser.peer.send(&[query(1, "echo", "1")]).await;
    success(browser.peer.reply().await, Request::Query(1));
}

#[tokio::test]
async fn a_second_session_and_streams_of_others() {
    let node = Node::start().await;
    let (mut browser, _) = node.browser_session().await;
    for (bytes, code) in [
        (ask("/session", None), 0x10b),
        (numbers(&[0x41, 4]), 0x3994_bd84),
        (numbers(&[0x41, 7]), 0x3994_bd84),
    ] {
        let (mut send, mut recv) = browser.peer.connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        let reset = recv.read_to_end(usize::MAX).await.unwrap_err();
        let code = quinn::VarInt::from_u64(code).unwrap();
        assert_eq!(
            reset,
            quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))
        );
    }
    // A stream that ends before it says what it is.
    let (mut send, mut recv) = browser.peer.connection.open_bi().await.unwrap();
    send.write_all(&numbers(&[0x41])).await.unwrap();
    send.finish().unwrap();
    recv.read_to_end(usize::MAX).await.unwrap_err();
    // Streams one way are the node's; each sort that is refused makes room for the next.
    for round in 0..20_u64 {
        let (kind, code) = match round % 2 {
            0 => (0x54, error_to_http3(1)),
            _ => (0x21 + 0x1f * round, 0x103),
        };
        let mut stream = browser.peer.connection.open_uni().await.unwrap();
        stream.write_all(&numbers(&[kind, 0])).await.unwrap();
        let stopped = stream.stopped().await.unwrap();
        assert_eq!(stopped.map(quinn::VarInt::into_inner), Some(code));
    }
    browser.peer.send(&[query(1, "echo", "1")]).await;
    success(browser.peer.reply().await, Request::Query(1));
}

#[tokio::test]
async fn what_breaks_the_rules_of_http3_ends_the_connection() {
    let node = Node::start().await;
    // On a stream one way, instead of the settings.
    let settings = |payload: &[u8]| [&[0][..], &http_frame(4, payload)].concat();
    let cases = [
        ([&[0][..], &http_frame(7, &[0])].concat(), 0x10a),
        (settings(&numbers(&[0x2, 1])), 0x109),
        (settings(&[0x33]), 0x106),
        ([&[0][..], &numbers(&[4, 100_000])].concat(), 0x107),
        ([settings(&[]), http_frame(0, b"data")].concat(), 0x105),
        ([settings(&[]), http_frame(4, &[])].concat(), 0x105),
        (vec![1], 0x103),
        (vec![2, 0x3f, 0xe1, 0x1f], 0x201),
    ];
    for (bytes, code) in cases {
        let (_endpoint, connection) = Http::silent(&node).await;
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(ended(&connection).await.0, code, "{bytes:x?}");
    }
    // On a stream for requests.
    let cases = [
        (http_frame(0, b"data"), 0x105),
        (http_frame(4, &[]), 0x105),
        (http_frame(1, &[0, 0, 0x80]), 0x200),
        (http_frame(1, &[0, 0, 0xff, 0xff, 0xff]), 0x200),
        (http_frame(1, &[]), 0x200),
    ];
    for (bytes, code) in cases {
        let http = Http::connect(&node).await;
        let _held = http.request(&bytes).await;
        assert_eq!(ended(&http.connection).await.0, code, "{bytes:x?}");
    }
    let mut http = Http::connect(&node).await;
    http.control.finish().unwrap();
    assert_eq!(ended(&http.connection).await.0, 0x104);
    let http = Http::connect(&node).await;
    let mut second = http.connection.open_uni().await.unwrap();
    second.write_all(&settings(&[])).await.unwrap();
    assert_eq!(ended(&http.connection).await.0, 0x103);
    goes_on(&node).await;
}

#[tokio::test]
async fn bytes_that_are_no_frames() {
    let node = Node::start().await;
    let cases: [(Vec<u8>, ErrorCode); 3] = [
        (vec![0xff, 0xff, 0xff, 0xff, 1, 2], ErrorCode::TooLarge),
        (vec![0, 0, 0, 3, 99, 2, 0], ErrorCode::UnsupportedVersion),
        (vec![0, 0, 0, 3, 1, 200, 0], ErrorCode::Malformed),
    ];
    for (bytes, expected) in cases {
        let mut before = node.browser().await;
        before.peer.send_bytes(&bytes).await;
        let (code, reason) = before.closed().await;
        assert_eq!(u64::from(code), close_code(expected), "{bytes:?}: {reason}");
        let (mut after, _) = node.browser_session().await;
        after.peer.send_bytes(&bytes).await;
        assert_eq!(u64::from(after.closed().await.0), close_code(expected));
        let (mut datagram, _) = node.browser_session().await;
        datagram.send_datagram(&bytes);
        datagram.closed().await;
    }
}

#[tokio::test]
async fn much_is_said_beside_the_streams() {
    let node = Node::start().await;
    // Frames that nobody knows are passed over on the control stream, and capsules where they are told.
    let (mut browser, _) = node.browser_session().await;
    for _ in 0..100 {
        let unknown = http_frame(0x21, &[7; 10_000]);
        browser.control.write_all(&unknown).await.unwrap();
    }
    let mut capsule = Vec::new();
    Capsule::Grease { num: 1 }.encode(&mut capsule);
    let capsule = http_frame(0, &capsule);
    browser.request.write_all(&capsule).await.unwrap();
    browser.peer.send(&[query(1, "echo", "1")]).await;
    success(browser.peer.reply().await, Request::Query(1));
    for _ in 0..10_000 {
        if browser.request.write_all(&capsule).await.is_err() {
            break;
        }
    }
    assert_eq!(ended(&browser.peer.connection).await.0, 0x107);
    goes_on(&node).await;
}

#[tokio::test]
async fn where_browsers_are_not_served_nobody_speaks_http3() {
    let mut edge = config();
    edge.browsers = None;
    let node = Node::with_edge(edge).await;
    let endpoint = node.endpoint_speaking(b"h3");
    let connecting = endpoint.connect(node.address, "localhost").unwrap();
    connecting.await.unwrap_err();
    node.session().await;
}

proptest! {
    /// The decoders are not ours: whatever comes, they answer.
    #[test]
    fn no_headers_make_the_decoder_panic(section in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ConnectRequest::decode(&mut http_frame(1, &section).as_slice());
        let literal = [&[0, 0, 0x2f, 0x00][..], &section].concat();
        let _ = ConnectRequest::decode(&mut http_frame(1, &literal).as_slice());
    }

    /// A string in Huffman's code, of any bits.
    #[test]
    fn no_huffman_code_makes_the_decoder_panic(bits in prop::collection::vec(any::<u8>(), 0..100)) {
        let length = 0x80 | u8::try_from(bits.len()).unwrap();
        let section = [&[0, 0, 0x51, length][..], &bits].concat();
        let _ = ConnectRequest::decode(&mut http_frame(1, &section).as_slice());
    }
}

#[tokio::test]
async fn a_control_stream_that_is_reset_ends_the_connection() {
    let node = Node::start().await;
    let (mut browser, _) = node.browser_session().await;
    browser.peer.send.reset(0u32.into()).unwrap();
    assert_eq!(ended(&browser.peer.connection).await.0, 0x100);
    goes_on(&node).await;
}

/// What the node sends is what it says that it sends.
#[tokio::test]
async fn the_settings_allow_one_session_and_no_dynamic_table() {
    let node = Node::start().await;
    let (_endpoint, connection) = Http::silent(&node).await;
    let mut control = connection.accept_uni().await.unwrap();
    let settings = Settings::read(&mut control).await.unwrap();
    let value = |setting| settings.get(&setting).map(|value| value.into_inner());
    assert_eq!(value(Setting::WEBTRANSPORT_MAX_SESSIONS), Some(1));
    assert_eq!(value(Setting::ENABLE_CONNECT_PROTOCOL), Some(1));
    assert_eq!(value(Setting::ENABLE_DATAGRAM), Some(1));
    assert_eq!(value(Setting::QPACK_MAX_TABLE_CAPACITY).unwrap_or(0), 0);
    assert_eq!(value(Setting::QPACK_BLOCKED_STREAMS).unwrap_or(0), 0);
}
