//! What an activation does about a commit that was refused, or that nobody knows of. Part of the activation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::ActorRef;
use selvedge_protocol::limits::STORE_COMMIT_MS_MAX;
use selvedge_protocol::{ErrorCode, Failure};
use tracing::{debug, error, warn};

use crate::actor::activation::{Message, Phase, Running};
use crate::actor::commit::Refused;
use crate::actor::core::Core;
use crate::actor::machine::Name;
use crate::metrics;
use crate::store;

/// A commit that is older than this takes no effect any more.
const COMMIT_MAX: Duration = Duration::from_millis(STORE_COMMIT_MS_MAX);

impl Running {
    pub(super) fn commit_refused(&mut self, myself: &ActorRef<Message>, refused: &Refused) {
        metrics::commit_failed();
        // It may have been committed all the same: whoever loads the actor next has to look.
        self.slot().doubt();
        let actor = &self.name.actor.address;
        match refused {
            Refused::Fenced(epoch) => {
                metrics::commit_fenced();
                self.core.commits_fenced.fetch_add(1, Ordering::Relaxed);
                warn!(%actor, "commit refused: the slot has another owner");
                self.slot().lose(*epoch);
            }
            Refused::NoKeys => {
                error!(%actor, "commit refused: it is personal data, and this node has no privacy.key_file");
                if let Phase::Ready(machine) = &mut self.phase {
                    machine.fail_in_flight(&Failure::new(
                        ErrorCode::Rejected,
                        "this is personal data, and the node has no key to seal it with; give its nodes \
                         privacy.key_file or SELVEDGE_PRIVACY_KEY",
                    ));
                }
            }
            Refused::Outdated => {
                debug!(%actor, "commit refused: the actor was written to");
                // By a commit whose answer did not come.
                follow_up(&self.core, &self.name);
            }
            Refused::Store(store::Error::TooLarge { what, bytes, limit }) => {
                error!(%actor, what, bytes, limit, "commit is over the store's limits");
                if let Phase::Ready(machine) = &mut self.phase {
                    machine.refuse_in_flight();
                }
            }
            Refused::Store(error @ store::Error::Full { .. }) => {
                if self.core.may_tell_trouble() {
                    warn!(%actor, %error, "commit refused");
                }
                if let Phase::Ready(machine) = &mut self.phase {
                    machine.fail_in_flight(&Failure::new(
                        ErrorCode::Unavailable,
                        "the disk of the node is full; nothing is lost, send it again once there is space",
                    ));
                }
            }
            Refused::Store(error @ store::Error::Unavailable(_)) => {
                if self.core.may_tell_trouble() {
                    warn!(%actor, %error, "commit refused");
                }
                if let Phase::Ready(machine) = &mut self.phase {
                    machine.fail_in_flight(&Failure::new(
                        ErrorCode::Unavailable,
                        "the store cannot be reached at the moment; nothing was done, send it again",
                    ));
                }
            }
            Refused::Store(error) => {
                if self.core.may_tell_trouble() {
                    warn!(%actor, %error, "commit failed");
                }
                self.follow_up_in_doubt();
            }
        }
        // What was in flight is reloaded from the store: nothing is guessed.
        self.leave(myself);
    }

    /// Follows up a commit whose answer did not come, now and once nothing can come of it any more.
    fn follow_up_in_doubt(&self) {
        follow_up(&self.core, &self.name);
        let (core, name) = (Arc::downgrade(&self.core), Arc::clone(&self.name));
        self.core.runtime.spawn(async move {
            tokio::time::sleep(COMMIT_MAX).await;
            if let Some(core) = core.upgrade() {
                follow_up(&core, &name);
            }
        });
    }
}

/// A commit may have been done whose activation did not hear of it: nobody has published its events, set its timers
/// or sent its messages. Subscribers and chores look for themselves.
fn follow_up(core: &Core, name: &Name) {
    let slot = &core.slots[usize::from(name.slot)];
    slot.hub.let_go(&name.actor);
    core.schedule(&slot.timers, 0);
    core.schedule(&slot.outbox, 0);
}
