//! Sockets, TLS and QUIC settings: one socket per client and version of IP.
//!
//! The connector calls it to get from a host name to a connection. It never speaks the session protocol.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, ConnectionError, Endpoint, TransportConfig,
    VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use selvedge_protocol::{limits, version};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use crate::error::ConnectError;
use crate::race::first_success;

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Transport {
    endpoints: Arc<Endpoints>,
    config: ClientConfig,
    /// The name in the servers' certificates; by default the host of each.
    server_name: Option<String>,
}

/// What a transport is made of.
pub(crate) struct TransportSettings {
    pub(crate) server_name: Option<String>,
    /// PEM.
    pub(crate) authority: Vec<u8>,
    pub(crate) keep_alive: Duration,
}

impl Transport {
    /// Opens the socket. Must be called within a Tokio runtime.
    pub(crate) fn new(settings: TransportSettings) -> Result<Self, ConnectError> {
        let config = client_config(&settings.authority, settings.keep_alive)?;
        Ok(Self {
            endpoints: Arc::new(Endpoints {
                ipv4: endpoint(Domain::IPV4).map_err(ConnectError::Socket)?,
                ipv6: Mutex::new(None),
            }),
            config,
            server_name: settings.server_name,
        })
    }

    /// Tries the addresses of a server, `host:port`, staggered, each for a while.
    pub(crate) async fn connect(&self, server: &str) -> Result<Connection, ConnectError> {
        let found = tokio::time::timeout(LOOKUP_MAX, tokio::net::lookup_host(server)).await;
        let found = found.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()));
        let mut addresses: Vec<SocketAddr> = match found {
            Ok(addresses) => addresses.take(ADDRESSES_MAX).collect(),
            Err(source) => return Err(address_error(server, source)),
        };
        if addresses.is_empty() {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(address_error(server, source));
        }
        // `localhost` often means ::1 first, where a node that listens on 127.0.0.1 never answers.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let name = self.server_name.as_deref().unwrap_or_else(|| host(server));
        first_success(addresses.into_iter().map(|address| async move {
            match tokio::time::timeout(ATTEMPT_MAX, self.connect_to(address, name)).await {
                Ok(result) => result,
                Err(_elapsed) => Err(unreachable(address)),
            }
        }))
        .await
        .map_err(ConnectError::all)
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> Result<Connection, ConnectError> {
        let endpoint = self.endpoints.to(address).map_err(ConnectError::Socket)?;
        let connecting = endpoint
            .connect_with(self.config.clone(), address, name)
            .map_err(|error| ConnectError::Setting {
                what: "server name",
                reason: error.to_string(),
            })?;
        connecting
            .await
            .map_err(|error| connect_error(address, &error))
    }

    /// The endpoints, to move them to other sockets.
    pub(crate) fn endpoints(&self) -> Arc<Endpoints> {
        Arc::clone(&self.endpoints)
    }
}

/// The sockets of a client: connections to servers of both versions of IP may be tried at the same time.
#[derive(Debug)]
pub(crate) struct Endpoints {
    ipv4: Endpoint,
    /// Made when a server has such an address.
    ipv6: Mutex<Option<Endpoint>>,
}

impl Endpoints {
    /// Moves all to other local sockets.
    pub(crate) fn rebind(&self) -> std::io::Result<()> {
        self.ipv4.rebind(udp_socket(Domain::IPV4)?)?;
        match &*self.ipv6() {
            Some(endpoint) => endpoint.rebind(udp_socket(Domain::IPV6)?),
            None => Ok(()),
        }
    }

    /// The one that reaches this address.
    fn to(&self, address: SocketAddr) -> std::io::Result<Endpoint> {
        if address.is_ipv4() {
            return Ok(self.ipv4.clone());
        }
        let mut ipv6 = self.ipv6();
        match &*ipv6 {
            Some(endpoint) => Ok(endpoint.clone()),
            None => Ok(ipv6.insert(endpoint(Domain::IPV6)?).clone()),
        }
    }

    fn ipv6(&self) -> MutexGuard<'_, Option<Endpoint>> {
        // Nothing that is done under the lock leaves it half done.
        self.ipv6.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn endpoint(domain: Domain) -> std::io::Result<Endpoint> {
    Endpoint::new(
        quinn::EndpointConfig::default(),
        None,
        udp_socket(domain)?,
        Arc::new(quinn::TokioRuntime),
    )
}

/// A UDP socket on a free port, with large buffers: a burst of answers overruns the usual ones.
fn udp_socket(domain: Domain) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    for result in [
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES),
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES),
    ] {
        if let Err(error) = result {
            debug!(%error, "socket keeps its usual buffers");
        }
    }
    let any: SocketAddr = if domain == Domain::IPV6 {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    };
    socket.bind(&any.into())?;
    Ok(socket.into())
}

fn client_config(authority: &[u8], keep_alive: Duration) -> Result<ClientConfig, ConnectError> {
    let unusable = |reason: String| ConnectError::Authority { reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![version::ALPN.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| unusable(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(keep_alive)));
    Ok(config)
}

fn transport_config(keep_alive: Duration) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(UNACKNOWLEDGED_MAX));
    let subscriptions = u32::try_from(limits::SESSION_SUBSCRIPTIONS_MAX).unwrap_or(u32::MAX);
    let streams = subscriptions.saturating_add(limits::SESSION_STREAMS_MAX);
    // The connection's window is that of all streams and the control stream together: however many a
    // program leaves unread, answers still come.
    let idle_ms = u32::try_from(keep_alive.as_millis()).unwrap_or(u32::MAX / IDLE_KEEP_ALIVES);
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(streams))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .keep_alive_interval(Some(keep_alive))
        .max_idle_timeout(Some(
            VarInt::from_u32(idle_ms.saturating_mul(IDLE_KEEP_ALIVES)).into(),
        ))
        .initial_rtt(INITIAL_RTT)
        .ack_frequency_config(Some(acks))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(
            STREAM_WINDOW_BYTES.saturating_mul(streams + 1),
        ))
        .send_window(SEND_WINDOW_BYTES);
    transport
}

fn connect_error(address: SocketAddr, error: &ConnectionError) -> ConnectError {
    let at = address.to_string();
    match error {
        ConnectionError::TimedOut | ConnectionError::Reset => unreachable(address),
        ConnectionError::VersionMismatch => ConnectError::Protocol { address: at },
        ConnectionError::TransportError(reason) => {
            let code = u64::from(reason.code);
            if code == CRYPTO_ERROR | ALERT_NO_APPLICATION_PROTOCOL {
                ConnectError::Protocol { address: at }
            } else if code & !0xff == CRYPTO_ERROR {
                ConnectError::Certificate {
                    address: at,
                    reason: reason.reason.clone(),
                }
            } else {
                ConnectError::Broken {
                    address: at,
                    reason: reason.to_string(),
                }
            }
        }
        ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == CRYPTO_ERROR | ALERT_NO_APPLICATION_PROTOCOL =>
        {
            ConnectError::Protocol { address: at }
        }
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => ConnectError::Broken {
            address: at,
            reason: error.to_string(),
        },
    }
}

fn unreachable(address: SocketAddr) -> ConnectError {
    ConnectError::Unreachable {
        address: address.to_string(),
    }
}

fn address_error(server: &str, source: std::io::Error) -> ConnectError {
    ConnectError::Address {
        server: server.to_owned(),
        source,
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host(server: &str) -> &str {
    let host = server.rsplit_once(':').map_or(server, |(host, _port)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Four megabytes: measured to be worth five times the rate of connecting.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// A name with more addresses than this is not tried to its end.
const ADDRESSES_MAX: usize = 8;
/// How long a name is looked up. Resolvers ask several name servers, and some wait long for each.
const LOOKUP_MAX: Duration = Duration::from_secs(5);
/// How long one address is tried. A node that is there answers in milliseconds.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// A connection is given up after this many silent keep-alive intervals: three lost packets in a row
/// are no dead server.
const IDLE_KEEP_ALIVES: u32 = 5;
/// Before a round trip is measured: lost first packets are repeated after about three times this, so
/// that a node which has just started is found soon.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Packets that the other end may let pass before it acknowledges, where it can be asked to wait (draft
/// QUIC Acknowledgment Frequency): most acknowledgements then travel with answers, not in packets of their
/// own. Below half of the first congestion window, which is ten packets, so that it never stands still.
const UNACKNOWLEDGED_MAX: u32 = 4;
/// Unread bytes of one stream: what a slow consumer of events may leave waiting here.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Bytes on their way to the server and not acknowledged.
const SEND_WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// RFC 9001, 4.8: a TLS alert is this plus its number.
const CRYPTO_ERROR: u64 = 0x100;
/// RFC 7301, 3.2.
const ALERT_NO_APPLICATION_PROTOCOL: u64 = 120;

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_stands_before_the_port() {
        assert_eq!(host("localhost:7400"), "localhost");
        assert_eq!(host("127.0.0.1:7400"), "127.0.0.1");
        assert_eq!(host("[::1]:7400"), "::1");
    }
}
