//! Tests of the client half: the rules one by one; random lives against a server are in `model`.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::frame::{Consistency, Goodbye, Payload, Redirect, Reply, ServerFrame, Success, Welcome};
use crate::ids::CommandId;

mod model;

type Tested = Machine<u32, &'static str>;

fn machine() -> Tested {
    Machine::new(Introduction {
        token: "open sesame".to_owned(),
        tenant: None,
        agent: "test".to_owned(),
    })
}

fn counter() -> Target {
    Target::Actor("counter/one".parse().unwrap())
}

fn command(id: Option<u128>) -> NewCommand {
    NewCommand {
        id: id.map(CommandId::from_u128),
        target: counter(),
        name: "add".to_owned(),
        body: Bytes::from_static(b"{}"),
        payload: Payload::None,
        deadline_ms: 0,
        retry_ms: 30_000,
    }
}

fn query() -> NewQuery {
    NewQuery {
        target: counter(),
        name: "get".to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline_ms: 0,
        retry_ms: 30_000,
    }
}

fn welcome(session: u128, resumed: bool, window: u64) -> ServerFrame {
    ServerFrame::Welcome(Welcome {
        version: version::CURRENT,
        session: SessionId::from_u128(session),
        resumed,
        resume_token: Bytes::copy_from_slice(&session.to_be_bytes()),
        node: "node-1".to_owned(),
        limits: SessionLimits {
            window,
            queries: 3,
            ..LIMITS_BEFORE_WELCOME
        },
        ext: Vec::new(),
    })
}

fn reply(request: Request, outcome: Outcome) -> ServerFrame {
    ServerFrame::Reply(Reply {
        request,
        outcome,
        ext: Vec::new(),
    })
}

fn success(request: Request, seq: u64) -> ServerFrame {
    let body = Bytes::new();
    reply(
        request,
        Outcome::Success(Success {
            body,
            seq,
            version: seq,
        }),
    )
}

fn failure(request: Request, code: ErrorCode) -> ServerFrame {
    reply(request, Outcome::Failure(Failure::new(code, "no")))
}

fn goodbye(code: ErrorCode) -> ServerFrame {
    ServerFrame::Goodbye(Goodbye {
        failure: Some(Failure::new(code, "no")),
    })
}

/// What was sent, in order.
fn sent(out: &mut Vec<u8>) -> Vec<ClientFrame> {
    let mut bytes = BytesMut::from(&std::mem::take(out)[..]);
    let mut frames = Vec::new();
    while let Some(frame) = codec::decode(&mut bytes).unwrap() {
        frames.push(frame);
    }
    assert!(bytes.is_empty());
    frames
}

fn numbers(frames: &[ClientFrame]) -> Vec<u64> {
    let number = |frame: &ClientFrame| match frame {
        ClientFrame::Command(command) => Some(command.number),
        _ => None,
    };
    frames.iter().filter_map(number).collect()
}

/// A machine whose session is open, and an empty buffer.
fn open(window: u64) -> (Tested, Vec<u8>) {
    let (mut machine, mut out) = (machine(), Vec::new());
    machine.connected(&mut out).unwrap();
    let ready = machine.handle(welcome(1, false, window), 0, &mut out);
    assert!(matches!(ready, Output::Ready { resumed: false, .. }));
    out.clear();
    (machine, out)
}

fn reconnect(machine: &mut Tested, session: u128, resumed: bool, out: &mut Vec<u8>) -> Vec<u32> {
    machine.connected(out).unwrap();
    out.clear();
    match machine.handle(welcome(session, resumed, 16), 0, out) {
        Output::Ready { unknown, .. } => unknown,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_but_the_hello_is_sent_before_the_welcome() {
    let (mut machine, mut out) = (machine(), Vec::new());
    machine.command(command(None), 1, &mut out).unwrap();
    machine.query(query(), 2, &mut out).unwrap();
    machine
        .subscribe(counter(), Since::Latest, "listener", &mut out)
        .unwrap();
    machine.acknowledge(&mut out);
    assert!(out.is_empty());
    machine.connected(&mut out).unwrap();
    assert!(matches!(&sent(&mut out)[..], [ClientFrame::Hello(hello)] if hello.resume.is_none()));
    machine.handle(welcome(1, false, 16), 0, &mut out);
    let frames = sent(&mut out);
    assert!(
        matches!(
            &frames[..],
            [
                ClientFrame::Subscribe(_),
                ClientFrame::Command(_),
                ClientFrame::Query(_)
            ]
        ),
        "{frames:?}"
    );
    machine.connected(&mut out).unwrap();
    assert!(matches!(&sent(&mut out)[..], [ClientFrame::Hello(hello)] if hello.resume.is_some()));
}

#[test]
fn the_window_of_the_server_holds_commands_and_queries_back() {
    let (mut machine, mut out) = open(2);
    for ticket in 0..5 {
        machine.command(command(None), ticket, &mut out).unwrap();
        machine.query(query(), 10 + ticket, &mut out).unwrap();
    }
    let frames = sent(&mut out);
    assert_eq!(numbers(&frames), [1, 2]);
    assert_eq!(frames.len() - 2, 3, "three queries at a time");
    // The second answer alone moves nothing: the window begins at the first unanswered command.
    machine.handle(success(Request::Command(2), 2), 0, &mut out);
    assert_eq!(numbers(&sent(&mut out)), [0u64; 0]);
    machine.handle(success(Request::Command(1), 1), 0, &mut out);
    assert_eq!(machine.acknowledged(), 2);
    assert_eq!(numbers(&sent(&mut out)), [3, 4]);
    machine.handle(success(Request::Query(2), 1), 0, &mut out);
    assert!(matches!(&sent(&mut out)[..], [ClientFrame::Query(query)] if query.number == 4));
}

#[test]
fn no_more_is_taken_than_is_bounded() {
    let (mut machine, mut out) = (machine(), Vec::new());
    let mut taken = 0;
    while machine.command(command(None), taken, &mut out).is_ok() {
        taken += 1;
    }
    assert_eq!(u64::from(taken), limits::SESSION_WINDOW);
    let (ticket, refusal) = machine.command(command(None), 7, &mut out).unwrap_err();
    assert_eq!((ticket, refusal.code), (7, ErrorCode::Overloaded));
}

#[test]
fn a_resumed_session_sends_everything_unanswered_again_in_order() {
    let (mut machine, mut out) = open(16);
    for ticket in 1..=4 {
        machine.command(command(None), ticket, &mut out).unwrap();
    }
    machine.query(query(), 9, &mut out).unwrap();
    machine
        .subscribe(counter(), Since::After(0), "listener", &mut out)
        .unwrap();
    machine.handle(success(Request::Command(1), 1), 0, &mut out);
    machine.handle(success(Request::Command(3), 3), 0, &mut out);
    let cursor = machine.subscription(1).unwrap().cursor.clone();
    assert_eq!(cursor.event(1, || ()), Verdict::Delivered(()));
    assert!(reconnect(&mut machine, 1, true, &mut out).is_empty());
    let frames = sent(&mut out);
    assert_eq!(numbers(&frames), [2, 4]);
    assert!(matches!(&frames[0], ClientFrame::Subscribe(s) if s.since == Since::After(1)));
    assert!(matches!(frames.last(), Some(ClientFrame::Query(query)) if query.number == 1));
    for frame in &frames {
        if let ClientFrame::Command(command) = frame {
            assert_eq!(command.acknowledged, 1);
        }
    }
}

#[test]
fn a_new_session_sends_only_what_is_safe_to_send() {
    let (mut machine, mut out) = open(2);
    machine.command(command(None), 1, &mut out).unwrap();
    machine.command(command(Some(7)), 2, &mut out).unwrap();
    // Held back by the window, so it can have had no effect.
    machine.command(command(None), 3, &mut out).unwrap();
    let operation = NewCommand {
        target: Target::Operation("a1".parse().unwrap()),
        ..command(None)
    };
    machine.command(operation, 4, &mut out).unwrap();
    let expired = machine.handle(goodbye(ErrorCode::SessionExpired), 0, &mut out);
    assert!(matches!(expired, Output::Reconnect { .. }));
    machine.connected(&mut out).unwrap();
    assert!(
        matches!(sent(&mut out).last(), Some(ClientFrame::Hello(hello)) if hello.resume.is_none())
    );
    assert_eq!(reconnect(&mut machine, 2, false, &mut out), [1]);
    let frames = sent(&mut out);
    assert_eq!(numbers(&frames), [1, 2, 3], "numbered anew, from one");
    assert!(matches!(&frames[0], ClientFrame::Command(first) if first.id.is_some()));
}

#[test]
fn a_credential_that_ends_is_shown_anew_once() {
    let (mut machine, mut out) = open(16);
    let ended = machine.handle(goodbye(ErrorCode::Unauthenticated), 0, &mut out);
    assert!(matches!(ended, Output::Reconnect { .. }), "{ended:?}");
    machine.disconnected();
    out.clear();
    machine.show("the next".to_owned());
    machine.connected(&mut out).unwrap();
    let frames = sent(&mut out);
    let Some(ClientFrame::Hello(hello)) = frames.first() else {
        panic!("{frames:?}");
    };
    assert_eq!(hello.token, "the next");
    assert!(hello.resume.is_some());
    let refused = machine.handle(goodbye(ErrorCode::Unauthenticated), 0, &mut out);
    assert!(matches!(refused, Output::Closed(_)), "{refused:?}");
}

#[test]
fn a_refusal_for_the_moment_is_waited_for_until_patience_ends() {
    let (mut machine, mut out) = open(16);
    let patient = NewCommand {
        retry_ms: 200,
        ..command(None)
    };
    machine.command(patient, 1, &mut out).unwrap();
    let request = Request::Command(1);
    let mut waited = 0;
    loop {
        out.clear();
        match machine.handle(failure(request, ErrorCode::Overloaded), u32::MAX, &mut out) {
            Output::Wait {
                request,
                wait_ms,
                waited_ms,
                failure,
            } => {
                assert_eq!(waited_ms, waited + wait_ms);
                assert_eq!(failure.code, ErrorCode::Overloaded);
                waited += wait_ms;
                machine.send_again(request, &mut out);
                assert_eq!(numbers(&sent(&mut out)), [1]);
                machine.send_again(request, &mut out);
                assert!(out.is_empty(), "it is on its way already");
            }
            Output::Answer {
                ticket: 1,
                outcome: Outcome::Failure(_),
            } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=200).contains(&waited), "{waited}");
}

#[test]
fn the_server_says_how_long_to_wait() {
    let (mut machine, mut out) = open(16);
    machine.query(query(), 1, &mut out).unwrap();
    let mut limited = Failure::new(ErrorCode::LimitExceeded, "no");
    limited.retry_after_ms = Some(9_000);
    let limited = reply(Request::Query(1), Outcome::Failure(limited));
    let output = machine.handle(limited, 0, &mut out);
    assert!(
        matches!(output, Output::Wait { wait_ms: 9_000, .. }),
        "{output:?}"
    );
}

#[test]
fn goodbyes_say_whether_to_come_back() {
    for code in ErrorCode::ALL {
        let (mut machine, mut out) = open(16);
        let is_welcome_back = match machine.handle(goodbye(code), 0, &mut out) {
            Output::Reconnect { .. } => true,
            Output::Closed(_) => false,
            other => panic!("{other:?}"),
        };
        let expected = code.may_be_retried()
            || matches!(
                code,
                ErrorCode::SessionExpired | ErrorCode::Internal | ErrorCode::Unauthenticated
            );
        assert_eq!(is_welcome_back, expected, "{code}");
    }
    let (mut machine, mut out) = open(16);
    let away = ServerFrame::Redirect(Redirect {
        address: "b:1".to_owned(),
        ext: Vec::new(),
    });
    let output = machine.handle(away, 0, &mut out);
    assert!(matches!(
        output,
        Output::Reconnect {
            address: Some(_),
            ..
        }
    ));
}

#[test]
fn frames_in_the_wrong_place_end_the_connection_not_the_client() {
    let task = Task {
        lease: 1,
        operation: counter(),
        operation_type: "digest".parse().unwrap(),
        step: "one".to_owned(),
        attempt: 1,
        input: Bytes::new(),
        lease_ms: 1,
        ext: Vec::new(),
    };
    let (mut machine, mut out) = open(16);
    for frame in [welcome(1, true, 16), ServerFrame::Task(task)] {
        let output = machine.handle(frame, 0, &mut out);
        assert!(matches!(output, Output::Reconnect { .. }), "{output:?}");
    }
    machine.connected(&mut out).unwrap();
    let output = machine.handle(success(Request::Command(1), 1), 0, &mut out);
    assert!(matches!(output, Output::Reconnect { .. }), "{output:?}");
}

#[test]
fn subscriptions_end_with_a_final_refusal_and_wait_after_another() {
    let (mut machine, mut out) = open(16);
    machine
        .subscribe(counter(), Since::Latest, "a", &mut out)
        .unwrap();
    machine
        .subscribe(counter(), Since::Latest, "b", &mut out)
        .unwrap();
    out.clear();
    let request = Request::Subscription(1);
    let output = machine.handle(failure(request, ErrorCode::Unavailable), 0, &mut out);
    assert!(matches!(output, Output::Wait { .. }), "{output:?}");
    machine.send_again(request, &mut out);
    assert!(matches!(&sent(&mut out)[..], [ClientFrame::Subscribe(_)]));
    let output = machine.handle(failure(request, ErrorCode::NotFound), 0, &mut out);
    assert!(
        matches!(output, Output::SubscriptionEnded { ticket: "a", .. }),
        "{output:?}"
    );
    // The other one goes on from where the server said that it began.
    machine.handle(success(Request::Subscription(2), 41), 0, &mut out);
    reconnect(&mut machine, 1, true, &mut out);
    assert!(
        matches!(&sent(&mut out)[..], [ClientFrame::Subscribe(s)] if s.since == Since::After(41))
    );
    machine.retain_subscriptions(|ticket| *ticket != "b", &mut out);
    assert!(matches!(&sent(&mut out)[..], [ClientFrame::Unsubscribe(_)]));
}

#[test]
fn large_payloads_wait_for_streams_of_their_own() {
    let (mut machine, mut out) = open(16);
    let large = NewCommand {
        payload: Payload::Streamed { length: None },
        ..command(None)
    };
    machine.command(large, 1, &mut out).unwrap();
    assert!(out.is_empty());
    let (number, _, ticket) = machine.next_upload().unwrap();
    assert_eq!((number, *ticket), (1, 1));
    assert!(machine.next_upload().is_none());
    reconnect(&mut machine, 1, true, &mut out);
    assert!(
        machine.next_upload().is_some(),
        "sent again over the next connection"
    );
    assert_eq!(machine.abandon(1, &mut out), Some(1));
    assert_eq!(machine.acknowledged(), 1);
    let over = limits::PAYLOAD_BYTES_MAX as u64 + 1;
    let over = NewCommand {
        payload: Payload::Attached { length: over },
        ..command(None)
    };
    let (_, refusal) = machine.command(over, 2, &mut out).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TooLarge);
}

proptest! {
    #[test]
    fn a_wait_is_bounded_whatever_chance_says(attempts in any::<u32>(), random in any::<u32>()) {
        let wait_ms = backoff_ms(attempts, random);
        prop_assert!((25..=5_000).contains(&wait_ms), "{}", wait_ms);
    }
}
