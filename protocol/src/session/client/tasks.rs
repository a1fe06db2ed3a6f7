//! The client as a worker: what it takes, and what of it is out. Part of the client half.

use std::collections::HashMap;

use super::answers::violation;
use super::pending::append;
use super::{Machine, Output};
use crate::error::{ErrorCode, Failure};
use crate::frame::{ClientFrame, Notice, StepReport, StepResult, Task, WorkerReady};

/// What a worker has said and got.
#[derive(Debug)]
pub(super) struct Tasks {
    ready: WorkerReady,
    /// The most that it has ever taken at a time: tasks cross with a word that it takes less.
    capacity_max: u32,
    /// Leases whose end was not said, and whether they came over this connection: a server that has lost
    /// its memory of the others counts anew.
    leases: HashMap<u64, bool>,
}

impl<C, S> Machine<C, S> {
    /// Says which tasks the client takes, now and on each later connection.
    pub fn work(&mut self, ready: WorkerReady, out: &mut Vec<u8>) {
        if self.is_ready {
            append(&ClientFrame::WorkerReady(ready.clone()), out);
        }
        match &mut self.tasks {
            None => {
                self.tasks = Some(Box::new(Tasks {
                    capacity_max: ready.capacity,
                    ready,
                    leases: HashMap::new(),
                }));
            }
            Some(tasks) => {
                tasks.capacity_max = tasks.capacity_max.max(ready.capacity);
                tasks.ready = ready;
            }
        }
    }

    /// Says how a task stands. Nothing is said of one that the server has given up, nor without a connection.
    pub fn report(&mut self, result: StepResult, out: &mut Vec<u8>) {
        let Some(tasks) = self.tasks.as_mut().filter(|_| self.is_ready) else {
            return;
        };
        let is_known = match result.report {
            StepReport::Heartbeat(_) => tasks.leases.contains_key(&result.lease),
            StepReport::Success(_) | StepReport::Failure(_) => {
                tasks.leases.remove(&result.lease).is_some()
            }
        };
        if is_known {
            append(&ClientFrame::StepResult(result), out);
        }
    }

    /// Tasks whose end was not said.
    pub fn tasks_out(&self) -> usize {
        self.tasks.as_ref().map_or(0, |tasks| tasks.leases.len())
    }

    /// The session is open on a new connection.
    pub(super) fn send_ready(&mut self, resumed: bool, out: &mut Vec<u8>) {
        let Some(tasks) = &mut self.tasks else {
            return;
        };
        if !resumed {
            // They were of a session that is gone.
            tasks.leases.clear();
        }
        tasks
            .leases
            .values_mut()
            .for_each(|is_here| *is_here = false);
        append(&ClientFrame::WorkerReady(tasks.ready.clone()), out);
    }

    pub(super) fn handle_task(&mut self, task: Task) -> Output<C, S> {
        let Some(tasks) = &mut self.tasks else {
            return violation("a task came to a client that is no worker");
        };
        let out = tasks.leases.values().filter(|is_here| **is_here).count();
        if u32::try_from(out).is_ok_and(|out| out < tasks.capacity_max) {
            tasks.leases.insert(task.lease, true);
            return Output::Task(task);
        }
        violation("a task came to a worker that has its fill")
    }

    pub(super) fn handle_notice(&mut self, notice: Notice, out: &mut Vec<u8>) -> Output<C, S> {
        let leases = self.tasks.as_mut().map(|tasks| &mut tasks.leases);
        match notice {
            Notice::TaskCancelled { lease } => {
                if leases.is_none_or(|leases| !leases.contains_key(&lease)) {
                    // Its end was said and has got lost, or is on its way: the place is free either way.
                    let failure = Failure::new(ErrorCode::Unavailable, "the work has ended");
                    let end = StepResult {
                        lease,
                        report: StepReport::Failure(failure),
                        ext: Vec::new(),
                    };
                    append(&ClientFrame::StepResult(end), out);
                    return Output::None;
                }
            }
            Notice::ResultRefused { lease } => {
                if let Some(leases) = leases {
                    leases.remove(&lease);
                }
            }
            Notice::Draining { .. } | Notice::Limited { .. } => {}
        }
        Output::Notice(notice)
    }
}

#[cfg(test)]
mod tests;
