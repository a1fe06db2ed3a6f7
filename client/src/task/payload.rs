//! The payload of a task, read from the node in pieces while the task is at work.

use bytes::Bytes;
use selvedge_protocol::{Target, task_payload};

use crate::call::Body;
use crate::session::Session;
use crate::task::WorkError;

/// The bytes that came with the submit of a task's operation, being read. They are the node's until then,
/// and only for whoever holds the lease: once the task is cancelled, reading fails.
#[derive(Debug)]
pub struct TaskPayload {
    session: Session,
    operation: Target,
    lease: u64,
    length: u64,
    position: u64,
}

impl TaskPayload {
    pub(super) const fn new(session: Session, operation: Target, lease: u64, length: u64) -> Self {
        Self {
            session,
            operation,
            lease,
            length,
            position: 0,
        }
    }

    /// All its bytes, at most 8 MiB.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The next bytes, at most half a megabyte; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WorkError> {
        if self.position >= self.length {
            return Ok(None);
        }
        let piece = task_payload::Piece {
            lease: self.lease,
            from: self.position,
        };
        let query = self.session.query(
            self.operation.clone(),
            task_payload::QUERY,
            Body::json(&piece),
        );
        let bytes = query.send().await?.body;
        self.position += bytes.len() as u64;
        if bytes.is_empty() || self.position > self.length {
            let Self {
                position, length, ..
            } = self;
            return Err(WorkError::retryable(format!(
                "the payload has {length} bytes, and {position} came"
            )));
        }
        Ok(Some(bytes))
    }

    /// What is left of it, at once. One of more than `bytes_max` fails the operation for good, before
    /// a byte is read.
    pub async fn read_to_end(&mut self, bytes_max: usize) -> Result<Bytes, WorkError> {
        let left = usize::try_from(self.length - self.position.min(self.length));
        let Some(left) = left.ok().filter(|left| *left <= bytes_max) else {
            return Err(WorkError::permanent(format!(
                "the payload of {} bytes is over the {bytes_max} that this worker takes",
                self.length
            )));
        };
        let mut whole = Vec::with_capacity(left);
        while let Some(bytes) = self.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(Bytes::from(whole))
    }
}
