//! The network of a cluster: three relays for each node, and what is done to them at present.

use std::io;
use std::net::SocketAddr;

use parking_lot::Mutex;

use crate::operate::verify::relay::{Relay, RelayConfig, Rule, Rules, RulesBySource};
use crate::operate::verify::schedule::{Cut, From, Way};

/// The relays in front of one node and behind it.
#[derive(Debug)]
struct Links {
    /// From clients to the node.
    clients: Relay,
    /// From other nodes to it.
    peers: Relay,
    /// From it to the storage node.
    store: Relay,
}

/// Where a node really is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) quic: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// Where others find a node, and where it finds the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) clients: SocketAddr,
    pub(super) peers: SocketAddr,
    pub(super) store: SocketAddr,
}

/// All relays.
#[derive(Debug)]
pub(super) struct Network {
    places: Vec<Place>,
    links: Vec<Links>,
    state: Mutex<State>,
}

/// What is done to the network: from it follow the rules of each relay.
#[derive(Debug, Clone, Default)]
struct State {
    /// On every link.
    usual: Rule,
    cuts: Vec<(usize, Cut)>,
}

/// A relay by its place.
#[derive(Debug, Clone, Copy)]
enum Link {
    Clients(usize),
    Peers(usize),
    Store(usize),
}

impl Network {
    /// Opens the relays of nodes that will be at these places. `config` names the store.
    pub(super) fn open(places: Vec<Place>, config: &RelayConfig, usual: Rule) -> io::Result<Self> {
        let mut links = Vec::with_capacity(places.len());
        for (number, place) in (0..).zip(&places) {
            let relay = |index: u64, server| {
                Relay::bind(RelayConfig {
                    server,
                    seed: config
                        .seed
                        .wrapping_add(RELAYS.wrapping_mul(3 * number + index)),
                    clock: config.clock.clone(),
                })
            };
            links.push(Links {
                clients: relay(0, place.quic)?,
                peers: relay(1, place.peer)?,
                store: relay(2, config.server)?,
            });
        }
        let network = Self {
            places,
            links,
            state: Mutex::new(State {
                usual,
                cuts: Vec::new(),
            }),
        };
        network.apply();
        Ok(network)
    }

    /// Separates a node from others.
    pub(super) fn cut(&self, node: usize, cut: Cut) {
        self.state.lock().cuts.push((node, cut));
        self.apply();
    }

    /// Ends a partition.
    pub(super) fn heal(&self, node: usize, cut: Cut) {
        let mut state = self.state.lock();
        if let Some(index) = state.cuts.iter().position(|it| *it == (node, cut)) {
            state.cuts.swap_remove(index);
        }
        drop(state);
        self.apply();
    }

    /// Ends whatever is done to it.
    pub(super) fn heal_all(&self) {
        *self.state.lock() = State::default();
        self.apply();
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Addresses> + '_ {
        self.links.iter().map(|links| Addresses {
            clients: links.clients.address(),
            peers: links.peers.address(),
            store: links.store.address(),
        })
    }

    fn apply(&self) {
        let state = self.state.lock();
        let peers: Vec<_> = self.places.iter().map(|place| place.peer).collect();
        for (node, links) in self.links.iter().enumerate() {
            let rules = |link| state.rules(link, &peers);
            links.clients.apply(rules(Link::Clients(node)));
            links.peers.apply(rules(Link::Peers(node)));
            links.store.apply(rules(Link::Store(node)));
        }
    }
}

impl State {
    /// The rules of a relay; `peers` is where each node sends from to others.
    fn rules(&self, link: Link, peers: &[SocketAddr]) -> RulesBySource {
        let rule = |is_blocked| Rule {
            is_blocked: is_blocked || self.usual.is_blocked,
            ..self.usual
        };
        match link {
            Link::Clients(node) => RulesBySource {
                usual: Rules {
                    to_server: rule(self.hears_nothing(node, From::Clients)),
                    to_client: rule(self.says_nothing(node, From::Clients)),
                },
                named: Vec::new(),
            },
            // Here the node is the client.
            Link::Store(node) => RulesBySource {
                usual: Rules {
                    to_server: rule(self.says_nothing(node, From::Store)),
                    to_client: rule(self.hears_nothing(node, From::Store)),
                },
                named: Vec::new(),
            },
            Link::Peers(node) => {
                let hears_nothing = self.hears_nothing(node, From::Peers);
                let says_nothing = self.says_nothing(node, From::Peers);
                let of = |other: usize| Rules {
                    to_server: rule(hears_nothing || self.says_nothing(other, From::Peers)),
                    to_client: rule(says_nothing || self.hears_nothing(other, From::Peers)),
                };
                let others = peers.iter().enumerate().filter(|(other, _)| *other != node);
                RulesBySource {
                    usual: Rules {
                        to_server: rule(hears_nothing),
                        to_client: rule(says_nothing),
                    },
                    named: others
                        .map(|(other, address)| (*address, of(other)))
                        .collect(),
                }
            }
        }
    }

    fn hears_nothing(&self, node: usize, from: From) -> bool {
        self.is_cut(node, from, Way::Inbound)
    }

    fn says_nothing(&self, node: usize, from: From) -> bool {
        self.is_cut(node, from, Way::Outbound)
    }

    fn is_cut(&self, node: usize, from: From, way: Way) -> bool {
        let is_so = |(cut_off, cut): &(usize, Cut)| {
            *cut_off == node && cut.from.includes(from) && (cut.way == way || cut.way == Way::Both)
        };
        self.cuts.iter().any(is_so)
    }
}

/// Keeps the decisions of relays apart.
const RELAYS: u64 = 0x9E6C_63D0_876A_3F35;

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Vec<SocketAddr> {
        (1..=3)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect()
    }

    /// Which directions of a relay lose everything: to the server, to the client.
    fn blocked(rules: &Rules) -> (bool, bool) {
        (rules.to_server.is_blocked, rules.to_client.is_blocked)
    }

    fn cut(node: usize, from: From, way: Way) -> State {
        State {
            usual: Rule::default(),
            cuts: vec![(node, Cut { from, way })],
        }
    }

    fn usual(state: &State, link: Link) -> (bool, bool) {
        blocked(&state.rules(link, &peers()).usual)
    }

    fn named(state: &State, to: usize, by: usize) -> (bool, bool) {
        let rules = state.rules(Link::Peers(to), &peers());
        let of = rules.named.iter().find(|(from, _)| *from == peers()[by]);
        blocked(&of.unwrap().1)
    }

    #[test]
    fn a_node_that_hears_nothing_can_still_be_heard() {
        let state = cut(1, From::All, Way::Inbound);
        assert_eq!(usual(&state, Link::Clients(1)), (true, false));
        assert_eq!(usual(&state, Link::Store(1)), (false, true));
        // Over its own relay it is the server, over those of others the client.
        assert_eq!(named(&state, 1, 0), (true, false));
        assert_eq!(named(&state, 0, 1), (false, true));
        // Those who have nothing to do with it.
        assert_eq!(named(&state, 0, 2), (false, false));
        for link in [Link::Clients(0), Link::Store(2), Link::Peers(2)] {
            assert_eq!(usual(&state, link), (false, false));
        }
    }

    #[test]
    fn a_node_that_says_nothing_can_still_hear() {
        let state = cut(1, From::All, Way::Outbound);
        assert_eq!(usual(&state, Link::Clients(1)), (false, true));
        assert_eq!(usual(&state, Link::Store(1)), (true, false));
        assert_eq!(named(&state, 1, 0), (false, true));
        assert_eq!(named(&state, 0, 1), (true, false));
    }

    #[test]
    fn a_partition_separates_from_one_side_only() {
        let state = cut(0, From::Store, Way::Both);
        assert_eq!(usual(&state, Link::Store(0)), (true, true));
        assert_eq!(usual(&state, Link::Store(1)), (false, false));
        assert_eq!(usual(&state, Link::Clients(0)), (false, false));
        assert_eq!(named(&state, 0, 1), (false, false));

        let state = cut(0, From::Peers, Way::Both);
        assert_eq!(usual(&state, Link::Store(0)), (false, false));
        assert_eq!(usual(&state, Link::Peers(0)), (true, true));
        assert_eq!(named(&state, 2, 0), (true, true));
        assert_eq!(named(&state, 2, 1), (false, false));
    }

    #[test]
    fn a_partition_from_all_but_the_store_leaves_the_way_to_it() {
        let state = cut(0, From::PeersAndClients, Way::Both);
        assert_eq!(usual(&state, Link::Store(0)), (false, false));
        assert_eq!(usual(&state, Link::Clients(0)), (true, true));
        assert_eq!(named(&state, 2, 0), (true, true));
    }

    #[test]
    fn losses_are_on_every_link() {
        let lossy = Rule {
            loss_percent: 5,
            ..Rule::default()
        };
        let state = State {
            usual: lossy,
            cuts: Vec::new(),
        };
        for link in [Link::Clients(0), Link::Store(1), Link::Peers(2)] {
            let rules = state.rules(link, &peers());
            let all = rules.named.iter().map(|(_, rules)| rules);
            for rules in all.chain([&rules.usual]) {
                assert_eq!((rules.to_server, rules.to_client), (lossy, lossy));
            }
        }
    }
}
