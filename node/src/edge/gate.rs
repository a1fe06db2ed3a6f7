//! The gate of an edge: has each first packet decided about, gives leave for handshakes and takes it back, counts what
//! became of them, and says in the log when some are turned away. The edge's loop asks it; it never waits.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::Incoming;
use selvedge_cluster::Clock;
use tokio::time::Instant;

use crate::edge::admission::{Admission, AdmissionConfig, Attempt, Proof, Verdict};
use crate::metrics;

#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    admission: Admission,
    /// Since the last look, in the order of [`Verdict::ALL`].
    counts: [u64; Verdict::ALL.len()],
    is_shedding: bool,
}

/// What becomes of a connection that has not begun.
#[derive(Debug)]
pub(super) enum Passage {
    Accept(HandshakePermit),
    Retry,
    Refuse,
    Ignore,
}

/// Leave for one connection to be in its handshake, until it is dropped.
#[derive(Debug)]
pub(super) struct HandshakePermit {
    gate: Arc<Gate>,
    from: IpAddr,
}

impl Gate {
    pub(super) fn new(config: AdmissionConfig, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            began: clock.monotonic(),
            inner: Mutex::new(Inner {
                admission: Admission::new(config, clock.random()),
                counts: [0; Verdict::ALL.len()],
                is_shedding: false,
            }),
            clock,
        })
    }

    /// Decides about a connection by its first packet.
    pub(super) fn decide(
        self: &Arc<Self>,
        incoming: &Incoming,
        connections: usize,
        connections_max: usize,
    ) -> Passage {
        let from = incoming.remote_address().ip();
        let attempt = Attempt {
            from,
            proof: proof(incoming),
            connections,
            connections_max,
        };
        let now = self.clock.monotonic() - self.began;
        let mut inner = self.inner.lock();
        let verdict = inner.admission.decide(now, attempt);
        for (count, of) in inner.counts.iter_mut().zip(Verdict::ALL) {
            *count += u64::from(of == verdict);
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

    /// Tells metrics and log what has become of connections since the last time; once a second.
    pub(super) fn tell(&self) {
        let now = self.clock.monotonic() - self.began;
        let mut inner = self.inner.lock();
        let counts = std::mem::take(&mut inner.counts);
        let (tracked, under_way) = (inner.admission.tracked(now), inner.admission.under_way());
        let [accepted, retried, refused, ignored] = counts;
        let is_shedding = retried + refused + ignored > 0;
        let was_shedding = std::mem::replace(&mut inner.is_shedding, is_shedding);
        drop(inner);
        for (count, of) in counts.into_iter().zip(Verdict::ALL) {
            metrics::handshakes(of, count);
        }
        metrics::handshake_prefixes(tracked);
        match (was_shedding, is_shedding) {
            (false, true) => tracing::warn!(
                accepted,
                retried,
                refused,
                ignored,
                under_way,
                "shedding handshakes"
            ),
            (true, false) => tracing::info!(accepted, "taking all handshakes again"),
            (false, false) | (true, true) => {}
        }
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.gate.inner.lock().admission.ended(self.from);
    }
}

fn proof(incoming: &Incoming) -> Proof {
    match (incoming.remote_address_validated(), incoming.may_retry()) {
        (false, _) => Proof::None,
        (true, false) => Proof::Retry,
        // Only who shows a retry's token may not be given another.
        (true, true) => Proof::Earlier,
    }
}
