//! Makes the connections of a session, one after the other: where to, how often, and what to say when there
//! is none. The driver asks for a connection and says how it ended.

use quinn::Connection;
use selvedge_protocol::session::client::backoff_ms;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::{oneshot, watch};
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tracing::debug;

use crate::error::ConnectError;
use crate::race::first_success;
use crate::random::Random;
use crate::servers::Servers;
use crate::token::{Credential, Token};
use crate::transport::Transport;

/// Who waits for the session to be opened for the first time.
pub(crate) type Opened = oneshot::Sender<Result<(), ConnectError>>;

/// What a connector needs to know.
pub(crate) struct Seeking {
    pub(crate) transport: Transport,
    pub(crate) servers: Servers,
    pub(crate) credential: Credential,
    /// Is told how the opening of the session went.
    pub(crate) opened: Opened,
    /// How long that may take.
    pub(crate) timeout: Duration,
}

/// A connection, and the credential to show on it.
pub(crate) struct Established {
    pub(crate) connection: Connection,
    pub(crate) token: Token,
}

pub(crate) struct Connector {
    transport: Transport,
    servers: Servers,
    credential: Credential,
    /// Until the first Welcome.
    opened: Option<Opened>,
    give_up_at: Instant,
    last_error: Option<ConnectError>,
    /// Connections in a row that did not last.
    attempts: u32,
    random: Random,
}

impl Connector {
    pub(crate) fn new(seeking: Seeking) -> Self {
        Self {
            transport: seeking.transport,
            servers: seeking.servers,
            credential: seeking.credential,
            opened: Some(seeking.opened),
            give_up_at: Instant::now() + seeking.timeout,
            last_error: None,
            attempts: 0,
            random: Random::new(),
        }
    }

    /// Tries until there is a connection; `None` if there is no use or nobody wants it any more.
    pub(crate) async fn establish(
        &mut self,
        closing: &mut watch::Receiver<bool>,
    ) -> Option<Established> {
        loop {
            let pause_ms = self.pause_ms();
            self.attempts = self.attempts.saturating_add(1);
            let round = self.servers.round(|| self.random.next());
            let (transport, credential) = (&self.transport, &self.credential);
            let attempt = async {
                sleep(Duration::from_millis(u64::from(pause_ms))).await;
                let token = credential.present().await.map_err(|error| vec![error])?;
                let connected = first_success(round.into_iter().map(|server| async move {
                    let connection = transport.connect(&server).await?;
                    Ok((server, connection))
                }))
                .await?;
                Ok((connected, token))
            };
            let error = tokio::select! {
                attempt = attempt => match attempt {
                    Ok(((server, connection), token)) => {
                        self.servers.connected(server);
                        return Some(Established { connection, token });
                    }
                    Err(errors) => Some(ConnectError::all(errors)),
                },
                () = sleep_until(self.give_up_at), if self.opened.is_some() => None,
                () = is_closing(closing) => return None,
            };
            let error = error.or_else(|| self.last_error.take()).unwrap_or_else(|| {
                ConnectError::Unreachable {
                    address: self.servers.to_string(),
                }
            });
            debug!(%error, "no connection");
            if !self.may_try_on(error) {
                return None;
            }
        }
    }

    /// The session is open, and may go on at these servers as well.
    pub(crate) fn welcomed(&mut self, servers: Vec<String>) {
        self.learn(servers);
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Ok(()));
        }
    }

    /// The session may go on at these servers.
    pub(crate) fn learn(&mut self, servers: Vec<String>) {
        self.servers.learn(servers);
    }

    /// The connection was a good one: the next is tried at once.
    pub(crate) const fn lasted(&mut self) {
        self.attempts = 0;
    }

    /// The server sent us there.
    pub(crate) fn redirect(&mut self, address: String) {
        self.servers.redirect(address);
    }

    /// The connection was left for this reason. Whether to make another one.
    pub(crate) fn may_go_on(&mut self, reason: Failure) -> bool {
        if reason.code.may_be_retried() || reason.code == ErrorCode::Internal {
            self.servers.leave();
        }
        self.opened.is_none() || {
            let refused = self.refused(reason);
            self.may_try_on(refused)
        }
    }

    /// The session is over: says so to whoever waits for it to be opened.
    pub(crate) fn end(mut self, refusal: Option<&Failure>) {
        if let (Some(opened), Some(failure)) = (self.opened.take(), refusal) {
            let _ = opened.send(Err(self.refused(failure.clone())));
        }
    }

    /// How long to wait before the next round. A redirect is followed at once, unless one follows another.
    fn pause_ms(&mut self) -> u32 {
        let is_redirected = self.servers.is_redirected();
        match self.attempts {
            0 => 0,
            attempts if is_redirected && attempts <= REDIRECTS_AT_ONCE_MAX => 0,
            attempts => backoff_ms(attempts, self.random.next()),
        }
    }

    /// Whether to go on after this error. Before the session was open for the first time, the caller
    /// who waits for it may be told instead.
    fn may_try_on(&mut self, error: ConnectError) -> bool {
        let Some(opened) = self.opened.take() else {
            return true;
        };
        if error.may_pass() && Instant::now() < self.give_up_at {
            self.last_error = Some(error);
            self.opened = Some(opened);
            return true;
        }
        let _ = opened.send(Err(error));
        false
    }

    fn refused(&self, failure: Failure) -> ConnectError {
        ConnectError::Refused {
            address: self.servers.current(),
            failure,
        }
    }
}

/// Waits until the session is to be closed, or nobody holds it any more.
pub(crate) async fn is_closing(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|is_closing| *is_closing).await;
}

/// Redirects that are followed at once when no connection has lasted: a rolling restart sends a client on
/// and on, two nodes that send it to each other must not.
const REDIRECTS_AT_ONCE_MAX: u32 = 4;
