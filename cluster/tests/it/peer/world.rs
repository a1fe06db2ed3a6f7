//! A storage node in this process, on real sockets, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::peer::{Credentials, Dialer, Listener, ListenerConfig, PeerFiles, Target};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::remote::{OpenError, Remote, RemoteConfig, StoreServer};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::authority::{Authority, Validity};

/// A storage node called `storage`, and the authority of its cluster.
#[derive(Debug)]
pub(crate) struct StorageNode {
    pub(crate) authority: Authority,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl StorageNode {
    /// With a store of its own.
    pub(crate) async fn fresh() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(embedded_in(&directory), directory).await
    }

    pub(crate) async fn start(store: Arc<dyn Store>) -> Self {
        Self::start_in(store, tempfile::tempdir().unwrap()).await
    }

    async fn start_in(store: Arc<dyn Store>, directory: tempfile::TempDir) -> Self {
        let authority = Authority::new();
        let files = authority.issue(directory.path(), "storage", Validity::Now);
        Self::start_with(store, authority, directory, files).await
    }

    pub(crate) async fn start_with(
        store: Arc<dyn Store>,
        authority: Authority,
        directory: tempfile::TempDir,
        files: PeerFiles,
    ) -> Self {
        let credentials = Credentials::read(files).unwrap();
        let mut address = "127.0.0.1:0".parse().unwrap();
        let (shutdown, task) = listen(store, credentials.clone(), &mut address).await;
        Self {
            authority,
            directory,
            address,
            credentials,
            shutdown: Some(shutdown),
            task,
        }
    }

    /// A node of the same cluster that has this one's store.
    pub(crate) async fn client(&self) -> Remote {
        self.client_at(self.address).await
    }

    /// The same, by way of another address.
    pub(crate) async fn client_at(&self, address: SocketAddr) -> Remote {
        let files = self.issue("compute");
        open(files, address, Some("storage")).await.unwrap()
    }

    /// The files of another node of the cluster.
    pub(crate) fn issue(&self, node: &str) -> PeerFiles {
        self.authority
            .issue(self.directory.path(), node, Validity::Now)
    }

    /// Ends the node in order.
    pub(crate) async fn stop(mut self) -> Self {
        drop(self.shutdown.take());
        (&mut self.task).await.unwrap();
        self
    }

    /// Another process of the node, where the one before was.
    pub(crate) async fn start_again(mut self, store: Arc<dyn Store>) -> Self {
        let (shutdown, task) = listen(store, self.credentials.clone(), &mut self.address).await;
        self.shutdown = Some(shutdown);
        self.task = task;
        self
    }
}

impl Drop for StorageNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a store at an address, which gets its real port.
#[expect(clippy::unused_async, reason = "sockets need a runtime")]
async fn listen(
    store: Arc<dyn Store>,
    credentials: Credentials,
    address: &mut SocketAddr,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let config = ListenerConfig {
        node: "storage".to_owned(),
        address: *address,
        admission: AdmissionConfig::between_nodes(),
    };
    let listener = Listener::bind(&config, credentials).unwrap();
    *address = listener.local_addr();
    let (shutdown, stopped) = oneshot::channel::<()>();
    let server = StoreServer::new(store);
    let task = tokio::spawn(listener.run(
        async {
            let _ = stopped.await;
        },
        server.alone(),
    ));
    (shutdown, task)
}

/// A store by these files, of a node of that name at an address.
pub(crate) async fn open(
    files: PeerFiles,
    address: SocketAddr,
    name: Option<&str>,
) -> Result<Remote, OpenError> {
    let dialer = Dialer::new(Credentials::read(files).unwrap());
    let target = Target {
        address: address.to_string(),
        name: name.map(str::to_owned),
    };
    Remote::open(RemoteConfig::new(target, dialer, Clock::system())).await
}

/// The same until the node takes them, whose own files are being replaced.
pub(crate) async fn open_patiently(files: &PeerFiles, address: SocketAddr) -> Remote {
    let opening = async {
        loop {
            if let Ok(remote) = open(files.clone(), address, Some("storage")).await {
                return remote;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.unwrap()
}

/// A store in a directory, which has to outlive it.
pub(crate) fn embedded_in(directory: &tempfile::TempDir) -> Arc<dyn Store> {
    let config = EmbeddedConfig::new(directory.path().join("store"));
    Arc::new(Embedded::open(config).unwrap())
}

/// How long anything may take before it counts as hung. Never a measure of speed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
