//! The QUIC endpoint: its socket, TLS and transport settings, each bounded.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, Connection, Endpoint, Runtime, ServerConfig, TokioRuntime, TransportConfig,
    VarInt,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use selvedge_cluster::gate::{Gate, Proofs};
use selvedge_protocol::limits::WEB_STREAMS_MAX;
use selvedge_protocol::version::ALPN;
use sha2::{Digest, Sha256};
use socket2::{Domain, Protocol, Socket, Type};

use crate::edge::{EdgeConfig, ResetKey, STREAMS_MAX, web};

/// What an edge shows to its clients.
#[derive(Debug)]
pub struct EdgeTls {
    /// The node's certificate, then those that lead to the authority.
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// Shown to browsers in place of these.
    pub browsers: Option<BrowserTls>,
}

/// A certificate that browsers take for its hash alone, whoever signed it: with a key of ECDSA on P-256, and valid for
/// at most two weeks (`serverCertificateHashes` of the WebTransport API).
#[derive(Debug)]
pub struct BrowserTls {
    /// The certificate, then whatever leads to its authority.
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl BrowserTls {
    /// What a page gives as `{algorithm: "sha-256", value}`.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        Some(Sha256::digest(self.certificates.first()?).into())
    }

    /// Whether an edge can use them; opens nothing.
    pub fn check(&self) -> Result<(), BindError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        certified(self.certificates.clone(), self.key.clone_key(), &provider).map(drop)
    }
}

impl EdgeTls {
    /// Whether an edge can use them; opens nothing.
    pub fn check(&self) -> Result<(), BindError> {
        self.browsers.as_ref().map_or(Ok(()), BrowserTls::check)?;
        let tls = Self {
            certificates: self.certificates.clone(),
            key: self.key.clone_key(),
            browsers: None,
        };
        crypto(tls, Speaking::Both).map(drop)
    }
}

fn certified(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, BindError> {
    CertifiedKey::from_der(certificates, key, provider)
        .map(Arc::new)
        .map_err(BindError::Certificate)
}

/// What the clients of an edge may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaking {
    Frames,
    /// And HTTP/3, as browsers do.
    Both,
}

/// The certificates of an edge.
#[derive(Debug)]
struct Shown {
    native: Arc<CertifiedKey>,
    browsers: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whoever speaks both is given the first of ours.
        let is_native = hello
            .alpn()
            .is_some_and(|mut spoken| spoken.any(|spoken| spoken == ALPN));
        Some(Arc::clone(match is_native {
            true => &self.native,
            false => &self.browsers,
        }))
    }
}

/// Why an edge cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is in use, or not one of this machine.
    #[error(
        "cannot listen for QUIC on {address} (UDP): choose another with --quic, or stop what uses it"
    )]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The socket does not tell its address.
    #[error("the socket has no address")]
    Address(#[source] io::Error),
    /// The certificate or key cannot be used.
    #[error(
        "the certificate cannot be used: give a PEM chain and the private key of its first certificate"
    )]
    Certificate(#[source] rustls::Error),
    /// TLS 1.3 with the suites of QUIC is not available.
    #[error("TLS 1.3 is not available for QUIC")]
    Tls(#[source] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// What stands before the endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind<'a> {
    pub(super) gate: &'a Arc<Gate>,
    pub(super) proofs: &'a Proofs,
}

/// The endpoint of an edge.
pub(super) fn endpoint(
    config: &EdgeConfig,
    tls: EdgeTls,
    idle: Duration,
    behind: Behind<'_>,
) -> Result<Endpoint, BindError> {
    let speaking = match &config.browsers {
        Some(_) => Speaking::Both,
        None => Speaking::Frames,
    };
    let mut server = server_config(crypto(tls, speaking)?, idle, speaking);
    behind.proofs.given_by(&mut server);
    let address = config.address;
    let bind = |source| BindError::Bind { address, source };
    let socket = socket(address).and_then(|it| TokioRuntime.wrap_udp_socket(it));
    let socket = behind.gate.before(socket.map_err(bind)?);
    let endpoint = config.reset_key.as_ref().map(ResetKey::endpoint_config);
    Endpoint::new_with_abstract_socket(
        endpoint.unwrap_or_default(),
        Some(server),
        socket,
        Arc::new(TokioRuntime),
    )
    .map_err(bind)
}

/// The kernel's default of about 200 kB holds the first packets of some 150 clients; this holds those of
/// 3,000, and was seen to take handshakes from 200 to 1,000 a second.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // Best effort: systems without dual-stack sockets serve IPv6 alone.
        let _ = socket.set_only_v6(false);
    }
    // The kernel cuts what it does not allow, without an error.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    let received = socket.recv_buffer_size()?;
    if received < SOCKET_BUFFER_BYTES {
        tracing::warn!(
            bytes = received,
            wanted = SOCKET_BUFFER_BYTES,
            "small socket receive buffer: raise net.core.rmem_max to take many clients at once"
        );
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What the two ends agreed to speak; `None` only before the end of the handshake.
pub(super) fn agreed(connection: &Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast::<HandshakeData>().ok()?.protocol
}

fn crypto(tls: EdgeTls, speaking: Speaking) -> Result<QuicServerConfig, BindError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let native = certified(tls.certificates, tls.key, &provider)?;
    let browsers = match tls.browsers {
        Some(tls) => certified(tls.certificates, tls.key, &provider)?,
        None => Arc::clone(&native),
    };
    let shown = Shown { native, browsers };
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(BindError::Certificate)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    crypto.alpn_protocols = match speaking {
        Speaking::Frames => vec![ALPN.to_vec()],
        Speaking::Both => vec![ALPN.to_vec(), web::ALPN.to_vec()],
    };
    // Sessions are resumed above TLS; tickets would only cost memory, and 0-RTT can be replayed.
    crypto.send_tls13_tickets = 0;
    QuicServerConfig::try_from(crypto).map_err(BindError::Tls)
}

fn server_config(crypto: QuicServerConfig, idle: Duration, speaking: Speaking) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport(idle, speaking)))
        .migration(true)
        // Packets that arrive before their connection was looked at: the loop that looks never waits.
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_BYTES * INCOMING_MAX as u64);
    server
}

/// Connections not yet looked at, and bytes kept for each: a ClientHello with post-quantum keys is two
/// packets.
const INCOMING_MAX: usize = 4_096;
const INCOMING_BUFFER_BYTES: u64 = 8 * 1024;

/// Bytes on their way from a client on one stream: 80 Mbit/s at a round trip of 50 ms.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// The same over all its streams, and the most that a client can make the node hold unread.
const RECEIVE_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes on their way to a client and not acknowledged.
const SEND_WINDOW_BYTES: u64 = 1024 * 1024;
/// Before a round trip is measured. What a client did not get of the handshake is sent again after 3, 15
/// and 63 times this: the waits double, and the two levels of TLS take turns. With the 333 ms of RFC 9002,
/// 6.2.2 that were 1, 5 and 21 s, and who lost three packets in a row was out of time.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Packets that the other end may let pass before it acknowledges, where it can be asked to wait (draft
/// QUIC Acknowledgment Frequency): most acknowledgements then travel with answers, not in packets of their
/// own. Below half of the first congestion window, which is ten packets, so that it never stands still.
const UNACKNOWLEDGED_MAX: u32 = 4;
/// Datagrams are lossy; what does not fit is dropped.
const DATAGRAM_BUFFER_BYTES: usize = 64 * 1024;

fn transport(idle: Duration, speaking: Speaking) -> TransportConfig {
    // Said before it is known who speaks what. Those of a client that speaks frames are not read, and what it says on
    // them it cannot say elsewhere: the window of its connection holds both.
    let one_way = match speaking {
        Speaking::Frames => 0,
        Speaking::Both => WEB_STREAMS_MAX,
    };
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(UNACKNOWLEDGED_MAX));
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(one_way))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .initial_rtt(INITIAL_RTT)
        .ack_frequency_config(Some(acks))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES)
        // A time past 2^62 ms is as good as none.
        .max_idle_timeout(idle.try_into().ok());
    transport
}
