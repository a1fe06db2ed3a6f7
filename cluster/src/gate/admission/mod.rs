//! Who may begin a handshake: decided by the first packet, before anything is done for it. The gate of a port asks it.
//!
//! A first packet may come from anybody in anybody's name. An answer to it costs a little, a handshake some fifteen
//! times as much, so what is unproven must not use up what is for others:
//!
//! ```text
//!                  first packet            proof of the address
//!                       │
//!    none ──────────────┼── few, and calm ──────────► accept   its own accounts, half of the handshakes
//!                       └── otherwise ──────────────► retry    at a rate; then ignore
//!    by a retry ────────┬── its prefix has room ────► accept   three quarters of the handshakes
//!    by a token of      │                                      all of them
//!    an earlier time ───┴── otherwise ──────────────► refuse   at a rate; then ignore
//! ```
//!
//! Prefixes have two accounts: what was done in their name without proof, and what they did. Whoever writes an address
//! of others into packets burdens the first alone, and then the owner of the address is asked for proof, no more.
//!
//! To tell what a first packet proves, QUIC makes keys for it and answers with others, which is most of what turning it
//! away costs. So the same is asked before by the [`Filter`], of the header alone, and what would be ignored goes no
//! further.
//!
//! It holds no connection, reads no clock and waits for nothing: time is an argument.

mod accounts;
mod filter;
mod flows;
mod header;
mod prefix;
mod rate;
mod streams;
mod under_way;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::accounts::Accounts;
use self::prefix::{Origin, Prefix};
use self::rate::{Pace, Part, Shared, nanoseconds};
use self::under_way::UnderWay;

pub(crate) use filter::{Datagram, Filter, Shown};
pub(crate) use header::{begun, is_long};
pub use rate::Rate;
pub use streams::{StreamLimits, Streams};

/// What a node does for those whom it does not know yet. The defaults are for a node on the open Internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// Connections that have not said Hello.
    pub handshakes_max: u32,
    /// Handshakes of an IPv4 address, or of an IPv6 /64.
    pub address: Rate,
    /// Handshakes of an IPv4 /24, or of an IPv6 /48.
    pub network: Rate,
    /// Handshakes of an address or network of this machine, instead of these two.
    pub loopback: Rate,
    /// First packets without a proof of their address, of all together. When more come, each address must be proven.
    pub unproven: Rate,
    /// Demands for such a proof. When more would be needed, first packets are ignored.
    pub retries: Rate,
    /// Refusals. When more would be needed, first packets are ignored.
    pub refusals: Rate,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            handshakes_max: 2_048, // 1,000 clients at once fit; at 50 kB each no more than 100 MB
            address: rate(100, 500), // an office, or the people behind one address of a carrier, who come back at once
            network: rate(400, 2_000), // four of these
            loopback: rate(20_000, 20_000), // load generators and tests: as fast as a node is
            unproven: rate(500, 1_000), // a fifth of a core in handshakes, and 1,000 clients at once without a retry
            retries: rate(5_000, 20_000), // an eighth of a core; two for each client of a crowd of 10,000
            refusals: rate(1_000, 2_000), // a thirtieth of a core; who is refused is not worth more
        }
    }
}

impl AdmissionConfig {
    /// Between nodes: a hundred of them, some from one address in development, and each comes back within a second.
    pub fn between_nodes() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            handshakes_max: 128,            // all nodes of a cluster may come back at once
            address: rate(20, 200), // a node tries again once a second at the least, with a few in between
            network: rate(200, 1_000), // a rack of them
            loopback: rate(20_000, 20_000), // tests: as fast as a node is
            unproven: rate(100, 400), // both certificates are checked: a tenth of a core, and every node twice at once
            retries: rate(1_000, 2_000), // a fortieth of a core
            refusals: rate(100, 200), // nodes try again whatever they are told
        }
    }
}

/// How it is known that a client receives what is sent to its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is not.
    None,
    /// It has answered to a retry.
    Retry,
    /// It was here before, and shows what it was given then.
    Earlier,
}

/// A first packet.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pub from: IpAddr,
    pub proof: Proof,
    /// Connections that the node has, and how many it may have.
    pub connections: usize,
    pub connections_max: usize,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Accept, Self::Retry, Self::Refuse, Self::Ignore];

    /// What metrics and logs call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Retry => "retried",
            Self::Refuse => "refused",
            Self::Ignore => "ignored",
        }
    }
}

/// What becomes of a first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The handshake begins. [`Admission::ended`] is to be called for it.
    Accept,
    /// The client has to show that it receives what is sent to its address.
    Retry,
    /// It is told to go away.
    Refuse,
    /// It is told nothing.
    Ignore,
}

/// Decides about first packets.
#[derive(Debug)]
pub struct Admission {
    config: AdmissionConfig,
    unproven: Accounts,
    proven: Accounts,
    under_way: UnderWay,
    pressure: Shared,
    retries: Shared,
    refusals: Shared,
}

impl Admission {
    /// Remembers so many prefixes of each sort. `seed` must be one that nobody outside knows.
    pub fn new(config: AdmissionConfig, accounts_max: usize, seed: u64) -> Self {
        Self {
            config,
            unproven: Accounts::new(accounts_max, seed),
            proven: Accounts::new(accounts_max, seed.rotate_left(32)),
            under_way: UnderWay::default(),
            pressure: Shared::new(config.unproven),
            retries: Shared::new(config.retries),
            refusals: Shared::new(config.refusals),
        }
    }

    /// What becomes of a first packet. `now` is the time since any moment that stays.
    pub fn decide(&mut self, now: Duration, attempt: Attempt) -> Verdict {
        let now_ns = nanoseconds(now);
        let origin = Origin::of(attempt.from);
        let is_pressed = attempt.proof == Proof::None && self.pressure.press(now_ns);
        if attempt.connections >= attempt.connections_max {
            return self.refuse(now_ns);
        }
        match attempt.proof {
            Proof::None => self.unproven(now_ns, origin, is_pressed),
            Proof::Retry | Proof::Earlier => self.proven(now_ns, origin, attempt.proof),
        }
    }

    /// Whether [`Self::decide`] would ignore a first packet. It is asked in its place, so it counts among those that came.
    pub(crate) fn ignores(&mut self, now: Duration, attempt: Attempt) -> bool {
        let now_ns = nanoseconds(now);
        let origin = Origin::of(attempt.from);
        let is_full = attempt.connections >= attempt.connections_max;
        let is_ignored = match attempt.proof {
            Proof::None if !is_full => {
                let is_pressed = self.pressure.is_pressed(now_ns);
                let may = self.allows(&self.unproven, now_ns, origin);
                let is_accepted = may && self.is_calm(origin, is_pressed);
                !is_accepted && !self.retries.allows(now_ns, part_of_retries(may))
            }
            Proof::None | Proof::Retry | Proof::Earlier => {
                (is_full || !self.takes(now_ns, origin, attempt.proof))
                    && !self.refusals.allows(now_ns, Part::Whole)
            }
        };
        if is_ignored && attempt.proof == Proof::None {
            self.pressure.press(now_ns);
        }
        is_ignored
    }

    /// A handshake that was accepted has come to its end, whatever that was.
    pub fn ended(&mut self, from: IpAddr) {
        self.under_way.end(Origin::of(from));
    }

    /// Handshakes that have not come to their end.
    pub const fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Prefixes that owe something for what they did lately. Looks at the whole table.
    pub fn tracked(&self, now: Duration) -> usize {
        let now_ns = nanoseconds(now);
        self.unproven.indebted(now_ns) + self.proven.indebted(now_ns)
    }

    fn unproven(&mut self, now_ns: u64, origin: Origin, is_pressed: bool) -> Verdict {
        let may = self.allows(&self.unproven, now_ns, origin);
        let is_accepted = may && self.is_calm(origin, is_pressed);
        if !is_accepted && !self.retries.spend(now_ns, part_of_retries(may)) {
            return Verdict::Ignore;
        }
        if may {
            self.burden(now_ns, origin);
        }
        match is_accepted {
            true => self.accept(origin),
            false => Verdict::Retry,
        }
    }

    fn proven(&mut self, now_ns: u64, origin: Origin, proof: Proof) -> Verdict {
        if !self.takes(now_ns, origin, proof) {
            return self.refuse(now_ns);
        }
        for (prefix, pace) in self.paces(origin) {
            self.proven.spend(prefix, now_ns, pace.each_ns);
        }
        self.accept(origin)
    }

    /// Whether a prefix and its network have a handshake left in these accounts.
    fn allows(&self, accounts: &Accounts, now_ns: u64, origin: Origin) -> bool {
        let mut paces = self.paces(origin).into_iter();
        paces.all(|(prefix, pace)| pace.allows(accounts.debt_ns(prefix, now_ns)))
    }

    /// Something was done in the name of a prefix.
    fn burden(&mut self, now_ns: u64, origin: Origin) {
        for (prefix, pace) in self.paces(origin) {
            self.unproven.spend(prefix, now_ns, pace.each_ns);
        }
    }

    /// Somebody has shown an invented proof in the name of an address.
    fn was_lied_to(&mut self, now_ns: u64, from: IpAddr) {
        let origin = Origin::of(from);
        // It owes no more than a burst, so that it is forgotten as soon as one.
        if self.allows(&self.unproven, now_ns, origin) {
            self.burden(now_ns, origin);
        }
    }

    /// Whether handshakes are to be had without a proof.
    fn is_calm(&self, origin: Origin, is_pressed: bool) -> bool {
        !is_pressed && self.has_room(origin, self.handshakes_max().div_ceil(2))
    }

    /// Whether one may begin with this proof.
    fn takes(&self, now_ns: u64, origin: Origin, proof: Proof) -> bool {
        let max = self.handshakes_max();
        let handshakes = match proof {
            Proof::None => max.div_ceil(2),
            Proof::Retry => max - max / 4,
            Proof::Earlier => max,
        };
        self.allows(&self.proven, now_ns, origin) && self.has_room(origin, handshakes)
    }

    fn accept(&mut self, origin: Origin) -> Verdict {
        self.under_way.begin(origin);
        Verdict::Accept
    }

    fn refuse(&mut self, now_ns: u64) -> Verdict {
        match self.refusals.spend(now_ns, Part::Whole) {
            true => Verdict::Refuse,
            false => Verdict::Ignore,
        }
    }

    /// Whether one more handshake fits among so many. A prefix of another machine has a share of all: one that never
    /// ends its handshakes would have them to itself.
    fn has_room(&self, origin: Origin, handshakes: usize) -> bool {
        let fits = |prefix, share: usize| {
            self.under_way.of(prefix) < (self.handshakes_max() / share).max(1)
        };
        let has_share = fits(origin.address, ADDRESS_SHARE) && fits(origin.network, NETWORK_SHARE);
        self.under_way.len() < handshakes && (origin.is_loopback || has_share)
    }

    fn handshakes_max(&self) -> usize {
        usize::try_from(self.config.handshakes_max).unwrap_or(usize::MAX)
    }

    fn paces(&self, origin: Origin) -> [(Prefix, Pace); 2] {
        let rates = match origin.is_loopback {
            true => [self.config.loopback; 2],
            false => [self.config.address, self.config.network],
        };
        let [address, network] = rates.map(Pace::of);
        [(origin.address, address), (origin.network, network)]
    }
}

/// Those in whose name much comes may be who they say: they are asked for proof, after the others.
const fn part_of_retries(may: bool) -> Part {
    match may {
        true => Part::Whole,
        false => Part::Half,
    }
}

/// An address may have one in so many of the handshakes under way: 256 of 2,048, which at a quarter of a second each
/// are more than its rate.
const ADDRESS_SHARE: usize = 8;
/// A network one in so many.
const NETWORK_SHARE: usize = 4;

#[cfg(test)]
mod tests;
