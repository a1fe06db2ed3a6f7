//! Credentials that end while a session goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_client::{CallError, Client, ConnectError, ErrorCode, Failure, actor};
use selvedge_protocol::frame::{Goodbye, ServerFrame};

use crate::fake_server::{FakeServer, Faults, TOKEN};

async fn add(client: &Client) -> Result<u64, CallError> {
    let counter = actor("counter/one").unwrap();
    client.session().command(counter, "add", ()).json().await
}

/// The credential of the connection is over, and another one is let in.
async fn renew(server: &FakeServer, token: &'static str) {
    server.look(|world| world.faults.renewed = Some(token));
    let failure = Failure::new(ErrorCode::Unauthenticated, "the token has expired");
    let failure = Some(failure);
    server.push(ServerFrame::Goodbye(Goodbye { failure })).await;
}

#[tokio::test]
async fn a_session_goes_on_with_the_token_that_is_good_now() {
    let server = FakeServer::start(Faults::default());
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let source = move || {
        let token = [TOKEN, "the next"][counting.fetch_add(1, Ordering::Relaxed)];
        async move { Ok(token.to_owned()) }
    };
    let client = server
        .builder()
        .token_source(source)
        .connect()
        .await
        .unwrap();
    assert_eq!(add(&client).await.unwrap(), 1);
    renew(&server, "the next").await;
    assert_eq!(add(&client).await.unwrap(), 2);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    server.look(|world| assert_eq!((world.connections, world.sessions), (2, 1)));
}

#[tokio::test]
async fn a_token_that_has_ended_for_good_is_shown_once_more() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    renew(&server, "another").await;
    let refused = add(&client).await;
    let Err(CallError::Failure(failure)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(failure.code, ErrorCode::Unauthenticated);
    assert_eq!(server.look(|world| world.connections), 2);
}

#[tokio::test]
async fn a_source_that_has_none_is_asked_again() {
    let server = FakeServer::start(Faults::default());
    let asked = AtomicUsize::new(0);
    let source = move || {
        let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            match is_first {
                true => Err("the network is down".into()),
                false => Ok(TOKEN.to_owned()),
            }
        }
    };
    let client = server
        .builder()
        .token_source(source)
        .connect()
        .await
        .unwrap();
    assert_eq!(add(&client).await.unwrap(), 1);
}

#[tokio::test]
async fn a_token_that_is_too_long_is_shown_to_nobody() {
    let server = FakeServer::start(Faults::default());
    let source = || async { Ok("x".repeat(100_000)) };
    let refused = server.builder().token_source(source).connect().await;
    assert!(
        matches!(refused, Err(ConnectError::Setting { what: "token", .. })),
        "{refused:?}"
    );
    assert_eq!(server.look(|world| world.connections), 0);
}
