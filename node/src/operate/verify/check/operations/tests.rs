//! Planted faults of operations, each found and named.

use super::*;

fn event(seq: u64, kind: &str, step: Option<&str>) -> JobEvent {
    JobEvent {
        seq,
        kind: kind.into(),
        step: step.map(str::to_owned),
        is_final: kind == "succeeded",
    }
}

fn seen(result: Option<&str>) -> Seen {
    Seen {
        created_at: "then".into(),
        result: result.map(str::to_owned),
    }
}

fn right() -> Job {
    Job {
        id: "a".into(),
        steps: vec!["one".into()],
        expected: "1".into(),
        submits: vec![seen(None), seen(Some("1"))],
        end: Some(Ended {
            status: "succeeded".into(),
            seen: seen(Some("1")),
            steps: vec!["one".into()],
        }),
        events: vec![
            event(1, "submitted", None),
            event(2, "step.finished", Some("one")),
            event(3, "succeeded", None),
        ],
    }
}

#[test]
fn an_operation_as_it_should_be_passes() {
    assert_eq!(check(&right()), []);
}

/// Spoils an operation.
type Spoil = fn(&mut Job);

#[test]
fn planted_faults_are_found() {
    let faults: [(Spoil, &str); 9] = [
        (|job| job.end = None, "did not end"),
        (|job| job.expected = "2".into(), "its result is 1"),
        (
            |job| job.events.insert(2, event(3, "step.finished", Some("one"))),
            "event 3 came where 4 was due",
        ),
        (
            |job| {
                job.events[2] = event(3, "step.finished", Some("one"));
                job.events.push(event(4, "succeeded", None));
            },
            "step one finished 2 times",
        ),
        (
            |job| drop(job.events.remove(1)),
            "event 3 came where 2 was due",
        ),
        (|job| drop(job.events.pop()), "final event did not come"),
        (
            |job| job.events.push(event(4, "started", None)),
            "follow its final one",
        ),
        (
            |job| job.submits[1].created_at = "later".into(),
            "made several",
        ),
        (
            |job| job.submits[1].result = Some("7".into()),
            "a submit showed",
        ),
    ];
    for (spoil, part) in faults {
        let mut job = right();
        spoil(&mut job);
        let found = check(&job);
        assert!(
            found.iter().any(|it| it.message.contains(part)),
            "{part}: {found:?}"
        );
    }
    let mut failed = right();
    if let Some(end) = &mut failed.end {
        end.status = "failed".into();
    }
    assert!(check(&failed)[0].message.contains("ended failed"));
}
