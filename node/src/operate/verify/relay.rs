//! A network in between: carries datagrams between many clients and one server, and loses, delays, repeats and
//! reorders them by rules that may change at any time. For the clusters of `selvedge verify`; never in front of
//! anything else.
//!
//! Each client has a socket of its own towards the server, so that the server's answers find back. Who sends what
//! is known by the address that it sends from.

mod decision;
mod late;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use selvedge_cluster::Clock;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::decision::{Decision, Dice};
use self::late::Late;

pub(super) use self::decision::Rule;

/// A relay in front of one server. It ends with this value.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// Where a relay leads, and what decides for it.
#[derive(Debug, Clone)]
pub(super) struct RelayConfig {
    pub(super) server: SocketAddr,
    /// The same seed decides the same about the first, second, third … datagram of each flow.
    pub(super) seed: u64,
    pub(super) clock: Clock,
}

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// The rules of both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) to_server: Rule,
    pub(super) to_client: Rule,
}

/// The rules of all who send over one relay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RulesBySource {
    /// For those that are not named.
    pub(super) usual: Rules,
    /// A handful, for each is a node.
    pub(super) named: Vec<(SocketAddr, Rules)>,
}

#[derive(Debug)]
struct Shared {
    config: RelayConfig,
    front: UdpSocket,
    rules: RwLock<RulesBySource>,
    late: mpsc::Sender<Late>,
    began: Instant,
}

/// One client, and its socket towards the server.
#[derive(Debug)]
struct Flow {
    client: SocketAddr,
    back: UdpSocket,
    /// When it last carried anything, in milliseconds since the relay began.
    used_ms: AtomicU64,
    to_server: Dice,
    to_client: Dice,
}

impl Relay {
    /// Opens a port on this machine. Needs a tokio runtime.
    pub(super) fn bind(config: RelayConfig) -> io::Result<Self> {
        let front = socket()?;
        let address = front.local_addr()?;
        let (late, arriving) = mpsc::channel(LATE_QUEUED_MAX);
        let shared = Arc::new(Shared {
            began: config.clock.monotonic(),
            config,
            front,
            rules: RwLock::default(),
            late,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(Arc::clone(&shared)));
        tasks.spawn(late::deliver(Arc::clone(&shared), arriving));
        Ok(Self {
            address,
            shared,
            _tasks: tasks,
        })
    }

    /// Puts other rules in the place of those that are in force.
    pub(super) fn apply(&self, rules: RulesBySource) {
        *self.shared.rules.write() = rules;
    }

    /// Where clients send to.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl RulesBySource {
    fn of(&self, source: SocketAddr) -> &Rules {
        let named = self.named.iter().find(|(named, _)| *named == source);
        named.map_or(&self.usual, |(_, rules)| rules)
    }
}

impl Shared {
    fn now(&self) -> Instant {
        self.config.clock.monotonic()
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = self.now().duration_since(self.began);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Does with a datagram what the rules and the dice say.
    async fn carry(&self, flow: &Arc<Flow>, direction: Direction, bytes: &[u8]) {
        flow.used_ms.store(self.elapsed_ms(), Ordering::Relaxed);
        let decision = {
            let rules = self.rules.read();
            let rules = rules.of(flow.client);
            match direction {
                Direction::ToServer => flow.to_server.decide(&rules.to_server),
                Direction::ToClient => flow.to_client.decide(&rules.to_client),
            }
        };
        match decision {
            Decision::Lose => {}
            Decision::AT_ONCE => self.pass(flow, direction, bytes).await,
            Decision::Pass { after, again } => {
                for after in std::iter::once(after).chain(again) {
                    self.delay(flow, direction, bytes, after);
                }
            }
        }
    }

    fn delay(&self, flow: &Arc<Flow>, direction: Direction, bytes: &[u8], after: Duration) {
        let late = Late {
            due: self.now() + after,
            flow: Arc::clone(flow),
            direction,
            bytes: bytes.into(),
        };
        // A full queue loses it, as in a router.
        let _ = self.late.try_send(late);
    }

    /// Sends it on. What cannot be sent is lost, as datagrams are.
    async fn pass(&self, flow: &Flow, direction: Direction, bytes: &[u8]) {
        let sent = match direction {
            Direction::ToServer => flow.back.send_to(bytes, self.config.server).await,
            Direction::ToClient => self.front.send_to(bytes, flow.client).await,
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a datagram cannot be sent on");
        }
    }
}

/// Carries what clients send, and begins and ends their flows.
async fn carry(shared: Arc<Shared>) {
    let mut flows = Flows::default();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut sweep = interval(IDLE_MAX / 4);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            received = shared.front.recv_from(&mut buffer) => match received {
                Ok((length, client)) => {
                    if let Some(flow) = flows.of(&shared, client) {
                        shared.carry(&flow, Direction::ToServer, &buffer[..length]).await;
                    }
                }
                Err(error) => pause_after(&error).await,
            },
            _ = sweep.tick() => flows.forget_idle(shared.elapsed_ms()),
        }
    }
}

/// Carries what the server answers to one client.
async fn carry_back(shared: Arc<Shared>, flow: Arc<Flow>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        match flow.back.recv_from(&mut buffer).await {
            Ok((length, from)) if from == shared.config.server => {
                let bytes = &buffer[..length];
                shared.carry(&flow, Direction::ToClient, bytes).await;
            }
            // A stranger on this machine.
            Ok(_) => {}
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Sockets without a peer of their own hear of no error in ordinary operation; whatever it is, it may last.
async fn pause_after(error: &io::Error) {
    tracing::debug!(%error, "a relay cannot receive");
    sleep(ERROR_PAUSE).await;
}

/// The flows of a relay; they end with it.
#[derive(Debug, Default)]
struct Flows {
    by_client: HashMap<SocketAddr, (Arc<Flow>, AbortHandle)>,
    tasks: JoinSet<()>,
    begun: u64,
}

impl Flows {
    /// The flow of a client. None where there are as many as there may be.
    fn of(&mut self, shared: &Arc<Shared>, client: SocketAddr) -> Option<Arc<Flow>> {
        if let Some((flow, _)) = self.by_client.get(&client) {
            return Some(Arc::clone(flow));
        }
        // Those that have ended.
        while self.tasks.try_join_next().is_some() {}
        if self.by_client.len() >= FLOWS_MAX {
            tracing::debug!(%client, "a relay has no room for another client");
            return None;
        }
        let back = socket().map_err(|error| tracing::debug!(%error, "a relay has no socket"));
        let seed = shared.config.seed;
        let flow = Arc::new(Flow {
            client,
            back: back.ok()?,
            used_ms: AtomicU64::new(shared.elapsed_ms()),
            to_server: Dice::new(seed, 2 * self.begun),
            to_client: Dice::new(seed, 2 * self.begun + 1),
        });
        self.begun += 1;
        let back = carry_back(Arc::clone(shared), Arc::clone(&flow));
        let task = self.tasks.spawn(back);
        self.by_client.insert(client, (Arc::clone(&flow), task));
        Some(flow)
    }

    fn forget_idle(&mut self, now_ms: u64) {
        let idle_ms_max = u64::try_from(IDLE_MAX.as_millis()).unwrap_or(u64::MAX);
        self.by_client.retain(|_, (flow, task)| {
            let idle_ms = now_ms.saturating_sub(flow.used_ms.load(Ordering::Relaxed));
            let is_used = idle_ms < idle_ms_max;
            if !is_used {
                task.abort();
            }
            is_used
        });
    }
}

/// On a free port of this machine, with room for bursts.
fn socket() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel cuts what it does not allow, without an error.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

/// The largest that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Clients of one relay at a time: those of a run, the sessions that they open anew, and some.
const FLOWS_MAX: usize = 1_024;
/// A client that was silent for so long comes back as another one. Connections end after far less.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Datagrams between their arrival and the queue of those that wait for their time.
const LATE_QUEUED_MAX: usize = 1_024;
/// As both ends have it: one megabyte of bursts a direction would lose what no rule says.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// An error that lasts must not keep a processor busy.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
