//! Steps that finish by themselves: timers, signals, children. Part of the machine.

use std::sync::Arc;

use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::{Effects, Refusal};
use selvedge_protocol::limits::{OPERATION_SIGNALS_MAX, OPERATION_WAITS_MAX};
use serde_json::value::RawValue;

use crate::operation::child::{self, ChildFinished};
use crate::operation::event;
use crate::operation::machine::settle::add_step;
use crate::operation::machine::{
    TIMER_WAIT, cancel_timer, change, conflict, fail, fault, has_room, timer, too_large, unchanged,
    wrong_status,
};
use crate::operation::record::{Fault, Record, Signal, Wait, WaitOn, Waiting};
use crate::operation::report::{FinishedStep, NewWait, NewWaitOn};

/// A step begins to wait. One that does already, or has finished, is a repeat.
pub(super) fn begin(
    record: &mut Record,
    now_ms: u64,
    new: NewWait,
    effects: &mut Effects,
) -> Result<(), Fault> {
    let is_known = record.waits.iter().any(|wait| wait.name == new.name)
        || record.finished_step(&new.name).is_some();
    if is_known {
        return Ok(());
    }
    if record.waits.len() >= OPERATION_WAITS_MAX {
        let message = format!("an operation waits for at most {OPERATION_WAITS_MAX} steps at once");
        return Err(fault("too_many_waits", message));
    }
    let on = match new.on {
        NewWaitOn::Time { ms } => WaitOn::Time {
            until_ms: now_ms.saturating_add(ms),
        },
        NewWaitOn::Until { until_ms } => WaitOn::Time { until_ms },
        NewWaitOn::Signal { signal, timeout_ms } => {
            let sent = record.signals.iter().position(|it| it.name == signal);
            if let Some(at) = sent {
                let sent = record.signals.remove(at);
                let step = FinishedStep {
                    name: new.name,
                    result: received(&sent.data),
                };
                return add_step(record, now_ms, step, effects);
            }
            WaitOn::Signal {
                signal,
                until_ms: timeout_ms.map(|ms| now_ms.saturating_add(ms)),
            }
        }
        NewWaitOn::Call {
            operation_type,
            input,
        } => {
            let called = child::called(record, &new.name, &operation_type, &input)?;
            let operation = called.operation;
            effects.messages.push(called.message);
            WaitOn::Call { operation }
        }
    };
    let before = record.next_wait_ms();
    record.waits.push(Wait {
        name: new.name,
        on,
        since_ms: now_ms,
    });
    move_timer(record, before, effects);
    Ok(())
}

/// The time is over for what waits for no longer than `now_ms`.
pub(super) fn due(record: &mut Record, now_ms: u64, effects: &mut Effects) {
    let is_due = |wait: &Wait| wait.until_ms().is_some_and(|until_ms| until_ms <= now_ms);
    while let Some(at) = record.waits.iter().position(is_due) {
        complete(record, now_ms, at, Arc::from("null"), effects);
        if record.status.is_final() {
            return;
        }
    }
    // It fired: the next one is set anew.
    move_timer(record, None, effects);
}

/// A client's signal: for the step that waits for it the longest, or kept for the next one that will.
pub(crate) fn signal(record: &mut Record, now_ms: u64, signal: Signal) -> Result<Effects, Refusal> {
    match record.status {
        Status::Pending | Status::Running | Status::Waiting | Status::Paused => {}
        Status::Succeeded
        | Status::Failed
        | Status::Cancelling
        | Status::Cancelled
        | Status::Compensating
        | Status::Compensated => return Err(wrong_status(record, "signalled")),
    }
    let waiting = record.waits.iter().position(
        |wait| matches!(&wait.on, WaitOn::Signal { signal: on, .. } if *on == signal.name),
    );
    if waiting.is_none() && record.signals.len() >= OPERATION_SIGNALS_MAX {
        return Err(conflict(format!(
            "the operation has {OPERATION_SIGNALS_MAX} signals that it has not waited for yet; \
             send it again later"
        )));
    }
    if !has_room(record, signal.name.len() + signal.data.len()) {
        return Err(conflict(too_large().message));
    }
    Ok(change(record, now_ms, |record, effects| {
        effects.events.push(event::signalled(&signal));
        match waiting {
            Some(at) => {
                let before = record.next_wait_ms();
                complete(record, now_ms, at, received(&signal.data), effects);
                move_timer(record, before, effects);
            }
            None => record.signals.push(signal),
        }
    }))
}

/// A child has ended. One that is not waited for any more changes nothing.
pub(crate) fn child_finished(
    record: &mut Record,
    now_ms: u64,
    child: &ChildFinished,
) -> Result<Effects, Refusal> {
    let waiting = record.waits.iter().position(|wait| {
        let is_it = matches!(&wait.on, WaitOn::Call { operation } if *operation == child.operation);
        is_it && *wait.name == *child.name
    });
    let Some(at) = waiting else {
        return Ok(unchanged());
    };
    Ok(change(record, now_ms, |record, effects| {
        let result = child.step_result(has_room(record, child.size()));
        complete(record, now_ms, at, result, effects);
    }))
}

/// The wait has its result: its step is finished, and whoever was suspended on it goes on.
fn complete(record: &mut Record, now_ms: u64, at: usize, result: Arc<str>, effects: &mut Effects) {
    let wait = record.waits.remove(at);
    let step = FinishedStep {
        name: wait.name,
        result,
    };
    if let Err(fault) = add_step(record, now_ms, step, effects) {
        return fail(record, effects, fault);
    }
    record.is_settling &= !record.waits.is_empty();
    if record.waiting == Some(Waiting::Steps) && !record.is_settling {
        record.waiting = None;
        if record.status == Status::Waiting {
            record.status = Status::Pending;
        }
    }
}

/// Keeps the timer at the end of the wait that ends first.
fn move_timer(record: &Record, before: Option<u64>, effects: &mut Effects) {
    match (record.next_wait_ms(), before) {
        (next, before) if next == before => {}
        (Some(next_ms), _) => effects.timers.push(timer(TIMER_WAIT, next_ms)),
        (None, _) => effects.timers.push(cancel_timer(TIMER_WAIT)),
    }
}

/// The result of a step that has waited for a signal; one whose time was over has `null`.
fn received(data: &str) -> Arc<str> {
    // What came in as JSON text is text that needs no escapes here.
    debug_assert!(serde_json::from_str::<&RawValue>(data).is_ok());
    Arc::from(format!(r#"{{"data":{data}}}"#))
}
