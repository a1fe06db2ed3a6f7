//! The store of a node: opens the one that its configuration names, and closes it.

use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::peer::{ConnectError, Dialer, Listener, ListenerConfig, PeerFiles, Target};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
#[cfg(feature = "fdb-client")]
use selvedge_cluster::store::fdb::Fdb;
use selvedge_cluster::store::remote::{OpenError, Remote, RemoteConfig};
use selvedge_cluster::store::{self, Store};
use selvedge_protocol::error::chain;

use crate::operate::config::{NodeConfig, StoreUrl};
use crate::operate::failure::{CommandFailure, Exit};
use crate::operate::peer::PeerIdentity;
use crate::operate::storage::unbound;

/// The store of a node, as it is closed.
#[derive(Debug)]
pub(super) struct OpenStore {
    store: AnyStore,
    /// By what the node knows others, where it has to.
    identity: Option<PeerIdentity>,
}

#[derive(Debug)]
enum AnyStore {
    Embedded(Arc<Embedded>),
    Remote(Arc<Remote>),
    #[cfg(feature = "fdb-client")]
    Fdb(Arc<Fdb>),
}

impl OpenStore {
    /// `peer` is there where other nodes have to be known.
    pub(super) async fn open(
        config: &NodeConfig,
        peer: Option<&PeerFiles>,
        clock: Clock,
    ) -> Result<Self, CommandFailure> {
        let identity = peer
            .map(|files| PeerIdentity::start(config, files))
            .transpose()?;
        let store = match (&config.store, &identity) {
            (StoreUrl::Node { name, address }, Some(identity)) => {
                let target = Target {
                    address: address.clone(),
                    name: name.clone(),
                };
                let dialer = Dialer::new(identity.credentials.clone());
                let store = Remote::open(RemoteConfig::new(target, dialer, clock))
                    .await
                    .map_err(|error| unopened(config, &error))?;
                AnyStore::Remote(Arc::new(store))
            }
            (StoreUrl::Node { .. }, None) => {
                let by = config.origin("store");
                let message = format!("{by}: the certificates of a node are missing");
                return Err(CommandFailure::usage(message));
            }
            (StoreUrl::FoundationDb(path), _) => database::open(config, path, clock).await?,
            (StoreUrl::Embedded, _) => AnyStore::Embedded(Arc::new(open_embedded(config).await?)),
        };
        Ok(Self { store, identity })
    }

    /// Opens the peer port, where the store is one that nodes share.
    pub(super) fn listen(&self, config: &NodeConfig) -> Result<Option<Listener>, CommandFailure> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let listening = ListenerConfig {
            node: config.name.clone(),
            address: config.peer,
            admission: config.peers,
        };
        Listener::bind(&listening, identity.credentials.clone())
            .map(Some)
            .map_err(|error| unbound(config, &error))
    }

    pub(super) fn shared(&self) -> Arc<dyn Store> {
        match &self.store {
            AnyStore::Embedded(store) => store.clone(),
            AnyStore::Remote(store) => store.clone(),
            #[cfg(feature = "fdb-client")]
            AnyStore::Fdb(store) => store.clone(),
        }
    }

    pub(super) async fn close(self) {
        match self.store {
            AnyStore::Embedded(store) => {
                // Flushing waits for the disk.
                let _ = tokio::task::spawn_blocking(move || store.close()).await;
            }
            AnyStore::Remote(store) => store.close().await,
            #[cfg(feature = "fdb-client")]
            AnyStore::Fdb(store) => store.close(),
        }
    }
}

pub(super) async fn open_embedded(config: &NodeConfig) -> Result<Embedded, CommandFailure> {
    let embedded = EmbeddedConfig {
        reserve_bytes: u64::from(config.reserve_mib) << 20,
        ..EmbeddedConfig::new(config.data_dir.join("store"))
    };
    // Recovery reads the journal: seconds, after a crash under load.
    let opened = tokio::task::spawn_blocking(move || Embedded::open(embedded)).await;
    match opened {
        Ok(Ok(store)) => Ok(store),
        Ok(Err(error @ store::Error::Locked { .. })) => Err(CommandFailure::failed(format!(
            "{error}; stop it, or give this node another --data-dir"
        ))),
        Ok(Err(error)) => Err(CommandFailure::failed(chain(&error))),
        Err(error) => Err(CommandFailure::failed(chain(&error))),
    }
}

/// Nobody there is another matter than somebody who is not trusted.
fn unopened(config: &NodeConfig, error: &OpenError) -> CommandFailure {
    let exit = match error {
        OpenError::Connect(ConnectError::Untrusted { .. } | ConnectError::Refused { .. }) => {
            Exit::Refused
        }
        OpenError::Connect(
            ConnectError::Socket { .. }
            | ConnectError::Address { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::Protocol { .. }
            | ConnectError::Ended { .. },
        )
        | OpenError::Silent { .. } => Exit::Unavailable,
    };
    CommandFailure::new(
        exit,
        format!("{}: {}", config.origin("store"), chain(error)),
    )
}

#[cfg(feature = "fdb-client")]
pub(super) mod database {
    pub(in crate::operate) use selvedge_cluster::store::fdb::stop;

    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use selvedge_cluster::Clock;
    use selvedge_cluster::store::Store;
    use selvedge_cluster::store::fdb::{
        ClusterFile, Fdb, FdbConfig, NetworkConfig, OpenError, Priority, Tls,
    };
    use selvedge_protocol::error::chain;

    use super::AnyStore;
    use crate::operate::config::NodeConfig;
    use crate::operate::failure::{CommandFailure, Exit};

    /// Clears all keys of the cluster of this name: what used them has ended.
    pub(in crate::operate) async fn erase(path: &Path, name: &str) -> Result<(), CommandFailure> {
        let failed = |error: &dyn std::error::Error| CommandFailure::failed(chain(error));
        let file = ClusterFile::read(path).map_err(|error| failed(&error))?;
        let config = FdbConfig::new(file, name, Clock::system());
        let store = Fdb::open(config).await.map_err(|error| failed(&error))?;
        let mut transaction = store.begin();
        transaction.clear_range(&[], &[u8::MAX]);
        let cleared = transaction.commit().await;
        store.close();
        cleared.map(drop).map_err(|error| failed(&error))
    }

    pub(super) async fn open(
        config: &NodeConfig,
        path: &Path,
        clock: Clock,
    ) -> Result<AnyStore, CommandFailure> {
        let by = config.origin("store");
        let said = |error: &dyn std::error::Error| format!("{by}: {}", chain(error));
        let file = ClusterFile::read(path).map_err(|error| CommandFailure::usage(said(&error)))?;
        let table = &config.fdb;
        let name = table.name.as_deref().unwrap_or("default");
        let defaults = FdbConfig::new(file, name, clock);
        let tls = match (&table.tls_certificate, &table.tls_key, &table.tls_ca) {
            (Some(certificate), Some(key), Some(ca)) => Some(Tls {
                certificate: certificate.clone(),
                key: key.clone(),
                ca: ca.clone(),
            }),
            _ => None,
        };
        let fdb = FdbConfig {
            network: NetworkConfig {
                tls,
                external_clients: table.external_clients.clone(),
                trace: table.trace_dir.clone(),
            },
            timeout: table
                .timeout_ms
                .map_or(defaults.timeout, |ms| Duration::from_millis(ms.into())),
            tag: table.tag.clone(),
            priority: match table.priority.as_deref() {
                Some("batch") => Priority::Batch,
                _ => Priority::Default,
            },
            ..defaults
        };
        match Fdb::open(fdb).await {
            Ok(store) => Ok(AnyStore::Fdb(Arc::new(store))),
            Err(error @ OpenError::Silent { .. }) => {
                Err(CommandFailure::new(Exit::Unavailable, said(&error)))
            }
            Err(error @ (OpenError::Network(_) | OpenError::Refused { .. })) => {
                Err(CommandFailure::failed(said(&error)))
            }
        }
    }
}

#[cfg(not(feature = "fdb-client"))]
pub(super) mod database {
    use std::path::Path;

    use selvedge_cluster::Clock;

    use super::AnyStore;
    use crate::operate::config::NodeConfig;
    use crate::operate::failure::CommandFailure;

    #[expect(
        clippy::unused_async,
        reason = "a build with FoundationDB waits for it"
    )]
    pub(in crate::operate) async fn erase(_path: &Path, _name: &str) -> Result<(), CommandFailure> {
        Ok(())
    }

    /// There is no client to stop.
    pub(in crate::operate) const fn stop() {}

    #[expect(
        clippy::unused_async,
        reason = "a build with FoundationDB waits for it"
    )]
    pub(super) async fn open(
        config: &NodeConfig,
        _path: &Path,
        _clock: Clock,
    ) -> Result<AnyStore, CommandFailure> {
        Err(CommandFailure::usage(format!(
            "{}: this build has no FoundationDB: build it with --features fdb (libfdb_c must be installed), or use \
             embedded or node:HOST:PORT",
            config.origin("store")
        )))
    }
}
