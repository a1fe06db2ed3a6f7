//! What the nodes and clients of a run share, and the nodes that there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::peer::PeerFiles;

use super::dice::Dice;
use super::judge::Judge;
use super::life::State;
use super::log::Log;
use super::network::Network;
use super::node::Node;
use super::way::Loss;
use crate::peer::authority::{Authority, Validity};
use crate::store::memory::Memory;

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) log: Log,
    pub(super) store: Memory,
    pub(super) judge: Judge,
    pub(super) network: Network,
    clock: Clock,
    authority: Authority,
    directory: tempfile::TempDir,
    processes: AtomicU64,
    places: Mutex<BTreeMap<String, Place>>,
    /// What all lose of what they send to the store.
    pub(super) outage: Loss,
}

/// Where a node is, or was.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    is_starting: bool,
    node: Option<Arc<Node>>,
}

impl World {
    /// With so many nodes, none of which runs yet.
    pub(super) fn new(seed: u64, nodes: u8) -> Arc<Self> {
        let log = Log::new();
        let place = |number| {
            let place = Place {
                address: SocketAddr::from(([10, 0, 0, number], 7410)),
                is_starting: false,
                node: None,
            };
            (name(number), place)
        };
        Arc::new(Self {
            seed,
            store: Memory::default(),
            judge: Judge::new(log.clone()),
            network: Network::new(Dice::of(seed, "network")),
            clock: Clock::simulated(1_700_000_000_000, 0),
            // Signatures of this kind are all of one length, and so are handshakes.
            authority: Authority::signing_with(&rcgen::PKCS_ED25519),
            directory: tempfile::tempdir().unwrap(),
            processes: AtomicU64::new(0),
            places: Mutex::new((1..=nodes).map(place).collect()),
            outage: Loss::default(),
            log,
        })
    }

    /// A number that no other process has.
    pub(super) fn next_process(&self) -> u64 {
        self.processes.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// The certificate of a node, another one each time.
    pub(super) fn files_of(&self, node: &str) -> PeerFiles {
        let directory = self.directory.path();
        self.authority.issue(directory, node, Validity::Now)
    }

    /// Starts a node that does not run, in the background.
    pub(super) fn start(self: &Arc<Self>, name: &str) {
        let address = {
            let mut places = self.places.lock();
            let place = places.get_mut(name).unwrap();
            if place.is_starting || place.runs().is_some() {
                return;
            }
            place.is_starting = true;
            place.address
        };
        let (world, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move {
            let node = Node::start(&world, &name, address).await;
            world.log.say(format_args!("{} has started", node.process));
            let mut places = world.places.lock();
            let place = places.get_mut(&name).unwrap();
            place.is_starting = false;
            place.node = Some(node);
        });
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.places.lock().keys().cloned().collect()
    }

    /// Those that do not run and are not about to.
    pub(super) fn absent(&self) -> Vec<String> {
        let places = self.places.lock();
        let absent = places
            .iter()
            .filter(|(_, place)| !place.is_starting && place.runs().is_none());
        absent.map(|(name, _)| name.clone()).collect()
    }

    /// Those that run, by name.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        let places = self.places.lock();
        places.values().filter_map(Place::runs).collect()
    }

    pub(super) fn address(&self, name: &str) -> SocketAddr {
        self.places.lock()[name].address
    }
}

impl Place {
    fn runs(&self) -> Option<Arc<Node>> {
        let node = self.node.as_ref()?;
        (node.life.state() != State::Over).then(|| Arc::clone(node))
    }
}

fn name(number: u8) -> String {
    format!("n{number}")
}
