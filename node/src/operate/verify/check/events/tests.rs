//! Planted faults of streams, each found and named.

use super::*;

fn appended(item: u64) -> Fact {
    Fact::Appended {
        item,
        position: item,
    }
}

fn event(seq: u64) -> Heard {
    Heard::Event {
        seq,
        fact: appended(seq),
    }
}

fn state(count: u64) -> View {
    View::Register {
        value: 0,
        appended: count,
        items: (1..=count).collect(),
    }
}

/// The messages about streams whose last read shows the state after `last` events.
fn judged(heard: &[Vec<Heard>], shown: &[Shown], last: u64) -> Vec<String> {
    let last = Shown {
        seq: last,
        state: state(last),
    };
    let evidence = Evidence {
        of: "register/a",
        initial: state(0),
        heard,
        shown,
        last: &last,
    };
    let (_, found) = check(&evidence);
    found
        .into_iter()
        .map(|violation| violation.message)
        .collect()
}

#[track_caller]
fn finds(heard: &[Vec<Heard>], last: u64, part: &str) {
    let messages = judged(heard, &[], last);
    assert!(
        messages.iter().any(|message| message.contains(part)),
        "{messages:?}"
    );
}

#[test]
fn streams_that_are_as_they_should_be_pass() {
    let whole: Vec<_> = (1..=4).map(event).collect();
    let shown = [Shown {
        seq: 2,
        state: state(2),
    }];
    assert_eq!(judged(&[whole.clone(), whole], &shown, 3), [""; 0]);
    let gap = Heard::Gap {
        after: 0,
        seq: 2,
        state: state(2),
    };
    assert_eq!(judged(&[vec![gap, event(3)]], &[], 3), [""; 0]);
}

#[test]
fn faults_of_one_stream_are_found() {
    finds(&[vec![event(1), event(3)]], 3, "events 2 to 2 are missing");
    finds(
        &[vec![event(1), event(2), event(2), event(3)]],
        3,
        "came again",
    );
    let other = Heard::Event {
        seq: 1,
        fact: appended(9),
    };
    finds(&[vec![event(1), event(2), other]], 2, "out of order");
    finds(&[vec![event(1)]], 2, "did not come");
    let late = Heard::Gap {
        after: 3,
        seq: 5,
        state: state(5),
    };
    finds(
        &[vec![event(1), late]],
        5,
        "a gap from 3 to 5 at position 1",
    );
}

#[test]
fn subscribers_who_hear_different_things_are_found() {
    let other = Heard::Event {
        seq: 2,
        fact: appended(7),
    };
    finds(
        &[vec![event(1), event(2)], vec![event(1), other]],
        2,
        "another subscriber heard",
    );
}

#[test]
fn states_that_events_do_not_come_to_are_found() {
    let heard = [vec![event(1), event(2), event(3)]];
    let wrong = [Shown {
        seq: 2,
        state: state(1),
    }];
    let messages = judged(&heard, &wrong, 3);
    assert!(
        messages[0].contains("events up to 2 come to"),
        "{messages:?}"
    );
    let later = [Shown {
        seq: 9,
        state: state(9),
    }];
    let messages = judged(&heard, &later, 3);
    assert!(messages[0].contains("a later one"), "{messages:?}");
    let doubled = Heard::Event {
        seq: 2,
        fact: appended(1),
    };
    finds(&[vec![event(1), doubled]], 2, "follows 1 appended");
    let gap = Heard::Gap {
        after: 0,
        seq: 2,
        state: state(1),
    };
    finds(
        &[vec![gap], vec![event(1), event(2)]],
        2,
        "the state shown there",
    );
}
