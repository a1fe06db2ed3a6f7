//! The slots that a node is to have and has not: whether to take, to wait, or to wait for a newer plan. Pure;
//! driven by the loop that takes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::actor::{Holder, Taking};
use crate::membership::View;

#[derive(Debug)]
pub(super) struct Pending {
    force: Duration,
    /// The number of the plan that is followed.
    plan: u64,
    slots: BTreeMap<u16, Wait>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    /// It was taken under a later plan than the one that is followed.
    is_outdated: bool,
}

impl Pending {
    pub(super) const fn new(force: Duration) -> Self {
        Self {
            force,
            plan: 0,
            slots: BTreeMap::new(),
        }
    }

    /// These are the slots, ascending, that the plan with this number gives to the node, and that it has not.
    pub(super) fn want(&mut self, now: Instant, plan: u64, missing: impl Iterator<Item = u16>) {
        let is_newer = plan > self.plan;
        self.plan = plan;
        let before = std::mem::take(&mut self.slots);
        for slot in missing {
            let wait = before.get(&slot).copied().unwrap_or(Wait {
                since: now,
                is_outdated: false,
            });
            let is_outdated = wait.is_outdated && !is_newer;
            let wait = Wait {
                is_outdated,
                ..wait
            };
            self.slots.insert(slot, wait);
        }
    }

    /// The slots to try, ascending.
    pub(super) fn due(&self) -> Vec<u16> {
        let slots = self.slots.iter().filter(|(_, wait)| !wait.is_outdated);
        slots.map(|(slot, _)| *slot).collect()
    }

    /// Whether a slot may be taken from its holder now: from nobody, from this node, from one that is not there
    /// any more, and from anybody who had his time to hand it over.
    pub(super) fn may_take(
        &self,
        now: Instant,
        view: &View,
        slot: u16,
        holder: Holder<'_>,
    ) -> bool {
        let Some(wait) = self.slots.get(&slot) else {
            return false;
        };
        holder.node.is_empty()
            || holder.node == view.name
            || !view.is_there(holder.node, holder.incarnation)
            || now.saturating_duration_since(wait.since) >= self.force
    }

    /// What was tried came to this. Answers whether a newer plan is to be looked for.
    pub(super) fn tried(&mut self, taking: &Taking) -> bool {
        for slot in &taking.taken {
            self.slots.remove(slot);
        }
        for slot in &taking.outdated {
            if let Some(wait) = self.slots.get_mut(slot) {
                wait.is_outdated = true;
            }
        }
        !taking.outdated.is_empty()
    }
}

#[cfg(test)]
mod tests;
