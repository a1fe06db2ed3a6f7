//! Tests of the client half, most against a model of the server: answers that are lost with their
//! connection, repeated or out of order, sessions that are forgotten, refusals for the moment.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::frame::{Consistency, Goodbye, Payload, Redirect, Reply, ServerFrame, Success, Welcome};
use crate::ids::CommandId;

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
            || matches!(code, ErrorCode::SessionExpired | ErrorCode::Internal);
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

/// A model of the server, which executes at once and keeps every outcome.
#[derive(Default)]
struct Model {
    session: u128,
    by_number: HashSet<(u128, u64)>,
    by_id: HashSet<CommandId>,
    /// How often each call took effect: its number is in the body.
    effects: HashMap<Bytes, u32>,
    events: u64,
    /// Answers on their way; the connection may end before they arrive.
    answers: Vec<ServerFrame>,
    /// Open event streams of the present connection: the next seq of each.
    streams: BTreeMap<u64, u64>,
}

impl Model {
    fn take(&mut self, frames: Vec<ClientFrame>) {
        for frame in frames {
            match frame {
                ClientFrame::Hello(hello) => {
                    let known = hello
                        .resume
                        .as_ref()
                        .map(|token| u128::from_be_bytes(token[..].try_into().unwrap()));
                    let resumed = known == Some(self.session);
                    if !resumed {
                        self.session += 1;
                    }
                    self.answers.push(welcome(self.session, resumed, 4));
                }
                ClientFrame::Command(command) => self.command(&command),
                ClientFrame::Query(query) => {
                    self.answers.push(success(Request::Query(query.number), 0));
                }
                ClientFrame::Subscribe(subscribe) => {
                    let Since::After(seq) = subscribe.since else {
                        panic!("{subscribe:?}")
                    };
                    self.streams.insert(subscribe.subscription, seq + 1);
                }
                ClientFrame::Ack(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn command(&mut self, command: &Command) {
        let number = command.number;
        assert!(number > command.acknowledged && number <= command.acknowledged + 4);
        let is_new = match command.id {
            Some(id) => self.by_id.insert(id),
            None => self.by_number.insert((self.session, number)),
        };
        *self.effects.entry(command.body.clone()).or_default() += u32::from(is_new);
        self.events += u64::from(is_new);
        self.answers
            .push(success(Request::Command(number), self.events));
    }
}

#[derive(Debug, Clone)]
enum Happening {
    Command {
        has_id: bool,
    },
    Query,
    /// An answer arrives, chosen by the number; perhaps it stays to arrive again.
    Answer {
        which: usize,
        is_repeated: bool,
    },
    /// The server refuses a command for the moment instead of answering it.
    Refuse {
        which: usize,
    },
    /// Events arrive on the stream, perhaps with an old one first.
    Events {
        count: u64,
        is_repeated: bool,
    },
    Break,
    /// The server forgets the session, and the connection breaks.
    Forget,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => any::<bool>().prop_map(|has_id| Happening::Command { has_id }),
        2 => Just(Happening::Query),
        8 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, is_repeated)| Happening::Answer { which, is_repeated }),
        2 => any::<usize>().prop_map(|which| Happening::Refuse { which }),
        4 => (1..4u64, any::<bool>())
            .prop_map(|(count, is_repeated)| Happening::Events { count, is_repeated }),
        2 => Just(Happening::Break),
        1 => Just(Happening::Forget),
    ]
}

struct Run {
    machine: Tested,
    model: Model,
    out: Vec<u8>,
    asked: u32,
    answered: HashMap<u32, u32>,
    unknown: HashSet<u32>,
    heard: Vec<u64>,
    waiting: Vec<Request>,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            machine: machine(),
            model: Model::default(),
            out: Vec::new(),
            asked: 0,
            answered: HashMap::new(),
            unknown: HashSet::new(),
            heard: Vec::new(),
            waiting: Vec::new(),
        };
        run.machine
            .subscribe(counter(), Since::After(0), "listener", &mut run.out)
            .unwrap();
        run.connect();
        run
    }

    fn connect(&mut self) {
        self.model.answers.clear();
        self.model.streams.clear();
        self.out.clear();
        self.machine.connected(&mut self.out).unwrap();
        self.pass();
        // The Welcome is the first thing that arrives on a stream in order.
        self.answer(0, false);
    }

    /// What the client sent reaches the server.
    fn pass(&mut self) {
        self.model.take(sent(&mut self.out));
    }

    fn answer(&mut self, which: usize, is_repeated: bool) {
        if self.model.answers.is_empty() {
            return;
        }
        let index = which % self.model.answers.len();
        let frame = if is_repeated && self.machine.is_ready() {
            self.model.answers[index].clone()
        } else {
            self.model.answers.remove(index)
        };
        self.handle(frame);
    }

    fn handle(&mut self, frame: ServerFrame) {
        match self.machine.handle(frame, 5, &mut self.out) {
            Output::None => {}
            Output::Answer { ticket, .. } => *self.answered.entry(ticket).or_default() += 1,
            Output::Wait { request, .. } => self.waiting.push(request),
            Output::Ready { unknown, .. } => {
                for ticket in unknown {
                    *self.answered.entry(ticket).or_default() += 1;
                    self.unknown.insert(ticket);
                }
            }
            other => panic!("{other:?}"),
        }
        self.pass();
    }

    fn hear(&mut self, count: u64, is_repeated: bool) {
        let Some(next) = self.model.streams.get_mut(&1) else {
            return;
        };
        let cursor = self.machine.subscription(1).unwrap().cursor.clone();
        let first = if is_repeated {
            next.saturating_sub(2).max(1)
        } else {
            *next
        };
        let last = self.model.events.min(next.saturating_add(count - 1));
        for seq in first..=last {
            let verdict = cursor.event(seq, || self.heard.push(seq));
            assert!(!matches!(verdict, Verdict::Skip { .. }));
            *next = (*next).max(seq + 1);
        }
    }

    fn step(&mut self, happening: Happening) {
        match happening {
            Happening::Command { has_id } => {
                self.asked += 1;
                let id = has_id.then_some(u128::from(self.asked));
                let body = Bytes::from(self.asked.to_string());
                let new = NewCommand {
                    body,
                    ..command(id)
                };
                self.machine
                    .command(new, self.asked, &mut self.out)
                    .unwrap();
                self.pass();
            }
            Happening::Query => {
                self.asked += 1;
                self.machine
                    .query(query(), self.asked, &mut self.out)
                    .unwrap();
                self.pass();
            }
            Happening::Answer { which, is_repeated } => self.answer(which, is_repeated),
            Happening::Refuse { which } => {
                let number = self.machine.acknowledged() + 1 + (which % 4) as u64;
                // A refusal is no answer that was given: the command's own answer is still coming.
                self.handle(failure(Request::Command(number), ErrorCode::Unavailable));
            }
            Happening::Events { count, is_repeated } => self.hear(count, is_repeated),
            Happening::Break => self.connect(),
            Happening::Forget => {
                self.model.session += 1;
                self.connect();
            }
        }
    }

    /// Nothing goes wrong any more.
    fn settle(&mut self) {
        for _ in 0..=self.asked + 1 {
            for request in std::mem::take(&mut self.waiting) {
                self.machine.send_again(request, &mut self.out);
                self.pass();
            }
            while !self.model.answers.is_empty() {
                self.answer(0, false);
            }
        }
        self.hear(u64::MAX, false);
    }
}

proptest! {
    #[test]
    fn every_call_is_answered_once_and_every_event_heard_once(
        happenings in prop::collection::vec(happening(), 1..120)
    ) {
        let mut run = Run::new();
        for happening in happenings {
            run.step(happening);
        }
        run.settle();
        for ticket in 1..=run.asked {
            prop_assert_eq!(run.answered.get(&ticket), Some(&1), "call {}", ticket);
        }
        prop_assert!(run.machine.commands.is_empty() && run.machine.queries.is_empty());
        prop_assert!(run.model.effects.values().all(|times| *times == 1));
        let all: Vec<u64> = (1..=run.model.events).collect();
        prop_assert_eq!(run.heard, all);
        for ticket in run.unknown {
            prop_assert!(!run.model.by_id.contains(&CommandId::from_u128(u128::from(ticket))));
        }
    }

    #[test]
    fn a_wait_is_bounded_whatever_chance_says(attempts in any::<u32>(), random in any::<u32>()) {
        let wait_ms = backoff_ms(attempts, random);
        prop_assert!((25..=5_000).contains(&wait_ms), "{}", wait_ms);
    }
}
