//! Makes a host own what the plan says: a task that follows the membership's view, takes the slots that are
//! this node's and hands over those that are another's. The node's start makes it.
//!
//! What makes ownership safe is the fence of each slot, never this: it only sees to it that slots move soon
//! and, where their owner is alive, without a failed command.
//!
//! Four loops side by side: [`steer`] says what is wanted and leaves all at once when this node is out;
//! [`take`](take::run) and [`give`](give::run) bring it about, neither waits for the other; [`check`](check::run)
//! finds out what was taken by force.

use std::sync::Arc;
use std::time::Duration;

use selvedge_protocol::limits;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::Clock;
use crate::actor::Host;
use crate::membership::{Member, View};

mod check;
mod give;
mod pending;
mod take;

/// How patient a node is with slots that move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnershipConfig {
    /// How long what is at work for the actors of a slot may take to end, before the slot is given up.
    pub part: Duration,
    /// How long the actors of a slot that is given up may take to answer what they took.
    pub quiet: Duration,
    /// How long a node waits for the one that has a slot to hand it over.
    pub force: Duration,
    /// How often it looks whether that was done.
    pub look: Duration,
    /// How often a node looks whether what it has was taken by force.
    pub check: Duration,
}

impl Default for OwnershipConfig {
    fn default() -> Self {
        Self {
            part: Duration::from_millis(limits::SLOT_PARTING_MS_MAX),
            // A thousand usual commands; what takes longer is sent again by its client.
            quiet: Duration::from_secs(2),
            // Longer than the other may need: it sees the plan about when this one does.
            force: Duration::from_secs(3),
            // What a handover costs at most beside the give-up and the take: one read of the fences each.
            look: Duration::from_millis(20),
            // What it proves is a base for commits of actors that were quiet for longer than the store remembers, so
            // it comes well within that. Of a slot that was taken and is not asked anything, the live subscriptions
            // stand still so long. With 1,024 slots over three nodes it is a read of 60 kB each time.
            check: Duration::from_millis(1_500),
        }
    }
}

/// A handle on the ownership of a host. Dropped, slots stay as they are.
#[derive(Debug)]
pub struct Ownership {
    host: Host,
    is_at_rest: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to be.
#[derive(Debug, Clone)]
struct Wanted {
    view: Arc<View>,
    /// By slot, whether this node is to have it.
    ours: Arc<[bool]>,
}

impl Wanted {
    /// By a view, for a node that may own or not.
    fn new(view: Arc<View>, is_in: bool) -> Self {
        let mut ours = vec![false; view.plan.len()];
        if is_in {
            for slot in view.plan.slots_of(&view.name) {
                ours[usize::from(slot)] = true;
            }
        }
        Self {
            view,
            ours: ours.into(),
        }
    }

    fn is_ours(&self, slot: u16) -> bool {
        self.ours.get(usize::from(slot)).is_some_and(|ours| *ours)
    }

    fn slots(&self) -> impl Iterator<Item = u16> {
        let slots = (0..).zip(self.ours.iter());
        slots.filter(|(_, ours)| **ours).map(|(slot, _)| slot)
    }
}

impl Ownership {
    /// Begins to follow. The host must be one that [owns nothing](Host::idle) by itself.
    pub fn start(config: OwnershipConfig, host: Host, member: Member, clock: Clock) -> Self {
        let (rest, is_at_rest) = watch::channel(true);
        let followed = follow(config, host.clone(), member, clock, rest);
        let task = tokio::spawn(followed).abort_handle();
        Self {
            host,
            is_at_rest,
            task,
        }
    }

    /// Completes when the host has nothing any more, and the store knows.
    pub async fn emptied(&self) {
        let mut changes = self.host.changes();
        let mut is_at_rest = self.is_at_rest.clone();
        loop {
            let rests = *is_at_rest.borrow_and_update();
            changes.borrow_and_update();
            if rests && self.host.held().is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Ok(()) = changes.changed() => {}
                Ok(()) = is_at_rest.changed() => {}
                else => return,
            }
        }
    }
}

async fn follow(
    config: OwnershipConfig,
    host: Host,
    member: Member,
    clock: Clock,
    rest: watch::Sender<bool>,
) {
    let view = member.view().borrow().clone();
    let (wanted, for_take) = watch::channel(Wanted::new(view, false));
    let (for_give, for_check) = (wanted.subscribe(), wanted.subscribe());
    tokio::join!(
        steer(host.clone(), member.clone(), wanted),
        take::run(config, host.clone(), member, clock.clone(), for_take),
        give::run(config, host.clone(), clock, for_give, rest),
        check::run(config, host, for_check),
    );
}

/// Says what is wanted, and leaves everything when the node is no member any more, or is one anew: whatever it
/// has in memory may be old.
async fn steer(host: Host, member: Member, wanted: watch::Sender<Wanted>) {
    let (mut views, mut standings) = (member.view(), member.standing());
    let mut held_as = views.borrow().incarnation;
    loop {
        // The standing first: a view that comes with it is at least as new.
        let standing = *standings.borrow_and_update();
        let view = views.borrow_and_update().clone();
        if !standing.is_in() || view.incarnation != held_as {
            held_as = view.incarnation;
            let left = host.leave(&host.held());
            if !left.is_empty() {
                tracing::warn!(slots = left.len(), ?standing, "left all slots");
            }
        }
        wanted.send_replace(Wanted::new(view, standing.is_in()));
        tokio::select! {
            biased;
            Ok(()) = views.changed() => {}
            Ok(()) = standings.changed() => {}
            else => std::future::pending().await,
        }
    }
}
