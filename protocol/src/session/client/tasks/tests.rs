//! Tests of the client as a worker, over the frames that it sends and gets.

use bytes::{Bytes, BytesMut};

use super::*;
use crate::codec;
use crate::frame::{ServerFrame, Welcome};
use crate::session::client::{Introduction, LIMITS_BEFORE_WELCOME};
use crate::{SessionId, version};

type Tested = Machine<(), ()>;

fn welcome(session: u128, resumed: bool) -> ServerFrame {
    ServerFrame::Welcome(Welcome {
        version: version::CURRENT,
        session: SessionId::from_u128(session),
        resumed,
        resume_token: Bytes::new(),
        node: "node-1".to_owned(),
        limits: LIMITS_BEFORE_WELCOME,
        ext: Vec::new(),
    })
}

fn open() -> (Tested, Vec<u8>) {
    let mut machine = Machine::new(Introduction {
        token: "open sesame".to_owned(),
        tenant: None,
        agent: "test".to_owned(),
    });
    let mut out = Vec::new();
    machine.connected(&mut out).unwrap();
    machine.handle(welcome(1, false), 0, &mut out);
    out.clear();
    (machine, out)
}

fn ready(capacity: u32) -> WorkerReady {
    WorkerReady {
        types: vec!["resize".parse().unwrap()],
        capacity,
        ext: Vec::new(),
    }
}

fn task(lease: u64) -> ServerFrame {
    ServerFrame::Task(Task {
        lease,
        operation: crate::Target::Operations,
        operation_type: "resize".parse().unwrap(),
        step: "work".to_owned(),
        attempt: 1,
        input: Bytes::new(),
        lease_ms: 1_000,
        ext: Vec::new(),
    })
}

fn end(lease: u64) -> StepResult {
    StepResult {
        lease,
        report: StepReport::Success(Bytes::new()),
        ext: Vec::new(),
    }
}

fn sent(out: &mut Vec<u8>) -> Vec<ClientFrame> {
    let mut bytes = BytesMut::from(&std::mem::take(out)[..]);
    std::iter::from_fn(|| codec::decode(&mut bytes).unwrap()).collect()
}

fn reconnect(machine: &mut Tested, session: u128, resumed: bool) -> Vec<ClientFrame> {
    let mut out = Vec::new();
    machine.disconnected();
    machine.connected(&mut out).unwrap();
    machine.handle(welcome(session, resumed), 0, &mut out);
    sent(&mut out)
}

#[test]
fn it_says_that_it_is_ready_on_each_connection() {
    let (mut machine, mut out) = open();
    machine.work(ready(1), &mut out);
    assert_eq!(sent(&mut out), [ClientFrame::WorkerReady(ready(1))]);
    machine.work(ready(3), &mut out);
    assert_eq!(sent(&mut out), [ClientFrame::WorkerReady(ready(3))]);
    let frames = reconnect(&mut machine, 1, true);
    assert_eq!(frames.last(), Some(&ClientFrame::WorkerReady(ready(3))));
    let frames = reconnect(&mut machine, 2, false);
    assert_eq!(frames.last(), Some(&ClientFrame::WorkerReady(ready(3))));
}

#[test]
fn more_tasks_than_it_takes_break_the_protocol() {
    let (mut machine, mut out) = open();
    machine.work(ready(2), &mut out);
    // The server has not heard yet that it takes less.
    machine.work(ready(1), &mut out);
    for lease in [1, 2] {
        let output = machine.handle(task(lease), 0, &mut out);
        assert!(matches!(output, Output::Task(_)), "{output:?}");
    }
    let output = machine.handle(task(3), 0, &mut out);
    assert!(matches!(output, Output::Reconnect { .. }), "{output:?}");
    machine.report(end(1), &mut out);
    let output = machine.handle(task(4), 0, &mut out);
    assert!(matches!(output, Output::Task(_)), "{output:?}");
}

#[test]
fn a_server_that_has_lost_its_memory_may_count_anew() {
    let (mut machine, mut out) = open();
    machine.work(ready(1), &mut out);
    machine.handle(task(1), 0, &mut out);
    out.clear();
    reconnect(&mut machine, 1, true);
    let output = machine.handle(task(2), 0, &mut out);
    assert!(matches!(output, Output::Task(_)), "{output:?}");
    machine.report(end(1), &mut out);
    assert_eq!(sent(&mut out), [ClientFrame::StepResult(end(1))]);
}

#[test]
fn the_end_of_a_task_is_said_once_and_never_to_another_session() {
    let (mut machine, mut out) = open();
    machine.work(ready(2), &mut out);
    machine.handle(task(1), 0, &mut out);
    machine.handle(task(2), 0, &mut out);
    out.clear();
    machine.report(end(1), &mut out);
    machine.report(end(1), &mut out);
    assert_eq!(sent(&mut out).len(), 1);
    reconnect(&mut machine, 2, false);
    machine.report(end(2), &mut out);
    assert_eq!(sent(&mut out), []);
    assert_eq!(machine.tasks_out(), 0);
}

#[test]
fn a_cancel_of_what_is_not_at_work_is_answered_at_once() {
    let (mut machine, mut out) = open();
    machine.work(ready(1), &mut out);
    machine.handle(task(1), 0, &mut out);
    out.clear();
    let notice = |lease| ServerFrame::Notice(Notice::TaskCancelled { lease });
    let output = machine.handle(notice(1), 0, &mut out);
    assert!(matches!(output, Output::Notice(_)), "{output:?}");
    assert_eq!(sent(&mut out), [], "the worker says when it has stopped");
    let output = machine.handle(notice(9), 0, &mut out);
    assert!(matches!(output, Output::None), "{output:?}");
    assert!(matches!(
        &sent(&mut out)[..],
        [ClientFrame::StepResult(StepResult {
            lease: 9,
            report: StepReport::Failure(_),
            ..
        })]
    ));
    let refused = ServerFrame::Notice(Notice::ResultRefused { lease: 1 });
    machine.handle(refused, 0, &mut out);
    machine.report(end(1), &mut out);
    assert_eq!(sent(&mut out), [], "the server has given it up");
}
