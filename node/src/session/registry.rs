//! The live sessions of a node, by id. The session service looks them up; each session actor holds its
//! own entry, so that a crash removes it too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use ractor::ActorRef;
use selvedge_protocol::SessionId;
use tokio::sync::Notify;

use crate::session::actor::Message;
use crate::session::handle::ConnectionNumber;

/// All live sessions.
#[derive(Debug)]
pub(super) struct Registry {
    sessions: DashMap<SessionId, ActorRef<Message>>,
    detached: AtomicUsize,
    detached_max: usize,
    ended: Notify,
}

impl Registry {
    pub(super) fn new(detached_max: usize) -> Self {
        Self {
            sessions: DashMap::new(),
            detached: AtomicUsize::new(0),
            detached_max,
            ended: Notify::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn find(&self, session: SessionId) -> Option<ActorRef<Message>> {
        self.sessions
            .get(&session)
            .map(|entry| entry.value().clone())
    }

    /// Sends a message to each.
    pub(super) fn tell_all(&self, message: impl Fn() -> Message) {
        for entry in &self.sessions {
            // One that has just ended needs to hear nothing.
            let _ = entry.value().send_message(message());
        }
    }

    /// Waits until there is none. For one waiter at a time.
    pub(super) async fn empty(&self) {
        while !self.sessions.is_empty() {
            self.ended.notified().await;
        }
        // The edge and the bridge may both wait.
        self.ended.notify_one();
    }
}

/// A session's own entry.
pub(super) struct Registration {
    registry: Arc<Registry>,
    session: SessionId,
    actor: ActorRef<Message>,
    detached_since: Option<ConnectionNumber>,
}

impl Registration {
    /// Enters a session, in the place of one of the same id.
    pub(super) fn new(
        registry: Arc<Registry>,
        session: SessionId,
        actor: ActorRef<Message>,
    ) -> Self {
        let former = registry.sessions.insert(session, actor.clone());
        if let Some(former) = former {
            let _ = former.send_message(Message::Replaced);
        }
        Self {
            registry,
            session,
            actor,
            detached_since: None,
        }
    }

    /// Notes that the connection went; `false` if too many are without one.
    pub(super) fn detached(&mut self, connection: ConnectionNumber) -> bool {
        self.attached();
        let before = self.registry.detached.fetch_add(1, Ordering::Relaxed);
        self.detached_since = Some(connection);
        before < self.registry.detached_max
    }

    /// Notes that a connection came.
    pub(super) fn attached(&mut self) {
        if self.detached_since.take().is_some() {
            self.registry.detached.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether nobody has come since this connection went.
    pub(super) fn is_detached_since(&self, connection: ConnectionNumber) -> bool {
        self.detached_since == Some(connection)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.attached();
        let own = self.actor.get_id();
        self.registry
            .sessions
            .remove_if(&self.session, |_, actor| actor.get_id() == own);
        self.registry.ended.notify_one();
    }
}
