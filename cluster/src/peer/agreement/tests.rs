//! Two ends that dial, lose connections and start again, with every order in which messages may arrive.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Ask,
    Promise,
    Taken,
    Closed,
}

#[derive(Debug, Default)]
struct Line {
    dialler: usize,
    /// What is on its way to each end, in order.
    to: [VecDeque<Message>; 2],
    /// Whether the end has it. One that was killed knows nothing of it.
    is_open: [bool; 2],
}

#[derive(Debug)]
struct World {
    ends: [Agreement; 2],
    lines: BTreeMap<Id, Line>,
    next: Id,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Dial(usize),
    /// The connection that is being dialled is there.
    Connect(usize),
    Deliver(usize, usize),
    /// A process is killed, and another one starts.
    Restart(usize),
    /// One end finds that a connection is dead, and the other end is not there to hear of it.
    Lose(usize, usize),
}

impl World {
    fn new() -> Self {
        Self {
            ends: [Agreement::new("a", "b"), Agreement::new("b", "a")],
            lines: BTreeMap::new(),
            next: 1,
        }
    }

    fn say(&mut self, id: Id, from: usize, message: Message) {
        let line = self.lines.get_mut(&id).unwrap();
        line.to[1 - from].push_back(message);
    }

    fn close(&mut self, id: Id, by: usize) {
        let line = self.lines.get_mut(&id).unwrap();
        if std::mem::replace(&mut line.is_open[by], false) {
            self.say(id, by, Message::Closed);
        }
    }

    /// An end uses another connection from now on. What it closes must be of no use to the other end.
    fn replace(&mut self, end: usize, before: Option<Id>) {
        if let Some(before) = before {
            let other = &self.ends[1 - end];
            assert_ne!(other.used(), Some(before), "closed while the other uses it");
            self.close(before, end);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Dial(end) => {
                self.ends[end].dial();
            }
            Step::Connect(end) => {
                if self.ends[end].stage != Stage::Dialling {
                    return;
                }
                let id = self.next;
                self.next += 1;
                assert!(self.ends[end].ask(id));
                let line = Line {
                    dialler: end,
                    is_open: [true; 2],
                    ..Line::default()
                };
                self.lines.insert(id, line);
                self.say(id, end, Message::Ask);
            }
            Step::Deliver(pick, end) => self.deliver(pick, end),
            Step::Restart(end) => {
                let (own, other) = [("a", "b"), ("b", "a")][end];
                self.ends[end] = Agreement::new(own, other);
                for line in self.lines.values_mut() {
                    line.is_open[end] = false;
                    // Packets to a process that is gone.
                    line.to[end].clear();
                }
            }
            Step::Lose(pick, end) => {
                let dead: Vec<_> = self
                    .lines
                    .iter()
                    .filter(|(_, line)| line.is_open[end] && !line.is_open[1 - end])
                    .map(|(id, _)| *id)
                    .collect();
                if let Some(id) = dead.get(pick % dead.len().max(1)) {
                    self.lines.get_mut(id).unwrap().is_open[end] = false;
                    self.over(*id, end);
                }
            }
        }
        self.give_way();
    }

    fn deliver(&mut self, pick: usize, end: usize) {
        let waiting: Vec<_> = self
            .lines
            .iter()
            .filter(|(_, line)| !line.to[end].is_empty())
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = waiting.get(pick % waiting.len().max(1)).copied() else {
            return;
        };
        let line = self.lines.get_mut(&id).unwrap();
        let message = line.to[end].pop_front().unwrap();
        if !line.is_open[end] {
            return;
        }
        let before = self.ends[end].used();
        match message {
            Message::Ask => match self.ends[end].asked(id) {
                Verdict::Promise => self.say(id, end, Message::Promise),
                Verdict::Refuse => self.close(id, end),
            },
            Message::Promise => match self.ends[end].take(id) {
                true => {
                    self.say(id, end, Message::Taken);
                    self.replace(end, before);
                }
                false => self.close(id, end),
            },
            Message::Taken => match self.ends[end].taken(id) {
                true => self.replace(end, before),
                // A process that was killed had taken it, and the next one has asked since.
                false => self.close(id, end),
            },
            Message::Closed => {
                self.lines.get_mut(&id).unwrap().is_open[end] = false;
                self.over(id, end);
            }
        }
    }

    fn over(&mut self, id: Id, end: usize) {
        self.ends[end].ended(id);
        if self.ends[end].stage == Stage::Asking(id) {
            self.ends[end].give_up();
        }
    }

    /// Ends close what they have dialled and do not want any more.
    fn give_way(&mut self) {
        let unwanted: Vec<_> = self
            .lines
            .iter()
            .filter(|(id, line)| {
                let end = &self.ends[line.dialler];
                line.is_open[line.dialler]
                    && end.used() != Some(**id)
                    && end.stage != Stage::Asking(**id)
            })
            .map(|(id, line)| (*id, line.dialler))
            .collect();
        for (id, end) in unwanted {
            self.close(id, end);
        }
    }

    fn is_on_its_way(&self) -> bool {
        self.lines
            .values()
            .any(|line| line.to.iter().any(|to| !to.is_empty()))
    }

    /// Nothing more happens but what has begun, and both need each other.
    fn settle(&mut self) {
        for _ in 0..64 {
            while self.is_on_its_way() {
                for end in 0..2 {
                    self.step(Step::Deliver(0, end));
                }
            }
            for end in 0..2 {
                self.step(Step::Lose(0, end));
                self.step(Step::Dial(end));
                self.step(Step::Connect(end));
            }
            if !self.is_on_its_way() {
                return;
            }
        }
        panic!("they never agree: {self:?}");
    }
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_usize).prop_map(Step::Dial),
        3 => (0..2_usize).prop_map(Step::Connect),
        12 => (0..8_usize, 0..2_usize).prop_map(|(pick, end)| Step::Deliver(pick, end)),
        1 => (0..2_usize).prop_map(Step::Restart),
        2 => (0..8_usize, 0..2_usize).prop_map(|(pick, end)| Step::Lose(pick, end)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_ends_use_the_same_and_neither_closes_what_the_other_uses(
        all in proptest::collection::vec(steps(), 0..120)
    ) {
        let mut world = World::new();
        for step in all {
            world.step(step);
        }
        world.settle();
        let used = world.ends[0].used();
        prop_assert!(used.is_some());
        prop_assert_eq!(used, world.ends[1].used());
        let open: Vec<_> = world
            .lines
            .iter()
            .filter(|(_, line)| line.is_open == [true; 2])
            .map(|(id, _)| *id)
            .collect();
        prop_assert_eq!(open, [used.unwrap()]);
    }
}

#[test]
fn where_both_dial_at_once_the_first_name_stays() {
    let (mut a, mut b) = (Agreement::new("a", "b"), Agreement::new("b", "a"));
    assert!(a.dial() && b.dial() && a.ask(1) && b.ask(2));
    assert_eq!(a.asked(2), Verdict::Refuse);
    assert_eq!(b.asked(1), Verdict::Promise);
    assert!(!b.is_dialling() && !b.may_dial());
    assert!(!b.take(2), "it gave way");
    assert!(a.take(1) && b.taken(1));
    assert_eq!((a.used(), b.used()), (Some(1), Some(1)));
}

#[test]
fn a_process_that_comes_back_replaces_what_was_there() {
    let mut a = Agreement::new("a", "b");
    assert!(a.dial() && a.ask(1) && a.take(1));
    // Whoever dialled it: the old one looks alive.
    assert_eq!(a.asked(2), Verdict::Promise);
    assert_eq!(a.used(), Some(1), "until it was taken");
    assert!(a.taken(2));
    assert_eq!(a.used(), Some(2));
    assert!(!a.ended(1) && !a.may_dial());
    assert!(a.ended(2) && a.may_dial());
}

#[test]
fn who_cannot_be_reached_still_reaches_the_first() {
    let mut a = Agreement::new("a", "b");
    assert!(a.dial());
    // Its own attempt has got no answer yet.
    assert_eq!(a.asked(2), Verdict::Promise);
    assert!(!a.ask(1), "it gave way");
    assert!(a.taken(2));
}

#[test]
fn a_promise_that_is_not_taken_is_void() {
    let mut a = Agreement::new("a", "b");
    assert_eq!(a.asked(1), Verdict::Promise);
    assert!(!a.may_dial());
    assert_eq!(a.asked(2), Verdict::Promise);
    assert!(!a.taken(1) && !a.ended(1) && !a.may_dial());
    assert!(!a.ended(2) && a.may_dial());
}

#[test]
fn one_that_leads_to_an_old_address_is_used_until_there_is_another() {
    let mut a = Agreement::new("a", "b");
    assert!(a.dial() && a.ask(1) && a.take(1) && !a.may_dial());
    a.outdate();
    assert!(a.dial());
    a.give_up();
    assert_eq!(a.used(), Some(1));
    assert!(a.dial() && a.ask(2) && a.take(2));
    assert!(a.used() == Some(2) && !a.may_dial());
}
