//! The identity of a node as it is at the moment: read again when its files have changed, or on demand.
//!
//! Listeners and dialers take what is in force for each new connection; those that are open stay.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::identity::{Identity, IdentityError, PeerFiles};

/// A cheap handle on a node's identity.
#[derive(Debug, Clone)]
pub struct Credentials {
    files: Arc<PeerFiles>,
    current: Arc<watch::Sender<Arc<Identity>>>,
}

impl Credentials {
    /// Reads the files.
    pub fn read(files: PeerFiles) -> Result<Self, IdentityError> {
        let identity = Identity::read(&files)?;
        Ok(Self {
            files: Arc::new(files),
            current: Arc::new(watch::Sender::new(Arc::new(identity))),
        })
    }

    /// Reads the files again; what was in force stays so if they cannot be used.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let identity = Identity::read(&self.files)?;
        self.current.send_replace(Arc::new(identity));
        Ok(())
    }

    /// Reads the files again whenever they have changed. Runs until it is dropped.
    pub async fn follow(self) {
        let mut seen = stamps(&self.files);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let found = stamps(&self.files);
            if found == seen {
                continue;
            }
            // Files are replaced one after the other: until they fit together, the old ones are in force.
            match self.reload() {
                Ok(()) => tracing::info!("certificates between nodes were read again"),
                Err(error) => {
                    let error = selvedge_protocol::error::chain(&error);
                    tracing::warn!(%error, "changed certificates cannot be used, the old ones stay");
                }
            }
            seen = found;
        }
    }

    pub(super) fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells when another identity came into force.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Identity>> {
        self.current.subscribe()
    }
}

/// What shows that a file is another one than before.
type Stamp = Option<(SystemTime, u64)>;

fn stamps(files: &PeerFiles) -> [Stamp; 3] {
    [&files.ca, &files.certificate, &files.key].map(|path| stamp(path))
}

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// Three calls of the system a second: soon enough for certificates that are good for months.
const LOOK_EVERY: Duration = Duration::from_secs(1);
