//! The HTTP server: its socket, its threads, what holds for every request, and its end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use actix_web::App;
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::{Compress, from_fn};
use actix_web::rt::System;
use actix_web::web::{self, Data, PayloadConfig};
use rustls::ServerConfig;
use rustls::version::TLS13;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;

use crate::bridge::door::Door;
use crate::bridge::front::{Front, Plain, Tls};
use crate::bridge::graphql::Engine;
use crate::bridge::hold::{Common, Draining, held};
use crate::bridge::http::HttpConfig;
use crate::bridge::own_origin::{OwnOrigin, Scheme};
use crate::bridge::rest::Streams;
use crate::bridge::websocket::WebSockets;
use crate::bridge::{BridgeConfig, Inside, lane, routes};
use crate::edge::EdgeTls;

/// The HTTP port of a node.
#[derive(Debug)]
pub struct Bridge {
    config: BridgeConfig,
    tls: Option<ServerConfig>,
    inside: Inside,
    listener: TcpListener,
    address: SocketAddr,
}

/// Why a bridge cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is in use, or not one of this machine.
    #[error(
        "cannot listen for HTTP on {address} (TCP): choose another with --http, or stop what uses it"
    )]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error("the certificate cannot be used for HTTPS")]
    Certificate(#[source] rustls::Error),
}

/// Why a bridge stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its thread could not be started, or accepting failed for good.
    #[error("the HTTP server ended")]
    Server(#[source] io::Error),
    /// Its thread crashed.
    #[error("the HTTP server crashed; the log has why")]
    Crashed,
}

impl Bridge {
    /// Binds the socket. Connections are accepted once it runs.
    pub fn bind(mut config: BridgeConfig, inside: Inside) -> Result<Self, BindError> {
        let tls = config.tls.take().map(tls).transpose()?;
        let wanted = config.address;
        let bind = |source| BindError::Bind {
            address: wanted,
            source,
        };
        let listener = listener(wanted).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self {
            config,
            tls,
            inside,
            listener,
            address,
        })
    }

    /// The address with its real port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes, then lets sessions and requests come to their end, for as long as the drain
    /// may take.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let drain = self.config.drain;
        let sessions = self.inside.sessions.clone();
        let (drain_begins, draining) = Draining::told();
        let (started, handle) = oneshot::channel();
        let (ended, mut end) = oneshot::channel();
        thread::Builder::new()
            .name("bridge".to_owned())
            .spawn(move || {
                // An error is a node that waits no more.
                let _ = ended.send(self.serve(started, draining));
            })
            .map_err(RunError::Server)?;
        let ended = |result: Result<io::Result<()>, oneshot::error::RecvError>| match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RunError::Server(error)),
            Err(_) => Err(RunError::Crashed),
        };
        tokio::select! {
            () = shutdown => {}
            result = &mut end => return ended(result),
        }
        // Streams of events end, and their clients go on elsewhere.
        let _ = drain_begins.send(true);
        sessions.drain(drain).await;
        if let Ok(handle) = handle.await {
            handle.stop(true).await;
        }
        ended(end.await)
    }

    /// Runs on a thread of its own until it is stopped.
    fn serve(self, started: oneshot::Sender<ServerHandle>, draining: Draining) -> io::Result<()> {
        let Self {
            config,
            tls,
            inside,
            listener,
            address,
        } = self;
        let (head, keep_alive) = (config.head, config.keep_alive);
        let (threads, connections) = (config.threads, config.connections);
        let door = Door::new(connections, inside.clock.clone());
        let graphql = Data::new(Engine::new(config.graphql_introspection));
        let websockets = Data::new(WebSockets::new(config.websocket.clone()));
        let bytes_max = config.body_bytes_max;
        let scheme = tls.as_ref().map_or(Scheme::Http, |_| Scheme::Https);
        let own = OwnOrigin::new(config.public_url.as_deref(), inside.logins.issuer(), scheme);
        let common = Data::new(Common::new(config, own, address.ip().is_loopback()));
        let inside = Data::new(inside);
        let (streams, draining) = (Data::new(Streams::default()), Data::new(draining));
        let application = move || {
            // Made once on each of the threads.
            lane::begin();
            App::new()
                .app_data(Data::clone(&common))
                .app_data(Data::clone(&inside))
                .app_data(Data::clone(&websockets))
                .app_data(Data::clone(&graphql))
                .app_data(Data::clone(&streams))
                .app_data(Data::clone(&draining))
                .app_data(PayloadConfig::new(bytes_max))
                .wrap(from_fn(held))
                .wrap(Compress::default())
                .configure(routes::routes)
                .default_service(web::to(routes::nothing))
        };
        let http = HttpConfig {
            address,
            head,
            keep_alive,
        };
        System::new().block_on(async move {
            let server = Server::build()
                .workers(threads)
                .worker_max_blocking_threads(1)
                .max_concurrent_connections(of_thread(connections.connections_max, threads))
                .shutdown_timeout(SHUTDOWN_SECONDS)
                .disable_signals();
            let signal = server.graceful_shutdown_signal();
            // Connections that are kept for a next request end with it.
            let stops = move || {
                let signal = signal.clone();
                async move { signal.notified().await }
            };
            let server = match tls {
                None => server.listen(NAME, listener, move || Front {
                    door: Arc::clone(&door),
                    opening: Plain,
                    http: http.serves(application(), stops.clone()),
                })?,
                Some(tls) => {
                    let opening = Tls::new(tls);
                    server.listen(NAME, listener, move || Front {
                        door: Arc::clone(&door),
                        opening: opening.clone(),
                        http: http.serves(application(), stops.clone()),
                    })?
                }
            };
            let server = server.run();
            // An error is a node that has ended already: the server goes with its handle.
            let _ = started.send(server.handle());
            server.await
        })
    }
}

/// Connections that one thread takes: those who are turned away are there for a moment as well, and no thread has fewer
/// than its share.
const fn of_thread(connections_max: usize, threads: usize) -> usize {
    let threads = match threads {
        0 => 1,
        1.. => threads,
    };
    connections_max
        .saturating_add(TURNED_AWAY)
        .div_ceil(threads)
}

fn tls(files: EdgeTls) -> Result<ServerConfig, BindError> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(files.certificates, files.key)
        })
        .map_err(BindError::Certificate)
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A node that was killed may start again at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Connections have it from the socket that accepts them.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNREAD))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// How long a client may take nothing of what waits for it before the system ends its connection: twice as long as a
/// WebSocket waits, which has something to say then, and for answers that nobody else waits for.
#[cfg(target_os = "linux")]
const UNREAD: Duration = Duration::from_secs(60);

/// Connections that wait to be accepted: a thousand clients at once.
const BACKLOG: i32 = 1_024;

/// Connections over the most that there may be: the last ones for this machine, and those that are turned away.
const TURNED_AWAY: usize = 1_024;
/// What the system and the log call it.
const NAME: &str = "bridge";

/// How long requests under way may take once all sessions have ended, seconds.
const SHUTDOWN_SECONDS: u64 = 5;
