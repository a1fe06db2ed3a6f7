//! The edge: QUIC for clients. Admits connections, and moves bytes between them and their sessions.
//!
//! One task per connection with one `select!` over what can happen to it; payloads and subscriptions
//! have streams and tasks of their own. The edge knows frames and bytes; what they mean is the session's
//! affair. Connections end with an application close code, and the same codes reset streams:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | all is said, the session has ended in order |
//! | 1 + n | a failure with error code n of the protocol (so `malformed` is 1); the reason is its text |
//!
//! Browsers come to the same port by WebTransport: `wire` is what differs, and `web` how they get there.

mod answer;
mod close;
mod connection;
mod payload;
mod subscription;
mod transport;
mod web;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Endpoint, Incoming};
use selvedge_cluster::gate::{Gate, GateConfig, HandshakePermit, Passage, Proofs};
use selvedge_protocol::limits::{EDGE_ACCOUNTS_MAX, SESSION_STREAMS_MAX};
use tokio::time::MissedTickBehavior;

use crate::edge::admission::AdmissionConfig;
use crate::edge::transport::Behind;
use crate::metrics;
use crate::session::{NodeRoom, PayloadRoom, Sessions};

pub use selvedge_cluster::gate::{TokenKey, admission};
pub use selvedge_cluster::peer::ResetKey;
pub use transport::{BindError, BrowserTls, EdgeTls};
pub(crate) use web::is_at;

/// The bounds of an edge.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// Where clients connect. Port 0 asks for a free one.
    pub address: SocketAddr,
    /// Connections in all; more are refused.
    pub connections_max: usize,
    /// Who may begin a handshake.
    pub admission: AdmissionConfig,
    /// How long a handshake may take, from its first packet on.
    pub handshake: Duration,
    /// How long a connection may take from the end of its handshake to its whole Hello.
    pub hello: Duration,
    /// How long the stream of a payload or large answer may stand still before it is given up, and a frame may take
    /// from its first byte to its last.
    pub payload_stall: Duration,
    /// Bytes of attached payloads being received, over all connections; at least the largest one's.
    pub payload_bytes_max: usize,
    /// Bytes of large answers and snapshots that clients have not taken, over all connections.
    pub answer_bytes_max: usize,
    /// How long the last words to a client may take to arrive.
    pub linger: Duration,
    /// How long a drain may take.
    pub drain: Duration,
    /// Lets clients of this node's earlier processes notice at once that those are gone.
    pub reset_key: Option<ResetKey>,
    /// Lets clients show this node proofs of their address that others of its cluster gave them; `None`: it takes its own.
    pub token_key: Option<TokenKey>,
    /// Browsers, which connect by WebTransport; `None` serves none.
    pub browsers: Option<Browsers>,
}

/// Which browsers may connect.
#[derive(Debug, Clone)]
pub struct Browsers {
    /// The origins of pages that may, `https://app.example`, beside those of the node's own host.
    pub origins: Vec<String>,
}

impl EdgeConfig {
    /// The defaults, on this address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connections_max: 200_000, // DESIGN 16's 100,000 sessions, twice
            admission: AdmissionConfig::default(),
            handshake: Duration::from_secs(10), // four attempts: see the transport's INITIAL_RTT
            hello: Duration::from_secs(10), // several round trips and retransmissions of a bad link
            payload_stall: Duration::from_secs(30), // the same patience as with a connection
            payload_bytes_max: 256 * 1024 * 1024, // 32 of the largest at a time
            answer_bytes_max: 256 * 1024 * 1024, // the same, the other way
            linger: Duration::from_secs(2), // a few round trips
            drain: Duration::from_secs(20), // orchestrators commonly kill after 30
            reset_key: None,
            token_key: None,
            browsers: Some(Browsers {
                origins: Vec::new(),
            }),
        }
    }
}

/// The path of sessions by WebTransport: `https://host:port/session`.
pub const WEB_PATH: &str = web::PATH;

/// The QUIC endpoint of a node.
#[derive(Debug)]
pub struct Edge {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    browser_certificate: Option<[u8; 32]>,
}

/// Why an edge stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The sessions supervisor failed.
    #[error("sessions crashed again and again; the log has each crash")]
    Sessions,
}

/// What all connections of an edge share.
#[derive(Debug)]
struct Shared {
    config: EdgeConfig,
    sessions: Sessions,
    gate: Arc<Gate>,
    payload_room: PayloadRoom,
    answer_room: NodeRoom,
}

impl Edge {
    /// Binds the socket. Connections are accepted once it runs. Needs a tokio runtime.
    pub fn bind(config: EdgeConfig, tls: EdgeTls, sessions: Sessions) -> Result<Self, BindError> {
        let browser_certificate = tls.browsers.as_ref().and_then(BrowserTls::sha256);
        let key = config.token_key.clone();
        let proofs = Proofs::new(key.unwrap_or_else(TokenKey::of_process));
        let of_gate = GateConfig {
            port: "clients",
            admission: config.admission,
            accounts_max: EDGE_ACCOUNTS_MAX,
            connections_max: config.connections_max,
        };
        let gate = Gate::new(&of_gate, proofs.clone(), sessions.clock().clone());
        let behind = Behind {
            gate: &gate,
            proofs: &proofs,
        };
        let endpoint = transport::endpoint(&config, tls, sessions.idle(), behind)?;
        Ok(Self {
            endpoint,
            browser_certificate,
            shared: Arc::new(Shared {
                gate,
                payload_room: PayloadRoom::new(config.payload_bytes_max),
                answer_room: NodeRoom::new(config.answer_bytes_max),
                config,
                sessions,
            }),
        })
    }

    /// The address with its real port.
    pub fn local_addr(&self) -> Result<SocketAddr, BindError> {
        self.endpoint.local_addr().map_err(BindError::Address)
    }

    /// The SHA-256 of the certificate that browsers take for it: what a page gives to `new WebTransport` in its
    /// `serverCertificateHashes`. `None`: the certificate is of an authority that they know.
    pub const fn browser_certificate(&self) -> Option<[u8; 32]> {
        self.browser_certificate
    }

    /// Serves until `shutdown` completes, then drains: no request in flight is dropped for as long as
    /// the drain may take.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let Self {
            endpoint, shared, ..
        } = self;
        let sessions = shared.sessions.clone();
        tokio::pin!(shutdown);
        let mut ticks = tokio::time::interval(TELL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => admit(&endpoint, &shared, incoming),
                    None => break Ok(()),
                },
                _ = ticks.tick() => tell(&endpoint, &shared.gate),
                () = &mut shutdown => break Ok(()),
                () = sessions.failed() => break Err(RunError::Sessions),
            }
        };
        // Unanswered, those who come now would wait for their own time limit.
        shared.gate.close();
        let drain = drain(&endpoint, &shared);
        tokio::pin!(drain);
        loop {
            tokio::select! {
                () = &mut drain => break,
                Some(incoming) = endpoint.accept() => admit(&endpoint, &shared, incoming),
            }
        }
        tell(&endpoint, &shared.gate);
        result
    }
}

async fn drain(endpoint: &Endpoint, shared: &Shared) {
    tracing::info!(sessions = shared.sessions.len(), "draining");
    shared.sessions.drain(shared.config.drain).await;
    // Connections deliver their last words by themselves, within this time.
    let _ = tokio::time::timeout(shared.config.linger, endpoint.wait_idle()).await;
    let code = close::code(selvedge_protocol::ErrorCode::Unavailable);
    // To browsers that are still here it is one that they do not know, as good as none (RFC 9114, 8).
    endpoint.close(
        code.into(),
        b"the node has stopped; connect again and resume",
    );
    let _ = tokio::time::timeout(CLOSE_MAX, endpoint.wait_idle()).await;
    tracing::info!("drained");
}

/// Closing takes three probe timeouts, which on a link worth waiting for is less than this.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Decides before the handshake, which is what costs.
fn admit(endpoint: &Endpoint, shared: &Arc<Shared>, incoming: Incoming) {
    match shared.gate.decide(&incoming, endpoint.open_connections()) {
        Passage::Accept(permit) => {
            tokio::spawn(connection::serve(incoming, Arc::clone(shared), permit));
        }
        // Only a validated address fails, and such are never asked again.
        Passage::Retry => drop(incoming.retry()),
        Passage::Refuse => incoming.refuse(),
        Passage::Ignore => incoming.ignore(),
    }
}

/// Tells metrics and log what became of handshakes.
fn tell(endpoint: &Endpoint, gate: &Gate) {
    let told = gate.tell(endpoint.open_connections());
    for (outcome, count) in told.outcomes {
        metrics::handshakes(outcome, count);
    }
    metrics::handshake_prefixes(told.prefixes);
}

/// How often it is told what became of handshakes: the log has a line at most as often.
const TELL: Duration = Duration::from_secs(1);

/// Streams a client may have open: its control stream and payloads.
const STREAMS_MAX: u32 = SESSION_STREAMS_MAX;
