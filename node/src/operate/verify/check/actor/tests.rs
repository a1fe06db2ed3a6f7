//! The checks of one actor together: a right record passes, a wrong one is told by all that shows it.

use super::*;
use crate::operate::verify::check::events::Fact;
use crate::operate::verify::check::linearizable::tests::{append, read, write};

fn recorded(call: Call, seq: u64) -> Recorded {
    Recorded {
        call,
        seq: Some(seq),
    }
}

/// A write, an append and a read, with their events.
fn right() -> Record {
    let heard = vec![
        Heard::Event {
            seq: 1,
            fact: Fact::Written { value: 5 },
        },
        Heard::Event {
            seq: 2,
            fact: Fact::Appended {
                item: 6,
                position: 1,
            },
        },
    ];
    Record {
        name: "register/a".into(),
        kind: ActorKind::Register,
        recorded: vec![
            recorded(write((0, 1), 5, 0), 1),
            recorded(append((2, 3), 6, 1), 2),
            recorded(read((4, 5), 5, &[6]), 2),
        ],
        intents: Vec::new(),
        repeats: Vec::new(),
        heard: vec![heard.clone(), heard],
        last: Shown {
            seq: 2,
            state: View::Register {
                value: 5,
                appended: 1,
                items: vec![6],
            },
        },
    }
}

#[test]
fn a_right_record_passes() {
    assert_eq!(check(&right()), []);
}

#[test]
fn a_lost_append_is_told_by_the_list_alone() {
    let mut record = right();
    // Acknowledged, and nothing shows it: not the events, not the state.
    let lost = append((2, 3), 7, 1);
    record.recorded.insert(1, recorded(lost, 2));
    record.recorded.insert(0, recorded(write((0, 9), 8, 5), 3));
    let found = check(&record);
    let checks: Vec<_> = found.iter().map(|violation| violation.check).collect();
    assert!(checks.contains(&Check::Linearizability) && checks.contains(&Check::Effects));
    let part = &found[0].part;
    assert!(
        part.iter().any(|line| line.contains("append 7")),
        "{part:#?}"
    );
    assert!(part.iter().all(|line| !line.contains("write")), "{part:#?}");
}

#[test]
fn a_read_that_mixes_two_moments_fails_as_a_whole() {
    // Each half was so at some time while it was read, and never both.
    let calls = [
        write((0, 1), 5, 0),
        append((2, 3), 6, 1),
        write((4, 5), 9, 5),
        read((0, 6), 9, &[]),
    ];
    let found = register_in_one_order("register/a", &calls);
    assert_eq!(found[0].check, Check::Linearizability);
    for half in [RegisterModel::Value, RegisterModel::List] {
        let concerned: Vec<_> = calls
            .iter()
            .filter(|call| half.concerns(call.action))
            .cloned()
            .collect();
        assert_eq!(in_one_order(half, "register/a", &concerned), []);
    }
}

#[test]
fn many_wrong_effects_are_summed_up() {
    let mut record = right();
    for tag in 100..200 {
        let fate = Fate::Acknowledged { seq: None };
        record.intents.push(Intent { tag, fate });
    }
    let found = check(&record);
    assert_eq!(found.len(), EFFECTS_SHOWN_MAX + 1);
    assert!(
        found.last().unwrap().message.contains("and 95 more"),
        "{found:?}"
    );
}
