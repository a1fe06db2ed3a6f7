//! What was let in by a credential ends with it, by every way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use selvedge_cluster::Clock;
use selvedge_node::identity::ResumeKey;
use selvedge_node::session::{
    End, Inside, LinkReceiver, NodeRoom, Outgoing, SessionConfig, SessionHandle, Sessions, link,
    no_other_nodes,
};
use selvedge_protocol::frame::{ClientFrame, Hello, Ping, ServerFrame};
use selvedge_protocol::{ErrorCode, Failure};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::people::People;
use super::{Frame, Node, WAYS, Way, error};
use crate::bridge::PATIENCE;
use crate::edge::peer::hello;
use crate::edge::service::Stand;

/// When these tests begin, Unix milliseconds.
const NOW: u64 = 1_700_000_000_000;

/// The sessions of a node in simulated time.
async fn sessions(clock: &Clock) -> Sessions {
    sessions_with(clock, SessionConfig::new("test")).await
}

async fn sessions_with(clock: &Clock, config: SessionConfig) -> Sessions {
    let inside = Inside {
        service: Arc::new(Stand::new()),
        workers: None,
        authenticator: Arc::new(People),
        resume_key: ResumeKey::new(&[7; 32]),
        clock: clock.clone(),
        others: no_other_nodes(),
    };
    Sessions::start(config, inside).await.unwrap()
}

async fn open(
    sessions: &Sessions,
    token: &str,
    resume: Option<Bytes>,
) -> Result<(SessionHandle, LinkReceiver), Failure> {
    let (sender, receiver) = link(NodeRoom::new(0).connection());
    let hello = Hello {
        token: token.to_owned(),
        ..hello(resume)
    };
    let handle = sessions.open(ClientFrame::Hello(hello), sender).await?;
    Ok((handle, receiver))
}

/// Reads on to the end of a connection.
async fn end(receiver: &LinkReceiver) -> Failure {
    loop {
        match receiver.next().await.end {
            Some(End::Failed(failure)) => return failure,
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_s_connection_ends_when_its_credential_does() {
    let clock = Clock::simulated(NOW, 1);
    let sessions = sessions(&clock).await;
    // Longer than the session looks ahead.
    let expires_ms = NOW + 5 * 3_600_000 + 7;
    let token = format!("until/{expires_ms}");
    let (handle, receiver) = open(&sessions, &token, None).await.unwrap();
    let ready = receiver.next().await;
    let Some(Outgoing::Frame(ServerFrame::Welcome(welcome))) = ready.items.into_iter().next()
    else {
        panic!("no Welcome");
    };
    // A later credential takes over, and with it the time.
    let later_ms = expires_ms + 60_000;
    let resume = Some(welcome.resume_token.clone());
    let (_later, later) = open(&sessions, &format!("until/{later_ms}"), resume)
        .await
        .unwrap();
    assert_eq!(end(&receiver).await.code, ErrorCode::SessionReplaced);
    drop(handle);
    let failure = end(&later).await;
    assert_eq!(failure.code, ErrorCode::Unauthenticated, "{failure}");
    assert_eq!(clock.wall_ms(), later_ms);
    // It is without a connection, and goes on with a credential that holds.
    assert_eq!(
        sessions.info(welcome.session).unwrap().transport,
        None,
        "its connection has gone"
    );
    let resume = Some(welcome.resume_token);
    let refused = open(&sessions, &token, resume.clone()).await.err();
    assert_eq!(refused.unwrap().code, ErrorCode::Unauthenticated);
    assert!(open(&sessions, "cluster/admin", resume).await.is_ok());
}

/// Opens a session, and takes its Welcome.
async fn welcomed(
    sessions: &Sessions,
    resume: Option<Bytes>,
) -> (SessionHandle, LinkReceiver, Bytes) {
    let (handle, receiver) = open(sessions, "cluster/admin", resume).await.unwrap();
    let ready = receiver.next().await;
    match ready.items.into_iter().next() {
        Some(Outgoing::Frame(ServerFrame::Welcome(welcome))) => {
            (handle, receiver, welcome.resume_token)
        }
        _ => panic!("no Welcome"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_grows_no_older_than_it_may_whatever_its_connections() {
    let clock = Clock::simulated(NOW, 1);
    let life = Duration::from_secs(12 * 3_600);
    let config = || SessionConfig {
        life: Some(life),
        ..SessionConfig::new("test")
    };
    let first = sessions_with(&clock, config()).await;
    let (_handle, _receiver, token) = welcomed(&first, None).await;
    tokio::time::advance(life / 2).await;
    // On another node it is as old as it is.
    let second = sessions_with(&clock, config()).await;
    let (_handle, receiver, token) = welcomed(&second, Some(token)).await;
    let failure = end(&receiver).await;
    assert_eq!(failure.code, ErrorCode::SessionExpired, "{failure}");
    assert_eq!(u128::from(clock.wall_ms() - NOW), life.as_millis());
    let refused = open(&first, "cluster/admin", Some(token))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ErrorCode::SessionExpired);
    // A new one begins anew.
    let (_handle, _receiver, _) = welcomed(&first, None).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_asks_for_nothing_ends_and_pings_do_not_count() {
    let clock = Clock::simulated(NOW, 1);
    let minute = Duration::from_secs(60);
    let config = SessionConfig {
        unused: Some(30 * minute),
        ..SessionConfig::new("test")
    };
    let sessions = sessions_with(&clock, config).await;
    let (handle, receiver, _) = welcomed(&sessions, None).await;
    let ended = tokio::spawn(async move {
        let failure = end(&receiver).await;
        (failure, tokio::time::Instant::now())
    });
    for number in 1..=4 {
        tokio::time::sleep(20 * minute).await;
        assert!(!ended.is_finished(), "{number}");
        let permit = handle.permit().await.unwrap();
        let command = Frame::Command("counter/one", "add", "").numbered(number);
        handle.frames(permit, vec![command]);
    }
    let last = tokio::time::Instant::now();
    tokio::time::sleep(20 * minute).await;
    let permit = handle.permit().await.unwrap();
    handle.frames(permit, vec![ClientFrame::Ping(Ping { nonce: 1 })]);
    let (failure, at) = ended.await.unwrap();
    assert_eq!(failure.code, ErrorCode::SessionExpired, "{failure}");
    assert_eq!((at - last).as_secs(), 30 * 60);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_in_after_it_even_if_the_clock_was_set_on() {
    let clock = Clock::simulated(NOW, 1);
    let sessions = sessions(&clock).await;
    let token = format!("until/{}", NOW + 1_000_000);
    let (handle, receiver) = open(&sessions, &token, None).await.unwrap();
    clock.advance(Duration::from_millis(1_000_000));
    let permit = handle.permit().await.unwrap();
    let command = Frame::Command("counter/one", "add", "").numbered(1);
    handle.frames(permit, vec![command]);
    let failure = end(&receiver).await;
    assert_eq!(failure.code, ErrorCode::Unauthenticated);
    assert!(clock.wall_ms() < NOW + 1_001_000, "before any timer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_credential_opens_nothing() {
    let node = Node::at(Clock::manual(NOW, 1)).await;
    let token = format!("until/{NOW}");
    for way in WAYS {
        let mut peer = node.connect(way).await;
        let refused = peer.greet(&token, None).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthenticated, "{way:?}");
    }
    let refused = node.http(&token).get("/v1/operations").await;
    refused.problem(401, "unauthenticated");
    let answer = node.graphql(&token, "{ about { node } }").await;
    assert_eq!(error(&answer), "unauthenticated");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_credential() {
    let clock = Clock::manual(NOW, 1);
    let node = Node::at(clock.clone()).await;
    // So little is left that each looks at the clock all the time; it stands until the test moves it.
    let token = format!("until/{}", NOW + 10);
    let mut events = node
        .http(&token)
        .events("/v1/actors/counter/a/events")
        .await;
    let document = "subscription{actorEvents(kind:\"counter\",key:\"a\"){__typename}}";
    let query = url::form_urlencoded::byte_serialize(document.as_bytes());
    let path = format!("/graphql?query={}", query.collect::<String>());
    let sse = node.http(&token).header("accept", "text/event-stream");
    let mut answers = sse.events(&path).await;
    let address = node.bridge.address;
    let mut request = format!("ws://{address}/graphql")
        .into_client_request()
        .unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {token}") });
    let init = json!({ "type": "connection_init", "payload": payload });
    socket.send(Message::text(init.to_string())).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                assert!(text.contains("connection_ack"), "{text}");
                break;
            }
            // It asks whether the client lives.
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // A session as well.
    let mut peer = node.session(Way::Quic, &token).await;

    clock.advance(Duration::from_millis(10));
    let ended = async {
        let event = events.next().await.unwrap();
        assert_eq!(event.event, "problem");
        assert_eq!(event.data["code"], "unauthenticated", "{event:?}");
        assert!(events.next().await.is_none());
        let answer = answers.next().await.unwrap();
        assert_eq!(error(&answer.data), "unauthenticated", "{answer:?}");
        assert!(answers.next().await.is_none());
        loop {
            if let Message::Close(frame) = socket.next().await.unwrap().unwrap() {
                let frame = frame.unwrap();
                assert_eq!(u16::from(frame.code), 4403, "{frame}");
                assert!(frame.reason.contains("expired"), "{frame}");
                break;
            }
        }
        match peer.next().await {
            ServerFrame::Goodbye(goodbye) => {
                assert_eq!(goodbye.failure.unwrap().code, ErrorCode::Unauthenticated);
            }
            other => panic!("{other:?}"),
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    drop((peer, socket));
    node.stop().await;
}
