//! What is stored of an operation: one compact record, rewritten by each of its commits.
//!
//! The machine changes it, the kind encodes and decodes it, the view shows it. Nothing here decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::store::record;
use selvedge_protocol::ActorAddress;
use selvedge_protocol::codec;
use selvedge_protocol::ids::{OperationId, OperationType, Tenant};
use serde::{Deserialize, Serialize};

/// The format that this binary writes. Older ones are upcast in [`Record::decode`].
pub(crate) const FORMAT: u8 = 2;

/// An operation as it is stored. JSON values are text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: OperationId,
    pub(crate) tenant: Tenant,
    pub(crate) operation_type: OperationType,
    pub(crate) status: Status,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) input: Arc<str>,
    pub(crate) payload: Payload,
    pub(crate) metadata: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) priority: i32,
    pub(crate) run_at_ms: Option<u64>,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) created_by: String,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    /// Counts the changes to this record from 1.
    pub(crate) version: u64,
    /// Counts the runs of the handler from 1; 0 before the first: tells reports of different ones apart.
    pub(crate) run: u32,
    /// Attempts that failed since the last finished step: what the retry policy bounds.
    pub(crate) failures: u32,
    /// Attempts that a node took with it since the last finished step.
    pub(crate) lost: u32,
    /// Whether a run has begun and not ended. One that finds it so was lost.
    pub(crate) is_begun: bool,
    /// Who called this operation, and hears of its end.
    pub(crate) parent: Option<Parent>,
    /// Counts how often it went on as new: names of steps are used again then.
    pub(crate) generation: u32,
    /// What steps wait for.
    pub(crate) waits: Vec<Wait>,
    /// Signals that nobody has waited for yet, oldest first.
    pub(crate) signals: Vec<Signal>,
    /// What is to be undone if it comes to that, the last first.
    pub(crate) compensations: Vec<Compensation>,
    /// It is about to be undone, once the operations that it has called have ended: only then it is known
    /// what they did.
    pub(crate) is_settling: bool,
    pub(crate) progress: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) result: Option<Arc<str>>,
    pub(crate) error: Option<Fault>,
    /// Counts the attempts from 1; 0 before the first. A run after a wait belongs to the attempt before it.
    pub(crate) attempt: u32,
    /// The last attempt has failed or was let go: the next run is another one.
    pub(crate) is_attempt_over: bool,
}

/// A finished step. Its presence is why the step never runs again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) name: Arc<str>,
    pub(crate) result: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) finished_ms: u64,
}

/// A step that finishes by itself: its result comes from a timer, a signal or another operation. It costs
/// nothing but its place in the store while the handler is not in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wait {
    pub(crate) name: Arc<str>,
    pub(crate) on: WaitOn,
    pub(crate) since_ms: u64,
}

/// What finishes a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WaitOn {
    Time {
        until_ms: u64,
    },
    /// A signal, or the end of the time for it.
    Signal {
        signal: Arc<str>,
        until_ms: Option<u64>,
    },
    /// The end of a child.
    Call {
        operation: OperationId,
    },
}

/// Something a client told the operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signal {
    pub(crate) name: Arc<str>,
    /// JSON text.
    pub(crate) data: Arc<str>,
}

/// How a finished step is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compensation {
    pub(crate) name: Arc<str>,
    /// JSON text, for the handler.
    pub(crate) data: Arc<str>,
}

/// Who called an operation: an actor, and its name for the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) actor: ActorAddress,
    pub(crate) name: Arc<str>,
    /// How many callers there are above the operation.
    pub(crate) depth: u16,
}

/// The bytes that came with the submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Payload {
    None,
    /// Stored in chunks until the operation is final.
    Stored {
        length: u64,
        /// The first half of its BLAKE3: recognises the same submit.
        hash: [u8; 16],
    },
    /// Handed through while the operation runs, never stored.
    Streamed {
        length: Option<u64>,
    },
}

/// Why an attempt, or the whole operation, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) step: Option<String>,
}

/// What an operation with status `waiting` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Waiting {
    /// The time it shall run at.
    Time { until_ms: u64 },
    /// The next attempt.
    Retry { until_ms: u64 },
    /// A client that sends the payload (again).
    Payload,
    /// A node that knows its type.
    Handler,
    /// Steps: see [`Record::waits`].
    Steps,
}

/// The persisted ordinal of a status, in the index by status: append only.
pub(crate) const fn ordinal_of(status: Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::Running => 1,
        Status::Waiting => 2,
        Status::Paused => 3,
        Status::Succeeded => 4,
        Status::Failed => 5,
        Status::Cancelling => 6,
        Status::Cancelled => 7,
        Status::Compensating => 8,
        Status::Compensated => 9,
    }
}

impl Wait {
    pub(crate) const fn until_ms(&self) -> Option<u64> {
        match self.on {
            WaitOn::Time { until_ms } => Some(until_ms),
            WaitOn::Signal { until_ms, .. } => until_ms,
            WaitOn::Call { .. } => None,
        }
    }
}

impl Record {
    /// Whether a pool can take the operation up as it is.
    pub(crate) fn is_runnable(&self) -> bool {
        match self.status {
            Status::Pending | Status::Running | Status::Cancelling => true,
            Status::Compensating => self.waiting.is_none(),
            Status::Waiting => match self.waiting {
                Some(Waiting::Handler) => true,
                // Runnable once a stream is there, which only the kind can see.
                Some(Waiting::Payload) => true,
                Some(Waiting::Time { .. } | Waiting::Retry { .. } | Waiting::Steps) | None => false,
            },
            Status::Paused
            | Status::Succeeded
            | Status::Failed
            | Status::Cancelled
            | Status::Compensated => false,
        }
    }

    /// Whether the operation is to be looked at whenever its slot is taken. What waits for a timer or a
    /// client is woken by these.
    pub(crate) fn is_awake(&self) -> bool {
        self.is_runnable() && self.waiting != Some(Waiting::Payload)
    }

    pub(crate) fn finished_step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| &*step.name == name)
    }

    /// The attempt that the next run belongs to.
    pub(crate) const fn next_attempt(&self) -> u32 {
        let is_same = self.attempt > 0 && !self.is_attempt_over && !self.is_begun;
        if is_same {
            self.attempt
        } else {
            self.attempt.saturating_add(1)
        }
    }

    pub(crate) fn is_compensating(&self) -> bool {
        self.status == Status::Compensating
    }

    /// When the next wait ends by time.
    pub(crate) fn next_wait_ms(&self) -> Option<u64> {
        self.waits.iter().filter_map(Wait::until_ms).min()
    }

    pub(crate) fn encode(&self) -> Bytes {
        record::encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        record::decode(b"operation", bytes).map_err(|error| error.to_string())
    }
}

impl record::Record for Record {
    const FORMAT: u8 = FORMAT;

    fn upcast(format: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        (format == 1).then(|| {
            // It ends before the attempts: they were not told apart from the runs.
            let body = [body, &codec::encode_record(FORMAT, &(0_u32, false))[1..]].concat();
            let record: Self = codec::decode_record(&body)?;
            Ok(Self {
                attempt: record.run,
                is_attempt_over: record.failures > 0,
                ..record
            })
        })
    }
}

#[cfg(test)]
mod tests;
