//! Several servers of one cluster: which is found, and how a session goes on when one is lost or leaves.

use std::net::UdpSocket;
use std::time::Duration;

use selvedge_client::{Client, ConnectError, EventItem, Events, Session, Since, Target, actor};
use selvedge_protocol::frame::{Redirect, ServerFrame};
use selvedge_protocol::limits::SERVERS_MAX;
use tokio::time::Instant;

use crate::fake_server::{FakeServer, Faults};
use crate::relay::Relay;

/// Bound and never answering: nobody else can take its port meanwhile.
fn dead() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn counter() -> Target {
    actor("counter/one").unwrap()
}

async fn add(session: &Session) -> u64 {
    let added = session.command(counter(), "add", ()).send().await;
    added.unwrap().seq
}

/// Through a link to the first, and with the second by its name.
async fn two(keep_alive: Duration) -> (FakeServer, FakeServer, Relay, Client) {
    let first = FakeServer::start(Faults::default());
    let second = first.beside();
    let relay = Relay::to(&first.address()).await;
    let both = format!("{},{}", relay.address, second.address());
    let client = first.builder().server(both).keep_alive(keep_alive);
    let client = client.connect().await.unwrap();
    assert_eq!(
        first.look(|world| world.welcomes.clone()),
        [first.port()],
        "the first that was named is the first that is tried"
    );
    (first, second, relay, client)
}

async fn expect(events: &mut Events, expected: u64) {
    match events.next().await {
        Some(Ok(EventItem::Event { seq, .. })) => assert_eq!(seq, expected),
        other => panic!("not the event {expected}: {other:?}"),
    }
}

#[tokio::test]
async fn a_dead_first_server_costs_a_moment() {
    let server = FakeServer::start(Faults::default());
    let (_silent, address) = dead();
    let both = format!("{address}, {}", server.address());
    let began = Instant::now();
    let client = server.builder().server(both).connect().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "less than an attempt"
    );
    assert_eq!(add(client.session()).await, 1);
}

#[tokio::test]
async fn all_that_were_tried_are_named() {
    let server = FakeServer::start(Faults::default());
    let ((_one, first), (_two, second)) = (dead(), dead());
    let builder = server
        .builder()
        .server(format!("{first},{second}"))
        .connect_timeout(Duration::from_millis(600));
    let error = builder.connect().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    let said = error.to_string();
    assert!(said.contains(&first) && said.contains(&second), "{said}");

    // Each with its own reason, where they differ.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let builder = server
        .builder()
        .ca_pem(other.cert.pem())
        .server(format!("nowhere.invalid:1,{}", server.address()))
        .connect_timeout(Duration::from_secs(1));
    let said = builder.connect().await.unwrap_err().to_string();
    for part in ["nowhere.invalid:1", &server.address(), "certificate"] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn more_servers_than_anybody_tries_are_refused() {
    let server = FakeServer::start(Faults::default());
    let many: Vec<String> = (0..=SERVERS_MAX)
        .map(|nth| format!("node-{nth}:1"))
        .collect();
    for (wrong, part) in [
        (many.join(","), "at most 16"),
        ("a:1,,b:2".to_owned(), "missing"),
    ] {
        let error = server.builder().server(wrong).connect().await.unwrap_err();
        let is_setting = matches!(error, ConnectError::Setting { what: "server", .. });
        assert!(is_setting && error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_and_nothing_fails() {
    let first = FakeServer::start(Faults::default());
    let second = first.beside();
    let client = first.client().await;
    let session = client.session();
    let mut events = session.subscribe(counter(), Since::After(0)).await.unwrap();
    let mut seq = 0;
    for round in 1..=6 {
        for _ in 0..5 {
            seq += 1;
            let call = session.command(counter(), "add", ()).start();
            let answer = call.await.unwrap();
            if seq % 5 == 3 {
                let to = if round % 2 == 1 { &second } else { &first };
                first.push(redirect(to)).await;
            }
            assert_eq!(answer.await.unwrap().seq, seq);
            expect(&mut events, seq).await;
        }
        first.until(|world| world.welcomes.len() == round + 1).await;
    }
    first.look(|world| {
        let (one, two) = (first.port(), second.port());
        assert_eq!(world.welcomes, [one, two, one, two, one, two, one]);
        assert_eq!(world.sessions, 1, "the session was resumed each time");
        assert!(world.effects.values().all(|&times| times == 1));
    });
}

fn redirect(to: &FakeServer) -> ServerFrame {
    ServerFrame::Redirect(Redirect {
        address: to.address(),
        ext: Vec::new(),
    })
}

#[tokio::test]
async fn a_redirect_to_nobody_ends_at_another() {
    let first = FakeServer::start(Faults::default());
    let client = first.client().await;
    let (_silent, address) = dead();
    let nowhere = Redirect {
        address,
        ext: Vec::new(),
    };
    first.push(ServerFrame::Redirect(nowhere)).await;
    first.until(|world| world.welcomes.len() == 2).await;
    assert_eq!(add(client.session()).await, 1);
}

#[tokio::test]
async fn a_command_in_flight_goes_on_at_the_next_server_with_its_number() {
    let (first, second, relay, client) = two(Duration::from_secs(1)).await;
    let session = client.session();
    assert_eq!(add(session).await, 1);
    relay.cut();
    let began = Instant::now();
    assert_eq!(add(session).await, 2);
    let took = began.elapsed();
    first.look(|world| {
        assert_eq!(world.commands, [(first.port(), 1), (second.port(), 2)]);
        assert_eq!((world.sessions, world.effects.len()), (1, 2));
    });
    // Four seconds are what QUIC takes by itself.
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_takes_effect_once() {
    let (first, second, relay, client) = two(Duration::from_secs(1)).await;
    let session = client.session();
    assert_eq!(add(session).await, 1);
    relay.lose_answers();
    assert_eq!(add(session).await, 2);
    first.look(|world| {
        let (one, two) = (first.port(), second.port());
        assert_eq!(world.commands, [(one, 1), (one, 2), (two, 2)]);
        assert!(world.effects.values().all(|&times| times == 1));
    });
}

#[tokio::test]
async fn who_only_listens_notices_a_dead_server_as_well() {
    let (first, second, relay, client) = two(Duration::from_millis(200)).await;
    let session = client.session();
    let mut events = session.subscribe(counter(), Since::After(0)).await.unwrap();
    first.publish(&counter(), "1");
    expect(&mut events, 1).await;
    relay.cut();
    first.publish(&counter(), "2");
    expect(&mut events, 2).await;
    assert_eq!(
        first.look(|world| world.welcomes.clone()),
        [first.port(), second.port()]
    );
}

#[tokio::test]
async fn the_servers_of_the_welcome_are_there_when_the_only_one_that_was_named_dies() {
    let first = FakeServer::start(Faults::default());
    let second = first.beside();
    let (_silent, unreachable) = dead();
    first.look(|world| world.faults.elsewhere = vec![unreachable, second.address()]);
    let relay = Relay::to(&first.address()).await;
    let client = first.builder().server(&relay.address);
    let client = client.connect().await.unwrap();
    relay.cut();
    assert_eq!(add(client.session()).await, 1);
    assert_eq!(
        first.look(|world| world.commands.clone()),
        [(second.port(), 1)]
    );
}

#[tokio::test]
async fn a_server_that_has_joined_since_is_known_as_well() {
    let first = FakeServer::start(Faults::default());
    let second = first.beside();
    let relay = Relay::to(&first.address()).await;
    let client = first.builder().server(&relay.address);
    let client = client.connect().await.unwrap();
    first.look(|world| world.faults.elsewhere_since = vec![second.address()]);
    assert_eq!(add(client.session()).await, 1);
    relay.cut();
    assert_eq!(add(client.session()).await, 2);
    first.look(|world| {
        assert_eq!(world.commands, [(first.port(), 1), (second.port(), 2)]);
    });
}

#[tokio::test]
async fn the_only_server_is_found_again() {
    let server = FakeServer::start(Faults::default());
    let relay = Relay::to(&server.address()).await;
    let client = server.builder().server(&relay.address);
    let client = client.connect().await.unwrap();
    let session = client.session();
    assert_eq!(add(session).await, 1);
    relay.lose_answers();
    let lost = session.command(counter(), "add", ()).start().await.unwrap();
    // The client gives up, and its farewell arrives.
    server.until(|world| world.ended == 1).await;
    relay.mend();
    assert_eq!(lost.await.unwrap().seq, 2);
    server.look(|world| {
        assert_eq!((world.connections, world.sessions), (2, 1));
        assert_eq!(world.effects.len(), 2);
    });
}

#[tokio::test]
async fn a_server_that_takes_its_time_is_not_left() {
    let faults = Faults {
        silent_queries: true,
        ..Faults::default()
    };
    let server = FakeServer::start(faults);
    // Never by itself a sign of life in this time: the client has to ask.
    let builder = server.builder().keep_alive(Duration::from_millis(400));
    let client = builder.connect().await.unwrap();
    let query = client.session().query(counter(), "get", ());
    let asked = server.until(|world| world.pings >= 1);
    tokio::select! {
        answer = query.send() => panic!("{answer:?}"),
        () = asked => {}
    }
    assert_eq!(add(client.session()).await, 1);
    assert_eq!(server.look(|world| world.connections), 1);
}
