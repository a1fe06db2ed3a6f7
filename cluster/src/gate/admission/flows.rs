//! Handshakes that are let through as they are: the packets that belong to one, in bounded memory and number. Pure.
//!
//! A client's first words may be several datagrams to one id, and are said again when nobody answers; then it goes on
//! with the id that the answer named. Both ids are known here together with the client's address, for as long as a
//! handshake takes. Whoever writes an address of others into packets does not see that id.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

#[derive(Debug)]
pub(super) struct Flows {
    /// Sets of [`WAYS`] each; their number is a power of two.
    flows: Box<[Flow]>,
    /// Who does not know it cannot choose flows that share a set.
    seed: u64,
}

/// The keyed hash of an address and an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FlowKey(u64);

#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    of: u64,
    until_ns: u64,
    /// Packets that may still come.
    left: u8,
}

impl Flows {
    /// Room for so many, and some more.
    pub(super) fn new(len: usize, seed: u64) -> Self {
        let len = len.max(WAYS).next_power_of_two();
        Self {
            flows: vec![Flow::default(); len].into_boxed_slice(),
            seed,
        }
    }

    pub(super) fn key(&self, from: SocketAddr, id: &[u8]) -> FlowKey {
        let mut hasher = DefaultHasher::new();
        (self.seed, from, id).hash(&mut hasher);
        FlowKey(hasher.finish())
    }

    /// Lets one packet of a flow through, if it is one.
    pub(super) fn take(&mut self, key: FlowKey, now_ns: u64) -> bool {
        let place = self.place(key);
        let flow = &mut self.flows[place];
        let is_known = flow.of == key.0 && flow.until_ns > now_ns && flow.left > 0;
        flow.left -= u8::from(is_known);
        is_known
    }

    /// Lets so many packets of a flow through from now on. One that is known is not begun anew.
    pub(super) fn begin(&mut self, key: FlowKey, now_ns: u64, packets: u8) {
        let place = self.place(key);
        let flow = &mut self.flows[place];
        if flow.of == key.0 && flow.until_ns > now_ns {
            return;
        }
        *flow = Flow {
            of: key.0,
            until_ns: now_ns.saturating_add(FLOW_NS),
            left: packets,
        };
    }

    /// Lets no more of it through.
    pub(super) fn end(&mut self, key: FlowKey) {
        let place = self.place(key);
        let flow = &mut self.flows[place];
        if flow.of == key.0 {
            *flow = Flow::default();
        }
    }

    /// Where it is, or the place that it would take: of one that has ended, or is the next to end.
    fn place(&self, key: FlowKey) -> usize {
        let sets = self.flows.len() / WAYS;
        // The low bits; sets are no more than memory has bytes.
        let first = usize::try_from(key.0 & (sets as u64 - 1)).unwrap_or(0) * WAYS;
        let set = first..first + WAYS;
        set.clone()
            .find(|each| self.flows[*each].of == key.0)
            .or_else(|| set.min_by_key(|each| self.flows[*each].until_ns))
            .unwrap_or(first)
    }
}

const WAYS: usize = 8;
/// As long as a handshake may take.
const FLOW_NS: u64 = 10_000_000_000;
/// Three datagrams, said again six times in that time, and some more.
pub(super) const PACKETS_MAX: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(flows: &Flows, port: u16, id: u8) -> FlowKey {
        flows.key(([192, 0, 2, 1], port).into(), &[id; 8])
    }

    #[test]
    fn a_flow_has_an_end() {
        let mut flows = Flows::new(64, 1);
        let [one, other, elsewhere] = [(1, 1), (1, 2), (2, 1)].map(|(a, b)| key(&flows, a, b));
        assert!(!flows.take(one, 0));
        flows.begin(one, 0, PACKETS_MAX);
        for each in [other, elsewhere] {
            assert!(!flows.take(each, 1));
        }
        for _ in 0..PACKETS_MAX {
            assert!(flows.take(one, 1));
            flows.begin(one, 1, PACKETS_MAX);
        }
        assert!(!flows.take(one, 1), "it has said all that it may");
        flows.begin(one, FLOW_NS, PACKETS_MAX);
        assert!(flows.take(one, FLOW_NS), "and may again, later");
        assert!(!flows.take(one, 2 * FLOW_NS), "for as long");
        flows.begin(one, 2 * FLOW_NS, PACKETS_MAX);
        flows.end(other);
        assert!(flows.take(one, 2 * FLOW_NS));
        flows.end(one);
        assert!(!flows.take(one, 2 * FLOW_NS));
    }

    #[test]
    fn a_full_table_forgets_the_oldest() {
        let mut flows = Flows::new(64, 1);
        for port in 0..10_000 {
            let key = key(&flows, port, 1);
            flows.begin(key, port.into(), PACKETS_MAX);
        }
        let known = (0..10_000).filter(|port| {
            let key = key(&flows, *port, 1);
            flows.take(key, 10_000)
        });
        let known: Vec<_> = known.collect();
        assert_eq!(known.len(), 64);
        assert!(known.iter().all(|port| *port > 9_000), "{known:?}");
    }
}
