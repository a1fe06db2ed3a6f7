//! Who may have one more connection over TCP, and who may begin TLS on it: by its prefix, before anything is read. The
//! door of the bridge asks it. Pure.
//!
//! An address is proven before a connection over TCP is there, so a prefix has one account alone. What one prefix may
//! have at a time is a share of all, so that others find room; of this machine are the last ones of all, for who looks
//! after the node.

use std::net::IpAddr;
use std::time::Duration;

use super::accounts::Accounts;
use super::prefix::Origin;
use super::rate::{Pace, Rate, nanoseconds};
use super::under_way::UnderWay;

/// The bounds of a port.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    pub connections_max: usize,
    /// Of these, connections that have not ended their TLS handshake.
    pub handshakes_max: usize,
    /// New connections of an IPv4 address, or of an IPv6 /64.
    pub address: Rate,
    /// Those of an IPv4 /24, or of an IPv6 /48.
    pub network: Rate,
    /// Those of an address or network of this machine, instead of these two.
    pub loopback: Rate,
}

/// The connections of a port.
#[derive(Debug)]
pub struct Streams {
    limits: StreamLimits,
    opened: Accounts,
    open: UnderWay,
    handshakes: UnderWay,
}

impl Streams {
    /// Remembers so many prefixes. `seed` must be one that nobody outside knows.
    pub fn new(limits: StreamLimits, accounts_max: usize, seed: u64) -> Self {
        Self {
            limits,
            opened: Accounts::new(accounts_max, seed),
            open: UnderWay::default(),
            handshakes: UnderWay::default(),
        }
    }

    /// Whether there is one more connection. If there is, [`Self::closed`] is to be called for it. `now` is the time
    /// since any moment that stays.
    pub fn open(&mut self, now: Duration, from: IpAddr) -> bool {
        let origin = Origin::of(from);
        let now_ns = nanoseconds(now);
        let rates = match origin.is_loopback {
            true => [self.limits.loopback; 2],
            false => [self.limits.address, self.limits.network],
        };
        let [address, network] = rates.map(Pace::of);
        let paces = [(origin.address, address), (origin.network, network)];
        let has_rate = paces
            .iter()
            .all(|(prefix, pace)| pace.allows(self.opened.debt_ns(*prefix, now_ns)));
        if !has_rate || !has_room(&self.open, origin, self.limits.connections_max) {
            return false;
        }
        for (prefix, pace) in paces {
            self.opened.spend(prefix, now_ns, pace.each_ns);
        }
        self.open.begin(origin);
        true
    }

    pub fn closed(&mut self, from: IpAddr) {
        self.open.end(Origin::of(from));
    }

    /// Whether one of the connections may begin TLS. If it may, [`Self::shaken`] is to be called for it.
    pub fn shakes(&mut self, from: IpAddr) -> bool {
        let origin = Origin::of(from);
        let may = has_room(&self.handshakes, origin, self.limits.handshakes_max);
        if may {
            self.handshakes.begin(origin);
        }
        may
    }

    pub fn shaken(&mut self, from: IpAddr) {
        self.handshakes.end(Origin::of(from));
    }
}

/// Whether one more fits among so many.
fn has_room(taken: &UnderWay, origin: Origin, max: usize) -> bool {
    if origin.is_loopback {
        return taken.len() < max.saturating_add(RESERVED);
    }
    taken.len() < max
        && taken.of(origin.address) < max.div_ceil(2)
        && taken.of(origin.network) < max - max / 4
}

/// What this machine may have when all is taken: `/livez`, `/readyz` and `/metrics` are asked for by a handful.
const RESERVED: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn streams(max: usize, burst: u32) -> Streams {
        let rate = |burst| Rate {
            per_second: 10,
            burst,
        };
        let limits = StreamLimits {
            connections_max: max,
            handshakes_max: max / 4,
            address: rate(burst),
            network: rate(2 * burst),
            loopback: rate(10_000),
        };
        Streams::new(limits, 1_024, 7)
    }

    fn at(network: u8, host: u8) -> IpAddr {
        Ipv4Addr::new(198, 51, network, host).into()
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn opened(streams: &mut Streams, from: IpAddr, tries: usize) -> usize {
        (0..tries).filter(|_| streams.open(NOW, from)).count()
    }

    #[test]
    fn one_prefix_leaves_room_for_others_and_all_leave_some_for_this_machine() {
        let mut streams = streams(100, 10_000);
        assert_eq!(opened(&mut streams, at(1, 1), 200), 50, "one address");
        assert_eq!(opened(&mut streams, at(1, 2), 200), 25, "its network");
        assert_eq!(opened(&mut streams, at(2, 1), 200), 25, "and all others");
        assert_eq!(opened(&mut streams, at(3, 1), 200), 0);
        assert_eq!(opened(&mut streams, HERE, 200), RESERVED);
        streams.closed(at(1, 1));
        assert_eq!(
            opened(&mut streams, at(3, 1), 1),
            0,
            "the last ones are not of all"
        );
        for _ in 0..RESERVED {
            streams.closed(HERE);
        }
        assert_eq!(opened(&mut streams, at(3, 1), 200), 1);
        for (from, count) in [
            (at(1, 1), 49),
            (at(1, 2), 25),
            (at(2, 1), 25),
            (at(3, 1), 1),
        ] {
            for _ in 0..count {
                streams.closed(from);
            }
        }
        assert_eq!((streams.open.len(), streams.open.prefixes()), (0, 0));
    }

    #[test]
    fn a_prefix_has_its_rate() {
        let mut streams = streams(1_000, 20);
        assert_eq!(opened(&mut streams, at(1, 1), 100), 20);
        assert_eq!(opened(&mut streams, at(1, 2), 100), 20);
        assert_eq!(opened(&mut streams, at(1, 3), 100), 0, "its network");
        assert_eq!(opened(&mut streams, at(2, 1), 100), 20);
        assert_eq!(opened(&mut streams, HERE, 2_000), 1_000 - 60 + RESERVED);
        let later = NOW + Duration::from_secs(1);
        streams.closed(HERE);
        assert!(!streams.open(later, at(1, 1)), "there is no room");
        for _ in 0..RESERVED + 100 {
            streams.closed(HERE);
        }
        let again = (0..100).filter(|_| streams.open(later, at(1, 1)));
        assert_eq!(again.count(), 10);
    }

    #[test]
    fn handshakes_are_shared_alike() {
        let mut streams = streams(100, 10_000);
        let shakes =
            |streams: &mut Streams, from| (0..100).filter(|_| streams.shakes(from)).count();
        assert_eq!(shakes(&mut streams, at(1, 1)), 13);
        assert_eq!(shakes(&mut streams, at(2, 1)), 12);
        assert_eq!(shakes(&mut streams, HERE), RESERVED);
        for _ in 0..=RESERVED {
            streams.shaken(HERE);
        }
        assert!(streams.shakes(at(3, 1)), "one that never began is none");
    }
}
