//! The peer port: takes connections of the cluster's nodes, and hands each of their streams to its service.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use quinn::{
    AsyncUdpSocket, Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime,
    VarInt,
};
use selvedge_protocol::limits::{
    PEER_CONNECTIONS_MAX, PEER_HANDSHAKE_MS_MAX, PEER_HANDSHAKES_MAX, STORE_TRANSACTION_MS_MAX,
};
use selvedge_protocol::peer::{Service, close};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::credentials::Credentials;
use super::dialer::Dialer;
use super::identity::Identity;
use super::reset::ResetKey;
use super::stream::PeerStream;
use super::{tls, transport};

/// Where a node listens, and what it is called.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    pub node: String,
    /// Port 0 asks for a free one.
    pub address: SocketAddr,
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
}

/// What is done with each stream.
type Serve = Arc<dyn Fn(Inbound) -> BoxFuture<'static, ()> + Send + Sync>;

/// The peer port of a node.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    credentials: Credentials,
    address: SocketAddr,
}

impl Listener {
    /// Binds the socket. Connections are taken once it runs. Needs a tokio runtime.
    pub fn bind(config: &ListenerConfig, credentials: Credentials) -> Result<Self, ListenError> {
        Self::open(config, credentials, |settings, server| {
            let socket = transport::socket(config.address)?;
            Endpoint::new(settings, Some(server), socket, Arc::new(TokioRuntime))
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
        Self::open(config, credentials, |mut settings, server| {
            settings.rng_seed(Some(seed));
            let runtime = Arc::new(TokioRuntime);
            Endpoint::new_with_abstract_socket(settings, Some(server), socket, runtime)
        })
    }

    fn open(
        config: &ListenerConfig,
        credentials: Credentials,
        endpoint: impl FnOnce(EndpointConfig, ServerConfig) -> io::Result<Endpoint>,
    ) -> Result<Self, ListenError> {
        let identity = credentials.current();
        let server = server_config(&identity).map_err(ListenError::Tls)?;
        let bind = |source| ListenError::Bind {
            address: config.address,
            source,
        };
        // Nodes that share a certificate, as in development, differ in their name or port.
        let of = format!("{} at {}", config.node, config.address);
        let reset = ResetKey::of_node(identity.key.secret_der(), &of);
        let endpoint = endpoint(reset.endpoint_config(), server).map_err(bind)?;
        Ok(Self {
            address: endpoint.local_addr().map_err(bind)?,
            endpoint,
            credentials,
        })
    }

    /// Connects to other nodes from this port, for as long as it is open.
    pub fn dialer(&self) -> Dialer {
        Dialer::from_endpoint(self.credentials.clone(), self.endpoint.clone())
    }

    /// The address with its real port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes; then takes nothing new, lets what was begun end, and closes.
    pub async fn run<F>(self, shutdown: impl Future<Output = ()> + Send, serve: F)
    where
        F: Fn(Inbound) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    {
        let serve: Serve = Arc::new(serve);
        let handshakes = Arc::new(Semaphore::new(PEER_HANDSHAKES_MAX));
        let (stop, stopping) = watch::channel(false);
        let mut identities = self.credentials.subscribe();
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    let Some(permit) = self.admit(&handshakes) else {
                        incoming.refuse();
                        continue;
                    };
                    let stopping = Stopping(stopping.clone());
                    connections.spawn(connection(incoming, permit, stopping, Arc::clone(&serve)));
                }
                Some(_ended) = connections.join_next() => {}
                Ok(()) = identities.changed() => {
                    let identity = Arc::clone(&identities.borrow_and_update());
                    // It was checked when it was read.
                    if let Ok(server) = server_config(&identity) {
                        self.endpoint.set_server_config(Some(server));
                    }
                }
                () = &mut shutdown => break,
            }
        }
        self.endpoint.set_server_config(None);
        stop.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN_MAX, ended).await;
        self.endpoint
            .close(VarInt::from_u32(close::STOPPING), b"the node stops");
        let _ = tokio::time::timeout(CLOSE_MAX, self.endpoint.wait_idle()).await;
    }

    fn admit(&self, handshakes: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if self.endpoint.open_connections() >= PEER_CONNECTIONS_MAX {
            return None;
        }
        Arc::clone(handshakes).try_acquire_owned().ok()
    }
}

fn server_config(identity: &Identity) -> Result<ServerConfig, rustls::Error> {
    let mut server = ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
    server
        .transport_config(transport::listening())
        .migration(true)
        .max_incoming(PEER_HANDSHAKES_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_BYTES * PEER_HANDSHAKES_MAX as u64);
    Ok(server)
}

/// One connection, from its handshake to its end.
async fn connection(
    incoming: Incoming,
    handshake: OwnedSemaphorePermit,
    mut stopping: Stopping,
    serve: Serve,
) {
    let address = incoming.remote_address();
    let connected = tokio::time::timeout(HANDSHAKE_MAX, incoming).await;
    drop(handshake);
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::warn!(%address, %error, "a node was not let in");
            return;
        }
        Err(_elapsed) => {
            tracing::debug!(%address, "handshake of a node took too long");
            return;
        }
    };
    tracing::debug!(%address, "a node has connected");
    let streams = serve_streams(&connection, &mut stopping, &serve).await;
    // Whoever is served still gets its answers; of a connection that is lost, nobody waits for any.
    streams.join_all().await;
    connection.close(VarInt::from_u32(close::STOPPING), b"the node stops");
}

/// Serves the streams of a connection until it ends or the node stops; returns those under way.
async fn serve_streams(
    connection: &Connection,
    stopping: &mut Stopping,
    serve: &Serve,
) -> JoinSet<()> {
    let mut streams = JoinSet::new();
    let ended = stopping.clone();
    loop {
        tokio::select! {
            opened = connection.accept_bi() => match opened {
                Ok((send, receive)) => {
                    let (serve, stopping) = (Arc::clone(serve), ended.clone());
                    streams.spawn(stream(PeerStream::new(send, receive), stopping, serve));
                }
                Err(error) => {
                    let address = connection.remote_address();
                    tracing::debug!(%address, %error, "a node's connection has ended");
                    return streams;
                }
            },
            Some(_ended) = streams.join_next() => {}
            () = stopping.begun() => return streams,
        }
    }
}

async fn stream(mut stream: PeerStream, stopping: Stopping, serve: Serve) {
    let said = tokio::time::timeout(PREFACE_MAX, stream.read_preface()).await;
    let Ok(Ok(preface)) = said else {
        return stream.reset(close::MALFORMED);
    };
    match Service::of(preface) {
        Ok(service) => {
            let inbound = Inbound {
                service,
                stream,
                stopping,
            };
            serve(inbound).await;
        }
        Err(error) => {
            tracing::warn!(%error, "a node asks for what is not served here");
            stream.reset(close::UNSERVED);
        }
    }
}

/// The first packets of one connection: a ClientHello with post-quantum keys is two.
const INCOMING_BUFFER_BYTES: u64 = 8 * 1024;
const HANDSHAKE_MAX: Duration = Duration::from_millis(PEER_HANDSHAKE_MS_MAX);
/// The first bytes of a stream come with its first packet.
const PREFACE_MAX: Duration = Duration::from_millis(PEER_HANDSHAKE_MS_MAX);
/// What was begun may take as long as a transaction, and its commit some more.
const DRAIN_MAX: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX + 1_000);
/// How long the last packets may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);
