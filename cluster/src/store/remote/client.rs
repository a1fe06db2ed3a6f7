//! A store that is a storage node's: keeps the connection, follows how the store is, and begins transactions
//! on it.
//!
//! While there is no connection, requests fail soon instead of waiting in line: their callers shed load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use quinn::Connection;
use selvedge_protocol::limits::{PEER_HANDSHAKE_MS_MAX, STORE_STATUS_MS, STORE_TRANSACTIONS_MAX};
use selvedge_protocol::peer::store::{Follow, Status, StoreAnswer, StoreRequest};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use super::super::watch::Watches;
use super::super::{Error, Store, Transaction, Version, size};
use super::exchange::{Exchange, opening, put, surprised, unavailable};
use super::failure::heard;
use super::transaction::{RemoteTransaction, key_bytes};
use crate::Clock;
use crate::peer::{ConnectError, Dialer, Link, LinkState, Target};

/// Where the store is.
#[derive(Debug)]
pub struct RemoteConfig {
    pub target: Target,
    pub dialer: Dialer,
    pub clock: Clock,
    /// How long to wait for the storage node at the start.
    pub patience: Duration,
}

impl RemoteConfig {
    /// The defaults.
    pub const fn new(target: Target, dialer: Dialer, clock: Clock) -> Self {
        Self {
            target,
            dialer,
            clock,
            // Two nodes that are started together find each other; a person sees soon that there is none.
            patience: Duration::from_millis(2 * PEER_HANDSHAKE_MS_MAX),
        }
    }
}

/// Why a storage node's store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// There is one, and no store behind it.
    #[error("the node at {address} serves no store: {reason}")]
    Silent { address: String, reason: String },
}

/// The store of a storage node.
#[derive(Debug)]
pub struct Remote {
    shared: Arc<Shared>,
    watches: Watches,
    dialer: Dialer,
    follower: AbortHandle,
}

/// What a store and its transactions share.
#[derive(Debug)]
pub(super) struct Shared {
    state: watch::Sender<State>,
    /// The latest version that was heard of.
    seen: AtomicU64,
    /// Transactions that have a stream.
    pub(super) transactions: Arc<Semaphore>,
}

/// How the store is, as far as is known.
#[derive(Debug, Clone)]
struct State {
    /// Streams are opened on it.
    connection: Option<Connection>,
    /// Why commits cannot succeed, if they cannot.
    failure: Option<Error>,
}

impl Remote {
    /// Connects to a storage node, and waits until its store has answered once. After that the connection
    /// comes and goes, which is told by [`Store::health`].
    pub async fn open(config: RemoteConfig) -> Result<Self, OpenError> {
        let RemoteConfig { target, dialer, .. } = config;
        let link = Link::open(dialer.clone(), target.clone(), config.clock);
        let shared = Arc::new(Shared {
            state: watch::Sender::new(State {
                connection: None,
                failure: Some(Error::Unavailable("it was not reached yet".to_owned())),
            }),
            seen: AtomicU64::new(0),
            transactions: Arc::new(Semaphore::new(STORE_TRANSACTIONS_MAX)),
        });
        let mut link_state = link.state();
        let follower = tokio::spawn(follow(link, Arc::clone(&shared))).abort_handle();
        let remote = Self {
            watches: Watches::new(),
            dialer,
            follower,
            shared,
        };
        let reached = remote.reached(&mut link_state);
        match tokio::time::timeout(config.patience, reached).await {
            Ok(Ok(())) => Ok(remote),
            Ok(Err(error)) => Err(OpenError::Connect(error)),
            Err(_elapsed) => Err(match &*link_state.borrow() {
                LinkState::Down(error) => OpenError::Connect((**error).clone()),
                LinkState::Opening | LinkState::Up(_) => OpenError::Silent {
                    address: target.address,
                    reason: remote
                        .health()
                        .map_or_else(|error| error.to_string(), |()| String::new()),
                },
            }),
        }
    }

    /// Ends the connection: whatever is asked later is refused.
    pub async fn close(&self) {
        self.follower.abort();
        self.shared.lose("it was closed".to_owned());
        self.dialer.close().await;
    }

    /// Completes when the store was reached, or when it never will be.
    async fn reached(&self, link: &mut watch::Receiver<LinkState>) -> Result<(), ConnectError> {
        let mut state = self.shared.state.subscribe();
        loop {
            if state.borrow_and_update().connection.is_some() {
                return Ok(());
            }
            if let LinkState::Down(error) = &*link.borrow_and_update()
                && error.is_lasting()
            {
                return Err((**error).clone());
            }
            tokio::select! {
                // Both live as long as the follower, which lives as long as this.
                _ = state.changed() => {}
                _ = link.changed() => {}
            }
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Store for Remote {
    fn begin(&self) -> Box<dyn Transaction> {
        Box::new(RemoteTransaction::new(Arc::clone(&self.shared), None))
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        let shared = Arc::clone(&self.shared);
        Box::new(RemoteTransaction::new(shared, Some(version)))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        if let Err(error) = size::check_key(key.len()) {
            return Box::pin(ready(Err(error)));
        }
        // Whatever happens from here on has a later version than this.
        let since = self.shared.seen();
        let watching = super::watch::watch(Arc::clone(&self.shared), key_bytes(key), since);
        self.watches.begin(watching)
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn health(&self) -> Result<(), Error> {
        match &self.shared.state.borrow().failure {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }
}

impl Shared {
    /// The connection, if need be after a moment for it to come back.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        if let Some(connection) = &self.state.borrow().connection {
            return Ok(connection.clone());
        }
        match tokio::time::timeout(RETURN_MAX, self.next_connection()).await {
            Ok(connection) => Ok(connection),
            Err(_elapsed) => Err(self.failure()),
        }
    }

    /// The connection, whenever there is one.
    pub(super) async fn next_connection(&self) -> Connection {
        let mut state = self.state.subscribe();
        loop {
            if let Some(connection) = &state.borrow_and_update().connection {
                return connection.clone();
            }
            // The sender is here.
            let _ = state.changed().await;
        }
    }

    /// Completes when the connection is another one than `lost`.
    pub(super) async fn connection_after(&self, lost: &Connection) {
        let mut state = self.state.subscribe();
        loop {
            let now = state.borrow_and_update().connection.clone();
            if now.is_some_and(|now| now.stable_id() != lost.stable_id()) {
                return;
            }
            // The sender is here.
            let _ = state.changed().await;
        }
    }

    /// Notes a version that the store has had.
    pub(super) fn saw(&self, version: Version) {
        self.seen.fetch_max(version, Ordering::AcqRel);
    }

    /// A version that the store has had, and not later than now.
    pub(super) fn seen(&self) -> Version {
        self.seen.load(Ordering::Acquire)
    }

    fn failure(&self) -> Error {
        let failure = self.state.borrow().failure.clone();
        failure.unwrap_or_else(|| Error::Unavailable("it is not connected".to_owned()))
    }

    fn lose(&self, reason: String) {
        self.state.send_replace(State {
            connection: None,
            failure: Some(Error::Unavailable(reason)),
        });
    }
}

/// Keeps the state true: a connection counts once the store behind it has told its status.
async fn follow(link: Link, shared: Arc<Shared>) {
    let mut state = link.state();
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            LinkState::Opening => {}
            LinkState::Down(error) => shared.lose(error.to_string()),
            LinkState::Up(connection) => {
                let error = follow_status(&connection, &shared).await;
                shared.lose(error.to_string());
                // Whatever it was, a new connection is the remedy; this one may have ended by itself.
                if connection.close_reason().is_none() {
                    let code = selvedge_protocol::peer::close::BUSY;
                    connection.close(code.into(), b"no status");
                }
            }
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Follows the status of the store for as long as it is told.
async fn follow_status(connection: &Connection, shared: &Shared) -> Error {
    let mut exchange = match Exchange::open(connection).await {
        Ok(exchange) => exchange,
        Err(error) => return error,
    };
    let mut out = opening();
    put(&StoreRequest::Follow(Follow {}), &mut out);
    if let Err(error) = exchange.say(&out).await {
        return unavailable(&error);
    }
    loop {
        let status = match tokio::time::timeout(SILENCE_MAX, exchange.answer()).await {
            Ok(Ok(StoreAnswer::Status(status))) => status,
            Ok(Ok(StoreAnswer::Failed(failure))) => return heard(failure),
            Ok(Ok(
                StoreAnswer::Begun(_)
                | StoreAnswer::Value(_)
                | StoreAnswer::Pairs(_)
                | StoreAnswer::Committed(_)
                | StoreAnswer::Changed(_),
            )) => return surprised(),
            Ok(Err(error)) => return unavailable(&error),
            Err(_elapsed) => return Error::Unavailable("the storage node is silent".to_owned()),
        };
        take(connection, status, shared);
    }
}

fn take(connection: &Connection, status: Status, shared: &Shared) {
    shared.saw(status.version);
    let failure = status.failure.map(heard);
    shared.state.send_modify(|state| {
        if state.connection.is_none() {
            tracing::info!("the storage node serves");
            state.connection = Some(connection.clone());
        }
        state.failure = failure;
    });
}

/// How long a request waits for a connection that is lost. Long enough for a packet that was dropped; a node
/// that is away for longer is told to who asks, and they are not kept.
const RETURN_MAX: Duration = Duration::from_millis(250);
/// A store that has told nothing for so long hangs: some times the interval at which it tells.
const SILENCE_MAX: Duration = Duration::from_millis(10 * STORE_STATUS_MS);
