//! A subscription as callers have it: the events of one actor, from whichever node owns it, also when the
//! owner changes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use selvedge_protocol::frame::Since;
use selvedge_protocol::limits::FORWARDED_MS_MAX;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::time::{Duration, Instant};

use crate::actor::core::Core;
use crate::actor::local::LocalSubscription;
use crate::actor::request::{ScopedAddress, SubscriptionItem};
use crate::forward::{Forward, RemoteSubscription};

/// The events of one actor, in order, without gap or repeat, for as long as somebody asks for them.
pub struct Subscription {
    core: Arc<Core>,
    actor: ScopedAddress,
    position: u64,
    source: Source,
}

/// Where the events come from.
enum Source {
    Here(LocalSubscription),
    There(RemoteSubscription),
    /// The owner was lost; the next is looked for.
    Nowhere,
}

impl Subscription {
    pub(crate) async fn open(
        core: Arc<Core>,
        actor: ScopedAddress,
        since: Since,
    ) -> Result<Self, Failure> {
        let source = find(&core, &actor, since).await?;
        let position = match &source {
            Source::Here(local) => local.position(),
            Source::There(remote) => remote.position(),
            Source::Nowhere => 0,
        };
        Ok(Self {
            core,
            actor,
            position,
            source,
        })
    }

    /// The last event before the next item.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The next item. Waits as long as there is none. After an error the subscription has ended.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<SubscriptionItem, Failure> {
        loop {
            let next = match &mut self.source {
                Source::Here(local) => {
                    let next = local.next().await;
                    self.position = local.position();
                    next
                }
                Source::There(remote) => {
                    let slot = self.core.slot_of(&self.actor).number;
                    let owner = Arc::clone(remote.owner());
                    let moved = async {
                        match self.core.forward.get() {
                            Some(forward) => forward.owner_is_not(slot, &owner).await,
                            None => std::future::pending().await,
                        }
                    };
                    // The other end may stand still without a word.
                    let next = tokio::select! {
                        biased;
                        next = remote.next() => Some(next),
                        () = moved => None,
                    };
                    self.position = remote.position();
                    match next {
                        Some(next) => next,
                        None => {
                            self.source = Source::Nowhere;
                            continue;
                        }
                    }
                }
                Source::Nowhere => {
                    let since = Since::After(self.position);
                    self.source = find(&self.core, &self.actor, since).await?;
                    continue;
                }
            };
            match (next, self.core.forward.get()) {
                (Err(failure), Some(forward)) if failure.code.may_be_retried() => {
                    self.source = Source::Nowhere;
                    if self.core.slot_of(&self.actor).is_open() {
                        // Still the owner: the store failed, and fails at once for as long as it is away.
                        forward.moved().await;
                    }
                }
                (next, _) => return next,
            }
        }
    }
}

/// Subscribes at the owner, once there is one.
async fn find(core: &Arc<Core>, actor: &ScopedAddress, since: Since) -> Result<Source, Failure> {
    let slot = core.slot_of(actor);
    let until = Instant::now() + Duration::from_millis(FORWARDED_MS_MAX);
    loop {
        let forward = core.forward.get();
        if core.is_stopping.load(Ordering::Acquire) || (!slot.is_open() && forward.is_none()) {
            let text = "this node does not serve the actor; subscribe again";
            return Err(Failure::new(ErrorCode::Unavailable, text));
        }
        let opened = match forward {
            _ if slot.is_open() => {
                let core = Arc::clone(core);
                let opened = LocalSubscription::open(core, actor.clone(), since).await;
                opened.map(Source::Here)
            }
            Some(forward) => there(forward, slot.number, actor, since).await,
            None => continue,
        };
        let failure = match opened {
            Ok(source) => return Ok(source),
            Err(failure) => failure,
        };
        match forward {
            Some(forward) if failure.code.may_be_retried() && Instant::now() < until => {
                forward.moved().await;
            }
            Some(_) | None => return Err(failure),
        }
    }
}

async fn there(
    forward: &Forward,
    slot: u16,
    actor: &ScopedAddress,
    since: Since,
) -> Result<Source, Failure> {
    let Some((owner, connection)) = forward.connection(slot) else {
        let text = "the node that owns the actor cannot be reached; subscribe again";
        return Err(Failure::new(ErrorCode::Unavailable, text));
    };
    let opened = RemoteSubscription::open(forward, owner, &connection, actor, since).await;
    opened.map(Source::There)
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Subscription({} after {})",
            self.actor.address, self.position
        )
    }
}
