//! The peer port: takes connections of the cluster's nodes and those that this node has dialled, and hands each of
//! their streams to its service.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use quinn::{
    AsyncUdpSocket, Endpoint, EndpointConfig, Incoming, Runtime, ServerConfig, TokioRuntime, VarInt,
};
use selvedge_protocol::limits::{
    PEER_ACCOUNTS_MAX, PEER_CONNECTIONS_MAX, PEER_HANDSHAKE_MS_MAX, PEER_INCOMING_MAX,
    STORE_TRANSACTION_MS_MAX,
};
use selvedge_protocol::peer::{Service, close};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::credentials::Credentials;
use super::dialer::Dialer;
use super::identity::Identity;
use super::links::Links;
use super::pair::{Dialled, Means};
use super::reset::ResetKey;
use super::served::Port;
use super::stream::PeerStream;
use super::{tls, transport};
use crate::gate::admission::AdmissionConfig;
use crate::gate::{Gate, GateConfig, HandshakePermit, Passage, Proofs, TokenKey};
use crate::{Clock, metrics};

/// Where a node listens, and what it is called.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    pub node: String,
    /// Port 0 asks for a free one.
    pub address: SocketAddr,
    /// Who may begin a handshake.
    pub admission: AdmissionConfig,
}

/// Why the peer port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is in use, or not one of this machine.
    #[error(
        "cannot listen for nodes on {address} (UDP): choose another with --peer, or stop what uses it"
    )]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error("the certificate cannot be used")]
    Tls(#[source] rustls::Error),
}

/// A stream that another node has opened.
#[derive(Debug)]
pub struct Inbound {
    pub service: Service,
    pub stream: PeerStream,
    pub stopping: Stopping,
}

impl Inbound {
    /// This node does not serve that.
    pub fn unserved(mut self) {
        tracing::warn!(service = ?self.service, "a node asks for what is not served here");
        self.stream.reset(close::UNSERVED);
    }
}

/// Tells long-lived streams that the node stops.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Completes when the node stops.
    pub async fn begun(&mut self) {
        // A listener that is gone has stopped.
        let _ = self.0.wait_for(|is_stopping| *is_stopping).await;
    }

    /// Whether it has.
    pub(super) fn has_begun(&self) -> bool {
        *self.0.borrow()
    }
}

/// The peer port of a node.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    gate: Arc<Gate>,
    proofs: Proofs,
    credentials: Credentials,
    node: String,
    address: SocketAddr,
    links: OnceLock<Links>,
    /// What the links have dialled, to be served here.
    serve: mpsc::Sender<Dialled>,
    dialled: mpsc::Receiver<Dialled>,
}

impl Listener {
    /// Binds the socket. Connections are taken once it runs. Needs a tokio runtime.
    pub fn bind(config: &ListenerConfig, credentials: Credentials) -> Result<Self, ListenError> {
        let seed = None;
        Self::open(config, credentials, seed, || {
            TokioRuntime.wrap_udp_socket(transport::socket(config.address)?)
        })
    }

    /// The same over a socket that is not the system's, with the endpoint's random numbers from a seed: for a
    /// network that is simulated. Time is tokio's.
    pub fn over(
        config: &ListenerConfig,
        credentials: Credentials,
        socket: Arc<dyn AsyncUdpSocket>,
        seed: [u8; 32],
    ) -> Result<Self, ListenError> {
        Self::open(config, credentials, Some(seed), || Ok(socket))
    }

    fn open(
        config: &ListenerConfig,
        credentials: Credentials,
        seed: Option<[u8; 32]>,
        socket: impl FnOnce() -> io::Result<Arc<dyn AsyncUdpSocket>>,
    ) -> Result<Self, ListenError> {
        let identity = credentials.current();
        // Nodes that were here before pass first, also after this one has started again.
        let proofs = Proofs::new(TokenKey::of_cluster(identity.key.secret_der()));
        let server = server_config(&identity, &proofs).map_err(ListenError::Tls)?;
        let bind = |source| ListenError::Bind {
            address: config.address,
            source,
        };
        // Nodes that share a certificate, as in development, differ in their name or port.
        let of = format!("{} at {}", config.node, config.address);
        let reset = ResetKey::of_node(identity.key.secret_der(), &of);
        let mut settings: EndpointConfig = reset.endpoint_config();
        settings.rng_seed(seed);
        let of_gate = GateConfig {
            port: "peers",
            admission: config.admission,
            accounts_max: PEER_ACCOUNTS_MAX,
            connections_max: PEER_CONNECTIONS_MAX,
        };
        let gate = Gate::new(&of_gate, proofs.clone(), Clock::system());
        let socket = gate.before(socket().map_err(bind)?);
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(settings, Some(server), socket, runtime)
            .map_err(bind)?;
        let (serve, dialled) = mpsc::channel(PEER_CONNECTIONS_MAX);
        Ok(Self {
            address: endpoint.local_addr().map_err(bind)?,
            endpoint,
            gate,
            proofs,
            credentials,
            node: config.node.clone(),
            links: OnceLock::new(),
            serve,
            dialled,
        })
    }

    /// The links to other nodes, from and to this port for as long as it is open. They are the same whenever it
    /// is asked.
    pub fn links(&self, clock: Clock) -> Links {
        let opened = self.links.get_or_init(|| {
            let means = Means {
                dialer: Dialer::from_endpoint(self.credentials.clone(), self.endpoint.clone()),
                clock,
                serve: self.serve.clone(),
            };
            Links::new(&self.node, means)
        });
        opened.clone()
    }

    /// The address with its real port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes; then takes nothing new, lets what was begun end, and closes.
    pub async fn run<F>(mut self, shutdown: impl Future<Output = ()> + Send, serve: F)
    where
        F: Fn(Inbound) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    {
        let (stop, stopping) = watch::channel(false);
        let port = Port {
            serve: Arc::new(serve),
            stopping: Stopping(stopping),
            links: self.links.get().cloned(),
        };
        let mut ticks = tokio::time::interval(TELL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut identities = self.credentials.subscribe();
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    match self.gate.decide(&incoming, self.endpoint.open_connections()) {
                        Passage::Accept(permit) => {
                            connections.spawn(connection(incoming, permit, port.clone()));
                        }
                        // Only a validated address fails, and such are never asked again.
                        Passage::Retry => drop(incoming.retry()),
                        Passage::Refuse => incoming.refuse(),
                        Passage::Ignore => incoming.ignore(),
                    }
                }
                _ = ticks.tick() => self.tell(),
                Some(dialled) = self.dialled.recv() => {
                    connections.spawn(port.clone().dialled(dialled));
                }
                Some(_ended) = connections.join_next() => {}
                Ok(()) = identities.changed() => {
                    let identity = Arc::clone(&identities.borrow_and_update());
                    // It was checked when it was read.
                    if let Ok(server) = server_config(&identity, &self.proofs) {
                        self.endpoint.set_server_config(Some(server));
                    }
                }
                () = &mut shutdown => break,
            }
        }
        self.endpoint.set_server_config(None);
        self.dialled.close();
        stop.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN_MAX, ended).await;
        self.endpoint
            .close(VarInt::from_u32(close::STOPPING), b"the node stops");
        let _ = tokio::time::timeout(CLOSE_MAX, self.endpoint.wait_idle()).await;
    }

    fn tell(&self) {
        let told = self.gate.tell(self.endpoint.open_connections());
        for (outcome, count) in told.outcomes {
            metrics::peer_handshakes(outcome, count);
        }
    }
}

fn server_config(identity: &Identity, proofs: &Proofs) -> Result<ServerConfig, rustls::Error> {
    let mut server = ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
    proofs.given_by(&mut server);
    server
        .transport_config(transport::listening())
        .migration(true)
        .max_incoming(PEER_INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_BYTES * PEER_INCOMING_MAX as u64);
    Ok(server)
}

/// One connection, from its handshake to its end.
async fn connection(incoming: Incoming, handshake: HandshakePermit, port: Port) {
    let address = incoming.remote_address();
    let connected = tokio::time::timeout(HANDSHAKE_MAX, incoming).await;
    drop(handshake);
    match connected {
        Ok(Ok(connection)) => {
            tracing::debug!(%address, "a node has connected");
            port.accepted(connection).await;
        }
        Ok(Err(error)) => tracing::warn!(%address, %error, "a node was not let in"),
        Err(_elapsed) => tracing::debug!(%address, "handshake of a node took too long"),
    }
}

/// How often it is told what became of handshakes: the log has a line at most as often.
const TELL: Duration = Duration::from_secs(1);
/// The first packets of one connection: a ClientHello with post-quantum keys is two.
const INCOMING_BUFFER_BYTES: u64 = 8 * 1024;
const HANDSHAKE_MAX: Duration = Duration::from_millis(PEER_HANDSHAKE_MS_MAX);
/// What was begun may take as long as a transaction, and its commit some more.
const DRAIN_MAX: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX + 1_000);
/// How long the last packets may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);
