//! The bridge: HTTP for browsers and for whatever speaks it, on one port. The role `bridge` runs it.
//!
//! actix-web serves it on threads of its own ([`server`]), each with a runtime of one thread. Everything inside the
//! node lives on the main runtime, and handlers reach it through [`Inside`] alone: nothing here holds an actor, a
//! store or a connection of the node. What answers to whom is in one table, [`routes`].

mod console;
mod credentials;
mod door;
mod front;
mod graphql;
mod health;
mod hold;
mod http;
mod inside;
mod lane;
mod origin;
mod own_origin;
mod problem;
mod rate_headers;
mod rest;
mod routes;
mod scrape;
mod server;
mod version;
mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

use crate::edge::EdgeTls;
use crate::edge::admission::{Rate, StreamLimits};

pub use graphql::Introspection;
pub use health::{About, Health, Part, WebTransport};
pub use inside::{Inside, Subscribed};
pub use origin::Origins;
pub(crate) use scrape::Process;
pub use server::{BindError, Bridge, RunError};
pub use websocket::WebSocketConfig;

/// The bounds of a bridge.
#[derive(Debug)]
pub struct BridgeConfig {
    /// Where it listens (TCP). Port 0 asks for a free one.
    pub address: SocketAddr,
    /// What it shows over TLS 1.3; `None` is plain HTTP, for this machine or behind a proxy that does it.
    pub tls: Option<EdgeTls>,
    /// Threads that serve.
    pub threads: usize,
    /// Connections in all, and how fast those of a prefix may come; more are closed at once.
    pub connections: StreamLimits,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long an idle connection is kept for its next request.
    pub keep_alive: Duration,
    /// Whose pages may use it from a browser, beside its own.
    pub origins: Origins,
    /// Where browsers reach it, if that is not what they ask for.
    pub public_url: Option<String>,
    /// Whether clients may ask for the GraphQL schema.
    pub graphql_introspection: Introspection,
    pub websocket: WebSocketConfig,
    /// How long a drain may take.
    pub drain: Duration,
}

impl BridgeConfig {
    /// The defaults, on this address.
    pub fn new(address: SocketAddr) -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            address,
            tls: None,
            threads: std::thread::available_parallelism()
                .map_or(2, usize::from)
                .min(THREADS_MAX),
            connections: StreamLimits {
                connections_max: 50_000,        // at 24 KiB each 1.2 GB
                handshakes_max: 2_048,          // at 20 kB each 40 MB, and as many as the edge has
                address: rate(1_000, 5_000), // a proxy in front, or an office that comes back at once
                network: rate(2_000, 10_000), // two of these
                loopback: rate(20_000, 20_000), // a proxy on this machine, and tests: as fast as a node is
            },
            body_bytes_max: BODY_BYTES_MAX,
            head: Duration::from_secs(5), // slow heads are attacks before they are slow links
            keep_alive: Duration::from_secs(60), // browsers come back within it
            origins: Origins::default(),
            public_url: None,
            graphql_introspection: match address.ip().is_loopback() {
                true => Introspection::On,
                false => Introspection::Off, // what is not told is not tried
            },
            websocket: WebSocketConfig::default(),
            drain: Duration::from_secs(20), // as the edge
        }
    }
}

/// Threads that one bridge takes by itself: past it the inside needs the others.
const THREADS_MAX: usize = 8;

/// The largest state is 8 MiB; a command's arguments are far smaller, and base64 takes a third more.
const BODY_BYTES_MAX: usize = 12 * 1024 * 1024;
