//! Hands over what is another's: some slots at a time take no more requests, and as soon as one of them has
//! answered what it took, it is left, and the store says so to whoever waits for it.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{OwnershipConfig, Wanted};
use crate::Clock;
use crate::actor::Host;

/// Slots that are being given up at a time. While they are, their requests wait for the next owner: few slots
/// are through sooner than all of them.
const CLOSING_MAX: usize = 64;

pub(super) async fn run(
    config: OwnershipConfig,
    host: Host,
    clock: Clock,
    mut wanted: watch::Receiver<Wanted>,
    rest: watch::Sender<bool>,
) {
    let mut changes = host.changes();
    // Each with the time at which it is left, come what may.
    let mut closing: BTreeMap<u16, Instant> = BTreeMap::new();
    loop {
        changes.borrow_and_update();
        close_more(
            config,
            &host,
            &clock,
            &wanted.borrow_and_update(),
            &mut closing,
        );
        let (Some(until), numbers) = (closing.values().min().copied(), keys(&closing)) else {
            rest.send_replace(true);
            tokio::select! {
                biased;
                result = wanted.changed() => if result.is_err() { return },
                result = changes.changed() => if result.is_err() { return },
            }
            continue;
        };
        rest.send_replace(false);
        let over = tokio::select! {
            biased;
            quiet = host.quiet(&numbers) => quiet,
            () = sleep_until(until) => over(&closing, clock.monotonic()),
            // More may have become surplus, or all may have been left at once.
            result = wanted.changed() => match result {
                Ok(()) => continue,
                Err(_closed) => return,
            },
        };
        leave(config, &host, &over).await;
        for number in over {
            closing.remove(&number);
        }
    }
}

/// Closes the next slots that are here and should not be.
fn close_more(
    config: OwnershipConfig,
    host: &Host,
    clock: &Clock,
    wanted: &Wanted,
    closing: &mut BTreeMap<u16, Instant>,
) {
    let room = CLOSING_MAX.saturating_sub(closing.len());
    let owned = host.owned().into_iter();
    let surplus: Vec<u16> = owned
        .filter(|slot| !wanted.is_ours(*slot))
        .take(room)
        .collect();
    host.close(&surplus);
    let until = clock.monotonic() + config.quiet;
    closing.extend(surplus.into_iter().map(|slot| (slot, until)));
}

fn keys(closing: &BTreeMap<u16, Instant>) -> Vec<u16> {
    closing.keys().copied().collect()
}

fn over(closing: &BTreeMap<u16, Instant>, now: Instant) -> Vec<u16> {
    let over = closing.iter().filter(|(_, until)| **until <= now);
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
