//! Payloads on their way to workers, a piece at a time.
//!
//! A session that is a worker has one. It reads for whoever holds a lease, and never more at a time than
//! its bound says.

use std::sync::Arc;

use selvedge_cluster::actor::ReplyTo;
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::limits::{WORKER_PIECE_BYTES_MAX, WORKER_PIECES_MAX};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::Semaphore;

use crate::processing::handler::{Cause, HandlerError};
use crate::processing::worker::lease::Job;

/// The pieces that are read for one worker.
pub(super) struct Pieces(Arc<Semaphore>);

impl Pieces {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(WORKER_PIECES_MAX)))
    }

    /// Answers with the payload's bytes from a position on. Never waits itself.
    pub(super) fn read(&self, job: Arc<Job>, from: u64, reply: ReplyTo) {
        let places = Arc::clone(&self.0);
        tokio::spawn(async move {
            // Never closed.
            let _place = places.acquire_owned().await;
            let outcome = match job.payload.piece(from, WORKER_PIECE_BYTES_MAX).await {
                Ok(body) => Outcome::Success(Success {
                    body,
                    seq: 0,
                    version: 0,
                }),
                Err(error) => Outcome::Failure(failure(error)),
            };
            reply.answer(outcome);
        });
    }
}

fn failure(error: HandlerError) -> Failure {
    let code = match error.cause {
        // It was let go with the operation, and so is the lease.
        Cause::Lost => ErrorCode::Conflict,
        Cause::Retryable | Cause::Permanent | Cause::PayloadMissing | Cause::Continued(_) => {
            ErrorCode::Unavailable
        }
    };
    Failure::new(code, error.message)
}
