//! What a session does as a worker: the leases it has, and how many more it may get.
//!
//! Part of the server half. Who gets which task is decided inside the node; here it is made sure that no
//! more are out than the worker takes, and that only what it holds is heard.

use std::collections::HashMap;

use super::{Action, Session};
use crate::error::{ErrorCode, Failure};
use crate::frame::{Notice, Query, ServerFrame, StepReport, StepResult, Task, WorkerReady};
use crate::limits::{WORKER_CAPACITY_MAX, WORKER_TYPES_MAX};
use crate::task_payload;

/// The tasks of a worker.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// What the worker takes at a time; 0 until it has said so on this connection.
    capacity: u32,
    /// What is out: whoever has a void lease still has to say that its work has ended.
    leases: HashMap<u64, Lease>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lease {
    Held,
    Void,
}

impl Tasks {
    pub(super) fn has_leases(&self) -> bool {
        self.leases.values().any(|lease| *lease == Lease::Held)
    }

    fn has_room(&self) -> bool {
        u32::try_from(self.leases.len()).is_ok_and(|out| out < self.capacity)
    }
}

impl Session {
    /// Gives a task out. `None`: the worker takes no more, or none at all by now.
    pub fn task(&mut self, task: Task) -> Option<ServerFrame> {
        if self.is_draining || !self.is_attached {
            return None;
        }
        let tasks = self.tasks.as_mut().filter(|tasks| tasks.has_room())?;
        tasks.leases.insert(task.lease, Lease::Held);
        Some(ServerFrame::Task(task))
    }

    /// The inside waits for a task no longer. The notice for the worker, if it is at work on it; it holds
    /// its place until it says that it is not.
    pub fn task_cancelled(&mut self, lease: u64) -> Option<ServerFrame> {
        let held = self.tasks.as_mut()?.leases.get_mut(&lease)?;
        *held = Lease::Void;
        self.is_attached.then(|| cancelled(lease))
    }

    /// Tasks that are out.
    pub fn tasks_out(&self) -> usize {
        self.tasks.as_ref().map_or(0, |tasks| tasks.leases.len())
    }

    /// Whether a query is part of the work on a task that is out: such work is let finish.
    pub(super) fn is_for_a_task(&self, query: &Query) -> bool {
        let has_leases = self.tasks.as_ref().is_some_and(|tasks| tasks.has_leases());
        query.name == task_payload::QUERY && has_leases
    }

    /// Until it says so again, the worker takes no tasks. What is out is not touched.
    pub(super) fn tasks_away(&mut self) {
        if let Some(tasks) = &mut self.tasks {
            tasks.capacity = 0;
            if tasks.leases.is_empty() {
                self.tasks = None;
            }
        }
    }

    pub(super) fn handle_ready(&mut self, mut ready: WorkerReady) -> Result<Action, Failure> {
        if ready.types.len() > WORKER_TYPES_MAX {
            return Err(Failure::field(
                ErrorCode::LimitExceeded,
                "types",
                format!("a worker has at most {WORKER_TYPES_MAX} types; open more sessions"),
            ));
        }
        if self.is_draining {
            return Ok(Action::Nothing);
        }
        ready.capacity = match ready.types.is_empty() {
            true => 0,
            false => ready.capacity.min(WORKER_CAPACITY_MAX),
        };
        self.tasks.get_or_insert_default().capacity = ready.capacity;
        Ok(Action::Ready(ready))
    }

    pub(super) fn handle_result(&mut self, result: StepResult) -> Action {
        let lease = result.lease;
        let Some(tasks) = &mut self.tasks else {
            return Action::Send(refused(lease));
        };
        let held = tasks.leases.get(&lease).copied();
        let is_end = !matches!(result.report, StepReport::Heartbeat(_));
        if is_end {
            tasks.leases.remove(&lease);
        }
        match (held, &result.report) {
            (None, _) => Action::Send(refused(lease)),
            (Some(Lease::Held), _) => Action::Report(result),
            (Some(Lease::Void), StepReport::Heartbeat(_)) => Action::Send(cancelled(lease)),
            (Some(Lease::Void), StepReport::Success(_)) => Action::Freed {
                lease,
                notice: Some(refused(lease)),
            },
            (Some(Lease::Void), StepReport::Failure(_)) => Action::Freed {
                lease,
                notice: None,
            },
        }
    }
}

const fn cancelled(lease: u64) -> ServerFrame {
    ServerFrame::Notice(Notice::TaskCancelled { lease })
}

const fn refused(lease: u64) -> ServerFrame {
    ServerFrame::Notice(Notice::ResultRefused { lease })
}

#[cfg(test)]
mod tests;
