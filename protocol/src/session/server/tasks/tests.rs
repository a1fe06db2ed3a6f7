//! Tests of a session as a worker: its bounds one by one, then random happenings against a model.

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::frame::{ClientFrame, Consistency, Outcome, Request};
use crate::session::server::limits;

fn attached() -> Session {
    let mut session = Session::new(limits(1_000));
    session.attached();
    session
}

fn ready(types: usize, capacity: u32) -> ClientFrame {
    ClientFrame::WorkerReady(WorkerReady {
        types: (0..types)
            .map(|n| format!("t{n}").parse().unwrap())
            .collect(),
        capacity,
        ext: Vec::new(),
    })
}

fn task(lease: u64) -> Task {
    Task {
        lease,
        operation: crate::Target::Operations,
        operation_type: "resize".parse().unwrap(),
        step: "work".to_owned(),
        attempt: 1,
        input: Bytes::new(),
        lease_ms: 1_000,
        ext: Vec::new(),
    }
}

fn result(lease: u64, report: StepReport) -> ClientFrame {
    ClientFrame::StepResult(StepResult {
        lease,
        report,
        ext: Vec::new(),
    })
}

fn query(number: u64, name: &str) -> ClientFrame {
    ClientFrame::Query(Query {
        number,
        target: crate::Target::Operations,
        name: name.to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline_ms: 0,
        ext: Vec::new(),
    })
}

fn heartbeat() -> StepReport {
    StepReport::Heartbeat(Bytes::new())
}

fn success() -> StepReport {
    StepReport::Success(Bytes::new())
}

fn failure() -> StepReport {
    StepReport::Failure(Failure::new(ErrorCode::Unavailable, "stopped"))
}

#[test]
fn tasks_go_to_who_is_ready_and_no_more_than_it_takes() {
    let mut session = attached();
    assert!(session.task(task(1)).is_none(), "it is no worker");
    session.handle_frame(ready(1, 2)).unwrap();
    assert!(session.task(task(1)).is_some());
    assert!(session.task(task(2)).is_some());
    assert!(session.task(task(3)).is_none(), "both places are taken");
    session.handle_frame(ready(1, 1)).unwrap();
    session.handle_frame(result(1, success())).unwrap();
    assert!(
        session.task(task(3)).is_none(),
        "one place, and it is taken"
    );
    session.handle_frame(result(2, success())).unwrap();
    assert!(session.task(task(3)).is_some());
    session.handle_frame(ready(0, 5)).unwrap();
    session.handle_frame(result(3, success())).unwrap();
    assert!(session.task(task(4)).is_none(), "it takes no more");
}

#[test]
fn a_lease_outlives_its_connection_and_readiness_does_not() {
    let mut session = attached();
    session.handle_frame(ready(1, 2)).unwrap();
    session.task(task(1)).unwrap();
    session.detached();
    assert!(session.task(task(2)).is_none());
    session.attached();
    assert!(
        session.task(task(2)).is_none(),
        "not ready on this connection"
    );
    let heard = session.handle_frame(result(1, heartbeat()));
    assert!(matches!(heard, Ok(Action::Report(_))));
    session.handle_frame(ready(1, 1)).unwrap();
    assert!(session.task(task(2)).is_none(), "the first is still out");
    let heard = session.handle_frame(result(1, success()));
    assert!(matches!(heard, Ok(Action::Report(_))));
    assert!(session.task(task(2)).is_some());
}

#[test]
fn a_void_lease_holds_its_place_until_its_end_is_said() {
    let mut session = attached();
    session.handle_frame(ready(1, 1)).unwrap();
    session.task(task(1)).unwrap();
    assert_eq!(session.task_cancelled(1), Some(cancelled(1)));
    assert!(session.task(task(2)).is_none());
    let heard = session.handle_frame(result(1, heartbeat()));
    assert_eq!(heard, Ok(Action::Send(cancelled(1))));
    let heard = session.handle_frame(result(1, failure()));
    assert!(matches!(
        heard,
        Ok(Action::Freed {
            lease: 1,
            notice: None
        })
    ));
    session.task(task(2)).unwrap();
    assert_eq!(session.task_cancelled(1), None, "it has ended");
    session.detached();
    assert_eq!(
        session.task_cancelled(2),
        None,
        "nobody is there to hear it"
    );
    session.attached();
    let heard = session.handle_frame(result(2, success()));
    let notice = Some(refused(2));
    assert_eq!(heard, Ok(Action::Freed { lease: 2, notice }));
}

#[test]
fn what_is_said_of_other_leases_is_refused_and_ends_nothing() {
    let mut session = attached();
    for report in [heartbeat(), success(), failure()] {
        let heard = session.handle_frame(result(7, report.clone()));
        assert_eq!(heard, Ok(Action::Send(refused(7))), "from no worker");
    }
    session.handle_frame(ready(1, 1)).unwrap();
    session.task(task(1)).unwrap();
    session.handle_frame(result(1, success())).unwrap();
    for report in [heartbeat(), success(), failure()] {
        let heard = session.handle_frame(result(1, report));
        assert_eq!(heard, Ok(Action::Send(refused(1))), "said twice");
    }
}

#[test]
fn too_many_types_are_refused_and_too_much_capacity_is_cut() {
    let mut session = attached();
    let failure = session
        .handle_frame(ready(WORKER_TYPES_MAX + 1, 1))
        .unwrap_err();
    assert_eq!(failure.code, ErrorCode::LimitExceeded);
    let action = session
        .handle_frame(ready(WORKER_TYPES_MAX, u32::MAX))
        .unwrap();
    let Action::Ready(ready) = action else {
        panic!("{action:?}")
    };
    assert_eq!(ready.capacity, WORKER_CAPACITY_MAX);
}

#[test]
fn a_draining_session_gets_no_tasks_and_is_busy_until_the_last_result() {
    let mut session = attached();
    session.handle_frame(ready(1, 2)).unwrap();
    session.task(task(1)).unwrap();
    session.drain();
    assert!(session.task(task(2)).is_none());
    assert_eq!(session.handle_frame(ready(1, 2)), Ok(Action::Nothing));
    assert!(!session.is_idle());
    // What the task needs is not refused.
    let read = session.handle_frame(query(1, task_payload::QUERY));
    assert!(matches!(read, Ok(Action::Query(_))), "{read:?}");
    let other = session.handle_frame(query(2, "get"));
    assert!(matches!(other, Ok(Action::Send(_))), "{other:?}");
    let answer = Outcome::Failure(Failure::new(ErrorCode::Conflict, "as the test says"));
    session.answered(Request::Query(1), answer).unwrap();
    let heard = session.handle_frame(result(1, success()));
    assert!(matches!(heard, Ok(Action::Report(_))));
    assert!(session.is_idle());
}

#[derive(Debug, Clone)]
enum Happening {
    Ready(u32),
    Task(u64),
    Cancel(u64),
    Said(u64, StepReport),
    Attached,
    Detached,
}

fn happening() -> impl Strategy<Value = Happening> {
    let report = prop_oneof![Just(heartbeat()), Just(success()), Just(failure())];
    prop_oneof![
        2 => (0..4_u32).prop_map(Happening::Ready),
        6 => (0..12_u64).prop_map(Happening::Task),
        2 => (0..12_u64).prop_map(Happening::Cancel),
        6 => (0..12_u64, report).prop_map(|(lease, report)| Happening::Said(lease, report)),
        1 => Just(Happening::Attached),
        1 => Just(Happening::Detached),
    ]
}

proptest! {
    /// Of each lease at most one result is heard, and only while it is held; nothing is given out past
    /// the capacity.
    #[test]
    fn a_worker_is_kept_to_what_it_holds(happenings in proptest::collection::vec(happening(), 0..200)) {
        let mut session = attached();
        let (mut capacity, mut is_attached) = (0, true);
        let mut out: HashMap<u64, Lease> = HashMap::new();
        for happening in happenings {
            match happening {
                Happening::Ready(said) => {
                    session.handle_frame(ready(1, said)).unwrap();
                    capacity = said as usize;
                }
                // Numbers are never given twice.
                Happening::Task(lease) if out.contains_key(&lease) => {}
                Happening::Task(lease) => {
                    let given = session.task(task(lease)).is_some();
                    prop_assert_eq!(given, is_attached && out.len() < capacity);
                    if given {
                        out.insert(lease, Lease::Held);
                    }
                }
                Happening::Cancel(lease) => {
                    let notice = session.task_cancelled(lease);
                    prop_assert_eq!(notice.is_some(), is_attached && out.contains_key(&lease));
                    out.entry(lease).and_modify(|held| *held = Lease::Void);
                }
                Happening::Said(lease, report) => {
                    let held = out.get(&lease).copied();
                    let is_end = report != heartbeat();
                    let action = session.handle_frame(result(lease, report)).unwrap();
                    prop_assert_eq!(matches!(action, Action::Report(_)), held == Some(Lease::Held));
                    if is_end {
                        out.remove(&lease);
                    }
                }
                Happening::Attached => {
                    session.attached();
                    (capacity, is_attached) = (0, true);
                }
                Happening::Detached => {
                    session.detached();
                    (capacity, is_attached) = (0, false);
                }
            }
            prop_assert_eq!(session.tasks_out(), out.len());
        }
    }
}
