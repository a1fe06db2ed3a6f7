//! The times of a schedule: what its definition says, compiled. Pure: the next time is a function of the
//! definition and the time before.

use selvedge_cluster::actor::Refusal;
use selvedge_protocol::limits::{
    SCHEDULE_CRON_BYTES_MAX, SCHEDULE_EVERY_MS_MAX, SCHEDULE_EVERY_MS_MIN,
};
use selvedge_protocol::time;

use crate::operation::schedule::cron::{Error, ZonedCron};
use crate::operation::schedule::definition::Definition;

/// When a schedule runs.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    times: Times,
    start_ms: u64,
    end_ms: u64,
    jitter_ms: u64,
}

#[derive(Debug, Clone)]
enum Times {
    Cron(Box<ZonedCron>),
    Every { every_ms: u64, offset_ms: u64 },
}

impl Plan {
    /// Compiles a definition, or says which field is wrong.
    pub(super) fn new(definition: &Definition) -> Result<Self, Refusal> {
        let plan = Self {
            times: times(definition)?,
            start_ms: moment("startAt", definition.start_at.as_deref())?.unwrap_or(0),
            end_ms: moment("endAt", definition.end_at.as_deref())?.unwrap_or(u64::MAX),
            jitter_ms: definition.jitter_ms.unwrap_or(0),
        };
        if plan.start_ms > plan.end_ms {
            return Err(Refusal::invalid("endAt", "use a time after startAt"));
        }
        Ok(plan)
    }

    /// The first time after a moment.
    pub(super) fn next_after(&self, after_ms: u64) -> Option<u64> {
        // The start itself is one of the times, if it matches.
        let after_ms = after_ms.max(self.start_ms.saturating_sub(1));
        let next_ms = match &self.times {
            Times::Cron(cron) => cron.next_after(after_ms)?,
            Times::Every {
                every_ms,
                offset_ms,
            } => match after_ms.checked_sub(*offset_ms) {
                None => *offset_ms,
                Some(since) => (since / every_ms + 1)
                    .checked_mul(*every_ms)?
                    .checked_add(*offset_ms)?,
            },
        };
        (next_ms <= self.end_ms).then_some(next_ms)
    }

    /// When the run of a time is to begin: later by what chance says, which is the same at each asking.
    pub(super) fn due_ms(&self, key: &str, planned_ms: u64) -> u64 {
        if self.jitter_ms == 0 {
            return planned_ms;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(key.as_bytes());
        hasher.update(&planned_ms.to_le_bytes());
        let mut chance = [0; 8];
        chance.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        let jitter_ms = u64::from_le_bytes(chance) % (self.jitter_ms + 1);
        planned_ms.saturating_add(jitter_ms)
    }

    /// The most that chance adds.
    pub(super) const fn jitter_ms(&self) -> u64 {
        self.jitter_ms
    }

    /// Refuses a definition that has no time after a moment.
    pub(super) fn check_next(&self, now_ms: u64) -> Result<(), Refusal> {
        if self.next_after(now_ms).is_some() {
            return Ok(());
        }
        let is_ended = self.end_ms != u64::MAX;
        Err(match &self.times {
            _ if is_ended => {
                Refusal::invalid("endAt", "no time is left before it; use a later one")
            }
            Times::Cron(_) => Refusal::invalid(
                "cron",
                "it matches no day of any calendar; correct the day of the month or the month",
            ),
            Times::Every { .. } => Refusal::invalid("startAt", "no time comes after it"),
        })
    }
}

fn times(definition: &Definition) -> Result<Times, Refusal> {
    match (&definition.cron, definition.every_ms) {
        (Some(expression), None) => {
            if definition.offset_ms.is_some() {
                let message = "it belongs to everyMs; leave it out with cron";
                return Err(Refusal::invalid("offsetMs", message));
            }
            let zone = definition.time_zone.as_deref().unwrap_or("UTC");
            cron(expression, zone)
        }
        (None, Some(every_ms)) => {
            if definition.time_zone.is_some() {
                let message = "it belongs to cron; leave it out with everyMs";
                return Err(Refusal::invalid("timeZone", message));
            }
            if !(SCHEDULE_EVERY_MS_MIN..=SCHEDULE_EVERY_MS_MAX).contains(&every_ms) {
                let message = format!("use {SCHEDULE_EVERY_MS_MIN} to {SCHEDULE_EVERY_MS_MAX}");
                return Err(Refusal::invalid("everyMs", message));
            }
            let offset_ms = definition.offset_ms.unwrap_or(0);
            if offset_ms >= every_ms {
                return Err(Refusal::invalid("offsetMs", "use less than everyMs"));
            }
            Ok(Times::Every {
                every_ms,
                offset_ms,
            })
        }
        (Some(_), Some(_)) => Err(Refusal::invalid("everyMs", "use cron or everyMs, not both")),
        (None, None) => Err(Refusal::invalid(
            "cron",
            "say when: use cron, for example \"*/5 * * * *\", or everyMs",
        )),
    }
}

fn cron(expression: &str, zone: &str) -> Result<Times, Refusal> {
    if expression.len() > SCHEDULE_CRON_BYTES_MAX {
        let message = format!("an expression has at most {SCHEDULE_CRON_BYTES_MAX} bytes");
        return Err(Refusal::invalid("cron", message));
    }
    match ZonedCron::new(expression, zone) {
        Ok(cron) => Ok(Times::Cron(Box::new(cron))),
        Err(Error::Expression(reason)) => Err(Refusal::invalid(
            "cron",
            format!(
                "use 5 fields, minute hour day month weekday, or 6 with seconds first: {reason}"
            ),
        )),
        Err(Error::Zone) => {
            let message =
                format!("there is no zone {zone:?}; use an IANA name, for example Europe/Berlin");
            Err(Refusal::invalid("timeZone", message))
        }
    }
}

fn moment(field: &str, text: Option<&str>) -> Result<Option<u64>, Refusal> {
    let moment = text.map(|text| time::parse(text).ok_or(field));
    moment.transpose().map_err(|field| {
        let message = "use an RFC 3339 time, for example 2026-01-31T12:00:00Z";
        Refusal::invalid(field, message)
    })
}
