//! By what this node knows others and is known to them, kept up to date while the node runs.

use selvedge_cluster::peer::{Credentials, PeerFiles};
use selvedge_protocol::error::chain;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

use crate::operate::certificates::DevelopmentFiles;
use crate::operate::config::{NodeConfig, StoreUrl};
use crate::operate::failure::CommandFailure;

/// The node's identity among nodes; its files are read again when they change, and on SIGHUP.
#[derive(Debug)]
pub(crate) struct PeerIdentity {
    pub(crate) credentials: Credentials,
    tasks: [AbortHandle; 2],
}

impl PeerIdentity {
    /// Needs a tokio runtime.
    pub(crate) fn start(config: &NodeConfig, files: &PeerFiles) -> Result<Self, CommandFailure> {
        let credentials = read(config, files)?;
        let followed = tokio::spawn(credentials.clone().follow()).abort_handle();
        let asked = tokio::spawn(reload_when_told(credentials.clone())).abort_handle();
        Ok(Self {
            credentials,
            tasks: [followed, asked],
        })
    }
}

impl Drop for PeerIdentity {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Reads the files; opens nothing.
pub(crate) fn read(config: &NodeConfig, files: &PeerFiles) -> Result<Credentials, CommandFailure> {
    Credentials::read(files.clone()).map_err(|error| {
        let by = config.origin("tls.peer_certificate");
        CommandFailure::usage(format!("{by}: {}", chain(&error)))
    })
}

/// The files of a node that needs them: those that are given, or what is to be done.
pub(crate) fn required(config: &NodeConfig) -> Result<Option<PeerFiles>, CommandFailure> {
    if !is_needed(config) {
        return Ok(None);
    }
    config.tls.peer.clone().map(Some).ok_or_else(|| {
        let because = match config.is_storage() {
            true => config.origin("roles"),
            false => config.origin("store"),
        };
        CommandFailure::usage(format!(
            "{because}: {} is not set: nodes know each other by --peer-ca, --peer-certificate and \
             --peer-key (`selvedge cluster init-ca` and `issue-cert` make them)",
            config.origin("tls.peer_ca")
        ))
    })
}

/// The same for a development node, which makes its own.
pub(crate) fn of_development(config: &NodeConfig) -> Result<Option<PeerFiles>, CommandFailure> {
    match (&config.tls.peer, is_needed(config)) {
        (_, false) => Ok(None),
        (Some(files), true) => Ok(Some(files.clone())),
        (None, true) => {
            let by = config.origin("data_dir");
            DevelopmentFiles::ensure_peer(&by, &config.data_dir, &config.name).map(Some)
        }
    }
}

/// Whether the node has anything to do with others.
fn is_needed(config: &NodeConfig) -> bool {
    match &config.store {
        StoreUrl::Node { .. } | StoreUrl::FoundationDb(_) => true,
        StoreUrl::Embedded => config.is_storage(),
    }
}

async fn reload_when_told(credentials: Credentials) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return;
    };
    while hangup.recv().await.is_some() {
        match credentials.reload() {
            Ok(()) => tracing::info!("certificates between nodes were read again"),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(%error, "certificates cannot be used, the old ones stay");
            }
        }
    }
}
