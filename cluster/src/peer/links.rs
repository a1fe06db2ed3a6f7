//! The links of a node to all others: one to each, opened when somebody needs it; and which of them lead nowhere.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::dialer::Target;
use super::link::Link;
use super::pair::{Means, Pair};
use super::silence::Silence;

/// Links by the names of nodes. A cheap handle.
#[derive(Debug, Clone)]
pub struct Links {
    own: Arc<str>,
    means: Means,
    /// As many as there are nodes; a link ends with the last who uses it, what is known of a node with its connection.
    known: Arc<Mutex<HashMap<String, Known>>>,
    /// Links that are open only to see whether they can be.
    probes: Arc<Mutex<Vec<Arc<Link>>>>,
}

#[derive(Debug)]
struct Known {
    pair: Arc<Pair>,
    /// For as long as somebody has it.
    link: Weak<Link>,
    silence: Silence,
}

impl Links {
    /// Opens nothing yet.
    pub(super) fn new(own: &str, means: Means) -> Self {
        Self {
            own: Arc::from(own),
            means,
            known: Arc::default(),
            probes: Arc::default(),
        }
    }

    /// The name of this node.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// The link to a node at an address, which proves to have its name. It is dialled there unless that node has
    /// dialled this one. Needs a tokio runtime.
    pub fn to(&self, name: &str, address: &str) -> Arc<Link> {
        let mut all = self.known.lock();
        let known = self.known(&mut all, name);
        known.pair.is_at(address);
        if let Some(link) = known.link.upgrade() {
            return link;
        }
        let link = Arc::new(Link::of_pair(Arc::clone(&known.pair), self.means.clone()));
        known.link = Arc::downgrade(&link);
        known.silence = Silence::default();
        link
    }

    /// What there is to do with a node, by itself or by this one.
    pub(super) fn pair(&self, name: &str) -> Arc<Pair> {
        let mut all = self.known.lock();
        Arc::clone(&self.known(&mut all, name).pair)
    }

    /// What there is to do with a node whose name is not known: it alone uses its connection.
    pub(super) fn pair_of_nobody() -> Arc<Pair> {
        Arc::new(Pair::new("", ""))
    }

    fn known<'a>(&self, all: &'a mut HashMap<String, Known>, name: &str) -> &'a mut Known {
        if !all.contains_key(name) {
            // Those that nobody has to do with any more.
            all.retain(|_, known| Arc::strong_count(&known.pair) > 1);
        }
        all.entry(name.to_owned()).or_insert_with(|| Known {
            pair: Arc::new(Pair::new(&self.own, name)),
            link: Weak::new(),
            silence: Silence::default(),
        })
    }

    /// The nodes that cannot be reached, of those that somebody here needs, and of `doubted` besides, to which
    /// links are kept from now on until they are left out. It compares with what the last call saw, so it is
    /// called about as often as a link should be looked at. Needs a tokio runtime.
    pub fn unreachable(&self, now: Instant, doubted: &[Target]) -> Vec<String> {
        let named = doubted
            .iter()
            .filter_map(|it| Some((it.name.as_ref()?, it)));
        let probes = named.map(|(name, target)| self.to(name, &target.address));
        let probes = probes.collect();
        // Those of before end after these have begun: one that is doubted still is not opened anew.
        let before = std::mem::replace(&mut *self.probes.lock(), probes);
        drop(before);
        let mut all = self.known.lock();
        let mut unreachable = Vec::new();
        for (name, known) in &mut *all {
            let is_needed = known.link.strong_count() > 0;
            if is_needed && known.silence.look(now, known.pair.sign()) {
                unreachable.push(name.clone());
            }
        }
        unreachable
    }
}
