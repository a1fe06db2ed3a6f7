//! What a session actor hears: from its connections, from the gateway, and from the node. What holds a session sends
//! it; the actor alone acts on it.

use std::sync::Arc;

use selvedge_protocol::Failure;
use selvedge_protocol::frame::{ClientFrame, Task, Welcome};

use crate::identity::Principal;
use crate::limit::Allowance;
use crate::session::elsewhere::{Elsewhere, Told};
use crate::session::handle::{BatchPermit, ConnectionNumber, PayloadCommand};
use crate::session::link::LinkSender;

/// What a session actor hears.
#[derive(Debug)]
pub(super) enum Message {
    Attach(Box<Attachment>),
    Frames {
        connection: ConnectionNumber,
        frames: Vec<ClientFrame>,
        /// Given back once the batch is done.
        _permit: BatchPermit,
    },
    PayloadCommand(ConnectionNumber, Box<PayloadCommand>),
    /// No more bytes of a streamed payload come.
    PayloadEnded(ConnectionNumber),
    SubscriptionOpened(ConnectionNumber, u64, Box<Result<u64, Failure>>),
    SubscriptionEnded(ConnectionNumber, u64, Box<Option<Failure>>),
    /// Answers are in the inbox.
    Answers,
    /// For the client, as a worker.
    Task(Box<Task>),
    /// Nobody waits for the task of this lease any more.
    TaskCancelled(u64),
    Detached(ConnectionNumber),
    /// The credential that this connection came with may have expired.
    LookAtCredential(ConnectionNumber),
    /// Nobody has come back since this connection went.
    Expired(ConnectionNumber),
    /// The node stops in this many milliseconds.
    Drain {
        deadline_ms: u32,
    },
    /// The session is to go on at another node, while this one goes on as well.
    Move,
    /// Its commands have had their time.
    MoveNow(ConnectionNumber),
    /// The node stops now.
    Stop,
    /// An administrator ends the session.
    Close,
    /// Another actor serves this session now: two connections resumed it at once.
    Replaced,
}

/// A connection for a session.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) connection: ConnectionNumber,
    /// Who it is, by the credential that it came with: what that allows counts, not what one before it did.
    pub(super) principal: Principal,
    /// What it may use.
    pub(super) allowance: Allowance,
    pub(super) link: LinkSender,
    pub(super) welcome: Welcome,
    /// The other nodes that the Welcome tells of.
    pub(super) told: Told,
    /// The choice among them.
    pub(super) elsewhere: Arc<Elsewhere>,
}
