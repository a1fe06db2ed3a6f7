//! Requests: checked when they come in, kept until they are answered, sent again with patience.
//!
//! The machine calls it. It never decides when: waits are numbers that the driver carries out.

use bytes::Bytes;

use crate::codec;
use crate::error::{ErrorCode, Failure};
use crate::frame::{ClientFrame, Consistency, Payload};
use crate::ids::{CommandId, Target};
use crate::limits;

/// A command that has no number yet.
#[derive(Debug, Clone)]
pub struct NewCommand {
    pub id: Option<CommandId>,
    pub target: Target,
    pub name: String,
    pub body: Bytes,
    pub payload: Payload,
    pub deadline_ms: u32,
    /// How long refusals that may be retried are retried, in all.
    pub retry_ms: u32,
}

/// A query that has no number yet.
#[derive(Debug, Clone)]
pub struct NewQuery {
    pub target: Target,
    pub name: String,
    pub body: Bytes,
    pub consistency: Consistency,
    pub deadline_ms: u32,
    /// As in [`NewCommand`].
    pub retry_ms: u32,
}

/// A request that is not answered.
#[derive(Debug)]
pub(super) struct Pending<C> {
    pub(super) frame: ClientFrame,
    pub(super) ticket: C,
    /// Refused for the moment: waits for `send_again`.
    pub(super) is_parked: bool,
    pub(super) attempts: u32,
    pub(super) waited_ms: u32,
    pub(super) retry_ms: u32,
}

impl<C> Pending<C> {
    pub(super) const fn new(frame: ClientFrame, ticket: C, retry_ms: u32) -> Self {
        Self {
            frame,
            ticket,
            is_parked: false,
            attempts: 0,
            waited_ms: 0,
            retry_ms,
        }
    }

    /// Appends the command, or says `true`: its payload takes it onto a stream of its own.
    pub(super) fn send_command(&mut self, acknowledged: u64, out: &mut Vec<u8>) -> bool {
        self.is_parked = false;
        let ClientFrame::Command(command) = &mut self.frame else {
            return false;
        };
        command.acknowledged = acknowledged;
        match command.payload {
            Payload::None | Payload::Inline(_) => {
                append(&self.frame, out);
                false
            }
            Payload::Attached { .. } | Payload::Streamed { .. } => true,
        }
    }

    /// Whether a repeat in another session is recognised: by the id that its caller chose, because
    /// operations know their own submissions and cancellations again, or because commands to the cluster say
    /// what shall be and not what to change.
    pub(super) const fn is_recognised(&self) -> bool {
        match &self.frame {
            ClientFrame::Command(command) => {
                command.id.is_some()
                    || matches!(command.target, Target::Operation(_) | Target::Cluster)
            }
            ClientFrame::Hello(_)
            | ClientFrame::Query(_)
            | ClientFrame::Subscribe(_)
            | ClientFrame::Unsubscribe(_)
            | ClientFrame::Ack(_)
            | ClientFrame::WorkerReady(_)
            | ClientFrame::StepResult(_)
            | ClientFrame::Ping(_)
            | ClientFrame::Goodbye(_)
            | ClientFrame::Ephemeral(_)
            | ClientFrame::Chunk(_) => true,
        }
    }

    /// How long to wait before this is sent again, or `None` if the refusal is the answer.
    pub(super) fn wait_ms(&mut self, failure: &Failure, random: u32) -> Option<u32> {
        if !failure.code.may_be_retried() {
            return None;
        }
        let wait_ms =
            backoff_ms(self.attempts + 1, random).max(failure.retry_after_ms.unwrap_or(0));
        let waited_ms = self.waited_ms.saturating_add(wait_ms);
        if waited_ms > self.retry_ms {
            return None;
        }
        self.attempts += 1;
        self.waited_ms = waited_ms;
        self.is_parked = true;
        Some(wait_ms)
    }
}

/// How long to wait before attempt `attempts + 1`: doubled each time, with half of it left to chance so
/// that clients which were refused together do not come back together.
pub const fn backoff_ms(attempts: u32, random: u32) -> u32 {
    let doublings = if attempts > 7 {
        7
    } else {
        attempts.saturating_sub(1)
    };
    let full = BACKOFF_FIRST_MS << doublings;
    let full = if full > BACKOFF_MS_MAX {
        BACKOFF_MS_MAX
    } else {
        full
    };
    full / 2 + random % (full / 2 + 1)
}

/// Appends a frame whose parts were checked when they came in, or are bounded by their types.
pub(super) fn append(frame: &ClientFrame, out: &mut Vec<u8>) {
    let written = codec::encode(frame, out);
    assert!(written.is_ok(), "a checked frame: {written:?}");
}

pub(super) fn check_command(new: &NewCommand, has_room: bool) -> Result<(), Failure> {
    let inline = match &new.payload {
        Payload::Inline(bytes) => bytes.len(),
        Payload::None | Payload::Attached { .. } | Payload::Streamed { .. } => 0,
    };
    if let Payload::Attached { length } = new.payload
        && length > limits::PAYLOAD_BYTES_MAX as u64
    {
        let message = format!(
            "a payload of {length} bytes is over the {} that are stored: stream it",
            limits::PAYLOAD_BYTES_MAX
        );
        return Err(Failure::field(ErrorCode::TooLarge, "payload", message));
    }
    check_request(&new.name, new.body.len() + inline, has_room)
}

pub(super) fn check_request(name: &str, bytes: usize, has_room: bool) -> Result<(), Failure> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
        let message = format!("a name has 1 to {} bytes", limits::NAME_BYTES_MAX);
        return Err(Failure::field(ErrorCode::Invalid, "name", message));
    }
    if bytes > limits::INLINE_BYTES_MAX {
        let message = format!(
            "arguments and inline payload are {bytes} bytes, at most {} fit: attach the payload",
            limits::INLINE_BYTES_MAX
        );
        return Err(Failure::field(ErrorCode::TooLarge, "body", message));
    }
    if !has_room {
        let message = "too many requests of this session are unanswered: wait for one";
        return Err(Failure::new(ErrorCode::Overloaded, message));
    }
    Ok(())
}

/// About one round trip to a busy server.
const BACKOFF_FIRST_MS: u32 = 50;
/// A person who waits notices five seconds, a server does not notice one request in five seconds.
const BACKOFF_MS_MAX: u32 = 5_000;
