//! What a node has to do with one other node: the connection that both use, whoever dialled it, and what is being
//! done to have one. [`Links`](super::Links) has one for each node; decisions are [`Agreement`]'s.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quinn::{Connection, ConnectionError, Side, VarInt};
use selvedge_protocol::limits::{
    PEER_CONNECTIONS_PER_NODE_MAX, PEER_HANDSHAKE_MS_MAX, PEER_IDLE_MS_MAX,
};
use selvedge_protocol::peer::close;
use tokio::sync::{Notify, mpsc, watch};

use super::agreement::{Agreement, Verdict};
use super::dialer::{ConnectError, Dialer, Target};
use super::link::{LinkState, backoff};
use super::silence::Sign;
use super::stream::PeerStream;
use super::transport;
use crate::Clock;

/// A connection that was dialled and agreed on, to be served like those that others have dialled.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) connection: Connection,
    /// The stream that keeps it.
    pub(super) stream: PeerStream,
    pub(super) pair: Arc<Pair>,
}

#[derive(Debug)]
pub(super) struct Pair {
    /// Where the other node is, as it was told last.
    target: Mutex<Target>,
    agreement: watch::Sender<Agreement>,
    state: watch::Sender<LinkState>,
    /// Round trips that were seen.
    heard: AtomicU64,
    /// Connections of the other node that are not in use, the oldest first.
    guests: Mutex<VecDeque<(usize, Arc<Notify>)>>,
}

impl Pair {
    pub(super) fn new(own: &str, other: &str) -> Self {
        Self {
            target: Mutex::new(Target {
                address: String::new(),
                name: Some(other.to_owned()),
            }),
            agreement: watch::Sender::new(Agreement::new(own, other)),
            state: watch::Sender::new(LinkState::Opening),
            heard: AtomicU64::new(0),
            guests: Mutex::default(),
        }
    }

    /// The other node is there.
    pub(super) fn is_at(&self, address: &str) {
        let mut target = self.target.lock();
        if target.address == address {
            return;
        }
        address.clone_into(&mut target.address);
        drop(target);
        // Whoever was dialled was where it was. One that has dialled itself may well be the one that has moved.
        let has_dialled = match &*self.state.borrow() {
            LinkState::Up(connection) => connection.side() == Side::Client,
            LinkState::Opening | LinkState::Down(_) => true,
        };
        if has_dialled {
            self.agreement.send_modify(Agreement::outdate);
        }
    }

    /// Somebody needs the other node, whom nobody needed before.
    pub(super) fn is_needed(&self) {
        self.state.send_if_modified(|state| {
            let was_down = matches!(state, LinkState::Down(_));
            if was_down {
                *state = LinkState::Opening;
            }
            was_down
        });
    }

    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// What is to be seen of it.
    pub(super) fn sign(&self) -> Sign {
        match &*self.state.borrow() {
            LinkState::Opening => Sign::Opening,
            LinkState::Up(connection) => Sign::Up {
                connection: connection.stable_id(),
                heard: self.heard.load(Ordering::Relaxed),
            },
            LinkState::Down(_) => Sign::Down,
        }
    }

    /// There and back.
    pub(super) fn heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// The other node has opened a connection. The notification tells that there are too many of them.
    pub(super) fn entered(&self, connection: usize) -> Arc<Notify> {
        let displaced = Arc::new(Notify::new());
        let mut guests = self.guests.lock();
        guests.push_back((connection, Arc::clone(&displaced)));
        if guests.len() > PEER_CONNECTIONS_PER_NODE_MAX
            && let Some((_, oldest)) = guests.pop_front()
        {
            oldest.notify_one();
        }
        displaced
    }

    /// It is in use, or has ended.
    pub(super) fn left(&self, connection: usize) {
        self.guests.lock().retain(|(guest, _)| *guest != connection);
    }

    /// The other end asks whether its connection may be used.
    pub(super) fn asked(&self, connection: &Connection) -> Verdict {
        let mut verdict = Verdict::Refuse;
        self.agreement
            .send_modify(|it| verdict = it.asked(connection.stable_id()));
        verdict
    }

    /// The other end uses the connection that it was promised.
    pub(super) fn taken(&self, connection: &Connection) -> bool {
        self.use_if(connection, Agreement::taken)
    }

    /// A connection has ended, or the other end stops.
    pub(super) fn ended(&self, connection: &Connection) {
        let address = connection.remote_address().to_string();
        let error = match connection.close_reason() {
            Some(error) => ConnectError::of(
                &Target {
                    address,
                    name: None,
                },
                &error,
            ),
            None => ConnectError::Ended {
                address,
                reason: "the node stops".to_owned(),
            },
        };
        self.agreement.send_modify(|it| {
            if it.ended(connection.stable_id()) {
                tracing::warn!(%error, "no connection to a node");
                self.state.send_replace(LinkState::Down(Arc::new(error)));
            }
        });
    }

    /// Uses a connection from now on, if that is agreed on; ends the one that was used.
    fn use_if(
        &self,
        connection: &Connection,
        agree: impl FnOnce(&mut Agreement, usize) -> bool,
    ) -> bool {
        let mut before = None;
        let mut is_agreed = false;
        self.agreement.send_modify(|it| {
            is_agreed = agree(it, connection.stable_id());
            if is_agreed {
                let up = LinkState::Up(connection.clone());
                before = Some(self.state.send_replace(up));
            }
        });
        if is_agreed {
            let address = connection.remote_address();
            tracing::debug!(%address, "connected to a node");
            self.left(connection.stable_id());
        }
        if let Some(LinkState::Up(before)) = before {
            before.close(VarInt::from_u32(close::DONE), b"there is another one");
        }
        is_agreed
    }

    fn down(&self, error: ConnectError) {
        self.state.send_if_modified(|state| {
            let is_up = matches!(state, LinkState::Up(_));
            if !is_up {
                *state = LinkState::Down(Arc::new(error));
            }
            !is_up
        });
    }
}

/// What a pair needs to dial.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) dialer: Dialer,
    pub(super) clock: Clock,
    /// To whom dialled connections go to be served.
    pub(super) serve: mpsc::Sender<Dialled>,
}

/// Dials whenever there is no connection, with waits that grow. For as long as somebody needs the other node.
pub(super) async fn keep(pair: Arc<Pair>, means: Means) {
    let mut agreement = pair.agreement.subscribe();
    let mut failures = 0_u32;
    let mut is_first = true;
    loop {
        let since = means.clock.monotonic();
        if agreement.wait_for(Agreement::may_dial).await.is_err() {
            return;
        }
        // There was a connection, whoever dialled it. One that ends as soon as it begins is no better than none.
        if since.elapsed() > Duration::from_millis(PEER_IDLE_MS_MAX) {
            failures = 0;
        }
        if !is_first {
            tokio::time::sleep(backoff(failures, means.clock.random())).await;
        }
        is_first = false;
        let Some(attempt) = Attempt::begin(&pair) else {
            continue;
        };
        let dialled = tokio::select! {
            biased;
            dialled = attempt.dial(&means) => dialled,
            // The other node has dialled as well: what it does comes first.
            _ = agreement.wait_for(|it| !it.is_dialling()) => continue,
        };
        drop(attempt);
        match dialled {
            Ok(()) => failures = failures.saturating_add(1),
            Err(Failed::GivenWay) => {}
            Err(Failed::Connect(error)) => {
                if failures == 0 {
                    tracing::warn!(%error, "no connection to a node");
                } else {
                    tracing::debug!(%error, "still no connection to a node");
                }
                pair.down(error);
                failures = failures.saturating_add(1);
            }
        }
    }
}

/// Why nothing came of a connection that was dialled.
#[derive(Debug)]
enum Failed {
    /// The one of the other node is used.
    GivenWay,
    Connect(ConnectError),
}

/// A connection that is being dialled. Dropped, it is given up.
struct Attempt<'a> {
    pair: &'a Arc<Pair>,
}

impl<'a> Attempt<'a> {
    fn begin(pair: &'a Arc<Pair>) -> Option<Self> {
        let mut may = false;
        pair.agreement.send_if_modified(|it| {
            may = it.dial();
            may
        });
        may.then_some(Self { pair })
    }

    async fn dial(&self, means: &Means) -> Result<(), Failed> {
        let target = self.pair.target.lock().clone();
        let connection = means
            .dialer
            .connect_with(&target, transport::linking())
            .await
            .map_err(Failed::Connect)?;
        let mut is_wanted = false;
        self.pair
            .agreement
            .send_modify(|it| is_wanted = it.ask(connection.stable_id()));
        if !is_wanted {
            return Err(Failed::GivenWay);
        }
        let asked = tokio::time::timeout(ANSWER_MAX, ask(&connection)).await;
        let Ok(Some(stream)) = asked else {
            return Err(refused(&target, &connection));
        };
        let Ok(permit) = means.serve.try_reserve() else {
            return Err(Failed::Connect(ConnectError::Ended {
                address: target.address,
                reason: "this node stops".to_owned(),
            }));
        };
        // From here on nothing waits: it must not be given up between this and its service.
        if !self.pair.use_if(&connection, Agreement::take) {
            return Err(Failed::GivenWay);
        }
        permit.send(Dialled {
            connection,
            stream,
            pair: Arc::clone(self.pair),
        });
        Ok(())
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.pair.agreement.send_if_modified(|it| {
            let is_dialling = it.is_dialling();
            it.give_up();
            is_dialling
        });
    }
}

/// Asks whether the other end uses this connection, and gets its promise.
async fn ask(connection: &Connection) -> Option<PeerStream> {
    let mut stream = PeerStream::open_link(connection).await.ok()?;
    stream.read_word().await.ok()?.then_some(stream)
}

fn refused(target: &Target, connection: &Connection) -> Failed {
    let Some(error) = connection.close_reason() else {
        connection.close(VarInt::from_u32(close::DONE), b"no answer");
        let address = target.address.clone();
        return Failed::Connect(ConnectError::Unreachable { address });
    };
    let crossed = u64::from(close::CROSSED);
    match &error {
        ConnectionError::ApplicationClosed(close) if u64::from(close.error_code) == crossed => {
            Failed::GivenWay
        }
        _ => Failed::Connect(ConnectError::of(target, &error)),
    }
}

/// How long the other end may take to promise.
const ANSWER_MAX: Duration = Duration::from_millis(PEER_HANDSHAKE_MS_MAX);
