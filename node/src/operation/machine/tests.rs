//! A model test of the machine: random verbs, reports, children, crashes and timers in simulated time; and
//! every verb in every status.

use std::sync::Arc;

use proptest::prelude::*;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::kind::Urgency;
use selvedge_cluster::actor::{Effects, Refusal, TimerChange};

use crate::operation::child::ChildFinished;
use crate::operation::machine;
use crate::operation::record::{Compensation, Fault, Payload, Record, Signal, WaitOn, Waiting};
use crate::operation::report::{Done, FinishedStep, NewWait, NewWaitOn, News, Report};
use crate::processing::Retry;

mod attempts;

#[derive(Debug, Clone)]
enum Act {
    Cancel {
        is_taken: bool,
    },
    Pause {
        is_taken: bool,
    },
    Resume {
        is_taken: bool,
    },
    Retry {
        from: Option<u8>,
    },
    Signal(u8),
    /// The child that a step waits for ends, if one does.
    ChildFinished,
    /// A report of the run that is `ahead` of the present one.
    Report {
        ahead: u32,
        done: Box<Done>,
        news: News,
    },
    /// The node ends: what was `Soon` and not committed is forgotten.
    Crash,
    Timer {
        name: &'static str,
    },
    Pass {
        ms: u64,
    },
}

fn news() -> impl Strategy<Value = News> {
    let fault = Fault {
        code: "c".into(),
        message: "m".into(),
        step: Some("s".into()),
    };
    prop_oneof![
        any::<bool>().prop_map(|urgent| News::Running { urgent }),
        Just(News::Succeeded(Arc::from("1"))),
        (any::<bool>(), any::<Option<u64>>()).prop_map(move |(permanent, retry_after_ms)| {
            News::Failed {
                fault: fault.clone(),
                permanent,
                retry_after_ms,
            }
        }),
        Just(News::Cancelled),
        Just(News::PayloadMissing),
        Just(News::Continued {
            input: Arc::from("2")
        }),
        proptest::collection::vec((0..4_u8).prop_map(wait_name), 0..3)
            .prop_map(|on| News::Suspended { on }),
    ]
}

fn wait_name(number: u8) -> Arc<str> {
    format!("wait{number}").into()
}

fn wait() -> impl Strategy<Value = NewWait> {
    let on = prop_oneof![
        (0..3_000_u64).prop_map(|ms| NewWaitOn::Time { ms }),
        (0..2_u8, proptest::option::of(0..3_000_u64)).prop_map(|(signal, timeout_ms)| {
            NewWaitOn::Signal {
                signal: format!("signal{signal}").into(),
                timeout_ms,
            }
        }),
        Just(NewWaitOn::Call {
            operation_type: "t".parse().unwrap(),
            input: Arc::from("{}"),
        }),
    ];
    (0..4_u8, on).prop_map(|(number, on)| NewWait {
        name: wait_name(number),
        on,
    })
}

fn done() -> impl Strategy<Value = Done> {
    let undo = |number: u8| -> Arc<str> { format!("undo{number}").into() };
    (
        proptest::option::of(0..4_u8),
        proptest::option::of(0..3_u8),
        proptest::option::of(wait()),
        proptest::option::of(0..3_u8),
    )
        .prop_map(move |(step, compensation, wait, undone)| Done {
            steps: step
                .map(|step| FinishedStep {
                    name: format!("step{step}").into(),
                    result: "1".into(),
                })
                .into_iter()
                .collect(),
            compensations: compensation
                .map(|number| Compensation {
                    name: undo(number),
                    data: "1".into(),
                })
                .into_iter()
                .collect(),
            waits: wait.into_iter().collect(),
            sends: Vec::new(),
            undone: undone.map(undo).into_iter().collect(),
        })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => any::<bool>().prop_map(|is_taken| Act::Cancel { is_taken }),
        1 => any::<bool>().prop_map(|is_taken| Act::Pause { is_taken }),
        2 => any::<bool>().prop_map(|is_taken| Act::Resume { is_taken }),
        1 => proptest::option::of(0..4_u8).prop_map(|from| Act::Retry { from }),
        2 => (0..2_u8).prop_map(Act::Signal),
        2 => Just(Act::ChildFinished),
        10 => (0..3_u32, done(), news())
            .prop_map(|(ahead, done, news)| Act::Report { ahead, done: Box::new(done), news }),
        1 => Just(Act::Crash),
        3 => prop_oneof![
            Just(machine::TIMER_RUN),
            Just(machine::TIMER_DEADLINE),
            Just(machine::TIMER_WAIT),
            Just("other"),
        ]
        .prop_map(|name| Act::Timer { name }),
        2 => (0..5_000_u64).prop_map(|ms| Act::Pass { ms }),
    ]
}

fn record(payload: Payload, waiting: Option<Waiting>, deadline_ms: Option<u64>) -> Record {
    Record {
        id: "op".parse().unwrap(),
        tenant: "default".parse().unwrap(),
        operation_type: "t".parse().unwrap(),
        status: if waiting.is_some() {
            Status::Waiting
        } else {
            Status::Pending
        },
        waiting,
        input: Arc::from("{}"),
        payload,
        metadata: None,
        labels: std::collections::BTreeMap::new(),
        priority: 0,
        run_at_ms: None,
        deadline_ms,
        created_by: "p".into(),
        created_ms: 1_000,
        updated_ms: 1_000,
        version: 1,
        run: 0,
        failures: 0,
        lost: 0,
        is_begun: false,
        parent: None,
        generation: 0,
        waits: Vec::new(),
        signals: Vec::new(),
        compensations: Vec::new(),
        is_settling: false,
        progress: None,
        steps: Vec::new(),
        result: None,
        error: None,
        attempt: 0,
        is_attempt_over: false,
    }
}

fn beginnings() -> impl Strategy<Value = Record> {
    prop_oneof![
        Just(record(Payload::None, None, None)),
        Just(record(Payload::None, None, Some(9_000))),
        Just(record(Payload::None, Some(Waiting::Handler), None)),
        Just(record(
            Payload::None,
            Some(Waiting::Time { until_ms: 5_000 }),
            Some(9_000)
        )),
        Just(record(
            Payload::Streamed { length: None },
            Some(Waiting::Payload),
            None
        )),
    ]
}

/// Which statuses may follow which. One decision may pass through `running`.
fn may_follow(before: Status, after: Status) -> bool {
    use Status::{
        Cancelled, Cancelling, Compensated, Compensating, Failed, Paused, Pending, Running,
        Succeeded, Waiting,
    };
    before == after
        || match before {
            // Whatever is not final may end in any way but compensated.
            Pending | Waiting | Running | Paused => after != Compensated,
            Cancelling => matches!(after, Cancelled | Succeeded | Failed | Compensating),
            Compensating => matches!(after, Compensated | Failed),
            // Only a retry leads out of these.
            Failed | Cancelled | Compensated => matches!(after, Pending | Waiting | Compensating),
            Succeeded => false,
        }
}

/// The timers that are set, as the host keeps them.
fn keep_timers(timers: &mut Vec<String>, effects: &Effects) {
    for change in &effects.timers {
        match change {
            TimerChange::Set { name, .. } => {
                timers.retain(|known| known != name);
                timers.push(name.clone());
            }
            TimerChange::Cancel { name } => timers.retain(|known| known != name),
        }
    }
}

fn perform(record: &mut Record, now_ms: u64, act: &Act) -> Result<Effects, Refusal> {
    match act {
        Act::Cancel { is_taken } => machine::cancel(record, now_ms, *is_taken),
        Act::Pause { is_taken } => machine::pause(record, now_ms, *is_taken),
        Act::Resume { is_taken } => machine::resume(record, now_ms, *is_taken),
        Act::Retry { from } => {
            let from = from.map(|step| format!("step{step}"));
            machine::retry(record, now_ms, from.as_deref())
        }
        Act::Signal(signal) => {
            let signal = Signal {
                name: format!("signal{signal}").into(),
                data: "7".into(),
            };
            machine::signal(record, now_ms, signal)
        }
        Act::ChildFinished => {
            let waits = record.waits.iter();
            let mut called = waits.filter_map(|wait| match &wait.on {
                WaitOn::Call { operation } => Some((wait.name.to_string(), operation.clone())),
                WaitOn::Time { .. } | WaitOn::Signal { .. } => None,
            });
            let none = || ("none".to_owned(), "none".parse().unwrap());
            let (name, operation) = called.next().unwrap_or_else(none);
            let finished = ChildFinished {
                name,
                operation,
                status: "succeeded".to_owned(),
                result: None,
                error: None,
            };
            machine::child_finished(record, now_ms, &finished)
        }
        Act::Report { ahead, done, news } => {
            let report = Report {
                offer: 0,
                run: record.run + ahead,
                done: Done::clone(done),
                progress: None,
                news: news.clone(),
                random: now_ms,
            };
            machine::report(record, now_ms, report, &Retry::default())
        }
        Act::Timer { name } => machine::due(record, now_ms, name),
        Act::Crash | Act::Pass { .. } => Ok(Effects {
            urgency: Urgency::Never,
            ..Effects::default()
        }),
    }
}

fn check(before: &Record, after: &Record, effects: &Effects, timers: &[String]) {
    assert!(
        may_follow(before.status, after.status),
        "{} to {}",
        before.status,
        after.status
    );
    if after.status == Status::Waiting {
        assert!(after.waiting.is_some());
    }
    assert!(after.run == before.run || after.run == before.run + 1);
    let is_another = after.run > before.run && before.next_attempt() > before.attempt;
    assert_eq!(after.attempt, before.attempt + u32::from(is_another));
    // G6: a finished step stays as it is, unless a client wants it to run again.
    let is_retried = effects.events.iter().any(|event| event.kind == "retried");
    if after.generation == before.generation && !is_retried {
        assert_eq!(after.steps[..before.steps.len()], before.steps[..]);
    }
    assert_eq!(after.version == before.version, after == before);
    let is_over = after.status.is_final();
    if is_over {
        let told = effects
            .events
            .iter()
            .filter(|event| event.kind == after.status.name());
        assert_eq!(told.count(), usize::from(!before.status.is_final()));
    }
    if after.is_awake() != before.is_awake() {
        assert_eq!(effects.awake, Some(after.is_awake()));
    }
    if is_over {
        assert!(timers.is_empty(), "{timers:?} outlive the operation");
        assert_eq!(after.result.is_some(), after.status == Status::Succeeded);
        assert!(after.waits.is_empty() && !after.is_begun);
    }
    // What was promised to be undone is undone, unless it succeeds or undoing it fails.
    if matches!(after.status, Status::Cancelled | Status::Compensated) {
        assert!(after.compensations.is_empty());
    }
    // Each wait has what ends it, and a child is called or cancelled with the commit that says so.
    let has = |name: &str| timers.iter().any(|known| known == name);
    assert_eq!(after.next_wait_ms().is_some(), has(machine::TIMER_WAIT));
    for wait in &after.waits {
        assert!(after.finished_step(&wait.name).is_none());
    }
    for wait in before
        .waits
        .iter()
        .filter(|wait| !after.waits.contains(wait))
    {
        if let WaitOn::Call { operation } = &wait.on
            && after.finished_step(&wait.name).is_none()
        {
            let mut messages = effects.messages.iter();
            let is_it = |key: &str| key == operation.as_str();
            assert!(messages.any(|it| it.name == "cancel" && is_it(it.to.key.as_str())));
        }
    }
    // Whatever is not final is runnable, or something will wake it.
    let wakes = match after.waiting {
        Some(Waiting::Time { .. } | Waiting::Retry { .. }) => has(machine::TIMER_RUN),
        Some(Waiting::Steps) => !after.waits.is_empty(),
        Some(Waiting::Payload | Waiting::Handler) | None => after.is_runnable(),
    };
    let is_held = after.status == Status::Paused;
    assert!(is_over || is_held || wakes, "{after:?} waits for nothing");
}

/// How many attempts an act has ended whose work is to be done again.
fn ends_attempt(act: &Act, before: &Record, after: &Record) -> u32 {
    let is_lost = after.run > before.run && before.is_begun;
    let is_repeated = match act {
        Act::Report { news, .. } => matches!(news, News::Failed { .. } | News::Cancelled),
        Act::Retry { .. } => true,
        Act::Cancel { .. }
        | Act::Pause { .. }
        | Act::Resume { .. }
        | Act::Signal(_)
        | Act::ChildFinished
        | Act::Crash
        | Act::Timer { .. }
        | Act::Pass { .. } => false,
    };
    u32::from(is_lost) + u32::from(is_repeated)
}

proptest! {
    #[test]
    fn no_illegal_transition(begin in beginnings(), acts in proptest::collection::vec(act(), 0..60)) {
        let mut record = begin;
        let mut timers = Vec::new();
        keep_timers(&mut timers, &machine::submitted(&record));
        let mut durable = (record.clone(), timers.clone());
        let mut now_ms = 1_000;
        // What another attempt may follow.
        let mut ends = 0;
        for act in acts {
            match &act {
                Act::Pass { ms } => now_ms += ms,
                Act::Crash => (record, timers) = durable.clone(),
                // Only timers that are set fire, once.
                Act::Timer { name } if *name != "other" => {
                    let Some(at) = timers.iter().position(|known| known == name) else { continue };
                    timers.remove(at);
                }
                Act::Timer { .. }
                | Act::Cancel { .. }
                | Act::Pause { .. }
                | Act::Resume { .. }
                | Act::Retry { .. }
                | Act::Signal(_)
                | Act::ChildFinished
                | Act::Report { .. } => {}
            }
            let before = record.clone();
            match perform(&mut record, now_ms, &act) {
                Ok(effects) => {
                    keep_timers(&mut timers, &effects);
                    check(&before, &record, &effects, &timers);
                    ends += ends_attempt(&act, &before, &record);
                    prop_assert!(record.attempt <= 1 + ends, "{} after {ends}", record.attempt);
                    match effects.urgency {
                        Urgency::Now => durable = (record.clone(), timers.clone()),
                        Urgency::Soon => prop_assert!(effects.timers.is_empty()),
                        Urgency::Never => prop_assert_eq!(&record, &before),
                    }
                }
                Err(_) => prop_assert_eq!(&record, &before),
            }
            prop_assert_eq!(&Record::decode(&record.encode()), &Ok(record.clone()));
        }
    }
}

/// A record in a status, as the machine itself brings it there.
fn in_status(status: Status) -> Record {
    let mut it = record(Payload::None, None, None);
    let fault = Fault {
        code: "c".into(),
        message: "m".into(),
        step: None,
    };
    let tell = |it: &mut Record, ahead, done, news| {
        let report = Report {
            offer: 0,
            run: it.run + ahead,
            done,
            progress: None,
            news,
            random: 0,
        };
        machine::report(it, 2_000, report, &Retry::default()).unwrap();
    };
    let running = News::Running { urgent: true };
    let promise = Done {
        compensations: vec![Compensation {
            name: "undo".into(),
            data: "1".into(),
        }],
        ..Done::default()
    };
    let failed = News::Failed {
        fault,
        permanent: true,
        retry_after_ms: None,
    };
    match status {
        Status::Pending => {}
        Status::Running => tell(&mut it, 1, Done::default(), running),
        Status::Waiting => {
            let sleep = Done {
                waits: vec![NewWait {
                    name: "sleep".into(),
                    on: NewWaitOn::Time { ms: 1_000 },
                }],
                ..Done::default()
            };
            let on = vec!["sleep".into()];
            tell(&mut it, 1, sleep, News::Suspended { on });
        }
        Status::Paused => drop(machine::pause(&mut it, 2_000, false).unwrap()),
        Status::Succeeded => tell(&mut it, 1, Done::default(), News::Succeeded("1".into())),
        Status::Failed => tell(&mut it, 1, Done::default(), failed),
        Status::Cancelling => {
            tell(&mut it, 1, Done::default(), running);
            drop(machine::cancel(&mut it, 2_000, true).unwrap());
        }
        Status::Cancelled => drop(machine::cancel(&mut it, 2_000, false).unwrap()),
        Status::Compensating => tell(&mut it, 1, promise, failed),
        Status::Compensated => {
            tell(&mut it, 1, promise, failed);
            let undone = Done {
                undone: vec!["undo".into()],
                ..Done::default()
            };
            tell(&mut it, 1, undone, News::Succeeded("null".into()));
        }
    }
    assert_eq!(it.status, status);
    it
}

#[test]
fn each_verb_in_a_wrong_status_is_a_conflict_that_changes_nothing() {
    use Status::{
        Cancelled, Cancelling, Compensated, Compensating, Failed, Paused, Pending, Running,
        Succeeded, Waiting,
    };
    let verbs: [(Act, &[Status]); 5] = [
        (
            Act::Cancel { is_taken: false },
            &[Pending, Running, Waiting, Paused, Cancelling, Cancelled],
        ),
        (
            Act::Pause { is_taken: false },
            &[Pending, Running, Waiting, Paused],
        ),
        (Act::Resume { is_taken: false }, &[Paused]),
        (Act::Retry { from: None }, &[Failed, Cancelled, Compensated]),
        (Act::Signal(0), &[Pending, Running, Waiting, Paused]),
    ];
    for (verb, right) in verbs {
        for status in [
            Pending,
            Running,
            Waiting,
            Paused,
            Succeeded,
            Failed,
            Cancelling,
            Cancelled,
            Compensating,
            Compensated,
        ] {
            let before = in_status(status);
            let mut after = before.clone();
            match perform(&mut after, 3_000, &verb) {
                Ok(_) => assert!(right.contains(&status), "{verb:?} when {status}"),
                Err(Refusal(failure)) => {
                    assert!(
                        !right.contains(&status),
                        "{verb:?} when {status}: {failure}"
                    );
                    assert_eq!(failure.code, selvedge_protocol::ErrorCode::Conflict);
                    assert!(failure.message.contains(status.name()), "{failure}");
                    assert_eq!(after, before);
                }
            }
        }
    }
}
