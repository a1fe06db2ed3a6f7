//! Tests of the server half: its rules one by one, then random frames against a model of the promises.

use std::collections::HashSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::frame::{Ack, Consistency, Goodbye, Ping, Since, Unsubscribe};
use crate::ids::Target;

fn small() -> SessionLimits {
    SessionLimits {
        window: 4,
        queries: 3,
        subscriptions: 2,
        ..limits(1_000)
    }
}

fn attached() -> Session {
    let mut session = Session::new(small());
    session.attached();
    session
}

fn command(number: u64, acknowledged: u64) -> Command {
    Command {
        number,
        id: None,
        acknowledged,
        target: Target::Operations,
        name: "do".to_owned(),
        body: Bytes::new(),
        payload: Payload::None,
        deadline_ms: 0,
        ext: Vec::new(),
    }
}

fn query(number: u64) -> ClientFrame {
    ClientFrame::Query(Query {
        number,
        target: Target::Operations,
        name: "see".to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline_ms: 0,
        ext: Vec::new(),
    })
}

fn subscribe(subscription: u64) -> ClientFrame {
    ClientFrame::Subscribe(Subscribe {
        subscription,
        target: Target::Operations,
        since: Since::Latest,
        ext: Vec::new(),
    })
}

fn done() -> Outcome {
    Outcome::Success(Success {
        body: Bytes::from_static(b"1"),
        seq: 1,
        version: 1,
    })
}

#[test]
fn what_can_go_on_elsewhere_may_move() {
    let mut session = attached();
    assert!(session.is_movable() && session.is_idle());
    // Asked again there.
    session.handle_frame(query(1)).unwrap();
    assert!(session.is_movable() && !session.is_idle());
    session.handle_frame(subscribe(1)).unwrap();
    assert!(session.is_movable());
    let first = session.handle_frame(ClientFrame::Command(command(1, 0)));
    assert!(matches!(first, Ok(Action::Command(_))));
    assert!(!session.is_movable());
    session.answered(Request::Command(1), done()).unwrap();
    assert!(session.is_movable());
}

#[test]
fn who_has_drained_serves_again() {
    let mut session = attached();
    session.drain();
    let late = session.handle_frame(ClientFrame::Command(command(1, 0)));
    assert_eq!(refused(&late.unwrap()), Some(ErrorCode::Unavailable));
    session.serve();
    let again = session.handle_frame(ClientFrame::Command(command(1, 0)));
    assert!(matches!(again, Ok(Action::Command(_))));
}

/// The code of a reply that refuses, `None` for whatever else.
fn refused(action: &Action) -> Option<ErrorCode> {
    match action {
        Action::Send(ServerFrame::Reply(Reply {
            outcome: Outcome::Failure(failure),
            ..
        })) => Some(failure.code),
        _ => None,
    }
}

#[test]
fn greets_a_hello_it_can_serve() {
    let hello = Hello {
        versions: vec![200, version::CURRENT],
        token: "t".to_owned(),
        tenant: None,
        agent: String::new(),
        resume: None,
        ext: Vec::new(),
    };
    let greeting = greet(ClientFrame::Hello(hello.clone())).unwrap();
    assert_eq!(greeting.version, version::CURRENT);

    let mut unspoken = hello.clone();
    unspoken.versions = vec![200];
    let failure = greet(ClientFrame::Hello(unspoken)).unwrap_err();
    assert_eq!(failure.code, ErrorCode::UnsupportedVersion);
    assert!(failure.message.contains(&version::CURRENT.to_string()));

    let mut long = hello;
    long.token = "x".repeat(limits::TOKEN_BYTES_MAX + 1);
    let failure = greet(ClientFrame::Hello(long)).unwrap_err();
    assert_eq!(failure.field.as_deref(), Some("token"));

    let failure = greet(ClientFrame::Ping(Ping { nonce: 1 })).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Malformed);
}

#[test]
fn an_answer_goes_to_who_is_attached_and_only_once() {
    let mut session = attached();
    let request = Request::Command(1);
    session.handle_command(command(1, 0)).unwrap();
    assert!(session.answered(request, done()).is_some());
    assert_eq!(session.answered(request, done()), None);

    session.handle_command(command(2, 0)).unwrap();
    session.detached();
    assert_eq!(session.answered(Request::Command(2), done()), None);
    // Sent again on the next connection it is executed again: the actor holds the outcome.
    session.attached();
    let again = session.handle_command(command(2, 0)).unwrap();
    assert!(matches!(again, Action::Command(_)));
}

#[test]
fn a_command_in_flight_over_a_reconnect_is_answered_once() {
    let mut session = attached();
    session.handle_command(command(1, 0)).unwrap();
    session.detached();
    session.attached();
    let repeat = session.handle_command(command(1, 0)).unwrap();
    assert_eq!(repeat, Action::Nothing);
    assert!(session.answered(Request::Command(1), done()).is_some());
}

#[test]
fn the_window_moves_with_what_is_acknowledged() {
    let mut session = attached();
    assert!(session.handle_command(command(5, 0)).is_err());
    let action = session.handle_command(command(5, 1)).unwrap();
    assert!(matches!(action, Action::Command(_)));
    let expired = session.handle_command(command(1, 0)).unwrap();
    assert_eq!(refused(&expired), Some(ErrorCode::OutcomeExpired));
    // At the end of the numbers nothing overflows.
    let last = session.handle_command(command(u64::MAX, u64::MAX - 1));
    assert!(matches!(last, Ok(Action::Command(_))));
}

#[test]
fn acknowledging_what_was_never_answered_does_not_widen_the_window() {
    let mut session = attached();
    for number in 1..=4 {
        session.handle_command(command(number, number - 1)).unwrap();
    }
    let failure = session.handle_command(command(5, 4)).unwrap_err();
    assert_eq!(failure.code, ErrorCode::LimitExceeded);
}

#[test]
fn a_draining_session_refuses_so_that_it_can_be_retried() {
    let mut session = attached();
    session.handle_command(command(1, 0)).unwrap();
    session.drain();
    assert!(!session.is_idle());
    for frame in [ClientFrame::Command(command(2, 0)), query(1), subscribe(1)] {
        let action = session.handle_frame(frame).unwrap();
        assert_eq!(refused(&action), Some(ErrorCode::Unavailable));
    }
    assert!(session.answered(Request::Command(1), done()).is_some());
    assert!(session.is_idle());
}

#[test]
fn subscriptions_have_their_ids_and_their_number() {
    let mut session = attached();
    session.handle_frame(subscribe(1)).unwrap();
    let twice = session.handle_frame(subscribe(1)).unwrap();
    assert_eq!(refused(&twice), Some(ErrorCode::Conflict));
    session.handle_frame(subscribe(2)).unwrap();
    let third = session.handle_frame(subscribe(3)).unwrap();
    assert_eq!(refused(&third), Some(ErrorCode::LimitExceeded));

    let opened = session.subscription_opened(1, Ok(9)).unwrap();
    assert!(matches!(opened.outcome, Outcome::Success(s) if s.seq == 9));
    assert_eq!(session.subscription_opened(1, Ok(9)), None);
    // Unsubscribed while it was being opened: nobody waits for the answer.
    let unsubscribe = ClientFrame::Unsubscribe(Unsubscribe { subscription: 2 });
    session.handle_frame(unsubscribe).unwrap();
    assert_eq!(session.subscription_opened(2, Ok(0)), None);
    // One that ends by itself is told of, and makes room.
    let failure = Failure::new(ErrorCode::Unavailable, "");
    assert!(session.subscription_ended(1, Some(failure)).is_some());
    assert!(matches!(
        session.handle_frame(subscribe(1)),
        Ok(Action::Subscribe(_))
    ));
    // The next connection declares its own.
    session.attached();
    assert!(matches!(
        session.handle_frame(subscribe(1)),
        Ok(Action::Subscribe(_))
    ));
}

#[test]
fn what_does_not_fit_into_a_frame_becomes_a_failure_that_does() {
    let mut session = attached();
    let large = |bytes| {
        Outcome::Success(Success {
            body: Bytes::from(vec![0; bytes]),
            seq: 0,
            version: 0,
        })
    };
    session.handle_frame(query(1)).unwrap();
    let reply = session.answered(Request::Query(1), large(limits::PAYLOAD_BYTES_MAX));
    assert_eq!(reply.unwrap().outcome, large(limits::PAYLOAD_BYTES_MAX));
    session.handle_frame(query(1)).unwrap();
    session.handle_command(command(1, 0)).unwrap();
    for (request, limit) in [
        (Request::Query(1), limits::PAYLOAD_BYTES_MAX),
        (Request::Command(1), limits::INLINE_BYTES_MAX),
    ] {
        let reply = session.answered(request, large(limit + 1)).unwrap();
        let Outcome::Failure(failure) = reply.outcome else {
            panic!("{request:?} has too large an answer");
        };
        assert_eq!(failure.code, ErrorCode::TooLarge);
        assert!(failure.message.contains(&limit.to_string()), "{failure}");
    }

    session.handle_frame(query(1)).unwrap();
    let wordy = Failure::field(
        ErrorCode::Rejected,
        "é".repeat(100_000),
        "é".repeat(100_000),
    );
    let reply = session
        .answered(Request::Query(1), Outcome::Failure(wordy))
        .unwrap();
    let mut bytes = Vec::new();
    crate::codec::encode(&ServerFrame::Reply(reply), &mut bytes).unwrap();
    assert!(bytes.len() < 10_000);
}

#[test]
fn the_rest_is_answered_or_breaks_the_protocol() {
    let mut session = attached();
    let pong = session.handle_frame(ClientFrame::Ping(Ping { nonce: 3 }));
    assert_eq!(pong, Ok(Action::Send(ServerFrame::Pong(Pong { nonce: 3 }))));
    let goodbye = session.handle_frame(ClientFrame::Goodbye(Goodbye { failure: None }));
    assert_eq!(goodbye, Ok(Action::End));
    for number in [0, 1] {
        let mut streamed = command(number, 0);
        streamed.payload = Payload::Streamed { length: None };
        let action = session
            .handle_frame(ClientFrame::Command(streamed))
            .unwrap();
        assert_eq!(refused(&action), Some(ErrorCode::Invalid));
    }
    assert!(session.handle_command(command(0, 0)).is_err());
    assert!(session.handle_frame(query(0)).is_err());
}

/// Something that happens to a session.
#[derive(Debug, Clone)]
enum Happening {
    Command { number: u64, acknowledged: u64 },
    Query(u64),
    Ack(u64),
    Answer(Request),
    Attached,
    Detached,
    Drain,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1..12_u64, 0..6_u64)
            .prop_map(|(number, acknowledged)| Happening::Command { number, acknowledged }),
        4 => (1..8_u64).prop_map(Happening::Query),
        1 => (0..6_u64).prop_map(Happening::Ack),
        4 => (1..12_u64).prop_map(|number| Happening::Answer(Request::Command(number))),
        4 => (1..8_u64).prop_map(|number| Happening::Answer(Request::Query(number))),
        1 => Just(Happening::Attached),
        1 => Just(Happening::Detached),
        1 => Just(Happening::Drain),
    ]
}

proptest! {
    #[test]
    fn keeps_its_promises(happenings in proptest::collection::vec(happening(), 0..200)) {
        let mut session = attached();
        let limits = small();
        let mut in_flight = HashSet::new();
        let (mut is_attached, mut is_draining, mut acknowledged) = (true, false, 0);
        for happening in happenings {
            let action = match happening {
                Happening::Command { number, acknowledged: up_to } => {
                    acknowledged = acknowledged.max(up_to);
                    session.handle_command(command(number, up_to))
                }
                Happening::Query(number) => session.handle_frame(query(number)),
                Happening::Ack(up_to) => {
                    acknowledged = acknowledged.max(up_to);
                    let positions = Vec::new();
                    session.handle_frame(ClientFrame::Ack(Ack { acknowledged: up_to, positions }))
                }
                Happening::Answer(request) => {
                    let was_in_flight = in_flight.remove(&request);
                    let reply = session.answered(request, done());
                    prop_assert_eq!(reply.is_some(), was_in_flight && is_attached);
                    continue;
                }
                Happening::Attached => {
                    is_attached = true;
                    session.attached();
                    continue;
                }
                Happening::Detached => {
                    is_attached = false;
                    session.detached();
                    continue;
                }
                Happening::Drain => {
                    is_draining = true;
                    session.drain();
                    continue;
                }
            };
            match action {
                Ok(Action::Command(executed)) => {
                    prop_assert!(!is_draining);
                    prop_assert!(executed.number > acknowledged);
                    prop_assert!(executed.number <= acknowledged + limits.window);
                    prop_assert!(in_flight.insert(Request::Command(executed.number)));
                }
                Ok(Action::Query(executed)) => {
                    prop_assert!(!is_draining);
                    prop_assert!(in_flight.insert(Request::Query(executed.number)));
                }
                _ => {}
            }
            let commands = in_flight.iter().filter(|r| matches!(r, Request::Command(_))).count();
            prop_assert!(commands as u64 <= limits.window);
            prop_assert!(in_flight.len() - commands <= limits.queries as usize);
            prop_assert_eq!(session.is_idle(), in_flight.is_empty());
        }
    }
}
