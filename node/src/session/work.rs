//! A session as a worker: between the protocol's machine, which counts what is out, and the desk of the
//! node, which gives tasks out. The session actor owns it.

use std::sync::Arc;

use ractor::ActorRef;
use selvedge_cluster::actor::ReplyTo;
use selvedge_protocol::frame::{Outcome, StepResult, Task, WorkerReady};
use selvedge_protocol::{ErrorCode, Failure, OperationId};

use crate::gateway::{Caller, Service};
use crate::identity::{Action, Permission, Principal, Resource, authorize};
use crate::processing::worker::{Enlisted, TaskOutbox, Workers, not_held};
use crate::session::message::Message;

/// What a session needs to be a worker, and what it has once it is one.
pub(super) struct Work {
    /// `None`: this node hands out no steps.
    workers: Option<Workers>,
    enlisted: Option<Enlisted>,
}

impl Work {
    pub(super) const fn new(workers: Option<Workers>) -> Self {
        Self {
            workers,
            enlisted: None,
        }
    }

    /// The client is ready for tasks. An error ends its connection.
    pub(super) fn ready(
        &mut self,
        service: &dyn Service,
        caller: &Caller,
        session: &ActorRef<Message>,
        ready: &WorkerReady,
    ) -> Result<(), Failure> {
        let principal = &caller.principal;
        authorize(principal, WORK).inspect_err(|_| service.denied(principal, WORK))?;
        let Some(workers) = &self.workers else {
            return Err(Failure::new(
                ErrorCode::UnknownCommand,
                "this node does not hand out steps to workers",
            ));
        };
        let enlisted = self.enlisted.get_or_insert_with(|| {
            let outbox = Arc::new(Outbox(session.clone()));
            workers.enlist(principal.tenant.clone(), outbox)
        });
        enlisted.ready(ready)
    }

    /// The session goes on with this credential, which may allow less than the one before.
    pub(super) fn go_on_as(&mut self, principal: &Principal) {
        if authorize(principal, WORK).is_err() {
            self.leave();
        }
    }

    /// No tasks are wanted, until the client says so again.
    pub(super) fn away(&self) {
        if let Some(enlisted) = &self.enlisted {
            enlisted.away();
        }
    }

    /// The session ends, and all that it holds is given to others.
    pub(super) fn leave(&mut self) {
        self.enlisted = None;
    }

    pub(super) fn report(&self, result: StepResult) {
        if let Some(enlisted) = &self.enlisted {
            enlisted.report(result);
        }
    }

    pub(super) fn freed(&self, lease: u64) {
        if let Some(enlisted) = &self.enlisted {
            enlisted.freed(lease);
        }
    }

    /// Answers with a piece of the payload of a task that the client is at.
    pub(super) fn read_payload(&self, operation: &OperationId, body: &[u8], reply: ReplyTo) {
        match &self.enlisted {
            Some(enlisted) => enlisted.read_payload(operation, body, reply),
            None => reply.answer(Outcome::Failure(not_held(operation))),
        }
    }

    /// The task cannot be sent by now.
    pub(super) fn refuse(&self, lease: u64) {
        if let Some(enlisted) = &self.enlisted {
            enlisted.refused(lease);
        }
    }
}

/// What workers need.
const WORK: Permission = Permission::new(Resource::Operation, Action::Work);

/// The mailbox of a session. The desk puts no more into it than the client takes.
struct Outbox(ActorRef<Message>);

impl TaskOutbox for Outbox {
    fn task(&self, task: Task) {
        // A session that has ended has left the desk, or is about to.
        let _ = self.0.send_message(Message::Task(Box::new(task)));
    }

    fn cancelled(&self, lease: u64) {
        let _ = self.0.send_message(Message::TaskCancelled(lease));
    }
}
