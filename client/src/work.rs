//! The driver's side of a worker: passes on what comes for it, without waiting.

use selvedge_protocol::frame::{StepReport, StepResult, Task, WorkerReady};
use selvedge_protocol::session::client::Machine;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::mpsc;

use crate::call::Ticket;
use crate::events::Listener;
use crate::worker::WorkerEvent;

/// The worker of a session, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Work {
    events: Option<mpsc::Sender<WorkerEvent>>,
}

impl Work {
    /// A worker takes the session over.
    pub(crate) fn begin(
        &mut self,
        ready: WorkerReady,
        events: mpsc::Sender<WorkerEvent>,
        machine: &mut Machine<Ticket, Listener>,
        out: &mut Vec<u8>,
    ) {
        self.events = Some(events);
        machine.work(ready, out);
    }

    /// The worker takes no more tasks.
    pub(crate) fn finish(&self, machine: &mut Machine<Ticket, Listener>, out: &mut Vec<u8>) {
        if self.events.is_some() {
            let ready = WorkerReady {
                types: Vec::new(),
                capacity: 0,
                ext: Vec::new(),
            };
            machine.work(ready, out);
        }
    }

    /// Hands a task over, or back where nobody takes it.
    pub(crate) fn task(
        &self,
        task: Task,
        machine: &mut Machine<Ticket, Listener>,
        out: &mut Vec<u8>,
    ) {
        let lease = task.lease;
        if self.tell(WorkerEvent::Task(task)) {
            return;
        }
        let failure = Failure::new(ErrorCode::Unavailable, "the worker has stopped");
        let result = StepResult {
            lease,
            report: StepReport::Failure(failure),
            ext: Vec::new(),
        };
        machine.report(result, out);
    }

    /// `false`: nobody hears it, or has room for it. What is lost of a void lease comes again after its
    /// next heartbeat.
    pub(crate) fn tell(&self, event: WorkerEvent) -> bool {
        let events = self.events.as_ref();
        events.is_some_and(|events| events.try_send(event).is_ok())
    }
}
