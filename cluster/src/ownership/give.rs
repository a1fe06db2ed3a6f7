//! Hands over what is another's. First all of these slots are told that they go: work of their actors that is near
//! its end may come to it, and none begins. Then some slots at a time take no more requests, and as soon as one of
//! them has answered what it took, it is left, and the store says so to whoever waits for it.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{OwnershipConfig, Wanted};
use crate::Clock;
use crate::actor::Host;

/// Slots that are being given up at a time. While they are, their requests wait for the next owner: few slots
/// are through sooner than all of them.
const CLOSING_MAX: usize = 64;

/// Slots on their way out, each with the time at which it goes on, come what may.
#[derive(Debug, Default)]
struct Going {
    /// Nothing new begins for their actors; what is at work may come to its end.
    parting: BTreeMap<u16, Instant>,
    /// They take no more requests; what they took is answered.
    closing: BTreeMap<u16, Instant>,
}

pub(super) async fn run(
    config: OwnershipConfig,
    host: Host,
    clock: Clock,
    mut wanted: watch::Receiver<Wanted>,
    rest: watch::Sender<bool>,
) {
    let mut changes = host.changes();
    let mut going = Going::default();
    loop {
        changes.borrow_and_update();
        let now = clock.monotonic();
        going.part(&host, &wanted.borrow_and_update(), now + config.part);
        going.close(&host, now, now + config.quiet);
        let Some(until) = going.next() else {
            rest.send_replace(true);
            tokio::select! {
                biased;
                result = wanted.changed() => if result.is_err() { return },
                result = changes.changed() => if result.is_err() { return },
            }
            continue;
        };
        rest.send_replace(false);
        let (closing, parting) = (keys(&going.closing), keys(&going.parting));
        let over = tokio::select! {
            biased;
            quiet = host.quiet(&closing) => quiet,
            () = host.rests(&parting), if going.has_room() => continue,
            () = sleep_until(until) => over(&going.closing, clock.monotonic()),
            // More may have become surplus, or all may have been left at once.
            result = wanted.changed() => match result {
                Ok(()) => continue,
                Err(_closed) => return,
            },
        };
        leave(config, &host, &over).await;
        for number in over {
            going.closing.remove(&number);
        }
    }
}

impl Going {
    /// Tells all slots that are here and should not be that they are about to go, and those that may stay that
    /// they do.
    fn part(&mut self, host: &Host, wanted: &Wanted, until: Instant) {
        let surplus = host.owned().into_iter();
        let surplus: Vec<u16> = surplus.filter(|slot| !wanted.is_ours(*slot)).collect();
        let is_surplus = |slot: &u16| surplus.binary_search(slot).is_ok();
        let stays = keys(&self.parting).into_iter();
        let stays: Vec<u16> = stays.filter(|slot| !is_surplus(slot)).collect();
        host.keep(&stays);
        self.parting.retain(|slot, _| is_surplus(slot));
        host.part(&surplus);
        for slot in surplus {
            self.parting.entry(slot).or_insert(until);
        }
    }

    /// Closes the next ones for whose actors nothing is at work, or that had their time.
    fn close(&mut self, host: &Host, now: Instant, until: Instant) {
        let mut next = host.resting(&keys(&self.parting));
        next.extend(over(&self.parting, now));
        next.sort_unstable();
        next.dedup();
        next.truncate(self.room());
        host.close(&next);
        for slot in next {
            self.parting.remove(&slot);
            self.closing.insert(slot, until);
        }
    }

    /// When the next one goes on; `None`: there is none.
    fn next(&self) -> Option<Instant> {
        let closing = self.closing.values().min();
        // Without room they wait for one of the others.
        let parting = self.parting.values().min().filter(|_| self.has_room());
        [closing, parting].into_iter().flatten().min().copied()
    }

    fn room(&self) -> usize {
        CLOSING_MAX.saturating_sub(self.closing.len())
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }
}

fn keys(slots: &BTreeMap<u16, Instant>) -> Vec<u16> {
    slots.keys().copied().collect()
}

fn over(slots: &BTreeMap<u16, Instant>, now: Instant) -> Vec<u16> {
    let over = slots.iter().filter(|(_, until)| **until <= now);
    over.map(|(slot, _)| *slot).collect()
}

async fn leave(config: OwnershipConfig, host: &Host, numbers: &[u16]) {
    let left = host.leave(numbers);
    if left.is_empty() {
        return;
    }
    // One that the store does not hear of is taken by force.
    let slots = left.len();
    match timeout(config.quiet, host.release(&left)).await {
        Ok(Ok(())) => tracing::info!(slots, "slots handed over"),
        Ok(Err(error)) => tracing::warn!(slots, %error, "slots left unheard"),
        Err(_elapsed) => tracing::warn!(slots, "slots left, the store is slow to hear"),
    }
}
