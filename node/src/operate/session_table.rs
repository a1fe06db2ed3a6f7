//! The table `[sessions]` of a configuration: how old and how idle a session may become.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operate::failure::CommandFailure;
use crate::session::SessionConfig;

/// The table as it is written. Without a bound, sessions go on for as long as their credentials: devices stay for months.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionTable {
    /// How old a session may become, on whichever nodes it is.
    pub(crate) hours_max: Option<u32>,
    /// How long one may ask for nothing.
    pub(crate) idle_minutes_max: Option<u32>,
}

impl SessionTable {
    /// Checks every field; `by` names what gave a key its value.
    pub(crate) fn checked(self, by: impl Fn(&str) -> String) -> Result<Self, CommandFailure> {
        for (key, value, most) in [
            ("hours_max", self.hours_max, HOURS_MAX),
            ("idle_minutes_max", self.idle_minutes_max, MINUTES_MAX),
        ] {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                let by = by(&format!("sessions.{key}"));
                let message = format!("{by}: use 1 to {most}, or leave it out for no bound");
                return Err(CommandFailure::usage(message));
            }
        }
        Ok(self)
    }

    /// The bounds of the sessions of a node of this name.
    pub(crate) fn of(&self, node: &str) -> SessionConfig {
        let times = |value: Option<u32>, seconds: u64| {
            value.map(|value| Duration::from_secs(u64::from(value) * seconds))
        };
        SessionConfig {
            life: times(self.hours_max, 3_600),
            unused: times(self.idle_minutes_max, 60),
            ..SessionConfig::new(node)
        }
    }
}

/// Ten years, and one: more is none.
const HOURS_MAX: u32 = 10 * 365 * 24;
const MINUTES_MAX: u32 = 365 * 24 * 60;
