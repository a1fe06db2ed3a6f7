//! The ports at which a node serves clients: bound before it joins its cluster, so that it can tell the others where
//! they are, and served from then on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::join;
use selvedge_cluster::Clock;
use selvedge_cluster::membership::Role;
use selvedge_cluster::store::migration::ClusterMeta;
use selvedge_protocol::error::chain;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::app::Running;
use crate::audit::Refusals;
use crate::bridge::{self, Bridge, WebTransport};
use crate::edge::{
    self, BindError, Browsers, Edge, EdgeConfig, EdgeTls, ResetKey, TokenKey, WEB_PATH,
};
use crate::gateway::{Gateway, Service};
use crate::identity::{Authenticator, DevelopmentToken, Logins, ResumeKey, Secret, Tokens};
use crate::operate::bridge::{Started, about, bind_bridge, metrics};
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::session::{Addresses, Inside, OtherNodes, Sessions};

/// What clients come to, whatever the port.
pub(super) struct Doors {
    pub(super) sessions: Sessions,
    service: Arc<dyn Service>,
    authenticator: Arc<dyn Authenticator>,
    logins: Logins,
    clock: Clock,
    bridges: Addresses,
    /// Who was refused what, to be recorded.
    pub(super) refusals: Refusals,
}

impl Doors {
    /// Starts the sessions of a node.
    pub(super) async fn open(
        config: &NodeConfig,
        meta: &ClusterMeta,
        token: Secret,
        application: &Running,
        clock: &Clock,
        others: OtherNodes,
    ) -> Result<Self, CommandFailure> {
        let refusals = Refusals::new(clock.clone());
        let own = DevelopmentToken::new("admin", token);
        let issuers = config.issuers.clone();
        let issue = config.issue.clone().of_cluster(&meta.cluster.to_string());
        let directory = application.directory.clone();
        let logins = Logins::configured(directory, meta.session_key.as_bytes(), issue)
            .counting_with(application.limits.clone());
        let gateway = Gateway::new(application).noting(refusals.clone());
        let service: Arc<dyn Service> = Arc::new(gateway.issuing(logins.clone()));
        let tokens = Tokens::issued_here(own, issuers, &logins, clock.clone());
        let authenticator: Arc<dyn Authenticator> = Arc::new(tokens);
        let bridges = others.bridges.clone();
        let inside = Inside {
            service: Arc::clone(&service),
            workers: Some(application.workers()),
            authenticator: Arc::clone(&authenticator),
            resume_key: ResumeKey::new(meta.session_key.as_bytes()),
            clock: clock.clone(),
            others,
        };
        let sessions = Sessions::start(config.sessions.of(&config.name), inside).await;
        Ok(Self {
            sessions: sessions.map_err(|error| CommandFailure::failed(chain(&error)))?,
            service,
            authenticator,
            logins,
            clock: clock.clone(),
            bridges,
            refusals,
        })
    }
}

/// Ports that are bound. A node without one of the roles has none of it.
#[derive(Debug)]
pub(super) struct Ports {
    edge: Option<Edge>,
    bridge: Option<Bridge>,
    addresses: ClientAddresses,
}

/// Where clients connect, with real ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientAddresses {
    pub(super) quic: Option<SocketAddr>,
    pub(super) http: Option<SocketAddr>,
}

/// Ports that are served.
#[derive(Debug)]
pub(super) struct Serving {
    /// Dropped or sent to, they end.
    shutdown: Vec<oneshot::Sender<()>>,
    edge: Option<JoinHandle<Result<(), edge::RunError>>>,
    bridge: Option<JoinHandle<Result<(), bridge::RunError>>>,
}

impl Ports {
    /// Binds what the roles of the node ask for. Needs a tokio runtime, the node's main one.
    pub(super) fn bind(
        config: &NodeConfig,
        meta: &ClusterMeta,
        tls: Option<EdgeTls>,
        doors: Doors,
        started: &Started,
    ) -> Result<Self, CommandFailure> {
        let (for_bridge, for_edge) = tls.map(|tls| (copy(&tls), tls)).unzip();
        let edge = for_edge
            .filter(|_| config.has(Role::Edge))
            .map(|tls| bind_edge(config, meta, tls, doors.sessions.clone()))
            .transpose()?;
        let quic = edge.as_ref().map(Edge::local_addr).transpose();
        let quic = quic.map_err(|error| CommandFailure::failed(chain(&error)))?;
        let bridge = match config.has(Role::Bridge) {
            false => None,
            true => {
                let inside = bridge::Inside {
                    runtime: Handle::current(),
                    sessions: doors.sessions,
                    service: doors.service,
                    authenticator: doors.authenticator,
                    logins: doors.logins,
                    clock: doors.clock,
                    health: started.health(&config.name),
                    about: Arc::new(about(config, meta, for_browsers(config, &edge, quic))),
                    metrics: metrics()?,
                    bridges: doors.bridges,
                    config: Arc::new(serde_json::to_value(config).unwrap_or_default()),
                };
                Some(bind_bridge(config, for_bridge, inside)?)
            }
        };
        let addresses = ClientAddresses {
            quic,
            http: bridge.as_ref().map(Bridge::local_addr),
        };
        Ok(Self {
            edge,
            bridge,
            addresses,
        })
    }

    /// Where they are.
    pub(super) const fn addresses(&self) -> ClientAddresses {
        self.addresses
    }

    /// Serves at all of them.
    pub(super) fn serve(self) -> Serving {
        let mut shutdown = Vec::new();
        let mut stopped = || {
            let (sender, stopped) = oneshot::channel::<()>();
            shutdown.push(sender);
            async move {
                // An error is the end of the node without a drain: the same to its ports.
                let _ = stopped.await;
            }
        };
        let edge = self.edge.map(|edge| tokio::spawn(edge.run(stopped())));
        let bridge = self.bridge.map(|it| tokio::spawn(it.run(stopped())));
        Serving {
            shutdown,
            edge,
            bridge,
        }
    }
}

impl Serving {
    /// Completes when one of them has ended by itself.
    pub(super) async fn failed(&mut self) -> CommandFailure {
        tokio::select! {
            failure = ended(&mut self.edge, "the edge has ended") => failure,
            failure = ended(&mut self.bridge, "the bridge has ended") => failure,
        }
    }

    /// Lets sessions and requests come to their end, then closes all of them.
    pub(super) async fn drain(self) {
        for shutdown in self.shutdown {
            // One that has ended has been told of already.
            let _ = shutdown.send(());
        }
        join(closed(self.edge, "edge"), closed(self.bridge, "bridge")).await;
    }
}

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

async fn closed<E>(part: Option<JoinHandle<Result<(), E>>>, name: &str) {
    if let Some(part) = part
        && let Err(error) = part.await
    {
        tracing::error!(%error, "the {name} did not end in order");
    }
}

/// What the edge shows, the bridge shows as well.
fn copy(tls: &EdgeTls) -> EdgeTls {
    EdgeTls {
        certificates: tls.certificates.clone(),
        key: tls.key.clone_key(),
        browsers: None,
    }
}

/// Where browsers reach the edge: at its port, or at the one in front of it that others are told.
fn for_browsers(
    config: &NodeConfig,
    edge: &Option<Edge>,
    quic: Option<SocketAddr>,
) -> Option<WebTransport> {
    let hash = edge.as_ref()?.browser_certificate();
    let advertised = config.advertise_quic.as_deref();
    let advertised = advertised.and_then(|address| address.rsplit_once(':')?.1.parse().ok());
    Some(WebTransport {
        port: advertised.or_else(|| Some(quic?.port()))?,
        path: WEB_PATH,
        certificate_hashes: hash
            .map(|hash| BASE64_STANDARD.encode(hash))
            .into_iter()
            .collect(),
    })
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
        admission: config.edge,
        token_key: Some(TokenKey::of_cluster(meta.session_key.as_bytes())),
        reset_key: Some(ResetKey::of_node(meta.session_key.as_bytes(), &config.name)),
        browsers: Some(Browsers {
            origins: config.bridge.origins.clone(),
        }),
        ..EdgeConfig::new(config.quic)
    };
    Edge::bind(edge_config, tls, sessions).map_err(|error| unbound(config, &error))
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
