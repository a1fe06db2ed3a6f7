//! What a node does for the audit trail on its own: records refusals, and clears what is old by the rule of the
//! configuration. The node starts it and ends it; nothing of it is on the way of a request.

use std::time::Duration;

use selvedge_cluster::audit::{Retention, Trail};
use selvedge_cluster::membership::Admin;
use selvedge_cluster::{Clock, store};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::audit::Refusals;

/// A keeper at work.
#[derive(Debug)]
pub struct Keeper {
    /// Dropped or sent to, it ends.
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What it works with.
#[derive(Debug)]
pub struct KeeperConfig {
    /// The name of the node.
    pub node: String,
    pub trail: Trail,
    pub admin: Admin,
    pub refusals: Refusals,
    pub clock: Clock,
    /// 0: for ever.
    pub retention_days: u32,
}

impl Keeper {
    /// Begins. Needs a tokio runtime.
    pub fn start(config: KeeperConfig) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop: Some(stop),
            task: tokio::spawn(run(config, stopped)),
        }
    }

    /// Records what is counted, if the store takes it within a moment, and ends.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if timeout(LAST_WORDS_MAX, &mut self.task).await.is_err() {
            tracing::warn!("refusals of the last minute are not in the audit trail");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(config: KeeperConfig, mut stopped: oneshot::Receiver<()>) {
    let mut record = interval(LOOK_EVERY);
    let mut retain = interval(RETAIN_EVERY);
    for ticks in [&mut record, &mut retain] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            _ = record.tick() => config.record(config.refusals.due()).await,
            _ = retain.tick() => {
                // Ended between two of its commits, if the node is to stop meanwhile.
                tokio::select! {
                    biased;
                    _ = &mut stopped => break,
                    () = config.retain() => {}
                }
            }
        }
    }
    config.record(config.refusals.all()).await;
}

impl KeeperConfig {
    async fn record(&self, counted: Vec<super::refusals::Counted>) {
        let mut is_away = false;
        for counted in counted {
            // A store that is away is not asked for each of them.
            let recorded = match is_away {
                true => Ok(()),
                false => self.trail.record(counted.chain(), &counted.entry()).await,
            };
            if let Err(error) = &recorded {
                tracing::warn!(%error, "refusals are not recorded in the audit trail; tried again");
            }
            is_away |= recorded.is_err();
            if is_away {
                self.refusals.give_back(counted);
            }
        }
    }

    async fn retain(&self) {
        if self.retention_days == 0 {
            return;
        }
        match self.is_for_all().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "the audit trail is not looked through for what is old");
                return;
            }
        }
        let days = self.retention_days;
        let before_ms = self
            .clock
            .wall_ms()
            .saturating_sub(u64::from(days) * DAY_MS);
        match self.trail.retain(Retention { before_ms, days }).await {
            Ok(0) => {}
            Ok(cleared) => tracing::info!(cleared, days, "old audit records are cleared"),
            Err(error) => tracing::warn!(%error, "old audit records are not cleared; tried again"),
        }
    }

    /// Whether it is this node that does what is done once in a cluster. Two that both think so do no harm.
    async fn is_for_all(&self) -> Result<bool, store::Error> {
        let snapshot = self.admin.snapshot().await?;
        Ok(snapshot.is_alone || snapshot.controller() == Some(&self.node))
    }
}

/// Refusals are recorded so much after their minute at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Retention is counted in days.
const RETAIN_EVERY: Duration = Duration::from_secs(3_600);
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Of all that a node does at its end.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);
