//! What a step runner tells the machine about its attempt. Never leaves the node: not part of the wire.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::codec;
use selvedge_protocol::{ActorAddress, OperationType};
use serde::{Deserialize, Serialize};

use crate::operation::record::{Compensation, Fault};

/// News of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The offer that the runner took up: a runner whose offer was withdrawn is refused.
    pub(crate) offer: u64,
    /// The number of the run: a runner of an earlier one is refused.
    pub(crate) run: u32,
    /// What was done since the last report.
    pub(crate) done: Done,
    /// JSON text.
    pub(crate) progress: Option<String>,
    pub(crate) news: News,
    /// Random bits for the jitter of a retry: the machine draws none itself.
    pub(crate) random: u64,
}

/// What a handler has done and wants to be durable, in the order of its kinds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) steps: Vec<FinishedStep>,
    pub(crate) compensations: Vec<Compensation>,
    pub(crate) waits: Vec<NewWait>,
    /// Commands to other actors.
    pub(crate) sends: Vec<Sent>,
    /// Compensations that have run.
    pub(crate) undone: Vec<Arc<str>>,
}

/// A step's result, JSON text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinishedStep {
    pub(crate) name: Arc<str>,
    pub(crate) result: Arc<str>,
}

/// A step that waits from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewWait {
    pub(crate) name: Arc<str>,
    pub(crate) on: NewWaitOn,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum NewWaitOn {
    /// For so long, from its commit on.
    Time { ms: u64 },
    /// Until then.
    Until { until_ms: u64 },
    Signal {
        signal: Arc<str>,
        timeout_ms: Option<u64>,
    },
    Call {
        operation_type: OperationType,
        /// JSON text.
        input: Arc<str>,
    },
}

/// A command for another actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) to: ActorAddress,
    pub(crate) name: String,
    /// JSON text.
    pub(crate) body: Bytes,
}

/// How the attempt stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum News {
    /// It goes on.
    Running { urgent: bool },
    /// The handler waits for these steps and for nothing else, and was dropped.
    Suspended { on: Vec<Arc<str>> },
    /// The handler has ended, or all compensations have; JSON text.
    Succeeded(Arc<str>),
    /// The handler wants to begin anew with this input, JSON text.
    Continued { input: Arc<str> },
    /// The handler has failed.
    Failed {
        fault: Fault,
        permanent: bool,
        /// No other attempt is worth it before.
        retry_after_ms: Option<u64>,
    },
    /// The handler was dropped as asked.
    Cancelled,
    /// The payload's stream broke, or there is none any more.
    PayloadMissing,
    /// No runner has taken it up in time.
    NotStarted(Fault),
}

impl Done {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
            && self.compensations.is_empty()
            && self.waits.is_empty()
            && self.sends.is_empty()
            && self.undone.is_empty()
    }
}

impl News {
    /// How long a failed attempt puts the next one off.
    pub(crate) const fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Failed { retry_after_ms, .. } => *retry_after_ms,
            Self::Running { .. }
            | Self::Suspended { .. }
            | Self::Succeeded(_)
            | Self::Continued { .. }
            | Self::Cancelled
            | Self::PayloadMissing
            | Self::NotStarted(_) => None,
        }
    }
}

impl Report {
    pub(crate) fn encode(&self) -> Bytes {
        // The format byte is of no use within one process; it is what the codec wants.
        codec::encode_record(1, self)
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, String> {
        let body = body.get(1..).unwrap_or_default();
        codec::decode_record(body).map_err(|error| error.to_string())
    }
}
