//! The life of a schedule, as a pure state machine: what a create, the verbs of clients, its timer and the
//! end of an operation do to its record.
//!
//! The kind calls it. It never waits, reads no clock and draws no randomness: chance is a hash. Each
//! function changes the record and returns what is to be committed with it.
//!
//! All times until the cursor are decided: run, waiting, skipped or missed. The cursor only goes forward,
//! whatever the clock does, so no time is decided twice; a clock that was set back lets the schedule wait
//! until its next time comes again. One timer of the host is set to the next time for as long as there is
//! one.

mod submit;

use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::actor::kind::Urgency;
use selvedge_cluster::actor::{Effects, TimerChange};
use selvedge_protocol::limits::{
    SCHEDULE_BATCH_MAX, SCHEDULE_BUFFER_MAX, SCHEDULE_MISSED_COUNT_MAX, SCHEDULE_NOTE_BYTES_MAX,
    SCHEDULE_RUNNING_MAX,
};
use selvedge_protocol::{ActorAddress, OperationId};

use crate::operation::child::ChildFinished;
use crate::operation::schedule::definition::{Definition, Overlap};
use crate::operation::schedule::event;
use crate::operation::schedule::plan::Plan;
use crate::operation::schedule::record::{
    Counts, Finished, MissedTimes, Past, Paused, Record, SkippedTime,
};

/// Due: the next time has come.
pub(super) const TIMER_NEXT: &str = "next";

/// A schedule at work: its record, and its times compiled.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) record: Record,
    pub(super) plan: Plan,
}

/// Where a new schedule comes from.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) address: ActorAddress,
    pub(super) incarnation: u64,
    pub(super) created_by: String,
    pub(super) now_ms: u64,
}

/// What became of a trigger.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Triggered {
    Submitted(OperationId),
    /// One is running, and the schedule says to skip then.
    Skipped,
    /// As many run as may.
    Full,
}

/// Times that were too late, as they are counted.
#[derive(Debug, Default)]
struct Missed {
    count: u64,
    first_ms: u64,
    last_ms: u64,
}

/// What one look at the clock has done so far.
#[derive(Debug, Default)]
struct Look {
    missed: Missed,
    /// Times decided besides those.
    decided: usize,
    /// What runs was told to end.
    is_cancelled: bool,
}

impl Schedule {
    /// A client wants a schedule. Its times begin after this moment.
    pub(super) fn create(definition: Definition, plan: Plan, birth: Birth) -> (Self, Effects) {
        let mut effects = Effects {
            events: vec![event::defined("created", &definition)],
            ..Effects::default()
        };
        let record = Record {
            address: birth.address,
            incarnation: birth.incarnation,
            definition,
            created_by: birth.created_by,
            created_ms: birth.now_ms,
            updated_ms: birth.now_ms,
            cursor_ms: birth.now_ms,
            next_ms: None,
            timer_ms: None,
            paused: None,
            planned_runs: 0,
            running: Vec::new(),
            buffered: std::collections::VecDeque::new(),
            counts: Counts::default(),
            last: None,
            past: Past::default(),
        };
        let mut schedule = Self { record, plan };
        schedule.record.next_ms = schedule.next_ms();
        schedule.arm(&mut effects);
        (schedule, effects)
    }

    /// A client wants other times or another operation. What was due until now is decided as it was.
    pub(super) fn update(&mut self, now_ms: u64, definition: Definition, plan: Plan) -> Effects {
        self.change(now_ms, |schedule, effects| {
            schedule.look(now_ms, effects);
            effects.events.push(event::defined("updated", &definition));
            // One that has come and is put off by chance is not lost.
            let put_off_ms = schedule.record.next_ms.filter(|next_ms| *next_ms <= now_ms);
            schedule.record.definition = definition;
            schedule.plan = plan;
            schedule.restart(put_off_ms.map_or(now_ms, |planned_ms| planned_ms - 1));
            schedule.drain(effects);
        })
    }

    /// A client wants no more times to be run for now. What runs goes on, what waits stays.
    pub(super) fn pause(&mut self, now_ms: u64, note: Option<String>) -> Effects {
        let before = self.record.paused.as_ref();
        if before.is_some_and(|before| before.note == note) {
            return unchanged();
        }
        let since_ms = before.map_or(Some(now_ms), |before| before.since_ms);
        let paused = Paused { note, since_ms };
        self.change(now_ms, |schedule, effects| {
            schedule.look(now_ms, effects);
            effects.events.push(event::paused(paused.note.as_deref()));
            schedule.record.paused = Some(paused);
            schedule.record.next_ms = None;
        })
    }

    /// A client lets it go on. Times of the pause are nobody's.
    pub(super) fn resume(&mut self, now_ms: u64) -> Effects {
        if self.record.paused.is_none() {
            return unchanged();
        }
        self.change(now_ms, |schedule, effects| {
            effects.events.push(event::plain("resumed"));
            schedule.record.paused = None;
            schedule.restart(now_ms);
            schedule.drain(effects);
        })
    }

    /// A client wants a run now, by the clock or not. `seq` makes its operation one of its own.
    pub(super) fn trigger(&mut self, now_ms: u64, seq: u64) -> (Triggered, Effects) {
        let is_busy = !self.record.running.is_empty();
        if is_busy && self.record.definition.overlap == Overlap::Skip {
            return (Triggered::Skipped, unchanged());
        }
        if self.is_full() {
            return (Triggered::Full, unchanged());
        }
        let operation = submit::triggered_id(&self.record, seq);
        let effects = self.change(now_ms, |schedule, effects| {
            let told = event::run("triggered", &operation, now_ms);
            effects.events.push(told);
            schedule.submit(operation.clone(), now_ms, effects);
        });
        (Triggered::Submitted(operation), effects)
    }

    /// A client wants it gone. What runs goes on.
    pub(super) fn delete(mut self) -> Effects {
        let mut effects = Effects {
            events: vec![event::plain("deleted")],
            ..Effects::default()
        };
        self.record.next_ms = None;
        self.arm(&mut effects);
        effects
    }

    /// The timer has fired.
    pub(super) fn due(&mut self, now_ms: u64) -> Effects {
        self.record.timer_ms = None;
        self.change(now_ms, |schedule, effects| schedule.look(now_ms, effects))
    }

    /// An operation has ended. `None`: not one of those that run.
    pub(super) fn finished(&mut self, now_ms: u64, told: &ChildFinished) -> Option<Effects> {
        let mut running = self.record.running.iter();
        let at = running.position(|run| run.operation == told.operation)?;
        Some(self.change(now_ms, |schedule, effects| {
            let run = schedule.record.running.remove(at);
            let status = told.status.parse::<Status>();
            let is_failed = matches!(status, Ok(Status::Failed | Status::Compensated));
            let message = |code: &str, text: &str| cut(&format!("{code}: {text}"));
            let finished = Finished {
                operation: run.operation,
                status: cut(&told.status),
                planned_ms: run.planned_ms,
                finished_ms: now_ms,
                error: told.error.as_ref().map(|e| message(&e.code, &e.message)),
            };
            effects.events.push(event::finished(&finished));
            let past = &mut schedule.record.past;
            if is_failed {
                schedule.record.counts.failed += 1;
                past.failed = Some(finished.clone());
            }
            let submitted = past.submitted.as_mut();
            if let Some(last) = submitted.filter(|last| last.operation == finished.operation) {
                last.ended = Some(finished.clone());
            }
            schedule.record.last = Some(finished);
            schedule.drain(effects);
        }))
    }

    /// Does what every change does around `decide`: date it, tell of the end, keep the timer right.
    fn change(&mut self, now_ms: u64, decide: impl FnOnce(&mut Self, &mut Effects)) -> Effects {
        let was_ended = self.is_ended();
        let mut effects = Effects::default();
        self.record.updated_ms = now_ms.max(self.record.updated_ms);
        decide(self, &mut effects);
        if self.is_ended() && !was_ended {
            effects.events.push(event::ended(self.ended_by()));
        }
        self.arm(&mut effects);
        effects
    }

    /// Decides the times that have come, as many as one commit may hold; the timer is due at once for
    /// the others.
    fn look(&mut self, now_ms: u64, effects: &mut Effects) {
        let catch_up_ms = self.record.definition.catch_up_ms;
        let mut look = Look::default();
        while let Some(planned_ms) = self.record.next_ms {
            let due_ms = self.plan.due_ms(self.key(), planned_ms);
            if due_ms > now_ms || look.decided == SCHEDULE_BATCH_MAX {
                break;
            }
            self.record.cursor_ms = planned_ms;
            if due_ms.saturating_add(catch_up_ms) < now_ms {
                look.missed.note(planned_ms);
                if look.missed.count >= SCHEDULE_MISSED_COUNT_MAX {
                    // Of no use any more, however many they are.
                    let late_ms = catch_up_ms + self.plan.jitter_ms() + 1;
                    let until_ms = now_ms.saturating_sub(late_ms);
                    self.record.cursor_ms = planned_ms.max(until_ms);
                }
            } else {
                look.decided += 1;
                self.decide(planned_ms, &mut look, effects);
            }
            self.record.next_ms = self.next_ms();
        }
        let missed = look.missed;
        if missed.count > 0 {
            self.record.counts.missed += missed.count;
            self.record.past.missed = Some(MissedTimes {
                count: missed.count,
                first_ms: missed.first_ms,
                last_ms: missed.last_ms,
                found_ms: now_ms,
            });
            let told = event::missed(missed.count, missed.first_ms, missed.last_ms);
            effects.events.push(told);
        }
    }

    /// A time has come.
    fn decide(&mut self, planned_ms: u64, look: &mut Look, effects: &mut Effects) {
        self.record.planned_runs += 1;
        let is_free = self.record.running.is_empty() && self.record.buffered.is_empty();
        let waiting = self.record.buffered.len();
        match self.record.definition.overlap {
            Overlap::Allow if self.is_full() => self.skip(planned_ms, "limit", effects),
            Overlap::Allow => self.run(planned_ms, effects),
            Overlap::Skip | Overlap::BufferOne | Overlap::BufferAll | Overlap::CancelOther
                if is_free =>
            {
                self.run(planned_ms, effects);
            }
            Overlap::BufferOne if waiting == 0 => self.record.buffered.push_back(planned_ms),
            Overlap::BufferAll if waiting < SCHEDULE_BUFFER_MAX => {
                self.record.buffered.push_back(planned_ms);
            }
            Overlap::BufferAll => self.skip(planned_ms, "limit", effects),
            Overlap::Skip | Overlap::BufferOne => self.skip(planned_ms, "overlap", effects),
            Overlap::CancelOther => {
                if !std::mem::replace(&mut look.is_cancelled, true) {
                    // Told at each time anew: one that came before its operation was refused.
                    let running = self.record.running.iter();
                    effects.messages.extend(running.filter_map(submit::cancel));
                }
                for earlier_ms in std::mem::take(&mut self.record.buffered) {
                    self.skip(earlier_ms, "overlap", effects);
                }
                self.record.buffered.push_back(planned_ms);
            }
        }
    }

    /// Runs what waits, as far as the policy lets it.
    fn drain(&mut self, effects: &mut Effects) {
        if self.record.paused.is_some() {
            return;
        }
        let is_allowed = self.record.definition.overlap == Overlap::Allow;
        while self.record.running.is_empty() || (is_allowed && !self.is_full()) {
            let Some(planned_ms) = self.record.buffered.pop_front() else {
                return;
            };
            self.run(planned_ms, effects);
        }
    }

    fn run(&mut self, planned_ms: u64, effects: &mut Effects) {
        let operation = submit::planned_id(&self.record, planned_ms);
        self.submit(operation, planned_ms, effects);
    }

    fn skip(&mut self, planned_ms: u64, reason: &str, effects: &mut Effects) {
        self.record.planned_runs -= 1;
        self.record.counts.skipped += 1;
        self.record.past.skipped = Some(SkippedTime {
            planned_ms,
            reason: reason.to_owned(),
        });
        effects.events.push(event::skipped(planned_ms, reason));
    }

    /// Begins anew after this moment: times until then are decided, or nobody's.
    fn restart(&mut self, after_ms: u64) {
        self.record.cursor_ms = self.record.cursor_ms.max(after_ms);
        self.record.next_ms = self.next_ms();
    }

    /// Sets the host's timer to the next time, if it is not.
    fn arm(&mut self, effects: &mut Effects) {
        let next_ms = self.record.next_ms;
        let timer_ms = next_ms.map(|next_ms| self.plan.due_ms(self.key(), next_ms));
        if timer_ms == self.record.timer_ms {
            return;
        }
        self.record.timer_ms = timer_ms;
        let name = TIMER_NEXT.to_owned();
        effects.timers.push(match timer_ms {
            Some(due_ms) => TimerChange::Set {
                name,
                due_ms,
                body: bytes::Bytes::from_static(b"null"),
            },
            None => TimerChange::Cancel { name },
        });
    }

    /// The times to come, as far as they are set.
    pub(super) fn coming(&self, count: usize) -> Vec<u64> {
        let left = self
            .record
            .definition
            .max_runs
            .map_or(u64::MAX, |max| max.saturating_sub(self.record.planned_runs));
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        let next = |next_ms: &u64| self.plan.next_after(*next_ms);
        std::iter::successors(self.record.next_ms, next)
            .take(count)
            .collect()
    }

    /// No time comes any more.
    pub(super) fn is_ended(&self) -> bool {
        self.record.next_ms.is_none() && self.record.paused.is_none()
    }

    /// The field of the definition that has ended it, or would.
    pub(super) fn ended_by(&self) -> &'static str {
        if self.is_used_up() {
            "maxRuns"
        } else {
            "endAt"
        }
    }

    fn next_ms(&self) -> Option<u64> {
        if self.record.paused.is_some() || self.is_used_up() {
            return None;
        }
        self.plan.next_after(self.record.cursor_ms)
    }

    fn is_used_up(&self) -> bool {
        let max_runs = self.record.definition.max_runs;
        max_runs.is_some_and(|max_runs| self.record.planned_runs >= max_runs)
    }

    fn is_full(&self) -> bool {
        self.record.running.len() >= SCHEDULE_RUNNING_MAX
    }

    fn key(&self) -> &str {
        self.record.address.key.as_str()
    }
}

impl Missed {
    fn note(&mut self, planned_ms: u64) {
        if self.count == 0 {
            self.first_ms = planned_ms;
        }
        self.last_ms = planned_ms;
        self.count += 1;
    }
}

fn unchanged() -> Effects {
    Effects {
        urgency: Urgency::Never,
        ..Effects::default()
    }
}

/// As much of a text as is kept.
fn cut(text: &str) -> String {
    let mut end = text.len().min(SCHEDULE_NOTE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests;
