//! What a schedule is told: when, how runs that overlap are treated, and the operation. Checked whole,
//! once, before anything is decided, and stored as it was given with its defaults filled in.

use std::collections::BTreeMap;

use selvedge_cluster::actor::{Incoming, Refusal};
use selvedge_protocol::limits::{
    SCHEDULE_CATCH_UP_MS_DEFAULT, SCHEDULE_CATCH_UP_MS_MAX, SCHEDULE_DEFINITION_BYTES_MAX,
    SCHEDULE_JITTER_MS_MAX, SCHEDULE_NOTE_BYTES_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, OperationType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::operation::record::Payload;
use crate::operation::subject;
use crate::operation::submission::Submission;

/// The body of `create` and `update`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Definition {
    /// 5 fields, or 6 with seconds first; or `everyMs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cron: Option<String>,
    /// Of the cron expression, an IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time_zone: Option<String>,
    /// Counted from 1970, so that all nodes mean the same times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) every_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offset_ms: Option<u64>,
    #[serde(default)]
    pub(super) overlap: Overlap,
    /// How late a run may begin when its time passed unnoticed.
    #[serde(default = "catch_up_default")]
    pub(super) catch_up_ms: u64,
    /// Each run begins up to so much later, by chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jitter_ms: Option<u64>,
    /// No time before it. RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) start_at: Option<String>,
    /// No time after it. RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end_at: Option<String>,
    /// Runs by the clock; those that were triggered do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_runs: Option<u64>,
    pub(super) operation: Template,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// The operation of each run: the body of a submit, without times.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Template {
    #[serde(rename = "type")]
    pub(super) operation_type: OperationType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) priority: i32,
}

/// What happens at a time when an operation of the schedule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Overlap {
    /// Nothing.
    #[default]
    Skip,
    /// One run waits for the end; others are skipped.
    BufferOne,
    /// All wait, one after the other.
    BufferAll,
    /// Another one runs beside it.
    Allow,
    /// What runs is cancelled, and the latest time runs at its end.
    CancelOther,
}

impl Definition {
    /// Reads and checks what does not depend on calendars: that is the plan's.
    pub(super) fn read(command: &Incoming<'_>) -> Result<Self, Refusal> {
        let definition: Self = serde_json::from_slice(command.body).map_err(|error| {
            Refusal::invalid("body", format!("the definition does not read: {error}"))
        })?;
        definition.check()?;
        Ok(definition.with_defaults())
    }

    fn with_defaults(mut self) -> Self {
        if self.cron.is_some() {
            self.time_zone.get_or_insert_with(|| "UTC".to_owned());
        }
        self
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.catch_up_ms > SCHEDULE_CATCH_UP_MS_MAX {
            let message = format!("use at most {SCHEDULE_CATCH_UP_MS_MAX}, a year");
            return Err(Refusal::invalid("catchUpMs", message));
        }
        if self.jitter_ms.unwrap_or(0) > SCHEDULE_JITTER_MS_MAX {
            let message = format!("use at most {SCHEDULE_JITTER_MS_MAX}, an hour");
            return Err(Refusal::invalid("jitterMs", message));
        }
        if self.max_runs == Some(0) {
            let message = "use at least 1, or leave it out for no end";
            return Err(Refusal::invalid("maxRuns", message));
        }
        check_note("note", self.note.as_deref())?;
        if self.operation.labels.contains_key(subject::LABEL) {
            // The input of its operations stays with it, in the clear.
            let message =
                "a schedule is about nobody: submit what is, from an operation that it runs";
            return Err(Refusal::invalid("operation.labels.subject", message));
        }
        let bytes = serde_json::to_vec(self).map_or(usize::MAX, |text| text.len());
        if bytes > SCHEDULE_DEFINITION_BYTES_MAX {
            return Err(Refusal(Failure::field(
                ErrorCode::TooLarge,
                "operation",
                format!(
                    "a definition of {bytes} bytes is over the {SCHEDULE_DEFINITION_BYTES_MAX} that \
                     are kept; store the input elsewhere and pass where"
                ),
            )));
        }
        self.operation.check()
    }

    /// Whether both say the same, up to white space and the order of fields.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let value = |definition: &Self| serde_json::to_value(definition).unwrap_or(Value::Null);
        value(self) == value(other)
    }
}

impl Template {
    /// The body of a plain submit.
    pub(super) fn submit(&self) -> Result<Box<RawValue>, serde_json::Error> {
        serde_json::value::to_raw_value(self)
    }

    /// What a submit would be refused for is refused now, and not by each run.
    fn check(&self) -> Result<(), Refusal> {
        let submit = self
            .submit()
            .map_err(|error| Refusal::invalid("operation", error.to_string()))?;
        Submission::new(submit.get().as_bytes(), Payload::None).map_or_else(
            |Refusal(mut failure)| {
                let field = failure.field.as_deref().filter(|field| *field != "body");
                failure.field = Some(field.map_or_else(
                    || "operation".to_owned(),
                    |field| format!("operation.{field}"),
                ));
                Err(Refusal(failure))
            },
            |_| Ok(()),
        )
    }
}

/// A text for people has its bound as well.
pub(super) fn check_note(field: &str, note: Option<&str>) -> Result<(), Refusal> {
    if note.is_some_and(|note| note.len() > SCHEDULE_NOTE_BYTES_MAX) {
        let message = format!("a note has at most {SCHEDULE_NOTE_BYTES_MAX} bytes");
        return Err(Refusal::invalid(field, message));
    }
    Ok(())
}

const fn catch_up_default() -> u64 {
    SCHEDULE_CATCH_UP_MS_DEFAULT
}
