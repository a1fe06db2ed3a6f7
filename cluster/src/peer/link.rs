//! The one connection to another node: opened, and opened again whenever it was lost, with waits that grow. To a
//! storage node it is this node's own; with other nodes it is that of their pair, which either end may have dialled.

use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use selvedge_protocol::limits::{PEER_BACKOFF_MS, PEER_BACKOFF_MS_MAX, PEER_IDLE_MS_MAX};
use selvedge_protocol::peer::Service;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::dialer::{ConnectError, Dialer, Target};
use super::pair::{self, Means, Pair};
use super::stream::{PeerStream, StreamError};
use crate::Clock;

/// How a link is at the moment.
#[derive(Debug, Clone)]
pub enum LinkState {
    /// Nothing is known yet.
    Opening,
    Up(Connection),
    /// Why not; another attempt comes.
    Down(Arc<ConnectError>),
}

/// Keeps a connection for as long as it lives.
#[derive(Debug)]
pub struct Link {
    state: watch::Receiver<LinkState>,
    task: AbortHandle,
}

impl Link {
    /// Begins to connect to a node that never connects to this one. Needs a tokio runtime.
    pub fn open(dialer: Dialer, target: Target, clock: Clock) -> Self {
        let (sender, state) = watch::channel(LinkState::Opening);
        let task = tokio::spawn(keep(dialer, target, clock, sender)).abort_handle();
        Self { state, task }
    }

    /// Sees to it that a pair has a connection.
    pub(super) fn of_pair(pair: Arc<Pair>, means: Means) -> Self {
        pair.is_needed();
        let state = pair.state();
        let task = tokio::spawn(pair::keep(pair, means)).abort_handle();
        Self { state, task }
    }

    /// Opens a stream for a service, as soon as there is a connection; fails at once while there is none.
    pub async fn stream(&self, service: Service) -> Result<PeerStream, StreamError> {
        let mut state = self.state();
        let known = state.wait_for(|state| !matches!(state, LinkState::Opening));
        let connection = match known.await.as_deref() {
            Ok(LinkState::Up(connection)) => connection.clone(),
            Ok(LinkState::Down(error)) => return Err(StreamError::Lost(error.to_string())),
            Ok(LinkState::Opening) | Err(_) => {
                return Err(StreamError::Lost("the link was closed".to_owned()));
            }
        };
        PeerStream::open(&connection, service).await
    }

    /// The state, and its changes.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(dialer: Dialer, target: Target, clock: Clock, state: watch::Sender<LinkState>) {
    let mut failures = 0;
    loop {
        let error = match dialer.connect(&target).await {
            Ok(connection) => {
                let since = clock.monotonic();
                tracing::debug!(address = %target.address, "connected to a node");
                state.send_replace(LinkState::Up(connection.clone()));
                let error = ConnectError::of(&target, &connection.closed().await);
                // One that ends as soon as it begins is no better than none.
                if since.elapsed() > Duration::from_millis(PEER_IDLE_MS_MAX) {
                    failures = 0;
                }
                error
            }
            Err(error) => error,
        };
        if failures == 0 {
            tracing::warn!(%error, "no connection to a node");
        } else {
            tracing::debug!(%error, "still no connection to a node");
        }
        state.send_replace(LinkState::Down(Arc::new(error)));
        tokio::time::sleep(backoff(failures, clock.random())).await;
        failures = failures.saturating_add(1);
    }
}

/// Half of a bound that doubles up to its end, and as much again by chance.
pub(super) fn backoff(failures: u32, random: u64) -> Duration {
    let bound_ms = (PEER_BACKOFF_MS << failures.min(16)).min(PEER_BACKOFF_MS_MAX);
    Duration::from_millis(bound_ms / 2 + random % (bound_ms / 2).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_its_bound() {
        let all = |failures| (0..100).map(move |random| backoff(failures, random * 31));
        assert!(all(0).all(|wait| wait < Duration::from_millis(PEER_BACKOFF_MS)));
        assert!(all(40).all(|wait| wait >= Duration::from_millis(PEER_BACKOFF_MS_MAX / 2)));
        assert!(all(40).all(|wait| wait < Duration::from_millis(PEER_BACKOFF_MS_MAX)));
    }
}
