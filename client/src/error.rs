//! What can go wrong for a caller: one enum for opening a session, one for everything on it.

use std::path::PathBuf;

use selvedge_protocol::error::chain;
use selvedge_protocol::{ErrorCode, Failure, IdError};

/// Why no session could be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server was named.
    #[error("no server is named: give its address as host:port")]
    NoServer,
    /// No certificate authority was named.
    #[error(
        "no certificate authority is named: give the file that signs the server's certificate \
         (ca.pem in the data directory of a development node)"
    )]
    NoAuthority,
    /// The file with the certificate authority cannot be read.
    #[error("the certificate authority {path:?} cannot be read: check the path")]
    AuthorityFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The certificate authority is not PEM, or holds no certificate.
    #[error("the certificate authority is not usable: {reason}; give a PEM file")]
    Authority { reason: String },
    /// The token, tenant or agent is not usable.
    #[error("the {what} is not usable: {reason}")]
    Setting { what: &'static str, reason: String },
    /// The program's source of tokens has none.
    #[error("the source of tokens has none")]
    Token {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No local socket.
    #[error("no local UDP socket can be opened")]
    Socket(#[source] std::io::Error),
    /// The name has no address.
    #[error("{server} has no address: check the name, and give a port, as in localhost:7400")]
    Address {
        server: String,
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error(
        "nothing answers at {address}: check that the node is running and that its UDP port can be \
         reached"
    )]
    Unreachable { address: String },
    /// The server showed a certificate that the authority did not sign, or of another name.
    #[error(
        "the certificate of {address} is not accepted ({reason}): check the certificate authority \
         and the server name"
    )]
    Certificate { address: String, reason: String },
    /// Something answers, but does not speak this protocol.
    #[error(
        "{address} does not speak {protocol}: check that the port is the one for clients, and the \
         versions of both ends",
        protocol = String::from_utf8_lossy(selvedge_protocol::version::ALPN)
    )]
    Protocol { address: String },
    /// The connection was broken while the session was opened.
    #[error("the connection to {address} was broken: {reason}")]
    Broken { address: String, reason: String },
    /// Several servers or addresses were tried, and they failed for different reasons.
    #[error("no server can be used: {}", listed(.0))]
    Several(Vec<Self>),
    /// The server refused the session.
    #[error("{address} refused the session: {failure}{remedy}", remedy = remedy(.failure))]
    Refused { address: String, failure: Failure },
}

impl ConnectError {
    /// What the server said, if it was the server that refused.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Refused { failure, .. } => Some(failure),
            Self::NoServer
            | Self::NoAuthority
            | Self::AuthorityFile { .. }
            | Self::Authority { .. }
            | Self::Setting { .. }
            | Self::Token { .. }
            | Self::Socket(_)
            | Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Certificate { .. }
            | Self::Protocol { .. }
            | Self::Broken { .. }
            | Self::Several(_) => None,
        }
    }

    /// What several attempts come to together, at least one.
    pub(crate) fn all(mut errors: Vec<Self>) -> Self {
        if errors.len() == 1 {
            return errors.remove(0);
        }
        let mut silent = Vec::new();
        for error in &errors {
            if let Self::Unreachable { address } = error {
                silent.push(address.as_str());
            }
        }
        match silent.len() == errors.len() {
            true => Self::Unreachable {
                address: silent.join(", "),
            },
            false => Self::Several(errors),
        }
    }

    /// Whether another attempt may end otherwise with nothing changed on this side.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Token { .. } => true,
            Self::Refused { failure, .. } => failure.code.may_be_retried(),
            Self::Several(errors) => errors.iter().any(Self::may_pass),
            Self::NoServer
            | Self::NoAuthority
            | Self::AuthorityFile { .. }
            | Self::Authority { .. }
            | Self::Setting { .. }
            | Self::Socket(_)
            | Self::Certificate { .. }
            | Self::Protocol { .. } => false,
        }
    }
}

fn listed(errors: &[ConnectError]) -> String {
    // They are no chain of causes, so each tells its own.
    let texts: Vec<String> = errors.iter().map(|error| chain(error)).collect();
    texts.join("; ")
}

fn remedy(failure: &Failure) -> &'static str {
    if failure.code == ErrorCode::Unauthenticated {
        " (check the token)"
    } else if failure.code == ErrorCode::UnsupportedVersion {
        " (update the older end)"
    } else {
        ""
    }
}

/// Why a call on a session has no success.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server's answer; `code` says which, and whether it may be retried.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The session was lost before the answer came: the command has taken effect or it has not. Read
    /// the state, or give commands an id of their own: then they are sent again safely.
    #[error(
        "the session was lost before the answer came, the command may have taken effect: look, or \
         send commands with an id"
    )]
    OutcomeUnknown,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
    /// No answer within the call's deadline; a command may still take effect.
    #[error("no answer came within the deadline of the call")]
    Timeout,
    /// The payload cannot be read here.
    #[error("the payload cannot be read")]
    Payload(#[source] std::io::Error),
    /// The arguments cannot be written, or the answer cannot be read, as JSON of the type asked for.
    #[error("the JSON of the call does not fit the type asked for")]
    Json(#[from] serde_json::Error),
    /// An id is not valid.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl CallError {
    /// What the server said, if it was the server that refused.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failure(failure) => Some(failure),
            Self::OutcomeUnknown
            | Self::Closed
            | Self::Timeout
            | Self::Payload(_)
            | Self::Json(_)
            | Self::Id(_) => None,
        }
    }
}
