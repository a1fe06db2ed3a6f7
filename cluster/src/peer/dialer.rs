//! Connects to other nodes. Links call it; it tries once, and says what is wrong in words for a person.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, TokenMemoryCache,
    TokioRuntime, TransportConfig,
};
use selvedge_protocol::limits::PEER_HANDSHAKE_MS_MAX;

use super::credentials::Credentials;
use super::identity::node_domain;
use super::tls::{self, Expected};
use super::transport;

/// Another node, as it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// The name that its certificate must have; without one, any node of the cluster will do.
    pub name: Option<String>,
}

/// Why there is no connection to another node.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// No socket, or no settings for one.
    #[error("no socket can be opened for other nodes: {reason}")]
    Socket { reason: String },
    /// The name of the host is not known.
    #[error("{address} is not found: {reason}")]
    Address { address: String, reason: String },
    /// Nobody answers.
    #[error("no node answers at {address}")]
    Unreachable { address: String },
    /// The other node's certificate is not what it must be.
    #[error("the node at {address} is not trusted: {reason}")]
    Untrusted { address: String, reason: String },
    /// The other node does not trust this one.
    #[error("the node at {address} does not trust this one: {reason}")]
    Refused { address: String, reason: String },
    /// It is no node, or one that speaks another version.
    #[error("what answers at {address} is no peer port of this version; is it the client port?")]
    Protocol { address: String },
    /// The connection ended.
    #[error("the connection to {address} has ended: {reason}")]
    Ended { address: String, reason: String },
}

impl ConnectError {
    /// Whether another attempt is of no use before somebody changes something.
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Untrusted { .. } | Self::Refused { .. } | Self::Protocol { .. } => true,
            Self::Socket { .. }
            | Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Ended { .. } => false,
        }
    }

    /// What the end of a connection means.
    pub(super) fn of(target: &Target, error: &ConnectionError) -> Self {
        let address = target.address.clone();
        let ended = |address| Self::Ended {
            address,
            reason: error.to_string(),
        };
        match error {
            ConnectionError::TimedOut | ConnectionError::Reset => Self::Unreachable { address },
            ConnectionError::VersionMismatch => Self::Protocol { address },
            // What this end found wrong.
            ConnectionError::TransportError(found) => match alert(found.code.into()) {
                Some(ALERT_NO_APPLICATION_PROTOCOL) => Self::Protocol { address },
                Some(_) => Self::Untrusted {
                    address,
                    reason: untrusted(target, &found.reason),
                },
                None => ended(address),
            },
            // What the other end found wrong.
            ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
                Some(ALERT_NO_APPLICATION_PROTOCOL) => Self::Protocol { address },
                Some(number) => Self::Refused {
                    address,
                    reason: refusal(number),
                },
                None => ended(address),
            },
            ConnectionError::ApplicationClosed(_)
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => ended(address),
        }
    }
}

/// Connects to other nodes from sockets of its own. A cheap handle.
#[derive(Debug, Clone)]
pub struct Dialer {
    credentials: Credentials,
    endpoints: Arc<Mutex<Endpoints>>,
    /// What nodes have given to this one, to be known by it the next time.
    proofs: Arc<TokenMemoryCache>,
}

#[derive(Debug, Default)]
struct Endpoints {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl Dialer {
    /// Opens nothing yet.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            endpoints: Arc::default(),
            proofs: Arc::default(),
        }
    }

    /// Connects from a socket that is open already, where addresses are of its family: nodes that serve others
    /// have one address for both directions.
    pub(super) fn from_endpoint(credentials: Credentials, endpoint: Endpoint) -> Self {
        let is_v6 = endpoint.local_addr().is_ok_and(|address| address.is_ipv6());
        let endpoints = match is_v6 {
            false => Endpoints {
                v4: Some(endpoint),
                v6: None,
            },
            true => Endpoints {
                v4: None,
                v6: Some(endpoint),
            },
        };
        Self {
            credentials,
            endpoints: Arc::new(Mutex::new(endpoints)),
            proofs: Arc::default(),
        }
    }

    /// Connects to a node that opens no streams itself.
    pub async fn connect(&self, target: &Target) -> Result<Connection, ConnectError> {
        self.connect_with(target, transport::dialing()).await
    }

    /// Tries the addresses of a node one after the other.
    pub(super) async fn connect_with(
        &self,
        target: &Target,
        transport: Arc<TransportConfig>,
    ) -> Result<Connection, ConnectError> {
        let address = target.address.clone();
        let mut error = ConnectError::Address {
            reason: "it has no address".to_owned(),
            address,
        };
        for address in look_up(target).await? {
            let transport = Arc::clone(&transport);
            match self.connect_to(address, target, transport).await {
                Ok(connection) => return Ok(connection),
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        let endpoints = std::mem::take(&mut *self.endpoints.lock());
        for endpoint in [endpoints.v4, endpoints.v6].into_iter().flatten() {
            endpoint.close(selvedge_protocol::peer::close::DONE.into(), b"");
            // Three probe timeouts, on a link worth waiting for.
            let _ = tokio::time::timeout(CLOSE_MAX, endpoint.wait_idle()).await;
        }
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        target: &Target,
        transport: Arc<TransportConfig>,
    ) -> Result<Connection, ConnectError> {
        let (expected, name) = match &target.name {
            Some(name) => (Expected::Named, name.as_str()),
            None => (Expected::Member, ANY_NODE),
        };
        let socket = |reason: String| ConnectError::Socket { reason };
        let identity = self.credentials.current();
        let crypto = tls::client(&identity, expected).map_err(|error| socket(error.to_string()))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config
            .transport_config(transport)
            .token_store(Arc::<TokenMemoryCache>::clone(&self.proofs));
        let connecting = self
            .endpoint(address)
            .map_err(|error| socket(error.to_string()))?
            .connect_with(config, address, &node_domain(name))
            .map_err(|error| socket(error.to_string()))?;
        let unreachable = || ConnectError::Unreachable {
            address: target.address.clone(),
        };
        tokio::time::timeout(ATTEMPT_MAX, connecting)
            .await
            .map_err(|_elapsed| unreachable())?
            .map_err(|error| ConnectError::of(target, &error))
    }

    fn endpoint(&self, to: SocketAddr) -> std::io::Result<Endpoint> {
        let mut endpoints = self.endpoints.lock();
        let (endpoint, any): (_, SocketAddr) = match to {
            SocketAddr::V4(_) => (&mut endpoints.v4, (Ipv4Addr::UNSPECIFIED, 0).into()),
            SocketAddr::V6(_) => (&mut endpoints.v6, (Ipv6Addr::UNSPECIFIED, 0).into()),
        };
        if let Some(endpoint) = endpoint {
            return Ok(endpoint.clone());
        }
        let socket = transport::socket(any)?;
        let config = EndpointConfig::default();
        let opened = Endpoint::new(config, None, socket, Arc::new(TokioRuntime))?;
        Ok(endpoint.insert(opened).clone())
    }
}

async fn look_up(target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = tokio::net::lookup_host(&target.address).await;
    let mut addresses: Vec<_> = match found {
        Ok(addresses) => addresses.take(ADDRESSES_MAX).collect(),
        Err(error) => {
            return Err(ConnectError::Address {
                address: target.address.clone(),
                reason: error.to_string(),
            });
        }
    };
    // `localhost` often means ::1 first, where a node that listens on 127.0.0.1 never answers.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

/// The TLS alert in a QUIC error code (RFC 9001, 4.8).
fn alert(code: u64) -> Option<u64> {
    (code & !0xff == CRYPTO_ERROR).then_some(code & 0xff)
}

fn untrusted(target: &Target, reason: &str) -> String {
    let name = target.name.as_deref().unwrap_or_default();
    if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        "its certificate is not of this cluster's authority".to_owned()
    } else if reason.contains("not valid for name") || reason.contains("NotValidForName") {
        format!("its certificate is not that of {name:?}")
    } else if reason.contains("expired") || reason.contains("Expired") {
        "its certificate has expired".to_owned()
    } else if reason.contains("not valid yet") || reason.contains("NotValidYet") {
        "its certificate is not valid yet".to_owned()
    } else {
        reason.to_owned()
    }
}

/// Alerts of RFC 8446, section 6.2.
fn refusal(alert: u64) -> String {
    match alert {
        45 => "this node's certificate has expired".to_owned(),
        48 | 51 => "this node's certificate is not of that cluster's authority".to_owned(),
        42 | 43 | 44 | 46 => "this node's certificate is not accepted".to_owned(),
        116 => "it was shown no certificate".to_owned(),
        other => format!("TLS alert {other}"),
    }
}

/// The name asked for where any node will do.
const ANY_NODE: &str = "any";
/// A name with more addresses than this is not tried to its end.
const ADDRESSES_MAX: usize = 8;
/// How long one address is tried.
const ATTEMPT_MAX: Duration = Duration::from_millis(PEER_HANDSHAKE_MS_MAX);
/// How long the last packets may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// RFC 9001, 4.8: a TLS alert is this plus its number.
const CRYPTO_ERROR: u64 = 0x100;
/// RFC 7301, 3.2.
const ALERT_NO_APPLICATION_PROTOCOL: u64 = 120;
