//! When the next attempt begins, and what counts as one.

use super::*;

/// How long the next attempt waits after a failed one that says `retry_after_ms`.
fn waits_ms(mut it: Record, retry_after_ms: Option<u64>, retry: &Retry) -> u64 {
    let report = Report {
        offer: 0,
        run: it.run + 1,
        done: Done::default(),
        progress: None,
        news: News::Failed {
            fault: Fault {
                code: "c".into(),
                message: "m".into(),
                step: None,
            },
            permanent: false,
            retry_after_ms,
        },
        random: 0,
    };
    let effects = machine::report(&mut it, 5_000, report, retry).unwrap();
    let Some(Waiting::Retry { until_ms }) = it.waiting else {
        panic!("{it:?} waits for no attempt");
    };
    let set = effects.timers.iter().any(|change| {
        matches!(change, TimerChange::Set { name, due_ms, .. }
            if name == machine::TIMER_RUN && *due_ms == until_ms)
    });
    assert!(set, "{effects:?}");
    assert_eq!(Record::decode(&it.encode()), Ok(it));
    until_ms - 5_000
}

#[test]
fn an_attempt_begins_no_sooner_than_the_error_and_the_backoff_say() {
    use selvedge_protocol::limits::OPERATION_RETRY_AFTER_MS_MAX as MAX_MS;
    let patient = Retry {
        initial: std::time::Duration::from_millis(2 * 3 * MAX_MS),
        max: std::time::Duration::from_millis(2 * 3 * MAX_MS),
        ..Retry::default()
    };
    for status in [Status::Pending, Status::Compensating] {
        let it = || in_status(status);
        let default = Retry::default();
        for (asked_ms, waited_ms) in [
            (None, 100),
            (Some(0), 100),
            (Some(99), 100),
            (Some(3_600_000), 3_600_000),
            (Some(MAX_MS + 1), MAX_MS),
            (Some(u64::MAX), MAX_MS),
        ] {
            assert_eq!(waits_ms(it(), asked_ms, &default), waited_ms, "{status}");
        }
        // A policy may wait longer than any error.
        assert_eq!(waits_ms(it(), Some(u64::MAX), &patient), 3 * MAX_MS);
    }
}

#[test]
fn attempts_are_counted_and_waits_are_not() {
    let mut it = in_status(Status::Waiting);
    let retry = Retry::default();
    let failed = || News::Failed {
        fault: Fault {
            code: "c".into(),
            message: "m".into(),
            step: None,
        },
        permanent: false,
        retry_after_ms: None,
    };
    let tell = |it: &mut Record, news| {
        let is_begun = it.is_begun && !matches!(news, News::Running { .. });
        let report = Report {
            offer: 0,
            run: it.run + u32::from(!is_begun),
            done: Done::default(),
            progress: None,
            news,
            random: 0,
        };
        machine::report(it, 3_000, report, &retry).unwrap();
        (it.run, it.attempt)
    };
    let running = || News::Running { urgent: true };
    // The sleep is over, which is no attempt more.
    drop(machine::due(&mut it, 3_000, machine::TIMER_WAIT).unwrap());
    assert_eq!(tell(&mut it, running()), (2, 1));
    assert_eq!(tell(&mut it, failed()), (2, 1));
    drop(machine::due(&mut it, 3_000, machine::TIMER_RUN).unwrap());
    assert_eq!((it.attempt, it.next_attempt()), (1, 2));
    assert_eq!(tell(&mut it, running()), (3, 2));
    // Its node ends, and another goes on.
    assert_eq!((it.attempt, it.next_attempt()), (2, 3));
    assert_eq!(tell(&mut it, running()), (4, 3));
    // Its node stops in good order, but not after its work.
    assert_eq!(tell(&mut it, News::Cancelled), (4, 3));
    assert_eq!(tell(&mut it, running()), (5, 4));
    assert_eq!(tell(&mut it, News::Suspended { on: Vec::new() }), (5, 4));
    assert_eq!(tell(&mut it, News::Succeeded("1".into())), (6, 4));

    // What is undone was tried once, and a client's retry is another attempt.
    let mut it = in_status(Status::Compensating);
    assert_eq!((it.attempt, it.next_attempt()), (1, 1));
    assert_eq!(tell(&mut it, failed()), (2, 1));
    assert_eq!(it.next_attempt(), 2);
    let mut it = in_status(Status::Compensated);
    assert_eq!((it.run, it.attempt), (2, 1));
    drop(machine::retry(&mut it, 3_000, None).unwrap());
    assert_eq!(tell(&mut it, running()), (3, 2));
}
