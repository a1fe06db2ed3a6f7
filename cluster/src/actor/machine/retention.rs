//! How long an actor is kept that nothing changes: a durable timer of the host's own, at which it ends. Part of the
//! machine.
//!
//! ```text
//! change            the timer is set to now + retention + grain, unless it is between now + retention and that
//! the timer fires   the actor ends
//! ```
//!
//! So an actor is kept for its retention at least and a grain longer at most, and what is changed often writes its timer
//! once in a grain. A clock that was set back puts the end off, one that was set on and back again is made good by the next
//! change.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;

use crate::actor::kind::{AuditEntry, Effects, TimerChange};
use crate::actor::machine::effects::Asked;
use crate::actor::machine::{Broken, Firing, Group, Machine, Moment, Write};
use crate::actor::mailbox::Caller;

/// The name of the timer. No kind sets one of this name.
pub(super) const TIMER: &str = "selvedge.retention";

/// A retention is this many grains: for the shortest, of a day, one is an hour.
const GRAINS: u64 = 24;

impl Machine {
    /// A decision has changed the actor: it is kept for as long again.
    pub(super) fn keep_longer(&mut self, now_ms: u64, group: &mut Group) {
        let Some(retention) = self.retention else {
            return;
        };
        let (least_ms, most_ms) = ends(now_ms, retention);
        let timer = self.timers.iter().find(|timer| timer.name == TIMER);
        if timer.is_some_and(|timer| (least_ms..=most_ms).contains(&timer.due_ms)) {
            return;
        }
        self.change_timer(set(most_ms, now_ms), group);
    }

    /// The timer at `index` has fired.
    pub(super) fn decide_retention(
        &mut self,
        now: Moment,
        (index, timer): (usize, Firing),
        caller: Caller,
    ) -> Result<(), Broken> {
        let now_ms = now.wall_ms;
        self.timers.swap_remove(index);
        let mut group = self.pending.take().unwrap_or_default();
        group.rows.push(Write {
            key: self.timer_key(timer.name, timer.due_ms),
            value: None,
        });
        group.is_urgent = true;
        group.decisions += 1;
        // Set with the retention of then; a longer one of today holds for the actor as well.
        let changed_ms = serde_json::from_slice(&timer.body).unwrap_or(now_ms);
        let due_ms = self.retention.map(|it| ends(changed_ms, it).1);
        if let Some(due_ms) = due_ms.filter(|due_ms| *due_ms > now_ms) {
            self.change_timer(set(due_ms, changed_ms), &mut group);
        }
        self.pending = Some(group);
        if due_ms.is_none_or(|due_ms| due_ms > now_ms) {
            let outcome = self.success(Bytes::new());
            self.answer_when_committed(caller, outcome);
            return Ok(());
        }
        let effects = self.expire()?;
        self.settle(Asked::by_nobody(now_ms), Ok(Ok(effects)), caller)
    }

    /// The end of the actor, as effects of nobody's command.
    fn expire(&mut self) -> Result<Effects, Broken> {
        let subject = self.subject()?;
        let (state, actor) = (&mut self.state, &self.name.actor);
        let traces = catch_unwind(AssertUnwindSafe(|| {
            let traces = state.traces(actor);
            state.forget();
            traces
        }));
        let audit = subject.map(|of| AuditEntry {
            action: Cow::Borrowed("actor.expire"),
            target: actor.address.to_string(),
            detail: serde_json::json!({ "subject": of.subject }).to_string(),
        });
        Ok(Effects {
            rows: traces
                .map_err(|_| Broken)?
                .into_iter()
                .map(|key| (key, None))
                .collect(),
            audit: audit.into_iter().collect(),
            is_end: true,
            ..Effects::default()
        })
    }
}

/// When what was changed at a moment ends, at the earliest and at the latest.
fn ends(changed_ms: u64, retention: Duration) -> (u64, u64) {
    let kept_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let least_ms = changed_ms.saturating_add(kept_ms);
    (least_ms, least_ms.saturating_add(kept_ms / GRAINS))
}

fn set(due_ms: u64, changed_ms: u64) -> TimerChange {
    TimerChange::Set {
        name: TIMER.to_owned(),
        due_ms,
        body: Bytes::from(changed_ms.to_string()),
    }
}
