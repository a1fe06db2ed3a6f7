//! The handle on a session: what a program calls. Cheap to clone; the driver does the work.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::Target;
use selvedge_protocol::frame::{EphemeralSend, Since, StepReport, StepResult, WorkerReady};
use selvedge_protocol::session::client::{NewCommand, NewQuery};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use crate::call::{Body, CommandCall, QueryCall, Ticket};
use crate::error::CallError;
use crate::events::{Events, Listener};
use crate::transport::Endpoints;
use crate::worker::WorkerEvent;

/// A session with the cluster. It outlives connections: calls that are waiting when one breaks are
/// answered over the next. When all clones and all [`Events`] are dropped, it ends.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

/// The callers' ends of the driver's channels.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) commands: mpsc::Sender<(NewCommand, Ticket)>,
    pub(crate) queries: mpsc::Sender<(NewQuery, Ticket)>,
    pub(crate) controls: mpsc::Sender<Control>,
    /// Set to end the session; dropped with the last handle, which means the same.
    pub(crate) closing: watch::Sender<bool>,
    /// Closed when the driver has ended.
    pub(crate) ended: watch::Receiver<()>,
    pub(crate) endpoints: Arc<Endpoints>,
}

/// What a caller wants of the driver, calls apart.
#[derive(Debug)]
pub(crate) enum Control {
    Subscribe {
        target: Target,
        since: Since,
        listener: Listener,
    },
    Tell(EphemeralSend),
    /// The session is a worker's from now on; it hears of its tasks here.
    Work {
        ready: WorkerReady,
        events: mpsc::Sender<WorkerEvent>,
    },
    /// It takes no more tasks; what it is at goes on.
    TakeNoMoreWork,
    Report(StepResult),
}

impl Session {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A command: a request that may change its target, at most once.
    pub fn command(
        &self,
        target: Target,
        name: impl Into<String>,
        body: impl Into<Body>,
    ) -> CommandCall<'_> {
        CommandCall::new(self, target, name.into(), body.into())
    }

    /// A query: a read of its target, as of now.
    pub fn query(
        &self,
        target: Target,
        name: impl Into<String>,
        body: impl Into<Body>,
    ) -> QueryCall<'_> {
        QueryCall::new(self, target, name.into(), body.into())
    }

    /// The events of a target from a position on. Refusals come as an error of the stream.
    pub async fn subscribe(&self, target: Target, since: Since) -> Result<Events, CallError> {
        let (listener, events) = Events::new(self.clone());
        let control = Control::Subscribe {
            target,
            since,
            listener,
        };
        self.control(control).await?;
        Ok(events)
    }

    /// Sends a message to whoever listens to the target now. It is not stored and may get lost, so
    /// success says only that it left.
    pub async fn tell(
        &self,
        target: Target,
        name: impl Into<String>,
        data: Bytes,
    ) -> Result<(), CallError> {
        let name = name.into();
        self.control(Control::Tell(EphemeralSend { target, name, data }))
            .await
    }

    /// Ends the session: tells the server, fails what is waiting with [`CallError::Closed`].
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        let mut ended = self.shared.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    pub(crate) async fn enqueue_command(
        &self,
        new: NewCommand,
        ticket: Ticket,
    ) -> Result<(), CallError> {
        enqueue(&self.shared.commands, (new, ticket)).await
    }

    pub(crate) async fn enqueue_query(
        &self,
        new: NewQuery,
        ticket: Ticket,
    ) -> Result<(), CallError> {
        enqueue(&self.shared.queries, (new, ticket)).await
    }

    pub(crate) async fn work(
        &self,
        ready: WorkerReady,
        events: mpsc::Sender<WorkerEvent>,
    ) -> Result<(), CallError> {
        self.control(Control::Work { ready, events }).await
    }

    pub(crate) async fn take_no_more_work(&self) -> Result<(), CallError> {
        self.control(Control::TakeNoMoreWork).await
    }

    /// Says how a task ended, once there is a connection to say it on.
    pub(crate) async fn report(&self, lease: u64, report: StepReport) {
        // A session that has ended has no leases.
        let _ = self
            .control(Control::Report(step_result(lease, report)))
            .await;
    }

    /// Says how a task stands, now or not at all.
    pub(crate) fn try_report(&self, lease: u64, report: StepReport) {
        let control = Control::Report(step_result(lease, report));
        let _ = self.shared.controls.try_send(control);
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    async fn control(&self, control: Control) -> Result<(), CallError> {
        enqueue(&self.shared.controls, control).await
    }
}

const fn step_result(lease: u64, report: StepReport) -> StepResult {
    StepResult {
        lease,
        report,
        ext: Vec::new(),
    }
}

/// Queues what a caller wants. Mostly there is room, and nothing to wait for; where there is none, callers
/// get theirs in the order in which they came.
async fn enqueue<T>(queue: &mpsc::Sender<T>, item: T) -> Result<(), CallError> {
    let item = match queue.try_send(item) {
        Ok(()) => return Ok(()),
        Err(TrySendError::Full(item)) => item,
        Err(TrySendError::Closed(_)) => return Err(CallError::Closed),
    };
    queue.send(item).await.map_err(|_| CallError::Closed)
}
