//! A storage node: serves its embedded store to other nodes, and nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use selvedge_cluster::peer::{ListenError, Listener, ListenerConfig, PeerFiles};
use selvedge_cluster::store::embedded::Embedded;
use selvedge_cluster::store::remote::StoreServer;
use selvedge_protocol::error::chain;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::operate::certificates::usable_dir;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::peer::PeerIdentity;
use crate::operate::store::open_embedded;

/// A storage node that serves.
#[derive(Debug)]
pub(crate) struct StorageNode {
    name: String,
    address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    listener: JoinHandle<()>,
    store: Arc<Embedded>,
    _identity: PeerIdentity,
}

impl StorageNode {
    /// Opens the store, then the port: when this returns, other nodes are served.
    pub(crate) async fn start(
        config: &NodeConfig,
        files: &PeerFiles,
    ) -> Result<Self, CommandFailure> {
        let identity = PeerIdentity::start(config, files)?;
        usable_dir(&config.origin("data_dir"), &config.data_dir)?;
        let store = Arc::new(open_embedded(config).await?);
        let listening = ListenerConfig {
            node: config.name.clone(),
            address: config.peer,
            admission: config.peers,
        };
        let listener = Listener::bind(&listening, identity.credentials.clone())
            .map_err(|error| unbound(config, &error))?;
        let address = listener.local_addr();
        let server = StoreServer::new(store.clone());
        let (shutdown, stopped) = oneshot::channel::<()>();
        let stopped = async {
            // An error is the end of the node: the same to the port.
            let _ = stopped.await;
        };
        let listener = tokio::spawn(listener.run(stopped, server.alone()));
        tracing::info!(node = %config.name, peer = %address, "storage node serves");
        Ok(Self {
            name: config.name.clone(),
            address,
            shutdown: Some(shutdown),
            listener,
            store,
            _identity: identity,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where other nodes connect, with the real port.
    pub(crate) const fn peer_address(&self) -> SocketAddr {
        self.address
    }

    /// Completes when the port has ended by itself: a defect, the node is of no use any more.
    pub(crate) async fn failed(&mut self) -> CommandFailure {
        match (&mut self.listener).await {
            Ok(()) => CommandFailure::failed("the peer port has ended"),
            Err(error) => CommandFailure::failed(chain(&error)),
        }
    }

    /// Lets transactions that were begun end, then closes the store.
    pub(crate) async fn drain(mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        if let Err(error) = self.listener.await {
            tracing::error!(%error, "the peer port did not end in order");
        }
        let store = self.store;
        // Flushing waits for the disk.
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

/// A port that is in use is free another time; an address of another machine never is.
pub(crate) fn unbound(config: &NodeConfig, error: &ListenError) -> CommandFailure {
    match error {
        ListenError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
            let (by, said) = (config.origin("peer"), chain(error));
            CommandFailure::usage(format!("{by}: {said}; use an address of this machine"))
        }
        ListenError::Bind { .. } | ListenError::Tls(_) => CommandFailure::failed(chain(error)),
    }
}
