//! Opening a session: the builder, and the client that it turns into.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use selvedge_protocol::session::client::Introduction;
use selvedge_protocol::{Failure, Tenant, limits, servers};
use tokio::sync::{mpsc, oneshot, watch};

use crate::connector::{Connector, Seeking};
use crate::driver::{Driver, Opening, Patience};
use crate::error::ConnectError;
use crate::servers::Servers;
use crate::session::{Session, Shared};
use crate::silence::Silence;
use crate::token::{Credential, Token};
use crate::transport::{Transport, TransportSettings};

/// A connected client: it holds one session, which goes on over as many connections as it takes.
#[derive(Debug, Clone)]
pub struct Client {
    session: Session,
}

impl Client {
    /// Names the server and the credentials.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The session of this client.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Ends the session, for all clones.
    pub async fn close(&self) {
        self.session.close().await;
    }

    /// Moves to another local UDP socket, as when a laptop changes its network. The connection goes on.
    pub fn rebind(&self) -> std::io::Result<()> {
        self.session.endpoints().rebind()
    }
}

/// Where to go, and as whom. `server`, `ca_file` or `ca_pem`, and `token` or `token_source` are needed.
#[derive(Debug, Clone)]
#[must_use = "a client is made by `connect`"]
pub struct ClientBuilder {
    server: Option<String>,
    server_name: Option<String>,
    authority: Option<Authority>,
    credential: Credential,
    tenant: Option<String>,
    agent: String,
    connect_timeout: Duration,
    keep_alive: Duration,
    patience: Option<Patience>,
}

#[derive(Debug, Clone)]
enum Authority {
    File(PathBuf),
    Pem(Vec<u8>),
}

impl ClientBuilder {
    /// `host:port` of a node's QUIC address for clients, or of several nodes of one cluster, separated by
    /// commas: at most 16. At first they are tried in this order, the next a moment after the one before. Further
    /// nodes are learned from the cluster.
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.server = Some(server.into());
        self
    }

    /// The file with the certificate authority, PEM.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.authority = Some(Authority::File(path.into()));
        self
    }

    /// The certificate authority itself, PEM.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(Authority::Pem(pem.into()));
        self
    }

    /// The name in the certificates of all servers, where it is not the host that is connected to.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The credential.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credential = Credential::Fixed(Token::new(token.into()));
        self
    }

    /// Where to get the credential that is good now: asked before each connection, so that the session goes on when
    /// the one before has expired. It may take 10 s; where it fails it is asked again.
    pub fn token_source<F, Asked>(mut self, source: F) -> Self
    where
        F: Fn() -> Asked + Send + Sync + 'static,
        Asked: Future<Output = Result<String, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.credential = Credential::source(source);
        self
    }

    /// The tenant to act in, where it is not the principal's own.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Name and version of the program, for the logs of the server.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }

    /// How long `connect` tries; afterwards a broken connection is made again for as long as it takes.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How often an idle connection says that it is alive. A server that says nothing at all for a second after
    /// it was asked is left for another; one that nobody asks anything, after five times this.
    pub const fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Called when a call is about to have waited for 2 s and more because the server refuses it for the
    /// moment, with each refusal from then on. It must not wait.
    pub fn on_refusal(mut self, tell: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        self.patience = Some(Patience(Arc::new(tell)));
        self
    }

    /// Opens the session. Must be called within a Tokio runtime.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let introduction = self.introduction()?;
        let authority = match self.authority {
            None => return Err(ConnectError::NoAuthority),
            Some(Authority::Pem(pem)) => pem,
            Some(Authority::File(path)) => match tokio::fs::read(&path).await {
                Ok(pem) => pem,
                Err(source) => return Err(ConnectError::AuthorityFile { path, source }),
            },
        };
        let servers = checked(self.server.as_deref())?;
        let transport = Transport::new(TransportSettings {
            server_name: self.server_name,
            authority,
            keep_alive: self.keep_alive,
        })?;
        let (commands, command_queue) = mpsc::channel(CALLS_QUEUED_MAX);
        let (queries, query_queue) = mpsc::channel(CALLS_QUEUED_MAX);
        let (controls, control_queue) = mpsc::channel(CONTROLS_QUEUED_MAX);
        let (closing, is_closing) = watch::channel(false);
        let (end, ended) = watch::channel(());
        let shared = Shared {
            commands,
            queries,
            controls,
            closing,
            ended,
            endpoints: transport.endpoints(),
        };
        let (opened, is_open) = oneshot::channel();
        let driver = Driver::new(Opening {
            introduction,
            connector: Connector::new(Seeking {
                transport,
                servers,
                credential: self.credential,
                opened,
                timeout: self.connect_timeout,
            }),
            silence: Silence::new(self.keep_alive),
            commands: command_queue,
            queries: query_queue,
            controls: control_queue,
            closing: is_closing,
            patience: self.patience,
        });
        let session = Session::new(shared);
        tokio::spawn(async move {
            driver.run().await;
            drop(end);
        });
        match is_open.await {
            Ok(Ok(())) => Ok(Client { session }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConnectError::Broken {
                address: String::new(),
                reason: "the client's task ended".to_owned(),
            }),
        }
    }

    fn introduction(&self) -> Result<Introduction, ConnectError> {
        let setting = |what, reason: String| ConnectError::Setting { what, reason };
        self.credential.check()?;
        if self.agent.len() > limits::LABEL_BYTES_MAX {
            let reason = format!("it has over {} bytes", limits::LABEL_BYTES_MAX);
            return Err(setting("agent", reason));
        }
        let tenant = self.tenant.as_deref().map(Tenant::new).transpose();
        Ok(Introduction {
            // Of each connection: see `Credential`.
            token: String::new(),
            tenant: tenant.map_err(|error| setting("tenant", error.to_string()))?,
            agent: self.agent.clone(),
        })
    }
}

fn checked(servers: Option<&str>) -> Result<Servers, ConnectError> {
    match servers::parse(servers.ok_or(ConnectError::NoServer)?) {
        Ok(named) => Ok(Servers::new(named)),
        Err(error) => Err(ConnectError::Setting {
            what: "server",
            reason: error.to_string(),
        }),
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            server: None,
            server_name: None,
            authority: None,
            credential: Credential::Fixed(Token::default()),
            tenant: None,
            agent: concat!("selvedge-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            keep_alive: KEEP_ALIVE,
            patience: None,
        }
    }
}

/// Calls between their callers and the driver: as many as a batch takes, the rest waits at the caller.
const CALLS_QUEUED_MAX: usize = 256;
/// Subscriptions and ephemeral messages, likewise.
const CONTROLS_QUEUED_MAX: usize = 64;
/// A person is still waiting, and a node that starts up is ready by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// With five of them missed, a dead server is noticed after five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
