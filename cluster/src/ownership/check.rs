//! Finds out what was taken by force from this node while nobody asked it for anything there: with each plan, and
//! from time to time.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{OwnershipConfig, Wanted};
use crate::actor::Host;

/// Plans that follow one another faster are one look.
const SPACING: Duration = Duration::from_millis(100);

pub(super) async fn run(config: OwnershipConfig, host: Host, mut wanted: watch::Receiver<Wanted>) {
    let mut every = interval(config.check);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut plan = 0;
    loop {
        let is_newer = |wanted: &Wanted| wanted.view.plan.number > plan;
        tokio::select! {
            biased;
            _ = every.tick() => {}
            result = wanted.wait_for(is_newer) => if result.is_err() { return },
        }
        plan = wanted.borrow_and_update().view.plan.number;
        match host.check().await {
            Ok(0) => {}
            Ok(slots) => tracing::warn!(slots, "slots were taken from this node"),
            // The next look is soon enough: without its store the node has other troubles.
            Err(error) => tracing::debug!(%error, "what this node owns cannot be checked"),
        }
        sleep(SPACING).await;
    }
}
