//! Parts keep failing, say nothing that is not so, and are small.

use proptest::prelude::*;

use super::*;
use crate::operate::verify::check::linearizable::tests::{append, read, write};
use crate::operate::verify::check::model::RegisterModel;
use crate::operate::verify::check::tests::simulated::{Making, history, with_a_wrong_answer};

fn part(calls: &[Call]) -> Option<Part<<RegisterModel as Model>::State>> {
    let starts = [RegisterModel::Whole.initial()];
    match check(RegisterModel::Whole, &starts, calls, Bounds::WHOLE) {
        Verdict::Impossible(stuck) => Some(smallest(RegisterModel::Whole, calls, &stuck)),
        Verdict::Linearizable | Verdict::Undecided => None,
    }
}

/// Two writers and a reader who all is well with.
fn before() -> Vec<Call> {
    (0..100)
        .flat_map(|number| {
            let at = 10 * number;
            [
                write((at, at + 2), number + 1, number),
                append((at + 1, at + 5), number, number + 1),
                Call {
                    action: Action::Read,
                    ..write((at + 1, at + 3), 0, 0).weakened()
                },
            ]
        })
        .collect()
}

#[test]
fn a_stale_read_is_two_calls() {
    let mut calls = before();
    let state = |value| {
        let items: Vec<u64> = (68..100).collect();
        let state = View::Register {
            value,
            appended: 100,
            items,
        };
        Answer::State(state)
    };
    let stale = Call {
        action: Action::Read,
        outcome: Outcome::Answered {
            answer: state(99),
            at_us: 2_001,
        },
        ..write((2_000, 2_001), 0, 0)
    };
    calls.push(stale);
    let part = part(&calls).unwrap();
    let actions: Vec<_> = part.calls.iter().map(|call| call.action).collect();
    assert!(actions.len() <= 3, "{actions:?}");
    assert!(actions.contains(&Action::Write { value: 100 }));
    let lines = part.lines(RegisterModel::Whole);
    assert_eq!(lines[0], "whatever came before:");
    assert!(
        lines.iter().any(|line| line.contains("write 100")),
        "{lines:#?}"
    );
    assert!(
        lines.last().unwrap().contains("shows value 99"),
        "{lines:#?}"
    );
}

#[test]
fn a_value_that_nobody_wrote_is_told_by_the_states_that_may_be() {
    let calls = [write((2, 5), 7, 555)];
    let part = part(&calls).unwrap();
    let lines = part.lines(RegisterModel::Whole);
    assert_eq!(lines[0], "after all that came before:");
    assert!(lines[1].contains("value 0, 0 appended"), "{lines:#?}");
    assert!(lines[2].contains("was 555"), "{lines:#?}");
}

#[test]
fn what_follows_the_failure_and_reads_that_say_nothing_are_left_out() {
    let mut calls = vec![write((0, 1), 5, 0)];
    calls.extend((1..50).map(|at| read((10 * at, 10 * at + 1), 5, &[])));
    calls.push(write((600, 601), 6, 4));
    calls.extend((70..90).map(|at| read((10 * at, 10 * at + 1), 6, &[])));
    let part = part(&calls).unwrap();
    let actions: Vec<_> = part.calls.iter().map(|call| call.action).collect();
    assert!(actions.len() <= 2, "{actions:?}");
    assert_eq!(actions.last(), Some(&Action::Write { value: 6 }));
}

proptest! {
    #[test]
    fn a_part_keeps_failing(
        seed: u64, wrong: u64, clients in 1_usize..6, calls in 1_usize..60, unknown_in in 5_u64..60,
    ) {
        let whole = history(Making { seed, clients, calls, is_counter: false, unknown_in });
        let wrong = with_a_wrong_answer(whole, wrong);
        if let Some(part) = part(&wrong) {
            prop_assert!(is_impossible(RegisterModel::Whole, Bounds::PART, &part.starts, &part.calls), "{part:#?}");
            prop_assert!(part.calls.len() <= wrong.len());
            prop_assert!(part.lines(RegisterModel::Whole).len() > 1);
        }
    }

    /// Whatever is left out of a history without fault, what is kept has none either: no part accuses wrongly.
    #[test]
    fn no_part_of_a_right_history_fails(
        seed: u64, clients in 1_usize..6, calls in 1_usize..60, unknown_in in 5_u64..60, begin: prop::sample::Index,
        end: prop::sample::Index,
    ) {
        let calls = history(Making { seed, clients, calls, is_counter: false, unknown_in });
        let moments = moments(&calls);
        prop_assume!(!moments.is_empty());
        let end = end.index(moments.len());
        prop_assume!(matches!(moments[end], Moment::Answered(_)));
        let history = History::new(&calls, end);
        let begin = begin.index(history.places[history.last].0.unwrap() + 1);
        let kept = history.from(begin);
        prop_assert!(!is_impossible(RegisterModel::Whole, Bounds::PART, &[RegisterModel::Whole.anything()], &kept), "{kept:#?}");
    }
}
