//! The way to one other node: keeps a stream to it for as long as there is a connection, sends what is for it
//! and hands its answers back.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_protocol::peer::Service;
use selvedge_protocol::peer::actors::{ActorAnswer, Tell};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::forward::parcel::Parcel;
use crate::forward::pending::{Pending, Reach, Unsent};
use crate::forward::{Doubt, Forward, wire};
use crate::peer::{Connection, Link, LinkState, PeerReader, PeerStream, PeerWriter, StreamError};

#[derive(Debug)]
pub(super) struct Outlet {
    shared: Arc<Shared>,
    /// Counts the outlets of this node.
    number: u64,
    /// The node that it leads to, as it has joined.
    incarnation: u64,
    link: Arc<Link>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    node: String,
    pending: Mutex<Pending>,
    wake: Notify,
}

impl Outlet {
    /// Needs a tokio runtime.
    pub(super) fn open(
        forward: Forward,
        node: String,
        number: u64,
        incarnation: u64,
        link: Arc<Link>,
    ) -> Self {
        let shared = Arc::new(Shared {
            node,
            pending: Mutex::default(),
            wake: Notify::new(),
        });
        let task = tokio::spawn(run(forward, Arc::clone(&shared), Arc::clone(&link)));
        Self {
            shared,
            number,
            incarnation,
            link,
            task: task.abort_handle(),
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The connection, while there is one.
    pub(super) fn connection(&self) -> Option<Connection> {
        match &*self.link.state().borrow() {
            LinkState::Up(connection) => Some(connection.clone()),
            LinkState::Opening | LinkState::Down(_) => None,
        }
    }

    /// Sends a parcel, now or once there is a stream. Hands it back if the node is gone.
    pub(super) fn send(
        &self,
        now: Instant,
        plan: u64,
        parcel: Box<Parcel>,
    ) -> Result<(), Box<Parcel>> {
        let sent = self.shared.pending.lock().send(now, plan, parcel);
        match sent {
            Ok(()) => self.shared.wake.notify_one(),
            Err(Unsent::TooLarge(parcel)) => parcel.refuse_as_too_large(),
            Err(Unsent::Gone(parcel)) => return Err(parcel),
        }
        Ok(())
    }

    pub(super) fn tell(&self, tell: Tell) {
        self.shared.pending.lock().tell(tell);
        self.shared.wake.notify_one();
    }

    /// What is not to wait here any longer: its time is over, or it may go elsewhere.
    pub(super) fn look(
        &self,
        now: Instant,
        reach: Reach,
        has_moved: impl Fn(&Parcel) -> bool,
    ) -> Look {
        let mut pending = self.shared.pending.lock();
        Look {
            expired: pending.expired(now),
            moved: pending.moved(reach, has_moved),
        }
    }

    /// The node is gone: everything that it has not answered goes elsewhere.
    pub(super) fn close(&self) -> Vec<Box<Parcel>> {
        self.task.abort();
        self.shared.pending.lock().close()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) struct Look {
    pub(super) expired: Vec<Box<Parcel>>,
    pub(super) moved: Vec<Box<Parcel>>,
}

async fn run(forward: Forward, shared: Arc<Shared>, link: Arc<Link>) {
    let mut state = link.state();
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            LinkState::Opening => {}
            LinkState::Down(_) => forward.doubt(Doubt::Node(shared.node.clone())),
            LinkState::Up(connection) => {
                let error = converse(&forward, &shared, &connection).await;
                shared.pending.lock().disconnect();
                let node = &shared.node;
                tracing::debug!(node, %error, "no stream to a node any more");
                // The connection is not this outlet's alone. If it lasts, another stream on it is the remedy.
                if connection.close_reason().is_none() {
                    drop(connection);
                    let _ = tokio::time::timeout(STREAM_PAUSE, state.changed()).await;
                    continue;
                }
            }
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Sends and hears until the stream breaks.
async fn converse(forward: &Forward, shared: &Shared, connection: &Connection) -> StreamError {
    let (mut reader, mut writer) = match PeerStream::open(connection, Service::Actors).await {
        Ok(stream) => stream.split(),
        Err(error) => return error,
    };
    let plan = forward.view().plan.number;
    let too_large = shared.pending.lock().connect(Instant::now(), plan);
    for parcel in too_large {
        parcel.refuse_as_too_large();
    }
    tokio::select! {
        biased;
        ended = hear(forward, shared, &mut reader) => ended,
        ended = say(shared, &mut writer) => ended,
    }
}

async fn say(shared: &Shared, writer: &mut PeerWriter) -> StreamError {
    loop {
        let out = shared.pending.lock().take_out();
        if out.is_empty() {
            shared.wake.notified().await;
            // Others that ask in this moment share the packet.
            tokio::task::yield_now().await;
            continue;
        }
        if let Err(error) = writer.write(&out).await {
            return error;
        }
    }
}

async fn hear(forward: &Forward, shared: &Shared, reader: &mut PeerReader) -> StreamError {
    loop {
        match reader.read().await {
            Ok(Some(ActorAnswer::Answer(answer))) => {
                let parcel = shared.pending.lock().answered(answer.id);
                if let Some(parcel) = parcel {
                    forward.answered(parcel, wire::outcome(answer));
                }
            }
            Ok(Some(ActorAnswer::Elsewhere(elsewhere))) => {
                let parcel = shared.pending.lock().answered(elsewhere.id);
                if let Some(parcel) = parcel {
                    forward.elsewhere(&shared.node, parcel, elsewhere);
                }
            }
            Ok(Some(ActorAnswer::Opened(_) | ActorAnswer::Item(_) | ActorAnswer::Ended(_))) => {
                tracing::warn!(node = shared.node, "a node tells events among its answers");
                return StreamError::Cut;
            }
            Ok(None) => return StreamError::Cut,
            Err(error) => return error,
        }
    }
}

/// Before another stream is opened in place of one that broke: the other node may be about to stop.
const STREAM_PAUSE: Duration = Duration::from_millis(100);
