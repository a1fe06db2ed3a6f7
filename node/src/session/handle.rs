//! What connections hold of their sessions: ways to hand over what comes, and to report. They wait for the
//! session only where they ask for leave to hand over more.

use std::sync::Arc;

use ractor::ActorRef;
use selvedge_protocol::frame::{ClientFrame, Command, Reply};
use selvedge_protocol::{Failure, SessionId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::gateway::CommandPayload;
use crate::limit::Allowance;
use crate::session::message::Message;

/// A connection's hold on its session. Dropped, it leaves the session detached.
#[derive(Debug)]
pub struct SessionHandle {
    session: SessionId,
    connection: ConnectionNumber,
    actor: ActorRef<Message>,
    /// One permit per batch of frames in the mailbox, which itself has no bound.
    batches: Batches,
}

/// Tells the connections of a node apart, so that a session ignores what comes from an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionNumber(pub(super) u64);

/// Leave to hand over one batch of frames.
#[derive(Debug)]
pub struct BatchPermit {
    _permit: OwnedSemaphorePermit,
}

/// The leaves of a connection, for whoever reads for it.
#[derive(Debug, Clone)]
pub struct Batches {
    permits: Arc<Semaphore>,
    allowance: Allowance,
}

impl Batches {
    /// What the connection may use, for who reads from it.
    pub(crate) const fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// As [`SessionHandle::permit`].
    pub async fn permit(&self) -> Option<BatchPermit> {
        Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .ok()
            .map(|permit| BatchPermit { _permit: permit })
    }
}

/// Batches a connection may have in its session's mailbox: one at work, one to follow.
const BATCHES_MAX: usize = 2;

/// A command that came with a payload of its own.
#[derive(Debug)]
pub struct PayloadCommand {
    pub command: Command,
    pub payload: CommandPayload,
    /// Where its reply goes. Dropped where there is none for this connection.
    pub reply: oneshot::Sender<Reply>,
}

impl SessionHandle {
    pub(super) fn new(
        session: SessionId,
        connection: ConnectionNumber,
        actor: ActorRef<Message>,
        allowance: Allowance,
    ) -> Self {
        Self {
            session,
            connection,
            actor,
            batches: Batches {
                permits: Arc::new(Semaphore::new(BATCHES_MAX)),
                allowance,
            },
        }
    }

    /// What the connection may use, for who reads from it.
    pub(crate) const fn allowance(&self) -> &Allowance {
        &self.batches.allowance
    }

    /// The id of the session.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Waits until the session can take a batch. `None` once it has ended.
    pub async fn permit(&self) -> Option<BatchPermit> {
        self.batches.permit().await
    }

    /// Leave to be asked for elsewhere. It does not keep the session attached.
    pub fn batches(&self) -> Batches {
        self.batches.clone()
    }

    /// Leave at once or not at all: for what may be lost.
    pub fn try_permit(&self) -> Option<BatchPermit> {
        Arc::clone(&self.batches.permits)
            .try_acquire_owned()
            .ok()
            .map(|permit| BatchPermit { _permit: permit })
    }

    /// Hands over frames in their order.
    pub fn frames(&self, permit: BatchPermit, frames: Vec<ClientFrame>) {
        self.send(Message::Frames {
            connection: self.connection,
            frames,
            _permit: permit,
        });
    }

    /// What the tasks of a connection need to report, without keeping the session attached.
    pub fn reporter(&self) -> SessionReporter {
        SessionReporter {
            connection: self.connection,
            actor: self.actor.clone(),
        }
    }

    fn send(&self, message: Message) {
        // A session that has ended has ended its link as well, and that is where connections hear it.
        let _ = self.actor.send_message(message);
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        self.send(Message::Detached(self.connection));
    }
}

/// A way to report to the session of a connection, for the tasks of its streams.
#[derive(Debug, Clone)]
pub struct SessionReporter {
    connection: ConnectionNumber,
    actor: ActorRef<Message>,
}

impl SessionReporter {
    /// Hands over a command that came on a stream of its own. Callers are bounded by the streams a
    /// client may open.
    pub fn payload_command(&self, command: PayloadCommand) {
        self.send(Message::PayloadCommand(self.connection, Box::new(command)));
    }

    /// The bytes of a streamed payload have ended, however they did.
    pub fn payload_ended(&self) {
        self.send(Message::PayloadEnded(self.connection));
    }

    /// The subscription was opened after a position, or could not be.
    pub fn subscription_opened(&self, id: u64, opened: Result<u64, Failure>) {
        self.send(Message::SubscriptionOpened(
            self.connection,
            id,
            Box::new(opened),
        ));
    }

    /// The subscription has ended by itself.
    pub fn subscription_ended(&self, id: u64, failure: Option<Failure>) {
        self.send(Message::SubscriptionEnded(
            self.connection,
            id,
            Box::new(failure),
        ));
    }

    fn send(&self, message: Message) {
        let _ = self.actor.send_message(message);
    }
}
