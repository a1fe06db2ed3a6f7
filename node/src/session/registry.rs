//! The live sessions of a node, by id, with what a list tells of each. The session service looks them up; each session
//! actor holds its own entry, so that a crash removes it too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use ractor::ActorRef;
use selvedge_protocol::{SessionId, Tenant};
use tokio::sync::Notify;

use crate::identity::Principal;
use crate::session::handle::ConnectionNumber;
use crate::session::link::Transport;
use crate::session::message::Message;

/// All live sessions.
#[derive(Debug)]
pub(super) struct Registry {
    sessions: DashMap<SessionId, Entry>,
    detached: AtomicUsize,
    detached_max: usize,
    ended: Notify,
}

/// A live session.
#[derive(Debug)]
struct Entry {
    actor: ActorRef<Message>,
    info: SessionInfo,
}

/// Which sessions a list is of. Of all where it says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionFilter<'a> {
    pub tenant: Option<&'a Tenant>,
    /// The name of the principal whose they are.
    pub principal: Option<&'a str>,
}

/// What a list tells of a session.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    pub session: SessionId,
    pub principal: Principal,
    /// Since when it is as it is, with a connection or without: Unix milliseconds.
    pub since_ms: u64,
    /// What its connection runs over; `None`: it has none at the moment.
    pub transport: Option<Transport>,
}

impl SessionFilter<'_> {
    fn has(&self, principal: &Principal) -> bool {
        self.tenant.is_none_or(|tenant| *tenant == principal.tenant)
            && self.principal.is_none_or(|name| *name == *principal.name)
    }
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
            .map(|entry| entry.value().actor.clone())
    }

    /// The first `limit` sessions after one, in the order of their ids, of those that are wanted.
    pub(super) fn list(
        &self,
        wanted: SessionFilter<'_>,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<SessionInfo> {
        let mut first: BTreeMap<SessionId, SessionInfo> = BTreeMap::new();
        for entry in &self.sessions {
            let (id, info) = (*entry.key(), &entry.value().info);
            let is_wanted = wanted.has(&info.principal);
            let is_full = first.len() >= limit;
            let is_beyond = first
                .last_key_value()
                .is_some_and(|(last, _)| is_full && id > *last);
            if !is_wanted || after.is_some_and(|after| id <= after) || is_beyond {
                continue;
            }
            first.insert(id, info.clone());
            if first.len() > limit {
                first.pop_last();
            }
        }
        first.into_values().collect()
    }

    /// What a list tells of one.
    pub(super) fn info(&self, session: SessionId) -> Option<SessionInfo> {
        let entry = self.sessions.get(&session)?;
        Some(entry.value().info.clone())
    }

    /// How many sessions have a connection over each transport, and how many have none.
    pub(super) fn count(&self) -> ([(Transport, usize); Transport::ALL.len()], usize) {
        let mut counts = Transport::ALL.map(|transport| (transport, 0));
        let mut detached = 0;
        for entry in &self.sessions {
            let transport = entry.value().info.transport;
            match counts.iter_mut().find(|(of, _)| Some(*of) == transport) {
                Some((_, count)) => *count += 1,
                None => detached += 1,
            }
        }
        (counts, detached)
    }

    /// Sends a message to each.
    pub(super) fn tell_all(&self, message: impl Fn() -> Message) {
        for entry in &self.sessions {
            // One that has just ended needs to hear nothing.
            let _ = entry.value().actor.send_message(message());
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
        info: SessionInfo,
        actor: ActorRef<Message>,
    ) -> Self {
        let session = info.session;
        let entry = Entry {
            actor: actor.clone(),
            info,
        };
        if let Some(former) = registry.sessions.insert(session, entry) {
            let _ = former.actor.send_message(Message::Replaced);
        }
        Self {
            registry,
            session,
            actor,
            detached_since: None,
        }
    }

    /// Notes that the connection went; `false` if too many are without one.
    pub(super) fn detached(&mut self, connection: ConnectionNumber, now_ms: u64) -> bool {
        self.count_attached();
        self.tell(None, now_ms);
        let before = self.registry.detached.fetch_add(1, Ordering::Relaxed);
        self.detached_since = Some(connection);
        before < self.registry.detached_max
    }

    /// Notes that a connection came.
    pub(super) fn attached(&mut self, transport: Transport, now_ms: u64) {
        self.count_attached();
        self.tell(Some(transport), now_ms);
    }

    fn tell(&self, transport: Option<Transport>, since_ms: u64) {
        if let Some(mut entry) = self.registry.sessions.get_mut(&self.session)
            && entry.actor.get_id() == self.actor.get_id()
        {
            entry.info.transport = transport;
            entry.info.since_ms = since_ms;
        }
    }

    fn count_attached(&mut self) {
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
        self.count_attached();
        let own = self.actor.get_id();
        self.registry
            .sessions
            .remove_if(&self.session, |_, entry| entry.actor.get_id() == own);
        self.registry.ended.notify_one();
    }
}
