//! Which datagrams go no further than the socket: those that would be ignored once their keys were made. Decided by
//! headers, before QUIC sees them. Pure; the gate asks it for each datagram that could begin a connection.
//!
//! | datagram | goes on |
//! |---|---|
//! | of a connection that has begun | always; what is of none costs QUIC a look-up, and a reset at most every 20 ms |
//! | of a handshake that was let through, or that this end began | as often as a handshake needs |
//! | a first packet without a proof | unless the gate would ignore it |
//! | a first packet with a proof that holds | the same; and its prefix at its rate, which nobody spends in its name |
//! | with one that does not | as without |
//! | with an answer to a retry of another address | at the rate of refusals, as QUIC refuses it by itself |
//! | of a version that is not spoken | at a rate, as it is answered |
//! | a first packet that is too short, or has too short an id | never |
//!
//! Opening a proof takes a two-hundredth of a handshake. There is a rate for it too, of which those who show much, or in
//! whose name much comes, have half; what is not opened does not go on, as nobody knows what it would cost.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::accounts::Accounts;
use super::flows::{Flows, PACKETS_MAX};
use super::header::{Header, INITIAL_BYTES_MIN};
use super::prefix::Origin;
use super::rate::{Part, Rate, Shared, nanoseconds};
use super::{Admission, Attempt, Proof, part_of_retries};

#[derive(Debug)]
pub(crate) struct Filter {
    flows: Flows,
    /// What prefixes owe for proofs that they showed.
    shown: Accounts,
    openings: Shared,
    negotiations: Shared,
}

/// A datagram that has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: &'a [u8],
    /// Connections that the node has, and how many it may have.
    pub(crate) connections: usize,
    pub(crate) connections_max: usize,
}

/// What a proof says that is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The client at this address was sent a retry.
    Retry(SocketAddr),
    /// A client at this address was here before.
    Earlier(IpAddr),
}

/// What a proof is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Holds(Proof),
    /// It is none of ours.
    Invented,
    RetryOfOthers,
}

fn claim(from: SocketAddr, shown: Option<Shown>) -> Claim {
    match shown {
        Some(Shown::Retry(of)) if of == from => Claim::Holds(Proof::Retry),
        Some(Shown::Retry(_)) => Claim::RetryOfOthers,
        Some(Shown::Earlier(of)) if of == from.ip() => Claim::Holds(Proof::Earlier),
        // It has another address now, which is no lie.
        Some(Shown::Earlier(_)) => Claim::Holds(Proof::None),
        None => Claim::Invented,
    }
}

impl Filter {
    /// Remembers so many prefixes, and half as many handshakes. `seed` must be one that nobody outside knows.
    pub(crate) fn new(accounts_max: usize, seed: u64) -> Self {
        Self {
            flows: Flows::new(accounts_max / 2, seed.rotate_left(16)),
            shown: Accounts::new(accounts_max, seed.rotate_left(48)),
            openings: Shared::new(OPENINGS),
            negotiations: Shared::new(NEGOTIATIONS),
        }
    }

    /// Whether a datagram goes on. `open` opens a proof, if it is one of ours.
    pub(crate) fn passes(
        &mut self,
        admission: &mut Admission,
        now: Duration,
        datagram: Datagram<'_>,
        open: impl FnOnce(&[u8]) -> Option<Shown>,
    ) -> bool {
        let now_ns = nanoseconds(now);
        let is_whole = datagram.bytes.len() >= INITIAL_BYTES_MIN;
        let (destination, token) = match Header::of(datagram.bytes) {
            Header::Other => return true,
            Header::Malformed => return false,
            Header::Unspoken => {
                return is_whole && self.negotiations.spend(now_ns, Part::Whole);
            }
            Header::Initial { destination, token } => (destination, token),
        };
        let flow = self.flows.key(datagram.from, destination);
        if self.flows.take(flow, now_ns) {
            return true;
        }
        if !is_whole || destination.len() < ID_BYTES_MIN {
            return false;
        }
        let from = datagram.from;
        let proof = match token {
            [] => Proof::None,
            [..] if !self.may_open(admission, now_ns, from.ip()) => return false,
            [..] => match claim(from, open(token)) {
                Claim::Holds(proof) => proof,
                Claim::Invented => {
                    admission.was_lied_to(now_ns, from.ip());
                    Proof::None
                }
                // The gate never gets to see it.
                Claim::RetryOfOthers => return admission.refusals.spend(now_ns, Part::Whole),
            },
        };
        let attempt = Attempt {
            from: from.ip(),
            proof,
            connections: datagram.connections,
            connections_max: datagram.connections_max,
        };
        if admission.ignores(now, attempt) || !self.may_show(admission, now_ns, attempt) {
            return false;
        }
        let packets = match proof {
            Proof::None | Proof::Earlier => PACKETS_MAX,
            Proof::Retry => RETRIED_PACKETS_MAX,
        };
        self.flows.begin(flow, now_ns, packets);
        true
    }

    /// A handshake goes on under an id that this end has named.
    pub(crate) fn begun(&mut self, now: Duration, with: SocketAddr, id: &[u8]) {
        let flow = self.flows.key(with, id);
        self.flows.begin(flow, nanoseconds(now), PACKETS_MAX);
    }

    /// A first packet did not lead to a handshake: what comes after it is as new.
    pub(crate) fn turned_away(&mut self, from: SocketAddr, destination: &[u8]) {
        let flow = self.flows.key(from, destination);
        self.flows.end(flow);
    }

    /// Whether one more proof may be opened: of a prefix with much of either account, after the others.
    fn may_open(&mut self, admission: &Admission, now_ns: u64, from: IpAddr) -> bool {
        let origin = Origin::of(from);
        let may = admission.allows(&admission.unproven, now_ns, origin)
            && admission.allows(&self.shown, now_ns, origin);
        self.openings.spend(now_ns, part_of_retries(may))
    }

    /// Whether a prefix may show one more proof. One can be shown again and again, and each time costs: those whose
    /// prefix has none left are refused at most.
    fn may_show(&mut self, admission: &mut Admission, now_ns: u64, attempt: Attempt) -> bool {
        match attempt.proof {
            Proof::None => true,
            Proof::Retry | Proof::Earlier => {
                let origin = Origin::of(attempt.from);
                if !admission.allows(&self.shown, now_ns, origin) {
                    return admission.refusals.spend(now_ns, Part::Whole);
                }
                for (prefix, pace) in admission.paces(origin) {
                    self.shown.spend(prefix, now_ns, pace.each_ns);
                }
                true
            }
        }
    }
}

/// Proofs that are opened: at two microseconds each a tenth of a core.
const OPENINGS: Rate = Rate {
    per_second: 50_000,
    burst: 10_000,
};
/// Answers to those who speak another version: no client of ours does.
const NEGOTIATIONS: Rate = Rate {
    per_second: 100,
    burst: 1_000,
};
/// After a retry: two datagrams, said again once. If it is refused the gate cannot tell under which id it came, and what is
/// past this shows its proof again.
const RETRIED_PACKETS_MAX: u8 = 4;
/// What a client chooses has no fewer (RFC 9000, 7.2), and what this end names has as many.
const ID_BYTES_MIN: usize = 8;

#[cfg(test)]
mod tests;
