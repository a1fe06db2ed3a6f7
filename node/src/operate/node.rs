//! A node: what it starts, in which order, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, join, select};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::HostConfig;
use selvedge_cluster::membership::{Leave, Role};
use selvedge_cluster::peer::{Listener, PeerFiles};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::migration::{ClusterMeta, prepare};
use selvedge_protocol::error::chain;
use selvedge_protocol::limits;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::{Application, Place, Running};
use crate::bridge::{self, Bridge};
use crate::edge::{BindError, Edge, EdgeConfig, EdgeTls, ResetKey, RunError};
use crate::gateway::{Gateway, Service};
use crate::identity::{Authenticator, DevelopmentToken, ResumeKey, Secret};
use crate::operate::bridge::{Started, about, metrics};
use crate::operate::certificates::usable_dir;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::membership::{Membership, MembershipParts, Own, nobody_yet};
use crate::operate::store::OpenStore;
use crate::operate::tls_files::TlsFiles;
use crate::session::{Inside, SessionConfig, Sessions};

/// A node that serves.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    quic: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    http: Option<SocketAddr>,
    /// Whether HTTP is HTTPS.
    is_https: bool,
    shutdown: Vec<oneshot::Sender<()>>,
    /// `None`: it serves no clients over QUIC.
    edge: Option<JoinHandle<Result<(), RunError>>>,
    /// `None`: it serves none over HTTP.
    bridge: Option<JoinHandle<Result<(), bridge::RunError>>>,
    /// `None`: it is alone on its store.
    membership: Option<Membership>,
    application: Running,
    store: OpenStore,
    drain: Duration,
}

/// What a node is known by: to clients, and where it has anything to do with them, to other nodes.
#[derive(Debug)]
pub(crate) struct NodeFiles {
    /// `None`: it serves no clients.
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) peer: Option<PeerFiles>,
}

impl Node {
    /// Starts every part, the store first and the edge last: when this returns, clients are served, as far as
    /// the node is [ready](Self::ready).
    pub(crate) async fn start(
        config: &NodeConfig,
        files: &NodeFiles,
        token: Secret,
        application: Application,
    ) -> Result<Self, CommandFailure> {
        let tls = files
            .tls
            .as_ref()
            .map(|tls| check(config, tls))
            .transpose()?;
        usable_dir(&config.origin("data_dir"), &config.data_dir)?;
        let clock = Clock::system();
        let store = OpenStore::open(config, files.peer.as_ref(), clock.clone()).await?;
        let listener = store.listen(config)?;
        let meta = prepare(&*store.shared(), &clock)
            .await
            .map_err(|error| CommandFailure::failed(chain(&error)))?;
        let operations: Vec<String> = application.operations().map(ToString::to_string).collect();
        let place = place(config, &meta, store.shared(), clock.clone());
        let application = run(application, config, place, listener.is_none()).await?;
        let (others, known_others) = nobody_yet();
        let service: Arc<dyn Service> = Arc::new(Gateway::new(
            application.host.clone(),
            application.operations.clone(),
        ));
        let authenticator: Arc<dyn Authenticator> = Arc::new(DevelopmentToken::new("admin", token));
        let inside = Inside {
            service: Arc::clone(&service),
            workers: Some(application.workers()),
            authenticator: Arc::clone(&authenticator),
            resume_key: ResumeKey::new(meta.session_key.as_bytes()),
            clock: clock.clone(),
            others: known_others,
        };
        let sessions = Sessions::start(SessionConfig::new(&config.name), inside)
            .await
            .map_err(|error| CommandFailure::failed(chain(&error)))?;
        let (edge_tls, bridge_tls) = tls.map(|tls| (copy(&tls), tls)).unzip();
        let edge = edge_tls
            .filter(|_| config.has(Role::Edge))
            .map(|tls| bind_edge(config, &meta, tls, sessions.clone()))
            .transpose()?;
        let started = Started::default();
        let bridge = match config.has(Role::Bridge) {
            false => None,
            true => {
                let inside = bridge::Inside {
                    runtime: tokio::runtime::Handle::current(),
                    sessions: sessions.clone(),
                    service,
                    authenticator,
                    clock: clock.clone(),
                    health: started.health(),
                    about: Arc::new(about(config, &meta)),
                    metrics: metrics()?,
                };
                Some(super::bridge::bind(config, bridge_tls, inside)?)
            }
        };
        let http = bridge.as_ref().map(Bridge::local_addr);
        let quic = edge
            .as_ref()
            .map(Edge::local_addr)
            .transpose()
            .map_err(|error| CommandFailure::failed(chain(&error)))?;
        let peer = listener.as_ref().map(Listener::local_addr);
        let own = Own {
            config,
            meta: &meta,
            peer,
            quic,
            operations: &operations,
        };
        let parts = MembershipParts {
            own,
            listener,
            host: application.host.clone(),
            processing: application.processing(),
            store: store.shared(),
            clock,
            others,
            sessions,
        };
        let membership = Membership::start(parts).await?;
        started.as_member(membership.as_ref().map(Membership::readiness));
        let mut shutdown = Vec::new();
        let mut stopped = || {
            let (sender, stopped) = oneshot::channel::<()>();
            shutdown.push(sender);
            async move {
                // An error is the end of the node without a drain: the same to its ports.
                let _ = stopped.await;
            }
        };
        let edge = edge.map(|edge| tokio::spawn(edge.run(stopped())));
        let bridge = bridge.map(|bridge| tokio::spawn(bridge.run(stopped())));
        tracing::info!(node = %config.name, ?quic, ?peer, ?http, cluster = %meta.cluster, schema = meta.schema, "node serves");
        Ok(Self {
            name: config.name.clone(),
            quic,
            peer,
            http,
            is_https: config.bridge.is_https(config.http),
            shutdown,
            edge,
            bridge,
            membership,
            application,
            store,
            drain: Duration::from_secs(config.drain_seconds.into()),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where clients connect, with the real port, if they do.
    pub(crate) const fn quic_address(&self) -> Option<SocketAddr> {
        self.quic
    }

    /// Where other nodes connect, with the real port, if there are any.
    pub(crate) const fn peer_address(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Where it serves HTTP, with the real port, if it does.
    pub(crate) const fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where people open its console, if it has one.
    pub(crate) fn console(&self) -> Option<String> {
        let scheme = if self.is_https { "https" } else { "http" };
        self.http.map(|address| format!("{scheme}://{address}/"))
    }

    /// Completes when the node serves what it is there for. One that is alone does from its start on.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + use<> {
        let ready = self.membership.as_ref().map(Membership::ready);
        async move {
            if let Some(ready) = ready {
                ready.await;
            }
        }
    }

    /// Completes when a part has ended by itself: a defect, or the node is not wanted any more.
    pub(crate) async fn failed(&mut self) -> CommandFailure {
        let Self {
            edge,
            bridge,
            membership,
            ..
        } = self;
        let membership = async {
            match membership {
                None => std::future::pending().await,
                Some(membership) => membership.failed().await,
            }
        };
        tokio::select! {
            failure = ended(edge, "the edge has ended") => failure,
            failure = ended(bridge, "the bridge has ended") => failure,
            failure = membership => failure,
        }
    }

    /// Lets what was accepted be answered and hands over what the node owns, within the deadline of the
    /// configuration, then stops every part in the reverse order of its start.
    pub(crate) async fn drain(mut self) {
        for shutdown in self.shutdown.drain(..) {
            let _ = shutdown.send(());
        }
        let (edge, bridge) = (self.edge.take(), self.bridge.take());
        let ports = pin!(async {
            join(closed(edge, "edge"), closed(bridge, "bridge")).await;
        });
        let membership = self.membership.take();
        let (leave, ports) = {
            let leaving = pin!(async {
                match &membership {
                    Some(membership) => membership.leave(self.drain).await,
                    None => Leave::Emptied,
                }
            });
            match select(ports, leaving).await {
                Either::Left(((), leaving)) => (leaving.await, None),
                Either::Right((leave, ports)) => (leave, Some(ports)),
            }
        };
        let rest = async {
            if let Some(ports) = ports {
                ports.await;
            }
            self.application.stop().await;
            if let Some(membership) = membership {
                membership.stop().await;
            }
            self.store.close().await;
        };
        match leave {
            Leave::Emptied | Leave::Late => rest.await,
            Leave::CutOff => {
                // What waits for the store waits in vain; nothing of it was acknowledged.
                if timeout(CUT_OFF_REST_MAX, rest).await.is_err() {
                    tracing::warn!("requests and operations were left that wait for the store");
                }
            }
        }
    }
}

/// Completes when a part ends by itself.
async fn ended<E: std::error::Error>(
    part: &mut Option<JoinHandle<Result<(), E>>>,
    in_order: &str,
) -> CommandFailure {
    match part {
        None => std::future::pending().await,
        Some(part) => match part.await {
            Ok(Ok(())) => CommandFailure::failed(in_order),
            Ok(Err(error)) => CommandFailure::failed(chain(&error)),
            Err(error) => CommandFailure::failed(chain(&error)),
        },
    }
}

/// Waits for the end of a part that was told to stop.
async fn closed<E>(part: Option<JoinHandle<Result<(), E>>>, name: &str) {
    if let Some(part) = part
        && let Err(error) = part.await
    {
        tracing::error!(%error, "the {name} did not end in order");
    }
}

/// The edge and the bridge show the same.
fn copy(tls: &EdgeTls) -> EdgeTls {
    EdgeTls {
        certificates: tls.certificates.clone(),
        key: tls.key.clone_key(),
    }
}

/// Starts an application whose node is alone on its store, or one of several.
async fn run(
    application: Application,
    config: &NodeConfig,
    place: Place,
    is_alone: bool,
) -> Result<Running, CommandFailure> {
    let lease = Duration::from_millis(config.worker_lease_ms.into());
    let application = application.worker_lease(lease);
    let running = match is_alone {
        true => application.start(place).await,
        false => application.start_idle(place).await,
    };
    running.map_err(|error| CommandFailure::failed(chain(&error)))
}

fn place(config: &NodeConfig, meta: &ClusterMeta, store: Arc<dyn Store>, clock: Clock) -> Place {
    let host = HostConfig {
        node: config.name.clone(),
        idle_ms: limits::ACTOR_IDLE_MS,
        slots: meta.slots,
    };
    Place {
        host,
        index_shards: meta.index_shards,
        store,
        clock,
    }
}

fn bind_edge(
    config: &NodeConfig,
    meta: &ClusterMeta,
    tls: EdgeTls,
    sessions: Sessions,
) -> Result<Edge, CommandFailure> {
    let edge_config = EdgeConfig {
        connections_max: usize::try_from(config.connections_max).unwrap_or(usize::MAX),
        drain: Duration::from_secs(config.drain_seconds.into()),
        reset_key: Some(ResetKey::of_node(meta.session_key.as_bytes(), &config.name)),
        ..EdgeConfig::new(config.quic)
    };
    Edge::bind(edge_config, tls, sessions).map_err(|error| unbound(config, &error))
}

/// All that can be found wrong before anything is opened.
pub(crate) fn check(config: &NodeConfig, tls: &TlsFiles) -> Result<EdgeTls, CommandFailure> {
    let read = read_tls(config, tls)?;
    read.check().map_err(|error| {
        CommandFailure::usage(format!(
            "{} {} and key {}: {}",
            config.origin("tls.certificate"),
            tls.certificate.display(),
            tls.key.display(),
            chain(&error)
        ))
    })?;
    Ok(read)
}

/// A port that is in use is free another time; an address of another machine never is.
fn unbound(config: &NodeConfig, error: &BindError) -> CommandFailure {
    match error {
        BindError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
            let (by, said) = (config.origin("quic"), chain(error));
            CommandFailure::usage(format!("{by}: {said}; use an address of this machine"))
        }
        BindError::Bind { .. }
        | BindError::Address(_)
        | BindError::Certificate(_)
        | BindError::Tls(_) => CommandFailure::failed(chain(error)),
    }
}

fn read_tls(config: &NodeConfig, files: &TlsFiles) -> Result<EdgeTls, CommandFailure> {
    let unusable = |key: &str, path: &Path, error: pem::Error| {
        let (by, path) = (config.origin(key), path.display());
        CommandFailure::usage(format!("{by} {path}: {error}; give a PEM file"))
    };
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable("tls.certificate", &files.certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable("tls.key", &files.key, error))?;
    Ok(EdgeTls { certificates, key })
}

/// For last words to clients, and for what ends by itself.
const CUT_OFF_REST_MAX: Duration = Duration::from_secs(2);
