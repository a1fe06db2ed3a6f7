//! A lease: one worker has one task, for as long as it is heard of.
//!
//! The remote handler holds it. Dropped before its end, the worker is told that nobody waits any more.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_protocol::{Failure, OperationId};
use tokio::sync::Notify;

use crate::processing::payload::Source;
use crate::processing::worker::TaskOutbox;
use crate::processing::worker::desk::Desk;
use crate::processing::worker::roster::WorkerId;

/// How a lease ended.
#[derive(Debug)]
pub(super) enum LeaseEnd {
    /// The worker's result, JSON text.
    Success(Bytes),
    Failure(Failure),
    /// The worker has gone.
    Lost,
    /// The task did not reach the worker.
    Refused,
}

/// What a lease is for: what its worker may read.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) operation: OperationId,
    pub(super) payload: Source,
}

/// What a lease has heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// The worker is at work; its progress, JSON text, if it told any.
    Beat(Option<Bytes>),
    End(LeaseEnd),
}

/// What desk and holder share of a lease.
#[derive(Debug, Default)]
pub(super) struct Cell {
    said: Mutex<Said>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Said {
    has_beaten: bool,
    progress: Option<Bytes>,
    end: Option<LeaseEnd>,
}

impl Cell {
    pub(super) fn beat(&self, progress: Bytes) {
        {
            let mut said = self.said.lock();
            said.has_beaten = true;
            if !progress.is_empty() {
                said.progress = Some(progress);
            }
        }
        self.changed.notify_one();
    }

    pub(super) fn end(&self, end: LeaseEnd) {
        self.said.lock().end = Some(end);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Heard> {
        let mut said = self.said.lock();
        if std::mem::take(&mut said.has_beaten) {
            return Some(Heard::Beat(said.progress.take()));
        }
        said.end.take().map(Heard::End)
    }
}

/// The holder's end.
pub(super) struct Lease {
    pub(super) number: u64,
    pub(super) worker: WorkerId,
    pub(super) desk: Arc<Desk>,
    pub(super) outbox: Arc<dyn TaskOutbox>,
    pub(super) cell: Arc<Cell>,
}

impl Lease {
    /// The next that is heard of the worker. Loses nothing when it is dropped while it waits.
    pub(super) async fn heard(&self) -> Heard {
        loop {
            if let Some(heard) = self.cell.take() {
                return heard;
            }
            self.cell.changed.notified().await;
        }
    }

    /// The worker was not heard of in time.
    pub(super) fn ran_out(self) {
        self.desk.silence(self.worker);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.desk.forget(self.number) {
            self.outbox.cancelled(self.number);
        }
    }
}
