//! Broken connections: what was not answered is sent again, and takes effect once.

use selvedge_client::{CallError, CommandId, actor};

use crate::fake_server::{FakeServer, Faults};

#[tokio::test]
async fn commands_take_effect_once_whenever_the_connection_breaks() {
    let faults = Faults {
        drop_before_command: 2,
        drop_after_command: 3,
        ..Faults::default()
    };
    let server = FakeServer::start(faults);
    let client = server.client().await;
    let session = client.session();
    let counter = actor("counter/one").unwrap();
    let mut answers = Vec::new();
    for _ in 0..40 {
        let call = session.command(counter.clone(), "add", ());
        answers.push(call.start().await.unwrap());
    }
    for (answer, expected) in answers.into_iter().zip(1u64..) {
        assert_eq!(answer.json::<u64>().await.unwrap(), expected);
    }
    server.look(|world| {
        assert_eq!(world.connections, 6);
        assert_eq!(world.sessions, 1, "the session was resumed each time");
        assert_eq!(world.effects.len(), 40);
        assert!(world.effects.values().all(|&times| times == 1));
    });
}

#[tokio::test]
async fn queries_are_asked_again() {
    let server = FakeServer::start(Faults {
        drop_on_query: 2,
        ..Faults::default()
    });
    let client = server.client().await;
    let call = client
        .session()
        .query(actor("counter/one").unwrap(), "get", ());
    assert_eq!(call.json::<u64>().await.unwrap(), 0);
    assert_eq!(server.look(|world| world.connections), 3);
}

#[tokio::test]
async fn a_lost_session_leaves_only_commands_without_an_id_in_doubt() {
    let faults = Faults {
        drop_after_command: 1,
        expire_sessions: true,
        ..Faults::default()
    };
    let server = FakeServer::start(faults);
    let client = server.client().await;
    let session = client.session();
    let counter = actor("counter/one").unwrap();
    let doubtful = session.command(counter.clone(), "add", ()).send().await;
    assert!(
        matches!(doubtful, Err(CallError::OutcomeUnknown)),
        "{doubtful:?}"
    );

    server.look(|world| {
        world.faults.drop_after_command = 1;
        world.faults.expire_sessions = true;
    });
    let id = CommandId::from_u128(7);
    let known = session
        .command(counter.clone(), "add", ())
        .id(id)
        .send()
        .await
        .unwrap();
    assert_eq!(known.seq, 2);
    assert_eq!(server.look(|world| world.effects[&id.to_string()]), 1);
    assert_eq!(server.look(|world| world.sessions), 3);
    // The new session counts from one again, and goes on as any other.
    assert_eq!(
        session
            .command(counter, "add", ())
            .send()
            .await
            .unwrap()
            .seq,
        3
    );
}

#[tokio::test]
async fn a_change_of_the_local_address_is_no_reconnect() {
    let server = FakeServer::start(Faults::default());
    let client = server.client().await;
    let counter = actor("counter/one").unwrap();
    for expected in 1..=10 {
        client.rebind().unwrap();
        let call = client.session().command(counter.clone(), "add", ());
        assert_eq!(call.send().await.unwrap().seq, expected);
    }
    assert_eq!(server.look(|world| world.connections), 1);
}
