//! Planted violations, histories of atomic objects, and the judgement of a checker that tries every order.

use proptest::prelude::*;

use super::*;
use crate::operate::verify::check::history::{Action, Answer, View};
use crate::operate::verify::check::model::{CounterModel, RegisterModel};
use crate::operate::verify::check::tests::simulated::{Making, history, with_a_wrong_answer};

pub(in crate::operate::verify::check) fn answered(
    action: Action,
    (called_us, at_us): (u64, u64),
    answer: Answer,
) -> Call {
    Call {
        process: 0,
        action,
        called_us,
        outcome: Outcome::Answered { answer, at_us },
    }
}

pub(in crate::operate::verify::check) fn read(time: (u64, u64), value: u64, items: &[u64]) -> Call {
    let state = View::Register {
        value,
        appended: items.len() as u64,
        items: items.to_vec(),
    };
    answered(Action::Read, time, Answer::State(state))
}

pub(in crate::operate::verify::check) fn write(
    time: (u64, u64),
    value: u64,
    previous: u64,
) -> Call {
    answered(Action::Write { value }, time, Answer::Previous(previous))
}

pub(in crate::operate::verify::check) fn append(
    time: (u64, u64),
    item: u64,
    position: u64,
) -> Call {
    answered(Action::Append { item }, time, Answer::Position(position))
}

fn swap(time: (u64, u64), (expected, value): (u64, u64), (is_met, before): (bool, u64)) -> Call {
    let answer = Answer::Swapped {
        is_met,
        value: before,
    };
    answered(Action::CompareAndSet { expected, value }, time, answer)
}

fn unknown(action: Action, called_us: u64) -> Call {
    Call {
        process: 0,
        action,
        called_us,
        outcome: Outcome::Unknown,
    }
}

fn is_linearizable(calls: &[Call]) -> bool {
    let starts = [RegisterModel::Whole.initial()];
    match check(RegisterModel::Whole, &starts, calls, Bounds::WHOLE) {
        Verdict::Linearizable => true,
        Verdict::Impossible(_) => false,
        Verdict::Undecided => panic!("undecided"),
    }
}

#[test]
fn planted_violations_are_found() {
    let stale = [write((0, 1), 5, 0), read((2, 3), 0, &[])];
    let lost_write = [write((0, 1), 5, 0), write((2, 3), 6, 0)];
    let lost_append = [append((0, 1), 1, 1), read((2, 3), 0, &[])];
    let doubled = [append((0, 1), 1, 1), read((2, 3), 0, &[1, 1])];
    let wrongly_set = [write((0, 1), 5, 0), swap((2, 3), (4, 6), (true, 5))];
    let wrongly_refused = [write((0, 1), 5, 0), swap((2, 3), (5, 6), (false, 5))];
    let same_place = [append((0, 9), 1, 1), append((0, 9), 2, 1)];
    let back = [
        write((0, 9), 5, 0),
        read((1, 2), 5, &[]),
        read((3, 4), 0, &[]),
    ];
    for (name, calls) in [
        ("stale read", &stale[..]),
        ("lost write", &lost_write),
        ("lost append", &lost_append),
        ("doubled append", &doubled),
        ("compare-and-set that should have failed", &wrongly_set),
        ("compare-and-set that should have worked", &wrongly_refused),
        ("two items at one place", &same_place),
        ("a read that goes back", &back),
    ] {
        assert!(!is_linearizable(calls), "{name}");
    }
}

#[test]
fn calls_that_overlap_may_be_in_either_order() {
    let calls = [
        write((0, 9), 5, 0),
        read((1, 2), 0, &[]),
        read((3, 4), 5, &[]),
    ];
    assert!(is_linearizable(&calls));
    let calls = [
        append((0, 9), 1, 2),
        append((0, 9), 2, 1),
        read((10, 11), 0, &[2, 1]),
    ];
    assert!(is_linearizable(&calls));
}

#[test]
fn a_call_without_an_answer_takes_effect_at_any_time_or_never_and_once() {
    let lost = unknown(Action::Append { item: 1 }, 0);
    assert!(is_linearizable(&[lost.clone(), read((5, 6), 0, &[])]));
    let late = [lost.clone(), read((5, 6), 0, &[]), read((7, 8), 0, &[1])];
    assert!(is_linearizable(&late));
    let gone = [lost.clone(), read((5, 6), 0, &[1]), read((7, 8), 0, &[])];
    assert!(!is_linearizable(&gone));
    assert!(!is_linearizable(&[lost, read((5, 6), 0, &[1, 1])]));
    let early = [read((1, 2), 5, &[]), unknown(Action::Write { value: 5 }, 3)];
    assert!(!is_linearizable(&early));
}

#[test]
fn a_refused_call_has_no_effect() {
    let refused = Call {
        outcome: Outcome::Refused,
        ..write((0, 1), 5, 0)
    };
    assert!(is_linearizable(&[refused.clone(), read((2, 3), 0, &[])]));
    assert!(!is_linearizable(&[refused, read((2, 3), 5, &[])]));
}

#[test]
fn what_is_too_large_is_not_passed() {
    let calls: Vec<_> = (1..=12)
        .map(|item| unknown(Action::Append { item }, 0))
        .chain([read((20, 21), 0, &[99])])
        .collect();
    let bounds = Bounds {
        steps: 1_000,
        configurations: 1_000,
    };
    let verdict = check(
        RegisterModel::Whole,
        &[RegisterModel::Whole.initial()],
        &calls,
        bounds,
    );
    assert_eq!(verdict, Verdict::Undecided);
}

#[test]
fn from_any_state_only_what_contradicts_itself_fails() {
    let from_any = |calls: &[Call]| {
        let verdict = check(
            RegisterModel::Whole,
            &[RegisterModel::Whole.anything()],
            calls,
            Bounds::WHOLE,
        );
        verdict == Verdict::Linearizable
    };
    assert!(from_any(&[read((0, 1), 7, &[1, 2])]));
    assert!(from_any(&[append((0, 1), 9, 40), append((2, 3), 10, 41)]));
    assert!(from_any(&[
        swap((0, 1), (3, 4), (false, 7)),
        read((2, 3), 7, &[])
    ]));
    assert!(!from_any(&[append((0, 1), 9, 40), append((2, 3), 10, 40)]));
    assert!(!from_any(&[
        read((0, 1), 7, &[1, 2]),
        read((2, 3), 7, &[1, 3])
    ]));
    assert!(!from_any(&[
        swap((0, 1), (3, 4), (false, 7)),
        read((2, 3), 4, &[])
    ]));
}

/// Tries every order of every choice of calls.
fn brute_force<M: Model>(model: M, calls: &[Call]) -> bool {
    fn place<M: Model>(model: M, state: &M::State, left: &[&Call]) -> bool {
        let is_due = |call: &&&Call| matches!(call.outcome, Outcome::Answered { .. });
        if !left.iter().any(|call| is_due(&call)) {
            return true;
        }
        let first_answer = left.iter().filter_map(|call| match call.outcome {
            Outcome::Answered { at_us, .. } => Some(at_us),
            Outcome::Refused | Outcome::Unknown => None,
        });
        let first_answer = first_answer.min().unwrap_or(u64::MAX);
        left.iter().enumerate().any(|(at, call)| {
            if call.called_us > first_answer {
                return false;
            }
            let answer = match &call.outcome {
                Outcome::Answered { answer, .. } => Some(answer),
                Outcome::Unknown => None,
                Outcome::Refused => return false,
            };
            let mut others = left.to_vec();
            others.remove(at);
            let states = model.after(state, call.action, answer);
            states.iter().any(|state| place(model, state, &others))
        })
    }
    place(model, &model.initial(), &calls.iter().collect::<Vec<_>>())
}

fn agrees_with_brute_force<M: Model>(model: M, calls: &[Call]) {
    let verdict = check(model, &[model.initial()], calls, Bounds::WHOLE);
    let expected = brute_force(model, calls);
    assert_eq!(verdict == Verdict::Linearizable, expected, "{calls:#?}");
}

proptest! {
    #[test]
    fn histories_of_an_atomic_object_are_linearizable(
        seed: u64, clients in 1_usize..8, calls in 1_usize..200, is_counter: bool, unknown_in in 8_u64..60,
    ) {
        let calls = history(Making { seed, clients, calls, is_counter, unknown_in });
        let verdict = match is_counter {
            true => check(CounterModel, &[CounterModel.initial()], &calls, Bounds::WHOLE) == Verdict::Linearizable,
            false => check(RegisterModel::Whole, &[RegisterModel::Whole.initial()], &calls, Bounds::WHOLE) == Verdict::Linearizable,
        };
        prop_assert!(verdict, "{calls:#?}");
    }

    #[test]
    fn small_histories_with_a_wrong_answer_are_judged_as_by_brute_force(
        seed: u64, wrong: u64, clients in 1_usize..5, calls in 1_usize..8, is_counter: bool, unknown_in in 3_u64..20,
    ) {
        let calls = history(Making { seed, clients, calls, is_counter, unknown_in });
        let calls = with_a_wrong_answer(calls, wrong);
        match is_counter {
            true => agrees_with_brute_force(CounterModel, &calls),
            false => agrees_with_brute_force(RegisterModel::Whole, &calls),
        }
    }
}
