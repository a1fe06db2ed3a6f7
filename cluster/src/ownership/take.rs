//! Takes what is missing, as soon as it may.

use std::time::Duration;

use tokio::sync::watch;

use super::pending::Pending;
use super::{OwnershipConfig, Wanted};
use crate::Clock;
use crate::actor::{Claim, Holder, Host};
use crate::membership::Member;

/// While its store fails a node asks it so seldom in the end: a beat's time.
const REST_MAX: Duration = Duration::from_millis(250);

pub(super) async fn run(
    config: OwnershipConfig,
    host: Host,
    member: Member,
    clock: Clock,
    mut wanted: watch::Receiver<Wanted>,
) {
    let mut pending = Pending::new(config.force);
    let mut changes = host.changes();
    let mut rest = config.look;
    let mut is_trouble_told = false;
    loop {
        changes.borrow_and_update();
        let now_wanted = wanted.borrow_and_update().clone();
        let view = &now_wanted.view;
        let held = host.held();
        let missing = now_wanted
            .slots()
            .filter(|slot| held.binary_search(slot).is_err());
        pending.want(clock.monotonic(), view.plan.number, missing);
        let due = pending.due();
        if due.is_empty() {
            if changed(&mut wanted, &mut changes).await.is_err() {
                return;
            }
            continue;
        }
        let claim = Claim {
            plan: view.plan.number,
            incarnation: view.incarnation,
        };
        let now = clock.monotonic();
        let may_take = |slot, holder: Holder<'_>| pending.may_take(now, view, slot, holder);
        match host.take(&due, claim, &may_take).await {
            Ok(taking) => {
                (rest, is_trouble_told) = (config.look, false);
                if !taking.taken.is_empty() {
                    tracing::info!(slots = taking.taken.len(), plan = claim.plan, "slots taken");
                }
                if pending.tried(&taking) {
                    let slots = taking.outdated.len();
                    tracing::info!(slots, plan = claim.plan, "slots taken under a later plan");
                    member.poke();
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_trouble_told, true) {
                    tracing::warn!(%error, "slots cannot be taken, it will be tried again");
                }
                rest = (rest * 2).min(REST_MAX.max(config.look));
            }
        }
        if pending.due().is_empty() {
            continue;
        }
        tokio::select! {
            biased;
            result = wanted.changed() => if result.is_err() { return },
            () = tokio::time::sleep(rest) => {}
        }
    }
}

async fn changed(
    wanted: &mut watch::Receiver<Wanted>,
    changes: &mut watch::Receiver<u64>,
) -> Result<(), watch::error::RecvError> {
    tokio::select! {
        biased;
        result = wanted.changed() => result,
        result = changes.changed() => result,
    }
}
