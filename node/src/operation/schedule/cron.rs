//! Cron expressions in time zones: when one matches next, as a pure function of the time before.
//!
//! The plan of a schedule calls it. Fields are matched on the local calendar by `croner`; what a change of
//! the clocks does to a match is decided here:
//!
//! * Hours that are named are local times. One that does not exist stands for the next moment that does,
//!   one that exists twice for the first of the two.
//! * With `*` for the hour, or `@hourly`, the clock on the wall is only read for its minutes: every hour
//!   that passes counts, none that does not.

use std::cmp::Ordering;
use std::fmt;

use croner::errors::CronError;
use croner::parser::{CronParser, Year};
use croner::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use selvedge_protocol::limits::SCHEDULE_YEARS_MAX;

/// Changes of the clocks that one search may pass: two a year, and some years with four.
const CHANGES_MAX: usize = 300;
/// Hours of a day: with all of them, none is named.
const HOURS: usize = 24;

/// An expression and where its calendar hangs.
#[derive(Clone)]
pub(super) struct ZonedCron {
    cron: croner::Cron,
    zone: TimeZone,
    /// No hour is named.
    is_hourly: bool,
}

/// Why an expression or a zone is not one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Expression(String),
    #[error("there is no such time zone")]
    Zone,
}

impl ZonedCron {
    /// Reads an expression of 5 fields, or 6 with seconds first, and the IANA name of a zone.
    pub(super) fn new(expression: &str, zone: &str) -> Result<Self, Error> {
        let cron = CronParser::builder()
            .year(Year::Disallowed)
            .build()
            .parse(expression)
            .map_err(|error| Error::Expression(error.to_string()))?;
        let is_hourly = cron.pattern.hours.values().len() == HOURS;
        let zone = TimeZone::get(zone).map_err(|_| Error::Zone)?;
        Ok(Self {
            cron,
            zone,
            is_hourly,
        })
    }

    /// The first match after a moment, both in Unix milliseconds; `None` where there is none within a
    /// hundred years.
    pub(super) fn next_after(&self, after_ms: u64) -> Option<u64> {
        let seconds = i64::try_from(after_ms / 1_000).ok()?;
        let after = Timestamp::from_second(seconds).ok()?;
        let next = if self.is_hourly {
            self.next_hourly(after)
        } else {
            self.next_named(after)
        };
        u64::try_from(next?.as_millisecond()).ok()
    }

    /// Between two changes of the clocks a zone is an offset, and nothing is special.
    fn next_hourly(&self, after: Timestamp) -> Option<Timestamp> {
        let (mut from, mut is_inclusive) = (after, false);
        for _ in 0..CHANGES_MAX {
            let offset = self.zone.to_offset(from);
            let next = self.matching(offset.to_datetime(from), is_inclusive)?;
            let next = offset.to_timestamp(next).ok()?;
            match self.zone.following(from).next() {
                Some(change) if change.timestamp() <= next => {
                    (from, is_inclusive) = (change.timestamp(), true);
                }
                Some(_) | None => return Some(next),
            }
        }
        None
    }

    fn next_named(&self, after: Timestamp) -> Option<Timestamp> {
        let mut local = self.zone.to_datetime(after);
        for _ in 0..CHANGES_MAX {
            let next = self.matching(local, false)?;
            let moment = match self.zone.to_ambiguous_timestamp(next).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(next).ok()?,
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(next).ok()?,
                AmbiguousOffset::Gap { before, .. } => {
                    self.change_until(before.to_timestamp(next).ok()?)?
                }
            };
            if moment > after {
                return Some(moment);
            }
            // In the second pass of an hour whose first has been served: on to its end.
            let change = self.change_until(after)?;
            let before = self.zone.to_offset(change - SignedDuration::from_secs(1));
            local = before.to_datetime(change) - SignedDuration::from_secs(1);
        }
        None
    }

    /// The last change of the clocks until a moment.
    fn change_until(&self, moment: Timestamp) -> Option<Timestamp> {
        let after = moment.checked_add(SignedDuration::from_secs(1)).ok()?;
        Some(self.zone.preceding(after).next()?.timestamp())
    }

    fn matching(&self, from: DateTime, is_inclusive: bool) -> Option<DateTime> {
        let origin = Civil {
            local: from,
            year_max: i32::from(from.year()) + SCHEDULE_YEARS_MAX,
        };
        let found = self.cron.find_next_occurrence(&origin, is_inclusive);
        found.ok().map(|found| found.local)
    }
}

impl fmt::Debug for ZonedCron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZonedCron({} {:?})", self.cron.as_str(), self.zone)
    }
}

/// A local time for croner: a calendar without zones, which ends where the search has to.
#[derive(Debug, Clone, Copy)]
struct Civil {
    local: DateTime,
    year_max: i32,
}

impl CronDateTime for Civil {
    fn to_civil(&self) -> CivilDateTime {
        let local = self.local;
        let part = |part: i8| u32::from(part.unsigned_abs());
        let civil = CivilDateTime::from_ymd_hms(
            i32::from(local.year()),
            part(local.month()),
            part(local.day()),
            part(local.hour()),
            part(local.minute()),
            part(local.second()),
        );
        match civil {
            Ok(civil) => civil,
            Err(error) => panic!("{local} is a moment of the calendar: {error}"),
        }
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.local.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::from(days.unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        if civil.year() > self.year_max {
            return Err(CronError::TimeSearchLimitExceeded);
        }
        let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let local = DateTime::new(
            year,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        );
        let local = local.map_err(|_| CronError::InvalidDate)?;
        Ok(Resolution::Single(Self { local, ..*self }))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let local = self.local.checked_add(SignedDuration::from_secs(seconds));
        let local = local.ok()?;
        Some(Self { local, ..*self })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.local.cmp(&other.local)
    }
}

#[cfg(test)]
mod tests;
