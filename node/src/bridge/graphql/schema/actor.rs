//! Actors in the schema. Naming one costs nothing; its state is read where it is asked for, once.

use async_graphql::{Context, ID, Object};
use bytes::Bytes;
use selvedge_protocol::frame::Success;
use selvedge_protocol::{ActorAddress, Target};

use crate::bridge::graphql::call::Call;
use crate::bridge::graphql::error::Refusal;
use crate::bridge::graphql::schema::identity::actor_id;
use crate::bridge::graphql::schema::scalar::{AnyJson, UInt64, any};

/// A durable, single-owner state machine.
#[derive(Debug, Clone)]
pub(super) struct Actor(pub(super) ActorAddress);

impl Actor {
    async fn read(&self, context: &Context<'_>) -> Result<Success, Refusal> {
        let target = Target::Actor(self.0.clone());
        let body = Bytes::from_static(b"{}");
        Call::of(context)?.query(target, "state", body).await
    }
}

#[Object(name = "Actor")]
impl Actor {
    /// Names it over all types.
    pub(super) async fn id(&self) -> ID {
        actor_id(&self.0)
    }

    async fn kind(&self) -> &str {
        self.0.kind.as_str()
    }

    async fn key(&self) -> &str {
        self.0.key.as_str()
    }

    /// Its state, linearizable.
    #[graphql(complexity = 10)]
    async fn state(&self, context: &Context<'_>) -> Result<Option<AnyJson>, Refusal> {
        any(&self.read(context).await?.body).map(Some)
    }

    /// Its last event; 0 before the first.
    #[graphql(complexity = 10)]
    async fn seq(&self, context: &Context<'_>) -> Result<Option<UInt64>, Refusal> {
        Ok(Some(UInt64(self.read(context).await?.seq)))
    }

    /// Raised by one with each commit.
    #[graphql(complexity = 10)]
    async fn version(&self, context: &Context<'_>) -> Result<Option<UInt64>, Refusal> {
        Ok(Some(UInt64(self.read(context).await?.version)))
    }
}

/// The answer of an actor, as of its moment.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) actor: ActorAddress,
    pub(super) success: Success,
}

/// What an actor has answered.
#[Object(name = "ActorAnswer")]
#[allow(
    clippy::unused_async,
    reason = "what makes fields of these takes async functions alone"
)]
impl Answer {
    async fn reply(&self) -> Result<Option<AnyJson>, Refusal> {
        any(&self.success.body).map(Some)
    }

    /// The last event of the actor, as of this answer.
    async fn seq(&self) -> UInt64 {
        UInt64(self.success.seq)
    }

    /// The version of the actor, as of this answer.
    async fn version(&self) -> UInt64 {
        UInt64(self.success.version)
    }

    async fn actor(&self) -> Actor {
        Actor(self.actor.clone())
    }
}
