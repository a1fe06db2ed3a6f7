//! Histories of objects that are atomic by construction, for the tests of the checkers. Knows nothing of the
//! models.

use selvedge_cluster::Clock;

use crate::demo_app::REGISTER_ITEMS_MAX;
use crate::operate::verify::check::history::{Action, Answer, Call, Outcome, View};

/// An actor that does what it should.
#[derive(Debug, Default)]
pub(in crate::operate::verify::check) struct Atomic {
    value: u64,
    items: Vec<u64>,
    sum: u64,
}

impl Atomic {
    fn apply(&mut self, action: Action, is_counter: bool) -> Answer {
        match action {
            Action::Read if is_counter => Answer::State(View::Counter { value: self.sum }),
            Action::Read => Answer::State(View::Register {
                value: self.value,
                appended: self.items.len() as u64,
                items: self.items[self.items.len().saturating_sub(REGISTER_ITEMS_MAX)..].to_vec(),
            }),
            Action::Write { value } => Answer::Previous(std::mem::replace(&mut self.value, value)),
            Action::CompareAndSet { expected, value } => {
                let before = self.value;
                if before == expected {
                    self.value = value;
                }
                Answer::Swapped {
                    is_met: before == expected,
                    value: before,
                }
            }
            Action::Append { item } => {
                self.items.push(item);
                Answer::Position(self.items.len() as u64)
            }
            Action::Add { by } => {
                self.sum += by;
                Answer::Sum(self.sum)
            }
        }
    }
}

/// How a history is made.
#[derive(Debug, Clone, Copy)]
pub(in crate::operate::verify::check) struct Making {
    pub(in crate::operate::verify::check) seed: u64,
    pub(in crate::operate::verify::check) clients: usize,
    pub(in crate::operate::verify::check) calls: usize,
    pub(in crate::operate::verify::check) is_counter: bool,
    /// One of so many calls loses its answer.
    pub(in crate::operate::verify::check) unknown_in: u64,
}

/// What a client is at.
#[derive(Debug, Clone, Copy)]
enum At {
    Idle,
    Called(usize),
    Applied(usize),
}

/// A concurrent history of an atomic object: calls overlap, each takes effect at a moment in between.
pub(in crate::operate::verify::check) fn history(making: Making) -> Vec<Call> {
    let random = Random::new(making.seed);
    let mut atomic = Atomic::default();
    let mut clients = vec![At::Idle; making.clients];
    let mut late = Vec::new();
    let mut calls: Vec<Call> = Vec::new();
    let mut answers: Vec<Option<Answer>> = Vec::new();
    let mut now_us = 0;
    loop {
        now_us += random.below(3);
        // What was given up may take effect at any time.
        if random.below(4) == 0
            && let Some(call) = late.pop()
        {
            let call: &Call = &calls[call];
            atomic.apply(call.action, making.is_counter);
        }
        let client = random.index(clients.len());
        clients[client] = match clients[client] {
            At::Idle if calls.len() == making.calls => {
                if clients.iter().all(|at| matches!(at, At::Idle)) {
                    return calls;
                }
                At::Idle
            }
            At::Idle => {
                calls.push(Call {
                    process: u32::try_from(client).unwrap(),
                    action: action(&random, calls.len() as u64 + 1, making.is_counter),
                    called_us: now_us,
                    outcome: Outcome::Unknown,
                });
                answers.push(None);
                At::Called(calls.len() - 1)
            }
            At::Called(call) if random.below(making.unknown_in) == 0 => {
                late.push(call);
                At::Idle
            }
            At::Called(call) => {
                answers[call] = Some(atomic.apply(calls[call].action, making.is_counter));
                At::Applied(call)
            }
            At::Applied(_) if random.below(making.unknown_in) == 0 => At::Idle,
            At::Applied(call) => {
                let answer = answers[call].take().unwrap();
                calls[call].outcome = Outcome::Answered {
                    answer,
                    at_us: now_us,
                };
                At::Idle
            }
        };
    }
}

/// Values are few, so that they repeat, as those of real programs do.
fn action(random: &Random, number: u64, is_counter: bool) -> Action {
    if is_counter {
        return match random.below(2) {
            0 => Action::Read,
            _ => Action::Add { by: number % 3 + 1 },
        };
    }
    match random.below(4) {
        0 => Action::Read,
        1 => Action::Write { value: number % 3 },
        2 => Action::CompareAndSet {
            expected: random.below(3),
            value: number % 3,
        },
        _ => Action::Append { item: number },
    }
}

/// The same history with one answer changed, as a wrong object would give it.
pub(in crate::operate::verify::check) fn with_a_wrong_answer(
    mut calls: Vec<Call>,
    seed: u64,
) -> Vec<Call> {
    let random = Random::new(seed);
    let number = random.below(4);
    let answered = calls.iter_mut().filter_map(|call| match &mut call.outcome {
        Outcome::Answered { answer, .. } => Some(answer),
        Outcome::Refused | Outcome::Unknown => None,
    });
    let answered: Vec<_> = answered.collect();
    if answered.is_empty() {
        return calls;
    }
    let at = random.index(answered.len());
    match answered.into_iter().nth(at).unwrap() {
        Answer::State(View::Counter { value } | View::Register { value, .. }) => *value = number,
        Answer::Previous(value) | Answer::Position(value) | Answer::Sum(value) => *value = number,
        Answer::Swapped { is_met, .. } => *is_met = !*is_met,
    }
    calls
}

/// Numbers from a seed.
#[derive(Debug)]
pub(in crate::operate::verify::check) struct Random(Clock);

impl Random {
    pub(in crate::operate::verify::check) fn new(seed: u64) -> Self {
        Self(Clock::manual(0, seed))
    }

    pub(in crate::operate::verify::check) fn below(&self, end: u64) -> u64 {
        self.0.random() % end
    }

    fn index(&self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }
}
