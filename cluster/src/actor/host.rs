//! The host: runs the actors of the slots that this node owns.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::frame::{Outcome, Since};
use selvedge_protocol::{ActorKind, Failure, SessionId, Tenant};

use crate::Clock;
use crate::actor::kind::Kind;
use crate::actor::request::{CommandRequest, QueryRequest, ReplyTo, ScopedAddress, Subscription};
use crate::store::{self, Store};

/// The bounds of a host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The name of this node, written into the fences it takes.
    pub node: String,
    /// How long an actor stays activated without work, milliseconds.
    pub idle_ms: u64,
}

/// Kinds to be hosted, by name.
#[derive(Default)]
pub struct Kinds {}

impl Kinds {
    /// Adds a kind.
    #[must_use]
    pub fn with<K: Kind>(self, kind: K) -> Self {
        let _ = kind;
        unimplemented!()
    }
}

/// A cheap handle on the host.
#[derive(Debug, Clone)]
pub struct Host {}

impl Host {
    /// Takes all slots and begins to serve.
    pub async fn start(
        config: HostConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        kinds: Kinds,
    ) -> Result<Self, store::Error> {
        let _ = (config, store, clock, kinds);
        unimplemented!()
    }

    /// Sends a command to its actor. Never waits; refusals come as answers.
    pub fn command(&self, request: CommandRequest, reply: ReplyTo) {
        let _ = (request, reply);
        unimplemented!()
    }

    /// The same, waiting for the answer.
    pub async fn ask(&self, request: CommandRequest) -> Outcome {
        let _ = request;
        unimplemented!()
    }

    /// Sends a query to its actor. Never waits.
    pub fn query(&self, request: QueryRequest, reply: ReplyTo) {
        let _ = (request, reply);
        unimplemented!()
    }

    /// The events of an actor from a position on. Does not activate it.
    pub async fn subscribe(
        &self,
        actor: ScopedAddress,
        since: Since,
    ) -> Result<Subscription, Failure> {
        let _ = (actor, since);
        unimplemented!()
    }

    /// Tells whoever is subscribed to the actor on this node now. Lossy.
    pub fn tell_subscribers(
        &self,
        actor: &ScopedAddress,
        from: SessionId,
        name: &str,
        data: &Bytes,
    ) {
        let _ = (actor, from, name, data);
        unimplemented!()
    }

    /// Keys of the actors of a kind in order, after `after`, at most `limit`.
    pub async fn list(
        &self,
        tenant: &Tenant,
        kind: &ActorKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, store::Error> {
        let _ = (tenant, kind, after, limit);
        unimplemented!()
    }

    /// Takes no more requests, lets decided ones commit, ends all actors.
    pub async fn stop(&self) {
        unimplemented!()
    }
}
