//! How long a final operation is kept: a durable timer from its end on, after which nothing of it stays.
//!
//! The kind calls it. What counts is the policy at the time when the timer fires; one without a retention
//! keeps operations for good. None is shorter than that of command ids, which go with the operation: the
//! late repeat of a submit would run it again.

use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::actor::{Effects, TimerChange};
use selvedge_cluster::store::keys::Shards;
use selvedge_protocol::limits::RETENTION_MS;

use crate::operation::index;
use crate::operation::record::Record;
use crate::processing::Policy;

/// Due: it has been kept long enough.
pub(super) const TIMER_FORGET: &str = "forget";

/// What a change of status means for the timer.
pub(super) fn changed(
    was_final: bool,
    record: &Record,
    policy: Option<&Policy>,
) -> Option<TimerChange> {
    match (was_final, record.status.is_final()) {
        (false, true) => policy?.retention.map(|retention| until(record, retention)),
        (true, false) => Some(TimerChange::Cancel {
            name: TIMER_FORGET.to_owned(),
        }),
        (true, true) | (false, false) => None,
    }
}

/// The timer has fired. Takes the record if its time is over.
pub(super) fn due(
    record: &mut Option<Record>,
    now_ms: u64,
    policy: Option<&Policy>,
    shards: Shards,
) -> Effects {
    let mut effects = Effects::default();
    let Some(present) = record.as_ref().filter(|record| record.status.is_final()) else {
        return effects;
    };
    let Some(policy) = policy else {
        // Nobody runs the type at the moment, so nobody knows.
        effects.timers.push(at(now_ms.saturating_add(RETENTION_MS)));
        return effects;
    };
    match policy.retention {
        None => {}
        Some(retention) if end_ms(present, retention) > now_ms => {
            effects.timers.push(until(present, retention));
        }
        Some(_) => {
            effects.rows = index::forgotten(present, shards);
            effects.is_end = true;
            *record = None;
        }
    }
    effects
}

fn until(record: &Record, retention: Duration) -> TimerChange {
    at(end_ms(record, retention))
}

fn end_ms(record: &Record, retention: Duration) -> u64 {
    let kept_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    record.updated_ms.saturating_add(kept_ms)
}

fn at(due_ms: u64) -> TimerChange {
    TimerChange::Set {
        name: TIMER_FORGET.to_owned(),
        due_ms,
        body: Bytes::from_static(b"null"),
    }
}
