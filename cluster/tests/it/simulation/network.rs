//! The network between simulated nodes: datagrams with latency, loss, repetition and reordering by seed, links that
//! are cut in one direction or both, and nodes that stand still. Under the real endpoints of quinn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use xxhash_rust::xxh3::Xxh3;

use super::dice::Dice;

/// A cheap handle on the network.
#[derive(Debug, Clone)]
pub(super) struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: Instant,
    dice: Dice,
    state: Mutex<State>,
    /// Something is to be delivered earlier than before.
    posted: Notify,
}

#[derive(Default)]
struct State {
    ports: BTreeMap<SocketAddr, Arc<Port>>,
    /// By the time at which it arrives, then in the order in which it was sent.
    on_their_way: BTreeMap<(Instant, u64), Datagram>,
    /// From whom to whom nothing gets through.
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Those that stand still, with what is there for them and of them once they go on.
    frozen: BTreeMap<SocketAddr, Vec<Datagram>>,
    trouble: Trouble,
    sent: u64,
    digest: Xxh3,
}

/// Datagrams of a thousand that are lost, come twice, or come late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) lost: u64,
    pub(super) twice: u64,
    pub(super) late: u64,
}

#[derive(Debug, Clone)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    contents: Bytes,
}

/// The socket of one process of a node.
pub(super) struct Port {
    network: Network,
    address: SocketAddr,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    arrived: VecDeque<Datagram>,
    waker: Option<Waker>,
    is_closed: bool,
}

impl Network {
    /// Delivers for as long as the runtime lives.
    pub(super) fn new(dice: Dice) -> Self {
        let network = Self(Arc::new(Shared {
            start: Instant::now(),
            dice,
            state: Mutex::default(),
            posted: Notify::new(),
        }));
        tokio::spawn(deliver(network.clone()));
        network
    }

    /// The socket of a new process at an address; that of the one before hears and says nothing any more.
    pub(super) fn open(&self, address: SocketAddr) -> Arc<Port> {
        self.close(address);
        let port = Arc::new(Port {
            network: self.clone(),
            address,
            inbox: Mutex::default(),
        });
        self.0.state.lock().ports.insert(address, Arc::clone(&port));
        port
    }

    /// The process at an address has ended.
    pub(super) fn close(&self, address: SocketAddr) {
        let mut state = self.0.state.lock();
        if let Some(port) = state.ports.remove(&address) {
            port.inbox.lock().is_closed = true;
        }
        state.frozen.remove(&address);
    }

    /// Nothing gets through from one to the other from now on.
    pub(super) fn cut(&self, from: SocketAddr, to: SocketAddr) {
        self.0.state.lock().cut.insert((from, to));
    }

    /// Everything gets through between all again.
    pub(super) fn heal(&self) {
        self.0.state.lock().cut.clear();
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        self.0.state.lock().trouble = trouble;
    }

    /// Nothing comes from a node, and what is sent to it waits.
    pub(super) fn freeze(&self, address: SocketAddr) {
        self.0.state.lock().frozen.entry(address).or_default();
    }

    pub(super) fn thaw(&self, address: SocketAddr) {
        let held = self.0.state.lock().frozen.remove(&address);
        for datagram in held.into_iter().flatten() {
            self.arrive(datagram);
        }
    }

    /// How many datagrams were sent so far, and a digest of when, between whom and how large.
    pub(super) fn tally(&self) -> (u64, u64) {
        let state = self.0.state.lock();
        (state.sent, state.digest.digest())
    }

    fn send(&self, datagram: Datagram) {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        state.note(now - self.0.start, &datagram);
        let trouble = state.trouble;
        let copies = match self.is(trouble.twice) {
            true => 2,
            false => 1,
        };
        for _ in 0..copies {
            // All are thrown, whatever they are for: what is lost changes nothing of what follows.
            let (usual, late) = (self.0.dice.below(1_600), self.0.dice.below(40_000));
            let latency_us = match self.is(trouble.late) {
                true => 400 + usual + late,
                false => 400 + usual,
            };
            let is_lost = self.is(trouble.lost);
            if !is_lost {
                let place = (now + Duration::from_micros(latency_us), state.sent);
                state.on_their_way.insert(place, datagram.clone());
            }
            state.sent += 1;
        }
        drop(state);
        self.0.posted.notify_one();
    }

    fn is(&self, of_a_thousand: u64) -> bool {
        self.0.dice.below(1_000) < of_a_thousand
    }

    fn arrive(&self, datagram: Datagram) {
        let mut state = self.0.state.lock();
        if state.cut.contains(&(datagram.from, datagram.to)) {
            return;
        }
        for end in [datagram.from, datagram.to] {
            if let Some(held) = state.frozen.get_mut(&end) {
                if held.len() < HELD_MAX {
                    held.push(datagram);
                }
                return;
            }
        }
        let Some(port) = state.ports.get(&datagram.to).cloned() else {
            return;
        };
        drop(state);
        let mut inbox = port.inbox.lock();
        inbox.arrived.push_back(datagram);
        if let Some(waker) = inbox.waker.take() {
            drop(inbox);
            waker.wake();
        }
    }
}

impl State {
    fn note(&mut self, after: Duration, datagram: &Datagram) {
        self.digest.update(&after.as_nanos().to_le_bytes());
        for end in [datagram.from, datagram.to] {
            self.digest.update(end.to_string().as_bytes());
        }
        let len = datagram.contents.len();
        self.digest.update(&len.to_le_bytes());
    }
}

async fn deliver(network: Network) {
    loop {
        let due = {
            let state = network.0.state.lock();
            state.on_their_way.keys().next().map(|(due, _)| *due)
        };
        match due {
            Some(due) if due <= Instant::now() => {
                let first = network.0.state.lock().on_their_way.pop_first();
                if let Some((_, datagram)) = first {
                    network.arrive(datagram);
                }
            }
            Some(due) => tokio::select! {
                biased;
                () = network.0.posted.notified() => {}
                () = sleep_until(due) => {}
            },
            None => network.0.posted.notified().await,
        }
    }
}

impl AsyncUdpSocket for Port {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.inbox.lock().is_closed {
            self.network.send(Datagram {
                from: self.address,
                to: transmit.destination,
                contents: Bytes::copy_from_slice(transmit.contents),
            });
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.lock();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(datagram) = inbox.arrived.pop_front() else {
                break;
            };
            let len = datagram.contents.len();
            buf[..len].copy_from_slice(&datagram.contents);
            *meta = RecvMeta {
                addr: datagram.from,
                len,
                stride: len,
                ecn: None,
                dst_ip: None,
            };
            count += 1;
        }
        if count == 0 {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A socket that always takes what is sent.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({} sent)", self.sent)
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Port({})", self.address)
    }
}

/// As a socket's buffer has its bound.
const HELD_MAX: usize = 2_000;
