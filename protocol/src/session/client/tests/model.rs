//! Random lives of a client against a model of the server: every call is answered once and every event
//! heard once, whatever is lost, repeated, refused or forgotten.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ids::CommandId;

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
}
