//! The gate of a QUIC port: who may begin a handshake, decided before anything is done for it. The edge and the peer port
//! have one each.
//!
//! It stands in two places. Behind the socket it drops what would be ignored, by headers alone; before the handshake it
//! decides about what came through, gives leave and takes it back. Both are pure machines ([`admission`]); here are the
//! clock and the lock around them, and what metrics and the log are told. It never waits.

pub mod admission;
mod ids;
mod socket;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::{AsyncUdpSocket, Incoming};
use tokio::time::Instant;

use self::admission::{
    Admission, AdmissionConfig, Attempt, Datagram, Filter, Proof, Verdict, begun, is_long,
};
use self::socket::Filtered;
use crate::Clock;

pub(crate) use ids::CheckedIds;
pub use token::{Proofs, TokenKey};

/// What a gate is made of.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// Whose gate it is, in the log.
    pub port: &'static str,
    pub admission: AdmissionConfig,
    /// Prefixes of addresses that it remembers, of each sort.
    pub accounts_max: usize,
    /// Connections that the port may have.
    pub connections_max: usize,
}

/// Decides who may begin a handshake at a port.
#[derive(Debug)]
pub struct Gate {
    port: &'static str,
    clock: Clock,
    began: Instant,
    proofs: Proofs,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    admission: Admission,
    filter: Filter,
    connections: usize,
    connections_max: usize,
    /// Since the last look.
    counts: Counts,
    is_shedding: bool,
}

/// What became of first packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    /// In the order of [`Verdict::ALL`].
    decided: [u64; Verdict::ALL.len()],
    filtered: u64,
}

/// What became of first packets since it was last told.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// By what metrics call it.
    pub outcomes: [(&'static str, u64); Verdict::ALL.len() + 1],
    /// Prefixes that owe something for what they did lately.
    pub prefixes: usize,
}

/// What becomes of a connection that has not begun.
#[derive(Debug)]
pub enum Passage {
    Accept(HandshakePermit),
    Retry,
    Refuse,
    Ignore,
}

/// Leave for one connection to be in its handshake, until it is dropped.
#[derive(Debug)]
pub struct HandshakePermit {
    gate: Arc<Gate>,
    from: IpAddr,
}

impl Gate {
    pub fn new(config: &GateConfig, proofs: Proofs, clock: Clock) -> Arc<Self> {
        let GateConfig {
            port,
            admission,
            accounts_max,
            connections_max,
        } = *config;
        let [one, two] = [clock.random(), clock.random()];
        Arc::new(Self {
            port,
            began: clock.monotonic(),
            proofs,
            inner: Mutex::new(Inner {
                admission: Admission::new(admission, accounts_max, one),
                filter: Filter::new(accounts_max, two),
                connections: 0,
                connections_max,
                counts: Counts::default(),
                is_shedding: false,
            }),
            clock,
        })
    }

    /// The socket of the port, behind which nothing comes that would be ignored.
    pub fn before(self: &Arc<Self>, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(Filtered::new(socket, Arc::clone(self)))
    }

    /// Decides about a connection by its first packet. The port has so many connections.
    pub fn decide(self: &Arc<Self>, incoming: &Incoming, connections: usize) -> Passage {
        let address = incoming.remote_address();
        let from = address.ip();
        let now = self.clock.monotonic() - self.began;
        let mut inner = self.inner.lock();
        inner.connections = connections;
        let attempt = Attempt {
            from,
            proof: proof(incoming),
            connections,
            connections_max: inner.connections_max,
        };
        let verdict = inner.admission.decide(now, attempt);
        for (count, of) in inner.counts.decided.iter_mut().zip(Verdict::ALL) {
            *count += u64::from(of == verdict);
        }
        if verdict != Verdict::Accept {
            // Of one that has answered to a retry this is the id of before: of that one few packets are let through.
            let id = incoming.orig_dst_cid();
            inner.filter.turned_away(address, &id);
        }
        match verdict {
            Verdict::Accept => Passage::Accept(HandshakePermit {
                gate: Arc::clone(self),
                from,
            }),
            Verdict::Retry => Passage::Retry,
            Verdict::Refuse => Passage::Refuse,
            Verdict::Ignore => Passage::Ignore,
        }
    }

    /// Takes no more from now on, as if the port had all the connections that it may have.
    pub fn close(&self) {
        self.inner.lock().connections_max = 0;
    }

    /// Tells the log what has become of first packets since the last time, and its caller for the metrics; once a second.
    /// The port has so many connections.
    pub fn tell(&self, connections: usize) -> Told {
        let now = self.clock.monotonic() - self.began;
        let port = self.port;
        let mut inner = self.inner.lock();
        inner.connections = connections;
        let counts = std::mem::take(&mut inner.counts);
        let (prefixes, under_way) = (inner.admission.tracked(now), inner.admission.under_way());
        let Counts { decided, filtered } = counts;
        let [accepted, retried, refused, ignored] = decided;
        let is_shedding = retried + refused + ignored > 0 || filtered > STRAYS;
        let was_shedding = std::mem::replace(&mut inner.is_shedding, is_shedding);
        drop(inner);
        match (was_shedding, is_shedding) {
            (false, true) => tracing::warn!(
                port,
                accepted,
                retried,
                refused,
                ignored,
                filtered,
                under_way,
                "shedding handshakes"
            ),
            (true, false) => tracing::info!(port, accepted, "taking all handshakes again"),
            (false, false) | (true, true) => {}
        }
        let [a, b, c, d] = Verdict::ALL.map(Verdict::name);
        Told {
            outcomes: [
                (a, accepted),
                (b, retried),
                (c, refused),
                (d, ignored),
                ("filtered", filtered),
            ],
            prefixes,
        }
    }

    /// Leaves of what one address has sent at once what goes on, in datagrams of `stride` bytes: how many bytes.
    fn sift(&self, from: SocketAddr, bytes: &mut [u8], stride: usize) -> usize {
        let stride = stride.max(1);
        if !bytes.chunks(stride).any(is_long) {
            return bytes.len();
        }
        let now = self.clock.monotonic() - self.began;
        let mut inner = self.inner.lock();
        let Inner {
            admission,
            filter,
            connections,
            connections_max,
            counts,
            ..
        } = &mut *inner;
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() {
            let end = bytes.len().min(at + stride);
            let datagram = Datagram {
                from,
                bytes: &bytes[at..end],
                connections: *connections,
                connections_max: *connections_max,
            };
            match filter.passes(admission, now, datagram, |token| self.proofs.open(token)) {
                // The last one alone is shorter, and stays the last.
                true => {
                    bytes.copy_within(at..end, kept);
                    kept += end - at;
                }
                false => counts.filtered += 1,
            }
            at = end;
        }
        kept
    }

    /// The port has sent this.
    fn sent(&self, to: SocketAddr, bytes: &[u8]) {
        if let Some(id) = begun(bytes) {
            let now = self.clock.monotonic() - self.began;
            self.inner.lock().filter.begun(now, to, id);
        }
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.gate.inner.lock().admission.ended(self.from);
    }
}

/// Packets that are dropped in a second and no flood: of those who look what runs here, and those that were damaged.
const STRAYS: u64 = 100;

fn proof(incoming: &Incoming) -> Proof {
    match (incoming.remote_address_validated(), incoming.may_retry()) {
        (false, _) => Proof::None,
        (true, false) => Proof::Retry,
        // Only who shows a retry's token may not be given another.
        (true, true) => Proof::Earlier,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_batch_stays_in_order() {
        let config = GateConfig {
            port: "test",
            admission: AdmissionConfig::default(),
            accounts_max: 64,
            connections_max: 10,
        };
        let proofs = Proofs::new(TokenKey::of_process());
        let gate = Gate::new(&config, proofs, Clock::system());
        let from = ([192, 0, 2, 1], 4_433).into();
        // Of connections that have begun, of none that could, and a shorter one at the end.
        let short = |byte: u8| vec![byte; 20];
        let malformed = vec![0xff, 0, 0, 0, 1, 99];
        let malformed = [malformed, vec![0; 14]].concat();
        let batch = [short(1), malformed.clone(), short(2), malformed, vec![3; 5]];
        let mut bytes = batch.concat();
        let kept = gate.sift(from, &mut bytes, 20);
        assert_eq!(bytes[..kept], [short(1), short(2), vec![3; 5]].concat());
        let told = gate.tell(0);
        assert_eq!(told.outcomes[4], ("filtered", 2));
        assert_eq!(gate.sift(from, &mut [], 0), 0);
        let mut alone = short(1);
        assert_eq!(gate.sift(from, &mut alone, 20), 20);
    }
}
