//! Planted faults of effects, each found and named.

use super::*;
use crate::operate::verify::check::events::Fact;

fn log(tags: &[u64]) -> Log {
    Log(tags
        .iter()
        .map(|&value| Some(Fact::Written { value }))
        .collect())
}

fn done(tag: u64, seq: u64) -> Intent {
    intent(tag, Fate::Acknowledged { seq: Some(seq) })
}

const fn intent(tag: u64, fate: Fate) -> Intent {
    Intent { tag, fate }
}

fn judged(intents: &[Intent], log: &Log) -> Vec<String> {
    let found = check("register/a", intents, &[], log);
    found
        .into_iter()
        .map(|violation| violation.message)
        .collect()
}

#[test]
fn effects_as_they_should_be_pass() {
    let intents = [
        done(5, 1),
        intent(6, Fate::Acknowledged { seq: None }),
        intent(7, Fate::Unknown),
        intent(8, Fate::Unknown),
        intent(9, Fate::Refused),
    ];
    assert_eq!(judged(&intents, &log(&[5, 7, 6])), [""; 0]);
}

#[test]
fn planted_faults_are_found() {
    for (intents, tags, part) in [
        (vec![done(5, 1)], &[5, 5][..], "5 took effect 2 times"),
        (
            vec![intent(5, Fate::Unknown)],
            &[5, 5],
            "5 took effect 2 times",
        ),
        (
            vec![done(5, 1), done(6, 2)],
            &[5],
            "6 was acknowledged and has no event",
        ),
        (
            vec![done(5, 2), done(6, 1)],
            &[5, 6],
            "acknowledged as event 2 and is event 1",
        ),
        (
            vec![intent(5, Fate::Refused)],
            &[5],
            "5 was refused and is event 1",
        ),
        (vec![done(5, 1)], &[5, 6], "nobody asked for 6"),
    ] {
        let messages = judged(&intents, &log(tags));
        assert!(
            messages.iter().any(|message| message.contains(part)),
            "{part}: {messages:?}"
        );
    }
}

#[test]
fn a_repeat_that_gets_another_answer_is_found() {
    let repeat = |again: &str| Repeat {
        id: "a".into(),
        first: "seq 1".into(),
        again: again.into(),
    };
    assert!(check("register/a", &[], &[repeat("seq 1")], &log(&[])).is_empty());
    let found = check("register/a", &[], &[repeat("seq 2")], &log(&[]));
    assert!(found[0].message.contains("seq 2"), "{found:?}");
}

#[test]
fn what_a_gap_hides_is_not_called_lost() {
    let log = Log(vec![None, Some(Fact::Written { value: 6 })]);
    assert_eq!(judged(&[done(5, 1), done(6, 2)], &log), [""; 0]);
}
