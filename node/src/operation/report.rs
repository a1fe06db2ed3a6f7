//! What a step runner tells the machine about its attempt. Never leaves the node: not part of the wire.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::codec;
use serde::{Deserialize, Serialize};

use crate::operation::record::Fault;

/// News of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The offer that the runner took up: a runner whose offer was withdrawn is refused.
    pub(crate) offer: u64,
    /// The number of the attempt: a runner of an earlier one is refused.
    pub(crate) attempt: u32,
    /// Steps that finished since the last report.
    pub(crate) steps: Vec<FinishedStep>,
    /// JSON text.
    pub(crate) progress: Option<String>,
    pub(crate) news: News,
    /// Random bits for the jitter of a retry: the machine draws none itself.
    pub(crate) random: u64,
}

/// A step's result, JSON text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinishedStep {
    pub(crate) name: Arc<str>,
    pub(crate) result: Arc<str>,
}

/// How the attempt stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum News {
    /// It goes on.
    Running { urgent: bool },
    /// The handler has ended; JSON text.
    Succeeded(Arc<str>),
    /// The handler has failed.
    Failed { fault: Fault, permanent: bool },
    /// The handler was dropped as asked.
    Cancelled,
    /// The payload's stream broke, or there is none any more.
    PayloadMissing,
    /// No runner has taken it up in time.
    NotStarted(Fault),
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
