//! The events of an actor that another node owns: a stream of their own, for as long as that node has them.

use std::sync::Arc;

use selvedge_protocol::codec;
use selvedge_protocol::frame::Since;
use selvedge_protocol::limits::FORWARDED_MS_MAX;
use selvedge_protocol::peer::Service;
use selvedge_protocol::peer::actors::{ActorAnswer, ActorRequest, Elsewhere, Subscribe};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::time::{Duration, Instant};

use crate::actor::local::LocalSubscription;
use crate::actor::request::{ScopedAddress, SubscriptionItem};
use crate::forward::{Doubt, Forward, STOPPING, wire};
use crate::membership::Owner;
use crate::peer::{Connection, PeerStream, StreamError};

/// Opened at the owner. Ends when that is lost.
#[derive(Debug)]
pub(crate) struct RemoteSubscription {
    owner: Arc<str>,
    stream: PeerStream,
    position: u64,
}

impl RemoteSubscription {
    /// Asks the node at the other end for the events of an actor. Gives up after some seconds: that node may have
    /// no room for another stream.
    pub(crate) async fn open(
        forward: &Forward,
        owner: Arc<str>,
        connection: &Connection,
        actor: &ScopedAddress,
        since: Since,
    ) -> Result<Self, Failure> {
        let opening = Self::try_open(forward, owner, connection, actor, since);
        let limit = Duration::from_millis(FORWARDED_MS_MAX);
        let opened = tokio::time::timeout(limit, opening).await;
        opened.unwrap_or_else(|_elapsed| Err(broken(&"it takes too long")))
    }

    async fn try_open(
        forward: &Forward,
        owner: Arc<str>,
        connection: &Connection,
        actor: &ScopedAddress,
        since: Since,
    ) -> Result<Self, Failure> {
        let subscribe = ActorRequest::Subscribe(Subscribe {
            plan: forward.view().plan.number,
            tenant: actor.tenant.clone(),
            actor: actor.address.clone(),
            since,
        });
        let mut out = Vec::new();
        codec::encode(&subscribe, &mut out).map_err(|error| broken(&error))?;
        let mut stream = PeerStream::open(connection, Service::Actors)
            .await
            .map_err(|error| broken(&error))?;
        stream.write(&out).await.map_err(|error| broken(&error))?;
        match stream.read().await.map_err(|error| broken(&error))? {
            Some(ActorAnswer::Opened(opened)) => Ok(Self {
                owner,
                stream,
                position: opened.position,
            }),
            Some(ActorAnswer::Ended(ended)) => Err(ended.failure),
            Some(ActorAnswer::Elsewhere(elsewhere)) => {
                if elsewhere.plan > forward.view().plan.number {
                    forward.doubt(Doubt::Plan);
                }
                let text = "the actor has moved to another node; subscribe again";
                Err(Failure::new(ErrorCode::Unavailable, text))
            }
            Some(ActorAnswer::Answer(_) | ActorAnswer::Item(_)) | None => {
                Err(broken(&StreamError::Cut))
            }
        }
    }

    /// The node that it was opened at.
    pub(crate) const fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    /// The last event before the next item.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The next item. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<SubscriptionItem, Failure> {
        match self.stream.read().await.map_err(|error| broken(&error))? {
            Some(ActorAnswer::Item(item)) => {
                let item = wire::heard(item);
                match &item {
                    SubscriptionItem::Event(event) => self.position = event.seq,
                    SubscriptionItem::Gap { seq, .. } => self.position = *seq,
                    SubscriptionItem::Ephemeral { .. } => {}
                }
                Ok(item)
            }
            Some(ActorAnswer::Ended(ended)) => Err(ended.failure),
            Some(ActorAnswer::Opened(_) | ActorAnswer::Answer(_) | ActorAnswer::Elsewhere(_))
            | None => Err(broken(&StreamError::Cut)),
        }
    }
}

impl Forward {
    /// A subscription for another node that knows this plan, or what to tell it instead.
    pub(super) async fn subscribed(
        &self,
        actor: ScopedAddress,
        since: Since,
        plan: u64,
    ) -> Result<LocalSubscription, ActorAnswer> {
        let until = Instant::now() + Duration::from_millis(SUBSCRIBE_MS_MAX);
        let failed =
            |failure| ActorAnswer::Ended(selvedge_protocol::peer::actors::Ended { failure });
        loop {
            let Some(core) = self.0.core.upgrade() else {
                return Err(failed(Failure::new(ErrorCode::Unavailable, STOPPING)));
            };
            let slot = core.slot_of(&actor);
            if slot.is_open() {
                let opened = LocalSubscription::open(core, actor, since).await;
                return opened.map_err(failed);
            }
            let view = self.view();
            if plan > view.plan.number {
                self.doubt(Doubt::Plan);
            } else if let Owner::There { name, .. } = view.owner(slot.number) {
                return Err(ActorAnswer::Elsewhere(Elsewhere {
                    id: 0,
                    plan: view.plan.number,
                    owner: Some(name.to_owned()),
                }));
            }
            if Instant::now() >= until {
                let text = "the actor has no owner at the moment; subscribe again";
                return Err(failed(Failure::new(ErrorCode::Unavailable, text)));
            }
            self.moved().await;
        }
    }
}

fn broken(error: &impl std::fmt::Display) -> Failure {
    tracing::debug!(%error, "a subscription at another node has ended");
    let text = "the node that owns the actor cannot be reached; subscribe again";
    Failure::new(ErrorCode::Unavailable, text)
}

/// How long a node keeps another one waiting for a slot that is about to be its own.
const SUBSCRIBE_MS_MAX: u64 = 2_000;
