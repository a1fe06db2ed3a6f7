//! A model test of the machine: random submits, cancels, reports, crashes and timers in simulated time.

use std::sync::Arc;

use proptest::prelude::*;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::kind::Urgency;
use selvedge_cluster::actor::{Effects, Refusal, TimerChange};

use crate::operation::machine;
use crate::operation::record::{Fault, Payload, Record, Waiting};
use crate::operation::report::{FinishedStep, News, Report};
use crate::processing::Retry;

#[derive(Debug, Clone)]
enum Act {
    Cancel {
        is_taken: bool,
    },
    /// A report of the attempt that is `ahead` of the present one.
    Report {
        ahead: u32,
        step: Option<u8>,
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
        any::<bool>().prop_map(move |permanent| News::Failed {
            fault: fault.clone(),
            permanent
        }),
        Just(News::Cancelled),
        Just(News::PayloadMissing),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => any::<bool>().prop_map(|is_taken| Act::Cancel { is_taken }),
        8 => (0..3_u32, proptest::option::of(0..4_u8), news())
            .prop_map(|(ahead, step, news)| Act::Report { ahead, step, news }),
        1 => Just(Act::Crash),
        3 => prop_oneof![Just(machine::TIMER_RUN), Just(machine::TIMER_DEADLINE), Just("other")]
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
        attempt: 0,
        failures: 0,
        lost: 0,
        progress: None,
        steps: Vec::new(),
        result: None,
        error: None,
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
    use Status::{Cancelled, Cancelling, Failed, Pending, Running, Succeeded, Waiting};
    before == after
        || match before {
            Pending | Waiting | Running => matches!(
                after,
                Pending | Running | Waiting | Cancelling | Cancelled | Succeeded | Failed
            ),
            Cancelling => matches!(after, Cancelled | Succeeded | Failed),
            Succeeded | Failed | Cancelled => false,
            Status::Paused | Status::Compensating | Status::Compensated => false,
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
        Act::Report { ahead, step, news } => {
            let report = Report {
                offer: 0,
                attempt: record.attempt + ahead,
                steps: step
                    .iter()
                    .map(|step| FinishedStep {
                        name: format!("step{step}").into(),
                        result: format!("{now_ms}").into(),
                    })
                    .collect(),
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
    assert_eq!(after.status == Status::Waiting, after.waiting.is_some());
    assert!(after.attempt == before.attempt || after.attempt == before.attempt + 1);
    // G6: a finished step stays as it is.
    assert_eq!(after.steps[..before.steps.len()], before.steps[..]);
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
    }
    // Whatever is not final is runnable, or something will wake it.
    let wakes = match after.waiting {
        Some(Waiting::Time { .. } | Waiting::Retry { .. }) => {
            timers.iter().any(|name| name == machine::TIMER_RUN)
        }
        Some(Waiting::Payload | Waiting::Handler) | None => after.is_runnable(),
    };
    assert!(is_over || wakes, "{after:?} waits for nothing");
}

proptest! {
    #[test]
    fn no_illegal_transition(begin in beginnings(), acts in proptest::collection::vec(act(), 0..60)) {
        let mut record = begin;
        let mut timers = Vec::new();
        keep_timers(&mut timers, &machine::submitted(&record));
        let mut durable = (record.clone(), timers.clone());
        let mut now_ms = 1_000;
        for act in acts {
            match &act {
                Act::Pass { ms } => now_ms += ms,
                Act::Crash => (record, timers) = durable.clone(),
                // Only timers that are set fire, once.
                Act::Timer { name } if *name != "other" => {
                    let Some(at) = timers.iter().position(|known| known == name) else { continue };
                    timers.remove(at);
                }
                Act::Timer { .. } | Act::Cancel { .. } | Act::Report { .. } => {}
            }
            let before = record.clone();
            match perform(&mut record, now_ms, &act) {
                Ok(effects) => {
                    keep_timers(&mut timers, &effects);
                    check(&before, &record, &effects, &timers);
                    match effects.urgency {
                        Urgency::Now => durable = (record.clone(), timers.clone()),
                        Urgency::Soon => prop_assert!(effects.timers.is_empty()),
                        Urgency::Never => prop_assert_eq!(&record, &before),
                    }
                }
                Err(_) => prop_assert_eq!(&record, &before),
            }
            let format = crate::operation::record::FORMAT;
            prop_assert_eq!(&Record::decode(format, &record.encode()), &Ok(record.clone()));
        }
    }
}
