//! Opening a session, commands and queries.

use std::time::Duration;

use futures::future::join_all;
use selvedge_client::{CallError, Client, CommandId, ConnectError, ErrorCode, actor};
use serde_json::json;

use crate::fake_server::{FakeServer, Faults};

#[tokio::test]
async fn commands_and_queries_are_answered() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let session = client.session();
    let counter = actor("counter/one").unwrap();
    let done = session
        .command(counter.clone(), "add", json!({"by": 1}))
        .send()
        .await
        .unwrap();
    assert_eq!((done.seq, done.version), (1, 1));
    let count: u64 = session.query(counter, "get", ()).json().await.unwrap();
    assert_eq!(count, 1);
    client.close().await;
    assert_eq!(server.look(|world| world.goodbyes), 1);
    let refused = session
        .query(actor("counter/one").unwrap(), "get", ())
        .send()
        .await;
    assert!(matches!(refused, Err(CallError::Closed)));
}

#[tokio::test]
async fn far_more_calls_than_the_window_are_answered_in_order() {
    let server = FakeServer::start(Faults {
        repeat_answers: true,
        ..Faults::default()
    });
    let client = server.client().await;
    let session = client.session();
    let counter = actor("counter/one").unwrap();
    let mut answers = Vec::new();
    for _ in 0..500 {
        let call = session.command(counter.clone(), "add", json!({"by": 1}));
        answers.push(call.start().await.unwrap());
    }
    for (answer, expected) in answers.into_iter().zip(1u64..) {
        assert_eq!(answer.json::<u64>().await.unwrap(), expected);
    }
    let queries = (0..500).map(|_| session.query(counter.clone(), "get", ()).json::<u64>());
    for count in join_all(queries).await {
        assert_eq!(count.unwrap(), 500);
    }
    assert!(server.look(|world| world.effects.values().all(|&times| times == 1)));
}

#[tokio::test]
async fn what_was_answered_is_acknowledged_without_further_commands() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let call = client
        .session()
        .command(actor("counter/one").unwrap(), "add", ());
    call.send().await.unwrap();
    server.until(|world| world.acknowledged == 1).await;
}

#[tokio::test]
async fn a_refusal_for_the_moment_is_retried_and_a_final_one_is_not() {
    let server = FakeServer::start(Faults {
        refuse: 3,
        ..Faults::default()
    });
    let client = server.client().await;
    let call = client
        .session()
        .command(actor("counter/one").unwrap(), "add", ());
    assert_eq!(call.send().await.unwrap().seq, 1);

    server.look(|world| world.faults.refuse = u32::MAX);
    let call = client
        .session()
        .command(actor("counter/one").unwrap(), "add", ());
    let refused = call
        .deadline(Duration::from_millis(1))
        .start()
        .await
        .unwrap()
        .await;
    let is_refusal = match &refused {
        Err(CallError::Failure(failure)) => failure.code == ErrorCode::Overloaded,
        Err(CallError::Timeout) => true,
        other => panic!("{other:?}"),
    };
    assert!(is_refusal);
}

#[tokio::test]
async fn a_deadline_ends_the_wait_for_a_silent_server() {
    let server = FakeServer::start(Faults {
        silent_queries: true,
        ..Faults::default()
    });
    let client = server.client().await;
    let call = client
        .session()
        .query(actor("counter/one").unwrap(), "get", ());
    let ended = call.deadline(Duration::from_millis(20)).send().await;
    assert!(matches!(ended, Err(CallError::Timeout)), "{ended:?}");
}

#[tokio::test]
async fn what_does_not_fit_a_frame_is_refused_by_name() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let session = client.session();
    let counter = actor("counter/one").unwrap();
    let long = "n".repeat(65);
    let refused = session
        .command(counter.clone(), long, ())
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.failure().unwrap().field.as_deref(), Some("name"));
    let body = json!("x".repeat(64 * 1024));
    let refused = session
        .query(counter.clone(), "get", body)
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.failure().unwrap().code, ErrorCode::TooLarge);
    let id = CommandId::from_u128(7);
    session
        .command(counter, "add", ())
        .id(id)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_named() {
    let server = FakeServer::start(Faults::default());
    let error = server.builder().token("wrong").connect().await.unwrap_err();
    let failure = error.failure().unwrap();
    assert_eq!(failure.code, ErrorCode::Unauthenticated);
    assert!(error.to_string().contains("check the token"), "{error}");
    server.look(|world| world.faults.lose_goodbyes = true);
    let error = server.builder().token("wrong").connect().await.unwrap_err();
    assert_eq!(error.failure().unwrap().code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_wrong_authority_is_named() {
    let server = FakeServer::start(Faults::default());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let error = server
        .builder()
        .ca_pem(other.cert.pem())
        .connect()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Certificate { .. }),
        "{error:?}"
    );
    let error = server
        .builder()
        .server_name("elsewhere")
        .connect()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Certificate { .. }),
        "{error:?}"
    );
    let error = server
        .builder()
        .ca_pem("no certificate")
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Authority { .. }), "{error:?}");
    let error = server
        .builder()
        .ca_file("/nowhere/ca.pem")
        .connect()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_named() {
    let server = FakeServer::start(Faults::default());
    // A socket that is bound but never answers: nobody else can take its port meanwhile.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let builder = server
        .builder()
        .server(&address)
        .connect_timeout(Duration::from_millis(50));
    let error = builder.connect().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(&address), "{error}");
    let error = Client::builder().connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::NoAuthority), "{error:?}");
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let server = FakeServer::start(Faults::default());
    let shown = format!("{:?}", server.builder());
    assert!(!shown.contains(crate::fake_server::TOKEN), "{shown}");
}
